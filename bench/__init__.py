"""Benchmarks of Lessonbook, each a subcommand of `python -m bench`."""
