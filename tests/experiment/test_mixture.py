from math import log

import pytest

from lessonbook.experiment.mixture import fit_mixture

START = (0.5, 0.5)
FIRST = [log(0.9), log(0.1)]


def test_without_a_population_the_start_stays():
    assert fit_mixture([], START, 3) == START


def test_a_few_lessons_move_the_start_a_little_and_many_decide():
    few, many = fit_mixture([FIRST] * 2, START, 4), fit_mixture([FIRST] * 800, START, 4)
    assert START[0] < few[0] < many[0]
    assert many[0] > 0.95
    assert sum(many) == pytest.approx(1.0)
