"""Lessonbook's own policy in the simulated world: the shipped code, told what the product would know.

As in the product nothing is withheld until enough runs were checked (`auto`), lessons are appraised one by one with the
population's priors, and only rows that a routine reporter has checked are evidence. A week has `WEEK_RUNS` runs.

* Flags come from different principals (reading), so that they count from the second on.
* One reporter checks, which an administrator has named as the project's CI.
* Every lesson stems from a report of its class by that reporter, so its checks tell about all of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Final

from bench.learning.draws import Chance, Draws
from bench.learning.rules import Check
from lessonbook.domain.lesson_status import Status
from lessonbook.experiment import coin
from lessonbook.experiment.arm_health import is_unhealthy
from lessonbook.experiment.effect import effect_before
from lessonbook.experiment.evidence import Evidence, Split
from lessonbook.experiment.lesson_value import SEVERITY_WEIGHTS, static_score, value
from lessonbook.experiment.lift import RunTotals, service_harms
from lessonbook.experiment.power import runs_to_tell
from lessonbook.experiment.promotion import next_status
from lessonbook.experiment.serving_policy import (
    HOLDOUT_SHARE,
    Appraisal,
    Certain,
    LessonState,
    PolicySettings,
    Priors,
    ServingCandidate,
    appraise,
    assign,
    fit_priors,
    ranked,
)
from lessonbook.services.cache.evidence import EVENTS_MIN, FLAGS_MIN, RUNS_MIN, WITHIN_DAYS
from lessonbook.services.writing.arms import RUN_ISSUES_MAX

PROJECT: Final = "simulated"
REPORTER: Final = "ci"
WEEK_RUNS: Final = 500
EARLY_RUNS: Final = 1_000
REFIT_RUNS: Final = (25, 100)
"""Runs between appraisals, early and later."""
RECENT_RUNS: Final = WITHIN_DAYS * WEEK_RUNS // 7
TELLABLE_RUNS: Final = 5_000
TELLABLE_P: Final = 0.9


class Lessonbook:
    """The product in `auto`, with every lesson on probation at the start.

    A coin is tossed from `runs_min` checked runs on; with `tellable` only where a cut of 15 % can be told within
    `TELLABLE_RUNS` checked runs as well.
    """

    def __init__(
        self, draws: Draws, settings: PolicySettings | None = None, *, runs_min: int = RUNS_MIN, tellable: bool = False
    ) -> None:
        self.settings = settings or PolicySettings()
        self.world = draws.world
        self.secret = draws.seed.to_bytes(8)
        self.tokens: list[int] = draws.lessons.tokens.tolist()
        self.weight: list[float] = draws.lessons.weight.tolist()
        self.evidence = [Evidence() for _ in self.tokens]
        self.status: list[Status] = ["probation"] * len(self.tokens)
        self.runs_min = runs_min
        self.tellable = tellable
        self.tosses = False
        self.stopped = False
        self.priors = Priors()
        self.mean_tokens: float | None = None
        self.week = 0
        self.appraisals: dict[int, Appraisal] = {}
        self.flags = [0] * len(self.tokens)
        self.assigned: dict[tuple[int, int], tuple[bool, float]] = {}
        self.held_out: dict[int, bool] = {}
        self.applied: set[tuple[int, int]] = set()
        self.changed: set[int] = set()
        self.delivered: set[int] = set()
        self.alarmed: set[int] = set()
        self.coins: dict[float, Split] = {}
        self.checked_runs: list[tuple[int, int]] = []
        self.arms = {True: RunTotals(), False: RunTotals()}

    def choose(self, run: int, chances: Sequence[Chance]) -> list[Chance]:
        """Return the lessons that are eligible and whose coin says shown."""
        if run % REFIT_RUNS[run >= EARLY_RUNS] == 0:
            self._refit(run)
        change = run // self.world.runs_per_change
        if self.tosses and change not in self.held_out:
            self.held_out[change] = coin.toss_run(self.secret, PROJECT, str(change), "") < HOLDOUT_SHARE
        if self.stopped or self.held_out.get(change, False):
            return []
        known = {str(c.lesson): c for c in chances if self.status[c.lesson] != "retired"}

        def uniform(lesson_id: str) -> float:
            return coin.toss(self.secret, PROJECT, str(change), lesson_id, "")

        given = {
            name: self.assigned[change, c.lesson][0] for name, c in known.items() if (change, c.lesson) in self.assigned
        }
        candidates, odds = self._candidates(known)
        shown: list[Chance] = []
        for delivery in assign(candidates, odds, uniform, self.world.budget_tokens, given=given):
            chance = known[delivery.lesson_id]
            lesson = chance.lesson
            self.delivered.add(lesson)
            self.assigned.setdefault((change, lesson), (delivery.shown, delivery.p_show))
            if delivery.shown:
                self.evidence[lesson] = replace(self.evidence[lesson], shown=self.evidence[lesson].shown + 1)
                shown.append(chance)
        return shown

    def claimed(self, run: int, chance: Chance) -> None:
        """Record an application, and a flag."""
        if not self.world.declared:
            return
        if chance.claim is not None:
            self.applied.add((run // self.world.runs_per_change, chance.lesson))
        if chance.flag_shown:
            self.flags[chance.lesson] += 1
            if self.flags[chance.lesson] >= FLAGS_MIN:
                self.evidence[chance.lesson] = replace(self.evidence[chance.lesson], flags=self.flags[chance.lesson])

    def checked(self, check: Check) -> None:
        """Count a routine check of a change: rows, events, and other trouble."""
        change = check.change
        held_out = self.held_out.pop(change, None)
        if not check.routine or not check.in_time:
            return
        week = change * self.world.runs_per_change // WEEK_RUNS
        found = {lesson for lesson, is_found in check.rows if is_found}
        self.checked_runs.append((change * self.world.runs_per_change, len(found)))
        if held_out is not None:
            self.arms[held_out] = _counted(self.arms[held_out], min(len(found) + check.trouble, RUN_ISSUES_MAX))
        for lesson, is_found in check.rows:
            assigned = self.assigned.pop((change, lesson), None)
            if assigned is None:
                continue
            shown, p_show = assigned
            evidence = self.evidence[lesson]
            share = evidence.share(p_show, week)
            applied = shown and (change, lesson) in self.applied
            evidence = evidence.add_row(shown=shown, p_show=p_show, period=week)
            if applied:
                evidence = evidence.add_application(period=week)
            if is_found:
                evidence = evidence.add_event(shown=shown, share=share, reporter=REPORTER, applied=applied, period=week)
            evidence = evidence.add_unexplained(shown=shown, p_show=p_show, wrong=check.trouble > 0, period=week)
            if p_show >= 1:
                self.evidence[lesson] = evidence
                continue
            wrong = check.trouble > 0 or bool(found - {lesson})
            self.evidence[lesson] = evidence.add_side(shown=shown, p_show=p_show, wrong=wrong)
            self.changed.add(lesson)
            one, other = self.coins.get(p_show, (0, 0))
            self.coins[p_show] = (one + shown, other + (not shown))

    def retired(self) -> list[bool]:
        """Return which lessons the e-process retired."""
        return [status == "retired" for status in self.status]

    def appraisal(self, lesson: int) -> Appraisal:
        """Return a lesson's appraisal, as `services.cache.measured` computes it."""
        if (known := self.appraisals.get(lesson)) is None:
            state = LessonState(str(lesson), self.weight[lesson], self.tokens[lesson], self.evidence[lesson])
            appraised = appraise([state], self.settings, priors=self.priors, now=self.week, tokens=self.mean_tokens)
            known = self.appraisals[lesson] = appraised[str(lesson)]
        return known

    def _candidates(
        self, known: Mapping[str, Chance]
    ) -> tuple[list[ServingCandidate], Mapping[str, Appraisal | Certain]]:
        """Return candidates, best first, and their propensities: all certain while no coin is tossed."""
        candidates = [ServingCandidate(name, c.relevance, self.tokens[c.lesson]) for name, c in known.items()]
        if self.tosses:
            appraisals = {name: self.appraisal(chance.lesson) for name, chance in known.items()}
            return ranked(candidates, appraisals), appraisals
        expected = effect_before().mean

        def worth(candidate: ServingCandidate) -> float:
            return value(static_score(_SEVERITY[self.weight[int(candidate.lesson_id)]], expected), candidate.relevance)

        return sorted(candidates, key=worth, reverse=True), dict.fromkeys(known, Certain())

    def _refit(self, run: int) -> None:
        """See whether a coin is tossed, fit the priors, and look at the lessons that have new evidence."""
        self.week = run // WEEK_RUNS
        self.checked_runs = [row for row in self.checked_runs if row[0] > run - RECENT_RUNS]
        self.tosses = self._is_ready()
        self.stopped = self.stopped or (
            service_harms(self.arms[False], self.arms[True], HOLDOUT_SHARE)
            and not is_unhealthy({HOLDOUT_SHARE: (self.arms[True].runs, self.arms[False].runs)})
        )
        if not self.tosses:
            return
        known = sorted(self.delivered)
        self.priors = fit_priors((self.evidence[lesson] for lesson in known), self.week, self.settings.half_life)
        self.mean_tokens = fmean(self.tokens[lesson] for lesson in known) if known else None
        self.appraisals = {}
        for lesson in sorted(self.changed):
            self._move(lesson)
        self.changed = set()

    def _is_ready(self) -> bool:
        rows, events = len(self.checked_runs), sum(found for _, found in self.checked_runs)
        if rows < self.runs_min or events < min(EVENTS_MIN, self.runs_min):
            return False
        return not self.tellable or rows + runs_to_tell(rows=rows, events=events, p_show=TELLABLE_P) <= TELLABLE_RUNS

    def _move(self, lesson: int) -> None:
        """Change a lesson's status if its new evidence asks for it; nothing, where arms are unlike."""
        if is_unhealthy(_coins_of(self.evidence[lesson])):
            self.alarmed.add(lesson)
        if lesson in self.alarmed or is_unhealthy(self.coins):
            return
        if move := next_status(self.status[lesson], self.appraisal(lesson), named=[REPORTER]):
            self.status[lesson] = move.to


_SEVERITY: Final = {weight: severity for severity, weight in SEVERITY_WEIGHTS.items()}


def _coins_of(evidence: Evidence) -> Mapping[float, Split]:
    return evidence.total().coins


def _counted(arm: RunTotals, issues: int) -> RunTotals:
    return RunTotals(arm.runs + 1, arm.issues + issues, arm.issues_squared + issues**2)
