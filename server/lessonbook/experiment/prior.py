"""What is believed of a lesson before any of its own evidence."""

from dataclasses import dataclass
from math import fsum
from typing import Final

from lessonbook.experiment import flags
from lessonbook.experiment.grid import LOG_RHO, normal_logs, normalised

PRIOR_MEAN: Final = -0.3
PRIOR_SD: Final = 0.5


@dataclass(frozen=True, slots=True)
class Prior:
    """A population of lessons.

    `rho_weights` are probabilities of the rate ratios of `grid.RHO`; the rate of events per exposure without the lesson
    is Gamma(`base_shape`, `base_exposures`). `ignored` is the share of showings in which lessons are not applied, and
    `ignored_risk` the rate of events there, against all runs, before any lesson does anything: who applies a lesson
    differs from who does not. `flag_weights` are probabilities of the rates of `flags.RATES`.
    """

    rho_weights: tuple[float, ...] = tuple(normalised(normal_logs(PRIOR_MEAN, PRIOR_SD)))
    base_shape: float = 1.5
    base_exposures: float = 15.0
    ignored: float = 0.3
    ignored_risk: float = 0.9
    flag_weights: tuple[float, ...] = flags.RATE_WEIGHTS

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
