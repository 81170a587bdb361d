"""Rule ids, the catalogue, severity, category, and the agent that a piece of work belongs to."""
