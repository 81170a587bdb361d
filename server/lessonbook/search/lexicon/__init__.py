"""Terms of the field: how they are spelled, where they stand in a text, and the weaknesses they name."""
