"""What decides which lessons are shown and what they are worth. Pure: no IO, no clock, no database."""
