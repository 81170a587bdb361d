"""A severity and a category for an issue whose reporter gave none."""

import re
from typing import Final

from lessonbook.models.vocabulary import Category, Severity

_SEVERITIES: Final[tuple[tuple[Severity, re.Pattern[str]], ...]] = (
    (
        "critical",
        re.compile(
            r"\b(?:sql injection|remote code execution|rce|command injection|auth\w* bypass|data loss|credential leak"
            r"|hard-?coded (?:password|secret|credential|key)s?|plain ?text passwords?|arbitrary code|deserializ\w+"
            r"|privilege escalation|production (?:is )?down|leaks? (?:secrets?|passwords?|credentials?))\b",
            re.I,
        ),
    ),
    (
        "high",
        re.compile(
            r"\b(?:injection|xss|cross-site|csrf|ssrf|path traversal|vulnerab\w+|insecure|crash\w*|deadlock\w*|race"
            r" condition|corrupt\w*|unauthori[sz]ed|segfault|memory leak|unbounded|data leak\w*|outage|infinite loop"
            r"|weak (?:hash|cipher|crypto\w*))\b",
            re.I,
        ),
    ),
    (
        "low",
        re.compile(
            r"\b(?:typo|naming|style|formatting|whitespace|unused (?:import|variable)|docstring|cosmetic)\b", re.I
        ),
    ),
)

_CATEGORIES: Final[tuple[tuple[Category, re.Pattern[str]], ...]] = (
    (
        "security",
        re.compile(
            r"\b(?:injection|xss|csrf|ssrf|auth\w*|passwords?|secrets?|credentials?|tokens?|encrypt\w*|vulnerab\w+"
            r"|insecure|cve-\d|cwe-\d|traversal|privileges?|sanitiz\w+|tls|certificates?|permissions?|pickle)\b",
            re.I,
        ),
    ),
    ("testing", re.compile(r"\b(?:tests?|flaky|coverage|mock\w*|fixtures?|assert\w*)\b", re.I)),
    (
        "performance",
        re.compile(
            r"\b(?:slow\w*|latency|n\+1|performance|throughput|memory usage|timeouts? under load|cache misses)\b", re.I
        ),
    ),
    (
        "reliability",
        re.compile(
            r"\b(?:timeouts?|retr(?:y|ies)|crash\w*|deadlock\w*|race|leaks?|unhandled|hang\w*|outage|restarts?)\b", re.I
        ),
    ),
    ("data", re.compile(r"\b(?:migrations?|schema|data ?loss|duplicates? rows?|null values?|dataset|leakage)\b", re.I)),
    (
        "infrastructure",
        re.compile(
            r"\b(?:docker\w*|kubernetes|k8s|helm|terraform|pods?|containers?|deploy\w*|pipelines?|nginx)\b", re.I
        ),
    ),
    (
        "api-design",
        re.compile(
            r"\b(?:endpoints?|status codes?|pagination|rest|openapi|graphql|backwards?[- ]compat\w+|versioning)\b", re.I
        ),
    ),
    (
        "ui",
        re.compile(
            r"\b(?:aria|accessib\w+|a11y|contrast|keyboard|screen readers?|layout|css|render\w*|components?)\b", re.I
        ),
    ),
    ("documentation", re.compile(r"\b(?:docs?|documentation|readme|docstrings?|comments?|changelog)\b", re.I)),
    (
        "maintainability",
        re.compile(r"\b(?:duplicat\w+|complex\w*|refactor\w*|unused|dead code|naming|readab\w+)\b", re.I),
    ),
    (
        "correctness",
        re.compile(r"\b(?:wrong|incorrect|bug|off[- ]by[- ]one|exception|error|fails?|broken|null|none)\b", re.I),
    ),
)


def severity_of(text: str) -> Severity:
    """Return the severity that the words of an issue suggest; `medium` where they suggest none."""
    for severity, pattern in _SEVERITIES:
        if pattern.search(text):
            return severity
    return "medium"


def category_of(text: str) -> Category:
    """Return the category that the words of an issue suggest; `other` where they suggest none."""
    for category, pattern in _CATEGORIES:
        if pattern.search(text):
            return category
    return "other"
