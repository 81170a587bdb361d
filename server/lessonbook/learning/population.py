"""What lessons are like as a population: the prior that each lesson's own evidence starts from.

Empirical Bayes (Robbins 1956; Efron 2010, "Large-Scale Inference"): where many lessons of a project turn out to help, a
new one is believed in sooner, and where issues are rare, little can be gained by any.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, fsum, log
from typing import Final, TypeAlias

from lessonbook.learning.evidence import Evidence
from lessonbook.learning.grid import GRID_POINTS, LOG_RHO, RHO, normal_logs, normalised, split_logs

PRIOR_MEAN: Final = -0.2
PRIOR_SD: Final = 0.6

Splits: TypeAlias = Mapping[float, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Tally:
    """Randomised exposures and events of one lesson, weighed by their age.

    `splits` counts events by probability of showing: (shown, withheld).
    """

    shown: float
    withheld: float
    splits: Splits

    @property
    def events(self) -> float:
        """How many events there were, by weight."""
        return fsum(shown + withheld for shown, withheld in self.splits.values())


@dataclass(frozen=True, slots=True)
class Prior:
    """A population of lessons.

    `rho_weights` are probabilities of the rate ratios of `grid.RHO`; the rate of events per exposure without the lesson
    is Gamma(`base_shape`, `base_exposures`); a harmless lesson is flagged in `flag_rate` of its showings.
    """

    rho_weights: tuple[float, ...] = tuple(normalised(normal_logs(PRIOR_MEAN, PRIOR_SD)))
    base_shape: float = 1.5
    base_exposures: float = 15.0
    flag_rate: float = 0.006

    @property
    def log_rho_mean(self) -> float:
        """Mean of log ρ over the population."""
        return fsum(weight * log_rho for weight, log_rho in zip(self.rho_weights, LOG_RHO, strict=True))

    @property
    def log_rho_sd(self) -> float:
        """Standard deviation of log ρ over the population."""
        mean = self.log_rho_mean
        return fsum(w * (log_rho - mean) ** 2 for w, log_rho in zip(self.rho_weights, LOG_RHO, strict=True)) ** 0.5


DEFAULT_PRIOR: Final = Prior()

_PRIOR_LESSONS: Final = 8.0
"""How many lessons' worth the default prior counts beside the population."""
_PRIOR_EXPOSURES: Final = 50.0
_ROUNDS: Final = 4


def tally_of(evidence: Evidence, now: int, half_life: float) -> Tally:
    """Return the evidence with periods weighed by 2^(−age ÷ half-life), both in periods."""
    shown = withheld = 0.0
    splits: dict[float, tuple[float, float]] = {}
    for number, period in evidence.periods.items():
        weight = 0.5 ** (max(now - number, 0) / half_life)
        shown += weight * period.shown
        withheld += weight * period.withheld
        for p_show, split in period.splits.items():
            known = splits.get(p_show, (0.0, 0.0))
            splits[p_show] = (known[0] + weight * split[0], known[1] + weight * split[1])
    return Tally(shown, withheld, splits)


def case_split_logs(splits: Splits) -> list[float]:
    """Return the log likelihood of ρ at every grid point, from events alone: base rates cancel."""
    logs = [0.0] * GRID_POINTS
    for p_show, (shown, withheld) in splits.items():
        for_shown, for_withheld = split_logs(p_show)
        for index in range(GRID_POINTS):
            logs[index] += shown * for_shown[index] + withheld * for_withheld[index]
    return logs


def likelihood_logs(tally: Tally, prior: Prior) -> list[float]:
    """Return the log likelihood of ρ at every grid point: the case split, and how many events there were at all.

    With a base rate b ~ Gamma(a, m) and n events in N₀ + ρN₁ exposures' worth, n is negative binomial:
    (N₀ + ρN₁)ⁿ ÷ (m + N₀ + ρN₁)^(a + n). A lesson that is nearly always shown is known by this alone.
    """
    logs = case_split_logs(tally.splits)
    events = tally.events
    for index, rho in enumerate(RHO):
        worth = tally.withheld + rho * tally.shown
        if worth > 0:
            logs[index] += events * log(worth) - (prior.base_shape + events) * log(prior.base_exposures + worth)
    return logs


def fit_prior(population: Iterable[Evidence], now: int = 0, half_life: float = 1e9) -> Prior:
    """Return the population's prior, starting from `DEFAULT_PRIOR`, which counts as a few lessons.

    The base rate's mean by moments, the distribution of ρ by expectation maximisation on the grid (Laird 1978, the
    nonparametric maximum likelihood estimate, kept smooth by the default prior).
    """
    known = list(population)
    tallies = [tally for one in known if (tally := tally_of(one, now, half_life)).shown + tally.withheld > 0]
    start = DEFAULT_PRIOR
    shape = start.base_shape
    events = fsum(tally.events for tally in tallies)
    exposures = fsum(tally.withheld + 0.8 * tally.shown for tally in tallies)
    rate = (events + _PRIOR_EXPOSURES * shape / start.base_exposures) / (exposures + _PRIOR_EXPOSURES)
    prior = Prior(start.rho_weights, shape, shape / rate, start.flag_rate)
    return Prior(_fitted([likelihood_logs(tally, prior) for tally in tallies]), shape, shape / rate, start.flag_rate)


def _fitted(logs: Sequence[Sequence[float]]) -> tuple[float, ...]:
    start = DEFAULT_PRIOR.rho_weights
    likelihoods = [[exp(one - max(row)) for one in row] for row in logs]
    weights = list(start)
    for _ in range(_ROUNDS):
        sums = [_PRIOR_LESSONS * weight for weight in start]
        for row in likelihoods:
            joint = [weight * one for weight, one in zip(weights, row, strict=True)]
            scale = 1 / fsum(joint)
            for index, one in enumerate(joint):
                sums[index] += scale * one
        total = fsum(sums)
        weights = [one / total for one in sums]
    return tuple(weights)
