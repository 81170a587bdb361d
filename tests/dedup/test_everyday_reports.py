"""Reports in everyday words lead to the weakness that they describe, and others to none."""

from pathlib import Path

import pytest

from lessonbook.classify.catalogue import load_catalogue
from lessonbook.dedup.likeness import sketch

DATA = Path(__file__).parents[2] / "bench" / "data"
SETS = sorted(DATA.glob("everyday_reports*.tsv"))
UNSEEN = "everyday_reports_fifth"
"""Written after the lexicon, and never mended for: how new words fare. See bench/README.md."""
CATALOGUE = load_catalogue()


def rule_of(cwe: str) -> str:
    rule = CATALOGUE.find(cwe) if cwe else None
    return rule.id if rule else ""


@pytest.mark.parametrize("file", SETS, ids=lambda file: file.stem)
def test_most_reports_find_their_rule_and_hardly_any_a_wrong_one(file: Path) -> None:
    rows = [line.split("\t") for line in file.read_text(encoding="utf-8").splitlines()]
    answered = right = wrong = 0
    for labels, text in rows:
        accepted = {rule_of(cwe) for cwe in labels.split()} - {""}
        found = rule_of(sketch(text).surely_tells)
        answered += bool(accepted)
        right += found in accepted
        wrong += bool(found) and found not in accepted

    assert wrong <= 0.04 * len(rows)
    assert right >= 0.6 * answered or file.stem == UNSEEN


def test_the_sets_hold_reports_with_and_without_a_weakness() -> None:
    for file in SETS:
        labels = [line.partition("\t")[0] for line in file.read_text(encoding="utf-8").splitlines()]
        assert 0.4 <= labels.count("-") / len(labels) <= 0.6
    assert len(SETS) == 5
