"""search.lexicon."""
