"""The population of a project's lessons, as the prior from which the posterior of each lesson starts.

Empirical Bayes (Robbins 1956; Efron 2010, "Large-Scale Inference"): where many lessons help, a new one probably does,
and where issues are rare, no lesson can prevent many.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import fsum, log
from typing import Final

from lessonbook.experiment import flag_harm, trouble_harm
from lessonbook.experiment.evidence import Evidence
from lessonbook.experiment.likelihood import (
    PRIOR_SHOWINGS,
    Tally,
    application_logs,
    ignored_share,
    rate_logs,
    tally_of,
)
from lessonbook.experiment.mixture import fit_mixture, log_mean
from lessonbook.experiment.prior import DEFAULT_PRIOR, Prior
from lessonbook.experiment.rho_grid import split_logs
from lessonbook.experiment.trouble_harm import NO_BACKGROUND, Background

_PRIOR_EXPOSURES: Final = 50.0
_ROUNDS: Final = 4
_HARM_ROUNDS: Final = 3
_IGNORED_RISKS: Final = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)
_IGNORED_RISK_SD: Final = 0.2


def fit_prior(population: Iterable[Evidence], now: int = 0, half_life: float = 1e9) -> Prior:
    """Return the population's prior, by independent evidence and the agents' statements. See `fit_both`."""
    return fit_both(population, now, half_life)[1]


def fit_both(
    population: Iterable[Evidence], now: int = 0, half_life: float = 1e9, background: Background = NO_BACKGROUND
) -> tuple[Prior, Prior]:
    """Return the population's prior by independent evidence alone, and by the agents' statements as well.

    Both start from `DEFAULT_PRIOR`, which counts as a few lessons.

    Base rates and shares are fitted by moments, the distributions of ρ and of harm by `fit_mixture`, and `ignored_risk`
    by penalised maximum likelihood.

    Args:
        population: the evidence on each lesson.
        now: the current period; periods are numbered as in the evidence.
        half_life: the age at which evidence counts half, in periods; by default age does not matter.
        background: unexplained trouble without harm.
    """
    known = list(population)
    tallies = [tally for one in known if (tally := tally_of(one, now, half_life)).shown + tally.withheld > 0]
    start = DEFAULT_PRIOR
    shape = start.base_shape
    events = fsum(tally.events for tally in tallies)
    exposures = fsum(tally.withheld + 0.8 * tally.shown for tally in tallies)
    rate = (events + _PRIOR_EXPOSURES * shape / start.base_exposures) / (exposures + _PRIOR_EXPOSURES)
    shown, applied = fsum(tally.shown for tally in tallies), fsum(tally.applied for tally in tallies)
    ignored = 1 - (applied + PRIOR_SHOWINGS * (1 - start.ignored)) / (shown + PRIOR_SHOWINGS)
    prior = Prior(base_exposures=shape / rate)
    logs = [_added(split_logs(tally.splits), rate_logs(tally, prior)) for tally in tallies]
    troubles = [trouble_harm.logs_of(one, background, start) for one in known]
    prior = replace(
        prior,
        rho_weights=fit_mixture(logs, start.rho_weights, _ROUNDS),
        flag_weights=fit_mixture(troubles, start.flag_weights, _HARM_ROUNDS),
    )
    declared = prior
    if any(one.flags for one in known):
        flag_weights = flag_harm.fitted((one.flags, one.shown) for one in known)
        declared = replace(prior, flag_weights=flag_weights, harms=flag_harm.harms(flag_weights))
    if applied:
        declared = replace(declared, ignored=ignored)
        declared = replace(declared, ignored_risk=_ignored_risk(tallies, logs, declared))
        logs = [_with_applications(one, tally, declared) for one, tally in zip(logs, tallies, strict=True)]
        declared = replace(declared, rho_weights=fit_mixture(logs, start.rho_weights, _ROUNDS))
    return prior, declared


def _ignored_risk(tallies: Sequence[Tally], independent: Sequence[Sequence[float]], prior: Prior) -> float:
    """Return the value of `ignored_risk` under which applications agree best with randomised events."""

    def evidence(risk: float) -> float:
        tried = replace(prior, ignored_risk=risk)
        total = -0.5 * ((log(risk) - log(DEFAULT_PRIOR.ignored_risk)) / _IGNORED_RISK_SD) ** 2
        for applied, ignored, share, logs in rows:
            pair = zip(logs, *application_logs(share, tried), strict=True)
            total += log_mean([sofar + applied * one + ignored * other for sofar, one, other in pair], weights)
        return total

    weights = prior.rho_weights
    rows = [
        (tally.applied_events, tally.shown_events - tally.applied_events, ignored_share(tally, prior), logs)
        for tally, logs in zip(tallies, independent, strict=True)
        if tally.applied > 0 and tally.shown_events > 0
    ]
    return max(_IGNORED_RISKS, key=evidence)


def _with_applications(logs: Sequence[float], tally: Tally, prior: Prior) -> Sequence[float]:
    if not tally.applied or not tally.shown_events:
        return logs
    pair = application_logs(ignored_share(tally, prior), prior)
    applied, ignored = tally.applied_events, tally.shown_events - tally.applied_events
    return [sofar + applied * one + ignored * other for sofar, one, other in zip(logs, *pair, strict=True)]


def _added(one: Sequence[float], other: Sequence[float]) -> list[float]:
    return [first + second for first, second in zip(one, other, strict=True)]
