"""What stops a benchmark: a server that does not start or answers with an error."""

from collections.abc import Iterator


class BenchError(Exception):
    """The benchmark could not be run."""


def leaves(group: BaseExceptionGroup[BenchError]) -> Iterator[BenchError]:
    """Yield the errors of a group, however deep it nests them."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error
