"""The prior of a lesson: what is believed before any of its own evidence."""

from dataclasses import dataclass
from math import fsum
from typing import Final

from lessonbook.experiment import flag_harm
from lessonbook.experiment.rho_grid import LOG_RHO, normal_logs, normalised

PRIOR_MEAN: Final = -0.3
PRIOR_SD: Final = 0.5
"""Mean and standard deviation of log ρ before anything is known."""


@dataclass(frozen=True, slots=True)
class Prior:
    """A population of lessons.

    `rho_weights` are probabilities of the rate ratios `grid.RHO`. The base rate, in events per exposure while withheld,
    is Gamma(`base_shape`, `base_exposures`). `ignored` is the share of showings in which lessons are not applied.
    `ignored_risk` is the ratio of the base rate in those runs to that in all: agents that apply lessons differ from
    those that do not. `flag_weights` are probabilities of `flag_harm.RATES`, by flags or, where those do not
    count, by unexplained trouble; `harms` is what each of these rates means: the harm that a lesson does elsewhere, in
    average issues per showing.
    """

    rho_weights: tuple[float, ...] = tuple(normalised(normal_logs(PRIOR_MEAN, PRIOR_SD)))
    base_shape: float = 1.5
    base_exposures: float = 15.0
    ignored: float = 0.3
    ignored_risk: float = 0.9
    flag_weights: tuple[float, ...] = flag_harm.RATE_WEIGHTS
    harms: tuple[float, ...] = flag_harm.harms(flag_harm.RATE_WEIGHTS)

    @property
    def log_rho_mean(self) -> float:
        """Mean of log ρ over the population."""
        return fsum(weight * log_rho for weight, log_rho in zip(self.rho_weights, LOG_RHO, strict=True))

    @property
    def log_rho_sd(self) -> float:
        """Standard deviation of log ρ over the population."""
        mean = self.log_rho_mean
        return fsum(w * (log_rho - mean) ** 2 for w, log_rho in zip(self.rho_weights, LOG_RHO, strict=True)) ** 0.5


DEFAULT_PRIOR: Final = Prior()
