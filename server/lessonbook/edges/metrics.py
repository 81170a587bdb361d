"""Figures of this process for Prometheus: calls, jobs, database connections, and what the database held lately.

No figure names a project, an agent or a principal. What was shown and withheld is told up to yesterday only: a later
figure, read before and after a call, would tell in which arm its run is.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from lessonbook.about import VERSION
from lessonbook.domain.agent_tools import Refinement
from lessonbook.domain.file_results import FileReport
from lessonbook.domain.lesson_status import STATUSES

if TYPE_CHECKING:
    from lessonbook.edges.access.running_call import Call
    from lessonbook.services.background.census import Census
    from lessonbook.store.engine import Load

BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_ACTIONS: Final = ("created", "merged", "pending", "quarantined", "rejected")


class Metrics:
    """The figures of one process. `load` returns the load of its database, None before it is opened."""

    def __init__(self, load: Callable[[], Load | None]) -> None:
        prometheus_client.disable_created_metrics()  # a second series for each, with the time of its first value
        self.registry = registry = CollectorRegistry(auto_describe=True)
        self._calls = Counter(
            "lessonbook_calls",
            "Calls by operation and outcome: ok, cancelled, or the code of the error (too_many: a rate limit).",
            ("operation", "outcome"),
            registry=registry,
        )
        self._durations = Histogram(
            "lessonbook_call_duration_seconds",
            "Time from the reading of a call's arguments to its result.",
            ("operation",),
            buckets=BUCKETS_S,
            registry=registry,
        )
        self._in_flight = Gauge("lessonbook_calls_in_flight", "Calls that run now.", registry=registry)
        self._issues = Counter(
            "lessonbook_issues", "Reported issues by what became of them at once.", ("action",), registry=registry
        )
        self._succeeded = Gauge(
            "lessonbook_job_last_success_timestamp_seconds",
            "When a background job last ended well in this process; of several replicas one does them.",
            ("job",),
            registry=registry,
        )
        self._failures = Counter(
            "lessonbook_job_failures", "Rounds of a background job that failed.", ("job",), registry=registry
        )
        build = Gauge("lessonbook_build_info", "The versions that run.", ("version", "python"), registry=registry)
        build.labels(VERSION, platform.python_version()).set(1)
        for action in _ACTIONS:
            self._issues.labels(action)
        self._database = _Database(load)
        registry.register(self._database)
        ProcessCollector(registry=registry)
        # `labels` takes longer than counting, so what it returned is kept.
        self._counted: dict[tuple[str, str], Counter] = {}
        self._timed: dict[str, Histogram] = {}

    def call_began(self) -> None:
        """Note that a call has begun."""
        self._in_flight.inc()

    def call_ended(self, call: Call) -> None:
        """Count a call, and the issues that it reported."""
        self._in_flight.dec()
        key = call.operation, call.outcome
        if (counter := self._counted.get(key)) is None:
            counter = self._counted[key] = self._calls.labels(*key)
        counter.inc()
        if (histogram := self._timed.get(call.operation)) is None:
            histogram = self._timed[call.operation] = self._durations.labels(call.operation)
        histogram.observe(call.duration_s)
        match call.result:
            case Refinement(issues=issues):
                for issue in issues:
                    self._issues.labels(issue.action).inc()
            case FileReport() as report:
                for action in _ACTIONS:
                    self._issues.labels(action).inc(getattr(report, action))
            case _:
                pass

    def job_ended(self, job: str, *, well: bool) -> None:
        """Note that a round of a background job has ended."""
        if well:
            self._succeeded.labels(job).set_to_current_time()
        else:
            self._failures.labels(job).inc()

    def counted(self, census: Census) -> None:
        """Take what the database held, for the scrapes to come."""
        self._database.census = census

    def text(self) -> bytes:
        """Return all figures in the text format of Prometheus."""
        return prometheus_client.generate_latest(self.registry)


class _Database(Collector):
    """The load of the database now, and what it held when it was last counted."""

    def __init__(self, load: Callable[[], Load | None]) -> None:
        self._load = load
        self.census: Census | None = None

    def describe(self) -> Iterator[Metric]:
        """Yield the names of all figures, so that no other takes one."""
        yield from self._of_load(None)
        yield from self._of_census(None)

    def collect(self) -> Iterator[Metric]:
        """Yield the figures, none where there are none yet."""
        if (load := self._load()) is not None:
            yield from self._of_load(load)
        if self.census is not None:
            yield from self._of_census(self.census)

    def _of_load(self, load: Load | None) -> Iterator[Metric]:
        connections = GaugeMetricFamily(
            "lessonbook_database_connections", "Connections of the pool in use, and how many it has.", labels=("state",)
        )
        waiting = GaugeMetricFamily(
            "lessonbook_database_waiting", "Transactions that wait for a connection.", value=load and load.waiting
        )
        retried = CounterMetricFamily(
            "lessonbook_transactions_retried",
            "Transactions that were run again after a lost race or while others held the lock.",
            value=load and load.retried,
        )
        if load is not None:
            connections.add_metric(["in_use"], load.in_use)
            connections.add_metric(["limit"], load.limit)
        yield from (connections, waiting, retried)

    def _of_census(self, census: Census | None) -> Iterator[Metric]:
        lessons = GaugeMetricFamily("lessonbook_lessons", "Lessons by status, over all projects.", labels=("status",))
        deliveries = GaugeMetricFamily(
            "lessonbook_deliveries",
            "Eligible lessons over all runs up to the end of yesterday (UTC), by what became of them.",
            labels=("outcome",),
        )
        schema = GaugeMetricFamily(
            "lessonbook_schema_version", "The revision of the database's schema.", value=census and census.schema
        )
        if census is not None:
            for status in STATUSES:
                lessons.add_metric([status], census.lessons.get(status, 0))
            deliveries.add_metric(["shown"], census.shown)
            deliveries.add_metric(["withheld"], census.withheld)
        yield from (lessons, deliveries, schema)
