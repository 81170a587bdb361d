"""Log likelihoods of a lesson's rate ratio ρ on the grid, and its posterior over time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum, log
from typing import Final, NamedTuple, TypeAlias

from lessonbook.experiment.evidence import Evidence
from lessonbook.experiment.mixture import posterior
from lessonbook.experiment.prior import Prior
from lessonbook.experiment.rho_grid import GRID_POINTS, RHO, normal_logs, normalised, split_logs

PRIOR_SHOWINGS: Final = 20.0
"""The weight, in showings, of the population's share of ignored lessons beside a lesson's own."""

_SHARE_MIN: Final = 0.03

Splits: TypeAlias = Mapping[float, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Tally:
    """Checked rows and events of one lesson, weighed by their age. `splits` are events by π: see `evidence.Period`.

    `shown` counts rows without a coin as well, whose events are `certain_events`.
    """

    shown: float
    withheld: float
    applied: float
    applied_events: float
    certain_events: float
    splits: Splits

    @property
    def events(self) -> float:
        """The weighed number of events."""
        return fsum(shown + withheld for shown, withheld in self.splits.values()) + self.certain_events

    @property
    def shown_events(self) -> float:
        """The weighed number of events while the lesson was shown."""
        return fsum(shown for shown, _ in self.splits.values()) + self.certain_events


def tally_of(evidence: Evidence, now: int, half_life: float) -> Tally:
    """Return the evidence with each period weighed by 2^(−age ÷ half-life), both in periods."""
    shown = withheld = applied = applied_events = certain_events = 0.0
    splits: dict[float, tuple[float, float]] = {}
    for number, period in evidence.periods.items():
        weight = 0.5 ** (max(now - number, 0) / half_life)
        for one, other in period.coins.values():
            shown += weight * one
            withheld += weight * other
        shown += weight * period.certain_rows
        certain_events += weight * period.certain_events
        applied += weight * period.applied
        applied_events += weight * period.applied_events
        for share, split in period.splits.items():
            known = splits.get(share, (0.0, 0.0))
            splits[share] = (known[0] + weight * split[0], known[1] + weight * split[1])
    return Tally(shown, withheld, applied, applied_events, certain_events, splits)


def rate_logs(tally: Tally, prior: Prior) -> list[float]:
    """Return the log likelihood of ρ at every grid point, from the number of events.

    With a base rate b ~ Gamma(a, m) and n events in x = N₀ + ρN₁ (N₀ exposures withheld, N₁ shown), n is negative
    binomial: mᵃ xⁿ ÷ (m + x)ᵃ⁺ⁿ. Of a lesson that is nearly always shown, only this has information.
    """
    if not tally.shown and not tally.withheld:
        return [0.0] * GRID_POINTS
    shape, exposures, events = prior.base_shape, prior.base_exposures, tally.events
    worths = [tally.withheld + rho * tally.shown for rho in RHO]
    constant, after = shape * log(exposures), shape + events
    return [constant + events * log(worth) - after * log(exposures + worth) for worth in worths]


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


@dataclass(frozen=True, slots=True)
class Belief:
    """The posterior of a lesson: probabilities of the grid's rate ratios, and the expected base rate under each."""

    weights: Sequence[float]
    bases: Sequence[float]


class Seen(NamedTuple):
    """What one period of evidence says at every grid point, before any prior.

    `logs` are log likelihoods by the case split. `events` are all, those without a coin too. `worths` are exposures,
    each weighed by its relative rate, N₀ + ρN₁, and `worth_logs` their logarithms; both are empty without exposures.
    `applied` and `ignored` are the events of shown rows that applied the lesson, and that did not.
    """

    number: int
    logs: Sequence[float]
    events: int
    worths: Sequence[float]
    worth_logs: Sequence[float]
    applied: int
    ignored: int


def seen_in(evidence: Evidence) -> list[Seen]:
    """Return what each period says, the oldest first."""
    seen: list[Seen] = []
    for number, period in sorted(evidence.periods.items()):
        shown, withheld = period.shown + period.certain_rows, period.withheld
        worths = [withheld + rho * shown for rho in RHO] if shown or withheld else []
        shown_events = sum(one for one, _ in period.splits.values()) + period.certain_events
        seen.append(
            Seen(
                number=number,
                logs=split_logs(period.splits),
                events=period.events + period.certain_events,
                worths=worths,
                worth_logs=list(map(log, worths)),
                applied=period.applied_events,
                ignored=shown_events - period.applied_events,
            )
        )
    return seen


def believed(
    evidence: Evidence, prior: Prior, now: int, hazard: float, half_life: float, *, seen: Sequence[Seen] | None = None
) -> Belief:
    """Return the posterior of a lesson in period `now`. `seen` is what `seen_in` returns, where the caller has it.

    From one period to the next ρ is drawn again, from `CHANGED`, with probability `hazard`: the code or the model that
    the lesson was good for may change. Periods go through the forward filter of that hidden Markov model (Rabiner 1989;
    the "fixed share" of Herbster & Warmuth 1998). Each adds the likelihood of its events by the case split, and where
    the lesson was applied, and of their number: under every ρ the base rate is Gamma(a, m), so that a rising rate shows
    even for a lesson that is nearly always shown, where the case split has no information. Where paths meet in one ρ, m
    is set to keep their mean rate (assumed density filtering, Minka 2001); the base rate returns to the population's
    with `half_life`, in periods (discounting, West & Harrison 1997).
    """
    applications = _applications_of(evidence, prior, now, half_life)
    weights: Sequence[float] = prior.rho_weights
    shape, worths = prior.base_shape, [prior.base_exposures] * GRID_POINTS
    before: int | None = None
    for period in seen_in(evidence) if seen is None else seen:
        if before is not None:
            weights, shape, worths = _later(weights, shape, worths, prior, period.number - before, hazard, half_life)
        before = period.number
        logs = period.logs
        if applications is not None and (period.applied or period.ignored):
            rows = zip(logs, *applications, strict=True)
            logs = [sofar + period.applied * one + period.ignored * other for sofar, one, other in rows]
        if period.worths:
            after, events = shape + period.events, period.events
            more = [worth + one for worth, one in zip(worths, period.worths, strict=True)]
            columns = zip(logs, period.worth_logs, worths, more, strict=True)
            logs = [one + shape * log(m) + events * log_x - after * log(both) for one, log_x, m, both in columns]
            shape, worths = after, more
        weights = posterior(weights, logs)
    if before is not None and now > before:
        weights, shape, worths = _later(weights, shape, worths, prior, now - before, hazard, half_life)
    return Belief(weights, [shape / worth for worth in worths])


def _applications_of(
    evidence: Evidence, prior: Prior, now: int, half_life: float
) -> tuple[list[float], list[float]] | None:
    if not any(period.applied for period in evidence.periods.values()):
        return None
    return application_logs(ignored_share(tally_of(evidence, now, half_life), prior), prior)


def _later(
    weights: Sequence[float],
    shape: float,
    worths: Sequence[float],
    prior: Prior,
    periods: int,
    hazard: float,
    half_life: float,
) -> tuple[Sequence[float], float, list[float]]:
    """Return weights, and a and m of the base rate, after so many periods."""
    weights, rates = _changed(weights, [shape / worth for worth in worths], (1 - hazard) ** periods)
    kept, exposures = 0.5 ** (periods / half_life), prior.base_exposures
    worths = [exposures + kept * (shape / rate - exposures) for rate in rates]
    return weights, prior.base_shape + kept * (shape - prior.base_shape), worths


CHANGED: Final = tuple(normalised(normal_logs(0.0, 0.5)))
"""Probabilities of the grid's rate ratios for a lesson whose effect has changed."""


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
