"""Caches: what a process keeps in memory of lessons, issues, evidence and vectors, fresh by revision."""
