"""Ids that callers choose are stored as they come: a secret among them is refused, or marked (SAFETY P15)."""

import base64
import random
import uuid

import pytest

from lessonbook import services
from lessonbook.app import gateway_for
from lessonbook.domain.agent_tools import Application, Flag, LessonQuery
from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.file_results import PortableLesson
from lessonbook.domain.lesson import Caller
from lessonbook.domain.lesson_reviews import NewLesson
from lessonbook.screening.redact import secret_in_id
from lessonbook.services import transfer
from lessonbook.services.lessons import review
from lessonbook.services.workspace import Workspace
from lessonbook.store import tables

pytestmark = pytest.mark.anyio

TOKEN = "ghp_" + "a1B2c3D4" * 5
RULE = "Give each outgoing request a timeout."
SECRETS = [
    TOKEN,
    f"release-{TOKEN}",
    "AKIA" + "Q3RT7XV2LM5NP8YA".replace("8", "4"),
    "https://bob:Xk29slqQ0pz@host/x",
    "password=Xk29slqQ0pz",
]


async def everything(loop) -> str:
    return "".join([repr(await loop.rows(table)) for table in tables.metadata.sorted_tables])


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_known_among_ids(secret: str) -> None:
    assert secret_in_id(secret)


def test_ids_that_look_drawn_are_no_secrets() -> None:
    dice = random.Random(5)
    for _ in range(200):
        drawn = dice.randbytes(24)
        for name in (
            str(uuid.UUID(bytes=drawn[:16])),
            drawn.hex(),
            base64.urlsafe_b64encode(drawn).decode(),
            base64.b32encode(drawn).decode().rstrip("=").lower(),
            f"gh-actions-{dice.randrange(10**10)}-1",
            "feature/auth-token-refresh",
            "asst_" + base64.b32encode(drawn).decode()[:24],
        ):
            assert secret_in_id(name) == "", name


async def test_an_idempotency_key_that_is_a_secret_is_refused_and_not_repeated(loop, agent: Caller) -> None:
    with pytest.raises(InvalidInput, match="idempotency_key holds a secret") as refused:
        await loop.report(agent, "The call hangs", idempotency_key=TOKEN)
    assert TOKEN not in str(refused.value)
    assert TOKEN not in await everything(loop)


async def test_a_secret_in_an_agents_name_is_marked(loop, agent: Caller) -> None:
    await loop.get(agent, agent_name=f"bot {TOKEN}")
    (line,) = (await loop.report(agent, {"description": "It hangs", "lesson": RULE}, agent_name=f"bot {TOKEN}")).issues
    assert line.agent_name == "bot [redacted:github-token]"
    assert TOKEN not in await everything(loop)


async def test_a_secret_in_a_rules_id_is_marked_however_a_lesson_comes(loop, work: Workspace, person: Caller) -> None:
    await review.add_lesson(work, person, NewLesson(text=RULE, rule_id=f"house:{TOKEN}"))
    imported = PortableLesson(text="Close every file with a context manager.", rule_key=f"house:{TOKEN}")
    await transfer.import_lessons(work, person, [("memory.json", imported)])
    assert TOKEN not in await everything(loop)
    assert TOKEN.lower() not in await everything(loop)


async def test_a_secret_among_lesson_ids_or_names_is_refused_and_stored_nowhere(loop, settings, agent: Caller) -> None:
    gateway = gateway_for(settings, "local")
    run_id = (await loop.get(agent)).run_id
    asked = Application(run_id=run_id, lesson_ids=["Lnone", TOKEN[:40]], idempotency_key="once")
    for service, request in (
        (services.feedback.record_application, asked),
        (services.feedback.flag_lesson, Flag(lesson_id=TOKEN[:40], reason="it misled me")),
        (services.serve.get_lessons, LessonQuery(agent_name=TOKEN)),
    ):
        with pytest.raises(InvalidInput, match="holds a secret") as refused:
            await gateway.call(service, request)
        assert TOKEN[:40] not in str(refused.value)
    await gateway.close()
    assert TOKEN[:40] not in await everything(loop)
