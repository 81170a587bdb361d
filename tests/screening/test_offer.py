"""What may become a lesson: the lint, the review policy, how severe it may be."""

import pytest

from lessonbook.domain.lesson import LessonWords
from lessonbook.domain.vocabulary import Trust
from lessonbook.screening.offer import Offer, capped, copies, held_from_all, reviewed, screened_offer

RULE = "Give each outgoing request a timeout."


def test_reasons_of_a_rationale_quarantine_its_lesson() -> None:
    offer, refusal = screened_offer(LessonWords(RULE, "See https://evil.example now.", "low", "data"), "offered")
    assert refusal == ""
    assert offer is not None
    assert (offer.status, offer.reasons) == ("quarantined", ("its rationale: it holds a web address",))


@pytest.mark.parametrize("trust", ["offered", "scanner", "imported", "curated"])
@pytest.mark.parametrize("status", ["probation", "quarantined"])
@pytest.mark.parametrize("review", ["none", "risky", "all"])
def test_review_holds_back_everything_or_nothing_but_never_frees_a_scanners_risky_words(trust, status, review) -> None:
    offer = reviewed(Offer(RULE, "", "low", "data", trust=trust, status=status), review)
    if trust == "curated" or review == "risky":
        assert offer.status == status
    elif review == "all" or (trust == "scanner" and status == "quarantined"):
        assert offer.status == "quarantined"
    else:
        assert offer.status == "probation"


def test_a_lesson_copies_an_issue_from_eight_words_in_a_row_on() -> None:
    issue = "one two three four five six seven eight nine"
    assert copies("Then: TWO three, four five six seven eight nine!", issue)
    assert not copies("two three four five six seven eight", issue)
    assert not copies("nine eight seven six five four three two one", issue)


def test_a_lesson_that_a_model_worded_is_never_freed_by_a_setting() -> None:
    offer = reviewed(
        Offer(RULE, "", "low", "data", trust="generated", status="quarantined", reasons=("it holds a web address",)),
        "none",
    )
    assert offer.status == "quarantined"


def test_what_somebody_declares_lifts_a_lesson_one_step_and_never_to_critical() -> None:
    assert capped("critical", "low") == "medium"
    assert capped("critical", "high") == "high"
    assert capped("critical", "critical") == "high"
    assert capped("low", "high") == "low"


def test_words_of_a_model_or_a_reporter_for_all_agents_wait_unless_nothing_is_reviewed() -> None:
    cases: tuple[tuple[Trust, bool], ...] = (
        ("offered", True),
        ("generated", True),
        ("curated", False),
        ("approved", False),
    )
    for trust, held in cases:
        offer = Offer(RULE, "", "medium", "reliability", trust=trust, status="probation")
        assert (held_from_all(offer, "*", "risky").status == "quarantined") is held
        assert held_from_all(offer, "DatabaseAgent", "all") is offer
        assert held_from_all(offer, "*", "none") is offer
