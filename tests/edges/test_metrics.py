"""Figures for Prometheus: what they count, what they do not tell, and who may read them."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import insert

from lessonbook.app import gateway_for
from lessonbook.config.settings import Settings
from lessonbook.domain.lesson import Caller
from lessonbook.edges.access.gateway import Gateway
from lessonbook.edges.access.identity import acting_as
from lessonbook.edges.access.running_call import Call
from lessonbook.edges.metrics import Metrics
from lessonbook.edges.transport.http import build_app
from lessonbook.services import background
from lessonbook.services.background.census import Census
from lessonbook.services.workspace import Workspace
from lessonbook.store import migrate
from lessonbook.store.engine import Load
from lessonbook.store.tables import activity_days

pytestmark = pytest.mark.anyio

AGENT = "BackendDevelopmentAgent"
MARK = "Xylophone"
DEPLOY = Path(__file__).parents[2] / "deploy"
sqlite_alone = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)


@asynccontextmanager
async def served(settings: Settings, **server: Any) -> AsyncIterator[tuple[Gateway, httpx2.AsyncClient]]:
    given = {**settings.model_dump(exclude_unset=True), "server": {"metrics": True, **server}}
    settings = Settings.model_validate(given)
    gateway = gateway_for(settings, "local", is_guarded=bool(settings.auth.accept))
    transport = httpx2.ASGITransport(build_app(gateway, settings))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as web:
        yield gateway, web
    await gateway.close()


def figures_of(text: str) -> dict[str, float]:
    """Return every sample by its name and labels."""
    return {
        sample.name + "".join(f" {key}={value}" for key, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def scraped(web: httpx2.AsyncClient) -> dict[str, float]:
    answer = await web.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert (MARK in answer.text, AGENT in answer.text, "demo" in answer.text) == (False, False, False)
    return figures_of(answer.text)


async def test_calls_issues_connections_and_lessons_are_counted(settings: Settings, work: Workspace) -> None:
    async with served(settings) as (gateway, web):
        issues = [{"description": f"{MARK} leaks", "rule_id": "bandit:B608"}, {"description": f"{MARK} stalls oddly"}]
        assert (await web.post("/api/report_issues", json={"agent_name": AGENT, "issues": issues})).status_code == 200
        assert (await web.post("/api/get_lessons", json={"agent_name": AGENT})).status_code == 200
        assert (await web.post("/api/get_lessons", json={"runid": MARK})).status_code == 422
        caller = gateway.server("census")
        gateway.watcher.counted(await gateway.call_for(caller, None, background.take_census))
        found = await scraped(web)
    assert found["lessonbook_calls_total operation=get_lessons outcome=ok"] == 1
    assert found["lessonbook_calls_total operation=get_lessons outcome=invalid_input"] == 1
    assert found["lessonbook_calls_total operation=report_issues outcome=ok"] == 1
    assert found["lessonbook_call_duration_seconds_count operation=get_lessons"] == 2
    assert found["lessonbook_calls_in_flight"] == 0
    assert found["lessonbook_issues_total action=created"] == 1
    assert found["lessonbook_issues_total action=pending"] == 1
    assert found["lessonbook_lessons status=active"] + found["lessonbook_lessons status=probation"] == 1
    assert found["lessonbook_schema_version"] == int(migrate.HEAD)
    assert found["lessonbook_database_connections state=in_use"] == 0
    assert found["lessonbook_database_connections state=limit"] >= 5
    assert found["lessonbook_database_waiting"] == 0
    assert found["lessonbook_transactions_retried_total"] == 0
    assert any(name.startswith("lessonbook_build_info") for name in found)
    assert "process_cpu_seconds_total" in found


async def test_what_was_withheld_is_told_of_days_that_are_over_only(settings: Settings, work: Workspace) -> None:
    day = work.now().date()
    rows = [
        {"project": "demo", "agent_name": AGENT, "day": (day - timedelta(days=ago)).isoformat(), "deliveries": 10,
         "shown": shown, "last_at": datetime(2026, 3, 1, tzinfo=UTC)}
        for ago, shown in ((2, 7), (1, 5), (0, 1))
    ]  # fmt: skip
    await work.store.write(lambda connection: connection.execute(insert(activity_days), rows))
    census = await background.take_census(work, Caller("demo", "census"))
    assert (census.shown, census.withheld) == (12, 8)


@sqlite_alone
async def test_without_the_setting_nothing_is_counted_or_served(settings: Settings) -> None:
    async with served(settings, metrics=False) as (gateway, web):
        assert gateway.watcher is None
        assert (await web.get("/metrics")).status_code == 404


@sqlite_alone
async def test_where_tokens_are_asked_for_figures_need_the_scope_of_statistics(settings: Settings) -> None:
    given = {**settings.model_dump(exclude_unset=True), "auth": {"accept": ["tokens"]}}
    async with served(Settings.model_validate(given)) as (gateway, web):
        assert (await web.get("/metrics")).status_code == 401
        rest = build_app(gateway, Settings.model_validate({"server": {"metrics": True}}))
    transport = httpx2.ASGITransport(rest)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as web:
        for scopes, status in (({"lessons:read"}, 403), ({"stats:read"}, 200)):
            with acting_as(Caller("demo", "prometheus", scopes=frozenset(scopes))):
                assert (await web.get("/metrics")).status_code == status


def test_jobs_tell_when_they_last_went_well() -> None:
    metrics = Metrics(lambda: None)
    metrics.job_ended("keep_up", well=False)
    assert "lessonbook_job_last_success_timestamp_seconds job=keep_up" not in figures_of(metrics.text().decode())
    metrics.job_ended("keep_up", well=True)
    found = figures_of(metrics.text().decode())
    assert found["lessonbook_job_failures_total job=keep_up"] == 1
    assert found["lessonbook_job_last_success_timestamp_seconds job=keep_up"] > 1e9


def test_the_server_s_own_calls_and_calls_within_calls_are_not_counted() -> None:
    metrics = Metrics(lambda: None)
    with Call("keep_up", metrics), Call("get_lessons", metrics), Call("get_lessons", metrics):
        assert figures_of(metrics.text().decode())["lessonbook_calls_in_flight"] == 1
    found = figures_of(metrics.text().decode())
    assert [name for name in found if name.startswith("lessonbook_calls_total")] == [
        "lessonbook_calls_total operation=get_lessons outcome=ok"
    ]


def test_the_dashboard_asks_for_figures_that_there_are() -> None:
    metrics = Metrics(lambda: Load(0, 1, 0, 0))
    metrics.counted(Census({}, 0, 0, 1))
    metrics.job_ended("keep_up", well=True)
    metrics.job_ended("keep_up", well=False)
    with Call("get_lessons", metrics):
        pass
    there = {
        sample.name for family in text_string_to_metric_families(metrics.text().decode()) for sample in family.samples
    }
    dashboard = json.loads((DEPLOY / "grafana" / "lessonbook.json").read_text())
    wanted = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    wanted += [one["query"]["query"] for one in dashboard["templating"]["list"] if one["type"] == "query"]
    named = {name for expression in wanted for name in re.findall(r"\b(?:lessonbook|process)_\w+", expression)}
    assert len(named) > 12
    assert sorted(named - there) == []
    listed = re.findall(r"`(lessonbook_\w+)", (DEPLOY.parent / "docs" / "operating.md").read_text())
    whole = {name for name in there if not name.endswith(("_bucket", "_count", "_sum"))}
    assert set(listed) == {name for name in whole if name.startswith("lessonbook_")} | {
        "lessonbook_call_duration_seconds"
    }
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_the_scrape_configuration_names_the_address_of_the_figures() -> None:
    (job,) = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]
    assert job["metrics_path"] == "/metrics"
    assert job["static_configs"][0]["targets"] == [f"127.0.0.1:{Settings().server.port}"]
