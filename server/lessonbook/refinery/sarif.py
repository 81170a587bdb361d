"""Findings of scanners, read from SARIF 2.1.0 files."""

import hashlib
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from lessonbook.errors import InvalidInput
from lessonbook.models.findings import Finding, Intake
from lessonbook.models.vocabulary import Severity
from lessonbook.refinery.documents import (
    Unreadable,
    checked,
    index_of,
    is_list,
    is_object,
    item_at,
    list_of,
    load_json,
    object_of,
    text_of,
)
from lessonbook.refinery.sarif_rules import (
    Rule,
    RuleBook,
    canonical_rule_id,
    cwes_in,
    score_in,
    severity_of_score,
    tagged_security,
    unique,
)

VERSION: Final = "2.1.0"
MAX_DESCRIPTION_CHARS: Final = 20_000

_ADVICE: Final = "give the file a scanner wrote with its SARIF 2.1.0 output"
_SEVERITIES: Final[dict[str, Severity]] = {"error": "high", "warning": "medium", "note": "low"}
_UNGRADED_TOOLS: Final = frozenset({"ruff"})
"""Tools that write one level for every rule, so that it says nothing of a rule's weight."""
_KNOWN_BEFORE: Final = frozenset({"unchanged", "updated", "absent"})
_PLACE_IN_TEMPLATE = re.compile(r"\{(\d{1,4})\}|\{\{|\}\}")
_LINK_TO_LOCATION = re.compile(r"\[([^\[\]]+)\]\(\d+\)")
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")
_FILE_SCHEME = re.compile(r"file:(?://(?:localhost)?(?=/))?", re.IGNORECASE)
_HERE = re.compile(r"\A(?:\./+)+")
_DRIVE = re.compile(r"/(?=[a-zA-Z]:/)")
_MAX_BASES: Final = 10
_MAX_FINGERPRINT_CHARS: Final = 200
_MAX_LINE: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class _Run:
    rules: RuleBook
    artifacts: list[object]
    bases: dict[str, object]


def read_sarif(data: bytes | str, *, place: str = "SARIF") -> Intake:
    """Return the findings of a SARIF 2.1.0 file, in order, and the results that could not be read.

    Left out are results that are no failures, have the level `none` or are suppressed. A file path is relative where
    the scanner wrote a relative address: bases on the scanner's machine are not put before it. Tools that give every
    rule the same level (ruff) leave the severity open. `place` names the file in errors.

    Raises:
        InvalidInput: this is no SARIF 2.1.0 file.
    """
    log = load_json(data, place=place, advice=_ADVICE)
    if not is_object(log):
        raise InvalidInput(f"{place} is JSON, but no SARIF object; {_ADVICE}")
    runs = log.get("runs")
    if not is_list(runs):
        raise InvalidInput(f"{place} has no list of `runs`; {_ADVICE}")
    if log.get("version") != VERSION:
        raise InvalidInput(f"{place} is not SARIF {VERSION}; {_ADVICE}")
    intake = Intake()
    for number, run in enumerate(runs):
        _read_run(run, f"runs[{number}]", intake)
    return intake


def _read_run(content: object, place: str, intake: Intake) -> None:
    if not is_object(content):
        intake.refuse(place, "is no object")
        return
    results = content.get("results")
    if results is not None and not is_list(results):
        intake.refuse(f"{place}.results", "is no list")
    run = _Run(RuleBook(content), list_of(content.get("artifacts")), object_of(content.get("originalUriBaseIds")))
    for number, result in enumerate(list_of(results)):
        try:
            finding = _finding(result, run)
        except Unreadable as error:
            intake.refuse(f"{place}.results[{number}]", str(error))
        else:
            intake.findings.extend([finding] if finding else [])


def _finding(result: object, run: _Run) -> Finding | None:
    if not is_object(result):
        raise Unreadable("is no object")
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
    secure = rule.is_security or bool(cwes) or score is not None or tagged_security(properties)
    return Finding(
        description=_description(result, rule, run),
        severity=_severity(level, score, run),
        category="security" if secure else None,
        file=file,
        line=line,
        rule_id=rule_id,
        keys=unique([rule_id, *cwes]),
        fingerprint=_fingerprint(result),
        is_new=text_of(result.get("baselineState")) not in _KNOWN_BEFORE,
        metadata=rule.metadata,
    )


def _is_left_out(result: dict[str, object]) -> bool:
    suppressions = [object_of(suppression) for suppression in list_of(result.get("suppressions"))]
    is_suppressed = any(suppression.get("status") in (None, "accepted") for suppression in suppressions)
    return is_suppressed or result.get("kind") not in (None, "fail")


def _severity(level: str, score: float | None, run: _Run) -> Severity | None:
    if score is not None:
        return severity_of_score(score)
    return None if run.rules.tool in _UNGRADED_TOOLS else _SEVERITIES.get(level)


def _description(result: dict[str, object], rule: Rule, run: _Run) -> str:
    message = object_of(result.get("message"))
    text = text_of(message.get("text"))
    if not text and (key := text_of(message.get("id"))):
        template = object_of(rule.messages.get(key) or run.rules.messages.get(key))
        text = text_of(template.get("text"))
    text = text or text_of(message.get("markdown"))
    arguments = [text_of(argument) for argument in list_of(message.get("arguments"))]
    filled = _filled(text[:MAX_DESCRIPTION_CHARS], arguments) if arguments else text[:MAX_DESCRIPTION_CHARS]
    described = checked(_LINK_TO_LOCATION.sub(r"\1", filled), "message").strip()
    if not described:
        raise Unreadable("has no message")
    return described[:MAX_DESCRIPTION_CHARS]


def _filled(template: str, arguments: list[str]) -> str:
    """Return a message with its arguments in place, built no further than is kept."""
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


def _location(result: dict[str, object], run: _Run) -> tuple[str, int | None]:
    first = object_of(item_at(list_of(result.get("locations")), 0))
    physical = object_of(first.get("physicalLocation"))
    artifact = object_of(physical.get("artifactLocation"))
    if not text_of(artifact.get("uri")):
        known = object_of(item_at(run.artifacts, index_of(artifact.get("index"))))
        artifact = object_of(known.get("location")) or artifact
    line = index_of(object_of(physical.get("region")).get("startLine"))
    file = " ".join(checked(_path(artifact, run.bases), "file path").split())
    return checked(file, "file path", max_chars=1000), line if line and line <= _MAX_LINE else None


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
    return _HERE.sub("", path, count=1)


def _is_relative(uri: str) -> bool:
    return not uri.startswith(("/", "\\")) and not _SCHEME.match(uri)


def _fingerprint(result: dict[str, object]) -> str:
    marks = object_of(result.get("fingerprints")) or object_of(result.get("partialFingerprints"))
    joined = "|".join(f"{name}={mark}" for name, mark in sorted(marks.items()) if isinstance(mark, str))
    if len(joined) > _MAX_FINGERPRINT_CHARS:
        return "sha256=" + hashlib.sha256(joined.encode("utf-8", "surrogatepass")).hexdigest()
    return checked(joined, "fingerprint")
