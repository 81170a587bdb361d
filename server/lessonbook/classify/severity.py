"""A severity and a category for an issue whose reporter gave none.

The severity comes from a score in the text, else from a weakness that it cites, else, in a report of a vulnerability,
from one that it describes, else from its gravest word. Categories come from a model trained on the packaged catalogue.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from math import log
from typing import Final, TypeVar, cast

from lessonbook.classify.cvss import score_in
from lessonbook.classify.text_model import features_of, load_model, softmax
from lessonbook.domain.documents import load_model_file
from lessonbook.domain.vocabulary import Category, Severity, severity_of_score
from lessonbook.machine.patterns import lazy_pattern
from lessonbook.search.lexicon.weaknesses import broader, weaknesses_in
from lessonbook.search.tokenizer import READ_MAX

_Name = TypeVar("_Name", bound=str)


def _patterns(words: Mapping[_Name, str]) -> dict[_Name, re.Pattern[str]]:
    return {name: lazy_pattern(rf"\b(?:{either})\b", re.I) for name, either in words.items()}


_SEVERITIES: Final[Mapping[Severity, re.Pattern[str]]] = _patterns(
    {
        "critical": (
            r"sql injection|remote code execution|rce|command injection|auth\w* bypass|credential leak"
            r"|hard-?coded (?:password|secret|credential|key)s?|plain ?text passwords?|arbitrary code|deserializ\w+"
            r"|privilege escalation|production (?:is )?down|leak(?:s|ed)? (?:secrets?|passwords?|credentials?)"
            r"|(?:data|records?|rows?|orders?|payments?) (?:loss|(?:are|is|was|were|gets?|got) (?:silently )?lost)"
            r"|(?:loses?|lost|deletes?|destroys?|wipes?|erases?) (?:all |customer |user |production |the )*"
            r"(?:data|records?|rows|files|backups?)"
            r"|data ?loss|(?:secrets?|passwords?|credentials?|api keys?|private keys?) (?:are |is |was |were )?"
            r"(?:committed|checked in|published|exposed|leaked|stored in plain ?text|written to the log|logged)"
            r"|without (?:any )?(?:password|authentication|login)|anyone can (?:log ?in|delete|read|change|access)"
        ),
        "high": (
            r"injection|xss|cross-site|csrf|ssrf|path traversal|vulnerab\w+|insecure|crash\w*|deadlock\w*|race"
            r" condition|corrupt\w*|unauthori[sz]ed|segfault|memory leak|unbounded|data leak\w*|outage|infinite loop"
            r"|weak (?:hash|cipher|crypto\w*)|out of memory|hangs? forever|charged twice|service (?:is )?unavailable"
            r"|cannot (?:log ?in|start|check ?out|pay)|regression in production|fails? in production|lost updates?"
            r"|permissions? (?:check )?(?:is |are )?missing|wrong (?:amount|price|balance)s?"
        ),
        "low": (
            r"typos?|misspel\w+|spelling|naming|renam\w+|style|formatting|white ?space|indentation"
            r"|unused (?:imports?|variables?|arguments?)|docstrings?|cosmetic\w*|nit|readme|changelog|comments? (?:is|are)"
            r" (?:outdated|wrong|missing)|import order|line too long|trailing comma|wording|alignment of|magic numbers?"
            r"|dead code|todo"
        ),
    }
)

_CATEGORIES: Final[Mapping[Category, re.Pattern[str]]] = _patterns(
    {
        "security": (
            r"injection|xss|csrf|ssrf|auth\w*|passwords?|secrets?|credentials?|tokens?|encrypt\w*|vulnerab\w+|insecure"
            r"|cve-\d|cwe-\d|traversal|privileges?|sanitiz\w+|tls|certificates?|permissions?|pickle"
        ),
        "testing": r"tests?|flaky|coverage|mock\w*|fixtures?|assert\w*",
        "performance": r"slow\w*|latency|n\+1|performance|throughput|memory usage|timeouts? under load|cache misses",
        "reliability": r"timeouts?|retr(?:y|ies)|crash\w*|deadlock\w*|race|leaks?|unhandled|hang\w*|outage|restarts?",
        "data": r"migrations?|schema|data ?loss|duplicates? rows?|null values?|dataset|leakage",
        "infrastructure": (
            r"docker\w*|kubernetes|k8s|helm|terraform|pods?|containers?|deploy\w*|pipelines?|nginx|ci|rollbacks?"
        ),
        "api-design": r"endpoints?|status codes?|pagination|rest|openapi|graphql|backwards?[- ]compat\w+|versioning",
        "ui": r"aria|accessib\w+|a11y|contrast|keyboard|screen readers?|layout|css|render\w*|components?",
        "documentation": r"docs?|documentation|readme|docstrings?|changelog|typos?|tutorials?|guides?",
        "maintainability": r"duplicat\w+|complex\w*|refactor\w*|unused|dead code|naming|readab\w+",
        "correctness": r"wrong|incorrect|bug|off[- ]by[- ]one|exception|error|fails?|broken|null|none",
    }
)

_REPORT: Final = lazy_pattern(
    r"\b(?:vulnerab\w+|attackers?|exploit\w*|cve-\d|ghsa-|advisor(?:y|ies)|affected (?:versions?|by)"
    r"|versions? (?:before|prior|up to|[<\d])|before (?:version )?v?\d|prior to|unsound\w*|soundness"
    r"|undefined behaviou?r|memory[- ](?:safety|corruption)|use[- ]after[- ]free|double[- ](?:free|drop)"
    r"|out[- ]of[- ]bounds|uninitiali[sz]ed|malicious\w*|backdoor|impersonat\w+|dangling|(?:un|mis)aligned"
    r"|buffer over(?:run|flow)|memory layout|resource exhaustion|denial[- ]of[- ]service|crafted|untrusted"
    r"|arbitrary (?:code|files?|commands?)|integer overflow|data races?|dereference|side[- ]channel|timing attack"
    r"|(?:cross[- ]site|injection|traversal|forgery|smuggling) (?:vulnerab|attack|issue)\w*"
    r"|(?:authenticated|unauthenticated|privileged) users?|verification bypass)\b",
    re.I,
)
_LEAST_OF_A_REPORT: Final = 60
"""The fewest characters of a report of a vulnerability; a shorter text is a remark."""
_WEAKNESS: Final = lazy_pattern(r"\bCWE[- ]?(\d{1,4})\b", re.I)

_NAMED_FIELD: Final = 0.8
_SPELLED_OUT: Final = 2.0
"""What a word that names a category adds to its log-probability; more where its words have no other sense."""
_UNMISTAKABLE: Final = frozenset({"documentation", "infrastructure"})
_LEAST_CATEGORY: Final = 0.3
"""The least probability of a category that no word names."""


def severity_of(text: str) -> Severity:
    """Return the severity that an issue's words suggest; `medium` where they suggest none."""
    beginning = text[:READ_MAX]
    score = score_in(beginning)
    if score is None:
        score = _usual_score(f"CWE-{number}" for number in _WEAKNESS.findall(beginning))
    if score is not None:
        return severity_of_score(score)
    severity = _severity_of_words(beginning)
    if severity != "critical" and len(beginning) >= _LEAST_OF_A_REPORT and _REPORT.search(beginning):
        score = _usual_score(mention.cwe for mention in weaknesses_in(beginning))
    return severity if score is None else severity_of_score(score)


def _severity_of_words(text: str) -> Severity:
    for severity, pattern in _SEVERITIES.items():
        if pattern.search(text):
            return severity
    return "medium"


@cache
def _mean_scores() -> dict[str, float]:
    """Return the mean CVSS score of advisories by the number of their CWE, written by `bench/train_severity.py`."""
    return load_model_file("severity")["weaknesses"]


def _usual_score(weaknesses: Iterable[str]) -> float | None:
    """Return the highest mean score of `weaknesses`, or of what each is a special case of; None for unknown ones."""
    known = _mean_scores()
    numbers = ((cwe.removeprefix("CWE-") for cwe in (weakness, *broader(weakness))) for weakness in weaknesses)
    scores = (next((known[number] for number in family if number in known), None) for family in numbers)
    return max((score for score in scores if score is not None), default=None)


def category_of(text: str) -> Category:
    """Return the category that the words of an issue suggest; `other` where they suggest none."""
    beginning = text[:READ_MAX]
    model = load_model("category")
    named = {category for category, pattern in _CATEGORIES.items() if pattern.search(beginning)}
    features = features_of(beginning)
    if not named and not model.known_words(features):
        return "other"
    chances = model.probabilities(features)
    probabilities = softmax({label: log(chance) + _bonus(label, named) for label, chance in chances.items()})
    best = max(probabilities, key=probabilities.__getitem__)
    return cast("Category", best) if best in named or probabilities[best] >= _LEAST_CATEGORY else "other"


def _bonus(label: str, named: Collection[str]) -> float:
    if label not in named:
        return 0.0
    return _SPELLED_OUT if label in _UNMISTAKABLE else _NAMED_FIELD
