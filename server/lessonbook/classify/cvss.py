"""Scores of the Common Vulnerability Scoring System, version 3, and the severities they stand for."""

import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from lessonbook.domain.vocabulary import Severity

_VECTOR = re.compile(r"\bCVSS:3\.[01]((?:/[A-Z]{1,3}:[A-Z])+)|\b(AV:[NALP](?:/[A-Z]{1,3}:[A-Z])+)")
_SCORE = re.compile(
    r"\b(?:cvss|security[-_ ]severity|base score)\b"
    r"(?:[ :]*v?(?:2\.0|3\.[01]|4\.0)\b)?+(?:[ :=(]|base|score|of|is|rating)*+(10(?:\.0)?|\d\.\d)(?![\d/])",
    re.IGNORECASE,
)
"""A number beside the name of the system; its version is none."""
_WORTH: Final[Mapping[str, Mapping[str, float]]] = MappingProxyType(
    {
        "AV": {"N": 0.85, "A": 0.62, "L": 0.55, "P": 0.2},
        "AC": {"L": 0.77, "H": 0.44},
        "UI": {"N": 0.85, "R": 0.62},
        "C": {"N": 0.0, "L": 0.22, "H": 0.56},
    }
)
_PRIVILEGES: Final[Mapping[str, tuple[float, float]]] = MappingProxyType(
    {"N": (0.85, 0.85), "L": (0.62, 0.68), "H": (0.27, 0.5)}
)
"""The worth of each level of privileges, with unchanged and with changed scope."""
_BANDS: Final[tuple[tuple[float, Severity], ...]] = ((9.0, "critical"), (7.0, "high"), (4.0, "medium"))


def severity_of_base_score(score: float) -> Severity:
    """Return the qualitative rating of a base score 0..10 (FIRST, CVSS 3.1 specification, section 5)."""
    for least, severity in _BANDS:
        if score >= least:
            return severity
    return "low"


def score_in(text: str) -> float | None:
    """Return the highest base score that a vector or a named score in `text` gives, or None."""
    scores = [base_score(match[1] or match[2]) for match in _VECTOR.finditer(text)]
    scores += [float(match[1]) for match in _SCORE.finditer(text)]
    return max((score for score in scores if score is not None), default=None)


def base_score(vector: str) -> float | None:
    """Return the base score of a version 3 vector, or None where it lacks a metric.

    Equations of the CVSS 3.1 specification (FIRST, 2019), section 7.1.
    """
    metrics = dict(part.split(":", 1) for part in vector.split("/") if ":" in part)
    try:
        changed = metrics["S"] == "C"
        losses = [1.0 - _WORTH["C"][metrics[name]] for name in ("C", "I", "A")]
        reach = math.prod(_WORTH[name][metrics[name]] for name in ("AV", "AC", "UI"))
        exploitability = 8.22 * reach * _PRIVILEGES[metrics["PR"]][changed]
    except KeyError:
        return None
    loss = 1.0 - math.prod(losses)
    impact = 7.52 * (loss - 0.029) - 3.25 * (loss - 0.02) ** 15 if changed else 6.42 * loss
    if impact <= 0:
        return 0.0
    return math.ceil(round(min((1.08 if changed else 1.0) * (impact + exploitability), 10.0) * 10, 6)) / 10
