"""edges.transport."""
