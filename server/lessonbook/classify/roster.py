"""The agents lessons are kept for, and which of them a piece of work belongs to."""

import math
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache, lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final, cast

from lessonbook.classify.areas import area_probabilities
from lessonbook.classify.hints import Hints
from lessonbook.classify.text_model import softmax
from lessonbook.domain.documents import texts_in
from lessonbook.domain.errors import ConfigError
from lessonbook.domain.vocabulary import SHARED_AGENT
from lessonbook.screening.redact import redact, secret_in_id

ROUTE_CONFIDENCE_MIN: Final = 0.4
"""Below this probability work is better left to the agent that is configured for all else."""

AREAS: Final = ("backend", "frontend", "infrastructure", "database", "data", "ml", "test", "docs")
"""The fields of work an agent can belong to."""

_VERSION: Final = 1
_FIELDS: Final = frozenset({"name", "area", "answers_for", "aliases", "files", "words"})
_SUFFIX: Final = "agent"

_FILES_WEIGHT: Final = 0.8
_WORDS_WEIGHT: Final = 0.5
_SPECIAL_WORDS_WEIGHT: Final = 0.4
_GENERAL_WORDS_WEIGHT: Final = 0.1
"""What a point of files and words counts beside the area model's log-probability. In an area that the model knows, it
has weighed most words already: those of its first agent count least, those of the others, its specialists, more."""
_SHARPNESS: Final = 1.65
"""Found on commits the model had not seen: of what is routed with confidence c, a share of c is routed rightly."""
_UNKNOWN_AREA: Final = 0.1
"""The probability, before any word, of an area that the area model does not know."""
_LEAST: Final = 0.01
"""No area is ruled out by the area model alone."""
_MIN_LIKENESS: Final = 0.5
_SEPARATORS = re.compile(r"[\s_-]+")


@dataclass(frozen=True, slots=True)
class RosterAgent:
    """One agent: its area, what it answers for, other names, file patterns and words of its work."""

    name: str
    area: str
    answers_for: str
    aliases: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


_DOCS: Final = "docs"
_DOCUMENTS: Final = RosterAgent(
    name="",
    area=_DOCS,
    answers_for="documents that no agent of a roster keeps",
    files=("*.md", "*.mdx", "*.rst", "*.adoc", "docs/**", "doc/**", "mkdocs.yml", "CHANGELOG*", "README*"),
    words=("documentation", "readme", "changelog", "release notes", "tutorial", "spelling", "typo", "mkdocs", "docs"),
)


class Roster:
    """The known agents; resolves their names and routes work to them."""

    __slots__ = ("_claimants", "_hints", "_names", "agents")

    def __init__(self, agents: Iterable[RosterAgent]) -> None:
        self.agents: tuple[RosterAgent, ...] = tuple(agents)
        self._names: Mapping[str, str] = {
            folded(name): agent.name for agent in reversed(self.agents) for name in (*agent.aliases, agent.name)
        }
        self._claimants = (*self.agents, _DOCUMENTS)
        self._hints = Hints([agent.words for agent in self._claimants], [agent.files for agent in self._claimants])

    def resolve(self, name: str) -> str:
        """Return the roster's name for `name` or an alias of it; an unknown name comes back with secrets marked."""
        stripped = name.strip()
        known = self._names.get(folded(stripped))
        return _unsecret(stripped) if known is None else known

    def known(self, name: str) -> bool:
        """Tell whether `name` is an agent of the roster, in any spelling, or the shared agent."""
        return name.strip() == SHARED_AGENT or folded(name) in self._names

    def find(self, name: str) -> RosterAgent | None:
        """Return the agent of that name, in any spelling, or None."""
        resolved = self.resolve(name)
        return next((agent for agent in self.agents if agent.name == resolved), None)

    def nearest(self, name: str, also: Iterable[str] = (), limit: int = 3) -> list[str]:
        """Return up to `limit` names most like `name`, best first, of the roster and of `also`."""
        wanted = folded(name)
        scores: dict[str, float] = {}
        for bare, known in (*self._names.items(), *((folded(other), other) for other in also)):
            scores[known] = max(scores.get(known, 0.0), _likeness(wanted, bare))
        ranked = sorted(scores, key=lambda known: -scores[known])
        return [known for known in ranked if scores[known] >= _MIN_LIKENESS][:limit]

    def route(self, text: str, files: Sequence[str] = ()) -> tuple[str, float] | None:
        """Return the agent that `text` and `files` point to and the probability that it is right, or None.

        None where nothing points anywhere: no agent claims a word or file, and what the area model makes of the words
        stays below `ROUTE_CONFIDENCE_MIN`. Documentation, if no agent keeps it, goes to the agent with the most words
        or files in it. Ties go to the agent that comes first in the roster.
        """
        words, files_found = self._hints.of_text(text), self._hints.of_files(files)
        areas = self._areas(text, words, files_found)
        evidence = [from_text + from_files for from_text, from_files in zip(words, files_found, strict=True)]
        documents = areas.get(_DOCS) == max(areas.values(), default=0.0)
        best: tuple[str, float] | None = None
        for area, probability in areas.items():
            index, share = self._first_of(area, evidence)
            if index is None or (documents and not evidence[index]):
                continue
            if best is None or probability * share > best[1]:
                best = self.agents[index].name, probability * share
        if best is None or not (any(evidence[: len(self.agents)]) or best[1] >= ROUTE_CONFIDENCE_MIN):
            return None
        return best[0], round(best[1], 4)

    def responsible(self, text: str, files: Sequence[str] = ()) -> str | None:
        """Return the agent that `text` and `files` point to surely enough to act on it, or None."""
        routed = self.route(text, files)
        return routed[0] if routed is not None and routed[1] >= ROUTE_CONFIDENCE_MIN else None

    def area_of(self, text: str, files: Sequence[str] = ()) -> tuple[str, float] | None:
        """Return the area of the work and the probability that it is right, or None without any hint.

        The area can be one that no agent of the roster has, such as `docs`.
        """
        areas = self._areas(text, self._hints.of_text(text), self._hints.of_files(files))
        best = max(areas, key=lambda area: areas[area], default=None)
        return None if best is None else (best, round(areas[best], 4))

    def _areas(self, text: str, words: Sequence[float], files: Sequence[float]) -> dict[str, float]:
        """Return the probability of each area that the words, the files or the area model speak for."""
        prior = area_probabilities(text)
        if not prior and not any(words) and not any(files):
            return {}
        scores = {area: math.log(max(probability, _LEAST)) for area, probability in prior.items()}
        first: set[str] = set()
        for agent, from_text, from_files in zip(self._claimants, words, files, strict=True):
            weight = _WORDS_WEIGHT
            if agent.area in prior:
                weight = _SPECIAL_WORDS_WEIGHT if agent.area in first else _GENERAL_WORDS_WEIGHT
            first.add(agent.area)
            score = weight * from_text + _FILES_WEIGHT * from_files
            score += math.log(max(prior.get(agent.area, _UNKNOWN_AREA), _LEAST))
            scores[agent.area] = max(score, scores.get(agent.area, -math.inf))
        return softmax({area: _SHARPNESS * score for area, score in scores.items()})

    def _first_of(self, area: str, evidence: Sequence[float]) -> tuple[int | None, float]:
        """Return the agent of `area` with the most evidence and its share among those that have any."""
        members = [index for index, agent in enumerate(self.agents) if agent.area == area]
        if not members:
            return None, 0.0
        best = max(members, key=lambda index: evidence[index])
        rivals = [index for index in members if evidence[index] or index == best]
        shares = softmax({str(index): _WORDS_WEIGHT * evidence[index] for index in rivals})
        return best, shares[str(best)]


@cache
def load_roster(path: Path | None = None) -> Roster:
    """Return the roster in the TOML file `path`; without one, the packaged roster.

    Raises:
        ConfigError: the file cannot be read, or an agent in it is malformed or given twice; names file and key.
    """
    file: Traversable = resources.files("lessonbook") / "data" / "roster.toml" if path is None else path
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file.name}: cannot be read as TOML: {error}") from error
    if unknown := sorted(document.keys() - {"version", "agent"}):
        raise ConfigError(f"{file.name}: unknown key {unknown[0]!r}; a roster has 'version' and 'agent'")
    if document.get("version") != _VERSION:
        raise ConfigError(f"{file.name}: 'version' has to be {_VERSION}")
    entries: object = document.get("agent", [])
    if not isinstance(entries, list):
        raise ConfigError(f"{file.name}: 'agent' has to be an array of tables")
    agents = [_agent(entry, file.name, number) for number, entry in enumerate(cast("list[object]", entries), start=1)]
    _refuse_shared_names(agents, file.name)
    return Roster(agents)


def _agent(entry: object, file: str, number: int) -> RosterAgent:
    if not isinstance(entry, dict):
        raise ConfigError(f"{file}: agent {number} has to be a table")
    table = cast("dict[str, object]", entry)
    where = f"{file}: agent {table.get('name') or number}"
    if unknown := sorted(table.keys() - _FIELDS):
        raise ConfigError(f"{where}: unknown key {unknown[0]!r}")
    agent = RosterAgent(
        name=_string(table, "name", where),
        area=_string(table, "area", where),
        answers_for=_string(table, "answers_for", where),
        aliases=texts_in(table, "aliases", where),
        files=texts_in(table, "files", where),
        words=texts_in(table, "words", where),
    )
    if agent.area not in AREAS:
        raise ConfigError(f"{where}: 'area' is {agent.area!r}; it has to be one of {', '.join(AREAS)}")
    return agent


def _refuse_shared_names(agents: Iterable[RosterAgent], file: str) -> None:
    owners: dict[str, str] = {}
    names: set[str] = set()
    for agent in agents:
        if agent.name in names:
            raise ConfigError(f"{file}: agent {agent.name}: 'name' is given twice")
        names.add(agent.name)
        for name in (agent.name, *agent.aliases):
            owner = owners.setdefault(folded(name), agent.name)
            if owner != agent.name:
                raise ConfigError(f"{file}: agent {agent.name}: 'aliases' has {name!r}, which means {owner}")


def _string(table: Mapping[str, object], name: str, where: str) -> str:
    value = table.get(name)
    if not isinstance(value, str) or not value.strip() or value != value.strip():
        raise ConfigError(f"{where}: {name!r} has to be a text")
    return value


def folded(name: str) -> str:
    """Return a name without what spellings of it differ in: case, blanks, dashes and the ending `Agent`."""
    bare = _SEPARATORS.sub("", name.casefold())
    return bare.removesuffix(_SUFFIX) or bare


@lru_cache(maxsize=1_000)
def _unsecret(name: str) -> str:
    return redact(name)[0] if secret_in_id(name) else name


def _likeness(wanted: str, known: str) -> float:
    return SequenceMatcher(None, wanted, known, autojunk=False).ratio() if wanted and known else 0.0
