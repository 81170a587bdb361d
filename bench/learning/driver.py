"""Lessonbook's own policy in the simulated world: the shipped code, told what the product would know."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from bench.learning.draws import Chance, Draws
from lessonbook.domain.lesson_status import Status
from lessonbook.experiment import coin
from lessonbook.experiment.evidence import Evidence
from lessonbook.experiment.policy import (
    HOLDOUT_SHARE,
    Appraisal,
    LessonState,
    PolicySettings,
    ServingCandidate,
    appraise,
    assign,
    ranked,
)
from lessonbook.experiment.promotion import next_status

PROJECT: Final = "simulated"
REPORTER: Final = "ci"
PERIOD_RUNS: Final = 500
EARLY_RUNS: Final = 1_000
REFIT_RUNS: Final = (25, 100)
"""Runs between appraisals, early and later."""


class Lessonbook:
    """Measured mode, with every lesson on probation at the start."""

    def __init__(self, draws: Draws, settings: PolicySettings | None = None) -> None:
        self.settings = settings or PolicySettings()
        self.secret = draws.seed.to_bytes(8)
        self.budget = draws.world.budget_tokens
        self.tokens: list[int] = draws.lessons.tokens.tolist()
        self.weight: list[float] = draws.lessons.weight.tolist()
        self.evidence = [Evidence() for _ in self.tokens]
        self.status: list[Status] = ["probation"] * len(self.tokens)
        self.assigned: dict[tuple[int, int], tuple[bool, float]] = {}
        self.applied: set[tuple[int, int]] = set()
        self.appraisals: dict[str, Appraisal] = {}

    def choose(self, run: int, chances: Sequence[Chance]) -> list[Chance]:
        """Return the lessons that are eligible and whose coin says shown."""
        if run % REFIT_RUNS[run >= EARLY_RUNS] == 0:
            self._appraise(run // PERIOD_RUNS)
        if coin.toss_run(self.secret, PROJECT, str(run), "") < HOLDOUT_SHARE:
            return []
        known = {str(c.lesson): c for c in chances if self.status[c.lesson] != "retired"}
        candidates = [ServingCandidate(name, c.relevance, self.tokens[c.lesson]) for name, c in known.items()]

        def uniform(lesson_id: str) -> float:
            return coin.toss(self.secret, PROJECT, str(run), lesson_id, "")

        shown: list[Chance] = []
        for delivery in assign(ranked(candidates, self.appraisals), self.appraisals, uniform, self.budget):
            chance = known[delivery.lesson_id]
            lesson = chance.lesson
            period = run // PERIOD_RUNS
            self.assigned[run, lesson] = (delivery.shown, self.evidence[lesson].share(delivery.p_show, period))
            counted = self.evidence[lesson].add_row(shown=delivery.shown, p_show=delivery.p_show, period=period)
            self.evidence[lesson] = replace(counted, shown=counted.shown + delivery.shown)
            if delivery.shown:
                shown.append(chance)
        return shown

    def claimed(self, run: int, chance: Chance) -> None:
        """Record an application, and a flag."""
        evidence = self.evidence[chance.lesson]
        if chance.claim is not None:
            self.applied.add((run, chance.lesson))
            evidence = evidence.add_application(period=run // PERIOD_RUNS)
        self.evidence[chance.lesson] = replace(evidence, flags=evidence.flags + chance.flag_shown)

    def reported(self, run: int, lesson: int) -> None:
        """Record an event where the lesson was eligible; independent reports are verified."""
        if (assigned := self.assigned.get((run, lesson))) is not None:
            shown, share = assigned
            self.evidence[lesson] = self.evidence[lesson].add_event(
                shown=shown,
                share=share,
                reporter=REPORTER,
                applied=(run, lesson) in self.applied,
                period=run // PERIOD_RUNS,
            )

    def retired(self) -> list[bool]:
        """Return which lessons the e-process retired."""
        return [status == "retired" for status in self.status]

    def _appraise(self, now: int) -> None:
        states = [
            LessonState(str(lesson), self.weight[lesson], self.tokens[lesson], evidence)
            for lesson, evidence in enumerate(self.evidence)
        ]
        self.appraisals = appraise(states, self.settings, now=now)
        for lesson, status in enumerate(self.status):
            if status == "retired" or not self.evidence[lesson].verified:
                continue
            if move := next_status(status, self.appraisals[str(lesson)], named=[REPORTER]):
                self.status[lesson] = move.to
