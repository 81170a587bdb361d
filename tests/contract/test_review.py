"""Reviews ask the client's person; nobody approves their own words."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitResult, ErrorData, InputRequiredResult

from tests.contract.links import HANDSHAKE, STATELESS, Link, connected, in_a_task, linked
from tests.contract.processes import BOTH, http_server

pytestmark = pytest.mark.anyio

ASKED = "Only a person can"
WAYS = [
    ("memory", HANDSHAKE),
    ("memory", STATELESS),
    ("stdio", HANDSHAKE),
    ("stdio", STATELESS),
]
"""Where the client is the person's own. Over HTTP whoever calls may answer, so nobody is asked."""
NO: dict[str, ElicitResult | ErrorData] = {
    "declines": ElicitResult(action="decline"),
    "cancels": ElicitResult(action="cancel"),
    "says no": ElicitResult(action="accept", content={"confirm": False}),
    "says nothing": ElicitResult(action="accept", content={}),
    "says something else": ElicitResult(action="accept", content={"confirm": "perhaps"}),
    "accepts without an answer": ElicitResult(action="accept"),
}


class Person:
    """Who sits before the client: answers every question alike, and remembers what was asked."""

    def __init__(self) -> None:
        self.answer: ElicitResult | ErrorData = ElicitResult(action="accept", content={"confirm": True})
        self.asked: list[str] = []

    async def __call__(self, _context: Any, params: Any) -> ElicitResult | ErrorData:
        self.asked.append(params.message)
        return self.answer


@pytest.fixture(
    scope="module",
    params=[pytest.param(way, id="-".join(way), marks=() if way[0] == "memory" else pytest.mark.slow) for way in WAYS],
)
async def asked(
    anyio_backend: str, request: pytest.FixtureRequest, review_url: str
) -> AsyncIterator[tuple[Link, Person]]:
    """A link whose client can ask its person, and the person."""
    person = Person()
    async with in_a_task(linked(*request.param, review_url, elicitation_callback=person)) as link:
        yield link, person


@pytest.fixture(scope="module")
def review_url(new_database: Callable[[str], str]) -> str:
    return new_database("sqlite")


async def status_of(link: Link, lesson_id: str) -> str:
    return (await link.do("get_lesson", lesson_id=lesson_id))["lesson"]["status"]


async def test_approval_waits_for_a_person_who_sees_the_lesson(asked, agent_name):
    link, person = asked
    person.answer, person.asked = ElicitResult(action="accept", content={"confirm": True}), []
    lesson_id = await link.learn(agent_name)
    text = (await link.do("get_lesson", lesson_id=lesson_id))["lesson"]["text"]
    result = await link.do("review_lesson", lesson_id=lesson_id, action="approve")
    assert (result["status"], await status_of(link, lesson_id)) == ("active", "active")
    (question,) = person.asked
    for told in ("Approve", lesson_id, agent_name, text[:20]):
        assert told in question
    edited = "Pass values to the database as parameters, never as part of the statement."
    await link.do("review_lesson", lesson_id=lesson_id, action="edit", text=edited)
    assert edited in person.asked[-1]
    assert (await link.do("get_lesson", lesson_id=lesson_id))["lesson"]["text"] == edited


@pytest.mark.parametrize("how", NO)
async def test_without_a_persons_yes_nothing_changes_and_the_error_names_the_command(asked, agent_name, how):
    link, person = asked
    person.answer = NO[how]
    lesson_id = await link.learn(agent_name)
    for action in ("approve", "pin"):
        said = await link.refusal("review_lesson", lesson_id=lesson_id, action=action)
        assert f"lessonbook lessons {action} {lesson_id}" in said
    assert await status_of(link, lesson_id) == "probation"


async def test_a_client_that_fails_to_ask_counts_as_no(asked, agent_name):
    link, person = asked
    if link.protocol == STATELESS:
        return  # from this protocol on it is the client that gives up: there is no answer to count
    person.answer = ErrorData(code=-32603, message="the window is closed")
    lesson_id = await link.learn(agent_name)
    said = await link.refusal("review_lesson", lesson_id=lesson_id, action="approve")
    assert "lessonbook lessons approve" in said


async def offered(link: Link, agent_name: str) -> str:
    """Return a lesson that nobody vouches for."""
    name = agent_name.translate(str.maketrans("0123456789", "ghijklmnop"))
    issue = {"description": f"Odd case of {name}", "lesson": f"Close every file in the block of {name}."}
    (line,) = (await link.do("report_issues", agent_name=agent_name, issues=[issue]))["issues"]
    return line["lesson_id"]


async def test_what_takes_an_unvouched_lesson_away_asks_nobody(asked, agent_name):
    link, person = asked
    person.asked = []
    lesson_id = await offered(link, agent_name)
    for action, status in (("suspend", "suspended"), ("retire", "retired"), ("reject", "rejected")):
        assert (await link.do("review_lesson", lesson_id=lesson_id, action=action))["status"] == status
    assert person.asked == []


@pytest.mark.parametrize(
    ("action", "status"),
    [("suspend", "suspended"), ("retire", "retired"), ("reject", "rejected"), ("expire", "expired")],
)
async def test_what_takes_a_vouched_lesson_away_asks_the_person(asked, agent_name, action, status):
    link, person = asked
    lesson_id = await link.learn(agent_name)
    person.answer, person.asked = ElicitResult(action="decline"), []
    said = await link.refusal("review_lesson", lesson_id=lesson_id, action=action)
    assert f"lessonbook lessons {action} {lesson_id}" in said
    assert await status_of(link, lesson_id) == "probation"
    person.answer = ElicitResult(action="accept", content={"confirm": True})
    assert (await link.do("review_lesson", lesson_id=lesson_id, action=action))["status"] == status
    assert [action.capitalize() in question for question in person.asked] == [True, True]


async def test_a_clean_up_is_carried_out_on_a_persons_yes_only(asked):
    link, person = asked
    person.answer, person.asked = ElicitResult(action="decline"), []
    assert (await link.do("cleanup_lessons"))["dry_run"] is True
    assert person.asked == []
    assert "lessonbook cleanup --execute" in await link.refusal("cleanup_lessons", dry_run=False)
    person.answer = ElicitResult(action="accept", content={"confirm": True})
    assert (await link.do("cleanup_lessons", dry_run=False))["dry_run"] is False
    assert ["Suspend" in question for question in person.asked] == [True, True]


async def test_nobody_is_asked_about_a_lesson_that_is_not_there(asked):
    link, person = asked
    person.asked = []
    assert "There is no lesson" in await link.refusal("review_lesson", lesson_id="Lnope", action="approve")
    assert person.asked == []


async def test_a_client_that_cannot_ask_is_told_the_command(link, agent_name):
    lesson_id = await link.learn(agent_name)
    for action in ("approve", "edit", "restore", "pin"):
        said = await link.refusal("review_lesson", lesson_id=lesson_id, action=action, text="Do it well.")
        assert ASKED in said
        assert f"lessonbook lessons {action} {lesson_id}" in said
    assert await status_of(link, lesson_id) == "probation"


@pytest.mark.parametrize("name", ["confirm", "answer", "person"])
async def test_an_agent_cannot_answer_for_the_person_by_an_argument(asked, agent_name, name):
    link, person = asked
    person.answer = ElicitResult(action="decline")
    lesson_id = await link.learn(agent_name)
    said = await link.refusal("review_lesson", lesson_id=lesson_id, action="approve", **{name: True})
    assert f"unknown argument '{name}'" in said
    assert await status_of(link, lesson_id) == "probation"


async def test_an_answer_to_a_question_that_was_not_asked_is_not_taken(asked, agent_name):
    link, _ = asked
    if link.protocol != STATELESS:
        return  # before this protocol an answer belongs to a question by the connection it comes on
    session = link.client.session
    lesson_id = await link.learn(agent_name)
    arguments = {"lesson_id": lesson_id, "action": "approve"}
    first = await session.call_tool("review_lesson", arguments, allow_input_required=True)
    assert isinstance(first, InputRequiredResult)
    (key,) = first.input_requests or {}
    yes = {key: ElicitResult(action="accept", content={"confirm": True})}

    again = await session.call_tool("review_lesson", arguments, input_responses=yes, allow_input_required=True)
    assert isinstance(again, InputRequiredResult)
    for state in ("forged", (first.request_state or "")[:-4] + "AAAA"):
        with pytest.raises(MCPError, match="requestState"):
            await session.call_tool("review_lesson", arguments, input_responses=yes, request_state=state)
    other = {"lesson_id": await link.learn(agent_name, rule_id="bandit:B301"), "action": "approve"}
    with pytest.raises(MCPError, match="requestState"):
        await session.call_tool("review_lesson", other, input_responses=yes, request_state=first.request_state)
    assert await status_of(link, lesson_id) == "probation"

    taken = await session.call_tool("review_lesson", arguments, input_responses=yes, request_state=first.request_state)
    assert not taken.is_error
    assert await status_of(link, lesson_id) == "active"


@pytest.mark.slow
@pytest.mark.parametrize("protocol", [HANDSHAKE, STATELESS])
async def test_over_http_a_client_that_says_yes_to_everything_approves_nothing(either_url, agent_name, protocol):
    person = Person()
    async with (
        http_server(either_url, *BOTH) as server,
        connected(server.mcp, protocol, elicitation_callback=person) as client,
    ):
        link = Link(client, "http", protocol, either_url)
        vouched, own = await link.learn(agent_name), await offered(link, agent_name)
        for action in ("approve", "edit", "pin", "delete", "suspend", "reject", "retire", "expire"):
            said = await link.refusal("review_lesson", lesson_id=vouched, action=action, text="Do it well.")
            assert f"lessonbook lessons {action} {vouched}" in said
        said = await link.refusal("review_lesson", lesson_id=own, action="approve")
        assert f"lessonbook lessons approve {own}" in said
        assert "lessonbook cleanup --execute" in await link.refusal("cleanup_lessons", dry_run=False)
        assert await status_of(link, vouched) == await status_of(link, own) == "probation"
    assert person.asked == []
