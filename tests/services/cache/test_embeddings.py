"""Lessons found by an embedding model that says the same in other words; without it words alone find them."""

import logging
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread
import pytest

from lessonbook.config.settings import SemanticSettings, Settings, load_settings
from lessonbook.domain.errors import ConfigError
from lessonbook.domain.lesson import Caller
from lessonbook.providers import embeddings
from lessonbook.services.background import doctor_checks
from lessonbook.services.cache.embeddings import PAUSE_S, Semantic
from lessonbook.services.opening import work_on
from lessonbook.store.engine import connect
from lessonbook.store.tables import lesson_vectors
from lessonbook.store.urls import parse_address
from tests.conftest import Clock, on_both
from tests.fake_embeddings import Gate, embeds, embeds_otherwise, embeds_too_few, semantic
from tests.fake_provider import KEY, Behaviour, FakeProvider, cut, fails, fake_provider, sends, stalls
from tests.patience import PATIENCE_S
from tests.services.conftest import Loop

pytestmark = [pytest.mark.anyio, pytest.mark.databases("sqlite")]

RULE = "Give each outgoing request a timeout."
OTHER_RULE = "Close every file in the block that opened it."
IN_OTHER_WORDS = "unresponsive upstreams hang forever"
BY_WORDS = "timeout of a request"


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeProvider]:
    monkeypatch.setenv("LESSONBOOK_TEST_KEY", KEY)
    with fake_provider() as provider:
        provider.will(embeds)
        yield provider


@asynccontextmanager
async def started(settings: Settings, clock: Clock, given: dict[str, Any]) -> AsyncIterator[Loop]:
    """A process with a model, on the test's database."""
    with_model = Settings.model_validate({**settings.model_dump(exclude_unset=True), "semantic": given})
    store = connect(parse_address(settings.database_url))
    try:
        yield Loop(await work_on(store, with_model, now=clock, random_bytes=os.urandom))
    finally:
        await store.close()


@pytest.fixture
async def with_model(settings: Settings, clock: Clock, provider: FakeProvider) -> AsyncIterator[Loop]:
    async with started(settings, clock, semantic(provider)) as loop:
        yield loop


@pytest.fixture
async def stocked(with_model: Loop, agent: Caller) -> dict[str, str]:
    """Two lessons with vectors, their ids by their texts."""
    names = {rule: await with_model.learn(agent, rule) for rule in (RULE, OTHER_RULE)}
    assert await with_model.work.semantic.embed_missing("demo") == len(names)
    return names


async def listed(loop: Loop, caller: Caller, query: str) -> list[str]:
    return [lesson.text for lesson in await loop.found(caller, query=query)]


async def served(loop: Loop, caller: Caller, task: str) -> list[str]:
    return [lesson.text for lesson in (await loop.get(caller, task=task)).lessons]


@pytest.mark.parametrize("ask", [listed, served])
async def test_a_lesson_in_other_words_is_found_with_a_model_and_not_without(
    loop: Loop, with_model: Loop, stocked, agent: Caller, ask
) -> None:
    assert await ask(loop, agent, IN_OTHER_WORDS) == []
    assert next(iter(await ask(with_model, agent, IN_OTHER_WORDS))) == RULE
    assert next(iter(await ask(with_model, agent, "a descriptor leak"))) == OTHER_RULE


@on_both
async def test_only_lessons_that_fit_are_served_with_a_model_too(with_model: Loop, stocked, agent: Caller) -> None:
    assert await served(with_model, agent, IN_OTHER_WORDS) == [RULE]
    assert await served(with_model, agent, "paint the shed") == []


async def test_without_a_model_nothing_is_asked_or_read() -> None:
    nothing: Any = None
    assert await Semantic(SemanticSettings(), nothing, Clock()).similar("demo", BY_WORDS) == {}
    assert await Semantic(SemanticSettings(), nothing, Clock()).embed_missing("demo") == 0


@on_both
async def test_another_process_and_a_restarted_one_do_not_embed_again(
    settings: Settings, clock: Clock, provider: FakeProvider, stocked, agent: Caller
) -> None:
    before = len(provider.asked)
    async with started(settings, clock, semantic(provider)) as second:
        assert await second.work.semantic.embed_missing("demo") == 0
        assert len(provider.asked) == before
        assert await listed(second, agent, IN_OTHER_WORDS) == [RULE, OTHER_RULE]
        assert [asked.body["input"] for asked in provider.asked[before:]] == [[IN_OTHER_WORDS]]


async def test_lessons_are_embedded_in_batches(
    settings: Settings, clock: Clock, provider: FakeProvider, loop: Loop, agent: Caller
) -> None:
    for number in ["one", "two", "three", "four", "five"]:
        await loop.learn(agent, f"Mind the zeppelin in case {number * 2}.")
    async with started(settings, clock, semantic(provider, batch_size=2)) as batched:
        assert await batched.work.semantic.embed_missing("demo") == 5
    assert [len(asked.body["input"]) for asked in provider.asked] == [2, 2, 1]


@on_both
async def test_a_changed_lesson_is_embedded_anew_and_one_whose_words_stay_is_not(
    with_model: Loop, stocked, provider: FakeProvider, agent: Caller, person: Caller, clock: Clock
) -> None:
    assert await listed(with_model, agent, IN_OTHER_WORDS) == [RULE, OTHER_RULE]
    before = len(provider.asked)
    await with_model.review(person, stocked[RULE], "pin", reason="it matters")
    assert await with_model.work.semantic.embed_missing("demo") == 0
    assert len(provider.asked) == before
    clock.go_on(minutes=5)
    text = "Escape text before it becomes markup."
    await with_model.review(person, stocked[RULE], "edit", reason="better", text=text)
    assert await with_model.work.semantic.embed_missing("demo") == 1
    assert await served(with_model, agent, "what a browser renders") == [text]


FAILURES: dict[str, Behaviour] = {
    "an error": fails(500),
    "no answer in time": stalls,
    "half an answer": cut,
    "broken JSON": sends(b'{"data": ['),
    "another shape": sends(b'{"data": [{"index": 0}]}'),
    "too few vectors": embeds_too_few,
    "another length": embeds_otherwise([1.0, 2.0]),
    "no direction": embeds_otherwise([0.0, 0.0, 0.0, 0.0]),
    "no number": embeds_otherwise([float("nan")] * 4),
}


def counted_tries(loop: Loop) -> list[str]:
    """Return a list that grows by a query whenever the model is asked: what is given up early may never reach it."""
    tries: list[str] = []
    embedder = loop.work.semantic.embedder
    assert embedder is not None
    embed = embedder.embed

    async def counted(texts: Sequence[str], timeout_s: float) -> list[bytes]:
        tries.extend(texts)
        return await embed(texts, timeout_s)

    embedder.embed = counted
    return tries


@pytest.mark.parametrize(
    ("failure", "ask"), [*((failure, served) for failure in FAILURES), (next(iter(FAILURES)), listed)]
)
async def test_where_the_model_fails_words_find_lessons_and_it_is_told_once_and_tried_again_after_a_rest(
    settings: Settings,
    clock: Clock,
    provider: FakeProvider,
    stocked,
    agent: Caller,
    failure: str,
    ask,
    caplog: pytest.LogCaptureFixture,
) -> None:
    in_time = {"timeout_s": 0.01} if failure == "no answer in time" else {}
    async with started(settings, clock, semantic(provider, **in_time)) as loop:
        provider.will(FAILURES[failure])
        tries = counted_tries(loop)
        for _ in range(3):
            assert await ask(loop, agent, BY_WORDS) == [RULE]
        assert len(tries) == 1
        clock.go_on(seconds=PAUSE_S + 1)
        assert await ask(loop, agent, BY_WORDS) == [RULE]
        assert len(tries) == 2
        assert caplog.text.count("lessons are found by words alone") == 1
        clock.go_on(seconds=PAUSE_S + 1)
        provider.will(embeds)
        loop.work.semantic.settings = loop.work.semantic.settings.model_copy(update={"timeout_s": 60})
        assert next(iter(await ask(loop, agent, IN_OTHER_WORDS))) == RULE


async def test_a_model_that_fails_while_lessons_are_embedded_leaves_them_for_later(
    with_model: Loop, provider: FakeProvider, agent: Caller
) -> None:
    await with_model.learn(agent, RULE)
    provider.will(fails(500))
    assert await with_model.work.semantic.embed_missing("demo") == 0
    assert await with_model.count(lesson_vectors) == [0]
    provider.will(embeds)
    assert await with_model.work.semantic.embed_missing("demo") == 1


@on_both
async def test_no_transaction_is_open_while_the_model_works(
    loop: Loop, with_model: Loop, stocked, provider: FakeProvider, agent: Caller
) -> None:
    gate, answers = Gate(), []
    provider.will(gate)

    async def ask() -> None:
        answers.append(await served(with_model, agent, IN_OTHER_WORDS))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        assert await anyio.to_thread.run_sync(gate.reached.wait, PATIENCE_S)
        await loop.learn(agent, "Mind the zeppelin.")  # on SQLite there is one writer at a time
        assert answers == []
        gate.opened.set()
    assert answers == [[RULE]]


@on_both
async def test_a_deleted_lesson_leaves_no_vector_behind_in_any_process(
    settings: Settings, clock: Clock, provider: FakeProvider, with_model: Loop, stocked, agent: Caller, person: Caller
) -> None:
    async with started(settings, clock, semantic(provider)) as second:
        assert stocked[RULE] in await second.work.semantic.similar("demo", IN_OTHER_WORDS)
        await with_model.review(person, stocked[RULE], "delete", reason="it holds a name")
        assert await with_model.rows(lesson_vectors, "lesson_id") == [stocked[OTHER_RULE]]
        assert list(await second.work.semantic.similar("demo", IN_OTHER_WORDS)) == [stocked[OTHER_RULE]]
        assert await second.work.semantic.embed_missing("demo") == 0


@on_both
async def test_a_rejected_lesson_is_forgotten_and_embedded_again_when_it_is_restored(
    with_model: Loop, stocked, agent: Caller, person: Caller
) -> None:
    await with_model.review(person, stocked[RULE], "reject", reason="wrong")
    await with_model.work.semantic.embed_missing("demo")
    assert await with_model.rows(lesson_vectors, "lesson_id") == [stocked[OTHER_RULE]]
    await with_model.review(person, stocked[RULE], "restore", reason="right after all")
    assert await with_model.work.semantic.embed_missing("demo") == 1


@on_both
async def test_a_lesson_deleted_while_the_model_works_gets_no_vector(
    loop: Loop, with_model: Loop, provider: FakeProvider, agent: Caller, person: Caller
) -> None:
    lesson_id, gate = await loop.learn(agent, RULE), Gate()
    provider.will(gate, embeds)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(with_model.work.semantic.embed_missing, "demo")
        assert await anyio.to_thread.run_sync(gate.reached.wait, PATIENCE_S)
        await loop.review(person, lesson_id, "delete", reason="it holds a name")
        gate.opened.set()
    assert await loop.count(lesson_vectors) == [0]


async def test_vectors_of_another_model_are_never_compared(
    settings: Settings, clock: Clock, provider: FakeProvider, stocked, agent: Caller
) -> None:
    before = len(provider.asked)
    async with started(settings, clock, semantic(provider, model="large")) as other:
        assert await served(other, agent, IN_OTHER_WORDS) == []
        assert len(provider.asked) == before
        assert await other.work.semantic.embed_missing("demo") == len(stocked)
        assert await served(other, agent, IN_OTHER_WORDS) == [RULE]
        assert await other.count(lesson_vectors) == [2 * len(stocked)]


async def test_what_another_project_has_is_neither_embedded_nor_compared(
    with_model: Loop, stocked, agent: Caller, stranger: Caller
) -> None:
    semantic = with_model.work.semantic
    assert await semantic.embed_missing(stranger.project) == 0
    assert await semantic.similar(stranger.project, IN_OTHER_WORDS) == {}
    theirs = await with_model.learn(stranger, RULE)
    assert await semantic.embed_missing(stranger.project) == 1
    assert list(await semantic.similar(stranger.project, IN_OTHER_WORDS)) == [theirs]
    assert set(await semantic.similar(agent.project, IN_OTHER_WORDS)) == set(stocked.values())


async def test_the_key_is_sent_and_never_told(
    with_model: Loop, stocked, provider: FakeProvider, agent: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await served(with_model, agent, IN_OTHER_WORDS)
    provider.will(fails(401, "this key is wrong"))
    assert await served(with_model, agent, IN_OTHER_WORDS) == []
    assert {asked.headers["authorization"] for asked in provider.asked} == {f"Bearer {KEY}"}
    assert "the server answers 401" in caplog.text
    assert KEY not in caplog.text
    assert KEY not in "".join((await doctor_checks.diagnose(with_model.work)).warnings)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"model": "/no/such/folder"}, "semantic.model is not a folder"),
        (
            {"model": "m", "base_url": "http://127.0.0.1:9/v1", "api_key_env": "LESSONBOOK_NO_KEY"},
            "semantic.api_key_env names LESSONBOOK_NO",
        ),
    ],
)
async def test_a_model_that_cannot_be_opened_is_told_once_and_by_the_doctor_and_words_go_on(
    settings: Settings, clock: Clock, agent: Caller, caplog: pytest.LogCaptureFixture, given, words: str
) -> None:
    async with started(settings, clock, given) as loop:
        await loop.learn(agent, RULE)
        assert await loop.work.semantic.embed_missing("demo") == 0
        assert await served(loop, agent, BY_WORDS) == [RULE]
        assert await listed(loop, agent, BY_WORDS) == [RULE]
        assert caplog.text.count(words) == 1
        diagnosis = await doctor_checks.diagnose(loop.work)
    assert diagnosis.healthy
    assert any(words in warning for warning in diagnosis.warnings)


async def test_without_the_extra_the_server_says_so_and_words_go_on(
    with_model: Loop, agent: Caller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(embeddings, "find_spec", lambda _: None)
    await with_model.learn(agent, RULE)
    assert await with_model.work.semantic.embed_missing("demo") == 0
    assert await served(with_model, agent, BY_WORDS) == [RULE]
    assert caplog.text.count('pip install "lessonbook[semantic]"') == 1
    assert 'pip install "lessonbook[semantic]"' in "".join((await doctor_checks.diagnose(with_model.work)).warnings)


async def test_the_doctor_has_nothing_to_say_of_a_model_that_works(with_model: Loop, stocked) -> None:
    assert "words alone" not in "".join((await doctor_checks.diagnose(with_model.work)).warnings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("base_url", f"https://me:{KEY}@host/v1"),
        ("api_key_env", KEY),
        ("timeout_s", 0),
        ("batch_size", 0),
        ("every_s", -1),
        ("modle", "small"),
    ],
)
def test_a_wrong_setting_is_named_without_a_key_that_stands_in_it(name: str, value: object) -> None:
    with pytest.raises(ConfigError) as told:
        load_settings({"semantic": {name: value}})
    assert f"semantic.{name}" in str(told.value)
    assert KEY not in str(told.value)
