"""The shelf's order, against sorting everything anew."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from lessonbook.learning.ranking import standing, value
from lessonbook.models.lesson import Lesson
from lessonbook.services.shelf import Shelf

MOMENT = datetime(2026, 3, 1, tzinfo=UTC)
WORDS = ["timeout", "request", "file", "query", "cache", "retry"]
CATEGORIES = ["security", "data", "ui"]


def lesson(number: int, severity: int, effect: float, issues: int, category: str, status: str) -> Lesson:
    return Lesson(
        id=f"L{number}",
        agent_name="A",
        lesson_text="Mind it.",
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
    shelf, stands, bodies = Shelf("demo", "A"), {}, {}
    for changed, body in changes:
        shelf._put(changed, body)
        stands.pop(changed.id, None)
        if changed.is_active:
            stands[changed.id], bodies[changed.id] = changed, body
    scores = shelf._index.scores(task) if task else {}

    def place(one: Lesson) -> tuple[float, int, str]:
        own = standing(one.severity, one.effectiveness_score)
        return -(value(own, scores.get(one.id, 0.0)) if task else own), -one.issue_count, one.id

    wanted = [one for one in stands.values() if not categories or one.category in categories]
    assert list(shelf.ranked(task, categories)) == sorted(wanted, key=place)
    assert shelf.count(categories) == len(wanted)
    assert shelf.lessons == stands
    assert set(scores) <= set(bodies)
