"""The simple rules that are compared with Lessonbook's."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from bench.learning.draws import Chance, Draws

MARKS_MIN = 5
RATIO_OFF = 0.3
HOLDOUT_SHARE = 0.05


class Check(NamedTuple):
    """What comes back of a change: of which lessons, and with which findings.

    `rows` has the lessons whose runs came back, each with whether its issue was found. `reported` are the findings by
    run and lesson, and `trouble` counts failures that no lesson is about. `routine`: the reporter looks at every run,
    findings or not. `in_time`: within 14 days.
    """

    change: int
    rows: list[tuple[int, bool]]
    reported: list[tuple[int, int]]
    trouble: int
    routine: bool
    in_time: bool


class Policy(Protocol):
    """What decides which lessons are shown, and what it is told."""

    def choose(self, run: int, chances: Sequence[Chance]) -> list[Chance]:
        """Return which of the retrieved lessons are shown in a run."""
        ...

    def claimed(self, run: int, chance: Chance) -> None:
        """Hear what the agent says of a shown lesson at the end of the run."""
        ...

    def checked(self, check: Check) -> None:
        """Hear what a check of a change has found, when it arrives."""
        ...

    def retired(self) -> Sequence[bool] | None:
        """Return which lessons are switched off for good, or None if the rule never does that."""
        ...


class _Rule:
    """What the simple rules share: they rank by a score and show what fits."""

    def __init__(self, draws: Draws) -> None:
        self.tokens: list[int] = draws.lessons.tokens.tolist()
        self.weight: list[float] = draws.lessons.weight.tolist()
        self.count = draws.world.lessons
        self.budget = draws.world.budget_tokens

    def fill(self, scored: list[tuple[float, float, Chance]]) -> list[Chance]:
        scored.sort(key=lambda row: row[:2], reverse=True)
        chosen: list[Chance] = []
        spent = 0
        for _, _, chance in scored:
            if spent + self.tokens[chance.lesson] <= self.budget:
                chosen.append(chance)
                spent += self.tokens[chance.lesson]
        return chosen

    def claimed(self, run: int, chance: Chance) -> None:
        """Hear nothing."""

    def checked(self, check: Check) -> None:
        """Hear of every finding."""
        for run, lesson in check.reported:
            self.reported(run, lesson)

    def reported(self, run: int, lesson: int) -> None:
        """Hear nothing of an issue of the lesson's class in a run."""

    def retired(self) -> Sequence[bool] | None:
        """Return None: nothing is switched off for good."""
        return None


class Nothing(_Rule):
    """No lessons at all."""

    def choose(self, run: int, chances: Sequence[Chance]) -> list[Chance]:  # noqa: ARG002
        """Return nothing."""
        return []

    def retired(self) -> list[bool]:
        """Return that nothing was switched off: it was never on."""
        return [False] * self.count


class Threshold(_Rule):
    """Severity first, then preventions ÷ applications; off below 0.3 after five applications."""

    def __init__(self, draws: Draws) -> None:
        super().__init__(draws)
        self.applied = [0] * self.count
        self.prevented = [0] * self.count

    def choose(self, run: int, chances: Sequence[Chance]) -> list[Chance]:  # noqa: ARG002
        """Return what fits, the most severe first."""
        return self.fill(
            [(self.weight[c.lesson], self._ratio(c.lesson), c) for c in chances if not self._off(c.lesson)]
        )

    def claimed(self, run: int, chance: Chance) -> None:  # noqa: ARG002
        """Count an application, and what is claimed of it."""
        if chance.claim is not None:
            self.applied[chance.lesson] += 1
            self.prevented[chance.lesson] += chance.claim

    def retired(self) -> list[bool]:
        """Return which lessons fell below the threshold."""
        return [self._off(lesson) for lesson in range(self.count)]

    def _ratio(self, lesson: int) -> float:
        return self.prevented[lesson] / self.applied[lesson] if self.applied[lesson] else 1.0

    def _off(self, lesson: int) -> bool:
        return self.applied[lesson] >= MARKS_MIN and self._ratio(lesson) < RATIO_OFF


class Counters(_Rule):
    """Helpful and harmful marks: a claimed prevention helps, an issue reported of a run that applied the lesson harms.

    Dropped with at least five marks of which most are harmful. It gets the better of the two feedbacks, that of agents
    with some insight, in every world but the spoofed one (reading: with "no issue seen counts as prevented" it never
    drops a good lesson and prevents 40 per 1,000; the table has 81 and a fifth of the good ones dropped). Flags are no
    marks (reading: with them it drops more side-effect lessons than the table has).
    """

    def __init__(self, draws: Draws) -> None:
        super().__init__(draws)
        self.helpful = [0] * self.count
        self.harmful = [0] * self.count
        self.applied: set[tuple[int, int]] = set()

    def choose(self, run: int, chances: Sequence[Chance]) -> list[Chance]:  # noqa: ARG002
        """Return what fits, by severity times share of helpful marks."""
        return self.fill([(self._score(c.lesson), 0.0, c) for c in chances if not self._off(c.lesson)])

    def claimed(self, run: int, chance: Chance) -> None:
        """Count a claimed prevention as helpful."""
        if chance.mark is not None:
            self.helpful[chance.lesson] += chance.mark
            self.applied.add((run, chance.lesson))

    def reported(self, run: int, lesson: int) -> None:
        """Count an issue as harmful where the lesson was applied."""
        self.harmful[lesson] += (run, lesson) in self.applied

    def retired(self) -> list[bool]:
        """Return which lessons were dropped."""
        return [self._off(lesson) for lesson in range(self.count)]

    def _score(self, lesson: int) -> float:
        helpful, harmful = self.helpful[lesson], self.harmful[lesson]
        return self.weight[lesson] * (helpful - harmful + 1) / (helpful + harmful + 2)

    def _off(self, lesson: int) -> bool:
        helpful, harmful = self.helpful[lesson], self.harmful[lesson]
        return helpful + harmful >= MARKS_MIN and harmful > helpful


class Thompson(_Rule):
    """A draw from Beta(1 + prevented, 1 + applied − prevented) of each lesson's claims."""

    def __init__(self, draws: Draws) -> None:
        super().__init__(draws)
        self.dice = np.random.default_rng([draws.seed, 1])
        self.applied = [0] * self.count
        self.prevented = [0] * self.count

    def choose(self, run: int, chances: Sequence[Chance]) -> list[Chance]:  # noqa: ARG002
        """Return what fits of the lessons whose draw passes the threshold, by severity times draw."""
        scored: list[tuple[float, float, Chance]] = []
        for chance in chances:
            prevented, applied = self.prevented[chance.lesson], self.applied[chance.lesson]
            drawn = self.dice.beta(1 + prevented, 1 + applied - prevented)
            if drawn >= RATIO_OFF:
                scored.append((self.weight[chance.lesson] * drawn, 0.0, chance))
        return self.fill(scored)

    def claimed(self, run: int, chance: Chance) -> None:  # noqa: ARG002
        """Count an application, and what is claimed of it."""
        if chance.claim is not None:
            self.applied[chance.lesson] += 1
            self.prevented[chance.lesson] += chance.claim


class Holdout(_Rule):
    """One run in twenty gets nothing; a lesson is shown where a draw says that it makes issues fewer."""

    def __init__(self, draws: Draws) -> None:
        super().__init__(draws)
        self.coins = draws.coins
        self.dice = np.random.default_rng([draws.seed, 2])
        self.runs = ([0] * self.count, [0] * self.count)
        self.issues = ([0] * self.count, [0] * self.count)
        self.sides: dict[tuple[int, int], int] = {}

    def choose(self, run: int, chances: Sequence[Chance]) -> list[Chance]:
        """Return what fits, by severity times the drawn difference."""
        if self.coins[run] < HOLDOUT_SHARE:
            self._count(run, chances, 0)
            return []
        scored: list[tuple[float, float, Chance]] = []
        for chance in chances:
            lesson = chance.lesson
            without, with_it = (
                self.dice.beta(1 + self.issues[side][lesson], 1 + self.runs[side][lesson] - self.issues[side][lesson])
                for side in (0, 1)
            )
            if without > with_it:
                scored.append((self.weight[lesson] * (without - with_it), 0.0, chance))
        chosen = self.fill(scored)
        self._count(run, chosen, 1)
        return chosen

    def reported(self, run: int, lesson: int) -> None:
        """Count an issue on the side where its run was."""
        side = self.sides.get((run, lesson))
        if side is not None:
            issues, runs = self.issues[side], self.runs[side]
            issues[lesson] = min(issues[lesson] + 1, runs[lesson])

    def _count(self, run: int, chances: Sequence[Chance], side: int) -> None:
        for chance in chances:
            self.runs[side][chance.lesson] += 1
            self.sides[run, chance.lesson] = side


class Oracle(_Rule):
    """Knows which lessons help now, and what each is worth."""

    def __init__(self, draws: Draws) -> None:
        super().__init__(draws)
        lessons = draws.lessons
        self.drifts: list[float] = lessons.drifts.tolist()
        self.good: list[bool] = (lessons.kind == 0).tolist()
        gain = lessons.weight * lessons.base * (1 - lessons.ratio) / lessons.tokens
        self.gain: list[float] = gain.tolist()

    def choose(self, run: int, chances: Sequence[Chance]) -> list[Chance]:
        """Return what fits of the lessons that help."""
        return self.fill(
            [
                (self.gain[c.lesson] * c.relevance, 0.0, c)
                for c in chances
                if self.good[c.lesson] and run < self.drifts[c.lesson]
            ]
        )
