"""The shelf's order, against sorting everything anew."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.classify.catalogue import load_catalogue
from lessonbook.classify.catalogue_offer import offer_of_rule
from lessonbook.config.settings import LearningSettings
from lessonbook.domain.lesson import Lesson
from lessonbook.experiment.lesson_value import static_score
from lessonbook.search.hazard_model import THRESHOLD
from lessonbook.search.index import asked_words
from lessonbook.search.relevance import likely_by_words
from lessonbook.search.subjects import document_of
from lessonbook.search.task import read_task
from lessonbook.services.cache.shelf import ALL_AGENTS, NAMED_MAX, RankedLesson, Shelf

MOMENT = datetime(2026, 3, 1, tzinfo=UTC)
WORDS = ["timeout", "request", "file", "query", "cache", "retry"]
CATEGORIES = ["security", "data", "ui"]


def lesson(number: int, severity: int, effect: float, issues: int, category: str, status: str) -> Lesson:
    return Lesson(
        id=f"L{number}",
        agent_name="A",
        lesson_text=f"Mind part{number} of house{number}.",
        rationale="",
        severity=severity,
        category=category,
        rule_key="",
        status=status,
        is_active=status == "active",
        pinned=False,
        version=1,
        trust="offered",
        author="local",
        approved_by=None,
        issue_count=issues,
        times_applied=0,
        times_verified=0,
        times_prevented=0,
        effectiveness_score=effect,
        effect_low=effect,
        effect_high=effect,
        events=0,
        flags=0,
        status_reason="",
        last_seen_at=None,
        last_applied_at=None,
        expires_at=None,
        superseded_by=None,
        token_count=3,
        revision=1,
        created_at=MOMENT,
        updated_at=MOMENT,
    )


def offered(shelf: Shelf, task: str, files=(), *, categories=(), agent_name: str = "") -> list[RankedLesson]:
    return shelf.fitting(read_task(task, files), categories, agent_name=agent_name, principal="local")


LESSONS = st.builds(
    lesson,
    st.integers(0, 12),
    st.integers(1, 4),
    st.sampled_from([-1.0, 0.0, 0.1, 0.15, 0.9]),
    st.integers(0, 2),
    st.sampled_from(CATEGORIES),
    st.sampled_from(["active", "active", "suspended"]),
)
TEXTS = st.lists(st.sampled_from(WORDS), max_size=5).map(" ".join)


@given(st.lists(st.tuples(LESSONS, TEXTS), max_size=40), TEXTS, st.sets(st.sampled_from(CATEGORIES)))
def test_lessons_are_offered_in_the_order_of_their_value_after_any_changes(changes, task: str, categories) -> None:
    shelf, stands = Shelf("demo", "A", LearningSettings()), {}
    for changed, body in changes:
        shelf._put(changed, body)
        stands.pop(changed.id, None)
        if changed.is_active:
            stands[changed.id] = changed
    scores = shelf._index.scores(task) if task else dict.fromkeys(stands, 1.0)

    wanted = [one for one in stands.values() if not categories or one.category in categories]
    named = shelf._index.holding(task) if len(asked_words(task)) <= NAMED_MAX else set()

    def place(one: Lesson) -> tuple[float, float, int, str]:
        likely = max(likely_by_words(scores[one.id]), THRESHOLD if one.id in named else 0.0) if task else 1.0
        return -likely, -static_score(one.severity, one.effectiveness_score), -one.issue_count, one.id

    relevant = [
        one for one in wanted if one.id in scores and (one.id in named or likely_by_words(scores[one.id]) >= THRESHOLD)
    ]
    relevant = wanted if not task else relevant
    assert [fit.lesson for fit in offered(shelf, task, categories=categories)] == sorted(relevant, key=place)
    assert shelf.lessons == stands


def test_a_task_of_a_word_names_its_subject_and_a_longer_one_has_to_be_about_the_lesson() -> None:
    shelf = shelf_of(*(lesson(number, 1, 0.1, 0, "data", "active") for number in range(3)))
    assert {fit.lesson.id for fit in offered(shelf, "L1")} == {"L1"}
    assert offered(shelf, "Say whether L1 is among what the gardener planted beside the shed last spring") == []


TALK = [
    "thanks, looks good!",
    "looks good",
    "lgtm",
    "fix it",
    "run the tests",
    "commit and push",
    "go ahead",
    "continue",
    "try again",
    "explain this code",
    "great, thank you",
    "fix a typo in the README",
]


@pytest.mark.parametrize("talk", TALK)
def test_talk_that_names_no_subject_is_offered_nothing_of_a_real_shelf(talk: str) -> None:
    shelf = Shelf("demo", "A", LearningSettings())
    for number, rule in enumerate([rule for rule in load_catalogue().rules if rule.severity == "critical"][:40]):
        offer = offer_of_rule(rule)
        body = document_of(offer.text, offer.why, offer.rule_key, offer.category)
        shelf._put(lesson(number, 4, 0.9, 3, "security", "active"), body)
    assert offered(shelf, talk) == []
    assert offered(shelf, "fix the SQL injection")


def test_a_short_task_is_offered_what_holds_its_subject() -> None:
    shelf = shelf_of(lesson(1, 4, 0.9, 3, "security", "active"), lesson(2, 4, 0.9, 3, "security", "active"))
    assert len(offered(shelf, "fix timeouts")) == 2
    assert offered(shelf, "fix pagination") == []


def shelf_of(*lessons: Lesson) -> Shelf:
    shelf = Shelf("demo", "A", LearningSettings())
    for one in lessons:
        shelf._put(one, f"timeout of request {one.id}")
    return shelf


def test_on_the_shelf_of_all_agents_those_of_the_runs_agent_come_first_where_they_fit_equally() -> None:
    shelf = Shelf("demo", ALL_AGENTS, LearningSettings())
    for number, name in enumerate(["A", "B", "C", "B"]):
        one = replace(
            lesson(number, 2, 0.1, 0, "data", "active"),
            agent_name=name,
            lesson_text=f"Mind part{number} of house{number}.",
        )
        shelf._put(one, "timeout of a request")
    for name, order in (
        ("C", ["L2", "L0", "L1", "L3"]),
        ("B", ["L1", "L3", "L0", "L2"]),
        ("*", ["L0", "L1", "L2", "L3"]),
    ):
        for task in ("timeout of a request", "timeouts"):
            assert [fit.lesson.id for fit in offered(shelf, task, agent_name=name)] == order
    shelf._put(replace(lesson(9, 4, 0.1, 0, "data", "active"), agent_name="A"), "timeout of a request")
    assert [fit.lesson.id for fit in offered(shelf, "timeout of a request", agent_name="B")][:3] == ["L1", "L3", "L9"]


def test_what_a_person_pinned_comes_first_whatever_the_task_and_what_they_vouch_for_where_it_fits() -> None:
    pinned = replace(lesson(1, 1, 0.1, 0, "data", "active"), pinned=True)
    vouched = replace(lesson(2, 4, 0.1, 0, "data", "active"), approved_by="cli")
    shelf = shelf_of(lesson(3, 4, 0.9, 2, "data", "active"), pinned, vouched, lesson(4, 3, 0.9, 0, "data", "active"))
    for task in ("", "timeout of a request"):
        assert {fit.lesson.id for fit in offered(shelf, task)[:2]} == {"L1", "L2"}
        assert offered(shelf, task, categories=["ui"]) == []
    assert [fit.lesson.id for fit in offered(shelf, "paint the shed")] == ["L1"]
    assert offered(shelf, "paint the shed", categories=["ui"]) == []


def test_where_nothing_fits_nothing_is_offered_however_severe() -> None:
    severe = [lesson(number, 4, 0.9, 3, "security", "active") for number in range(5)]
    shelf = shelf_of(*severe, replace(severe[0], id="L9", agent_name="*"))
    for task in ("paint the shed", "thanks, looks good!", "🎉", "検索機能を追加する", "?"):
        assert offered(shelf, task) == []
    assert offered(shelf, "", ["shed/colour.txt"]) == []
    assert len(offered(shelf, "timeout of a request")) == 5  # L9 says what L0 says


def test_a_lesson_for_one_of_several_things_in_a_task_fits() -> None:
    subjects = ["timeout of a request", "digest of a download", "colour of a button", "index of a query"]
    shelf = Shelf("demo", "A", LearningSettings())
    for number, subject in enumerate(subjects):
        shelf._put(lesson(number, 2, 0.1, 0, "data", "active"), f"Mind the {subject} in everything that you make.")
    task = "Download the archive and check its digest, then give every request a timeout, and log what was done to whom"
    assert {fit.lesson.id for fit in offered(shelf, task)} == {"L0", "L1"}


def test_a_lesson_is_put_into_the_form_of_answers_once_and_again_when_it_changes() -> None:
    shelf = Shelf("p", "A", LearningSettings())
    first = lesson(1, 2, 0.5, 0, "security", "active")
    shelf._put(first, first.lesson_text)
    assert shelf.as_served(first) is shelf.as_served(first)
    reworded = replace(first, lesson_text="Mind the door.", revision=2)
    shelf._put(reworded, reworded.lesson_text)
    assert shelf.as_served(reworded).text == "Mind the door."
    assert shelf.as_served(first).text == first.lesson_text
    assert shelf.as_served(reworded).text == "Mind the door."
