"""Operators' views of lessons, pending issues and the audit trail. They log no deliveries: runs use `get_lessons`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from itertools import accumulate
from typing import Any, Final, Literal

import anyio.to_thread
from sqlalchemy import Connection

from lessonbook.domain.agent_tools import Result
from lessonbook.domain.audit_trail import AuditEntry, AuditQuery, AuditTrail
from lessonbook.domain.errors import NotFound
from lessonbook.domain.lesson import Caller, Lesson
from lessonbook.domain.lesson_reviews import (
    ArmOutcome,
    EvidenceSummary,
    FlaggedLesson,
    LessonChange,
    LessonDetail,
    LessonListing,
    LessonPage,
    ListedLesson,
    RaisedFlag,
)
from lessonbook.domain.lesson_status import LISTED, SERVABLE
from lessonbook.domain.pending_issues import PendingIssue, PendingListing, PendingPage
from lessonbook.domain.vocabulary import SEVERITY_OF_RANK, SEVERITY_RANK
from lessonbook.experiment.arm_health import assigned_risk
from lessonbook.experiment.evidence import Evidence, Period, Split
from lessonbook.experiment.retirement import e_value
from lessonbook.services.cache.evidence import effect_of
from lessonbook.services.lesson_fields import result_of
from lessonbook.services.queries.cursors import bad_cursor, decode, encode, is_storable, moment_of, offset_of
from lessonbook.services.queries.page_size import FRAME_TOKENS, cut, fitting, tokens_of
from lessonbook.services.queries.pending_groups import GroupPage, page_of_groups, pending_issue, with_entries
from lessonbook.services.queries.search import FOUND_MAX, search
from lessonbook.services.queries.unusual_reports import unusual
from lessonbook.services.workspace import Workspace
from lessonbook.store import agents as agent_rows
from lessonbook.store import audit, runs
from lessonbook.store import issues as issue_rows
from lessonbook.store import lessons as lesson_rows
from lessonbook.store.issue_groups import GroupPosition
from lessonbook.store.run_checks import experiment
from lessonbook.store.stats import deliveries_of_lesson

EVIDENCE_MAX: Final = 20
PAGE_CHARACTERS_MAX: Final = 100_000
"""Characters of the issues on one page, where there are several."""
COUNT_MAX: Final = 2**31
COMPLETIONS_MAX: Final = 100
AGENTS_MAX: Final = 100
NOTES_MAX: Final = 10
"""Notes on unusual reports in an answer of bounded size."""


async def list_lessons(
    work: Workspace, caller: Caller, listing: LessonListing, *, room: int | None = None
) -> LessonPage:
    """Return a page of lessons: by relevance where there is a query, else most severe and most effective first.

    Relevance is a probability from 0 to 1, computed alike on both databases. It orders the candidates of the database's
    own full-text search, whose scores have different scales: negated BM25 on SQLite, `ts_rank_cd` on PostgreSQL.

    `room` bounds the page in tokens (`page_size`), here and in the other listings.

    Raises:
        InvalidInput: the cursor is not valid.
    """
    similar = await work.semantic.similar(caller.project, listing.query)

    def read(connection: Connection) -> LessonPage:
        if listing.query.strip():
            return _search(connection, caller, listing, _filters(work, listing), similar, room)
        after = _lesson_position(listing.cursor)
        found = lesson_rows.page(
            connection,
            caller.project,
            filters=_filters(work, listing),
            statuses=_statuses(caller, listing),
            after=after,
            limit=listing.limit + 1,
            principal=_audience(caller),
        )
        shown = fitting([listed(lesson) for lesson in found[: listing.limit]], _for_items(room))
        last = found[len(shown) - 1] if len(found) > len(shown) else None
        cursor = encode([last.severity, last.effectiveness_score, last.id]) if last else ""
        return LessonPage(lessons=shown, next_cursor=cursor)

    return await work.store.view(read)


def _for_items(room: int | None) -> int | None:
    return None if room is None else room - FRAME_TOKENS


def _statuses(caller: Caller, listing: LessonListing) -> list[str]:
    """Return the statuses to list: of words that are not served a caller sees none who may not read them."""
    wanted = listing.status or LISTED
    return [status for status in wanted if caller.reads_waiting_words or status in SERVABLE]


def _audience(caller: Caller) -> str | None:
    """Return the principal to whom the listed lessons have to be served; None where the caller reads all."""
    return None if caller.reads_waiting_words else caller.principal


def _filters(work: Workspace, listing: LessonListing) -> dict[str, Any]:
    filters: dict[str, Any] = {}
    if listing.agent_name:
        filters["agent_name"] = work.roster.resolve(listing.agent_name)
    if listing.severity:
        filters["severity"] = SEVERITY_RANK[listing.severity]
    if listing.category:
        filters["category"] = listing.category
    return filters


def _search(
    connection: Connection,
    caller: Caller,
    listing: LessonListing,
    filters: Mapping[str, Any],
    similar: Mapping[str, float],
    room: int | None,
) -> LessonPage:
    statuses = set(_statuses(caller, listing))

    def wanted(lesson: Lesson) -> bool:
        if not (caller.reads_waiting_words or lesson.is_visible_to(caller.principal)):
            return False
        return lesson.status in statuses and all(getattr(lesson, name) == value for name, value in filters.items())

    begin = _search_position(listing.cursor)
    end = begin + listing.limit
    kept = search(connection, caller.project, listing.query, wanted, least=end + 1, similar=similar)
    shown = fitting([listed(lesson) for lesson in kept[begin:end]], _for_items(room))
    end = begin + len(shown)
    return LessonPage(lessons=shown, next_cursor=encode([end]) if end < len(kept) else "")


def listed(lesson: Lesson) -> ListedLesson:
    """Return a lesson as lists show it."""
    effect = {name: round(getattr(lesson, name), 3) for name in ("effectiveness_score", "effect_low", "effect_high")}
    return result_of(ListedLesson, lesson, updated_at=lesson.updated_at.isoformat(), **effect)


async def get_lesson(
    work: Workspace, caller: Caller, lesson_id: str, cursor: str = "", *, room: int | None = None
) -> LessonDetail:
    """Return one lesson with its history, provenance and the latest issues behind it.

    Raises:
        NotFound: it does not exist.
        InvalidInput: the cursor is not valid.
    """
    begin = offset_of(cursor)

    def read(connection: Connection) -> LessonDetail:
        lesson = lesson_rows.find(connection, caller.project, [lesson_id]).get(lesson_id)
        if lesson is None:
            raise NotFound.lesson(lesson_id, caller.project)
        return result_of(
            LessonDetail,
            lesson,
            lesson=listed(lesson),
            expires_at=lesson.expires_at.isoformat() if lesson.expires_at else None,
            provenance=dict(lesson.provenance),
            effect=effect_of(lesson),
            evidence=_evidence(connection, caller.project, lesson),
            history=[_history_line(row) for row in lesson_rows.history(connection, caller.project, lesson_id)],
            issues=[
                pending_issue(row) for row in issue_rows.of_lesson(connection, caller.project, lesson_id, EVIDENCE_MAX)
            ],
            flags=_raised(lesson_rows.flags_of(connection, caller.project, lesson_id)),
            next_cursor="",
        )

    return _part(await work.store.read(read), begin, room)


_PARTS: Final = ("history", "issues", "flags")


def _part(detail: LessonDetail, begin: int, room: int | None) -> LessonDetail:
    """Return a lesson's detail with those of its history, issues and flags, from number `begin` on, that fit `room`."""
    if room is None and not begin:
        return detail
    entries = [(part, entry) for part in _PARTS for entry in getattr(detail, part)][begin:]
    nothing: dict[str, list[Result]] = {part: [] for part in _PARTS}
    head = detail.model_copy(update=nothing)
    if room is not None:
        head = cut(head, room // 2)
        room -= FRAME_TOKENS + tokens_of(head)
    shown = fitting([entry for _, entry in entries], room)
    for (part, _), entry in zip(entries, shown, strict=False):
        nothing[part].append(entry)
    end = begin + len(shown)
    return head.model_copy(update={**nothing, "next_cursor": encode([end]) if len(shown) < len(entries) else ""})


async def get_served_lesson(work: Workspace, caller: Caller, lesson_id: str) -> ListedLesson:
    """Return one lesson as agents may see it, without the words of issues.

    Raises:
        NotFound: it does not exist, or is not servable.
    """
    found = await work.store.read(lambda connection: lesson_rows.find(connection, caller.project, [lesson_id]))
    if lesson_id not in found:
        raise NotFound.lesson(lesson_id, caller.project)
    if found[lesson_id].status not in SERVABLE or not found[lesson_id].is_visible_to(caller.principal):
        raise NotFound(f"Lesson {lesson_id!r} is not served now: get_lessons gives those that are")
    return listed(found[lesson_id])


def _evidence(connection: Connection, project: str, lesson: Lesson) -> EvidenceSummary:
    found = Evidence.from_document(lesson.evidence)
    total = found.total()
    events = [sum(counts) for counts in zip(*total.splits.values(), strict=True)] or [0, 0]
    return EvidenceSummary(
        events_shown=events[0],
        events_withheld=events[1],
        verified=sum(map(sum, found.verified.values())),
        e_value=round(e_value(found), 3),
        arms=list(_arms(_tossed(connection, project, lesson.id), total, events)),
    )


def _tossed(connection: Connection, project: str, lesson_id: str) -> Split:
    """Return for how many runs of the experiment that is on a lesson's coin said to show it, and to withhold it."""
    since = experiment(connection, project).started_at.replace(hour=0, minute=0, second=0, microsecond=0)
    counts = deliveries_of_lesson(connection, project, lesson_id, since)
    return counts.randomised_shown, counts.randomised - counts.randomised_shown


def _arms(tossed: Split, total: Period, events: Sequence[int]) -> Iterator[ArmOutcome]:
    names: tuple[Literal["shown", "withheld"], ...] = ("shown", "withheld")
    checked, looked = (total.shown, total.withheld), total.unexplained
    troubles = ((looked.shown_wrong, looked.shown), (looked.withheld_wrong, looked.withheld))
    for arm, coins, rows, found, (wrong, of) in zip(names, tossed, checked, events, troubles, strict=True):
        if any(tossed):
            assigned = max(coins, rows, 1)
            low, high = (round(risk, 3) for risk in assigned_risk(assigned, rows, found))
            yield ArmOutcome(
                arm=arm,
                assigned=assigned,
                checked=rows,
                events=found,
                risk_low=low,
                risk_high=high,
                trouble=round(wrong / of, 3) if of else None,
            )


def _history_line(row: lesson_rows.HistoryRow) -> LessonChange:
    words, moment = {**row.words.as_row(), "severity": row.words.severity}, row.changed_at.isoformat()
    return LessonChange.model_validate({**row._asdict(), **words, "changed_at": moment})


async def lessons_by_category(work: Workspace, caller: Caller, agent_name: str = "") -> dict[str, list[ListedLesson]]:
    """Return the servable lessons of each category, most severe first."""
    name = work.roster.resolve(agent_name) if agent_name else ""
    found = await work.store.view(
        lambda connection: lesson_rows.by_category(connection, caller.project, name, _audience(caller))
    )
    return {category: [listed(lesson) for lesson in lessons] for category, lessons in found.items()}


async def list_flagged(work: Workspace, caller: Caller, agent_name: str = "") -> list[FlaggedLesson]:
    """Return every lesson with a flag but the rejected ones, most severe first, with who flagged it and why."""
    name = work.roster.resolve(agent_name) if agent_name else ""

    def read(connection: Connection) -> list[FlaggedLesson]:
        found = lesson_rows.flagged(connection, caller.project, name, LISTED)
        flags = lesson_rows.flags_of_all(connection, caller.project, [lesson.id for lesson in found])
        return [FlaggedLesson(**dict(listed(lesson)), raised=_raised(flags.get(lesson.id, []))) for lesson in found]

    return await work.store.read(read)


def _raised(flags: Iterable[lesson_rows.FlagRow]) -> list[RaisedFlag]:
    return [
        RaisedFlag(principal=row.principal, reason=row.reason, flagged_at=row.flagged_at.isoformat()) for row in flags
    ]


async def list_pending_issues(
    work: Workspace, caller: Caller, listing: PendingListing, *, room: int | None = None
) -> PendingPage:
    """Return a page of issues that no lesson answers yet, oldest first, and a page of their groups, largest first.

    The first page has both; a cursor continues one of them.

    Raises:
        InvalidInput: the cursor is not valid.
    """
    after, behind = _pending_positions(listing.cursor)
    name = work.roster.resolve(listing.agent_name) if listing.agent_name else ""

    def read(connection: Connection) -> tuple[list[PendingIssue], str, GroupPage, list[str]]:
        issues, cursor = ([], "") if behind else _page_of_issues(connection, caller, listing, name, after)
        groups = GroupPage() if after else page_of_groups(connection, caller, listing, name, behind)
        notes = [] if after or behind else unusual(connection, caller.project, work.now())
        return issues, cursor, groups, notes

    issues, cursor, groups, notes = await work.store.read(read)
    # On a thread: comparing with the whole catalogue must not delay other callers.
    shown = await anyio.to_thread.run_sync(with_entries, groups.groups, work.catalogue)
    page = PendingPage(issues=issues, next_cursor=cursor, groups=shown, next_group_cursor=groups.cursor, notes=notes)
    return page if room is None else _pending_within(page, room - FRAME_TOKENS)


def _pending_within(page: PendingPage, room: int) -> PendingPage:
    """Return a page with those of its groups and issues that fit; groups get at most two thirds of the room."""
    page = page.model_copy(update={"notes": page.notes[:NOTES_MAX]})
    room -= tokens_of(PendingPage(issues=[], notes=page.notes))
    groups = fitting(page.groups, 2 * room // 3 if page.issues else room)
    issues = fitting(page.issues, room - tokens_of(*groups))
    changed: dict[str, object] = {"groups": groups, "issues": issues}
    if len(groups) < len(page.groups):
        last = groups[-1]
        changed["next_group_cursor"] = encode([last.issues, last.first_seen, last.group_id])
    if len(issues) < len(page.issues):
        changed["next_cursor"] = encode([issues[-1].created_at, issues[-1].issue_id])
    return page.model_copy(update=changed)


def _page_of_issues(
    connection: Connection, caller: Caller, listing: PendingListing, agent_name: str, after: tuple[datetime, str] | None
) -> tuple[list[PendingIssue], str]:
    """Return issues, and the cursor of the next page; it ends early where their texts are very long."""
    rows = issue_rows.pending(
        connection, caller.project, agent_name, after, listing.limit + 1, group_id=listing.group_id
    )
    sizes = accumulate(len(row.description) for row in rows[: listing.limit])
    shown = rows[: max(1, sum(size <= PAGE_CHARACTERS_MAX for size in sizes))]
    near = lesson_rows.find(connection, caller.project, filter(None, (row.runner_up for row in shown)))
    more = len(rows) > len(shown)
    cursor = encode([shown[-1].created_at.isoformat(), shown[-1].id]) if more else ""
    return [pending_issue(row, near.get(row.runner_up or "")) for row in shown], cursor


async def issues_of_run(work: Workspace, caller: Caller, run_id: str) -> tuple[list[PendingIssue], dict[str, bool]]:
    """Return the issues reported for a run, and its deliveries (shown or not) by lesson.

    Raises:
        NotFound: the run does not exist.
    """

    def read(connection: Connection) -> tuple[list[PendingIssue], dict[str, bool]]:
        run = runs.find(connection, caller.project, run_id)
        if run is None:
            raise NotFound.run(run_id, caller.project)
        rows = issue_rows.of_run(connection, caller.project, run_id, EVIDENCE_MAX)
        delivered = runs.deliveries_of(connection, run)
        return [pending_issue(row) for row in rows], {lesson_id: row.shown for lesson_id, row in delivered.items()}

    return await work.store.read(read)


async def get_audit(work: Workspace, caller: Caller, query: AuditQuery, *, room: int | None = None) -> AuditTrail:
    """Return audit entries, newest first.

    Raises:
        InvalidInput: `since` or `before` is not an ISO time, or the cursor is not valid.
    """
    since, before = (moment_of(text) if text else None for text in (query.since, query.before))
    after = _audit_position(query.cursor)
    rows = await work.store.view(
        lambda connection: audit.read(
            connection,
            caller.project,
            subject=query.subject,
            since=since,
            before=before,
            after=after,
            limit=query.limit + 1,
        )
    )
    entries = [AuditEntry.model_validate({**asdict(row), "logged_at": row.logged_at.isoformat()}) for row in rows]
    shown = fitting(entries[: query.limit], _for_items(room))
    more = len(shown) < len(entries)
    cursor = encode([shown[-1].logged_at, shown[-1].writer, shown[-1].seq]) if more else ""
    return AuditTrail(entries=shown, next_cursor=cursor)


async def complete(work: Workspace, caller: Caller, argument: str, prefix: str) -> list[str]:
    """Return at most `COMPLETIONS_MAX` agent names, lesson ids or run ids that begin with `prefix`."""
    if not is_storable(prefix):
        return []

    def read(connection: Connection) -> Sequence[str]:
        if argument == "run_id":
            return runs.recent(connection, caller.project, prefix, COMPLETIONS_MAX)
        if argument in {"id", "lesson_id"}:
            return lesson_rows.ids_beginning(connection, caller.project, prefix, COMPLETIONS_MAX, _audience(caller))
        return sorted(agent_rows.with_lessons(connection, caller.project))

    found = list(await work.store.read(read))
    if argument == "agent_name":
        found = sorted({*found, *(agent.name for agent in work.roster.agents)} - {"*"})
    return [value for value in found if value.lower().startswith(prefix.lower())][:COMPLETIONS_MAX]


async def agents_with_lessons(work: Workspace, caller: Caller) -> list[str]:
    """Return the agents that have lessons, those with most first, at most `AGENTS_MAX`."""
    counts = await work.store.read(lambda connection: agent_rows.counted_lessons(connection, caller.project))
    return sorted(counts, key=lambda name: (-counts[name], name))[:AGENTS_MAX]


def _lesson_position(cursor: str) -> tuple[int, float, str] | None:
    match decode(cursor):
        case []:
            return None
        case [int(severity), float(effectiveness), str(lesson_id)] if severity in SEVERITY_OF_RANK:
            return severity, effectiveness, lesson_id
        case _:
            raise bad_cursor()


def _search_position(cursor: str) -> int:
    begin = offset_of(cursor)
    if begin >= FOUND_MAX:
        raise bad_cursor()
    return begin


def _audit_position(cursor: str) -> tuple[datetime, str, int] | None:
    match decode(cursor):
        case []:
            return None
        case [str(moment), str(writer), int(seq)] if 0 < seq < 2**63:
            return moment_of(moment), writer, seq
        case _:
            raise bad_cursor()


def _pending_positions(cursor: str) -> tuple[tuple[datetime, str] | None, GroupPosition | None]:
    """Return where a page of issues and where one of groups begins; one of them at most."""
    match decode(cursor):
        case []:
            return None, None
        case [str(moment), str(issue_id)]:
            return (moment_of(moment), issue_id), None
        case [int(issues), str(moment), str(group_id)] if 0 < issues < COUNT_MAX:
            return None, (issues, moment_of(moment), group_id)
        case _:
            raise bad_cursor()
