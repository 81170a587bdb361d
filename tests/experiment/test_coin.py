"""The coin: one number per run and lesson, the same everywhere."""

import os
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from lessonbook.experiment.coin import toss, toss_run

SECRET = b"not a secret"
WORD = st.text(max_size=20)


def test_the_coin_of_a_run_and_lesson_is_this_number_for_ever() -> None:
    assert toss(SECRET, "shop", "run-1", "lesson-1", "1") == FIXED
    assert toss_run(SECRET, "shop", "run-1", "1") == FIXED_RUN


FIXED = 0.3313667916379409
FIXED_RUN = 0.0830061853480808


def test_another_process_tosses_the_same() -> None:
    code = (
        f"from lessonbook.experiment.coin import toss; print(repr(toss({SECRET!r}, 'shop', 'run-1', 'lesson-1', '1')))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert float(said.stdout) == FIXED


@given(WORD, WORD, WORD, WORD)
def test_every_toss_lies_in_the_unit_interval_and_repeats(project: str, run: str, lesson: str, epoch: str) -> None:
    tossed = toss(SECRET, project, run, lesson, epoch)
    assert 0.0 <= tossed < 1.0
    assert tossed == toss(SECRET, project, run, lesson, epoch)


def test_tosses_are_uniform_and_lessons_are_tossed_apart() -> None:
    one = [toss(SECRET, "shop", str(run), "one", "") for run in range(4_000)]
    other = [toss(SECRET, "shop", str(run), "other", "") for run in range(4_000)]
    for tenth in range(10):
        assert abs(sum(tenth / 10 <= coin < (tenth + 1) / 10 for coin in one) - 400) < 80
    both = sum(first < 0.5 and second < 0.5 for first, second in zip(one, other, strict=True))
    assert abs(both - 1_000) < 120


def test_secret_project_and_epoch_each_change_the_coin() -> None:
    tossed = {
        toss(SECRET, "shop", "run", "lesson", "1"),
        toss(b"other", "shop", "run", "lesson", "1"),
        toss(SECRET, "bank", "run", "lesson", "1"),
        toss(SECRET, "shop", "run", "lesson", "2"),
        toss_run(SECRET, "shop", "run", "1"),
    }
    assert len(tossed) == 5
