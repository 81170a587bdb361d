"""What a server does by itself, and watching for changes by other processes."""

from lessonbook.services.background.census import take_census
from lessonbook.services.background.doctor_checks import diagnose
from lessonbook.services.background.experiment import restart_experiment
from lessonbook.services.background.maintenance import cleanup_lessons, is_alive, keep_up, resume
from lessonbook.services.background.models import embed_lessons, refiner_settings, semantic_settings
from lessonbook.services.background.upkeep_turns import does_upkeep
from lessonbook.services.background.watch import Watch

__all__ = [
    "Watch",
    "cleanup_lessons",
    "diagnose",
    "does_upkeep",
    "embed_lessons",
    "is_alive",
    "keep_up",
    "refiner_settings",
    "restart_experiment",
    "resume",
    "semantic_settings",
    "take_census",
]
