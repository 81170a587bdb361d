"""The table of precedence: each clause decides an example, and the order of the clauses matters."""

import pytest

from lessonbook.dedup.precedence_table import PRECEDENCE, Candidate, IssueFacts, Verdict, clause_for, decide

PLAIN = IssueFacts()
NAMED = IssueFacts(is_named=True)
WITH_LESSON = IssueFacts(brings_lesson=True)
WITH_ADVICE = IssueFacts(brings_lesson=True, brings_owner=True)
CURATED = IssueFacts(brings_lesson=True, can_be_curated=True)


def by(clue: str, group: str = "L1", **about) -> Candidate:
    return Candidate(clue, group, **{"status": "active", "trust": "offered", **about})


EXAMPLES = {
    "the catalogue knows the rule": (NAMED, by("text")),
    "another rule of the same tool": (PLAIN, by("text", is_other_rule=True)),
    "the rule's own lesson comes": (WITH_ADVICE, by("group")),
    "served to another principal alone": (WITH_LESSON, by("group", is_hidden=True)),
    "faint likeness": (PLAIN, by("likeness", probability=0.19, is_sure=False)),
    "named for the weakness": (PLAIN, by("weakness", link="named")),
    "seen for the weakness": (PLAIN, by("weakness", link="seen")),
    "made for the weakness": (PLAIN, by("weakness", link="chief")),
    "doubtful": (PLAIN, by("likeness", probability=0.59, is_sure=False, trust="curated")),
    "not a lesson": (PLAIN, by("likeness", "I1", probability=0.9, status=None, trust=None)),
    "an offer that was rejected": (PLAIN, by("rule", status="rejected")),
    "like a rejected lesson": (PLAIN, by("likeness", probability=0.9, status="rejected")),
    "merged into another lesson": (PLAIN, by("likeness", probability=0.9, status="superseded")),
    "waits for a person": (WITH_LESSON, by("rule", status="quarantined")),
    "alike, and vouched for": (CURATED, by("likeness", probability=0.3, trust="curated")),
    "a curated lesson can be made": (CURATED, by("likeness", probability=0.9)),
    "alike by the weakness alone": (PLAIN, by("likeness", probability=0.59)),
    "the same": (PLAIN, by("rule")),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_clause_decides_an_example(name: str) -> None:
    assert clause_for(*EXAMPLES[name]).name == name


def test_each_clause_has_an_example_and_a_reason() -> None:
    assert [clause.name for clause in PRECEDENCE] == list(EXAMPLES)
    for clause in PRECEDENCE:
        assert clause.reason.endswith(".")


@pytest.mark.parametrize("place", range(len(PRECEDENCE) - 1))
def test_a_clause_that_comes_last_would_not_be_heard(place: int) -> None:
    moved = (*PRECEDENCE[:place], *PRECEDENCE[place + 1 :], PRECEDENCE[place])
    example = EXAMPLES[PRECEDENCE[place].name]
    assert clause_for(*example, moved).outcome != PRECEDENCE[place].outcome


@pytest.mark.parametrize(
    ("first", "second", "example"),
    [
        ("another rule of the same tool", "doubtful", (PLAIN, by("likeness", is_sure=False, is_other_rule=True))),
        ("faint likeness", "doubtful", EXAMPLES["faint likeness"]),
        (
            "doubtful",
            "like a rejected lesson",
            (PLAIN, by("likeness", probability=0.5, is_sure=False, status="rejected")),
        ),
        ("doubtful", "alike, and vouched for", EXAMPLES["doubtful"]),
        (
            "like a rejected lesson",
            "alike, and vouched for",
            (PLAIN, by("likeness", status="rejected", trust="curated")),
        ),
        (
            "merged into another lesson",
            "alike, and vouched for",
            (PLAIN, by("likeness", status="superseded", trust="curated")),
        ),
        (
            "waits for a person",
            "alike, and vouched for",
            (WITH_LESSON, by("likeness", status="quarantined", trust="curated")),
        ),
        ("alike, and vouched for", "a curated lesson can be made", EXAMPLES["alike, and vouched for"]),
    ],
)
def test_clauses_that_change_places_decide_otherwise(first: str, second: str, example: tuple) -> None:
    names = [clause.name for clause in PRECEDENCE]
    one, other = names.index(first), names.index(second)
    assert one < other
    swapped = list(PRECEDENCE)
    swapped[one], swapped[other] = swapped[other], swapped[one]
    assert clause_for(*example).name == first
    assert clause_for(*example, swapped).outcome != clause_for(*example).outcome


@pytest.mark.parametrize("status", ["rejected", "superseded", "retired", "suspended", "expired"])
def test_an_exact_name_finds_a_lesson_of_any_status(status: str) -> None:
    found = decide(WITH_LESSON, [by("catalogue", status=status, name="catalogue:x", how="catalogue entry x")])
    assert found == Verdict("L1", "catalogue entry x", 1.0, name="catalogue:x")


def test_the_same_words_wait_for_the_same_agent_again_but_not_for_another() -> None:
    own, shared = by("text", status="quarantined"), by("text", status="quarantined", is_own=False)
    assert decide(WITH_LESSON, [own]).lesson_id == "L1"
    assert decide(WITH_LESSON, [shared]).lesson_id is None


def test_a_rejected_rule_of_the_catalogue_stays_rejected_and_a_mere_offer_only_raises_a_doubt() -> None:
    assert decide(PLAIN, [by("rule", status="rejected", trust="scanner")]).lesson_id == "L1"
    assert decide(PLAIN, [by("rule", status="rejected")]) == Verdict(rejected="L1")


def test_the_first_likeness_that_does_not_join_is_the_runner_up() -> None:
    doubtful, sure = by("likeness", "L2", probability=0.55556, is_sure=False), by("likeness", probability=0.87654)
    weakness = by("weakness", "L3", probability=0.9, link="seen")
    assert decide(PLAIN, [sure, doubtful, weakness]) == Verdict("L1", "", 0.8765, "L2", 0.5556)
    assert decide(PLAIN, [sure, weakness]) == Verdict("L1", "", 0.8765)
    assert decide(PLAIN, [doubtful]) == Verdict(runner_up="L2", runner_up_score=0.5556)
    assert decide(PLAIN, [sure, by("likeness", "L4", probability=0.7)]).runner_up == "L4"


def test_a_lesson_for_the_weakness_is_suggested_before_what_the_words_are_like() -> None:
    near = [by("likeness", "L2", status="rejected"), by("likeness", "I1", status=None)]
    assert decide(PLAIN, near) == Verdict(runner_up="L2", runner_up_score=1.0, rejected="L2")
    unsure = by("weakness", "L3", probability=0.95)
    assert decide(PLAIN, [*near, unsure]) == Verdict(runner_up="L3", runner_up_score=0.95)
    sure = by("weakness", "L3", how="CWE-22", probability=0.95, link="named")
    assert decide(PLAIN, [*near, sure]) == Verdict("L3", "CWE-22", 0.95, "L2", 1.0)


def test_no_more_candidates_are_looked_up_than_are_needed() -> None:
    def candidates():
        yield by("rule")
        raise AssertionError

    assert decide(PLAIN, candidates()).lesson_id == "L1"
