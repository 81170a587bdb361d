"""Which eligible lessons are shown in a run, with which propensity, and their expected value."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from math import exp, fsum, inf
from typing import Final, NamedTuple, Protocol

from lessonbook.experiment import flag_harm, trouble_harm
from lessonbook.experiment.effect import EffectEstimate, effect_of
from lessonbook.experiment.evidence import Evidence
from lessonbook.experiment.likelihood import Belief, believed, seen_in
from lessonbook.experiment.mixture import posterior
from lessonbook.experiment.population import fit_both
from lessonbook.experiment.prior import DEFAULT_PRIOR, Prior
from lessonbook.experiment.retirement import e_value
from lessonbook.experiment.rho_grid import RHO
from lessonbook.experiment.side_effects import NO_POOL, Pool, SideEffect, of_lesson, pooled, side_effect_of
from lessonbook.experiment.trouble_harm import NO_BACKGROUND, Background

POLICY_VERSION: Final = "measured/3"
LADDER: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 0.98)
"""The propensities in use: few, so that evidence stays small."""
DECLARED_MIN: Final = 0.8
"""The agents' own statements move the propensity above this alone, and only where it is as high without them."""
MISFITS_MAX: Final = 50
"""How many lessons that do not fit the budget are skipped before the selection ends."""
HOLDOUT_SHARE: Final = 0.01
"""The share of runs that get only exempt lessons, so that the service as a whole can be measured."""


class Chance(Protocol):
    """The propensity of a lesson."""

    @property
    def p_show(self) -> float:
        """The propensity, as it is logged."""
        ...

    @property
    def exempt(self) -> bool:
        """Whether no coin decides, so that the exposure is not evidence of the lesson's effect."""
        ...


@dataclass(frozen=True, slots=True)
class Certain:
    """A lesson that is always shown, or never."""

    p_show: float = 1.0
    exempt: bool = True


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """The parameters of the policy.

    `mean_weight` is the severity weight of an average issue; `token_cost` is in average issues per token shown,
    `harm_cost` that of an issue elsewhere in average issues; `half_life` of base rates is in periods, `hazard` the
    probability per period that a lesson's effect changes. The log odds of showing are `sharpness` times those of being
    worth it, plus the optimism: `outlook_slope` times the excess of a new lesson's outlook over `outlook_even`, between
    `pessimism` and `optimism`. `p_min` and `p_max` bound the propensity; `p_trusted` is that of lessons which a person
    approved.
    """

    mean_weight: float = 2.6
    token_cost: float = 0.003 / 100
    harm_cost: float = 1.0
    half_life: float = 20.0
    hazard: float = 0.04
    sharpness: float = 4.0
    optimism: float = 1.0
    pessimism: float = -1.0
    outlook_even: float = 0.45
    outlook_slope: float = 8.0
    p_min: float = 0.002
    p_max: float = 0.98
    p_trusted: float = 0.95


@dataclass(frozen=True, slots=True)
class LessonState:
    """One lesson as the policy sees it.

    `severity_weight` is that of its issue; `trusted` lessons were approved by a person; `exempt` ones (pinned, or
    always shown) have no coin, and the prior is not fitted to them.
    """

    lesson_id: str
    severity_weight: float
    tokens: int
    evidence: Evidence
    trusted: bool = False
    exempt: bool = False


@dataclass(frozen=True, slots=True)
class Appraisal:
    """The expected value of a lesson.

    `benefit` is the expected number of severity-weighted issues prevented by one showing to a task that it fits
    perfectly; `cost` is that of one showing, in tokens, flagged harm, and side effects where they are told (by the end
    of their interval nearer to zero), in the same unit. `p_show` is the propensity.
    `p_positive` is the probability that benefit exceeds the cost of tokens and told side effects, from independent
    evidence alone. `p_show` allows for harm elsewhere as well, by unexplained trouble (see `trouble_harm`); before any
    evidence one lesson in ten does some. Flags of several principals (the caller sees to that) lower it, and their
    absence does not raise it: nobody need have looked.
    Applications, which are agents' own statements, enter benefit and cost, and so the order of lessons; for the
    propensity see `DECLARED_MIN`.
    """

    p_show: float
    p_positive: float
    benefit: float
    cost: float
    evidence: Evidence
    prior: Prior
    exempt: bool = False
    side: Pool = NO_POOL

    @property
    def side_effect(self) -> SideEffect:
        """What goes wrong elsewhere where the lesson is shown."""
        return of_lesson(side_effect_of(self.evidence.side), *self.side)

    @property
    def effect(self) -> EffectEstimate:
        """Effectiveness 1 − ρ with its 95 % interval."""
        return effect_of(self.evidence, self.prior)

    @property
    def e_value(self) -> float:
        """The e-value against the hypothesis that the lesson cuts its issue's rate by 15 %."""
        return e_value(self.evidence)

    def value(self, relevance: float) -> float:
        """Return the value of one showing to a task for which the lesson has this relevance, 0 to 1."""
        return self.benefit * relevance - self.cost


@dataclass(frozen=True, slots=True)
class ServingCandidate:
    """A lesson with its relevance for the task, 0 to 1, and its length in tokens."""

    lesson_id: str
    relevance: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """One eligible lesson's assignment in one run, as it is logged before the answer is sent."""

    lesson_id: str
    shown: bool
    p_show: float
    exempt: bool


@dataclass(frozen=True, slots=True)
class Priors:
    """The population of an agent's lessons: by independent evidence alone, and by the agents' statements as well.

    `side` is what goes wrong elsewhere, `background` unexplained trouble without harm.
    """

    independent: Prior = DEFAULT_PRIOR
    declared: Prior = DEFAULT_PRIOR
    side: Pool = NO_POOL
    background: Background = NO_BACKGROUND


def fit_priors(population: Iterable[Evidence], now: int = 0, half_life: float = 1e9) -> Priors:
    """Return both priors of a population, and its side effects. See `population.fit_both`."""
    known = list(population)
    background = trouble_harm.fitted(known)
    return Priors(*fit_both(known, now, half_life, background), pooled(evidence.side for evidence in known), background)


def appraise(
    states: Sequence[LessonState],
    settings: PolicySettings | None = None,
    *,
    priors: Priors | None = None,
    now: int = 0,
    tokens: float | None = None,
) -> dict[str, Appraisal]:
    """Return the appraisal of each lesson, by its id.

    Args:
        states: the lessons; one by one or all at once gives the same where `priors` and `tokens` are the same.
        settings: the policy's parameters.
        priors: the population's; None: fitted to these lessons.
        now: the current period of the evidence.
        tokens: the mean length of the population's lessons; None: of these.
    """
    settings = settings or PolicySettings()
    if priors is None:
        priors = fit_priors((state.evidence for state in states if not state.exempt), now, settings.half_life)
    if tokens is None:
        tokens = fsum(state.tokens for state in states) / max(len(states), 1)
    optimism = optimism_of(priors.independent, settings, tokens)
    return {state.lesson_id: _appraised(state, settings, priors, now, optimism) for state in states}


def assign(
    candidates: Iterable[ServingCandidate],
    chances: Mapping[str, Chance],
    uniform: Callable[[str], float],
    budget_tokens: int,
    *,
    most: int | None = None,
    given: Mapping[str, bool] | None = None,
) -> list[Delivery]:
    """Return the deliveries of one run: every lesson that is eligible, shown or withheld.

    A lesson is eligible if it fits the budget that the shown lessons before it leave; its coin, `uniform(lesson_id)`,
    is read after that, so that eligibility never depends on it. A lesson that does not fit is skipped; a shorter one
    after it may fit.

    Args:
        candidates: best first.
        chances: the propensity of each of them.
        uniform: a number in [0, 1) for each lesson, drawn for this run.
        budget_tokens: the most tokens of all shown lessons together.
        most: how many may be shown; None: as many as fit.
        given: earlier decisions of the same run, by lesson id, which stay as they are.
    """
    deliveries: list[Delivery] = []
    spent = shown_count = misfits = 0
    for candidate in candidates:
        if shown_count == most or misfits == MISFITS_MAX:
            break
        if spent + candidate.tokens > budget_tokens:
            misfits += 1
            continue
        lesson_id = candidate.lesson_id
        chance = chances[lesson_id]
        earlier = (given or {}).get(lesson_id)
        p_show = chance.p_show
        shown = p_show >= 1 or (p_show > 0 and uniform(lesson_id) < p_show) if earlier is None else earlier
        deliveries.append(Delivery(lesson_id, shown, p_show, chance.exempt))
        spent += candidate.tokens if shown else 0
        shown_count += shown
    return deliveries


def ranked(candidates: Iterable[ServingCandidate], appraisals: Mapping[str, Appraisal]) -> list[ServingCandidate]:
    """Return candidates in order, best first: exempt ones, then by value per token."""

    def worth(candidate: ServingCandidate) -> tuple[bool, float]:
        appraisal = appraisals[candidate.lesson_id]
        return appraisal.exempt, appraisal.value(candidate.relevance) / max(candidate.tokens, 1)

    return sorted(candidates, key=worth, reverse=True)


@lru_cache(maxsize=64)
def optimism_of(prior: Prior, settings: PolicySettings, tokens: float) -> float:
    """Return the optimism o of `show_probability` for this population of lessons.

    A withheld lesson teaches less. So doubtful lessons are shown where a new one of `tokens` tokens gains more than it
    risks, and withheld where it does not, by its outlook R = E[gain] ÷ (E[gain] + E[loss]).
    """
    base = prior.base_shape / prior.base_exposures
    gain = loss = 0.0
    for suspicion, harm in zip(prior.flag_weights, prior.harms, strict=True):
        cost = settings.token_cost * tokens + settings.harm_cost * harm
        values = [base * (1 - rho) - cost for rho in RHO]
        gain += suspicion * sum(w * value for w, value in zip(prior.rho_weights, values, strict=True) if value > 0)
        loss -= suspicion * sum(w * value for w, value in zip(prior.rho_weights, values, strict=True) if value < 0)
    outlook = gain / (gain + loss) if gain > 0 else 0.0
    return min(max(settings.outlook_slope * (outlook - settings.outlook_even), settings.pessimism), settings.optimism)


def show_probability(
    p_positive: float, settings: PolicySettings, optimism: float = 0.0, *, gain_odds: float = inf, trusted: bool = False
) -> float:
    """Return the step of `LADDER` nearest to the probability with odds eᵒ · Oˢ⁻ᶜ · min(O, gain ÷ loss)ᶜ.

    P is `p_positive`, O = P ÷ (1 − P), o the optimism, s the sharpness. `gain_odds` is expected gain ÷ expected loss of
    one showing: a lesson that probably helps a little may, less probably, do much harm. At the best outlook such a
    lesson is shown to find out (c = 0), at the worst it is withheld (c = s). The propensity stays away from 0 and 1, so
    that every exposure has information. A trusted lesson has `p_trusted` until P < 0.5.
    """
    if trusted and p_positive >= 0.5:  # noqa: PLR2004  # more likely good than bad
        return settings.p_trusted
    if p_positive <= 0 or p_positive >= 1:
        p_show = p_positive
    else:
        odds = p_positive / (1 - p_positive)
        caution = (settings.optimism - optimism) / (settings.optimism - settings.pessimism)
        lessened = min(gain_odds / odds, 1.0) ** (settings.sharpness * caution)
        odds = exp(optimism) * odds**settings.sharpness * lessened
        p_show = odds / (1 + odds)
    wanted = min(max(p_show, settings.p_min), settings.p_max)
    return min(LADDER, key=lambda step: abs(step - wanted))


def _appraised(state: LessonState, settings: PolicySettings, priors: Priors, now: int, optimism: float) -> Appraisal:
    evidence, prior = state.evidence.without_claims(), priors.independent
    side_effect = of_lesson(side_effect_of(evidence.side), *priors.side)
    harm = side_effect.low if side_effect.harms else 0.0
    seen = seen_in(state.evidence)
    belief = believed(evidence, prior, now, settings.hazard, settings.half_life, seen=seen)
    suspicion = _suspicion(prior.flag_weights, evidence, priors.background, prior)
    told = _worth(state, belief, suspicion, settings, harm)
    p_show = show_probability(told.p_positive, settings, optimism, gain_odds=told.gain_odds, trusted=state.trusted)
    if state.evidence.flags:
        usual = priors.declared.flag_weights
        suspected = flag_harm.posterior(state.evidence.flags, state.evidence.shown, usual)
        suspicion = _suspicion(suspected, evidence, priors.background, priors.declared)
        told = _worth(state, belief, suspicion, settings, harm)
        flagged = show_probability(told.p_positive, settings, optimism, gain_odds=told.gain_odds, trusted=state.trusted)
        p_show = min(p_show, flagged)
    if any(period.applied for period in state.evidence.periods.values()):
        declared = believed(state.evidence, priors.declared, now, settings.hazard, settings.half_life, seen=seen)
        told = _worth(state, declared, suspicion, settings, harm)
        if p_show >= DECLARED_MIN and not state.trusted:
            moved = show_probability(told.p_positive, settings, optimism, gain_odds=told.gain_odds)
            p_show = max(moved, DECLARED_MIN)
    return Appraisal(
        p_show=1.0 if state.exempt else p_show,
        p_positive=_worth(state, belief, _UNSUSPECTED, settings, harm).p_positive,
        benefit=told.benefit,
        cost=told.cost,
        evidence=evidence,
        prior=prior,
        exempt=state.exempt,
        side=priors.side,
    )


_UNSUSPECTED: Final = [(1.0, 0.0)]


def _suspicion(
    weights: Sequence[float], evidence: Evidence, background: Background, prior: Prior
) -> list[tuple[float, float]]:
    """Return the probabilities of the harms of `prior`, after unexplained trouble; `weights` are those before it."""
    after = posterior(weights, trouble_harm.logs_of(evidence, background, prior))
    return list(zip(after, prior.harms, strict=True))


class _Worth(NamedTuple):
    """What one showing of a lesson is believed to be worth. See `Appraisal` and `show_probability`."""

    p_positive: float
    gain_odds: float
    benefit: float
    cost: float


def _worth(
    state: LessonState, belief: Belief, suspicion: Sequence[tuple[float, float]], settings: PolicySettings, harm: float
) -> _Worth:
    gains = [state.severity_weight * base * (1 - rho) for base, rho in zip(belief.bases, RHO, strict=True)]
    certain_cost = settings.mean_weight * (settings.token_cost * state.tokens + harm)
    chances: dict[float, float] = {}  # by cost: most rates of flags are not above the usual, and cost the same
    for chance, elsewhere in suspicion:
        cost = certain_cost + settings.mean_weight * settings.harm_cost * elsewhere
        chances[cost] = chances.get(cost, 0.0) + chance
    rows = sorted(zip(gains, belief.weights, strict=True))
    ordered = [gain for gain, _ in rows]
    below = list(accumulate((weight for _, weight in rows), initial=0.0))
    worth_below = list(accumulate((weight * gain for gain, weight in rows), initial=0.0))
    p_positive = gained = lost = 0.0
    for cost, chance in chances.items():
        at = bisect_right(ordered, cost)
        p_positive += chance * (below[-1] - below[at])
        gained += chance * (worth_below[-1] - worth_below[at] - cost * (below[-1] - below[at]))
        lost += chance * (cost * below[at] - worth_below[at])
    return _Worth(
        p_positive=min(p_positive, 1.0),
        gain_odds=max(gained, 0.0) / lost if lost > 0 else inf,  # differences of sums may miss zero
        benefit=worth_below[-1],
        cost=fsum(chance * cost for cost, chance in chances.items()),
    )
