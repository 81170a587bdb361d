"""The agents lessons are kept for, and which of them a piece of work belongs to."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache, lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final, Literal, get_args

from pydantic import with_config

from lessonbook.classify.hints import Hints, Places
from lessonbook.classify.text_model import features_of, load_model, softmax
from lessonbook.domain.documents import Label, Phrases, load_toml
from lessonbook.domain.errors import ConfigError
from lessonbook.domain.vocabulary import SHARED_AGENT
from lessonbook.machine.patterns import lazy_pattern
from lessonbook.screening.redact import redact, secret_in_id

ROUTE_CONFIDENCE_MIN: Final = 0.4
"""The least probability at which work is routed; below it, it goes to the default agent of the settings."""
_LEAST_LEAD: Final = 1.2
"""How many times as likely as the next area's agent the responsible one is at least: a tie is nobody's."""
_DIFFERS_FROM: Final = 0.75
"""The probability from which a finding may go to another agent than the rest of its file."""

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
_SEPARATORS = lazy_pattern(r"[\s_-]+")


@with_config(extra="forbid")
@dataclass(frozen=True, slots=True)
class RosterAgent:
    """One agent: its area, what it answers for, other names, the places of its files and words of its work.

    `files`, `shared_files` and `languages` are those of `hints.Places`.
    """

    name: Label
    area: Area
    answers_for: Label
    aliases: Phrases = ()
    files: Phrases = ()
    shared_files: Phrases = ()
    languages: Phrases = ()
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

    __slots__ = ("_claimants", "_members", "_names", "agents", "hints")

    def __init__(self, agents: Iterable[RosterAgent]) -> None:
        self.agents: tuple[RosterAgent, ...] = tuple(agents)
        self._names: Mapping[str, str] = {
            folded(name): agent.name for agent in reversed(self.agents) for name in (*agent.aliases, agent.name)
        }
        self._claimants = (*self.agents, _DOCUMENTS)
        self._members: defaultdict[str, list[int]] = defaultdict(list)
        for index, agent in enumerate(self.agents):
            self._members[agent.area].append(index)
        self.hints = Hints(
            [agent.words for agent in self._claimants],
            [Places(agent.files, agent.shared_files, agent.languages) for agent in self._claimants],
        )

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
        return next(iter(self.routes(text, files)), None)

    def responsible(self, text: str, files: Sequence[str] = ()) -> str | None:
        """Return the agent of `route`, or None.

        None where its probability is below `ROUTE_CONFIDENCE_MIN`, or the agent of another area is nearly as likely.
        """
        return _leader(self.routes(text, files))

    def responsible_for_each(self, texts: Sequence[str], file: str) -> list[str | None]:
        """Return for each of several findings in one file the agent it belongs to, or None.

        All go to the agent that the file's place points to, else to the one that their words together point to, except
        a finding whose own words name another agent's work and make that agent likely.
        """
        words = [self.hints.of_text(text) for text in texts]
        routes = [next(iter(self.routes(text, [file], said)), None) for text, said in zip(texts, words, strict=True)]
        wordless = [0.0] * len(self._claimants)
        keeper = _leader(self._ranked("", wordless, self.hints.of_files([file], wordless)))
        if keeper is None:
            votes: defaultdict[str, float] = defaultdict(float)
            for agent, probability in filter(None, routes):
                votes[agent] += probability / len(texts)
            keeper = _leader(sorted(votes.items(), key=lambda vote: -vote[1]))
        return [
            routed[0] if routed is not None and self._differs(points, routed, keeper) else keeper
            for points, routed in zip(words, routes, strict=True)
        ]

    def _differs(self, words: Sequence[float], routed: tuple[str, float], keeper: str | None) -> bool:
        """Return whether a finding's words are about the work of another agent than its file's."""
        agent, probability = routed
        points = dict(zip((agent.name for agent in self.agents), words, strict=False))
        return agent != keeper and probability >= _DIFFERS_FROM and points[agent] > points.get(keeper or "", 0.0)

    def routes(
        self, text: str, files: Sequence[str] = (), words: Sequence[float] | None = None
    ) -> list[tuple[str, float]]:
        """Return the likeliest agent of each area with its probability, the likeliest first.

        `words` are the points of `hints` for the text, where they are known.
        """
        words = self.hints.of_text(text) if words is None else words
        return self._ranked(text, words, self.hints.of_files(files, words if text.strip() else None))

    def _ranked(self, text: str, words: Sequence[float], places: Sequence[float]) -> list[tuple[str, float]]:
        areas = self.areas(text, words, places)
        evidence = list(map(sum, zip(words, places, strict=True)))
        documents = areas.get(_DOCS) == max(areas.values(), default=0.0)
        found: list[tuple[str, float]] = []
        for area, probability in areas.items():
            index, share = self._first_of(area, evidence)
            if index is not None and (evidence[index] or not documents):
                found.append((self.agents[index].name, round(probability * share, 4)))
        found.sort(key=lambda one: -one[1])
        if not found or not (any(evidence[: len(self.agents)]) or found[0][1] >= ROUTE_CONFIDENCE_MIN):
            return []
        return found

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
        members = self._members.get(area)
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


def _leader(routes: Sequence[tuple[str, float]]) -> str | None:
    """Return the first agent where it is likely enough, and clearly more so than the second; else None."""
    if not routes or routes[0][1] < ROUTE_CONFIDENCE_MIN:
        return None
    return routes[0][0] if len(routes) == 1 or routes[0][1] >= _LEAST_LEAD * routes[1][1] else None


def _likeness(wanted: str, known: str) -> float:
    return SequenceMatcher(None, wanted, known, autojunk=False).ratio() if wanted and known else 0.0
