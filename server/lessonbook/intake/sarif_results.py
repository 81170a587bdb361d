"""What one result of a SARIF file says: the problem, how grave it is, and where."""

import hashlib
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from lessonbook.domain.documents import checked, index_of, item_at, list_of, object_of, text_of
from lessonbook.domain.findings import Finding
from lessonbook.domain.vocabulary import Severity, severity_of_score
from lessonbook.intake.fields import MAX_DESCRIPTION_CHARS, line_in, message_in, path_in
from lessonbook.intake.sarif_rules import Rule, RuleBook, canonical_rule_id, cwes_in, score_in, tagged_security, unique
from lessonbook.machine.patterns import lazy_pattern

_SEVERITIES: Final[dict[str, Severity]] = {"error": "high", "warning": "medium", "note": "low"}
_UNGRADED_TOOLS: Final = frozenset({"ruff"})
"""Tools that give every rule the same level, so that it is not taken for a severity."""
_KNOWN_BEFORE: Final = frozenset({"unchanged", "updated"})
_STILL_OPEN: Final = frozenset({"underReview", "rejected"})
"""The status of a suppression that does not suppress."""
_PLACE_IN_TEMPLATE = lazy_pattern(r"\{(\d{1,4})\}|\{\{|\}\}")
_LINK_TO_LOCATION = lazy_pattern(r"\[([^\[\]]+)\]\(\d+\)")
_SCHEME = lazy_pattern(r"\A[a-zA-Z][a-zA-Z0-9+.-]*:")
_FILE_SCHEME = lazy_pattern(r"file:(?://(?:localhost)?(?=/))?", re.IGNORECASE)
_HERE = lazy_pattern(r"\A(?:\./+)+")
_DRIVE = lazy_pattern(r"/(?=[a-zA-Z]:/)")
_MAX_BASES: Final = 10
_NO_MARK: Final = "requires login"
"""What semgrep writes instead of a fingerprint."""
_MAX_FINGERPRINT_CHARS: Final = 200


@dataclass(frozen=True, slots=True)
class Run:
    """What the results of a run refer to, and what it says of its failure (`notes`).

    `clipped` names the member that was too large to be read whole.
    """

    rules: RuleBook
    artifacts: list[object]
    bases: dict[str, object]
    clipped: str
    notes: tuple[str, ...] = ()


def finding_of(result: dict[str, object], run: Run) -> Finding | None:
    """Return the finding that a result is; None where it is left out.

    Raises:
        Unreadable: neither the result nor its rule has a message, or it holds what cannot be stored.
    """
    rule = run.rules.rule_of(result)
    properties = object_of(result.get("properties"))
    score = score_in(properties)
    score = rule.score if score is None else score
    level = text_of(result.get("level")) or rule.level or "warning"
    if _is_left_out(result) or (level == "none" and score is None):
        return None
    cwes = unique([*rule.cwes, *cwes_in(properties), *run.rules.cwes_of(list_of(result.get("taxa")))])
    rule_id = checked(canonical_rule_id(run.rules.tool, rule.id), "rule id", max_chars=200)
    file, line = _location(result, run)
    is_security = rule.is_security or bool(cwes) or score is not None or tagged_security(properties)
    return Finding(
        description=_description(result, rule, run),
        severity=_severity(level, score, run),
        category="security" if is_security else None,
        file=file,
        line=line,
        rule_id=rule_id,
        keys=unique([rule_id, *cwes]),
        fingerprint=_fingerprint(result),
        is_new=text_of(result.get("baselineState")) not in _KNOWN_BEFORE,
        metadata=rule.metadata,
        tool=run.rules.tool,
        rule_title=rule.title,
    )


def _is_left_out(result: dict[str, object]) -> bool:
    suppressions = [text_of(object_of(each).get("status")) for each in list_of(result.get("suppressions"))]
    is_suppressed = bool(suppressions) and not _STILL_OPEN.intersection(suppressions)
    is_failure = result.get("kind") in (None, "fail")
    return is_suppressed or not is_failure or result.get("baselineState") == "absent"


def _severity(level: str, score: float | None, run: Run) -> Severity | None:
    if score is not None:
        return severity_of_score(score)
    return None if run.rules.tool in _UNGRADED_TOOLS else _SEVERITIES.get(level)


def _description(result: dict[str, object], rule: Rule, run: Run) -> str:
    message = object_of(result.get("message"))
    text = text_of(message.get("text"))
    if not text and (key := text_of(message.get("id"))):
        template = object_of(rule.messages.get(key) or run.rules.messages.get(key))
        text = text_of(template.get("text"))
    text = (text or text_of(message.get("markdown")))[:MAX_DESCRIPTION_CHARS]
    if arguments := [text_of(argument) for argument in list_of(message.get("arguments"))]:
        text = _filled(text, arguments)
    return message_in(_LINK_TO_LOCATION.sub(r"\1", text) or rule.words)


def _filled(template: str, arguments: list[str]) -> str:
    """Return a message with its arguments filled in, at most `MAX_DESCRIPTION_CHARS` long."""
    parts: list[str] = []
    end = size = 0
    for match in _PLACE_IN_TEMPLATE.finditer(template):
        inserted = _inserted(match, arguments)
        parts += [template[end : match.start()], inserted]
        end, size = match.end(), size + match.start() - end + len(inserted)
        if size > MAX_DESCRIPTION_CHARS:
            break
    return "".join([*parts, template[end:]])[:MAX_DESCRIPTION_CHARS]


def _inserted(match: re.Match[str], arguments: list[str]) -> str:
    if not match[1]:
        return match[0][0]
    number = int(match[1])
    return arguments[number] if number < len(arguments) else match[0]


def _location(result: dict[str, object], run: Run) -> tuple[str, int | None]:
    first = object_of(item_at(list_of(result.get("locations")), 0))
    physical = object_of(first.get("physicalLocation"))
    artifact = object_of(physical.get("artifactLocation"))
    if not text_of(artifact.get("uri")):
        known = object_of(item_at(run.artifacts, index_of(artifact.get("index"))))
        artifact = object_of(known.get("location")) or artifact
    return path_in(_path(artifact, run.bases)), line_in(object_of(physical.get("region")).get("startLine"))


def _path(artifact: dict[str, object], bases: dict[str, object]) -> str:
    uri = text_of(artifact.get("uri"))
    base_id = text_of(artifact.get("uriBaseId"))
    for _ in range(_MAX_BASES):
        base = object_of(bases.get(base_id))
        prefix = text_of(base.get("uri"))
        if not uri or not _is_relative(uri) or not prefix or not _is_relative(prefix):
            break
        uri, base_id = f"{prefix.rstrip('/')}/{uri}", text_of(base.get("uriBaseId"))
    path = unquote(_FILE_SCHEME.sub("", uri, count=1) if _FILE_SCHEME.match(uri) else uri).replace("\\", "/")
    path = _DRIVE.sub("", path, count=1) if _DRIVE.match(path) else path
    return _HERE.sub("", _below_base(path, bases), count=1)


def _below_base(path: str, bases: dict[str, object]) -> str:
    """Return a path relative to the deepest of the run's absolute bases that it is below; else as it is."""
    roots = (_plain(text_of(object_of(base).get("uri"))) for base in bases.values())
    below = [root for root in roots if len(root) > 1 and root.endswith("/") and path.startswith(root)]
    return path.removeprefix(max(below, key=len)) if below else path


def _plain(uri: str) -> str:
    """Return the path of an absolute `file:` address; empty where it is another."""
    if not _FILE_SCHEME.match(uri):
        return ""
    path = unquote(_FILE_SCHEME.sub("", uri, count=1)).replace("\\", "/")
    return _DRIVE.sub("", path, count=1) if _DRIVE.match(path) else path


def _is_relative(uri: str) -> bool:
    return not uri.startswith(("/", "\\")) and not _SCHEME.match(uri)


def _fingerprint(result: dict[str, object]) -> str:
    marks = object_of(result.get("fingerprints")) or object_of(result.get("partialFingerprints"))
    joined = "|".join(
        f"{name}={mark}" for name, mark in sorted(marks.items()) if isinstance(mark, str) and mark != _NO_MARK
    )
    if len(joined) > _MAX_FINGERPRINT_CHARS:
        return "sha256=" + hashlib.sha256(joined.encode("utf-8", "surrogatepass")).hexdigest()
    return checked(joined, "fingerprint")
