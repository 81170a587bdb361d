"""From an issue to a lesson: read, clean, redact, screen, classify, route. Nothing here writes anywhere."""
