"""Whether an issue is an instance of a lesson."""
