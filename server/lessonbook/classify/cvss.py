"""Scores of the Common Vulnerability Scoring System (versions 2, 3 and 4) in texts."""

import re
from typing import Any, cast

from lessonbook.machine.patterns import lazy_pattern

_VECTOR = lazy_pattern(r"(?:\bCVSS:[234]\.\d|\bAV:[NALP])(?:/[A-Z][A-Za-z]{0,2}:[A-Z][A-Za-z]{0,5})+")
_SCORE = lazy_pattern(
    r"\b(?:cvss|security[-_ ]severity|base score)\b"
    r"(?:[ :]*v?(?:2\.0|3\.[01]|4\.0)\b)?+(?:[ :=(]|base|score|of|is|rating)*+(10(?:\.0)?|\d\.\d)(?![\d/])",
    re.IGNORECASE,
)
"""A number beside the name of the system; the number of a version does not count."""


def score_in(text: str) -> float | None:
    """Return the highest base score that a vector or a named score in `text` gives, or None."""
    scores = [base_score(match[0]) for match in _VECTOR.finditer(text)]
    scores += [float(match[1]) for match in _SCORE.finditer(text)]
    return max((score for score in scores if score is not None), default=None)


def base_score(vector: str) -> float | None:
    """Return the base score of a vector, or None where it is malformed or lacks a metric.

    Without a prefix a vector is of version 2 where it has the metric `Au`, which no other version has, else of 3.1.
    """
    import cvss  # noqa: PLC0415  # only where a text holds a vector: its tables take as long to load as our models

    if "/Au:" in vector:
        version, vector = cvss.CVSS2, vector.removeprefix("CVSS:2.0/")
    elif vector.startswith("CVSS:4"):
        version = cvss.CVSS4
    else:
        version, vector = cvss.CVSS3, vector if vector.startswith("CVSS:") else f"CVSS:3.1/{vector}"
    try:
        return float(cast("Any", version(vector)).base_score)
    except cvss.CVSSError:
        return None
