"""What stops a benchmark: a server that does not start or answers with an error."""


class BenchError(Exception):
    """The benchmark could not be run."""
