"""edges.access."""
