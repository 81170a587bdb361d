"""One policy in one seed of a world, and what it prevented."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench.learning.draws import Chance, Draws
from bench.learning.rules import Check, Policy

SERVED_SHARE: Final = 0.2
LAST_FIFTH: Final = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a policy did in one seed.

    `prevented` counts for each run the issues that did not happen, of every kind, against the same draws without
    lessons; `weighted_per_run` is their mean by severity, where other issues weigh like the average class.
    """

    prevented: NDArray[np.float32]
    weighted_per_run: float
    tokens_per_run: float
    harmful_served: int
    good_retired: int
    good: int


def simulate(draws: Draws, policy: Policy) -> Outcome:
    """Return what `policy` did with one seed's draws.

    Prevented are issues of lessons' classes, less side effects and generic failures, whether detected or not (reading).
    Every report of a change arrives at one time (reading). Whether a row comes back depends on its own arm, by one
    uniform number for its change (reading). A harmful lesson counts as served if it was shown in a fifth of
    its retrievals within the last fifth of the runs, from when it does harm (reading: the oracle then serves none).
    Good lessons count as retired where the rule has dropped them or, of rules that drop none, serves them less.
    """
    ledger = _Ledger(draws)
    arrivals: dict[int, list[Check]] = {}
    change = _Change(draws, 0)
    for run, chances in enumerate(draws.chances):
        for check in arrivals.pop(run, ()):
            policy.checked(check)
        shown = policy.choose(run, chances)
        failed = ledger.add(run, chances, shown)
        for chance in shown:
            policy.claimed(run, chance)
        change.add(run, chances, shown, failed=failed)
        if (run + 1) % draws.world.runs_per_change == 0:
            if (check := change.check()) is not None:
                arrivals.setdefault(run + draws.delays[run], []).append(check)
            change = _Change(draws, change.number + 1)
    return ledger.outcome(policy.retired())


class _Change:
    """The runs of one change, until they are checked."""

    def __init__(self, draws: Draws, number: int) -> None:
        self.draws = draws
        self.number = number
        self.shown: dict[int, bool] = {}
        self.reported: list[tuple[int, int]] = []
        self.trouble = 0

    def add(self, run: int, chances: Sequence[Chance], shown: Sequence[Chance], *, failed: bool) -> None:
        """Add a run: what happened in it is settled, and may be found."""
        lessons = {chance.lesson for chance in shown}
        for chance in chances:
            is_shown = chance.lesson in lessons
            self.shown[chance.lesson] = self.shown.get(chance.lesson, False) or is_shown
            if chance.report_shown if is_shown else chance.report:
                self.reported.append((run, chance.lesson))
        if self.draws.other_detected[run]:
            self.trouble += failed + sum(chance.side_shown for chance in shown)

    def check(self) -> Check | None:
        """Return what comes back; None: nothing does."""
        world, draws = self.draws.world, self.draws
        if self.number * world.runs_per_change >= world.falls_silent:
            return None
        arms = world.attribution
        luck = draws.attributed[self.number]
        back = {lesson for lesson, is_shown in self.shown.items() if luck < arms[not is_shown]}
        if self.shown and not back:
            return None
        if not self.shown and luck >= arms[1]:
            return None
        reported = [(run, lesson) for run, lesson in self.reported if lesson in back]
        if world.reporters == "triggered" and not reported and not self.trouble:
            return None
        found = {lesson for _, lesson in reported}
        return Check(
            change=self.number,
            rows=[(lesson, lesson in found) for lesson in self.shown if lesson in back],
            reported=reported,
            trouble=self.trouble,
            routine=world.reporters == "routine",
            in_time=draws.lateness[self.number] >= world.late_checks,
        )


class _Ledger:
    """Counts while a simulation runs."""

    def __init__(self, draws: Draws) -> None:
        lessons = draws.lessons
        self.draws = draws
        self.tokens: list[int] = lessons.tokens.tolist()
        self.weight: list[float] = lessons.weight.tolist()
        self.other_weight = float(np.dot(draws.world.severity_weights, draws.world.severity_mix))
        self.prevented: NDArray[np.float32] = np.zeros(draws.runs, dtype=np.float32)
        self.weighted = 0.0
        self.spent = 0
        self.retrieved = [0] * draws.world.lessons
        self.shown = [0] * draws.world.lessons
        self.helps: list[bool] = lessons.always_good().tolist()
        self.harms_from: list[float] = lessons.harms_from().tolist()

    def add(self, run: int, chances: Sequence[Chance], shown: Sequence[Chance]) -> bool:
        """Count one run, and return whether it had a generic failure."""
        prevented = weighted = spent = 0.0
        for chance in shown:
            spared = chance.issue - chance.issue_shown
            prevented += spared - chance.side_shown
            weighted += self.weight[chance.lesson] * spared - self.other_weight * chance.side_shown
            spent += self.tokens[chance.lesson]
        usual = self.draws.generic_rates[run]
        rate = usual + self.draws.world.token_tax * spent / 100
        failed = (self.draws.generic[run] < rate) - (self.draws.generic[run] < usual)
        self.prevented[run] = prevented - failed
        self.weighted += weighted - self.other_weight * failed
        self.spent += spent
        if run >= self.draws.runs - self.draws.runs // LAST_FIFTH:
            for counts, some in ((self.retrieved, chances), (self.shown, shown)):
                for chance in some:
                    counts[chance.lesson] += run >= self.harms_from[chance.lesson] or self.helps[chance.lesson]
        return self.draws.generic[run] < rate

    def outcome(self, retired: Sequence[bool] | None) -> Outcome:
        """Return the sums."""
        lessons = self.draws.lessons
        harmful = ~np.isinf(lessons.harms_from())
        served = np.array(self.shown) >= SERVED_SHARE * np.maximum(self.retrieved, 1)
        good = lessons.always_good()
        gone = np.array(retired) if retired is not None else ~served
        return Outcome(
            prevented=self.prevented,
            weighted_per_run=self.weighted / self.draws.runs,
            tokens_per_run=self.spent / self.draws.runs,
            harmful_served=int((served & harmful).sum()),
            good_retired=int((gone & good).sum()),
            good=int(good.sum()),
        )


Maker = Callable[[Draws], Policy]
