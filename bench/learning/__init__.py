"""A simulated world of lessons, in which rules for serving them are compared on the same random draws."""
