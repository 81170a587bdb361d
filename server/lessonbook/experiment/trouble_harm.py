"""The harm elsewhere that unexplained trouble suggests, for serving alone.

Trouble is unexplained where it came in a change and none of the change's lessons is about it. Much less of it comes by
chance than of the second outcome that is told (`side_effects`), which counts the issues of the other lessons as well.
And more is compared than the two arms: a lesson is shown in most of its rows, so its trouble is held against what is
usual in that period. Kinds of task differ in that whatever lessons they get. By how much is fitted to the population,
so where they differ much, only the arms tell.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from math import ceil, exp, fsum, log
from typing import Final, NamedTuple

from lessonbook.experiment.evidence import Evidence
from lessonbook.experiment.mixture import log_mean, posterior
from lessonbook.experiment.prior import DEFAULT_PRIOR, Prior
from lessonbook.experiment.rho_grid import normalised

SPREADS: Final = (0.1, 0.2, 0.4, 0.8)
"""How much kinds of task may differ: standard deviations of the logarithm of the usual rate."""
_SPREAD_LOGS: Final = (-2.0, -1.0, 0.0, 0.0)
"""What is believed of them before any evidence, as log probabilities: that they do not differ has to be shown."""
_FIRST_SPREAD: Final = 0.2
_KINDS_TO: Final = 2.5
"""How far kinds of task reach, in standard deviations."""
_KINDS_STEP: Final = 0.15
"""The widest step between two of them, as a logarithm: less than what a hundred rows can tell apart."""
_USUAL: Final = 0.1
_USUAL_ROWS: Final = 50.0
_ROUNDS: Final = 2
_TINY: Final = 1e-9


class Background(NamedTuple):
    """Unexplained trouble without harm: its rate by period, per row, and how much kinds of task differ in it."""

    rates: Mapping[int, float]
    spread: float


NO_BACKGROUND: Final = Background({}, _FIRST_SPREAD)


def fitted(population: Iterable[Evidence]) -> Background:
    """Return the background of a population of lessons.

    From each period's rate what the lessons themselves probably cause is taken off, in two rounds. `spread` is the
    likeliest of `SPREADS`.
    """
    known = [
        evidence for evidence in population if any(any(period.unexplained) for period in evidence.periods.values())
    ]
    rows: dict[int, float] = {}
    wrong: dict[int, float] = {}
    for evidence in known:
        for number, period in evidence.periods.items():
            counts = period.unexplained
            rows[number] = rows.get(number, 0.0) + counts.shown + counts.withheld
            wrong[number] = wrong.get(number, 0.0) + counts.shown_wrong + counts.withheld_wrong
    rates = _rates(rows, wrong)
    for _ in range(_ROUNDS):
        usual = dict(wrong)
        for evidence in known:
            harm = _expected_harm(logs_of(evidence, Background(rates, _FIRST_SPREAD), DEFAULT_PRIOR))
            for number, period in evidence.periods.items():
                usual[number] -= harm * period.unexplained.shown
        rates = _rates(rows, usual)

    def agreement(rank: int) -> float:
        background = Background(rates, SPREADS[rank])
        return _SPREAD_LOGS[rank] + fsum(
            log_mean(logs_of(evidence, background, DEFAULT_PRIOR), DEFAULT_PRIOR.flag_weights) for evidence in known
        )

    return Background(rates, SPREADS[max(range(len(SPREADS)), key=agreement)])


def logs_of(evidence: Evidence, background: Background, prior: Prior) -> list[float]:
    """Return the log likelihoods of the harms of `prior`, by a lesson's rows with unexplained trouble.

    Their number in each arm is Poisson. With a harm h, a kind of task k and the background b, it is expected at k · Σ b
    while the lesson is withheld, and at k · Σ b + h · rows while it is shown; k is log-normal.
    """
    usual_shown = usual_withheld = 0.0
    shown = shown_wrong = withheld_wrong = 0
    for number, period in evidence.periods.items():
        if (rate := background.rates.get(number)) is None:
            continue
        counts = period.unexplained
        usual_shown += rate * counts.shown
        usual_withheld += rate * counts.withheld
        shown += counts.shown
        shown_wrong += counts.shown_wrong
        withheld_wrong += counts.withheld_wrong
    if not shown:
        return [0.0] * len(prior.harms)
    kinds, weights = _kinds(background.spread)
    arms: list[tuple[float, float]] = []
    for kind in kinds:
        without = kind * usual_withheld + _TINY
        arms.append((kind * usual_shown + _TINY, withheld_wrong * log(without) - without))
    found: dict[float, float] = {}  # by harm: many rates of flags mean none
    for harm in set(prior.harms):
        caused = harm * shown
        logs = [shown_wrong * log(usual + caused) - usual - caused + of_withheld for usual, of_withheld in arms]
        found[harm] = log_mean(logs, weights)
    return [found[harm] for harm in prior.harms]


@lru_cache(maxsize=len(SPREADS))
def _kinds(spread: float) -> tuple[list[float], list[float]]:
    """Return kinds of task, as factors of the usual rate, and their probabilities."""
    half = ceil(_KINDS_TO * spread / _KINDS_STEP)
    steps = [_KINDS_TO * index / half for index in range(-half, half + 1)]
    return [exp(spread * step) for step in steps], normalised([-0.5 * step**2 for step in steps])


def _rates(rows: Mapping[int, float], wrong: Mapping[int, float]) -> dict[int, float]:
    """Return the rate of each period, drawn towards that of all, which is drawn towards one in ten."""
    of_all = (max(fsum(wrong.values()), 0.0) + _USUAL * _USUAL_ROWS) / (fsum(rows.values()) + _USUAL_ROWS)
    return {
        number: (max(wrong[number], 0.0) + _USUAL_ROWS * of_all) / (count + _USUAL_ROWS)
        for number, count in rows.items()
    }


def _expected_harm(logs: Sequence[float]) -> float:
    weights = posterior(DEFAULT_PRIOR.flag_weights, logs)
    return fsum(weight * harm for weight, harm in zip(weights, DEFAULT_PRIOR.harms, strict=True))
