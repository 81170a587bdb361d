"""One path of an issue: whoever decides, a lesson is made, joined, indexed and counted in the same way."""

from dataclasses import replace

import pytest

from lessonbook.classify.catalogue import load_catalogue
from lessonbook.classify.catalogue_offer import offer_of_rule
from lessonbook.domain.lesson import Caller
from lessonbook.domain.pending_issues import Authoring
from lessonbook.services.triage.authoring import refine_issues
from lessonbook.services.workspace import Workspace
from lessonbook.services.writing.issue_writer import IssueEntry, IssueWriter, buried, stands_as
from lessonbook.services.writing.ledger import Ledger
from lessonbook.store import tables

pytestmark = pytest.mark.anyio

AGENT = "BackendDevelopmentAgent"
RULE = "Give each outgoing request a timeout."
ENTRY = IssueEntry("I1", AGENT, "The call hangs", "high", "reliability", "api.py")
sqlite_alone = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)


def writer_on(work: Workspace, caller: Caller, connection) -> IssueWriter:
    return IssueWriter(Ledger(work, caller, connection, work.now()), work.new_id("R"), "rules", "ci")


async def test_a_reporter_and_an_author_leave_the_same_behind(loop, work: Workspace, agent: Caller) -> None:
    hangs = {"description": "The zeppelin call hangs", "file": "api.py"}
    stalls = {"description": "A flugelhorn peer stalls", "file": "sync.py"}
    for name in ("DatabaseAgent", "MobileDevelopmentAgent"):
        await loop.know(agent, name)
    offered = [{**issue, "lesson": RULE} for issue in (hangs, stalls)]
    await loop.report(agent, *offered, agent_name="DatabaseAgent")
    pending = await loop.report(agent, hangs, stalls, agent_name="MobileDevelopmentAgent")
    ids = [line.issue_id for line in pending.issues]
    await refine_issues(work, agent, Authoring.model_validate({"lessons": [{"issue_ids": ids, "lesson": RULE}]}))
    one, other = await loop.rows(tables.lessons)
    assert {one["agent_name"], other["agent_name"]} == {"DatabaseAgent", "MobileDevelopmentAgent"}
    assert [row["issue_count"] for row in (one, other)] == [2, 2]
    assert one["last_seen_at"] == other["last_seen_at"]
    assert one["expires_at"] == other["expires_at"]
    documents = await loop.rows(tables.lesson_documents, "body")
    assert documents[0] == documents[1]
    assert "flugelhorn" in documents[0]
    await loop.assert_healthy()


@sqlite_alone
async def test_nothing_is_counted_for_an_agent_that_is_not_held(loop, work: Workspace, agent: Caller) -> None:
    lesson_id = await loop.learn(agent, RULE)

    def transaction(connection) -> None:
        writer = writer_on(work, agent, connection)
        writer.join([ENTRY], lesson_id, AGENT)
        writer.ledger.hold([])
        writer.lesson(lesson_id)
        with pytest.raises(RuntimeError, match="without holding"):
            writer.settle()

    await work.store.write(transaction)


async def test_a_lesson_stands_as_it_did_whatever_was_counted(loop, work: Workspace, agent: Caller) -> None:
    lesson = await loop.lesson(await loop.learn(agent, RULE))
    assert stands_as(lesson, replace(lesson, issue_count=7, revision=9))
    assert not stands_as(lesson, None)
    for changed in ({"status": "suspended"}, {"version": 2}, {"agent_name": "*"}, {"visible_to": "somebody"}):
        assert not stands_as(lesson, replace(lesson, **changed))


def test_rejected_words_come_back_by_the_catalogue_or_a_person_only() -> None:
    offer = offer_of_rule(load_catalogue().rules[0])
    assert offer is not None
    assert buried(offer, ["L1"]) is None
    assert buried(replace(offer, trust="approved"), ["L1"]) is None
    assert buried(replace(offer, trust="offered"), []) is None
    refused = buried(replace(offer, trust="offered"), ["L1", "L2"])
    assert refused is not None
    assert (refused.action, refused.lesson_id) == ("rejected", "L1")
