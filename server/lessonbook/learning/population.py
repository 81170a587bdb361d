"""What lessons are like as a population: the prior that each lesson's own evidence starts from.

Empirical Bayes (Robbins 1956; Efron 2010, "Large-Scale Inference"): where many lessons of a project turn out to help, a
new one is believed in sooner, and where issues are rare, little can be gained by any.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, fsum, log
from operator import mul
from typing import Final, TypeAlias

from lessonbook.learning import flags
from lessonbook.learning.evidence import Evidence
from lessonbook.learning.grid import GRID_POINTS, LOG_RHO, RHO, normal_logs, normalised, split_logs

PRIOR_MEAN: Final = -0.3
PRIOR_SD: Final = 0.5

Splits: TypeAlias = Mapping[float, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Tally:
    """Randomised exposures and events of one lesson, weighed by their age.

    `splits` counts events by probability of showing: (shown, withheld). `applied` and `applied_events` are the shown
    exposures, and their events, of runs in which the agent says it applied the lesson.
    """

    shown: float
    withheld: float
    applied: float
    applied_events: float
    splits: Splits

    @property
    def events(self) -> float:
        """How many events there were, by weight."""
        return fsum(shown + withheld for shown, withheld in self.splits.values())

    @property
    def shown_events(self) -> float:
        """How many events there were while the lesson was shown, by weight."""
        return fsum(shown for shown, _ in self.splits.values())


@dataclass(frozen=True, slots=True)
class Prior:
    """A population of lessons.

    `rho_weights` are probabilities of the rate ratios of `grid.RHO`; the rate of events per exposure without the lesson
    is Gamma(`base_shape`, `base_exposures`). `ignored` is the share of showings in which lessons are not applied, and
    `ignored_risk` the rate of events there, against all runs, before any lesson does anything: who applies a lesson
    differs from who does not. `flag_weights` are probabilities of the rates of `flags.RATES`.
    """

    rho_weights: tuple[float, ...] = tuple(normalised(normal_logs(PRIOR_MEAN, PRIOR_SD)))
    base_shape: float = 1.5
    base_exposures: float = 15.0
    ignored: float = 0.3
    ignored_risk: float = 0.9
    flag_weights: tuple[float, ...] = flags.RATE_WEIGHTS

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
_PRIOR_SHOWINGS: Final = 20.0
_ROUNDS: Final = 4
_CENTRES: Final = (-0.75, -0.6, -0.45, -0.3, -0.15, 0.0, 0.15)
_SPREADS: Final = (0.08, 0.2, 0.4, 0.6)
_CENTRE_SD: Final = 0.25
_SPREAD_MEDIAN: Final = 0.4
_LOG_SPREAD_SD: Final = 0.8
_TEMPER: Final = 0.5
_FAMILY: Final = tuple(
    (
        -0.5 * ((centre - PRIOR_MEAN) / _CENTRE_SD) ** 2 - 0.5 * (log(spread / _SPREAD_MEDIAN) / _LOG_SPREAD_SD) ** 2,
        normalised(normal_logs(centre, spread)),
    )
    for centre in _CENTRES
    for spread in _SPREADS
)
_IGNORED_RISKS: Final = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)
_IGNORED_RISK_SD: Final = 0.2
_SHARE_MIN: Final = 0.03


def tally_of(evidence: Evidence, now: int, half_life: float) -> Tally:
    """Return the evidence with periods weighed by 2^(−age ÷ half-life), both in periods."""
    shown = withheld = applied = applied_events = 0.0
    splits: dict[float, tuple[float, float]] = {}
    for number, period in evidence.periods.items():
        weight = 0.5 ** (max(now - number, 0) / half_life)
        shown += weight * period.shown
        withheld += weight * period.withheld
        applied += weight * period.applied
        applied_events += weight * period.applied_events
        for p_show, split in period.splits.items():
            known = splits.get(p_show, (0.0, 0.0))
            splits[p_show] = (known[0] + weight * split[0], known[1] + weight * split[1])
    return Tally(shown, withheld, applied, applied_events, splits)


def case_split_logs(splits: Splits) -> list[float]:
    """Return the log likelihood of ρ at every grid point, from events alone: base rates cancel."""
    logs = [0.0] * GRID_POINTS
    for p_show, (shown, withheld) in splits.items():
        rows = zip(logs, *split_logs(p_show), strict=True)
        logs = [sofar + shown * one + withheld * other for sofar, one, other in rows]
    return logs


def rate_logs(tally: Tally, prior: Prior) -> list[float]:
    """Return the log likelihood of ρ at every grid point, from how many events there were at all.

    With a base rate b ~ Gamma(a, m) and n events in N₀ + ρN₁ exposures' worth, n is negative binomial:
    (N₀ + ρN₁)ⁿ ÷ (m + N₀ + ρN₁)^(a + n). A lesson that is nearly always shown is known by this alone.
    """
    events, total = tally.events, prior.base_shape + tally.events
    worths = [tally.withheld + rho * tally.shown for rho in RHO]
    if worths[0] <= 0:
        return [0.0] * GRID_POINTS
    return [events * log(worth) - total * log(prior.base_exposures + worth) for worth in worths]


def application_logs(tally: Tally, prior: Prior) -> list[float]:
    """Return the log likelihood of ρ at every grid point, from where a shown lesson's events fall.

    Of the rate ρ, the part c = ignored share · its risk comes from runs that did not apply the lesson, whatever it
    does; so an event while shown falls there with probability c/ρ. This compares runs by what agents chose to do: it
    moves what is served, and never an effect that is told.
    """
    applied = tally.applied_events
    ignored = tally.shown_events - applied
    if tally.applied <= 0 or applied + ignored <= 0:
        return [0.0] * GRID_POINTS
    share = 1 - (tally.applied + _PRIOR_SHOWINGS * (1 - prior.ignored)) / (tally.shown + _PRIOR_SHOWINGS)
    part = max(share, 0.01) * prior.ignored_risk
    logs: list[float] = []
    for rho in RHO:
        ratio = min(part / rho, 1 - _SHARE_MIN)
        logs.append(applied * log(1 - ratio) + ignored * log(ratio))
    return logs


def likelihood_logs(tally: Tally, prior: Prior) -> list[float]:
    """Return the log likelihood of ρ at every grid point, from everything known of its events."""
    parts = zip(case_split_logs(tally.splits), rate_logs(tally, prior), application_logs(tally, prior), strict=True)
    return [split + rate + application for split, rate, application in parts]


def fit_prior(population: Iterable[Evidence], now: int = 0, half_life: float = 1e9) -> Prior:
    """Return the population's prior, starting from `DEFAULT_PRIOR`, which counts as a few lessons.

    Base rates and shares by moments, the distribution of ρ by expectation maximisation on the grid (Laird 1978, the
    nonparametric maximum likelihood estimate, kept smooth by the default prior), `ignored_risk` by maximum likelihood.
    """
    known = list(population)
    tallies = [tally for one in known if (tally := tally_of(one, now, half_life)).shown + tally.withheld > 0]
    start = DEFAULT_PRIOR
    shape = start.base_shape
    events = fsum(tally.events for tally in tallies)
    exposures = fsum(tally.withheld + 0.8 * tally.shown for tally in tallies)
    rate = (events + _PRIOR_EXPOSURES * shape / start.base_exposures) / (exposures + _PRIOR_EXPOSURES)
    shown, applied = fsum(tally.shown for tally in tallies), fsum(tally.applied for tally in tallies)
    ignored = 1 - (applied + _PRIOR_SHOWINGS * (1 - start.ignored)) / (shown + _PRIOR_SHOWINGS)
    prior = Prior(
        base_exposures=shape / rate, ignored=ignored, flag_weights=flags.fitted((one.flags, one.shown) for one in known)
    )
    independent = [_added(case_split_logs(tally.splits), rate_logs(tally, prior)) for tally in tallies]
    weights = _fitted(independent)
    prior = replace(prior, ignored_risk=_ignored_risk(tallies, independent, replace(prior, rho_weights=weights)))
    together = [_added(logs, application_logs(one, prior)) for logs, one in zip(independent, tallies, strict=True)]
    return replace(prior, rho_weights=_fitted(together))


def _ignored_risk(tallies: Sequence[Tally], independent: Sequence[Sequence[float]], prior: Prior) -> float:
    """Return the risk of runs that ignore lessons under which applications agree best with randomised events."""

    def evidence(risk: float) -> float:
        tried = replace(prior, ignored_risk=risk)
        total = -0.5 * ((log(risk) - log(DEFAULT_PRIOR.ignored_risk)) / _IGNORED_RISK_SD) ** 2
        for tally, logs in zip(tallies, independent, strict=True):
            total += _log_mean(_added(logs, application_logs(tally, tried)), prior.rho_weights)
        return total

    return max(_IGNORED_RISKS, key=evidence)


def _fitted(logs: Sequence[Sequence[float]]) -> tuple[float, ...]:
    likelihoods = [[exp(one - top) for one in row] for row in logs for top in (max(row),)]
    start = _blended(likelihoods)
    weights = list(start)
    for _ in range(_ROUNDS):
        sums = [_PRIOR_LESSONS * weight for weight in start]
        for row in likelihoods:
            joint = [weight * one for weight, one in zip(weights, row, strict=True)]
            scale = 1 / sum(joint)
            sums = [total + scale * one for total, one in zip(sums, joint, strict=True)]
        total = sum(sums)
        weights = [one / total for one in sums]
    return tuple(weights)


def _blended(likelihoods: Sequence[Sequence[float]]) -> list[float]:
    """Return normal populations of log ρ, averaged by how well each explains what is seen.

    Their evidence is tempered (power 0.5), since real populations are not normal. A population that is alike is
    recognised by this long before any lesson is known by itself.
    """
    scores = [
        log_prior + _TEMPER * sum(log(sum(map(mul, weights, row))) for row in likelihoods)
        for log_prior, weights in _FAMILY
    ]
    total = [0.0] * GRID_POINTS
    for chance, (_, weights) in zip(normalised(scores), _FAMILY, strict=True):
        total = [sofar + chance * weight for sofar, weight in zip(total, weights, strict=True)]
    return total


def _log_mean(logs: Sequence[float], weights: Sequence[float]) -> float:
    top = max(logs)
    return top + log(sum(weight * exp(one - top) for weight, one in zip(weights, logs, strict=True)))


def _added(one: Sequence[float], other: Sequence[float]) -> list[float]:
    return [first + second for first, second in zip(one, other, strict=True)]
