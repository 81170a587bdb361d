"""Lessons of an agent, or of all, that say nearly the same as words that are offered, or the opposite."""

from typing import Final

from sqlalchemy import Connection

from lessonbook.dedup.alike_lessons import AlikeTexts
from lessonbook.domain.lesson import Caller
from lessonbook.domain.lesson_status import SERVABLE, STANDING
from lessonbook.domain.vocabulary import SHARED_AGENT
from lessonbook.store import lessons as lesson_rows

_SHOWN_MAX: Final = 160


class AlikeLessons:
    """Looks lessons up within one transaction; an agent's are read once, when they are first asked for.

    A person hears of every lesson that stands, an agent of those that are served.
    """

    def __init__(self, connection: Connection, caller: Caller, *, with_text: bool = False) -> None:
        """Let sentences quote the lesson or not.

        They must not for an agent, from whose run it may be withheld, nor where they are stored and would outlive it.
        """
        self._connection = connection
        self._caller = caller
        self._with_text = with_text
        self._texts: dict[str, str] = {}
        self._shelves: dict[str, AlikeTexts] = {}

    def sentence(self, agent_name: str, text: str) -> str:
        """Return which lesson of the agent, or of all agents, is most alike or contradicts; empty where none does."""
        shelves = dict.fromkeys((agent_name, SHARED_AGENT))
        near = [found for name in shelves if (found := self._shelf(name).most_alike(text)) is not None]
        found = max(near, key=lambda one: one.score, default=None)
        if found is None:
            return ""
        told = "It contradicts" if found.opposite else "It says nearly the same as"
        return f"{told} lesson {found.key}{self._shown(found.key)}."

    def same(self, agent_name: str, text: str) -> str:
        """Return the lesson of the agent, or of all agents, that says nearly the same; empty where none does."""
        near = (self._shelf(name).most_alike(text) for name in dict.fromkeys((agent_name, SHARED_AGENT)))
        found = max((one for one in near if one and not one.opposite), key=lambda one: one.score, default=None)
        return found.key if found else ""

    def add(self, agent_name: str, lesson_id: str, text: str) -> None:
        """Compare what comes later with a lesson that is made in this transaction as well."""
        shelf = self._shelf(agent_name)
        if lesson_id not in self._texts:  # the shelf may be read after the lesson was written
            self._texts[lesson_id] = text
            shelf.add(lesson_id, text)

    def _shelf(self, agent_name: str) -> AlikeTexts:
        if agent_name not in self._shelves:
            rows = lesson_rows.words_since(self._connection, self._caller.project, agent_name, 0)
            statuses = STANDING if self._caller.person else SERVABLE
            texts = {row.id: row.lesson_text for row in rows if row.lesson_text and row.status in statuses}
            self._texts |= texts
            self._shelves[agent_name] = AlikeTexts(texts.items())
        return self._shelves[agent_name]

    def _shown(self, lesson_id: str) -> str:
        if not self._with_text:
            return ""
        text = self._texts[lesson_id]
        return f", “{text if len(text) <= _SHOWN_MAX else f'{text[: _SHOWN_MAX - 1]}…'}”"
