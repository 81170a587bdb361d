"""What a secret looks like: its form, the name before it, the place it stands in, and how it is drawn."""
