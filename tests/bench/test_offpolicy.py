"""A policy's value from another policy's log: against simulated worlds whose values are known."""

import random
from dataclasses import dataclass

import pytest
from bench.offpolicy import ValueEstimate, policy_value, values_together
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

CHANCES = st.floats(0.05, 1.0)
ROWS = st.lists(st.tuples(st.floats(0.0, 1.0), CHANCES, st.floats(0.05, 1.0), st.floats(0.0, 1.0)), min_size=1)

ACTIONS = 4
GREEDY = 0.9


@dataclass(frozen=True)
class Log:
    """Rows as a bandit's log holds them, and what the policies are really worth on its contexts."""

    rewards: list[float]
    logged: list[float]
    greedy: list[float]
    uniform: list[float]
    greedy_value: float


def logged_by_a_bandit(draw: random.Random, rows: int, *, good: float = 0.8, bad: float = 0.3) -> Log:
    """Return a log of `rows` contexts, each with one best action that pays `good` a row, the others `bad`."""
    log = Log([], [], [], [], GREEDY * good + (1 - GREEDY) * bad)
    for _ in range(rows):
        best = draw.randrange(ACTIONS)
        scores = [draw.uniform(0.5, 2.0) + (action == best) for action in range(ACTIONS)]
        action = draw.choices(range(ACTIONS), scores)[0]
        log.rewards.append(float(draw.random() < (good if action == best else bad)))
        log.logged.append(scores[action] / sum(scores))
        log.greedy.append(GREEDY if action == best else (1 - GREEDY) / (ACTIONS - 1))
        log.uniform.append(1 / ACTIONS)
    return log


def told(log: Log) -> ValueEstimate:
    return policy_value(log.rewards, log.logged, log.greedy, [log.uniform])


@given(ROWS)
@examples(max_examples=50, deadline=None)
def test_the_policy_that_logged_is_worth_what_was_seen(rows: list[tuple[float, float, float, float]]) -> None:
    rewards, logged = [row[0] for row in rows], [row[1] for row in rows]
    value = policy_value(rewards, logged, logged)
    assert value.estimate == pytest.approx(sum(rewards) / len(rewards))
    assert value.n == len(rows)


@given(ROWS)
@examples(max_examples=50, deadline=None)
def test_an_interval_holds_its_estimate_and_stays_among_possible_rewards(
    rows: list[tuple[float, float, float, float]],
) -> None:
    rewards, logged, target, other = (list(column) for column in zip(*rows, strict=True))
    value = policy_value(rewards, logged, target, [other])
    assert 0.0 <= value.low <= value.estimate <= value.high <= 1.0
    assert value.high - value.low > 0.0


@given(ROWS, st.randoms(use_true_random=False))
@examples(max_examples=50, deadline=None)
def test_the_order_of_rows_is_of_no_account(
    rows: list[tuple[float, float, float, float]], shuffle: random.Random
) -> None:
    def value(ordered: list[tuple[float, float, float, float]]) -> ValueEstimate:
        rewards, logged, target, other = (list(column) for column in zip(*ordered, strict=True))
        return policy_value(rewards, logged, target, [other])

    mixed = list(rows)
    shuffle.shuffle(mixed)
    assert value(mixed) == value(rows)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=60), st.floats(0.1, 0.9))
@examples(max_examples=50, deadline=None)
def test_always_showing_is_worth_what_the_shown_rows_brought(rows: list[tuple[bool, bool]], p_show: float) -> None:
    shown_rewards = [float(quiet) for shown, quiet in rows if shown]
    if not shown_rewards:
        return
    logged = [p_show if shown else 1 - p_show for shown, _ in rows]
    value = policy_value([float(quiet) for _, quiet in rows], logged, [float(shown) for shown, _ in rows])
    assert value.estimate == pytest.approx(sum(shown_rewards) / len(shown_rewards))


def test_estimates_are_right_on_average_and_nearer_with_more_rows() -> None:
    draw, errors = random.Random(1), {100: [], 1_600: []}
    for rows, found in errors.items():
        for _ in range(60):
            log = logged_by_a_bandit(draw, rows)
            found.append(told(log).estimate - log.greedy_value)
    spread = {rows: (sum(error**2 for error in found) / len(found)) ** 0.5 for rows, found in errors.items()}
    assert abs(sum(errors[100]) / 60) < 3 * spread[100] / 60**0.5
    assert spread[1_600] < spread[100] / 2.5  # a fourth, were there no noise in 60 repetitions


def test_other_policies_weights_make_an_estimate_better() -> None:
    draw, plain, calibrated = random.Random(2), 0.0, 0.0
    for _ in range(150):
        log = logged_by_a_bandit(draw, 150)
        weights = [one / p for one, p in zip(log.greedy, log.logged, strict=True)]
        ips = sum(weight * reward for weight, reward in zip(weights, log.rewards, strict=True)) / len(weights)
        plain += (ips - log.greedy_value) ** 2
        calibrated += (told(log).estimate - log.greedy_value) ** 2
    assert calibrated < 0.6 * plain


@pytest.mark.parametrize(("good", "bad", "rows"), [(0.8, 0.3, 120), (0.99, 0.9, 120), (1.0, 0.97, 60)])
def test_intervals_cover_also_where_hardly_anything_goes_wrong(good: float, bad: float, rows: int) -> None:
    draw, covered = random.Random(3), 0
    for _ in range(200):
        log = logged_by_a_bandit(draw, rows, good=good, bad=bad)
        value = told(log)
        covered += value.low <= log.greedy_value <= value.high
    assert covered / 200 >= 0.90


def test_a_log_without_a_single_failure_proves_no_perfection() -> None:
    value = policy_value([1.0] * 40, [0.5] * 40, [1.0, 0.0] * 20)
    assert value.estimate == 1.0
    assert value.low == pytest.approx(0.84, abs=0.01)  # Wilson's bound for 20 of 20


def test_values_told_together_are_nearer_and_covered() -> None:
    draw, alone, together, covered, count = random.Random(4), 0.0, 0.0, 0, 0
    for _ in range(12):
        logs = [logged_by_a_bandit(draw, 60, good=draw.uniform(0.6, 0.8)) for _ in range(8)]
        values = [told(log) for log in logs]
        for log, one, drawn in zip(logs, values, values_together(values), strict=True):
            alone += (one.estimate - log.greedy_value) ** 2
            together += (drawn.estimate - log.greedy_value) ** 2
            covered += drawn.low <= log.greedy_value <= drawn.high
            count += 1
    assert together < 0.75 * alone
    assert covered / count >= 0.90


def test_values_that_differ_widely_keep_what_they_say() -> None:
    values = [ValueEstimate(estimate, estimate - 0.02, estimate + 0.02, 500) for estimate in (0.1, 0.35, 0.6, 0.9)]
    for one, drawn in zip(values, values_together(values), strict=True):
        assert drawn.estimate == pytest.approx(one.estimate, abs=0.002)


def test_two_values_are_too_few_to_tell_together() -> None:
    values = [ValueEstimate(0.2, 0.1, 0.3, 20), ValueEstimate(0.3, 0.2, 0.4, 20)]
    assert values_together(values) == values


@pytest.mark.parametrize("propensity", [0.0, -0.1, 1.01, float("nan")])
def test_an_impossible_propensity_is_refused(propensity: float) -> None:
    with pytest.raises(ValueError, match="propensity"):
        policy_value([1.0, 0.0], [0.5, propensity], [0.5, 0.5])


@pytest.mark.parametrize(
    ("rewards", "logged", "target", "others", "said"),
    [
        ([1.0], [0.5, 0.5], [0.5, 0.5], [], "length"),
        ([1.0, 0.0], [0.5, 0.5], [0.5, 0.5], [[0.5]], "length"),
        ([2.0, 0.0], [0.5, 0.5], [0.5, 0.5], [], "reward"),
        ([1.0, 0.0], [0.5, 0.5], [0.5, 1.5], [], "under a policy"),
        ([1.0, 0.0], [0.5, 0.5], [0.0, 0.0], [], "tells nothing"),
        ([], [], [], [], "tells nothing"),
    ],
)
def test_what_tells_nothing_is_refused(
    rewards: list[float], logged: list[float], target: list[float], others: list[list[float]], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        policy_value(rewards, logged, target, others)
