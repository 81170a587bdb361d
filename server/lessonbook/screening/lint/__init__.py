"""What no lesson may hold: speech to a model, dangerous advice, disguises, and what is not a rule."""
