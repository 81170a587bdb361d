"""An ingredient that is left out is one of the shipped code: its name is found where it is replaced."""

from bench.learning.ablation import INGREDIENTS, one_seed
from bench.learning.world import World


def test_every_ingredient_can_be_left_out() -> None:
    outcomes = one_seed(World(lessons=4), 1, 30)
    assert set(outcomes) == set(INGREDIENTS)
