"""One agent's figures, as the statistics view has them."""

from lessonbook.domain.agent_tools import Result


class AgentFigures(Result):
    """One agent's row of the statistics view; `effectiveness` is the mean over its active lessons."""

    project: str
    agent_name: str
    total_lessons: int
    active_lessons: int
    critical_lessons: int
    high_lessons: int
    medium_lessons: int
    low_lessons: int
    issues: int
    pending_issues: int
    runs: int
    deliveries: int
    applications: int
    verified: int
    prevented: int
    effectiveness: float | None
    effectiveness_low: float | None
    effectiveness_high: float | None
    last_activity_at: str | None
