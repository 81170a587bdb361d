"""Who is shown: by what is known, by the budget, and by a coin that nothing else depends on."""

from dataclasses import replace
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from lessonbook.experiment.evidence import Evidence, SideCounts
from lessonbook.experiment.population import fit_prior
from lessonbook.experiment.prior import DEFAULT_PRIOR
from lessonbook.experiment.serving_policy import (
    DECLARED_MIN,
    LADDER,
    Appraisal,
    LessonState,
    PolicySettings,
    Priors,
    ServingCandidate,
    appraise,
    assign,
    fit_priors,
    optimism_of,
    ranked,
    show_probability,
)
from tests.experiment.evidences import EVIDENCE, counted

few = examples(max_examples=20, deadline=None)
SIZES = st.lists(st.integers(10, 300), min_size=1, max_size=12)


def appraisal(p_show: float = 0.5, benefit: float = 1.0, *, exempt: bool = False) -> Appraisal:
    return Appraisal(p_show, 0.5, benefit, 0.0, Evidence(), DEFAULT_PRIOR, exempt)


def evidence(shown: int, withheld: int, *, p_show: float = 0.5, exposures: int = 400) -> Evidence:
    half = exposures // 2
    return counted({p_show: (shown, withheld)}, rows=(half, half), p_show=p_show)


@given(SIZES, st.data())
def test_whether_a_lesson_is_eligible_never_depends_on_its_own_coin(sizes: list[int], data: st.DataObject) -> None:
    candidates = [ServingCandidate(str(number), 1.0, size) for number, size in enumerate(sizes)]
    appraisals = {candidate.lesson_id: appraisal() for candidate in candidates}
    coins = {candidate.lesson_id: data.draw(st.floats(0, 0.999)) for candidate in candidates}
    target = data.draw(st.sampled_from(candidates)).lesson_id
    eligible: list[bool] = []
    before: list[list[tuple[str, bool]]] = []
    for coin in (0.0, 0.999):
        deliveries = assign(candidates, appraisals, (coins | {target: coin}).__getitem__, 600)
        eligible.append(target in {delivery.lesson_id for delivery in deliveries})
        earlier = [one for one in deliveries if int(one.lesson_id) < int(target)]
        before.append([(one.lesson_id, one.shown) for one in earlier])
    assert eligible[0] == eligible[1]
    assert before[0] == before[1]


@given(SIZES, st.integers(0, 900))
def test_what_is_shown_fits_and_what_is_passed_over_would_not_have(sizes: list[int], budget: int) -> None:
    candidates = [ServingCandidate(str(number), 1.0, size) for number, size in enumerate(sizes)]
    coins = {str(number): (number * 0.37) % 1 for number in range(len(sizes))}
    deliveries = assign(candidates, {name: appraisal() for name in coins}, coins.__getitem__, budget)
    spent = 0
    known = {delivery.lesson_id: delivery for delivery in deliveries}
    for candidate in candidates:
        delivery = known.get(candidate.lesson_id)
        assert (delivery is None) == (spent + candidate.tokens > budget)
        if delivery is not None:
            assert delivery.shown == (coins[candidate.lesson_id] < delivery.p_show)
            spent += candidate.tokens if delivery.shown else 0
    assert spent <= budget


def test_coins_are_only_tossed_for_eligible_lessons() -> None:
    tossed: list[str] = []

    def uniform(lesson_id: str) -> float:
        tossed.append(lesson_id)
        return 0.0

    candidates = [
        ServingCandidate("long", 1.0, 500),
        ServingCandidate("longer", 1.0, 501),
        ServingCandidate("exempt", 1.0, 10),
    ]
    appraisals = {"long": appraisal(), "longer": appraisal(), "exempt": appraisal(1.0, exempt=True)}
    deliveries = assign(candidates, appraisals, uniform, 600)
    assert tossed == ["long"]
    assert [(one.lesson_id, one.shown, one.exempt) for one in deliveries] == [
        ("long", True, False),
        ("exempt", True, True),
    ]


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_lesson_more_likely_worth_it_is_shown_at_least_as_often(one: float, other: float) -> None:
    settings = PolicySettings()
    low, high = sorted((one, other))
    assert show_probability(low, settings) <= show_probability(high, settings)
    assert show_probability(low, settings) in LADDER
    assert settings.p_min <= show_probability(low, settings) <= settings.p_max


@given(st.floats(0.01, 0.99), st.floats(0, 5), st.floats(0, 5))
def test_where_the_outlook_is_bad_a_lesson_that_may_do_much_harm_is_withheld(p: float, one: float, more: float) -> None:
    settings = PolicySettings()
    for optimism in (settings.pessimism, 0.0):
        low, high = (show_probability(p, settings, optimism, gain_odds=odds) for odds in (one, one + more))
        assert low <= high <= show_probability(p, settings, optimism)
    assert show_probability(0.6, settings, settings.pessimism, gain_odds=0.1) == settings.p_min
    best = show_probability(p, settings, settings.optimism)
    assert show_probability(p, settings, settings.optimism, gain_odds=max(one, 0.1)) == best


def test_a_lesson_is_worth_the_same_whichever_others_it_is_looked_at_with() -> None:
    states = [LessonState(str(weight), weight, 100, evidence(15, 30)) for weight in (1.0, 8.0)]
    together = appraise(states, priors=Priors(), tokens=100.0)
    for one in states:
        alone = appraise([one], priors=Priors(), tokens=100.0)[one.lesson_id]
        assert alone.cost == together[one.lesson_id].cost
        assert alone.p_positive == together[one.lesson_id].p_positive


@pytest.mark.parametrize("tokens", [40, 400])
def test_doubt_is_resolved_by_showing_where_lessons_help_and_by_withholding_where_they_can_not(tokens: int) -> None:
    settings = PolicySettings()
    helping, harming, rare = (
        fit_prior([one] * 30) for one in (evidence(15, 30), evidence(30, 15), evidence(1, 1, exposures=4_000))
    )
    assert optimism_of(helping, settings, tokens) > 0
    for population in (harming, rare):
        assert settings.pessimism <= optimism_of(population, settings, tokens) < 0
    assert show_probability(0.5, settings, 1.0) > show_probability(0.5, settings) == 0.5


def test_a_trusted_lesson_is_shown_until_it_is_more_likely_bad() -> None:
    settings = PolicySettings()
    assert show_probability(0.5, settings, trusted=True) == settings.p_trusted
    assert show_probability(0.49, settings, trusted=True) == show_probability(0.49, settings)


def state(name: str, of: Evidence, *, exempt: bool = False, tokens: int = 100) -> LessonState:
    return LessonState(name, 1.0, tokens, of, exempt=exempt)


def test_lessons_are_valued_by_what_randomised_events_say() -> None:
    states = [state("helps", evidence(15, 40)), state("harms", evidence(40, 15)), state("new", Evidence())]
    known = appraise(states)
    assert known["helps"].p_positive > 0.95 > known["new"].p_positive > known["harms"].p_positive
    assert known["helps"].value(1.0) > known["new"].value(1.0) > known["harms"].value(1.0)
    assert known["helps"].p_show > known["harms"].p_show
    assert known["helps"].effect.mean > 0 > known["harms"].effect.mean
    assert known["harms"].e_value > 1 > known["helps"].e_value


def test_a_new_lesson_is_believed_in_where_others_help_and_doubted_where_others_harm() -> None:
    helping = [state(str(number), evidence(15, 30)) for number in range(30)]
    harming = [state(str(number), evidence(30, 15)) for number in range(30)]
    new = state("new", Evidence())
    among_good, among_bad = (appraise([*others, new])["new"].p_positive for others in (helping, harming))
    assert among_good > 0.8
    assert among_bad < 0.3


def test_flags_beyond_the_usual_lower_the_value() -> None:
    flagged = replace(evidence(15, 30), flags=12)
    known = appraise([state("flagged", flagged), state("quiet", evidence(15, 30))])
    assert known["flagged"].cost > known["quiet"].cost
    assert known["flagged"].p_show < known["quiet"].p_show
    assert known["flagged"].p_positive == known["quiet"].p_positive


@given(EVIDENCE, EVIDENCE)
@few
def test_statements_of_agents_move_what_is_shown_anyway_and_only_between_80_and_98_of_a_hundred(
    one: Evidence, other: Evidence
) -> None:
    """Applications are what agents say of their own runs: the same rows without them have a propensity of their own."""
    priors = fit_priors([one, other])
    for evidence in (one, other):
        told = appraise([state("told", evidence)], priors=priors, tokens=100.0)["told"]
        bare = appraise([state("bare", evidence.without_claims())], priors=priors, tokens=100.0)["bare"]
        assert told.p_positive == bare.p_positive
        assert (told.effect, told.e_value) == (bare.effect, bare.e_value)
        if bare.p_show >= DECLARED_MIN:
            assert DECLARED_MIN <= told.p_show <= PolicySettings().p_max
        else:
            assert told.p_show == bare.p_show


def test_applications_can_lower_a_propensity_to_80_of_a_hundred_and_no_further() -> None:
    helps = evidence(45, 80)
    period = replace(helps.periods[0], applied=100, applied_events=45)  # events where it was applied, and none else
    told = appraise([state("told", replace(helps, periods={0: period}))], priors=Priors(), tokens=100.0)["told"]
    assert appraise([state("bare", helps)], priors=Priors(), tokens=100.0)["bare"].p_show > told.p_show == DECLARED_MIN


@given(st.lists(EVIDENCE, min_size=2, max_size=4))
@few
def test_one_by_one_lessons_are_appraised_as_all_at_once(population: list[Evidence]) -> None:
    states = [state(str(number), one, tokens=50 + 40 * number) for number, one in enumerate(population)]
    priors, tokens = fit_priors(population, 3, 20.0), fmean(one.tokens for one in states)
    together = appraise(states, now=3)
    for one in states:
        alone = appraise([one], priors=priors, now=3, tokens=tokens)[one.lesson_id]
        assert alone == together[one.lesson_id]


@given(st.lists(EVIDENCE, max_size=4))
@few
def test_without_statements_both_priors_are_the_same(population: list[Evidence]) -> None:
    priors = fit_priors([one.without_claims() for one in population], 4, 20.0)
    assert priors.independent == priors.declared
    assert fit_priors(population, 4, 20.0).independent == priors.independent


def test_a_lesson_that_is_told_to_break_something_is_hardly_shown() -> None:
    breaks = replace(evidence(15, 40), side={0.5: SideCounts(1_000, 550, 1_000, 300)})
    known = appraise([state("breaks", breaks), state("helps", evidence(15, 40))], priors=Priors(), tokens=100.0)
    assert known["breaks"].side_effect.harms
    assert known["breaks"].p_show < 0.05 < known["helps"].p_show
    assert known["breaks"].value(1.0) < 0 < known["helps"].value(1.0)


def test_longer_lessons_cost_more() -> None:
    known = appraise([state("long", evidence(5, 8), tokens=400), state("short", evidence(5, 8), tokens=40)])
    assert known["long"].cost > known["short"].cost
    assert known["long"].benefit == pytest.approx(known["short"].benefit)


def test_old_evidence_weighs_less() -> None:
    states = [state("helped", evidence(5, 40))]
    now, later = (appraise(states, priors=Priors(), now=when)["helped"].benefit for when in (0, 60))
    assert now > later


def test_an_exempt_lesson_is_certain_and_comes_first() -> None:
    known = appraise([state("exempt", evidence(40, 15), exempt=True), state("helps", evidence(15, 40))])
    order = ranked([ServingCandidate("helps", 1.0, 50), ServingCandidate("exempt", 0.1, 50)], known)
    assert [candidate.lesson_id for candidate in order] == ["exempt", "helps"]
    assert (known["exempt"].p_show, known["exempt"].exempt) == (1.0, True)


@given(st.lists(EVIDENCE, min_size=1, max_size=4))
@few
def test_appraisals_are_probabilities_whatever_the_evidence(population: list[Evidence]) -> None:
    states = [state(str(number), one) for number, one in enumerate(population)]
    for known in appraise(states, now=3).values():
        assert 0 <= known.p_positive <= 1
        assert known.p_show in LADDER
        assert known.cost > 0
