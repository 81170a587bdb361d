"""Comments of reviewers on a pull request, as GitHub's REST API lists them and its webhook sends them."""

import re
from typing import Final

from lessonbook.domain.documents import Unreadable, checked, index_of, object_of, text_of
from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.findings import Finding, Reading
from lessonbook.intake.fields import MAX_DESCRIPTION_CHARS, line_in, path_in
from lessonbook.intake.json_events import open_json
from lessonbook.intake.json_records import RECORD_MAX, Layout, open_records, outcome_of
from lessonbook.intake.json_values import Allowance, build, wanted
from lessonbook.intake.report_file import ReportFile

PRAISE_MAX: Final = 100

_ADVICE: Final = "give the list that GitHub answers at /repos/{owner}/{repo}/pulls/{number}/comments, or its webhook"
_HIDDEN: Final = re.compile(r"<!--.*?(?:-->|\Z)", re.S)
_QUOTED: Final = re.compile(r"^[ ]{0,3}>.*$\n?", re.M)
_PRAISE: Final = re.compile(
    r"(?::\w+:|\+1|\W|\b(?:lgtm|looks? (?:good|great|fine)(?: to me)?|sgtm|ship it|approved?|thanks?(?: you)?|thx|ty|"
    r"nice(?: work| one)?|great(?: work| job)?|good (?:catch|point|job|work)|well done|love (?:it|this)|perfect|"
    r"awesome|done|fixed|ok(?:ay)?|agreed|resolved|ack|same here)\b)++",
    re.IGNORECASE,
)
"""A whole comment of such words names no problem."""


def open_review(file: ReportFile) -> Reading:
    """Return one finding per comment that opens a thread: of a list of comments, one comment, or a webhook's payload.

    Answers within a thread, deleted comments and quotations in a comment are left out. Authors are not kept.

    Raises:
        InvalidInput: the file is not of this kind.
    """
    with open_json(file, _ADVICE).events() as events:
        opening = next(events)
        if opening[0] == "start_array":
            return open_records(file, _COMMENTS)
        payload = object_of(build(events, opening, Allowance(RECORD_MAX), _PAYLOAD))
    if "comment" not in payload and "body" not in payload:
        raise InvalidInput(f"{file.place} has no `comment`; {_ADVICE}")
    comment, place = (payload["comment"], "comment") if "comment" in payload else (payload, "the comment")
    outcome = None if payload.get("action") == "deleted" else outcome_of(comment, place, _read)
    return Reading("review", 1, (one for one in (outcome,)))


def _read(comment: dict[str, object]) -> Finding | None:
    if comment.get("in_reply_to_id") is not None:
        return None
    body = _QUOTED.sub("", _HIDDEN.sub("", text_of(comment.get("body")).replace("\r\n", "\n")))
    described = checked(body, "body").strip()
    if not described:
        raise Unreadable("has no words of its own")
    if len(described) <= PRAISE_MAX and _PRAISE.fullmatch(described):
        raise Unreadable("names no problem")
    number = index_of(comment.get("id"))
    line = line_in(comment.get("line"))
    return Finding(
        description=described[:MAX_DESCRIPTION_CHARS],
        file=path_in(text_of(comment.get("path"))),
        line=line_in(comment.get("original_line")) if line is None else line,
        fingerprint=f"github-comment={number}" if number is not None else "",
    )


_COMMENT: Final = wanted("id", "body", "path", "line", "original_line", "in_reply_to_id")
_PAYLOAD: Final = wanted(*_COMMENT, "action", comment=_COMMENT)
"""A webhook's payload, or a comment alone."""
_COMMENTS: Final = Layout(kind="review", lists=(), shape=_COMMENT, advice=_ADVICE, read=_read)
