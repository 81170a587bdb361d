"""Harmful advice in a friendly voice: the words, the clauses, and what shows the harm."""
