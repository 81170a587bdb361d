"""One policy in one seed of a world, and what it prevented."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench.learning.draws import GENERIC_RATE, Chance, Draws
from bench.learning.rules import Policy

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
    Every report of a run arrives at one time (reading). A harmful lesson counts as served if it was shown in a fifth of
    its retrievals within the last fifth of the runs, from when it does harm (reading: the oracle then serves none).
    Good lessons count as retired where the rule has dropped them or, of rules that drop none, serves them less.
    """
    ledger = _Ledger(draws)
    arrivals: dict[int, list[tuple[int, int]]] = {}
    for run, chances in enumerate(draws.chances):
        for of_run, lesson in arrivals.pop(run, ()):
            policy.reported(of_run, lesson)
        shown = policy.choose(run, chances)
        ledger.add(run, chances, shown)
        for chance in shown:
            policy.claimed(run, chance)
        lessons = {chance.lesson for chance in shown}
        reports = [(run, c.lesson) for c in chances if (c.report_shown if c.lesson in lessons else c.report)]
        if reports:
            arrivals.setdefault(run + draws.delays[run], []).extend(reports)
    return ledger.outcome(policy.retired())


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

    def add(self, run: int, chances: Sequence[Chance], shown: Sequence[Chance]) -> None:
        """Count one run."""
        prevented = weighted = spent = 0.0
        for chance in shown:
            spared = chance.issue - chance.issue_shown
            prevented += spared - chance.side_shown
            weighted += self.weight[chance.lesson] * spared - self.other_weight * chance.side_shown
            spent += self.tokens[chance.lesson]
        rate = GENERIC_RATE + self.draws.world.token_tax * spent / 100
        failed = (self.draws.generic[run] < rate) - (self.draws.generic[run] < GENERIC_RATE)
        self.prevented[run] = prevented - failed
        self.weighted += weighted - self.other_weight * failed
        self.spent += spent
        if run >= self.draws.runs - self.draws.runs // LAST_FIFTH:
            for counts, some in ((self.retrieved, chances), (self.shown, shown)):
                for chance in some:
                    counts[chance.lesson] += run >= self.harms_from[chance.lesson] or self.helps[chance.lesson]

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
