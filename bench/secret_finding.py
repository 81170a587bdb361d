"""Secrets: which of the examples of other scanners redaction finds, and what it takes for a secret that is none."""

import binascii
from base64 import b64decode
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.screening.secrets.corpus import Example, examples

from bench.evaluation import Evaluation, Goal, Row, read_rows
from lessonbook.screening.redact import redact

TASK: Final = "secrets"
OWN_SETS: Final = ("seen", "final", "third", "fourth")
"""Files of `tests/screening/secrets`; each says when it was written."""
GOALS: Final = {
    "recall": Goal(least=0.93),
    "look_alikes_redacted": Goal(most=0.05),
    "ordinary_redacted": Goal(most=0.003),
}


def evaluate(data: Path) -> Evaluation:
    """Return for each row of `secrets.jsonl` in folder `data` whether redaction finds a secret, and how often rightly.

    Recall and precision are shares of the labelled rows; false positives are told apart by rows that were made to look
    like a secret (`hard`) and ordinary text. The sets are the rows of one source each.
    """
    evaluation = Evaluation(TASK, goals=GOALS)
    rows = read_rows(data, TASK)
    if not rows:
        evaluation.missing.append(f"{TASK}.jsonl")
    found = [bool(redact(_text(row))[1]) for row in rows]
    evaluation.predictions = [{"id": row["id"], "secret": secret} for row, secret in zip(rows, found, strict=True)]
    judged = [(row, secret) for row, secret in zip(rows, found, strict=True) if row.get("label") is not None]
    if judged:
        evaluation.metrics = _figures(judged)
        for scanner in sorted({_scanner(row) for row, _ in judged}):
            evaluation.sets[scanner] = _figures([(row, secret) for row, secret in judged if _scanner(row) == scanner])
    for name in OWN_SETS:
        evaluation.sets[f"own: {name}"] = _own_figures(list(examples(name)))
    return evaluation


def _own_figures(rows: Sequence[Example]) -> dict[str, float]:
    """Return the share of own examples whose secrets are all gone, and of look-alikes that are changed."""
    secrets = [all(secret not in redact(row.text)[0] for secret in row.secrets) for row in rows if row.secrets]
    others = [redact(row.text)[0] != row.text for row in rows if not row.secrets]
    return {"recall": sum(secrets) / len(secrets), "look_alikes_redacted": sum(others) / len(others)}


def _text(row: Row) -> str:
    try:
        return b64decode(row["text_b64"]).decode("utf-8", "replace")
    except binascii.Error:
        return ""


def _scanner(row: Row) -> str:
    """Return who made the row; what is ordinary text is one set, whatever project it is of."""
    return "ordinary" if str(row.get("rule", "")).startswith("benign") else str(row.get("source", "")).split(" ")[0]


def _figures(judged: Sequence[tuple[Row, bool]]) -> dict[str, float]:
    secrets = [found for row, found in judged if row["label"] == 1]
    look_alikes = [found for row, found in judged if row["label"] == 0 and row.get("hard")]
    ordinary = [found for row, found in judged if row["label"] == 0 and not row.get("hard")]
    figures: dict[str, float] = {}
    if secrets:
        figures["recall"] = sum(secrets) / len(secrets)
        figures["recall_by_rule"] = _recall_by_rule(judged)
    if any(secrets):
        figures["precision"] = sum(secrets) / sum(found for _, found in judged)
    if look_alikes:
        figures["look_alikes_redacted"] = sum(look_alikes) / len(look_alikes)
    if ordinary:
        figures["ordinary_redacted"] = sum(ordinary) / len(ordinary)
    return figures


def _recall_by_rule(judged: Sequence[tuple[Row, bool]]) -> float:
    """Return the mean of the recall of each rule, so that rules with many examples weigh no more than others."""
    rules: dict[str, list[bool]] = {}
    for row, found in judged:
        if row["label"] == 1:
            rules.setdefault(str(row.get("rule", "")), []).append(found)
    return sum(sum(found) / len(found) for found in rules.values()) / len(rules)
