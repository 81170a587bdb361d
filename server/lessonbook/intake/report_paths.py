"""Paths of a report: relative to the root that all its absolute ones share."""

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace

from lessonbook.domain.findings import Finding, Outcome, Reading
from lessonbook.domain.places import CommonRoot, is_absolute


def with_common_root(open_file: Callable[[], Reading]) -> Reading:
    """Return the findings that `open_file` reads, with paths relative to the root that all absolute ones share.

    Where the first path is absolute, the file is read once more before, for its paths.
    """
    reading = open_file()
    return replace(reading, outcomes=_relative(open_file, reading.outcomes))


def _relative(open_file: Callable[[], Reading], outcomes: Generator[Outcome]) -> Generator[Outcome]:
    root: str | None = None
    with closing(outcomes):
        for outcome in outcomes:
            if isinstance(outcome, Finding) and is_absolute(outcome.file):
                if root is None:
                    root = _root(open_file().outcomes)
                if root and outcome.file.startswith(root):
                    yield replace(outcome, file=outcome.file.removeprefix(root))
                    continue
            yield outcome


def _root(outcomes: Generator[Outcome]) -> str:
    shared = CommonRoot()
    with closing(outcomes):
        for outcome in outcomes:
            if isinstance(outcome, Finding) and is_absolute(outcome.file):
                shared.add(outcome.file)
    return shared.root()
