"""The agents lessons are kept for, and which of them a piece of work belongs to."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache, lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final, Literal, get_args

from pydantic import with_config

from lessonbook.classify.hints import Hints
from lessonbook.classify.text_model import features_of, load_model, softmax
from lessonbook.domain.documents import Label, Phrases, load_toml
from lessonbook.domain.errors import ConfigError
from lessonbook.domain.vocabulary import SHARED_AGENT
from lessonbook.screening.redact import redact, secret_in_id

ROUTE_CONFIDENCE_MIN: Final = 0.4
"""The least probability at which work is routed; below it, it goes to the default agent of the settings."""

Area = Literal["backend", "frontend", "infrastructure", "database", "data", "ml", "test", "docs"]
"""The field of work an agent belongs to."""
AREAS: Final[tuple[Area, ...]] = get_args(Area)

_SUFFIX: Final = "agent"

_FILES_WEIGHT: Final = 0.8
_WORDS_WEIGHT: Final = 0.5
_SPECIAL_WORDS_WEIGHT: Final = 0.4
_GENERAL_WORDS_WEIGHT: Final = 0.1
"""The weights of a point for files and for words beside the area model's log-probability. In an area that the model
knows, it has weighed most words already: those of the area's first agent count least, those of its specialists more."""
_SHARPNESS: Final = 1.65
"""Fitted on commits the model had not seen, so that of what is routed with confidence c a share of c is right."""
_UNKNOWN_AREA: Final = 0.1
"""The prior probability of an area that the area model does not know."""
_LEAST: Final = 0.01
"""The least probability of an area, so that the model alone rules none out."""
_MIN_LIKENESS: Final = 0.5
_SEPARATORS = re.compile(r"[\s_-]+")


@with_config(extra="forbid")
@dataclass(frozen=True, slots=True)
class RosterAgent:
    """One agent: its area, what it answers for, other names, file patterns and words of its work."""

    name: Label
    area: Area
    answers_for: Label
    aliases: Phrases = ()
    files: Phrases = ()
    words: Phrases = ()


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

    __slots__ = ("_claimants", "_names", "agents", "hints")

    def __init__(self, agents: Iterable[RosterAgent]) -> None:
        self.agents: tuple[RosterAgent, ...] = tuple(agents)
        self._names: Mapping[str, str] = {
            folded(name): agent.name for agent in reversed(self.agents) for name in (*agent.aliases, agent.name)
        }
        self._claimants = (*self.agents, _DOCUMENTS)
        self.hints = Hints([agent.words for agent in self._claimants], [agent.files for agent in self._claimants])

    def resolve(self, name: str) -> str:
        """Return the roster's name for `name` or an alias of it; an unknown name comes back with secrets redacted."""
        stripped = name.strip()
        return self._names.get(folded(stripped)) or _unsecret(stripped)

    def known(self, name: str) -> bool:
        """Return whether `name` is an agent of the roster, in any spelling, or the shared agent."""
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

        None where no agent claims a word or file, and the area model's best stays below `ROUTE_CONFIDENCE_MIN`.
        Documentation, if no agent keeps it, goes to the agent with the most words or files in it. Ties go to the agent
        that comes first in the roster.
        """
        words, places = self.hints.of_text(text), self.hints.of_files(files)
        areas = self.areas(text, words, places)
        evidence = list(map(sum, zip(words, places, strict=True)))
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
        """Return the agent of `route` where its probability is at least `ROUTE_CONFIDENCE_MIN`, or None."""
        routed = self.route(text, files)
        return routed[0] if routed is not None and routed[1] >= ROUTE_CONFIDENCE_MIN else None

    def areas(self, text: str, words: Sequence[float], files: Sequence[float]) -> dict[str, float]:
        """Return the probability of each area that the area model, or points of `hints` for words or files, support.

        An area can be one that no agent of the roster has, such as `docs`.
        """
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


@with_config(extra="forbid")
@dataclass(frozen=True, slots=True)
class _RosterFile:
    version: Literal[1]
    agent: tuple[RosterAgent, ...] = ()


@cache
def load_roster(path: Path | None = None) -> Roster:
    """Return the roster in the TOML file `path`; without one, the packaged roster.

    Raises:
        ConfigError: the file cannot be read, or an agent in it is malformed or given twice; names file and key.
    """
    file: Traversable = resources.files("lessonbook") / "data" / "roster.toml" if path is None else path
    agents = load_toml(file, _RosterFile).agent
    _refuse_shared_names(agents, file.name)
    return Roster(agents)


def _refuse_shared_names(agents: Sequence[RosterAgent], file: str) -> None:
    owners: dict[str, RosterAgent] = {}
    for agent in agents:
        for name in (agent.name, *agent.aliases):
            owner = owners.setdefault(folded(name), agent)
            if owner is not agent:
                raise ConfigError(f"{file}: agent {agent.name}: has {name!r}, which means {owner.name} already")


def area_probabilities(text: str) -> dict[str, float]:
    """Return the probability of each area by a model trained on commits of public projects, `bench/train_routing.py`.

    Empty where the model knows no word of `text`. Few words are little evidence, whatever they are: of `n` known ones
    the log-probabilities count `n / (n + 1)`.
    """
    model = load_model("routing")
    features = features_of(text)
    known = model.known_words(features)
    if not known:
        return {}
    share = known / (known + 1)
    return softmax({area: share * math.log(chance) for area, chance in model.probabilities(features).items()})


def folded(name: str) -> str:
    """Return a name without what its spellings differ in: case, blanks, dashes and the ending `Agent`."""
    bare = _SEPARATORS.sub("", name.casefold())
    return bare.removesuffix(_SUFFIX) or bare


@lru_cache(maxsize=1_000)
def _unsecret(name: str) -> str:
    return redact(name)[0] if secret_in_id(name) else name


def _likeness(wanted: str, known: str) -> float:
    return SequenceMatcher(None, wanted, known, autojunk=False).ratio() if wanted and known else 0.0
