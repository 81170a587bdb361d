"""Comments of reviewers, as GitHub, GitLab, Bitbucket and Gitea list them and send them to webhooks.

Lists, pages behind each other or in a list of their own, one object a line, threads, discussions, and what
`gh pr view --json comments,reviews` and GraphQL answer.
"""

import re
from collections.abc import Generator, Iterable, Iterator
from typing import Final

from lessonbook.domain.documents import Unreadable, checked, index_of, is_list, is_object, list_of, object_of, text_of
from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.findings import Finding, Outcome, Reading, Refused
from lessonbook.domain.vocabulary import words
from lessonbook.intake.fields import MAX_DESCRIPTION_CHARS, line_in, path_in
from lessonbook.intake.json_events import Event, Events, JsonFile, first_names, open_json
from lessonbook.intake.json_records import RECORD_MAX, TOO_LARGE, outcomes_of
from lessonbook.intake.json_values import Allowance, Shape, build, items, members, skip, wanted
from lessonbook.intake.report_file import ReportFile
from lessonbook.intake.review_words import names_problem, words_in
from lessonbook.machine.patterns import lazy_pattern

_ADVICE: Final = "give the list that GitHub answers at /repos/{owner}/{repo}/pulls/{number}/comments, or its webhook"
_DEPTH_MAX: Final = 20
_NOT_PROBLEMS: Final = frozenset({"APPROVED", "APPROVE", "DISMISSED", "PENDING"})
"""States of a review that reports no problem, whatever it says."""
_ANCHOR: Final = lazy_pattern(r"#(discussion_r|issuecomment-|pullrequestreview-)(\d{1,20})\Z")
_SPACES: Final = {
    "discussion_r": "github-comment",
    "issuecomment-": "github-issue-comment",
    "pullrequestreview-": "github-review",
}
"""The ids of comments on code, of the conversation and of reviews are counted apart."""

_Record = dict[str, object]

_LISTS: Final = words("comments reviews latestReviews nodes edges values reviewThreads notes")
_WAYS: Final = _LISTS | words("data repository pullRequest node resource mergeRequest project discussions")
"""Members on the way to comments."""
_SIGNS: Final = words("body comment note content text comments notes review object_attributes")
"""Members of an object that is a comment, or has one in it."""
_PLACES: Final = wanted("path", "new_path", "old_path", "line", "new_line", "old_line", "to", "from")
_COMMENT: Final = wanted(
    *("id", "databaseId", "fullDatabaseId", "url", "html_url", "body", "note", "text", "path", "line", "original_line"),
    *("originalLine", "in_reply_to_id", "deleted", "system", "state", "resolved", "resolvable", "resolver"),
    *("isResolved", "threadResolved", "isMinimized", "submitted_at", "submittedAt", "issue_url", "original_position"),
    *("noteable_type", "node_id", "resolution", "position"),
    content=wanted("raw"),
    replyTo=wanted("id"),
    parent=wanted("id"),
    inline=_PLACES,
    anchor=_PLACES,
    commentAnchor=_PLACES,
)
_TREE: Final[dict[str, Shape | None]] = {**_COMMENT, **wanted("action", "object_kind", "individual_note")}
"""A comment, or whatever leads to one."""
_TREE.update(dict.fromkeys((*_WAYS, "comment", "review", "object_attributes"), _TREE))

COMMENTS: Final = tuple(
    frozenset(members.split())
    for members in (
        "body path",
        "body pull_request_url",
        "body issue_url",
        "body submitted_at",
        "body submittedAt",
        "body authorAssociation",
        "body pull_request_review_id",
        "body comments_count",
        "body noteable_type",
        "body resolvable",
        "notes individual_note",
        "isResolved comments",
        "content pullrequest",
        "content inline",
        "comments reviews",
        "values pagelen",
        "values isLastPage",
        "object_kind object_attributes",
    )
)
"""Members of comments, threads, reviews and pages of them that together show what they are."""
_ANSWER: Final = re.compile(
    rb"\A\s{0,100}\[?\s{0,100}\{\s{0,100}\"data\"\s{0,100}:\s{0,100}\{\s{0,100}\"(?:repository|node|resource|project)\""
)
"""The beginning of what GraphQL answers of a pull request."""


def are_comments(head: bytes) -> bool:
    """Return whether a file that begins with `head` is of comments, perhaps several documents behind each other."""
    names = first_names(head.removeprefix(b"\xef\xbb\xbf"))
    return any(members <= names for members in COMMENTS) or _ANSWER.match(head) is not None


def open_review(file: ReportFile) -> Reading:
    """Return one finding per comment that opens a thread, and per review that asks for changes or comments.

    Answers within a thread, threads that are resolved, approvals, praise, deleted or hidden comments and notes of the
    host itself are left out; so are quotations, suggested code and hidden marks in a comment. Comments of bots are read
    like others. Authors are not kept.

    Raises:
        InvalidInput: the file is not of this kind.
    """
    opened = open_json(file, _ADVICE, many=True)
    walk = _CommentWalk()
    with opened.events() as events:
        records = sum(1 for _ in walk.records(events))
    if not walk.is_known:
        raise InvalidInput(f"{file.place} has no `comment`; {_ADVICE}")
    return Reading("review", records, _outcomes(opened))


def _outcomes(opened: JsonFile) -> Generator[Outcome]:
    with opened.events() as events:
        for record, place in _CommentWalk().records(events):
            if record is _TOO_LARGE:
                yield Refused(place, TOO_LARGE)
            else:
                yield from outcomes_of(record, place, _read)


_TOO_LARGE: Final = object()


class _CommentWalk:
    """Goes through the documents of a file for records, each with its place. `is_known`: one leads to comments."""

    def __init__(self) -> None:
        self.is_known = False
        self._found: int = 0

    def records(self, events: Events) -> Iterator[tuple[object, str]]:
        """Yield each record: the items of lists, and what is left of an object around them."""
        for number, event in enumerate(events):
            place = f"documents[{number}]" if number else ""
            if event[0] == "start_array":
                self.is_known = True
                yield from self._in_list(events, place)
            elif event[0] == "start_map":
                yield from self._in_object(events, place)

    def _in_list(self, events: Events, place: str) -> Iterator[tuple[object, str]]:
        self._found += 1
        for number, event in enumerate(items(events)):
            if event[0] == "start_array":
                yield from self._in_list(events, f"{place}[{number}]")
            else:
                yield _built(events, event), f"{place}[{number}]"

    def _in_object(self, events: Events, place: str, depth: int = 0) -> Iterator[tuple[object, str]]:
        own: _Record = {}
        found_before = self._found
        for name, event in members(events):
            below = f"{place}.{name}" if place else name
            is_list, is_way = event[0] == "start_array", name in _WAYS and (depth > 0 or name != "comments")
            if is_list and name in _LISTS and (depth > 0 or name != "notes"):
                self.is_known = True
                yield from self._in_list(events, below)
            elif is_way and event[0] == "start_map" and depth < _DEPTH_MAX:
                yield from self._in_object(events, below, depth + 1)
            elif name in _TREE:
                own[name] = _built(events, event, _TREE[name])
            else:
                skip(events, event)
        if self._found == found_before and own.keys() & _SIGNS:
            self.is_known = True
            self._found += 1
            is_alone = set(own) <= {"comment", "action"} and not is_object(own.get("comment"))
            yield (own.get("comment"), "comment") if is_alone else (own, place or "the comment")


def _built(events: Events, event: Event, shape: Shape | None = _TREE) -> object:
    allowance = Allowance(RECORD_MAX)
    record = build(events, event, allowance, shape)
    return _TOO_LARGE if allowance.is_spent else record


def _read(record: _Record, depth: int = 0) -> Iterator[Finding]:
    """Yield the findings of a record: a comment, a thread, a discussion, or what leads to them."""
    if depth > _DEPTH_MAX:
        raise Unreadable("is nested too deeply")
    if record.get("action") in {"deleted", "dismissed"} or record.get("isResolved") is True:
        return
    if is_object(inner := record.get("comment")):
        yield from _comment({**_placed(record), **inner})
    elif is_object(inner := record.get("review") or record.get("object_attributes")):
        yield from _comment(inner)
    elif "notes" in record and "body" not in record:
        yield from _first(list_of(record["notes"]), record, is_gitlab=True)
    elif "comments" in record and record.keys() & {"isResolved", "path"} and "body" not in record:
        yield from _first(_nodes(record["comments"]), record)
    elif (ways := [name for name in _WAYS if name in record and name != "node"]) and "body" not in record:
        for name in ways:
            for each in _nodes(record[name]):
                yield from _read(each, depth + 1)
    else:
        yield from _comment(record)


def _placed(record: _Record) -> _Record:
    anchor = object_of(record.get("commentAnchor"))
    return {name: anchor[name] for name in ("path", "line") if name in anchor}


def _first(comments: Iterable[object], thread: _Record, *, is_gitlab: bool = False) -> Iterator[Finding]:
    """Yield the finding of the comment that opens a thread, with the thread's place."""
    opening = next((each for each in map(object_of, comments) if each and each.get("system") is not True), None)
    if opening is not None:
        place = {name: thread[name] for name in ("path", "line", "originalLine") if thread.get(name) is not None}
        yield from _comment({**place, **opening}, is_gitlab=is_gitlab)


def _nodes(value: object) -> list[_Record]:
    """Return the objects of a list, of a connection in GraphQL, or the object that it is."""
    if is_list(value):
        return [object_of(each) for each in value]
    holder = object_of(value)
    if "nodes" in holder:
        return [object_of(each) for each in list_of(holder["nodes"])]
    if "edges" in holder:
        return [object_of(object_of(each).get("node")) for each in list_of(holder["edges"])]
    return [holder] if holder else []


def _comment(comment: _Record, *, is_gitlab: bool = False) -> Iterator[Finding]:
    """Yield the finding of a comment, unless it is left out.

    Raises:
        Unreadable: it names no problem, or cannot be stored.
    """
    body = next((text for text in _bodies(comment) if text is not None), None)
    is_review = comment.keys() & {"state", "submitted_at", "submittedAt"} and "path" not in comment
    if _is_left_out(comment) or (is_review and isinstance(body, str) and not body.strip()):
        return
    described = checked(words_in(text_of(body)), "body")
    if not described:
        raise Unreadable("has no words of its own")
    if not names_problem(described):
        raise Unreadable("names no problem")
    path, line = _place_of(comment)
    yield Finding(
        description=described[:MAX_DESCRIPTION_CHARS],
        file=path_in(path),
        line=line,
        fingerprint=_fingerprint(comment, is_gitlab=is_gitlab),
    )


def _bodies(comment: _Record) -> Iterator[object]:
    yield from (comment.get(name) for name in ("body", "note", "text"))
    yield object_of(comment.get("content")).get("raw")


def _is_left_out(comment: _Record) -> bool:
    answers = (comment.get(name) for name in ("in_reply_to_id", "replyTo", "parent"))
    settled = (comment.get(name) for name in ("resolver", "resolution"))
    flags = ("deleted", "system", "resolved", "isResolved", "threadResolved", "isMinimized")
    state = text_of(comment.get("state")).upper()
    return (
        any(answer is not None for answer in (*answers, *settled))
        or any(comment.get(flag) is True for flag in flags)
        or state == "RESOLVED"
        or (state in _NOT_PROBLEMS and "path" not in comment)
    )


def _place_of(comment: _Record) -> tuple[str, int | None]:
    """Return the file and line that a comment is on, the line where it was written if it is outdated now."""
    at = next((found for name in ("position", "inline", "anchor") if (found := object_of(comment.get(name)))), comment)
    path = next((text_of(at.get(name)) for name in ("path", "new_path", "old_path") if at.get(name)), "")
    numbers = [at.get(name) for name in ("line", "new_line", "to", "original_line", "originalLine", "old_line", "from")]
    if "resolver" in comment:  # of Gitea, whose positions are lines; those of GitHub count within the diff
        numbers += [comment.get("position") or None, comment.get("original_position")]
    return path, next((line for number in numbers if (line := line_in(number)) is not None), None)


def _fingerprint(comment: _Record, *, is_gitlab: bool) -> str:
    """Return an id that is the same in every answer of the host that has the comment."""
    number = index_of(comment.get("databaseId")) or index_of(comment.get("fullDatabaseId"))
    number = number if number is not None else index_of(comment.get("id"))
    urls = (text_of(comment.get(name)) for name in ("html_url", "url"))
    anchor = next((found for url in urls if (found := _ANCHOR.search(url))), None)
    if anchor is not None:
        return f"{_SPACES[anchor[1]]}={anchor[2]}"
    if number is None:
        node = text_of(comment.get("id"))
        return checked(f"github-node={node}", "id", max_chars=200) if node else ""
    if is_gitlab or "noteable_type" in comment or "resolvable" in comment:
        return f"gitlab-note={number}"
    if "content" in comment or "text" in comment:
        return f"bitbucket-comment={number}"
    if "issue_url" in comment:
        return f"github-issue-comment={number}"
    return f"{'github-review' if comment.keys() & {'submitted_at', 'submittedAt'} else 'github-comment'}={number}"
