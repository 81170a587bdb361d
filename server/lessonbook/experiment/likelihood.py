"""Log likelihoods of a lesson's rate ratio ρ on the grid, and its posterior over time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum, log
from typing import Final, TypeAlias

from lessonbook.experiment.evidence import Evidence, Period
from lessonbook.experiment.grid import GRID_POINTS, RHO, normal_logs, normalised, split_logs
from lessonbook.experiment.prior import Prior

PRIOR_SHOWINGS: Final = 20.0
"""The weight, in showings, of the population's share of ignored lessons beside a lesson's own."""

_SHARE_MIN: Final = 0.03

Splits: TypeAlias = Mapping[float, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Tally:
    """Checked rows and events of one lesson, weighed by their age. `splits` are events by π: see `evidence.Period`."""

    shown: float
    withheld: float
    applied: float
    applied_events: float
    splits: Splits

    @property
    def events(self) -> float:
        """The weighed number of events."""
        return fsum(shown + withheld for shown, withheld in self.splits.values())

    @property
    def shown_events(self) -> float:
        """The weighed number of events while the lesson was shown."""
        return fsum(shown for shown, _ in self.splits.values())


def tally_of(evidence: Evidence, now: int, half_life: float) -> Tally:
    """Return the evidence with each period weighed by 2^(−age ÷ half-life), both in periods."""
    shown = withheld = applied = applied_events = 0.0
    splits: dict[float, tuple[float, float]] = {}
    for number, period in evidence.periods.items():
        weight = 0.5 ** (max(now - number, 0) / half_life)
        shown += weight * period.shown
        withheld += weight * period.withheld
        applied += weight * period.applied
        applied_events += weight * period.applied_events
        for share, split in period.splits.items():
            known = splits.get(share, (0.0, 0.0))
            splits[share] = (known[0] + weight * split[0], known[1] + weight * split[1])
    return Tally(shown, withheld, applied, applied_events, splits)


def case_split_logs(splits: Splits) -> list[float]:
    """Return the log likelihood of ρ at every grid point, from events alone: base rates cancel."""
    logs = [0.0] * GRID_POINTS
    for share, (shown, withheld) in splits.items():
        rows = zip(logs, *split_logs(share), strict=True)
        logs = [sofar + shown * one + withheld * other for sofar, one, other in rows]
    return logs


def rate_logs(tally: Tally, prior: Prior) -> list[float]:
    """Return the log likelihood of ρ at every grid point, from the number of events: see `count_logs`."""
    worths = [tally.withheld + rho * tally.shown for rho in RHO]
    if worths[0] <= 0:
        return [0.0] * GRID_POINTS
    return count_logs(tally.events, worths, prior.base_shape, [prior.base_exposures] * GRID_POINTS)


def count_logs(events: float, worths: Sequence[float], shape: float, exposures: Sequence[float]) -> list[float]:
    """Return the log likelihood of `events` at every grid point.

    With a base rate b ~ Gamma(a, m) and n events in x = N₀ + ρN₁ (N₀ exposures withheld, N₁ shown), n is negative
    binomial: mᵃ xⁿ ÷ (m + x)ᵃ⁺ⁿ. Of a lesson that is nearly always shown, only this has information. `worths` has x and
    `exposures` has m at every grid point, both in exposures; `shape` is a.
    """
    rows = zip(worths, exposures, strict=True)
    return [shape * log(m) + events * log(x) - (shape + events) * log(m + x) for x, m in rows]


def ignored_share(tally: Tally, prior: Prior) -> float:
    """Return the share of a lesson's showings in which it is not applied, shrunk towards the population's."""
    applied = tally.applied + PRIOR_SHOWINGS * (1 - prior.ignored)
    return max(1 - applied / (tally.shown + PRIOR_SHOWINGS), 0.01)


def application_logs(share: float, prior: Prior) -> tuple[list[float], list[float]]:
    """Return log likelihoods of ρ for one event while shown: in a run that applied the lesson, and in one that did not.

    Of the rate ρ, the part c = ignored share · its risk comes from runs that did not apply the lesson; so an event
    while shown is in such a run with probability c/ρ. This compares runs by what agents chose to do, so it influences
    what is served, and never a reported effect.
    """
    ratios = [min(share * prior.ignored_risk / rho, 1 - _SHARE_MIN) for rho in RHO]
    return [log(1 - ratio) for ratio in ratios], [log(ratio) for ratio in ratios]


def event_logs(tally: Tally | Period, applications: tuple[list[float], list[float]] | None) -> list[float]:
    """Return the log likelihood of ρ at every grid point, from the case split of events and from applications."""
    logs = case_split_logs(tally.splits)
    if applications is None or not (shown := sum(events for events, _ in tally.splits.values())):
        return logs
    applied, ignored = tally.applied_events, shown - tally.applied_events
    return [sofar + applied * one + ignored * other for sofar, one, other in zip(logs, *applications, strict=True)]


@dataclass(frozen=True, slots=True)
class Belief:
    """The posterior of a lesson: probabilities of the grid's rate ratios, and the expected base rate under each."""

    weights: Sequence[float]
    bases: Sequence[float]


def believed(evidence: Evidence, prior: Prior, now: int, hazard: float, half_life: float) -> Belief:
    """Return the posterior of a lesson in period `now`.

    From one period to the next ρ is drawn again, from `CHANGED`, with probability `hazard`: the code or the model that
    the lesson was good for may change. Periods go through the forward filter of that hidden Markov model (Rabiner 1989;
    the "fixed share" of Herbster & Warmuth 1998). Each adds the likelihood of its events (`event_logs`) and of their
    number: under every ρ the base rate is Gamma(a, m), so that a rising rate shows even for a lesson that is nearly
    always shown, where the case split has no information. Where paths meet in one ρ, m is set to keep their mean rate
    (assumed density filtering, Minka 2001); the base rate returns to the population's with `half_life`, in periods
    (discounting, West & Harrison 1997).
    """
    tally = tally_of(evidence, now, half_life)
    applications = application_logs(ignored_share(tally, prior), prior) if tally.applied > 0 else None
    weights = list(prior.rho_weights)
    shape, worths = prior.base_shape, [prior.base_exposures] * GRID_POINTS
    before: int | None = None
    for number in [*sorted(evidence.periods), now]:
        if before is not None and number > before:
            weights, rates = _changed(weights, [shape / worth for worth in worths], (1 - hazard) ** (number - before))
            kept = 0.5 ** ((number - before) / half_life)
            worths = [prior.base_exposures + kept * (shape / rate - prior.base_exposures) for rate in rates]
            shape = prior.base_shape + kept * (shape - prior.base_shape)
        if number == before or (period := evidence.periods.get(number)) is None:
            continue
        before = number
        logs = event_logs(period, applications)
        seen = [period.withheld + rho * period.shown for rho in RHO]
        if seen[0] > 0:
            events = period.events
            logs = [one + count for one, count in zip(logs, count_logs(events, seen, shape, worths), strict=True)]
            shape += events
            worths = [worth + more for worth, more in zip(worths, seen, strict=True)]
        weights = normalised([log(max(one, _TINY)) + more for one, more in zip(weights, logs, strict=True)])
    return Belief(weights, [shape / worth for worth in worths])


CHANGED: Final = tuple(normalised(normal_logs(0.0, 0.5)))
"""Probabilities of the grid's rate ratios for a lesson whose effect has changed."""
_TINY: Final = 1e-300


def _changed(weights: Sequence[float], rates: Sequence[float], stays: float) -> tuple[list[float], list[float]]:
    """Return weights and mean base rates after ρ was drawn again with probability 1 − `stays`."""
    mean = fsum(weight * rate for weight, rate in zip(weights, rates, strict=True))
    moved: list[float] = []
    means: list[float] = []
    for weight, rate, fresh in zip(weights, rates, CHANGED, strict=True):
        stayed, drawn = stays * weight, (1 - stays) * fresh
        moved.append(stayed + drawn)
        means.append((stayed * rate + drawn * mean) / (stayed + drawn))
    return moved, means
