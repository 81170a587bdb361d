"""Comments of reviewers become findings."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.findings import Finding, Intake, Refused
from tests.reading import read_report

FIXTURES = Path(__file__).parents[1] / "fixtures"


def read(content: object) -> Intake:
    return read_report(json.dumps(content).encode(), kind="review", place="comments")


def comment(body: object = "This leaks.", **more: object) -> dict[str, Any]:
    return {"id": 1, "body": body, "path": "a.py", "line": 3, **more}


class TestRealFiles:
    def test_each_comment_that_opens_a_thread_is_a_finding(self):
        intake = read_report((FIXTURES / "review_comments.json").read_bytes(), place="-")
        assert [(finding.file, finding.line, finding.fingerprint) for finding in intake.findings] == [
            ("shop/orders.py", 12, "github-comment=1801"),
            ("shop/orders.py", 30, "github-comment=1803"),
            ("tests/test_orders.py", None, "github-comment=1805"),
        ]
        assert {(finding.severity, finding.category, finding.rule_id) for finding in intake.findings} == {
            (None, None, "")
        }
        assert intake.refused == [Refused("[3]", "has no words of its own")]

    def test_quotations_and_hidden_marks_are_left_out(self):
        findings = read_report((FIXTURES / "review_comments.json").read_bytes(), place="-").findings
        assert findings[1].description == "A bare except hides that the disk is full."

    def test_nobody_is_named(self):
        for name in ("review_comments.json", "review_webhook.json"):
            assert "reviewer" not in repr(read_report((FIXTURES / name).read_bytes(), place="-").findings)

    def test_a_webhook_tells_of_one_comment(self):
        (finding,) = read_report((FIXTURES / "review_webhook.json").read_bytes(), place="-").findings
        assert (finding.description, finding.file, finding.line) == (
            "The connection is never closed.",
            "shop/orders.py",
            8,
        )


def test_one_comment_alone_is_read():
    assert len(read(comment()).findings) == 1


def test_a_comment_that_was_deleted_is_left_out():
    assert read({"action": "deleted", "comment": comment()}) == Intake()
    assert len(read({"action": "edited", "comment": comment()}).findings) == 1


def test_a_bad_comment_is_refused_and_the_others_are_read():
    intake = read([comment("one"), comment(None), 7, comment("\0"), comment("two", id=None)])
    assert [finding.description for finding in intake.findings] == ["one", "two"]
    assert intake.findings[1].fingerprint == ""
    assert [refused.place for refused in intake.refused] == ["[1]", "[2]", "[3]"]
    assert read({"comment": 3}).refused == [Refused("comment", "is not an object")]


@pytest.mark.parametrize("praise", ["LGTM", "Looks good to me, thanks!", ":+1:", "Nice work :tada:", "+1", "👍"])
def test_a_comment_that_only_praises_names_no_problem(praise: str):
    assert read([comment(praise)]).refused == [Refused("[0]", "names no problem")]


@pytest.mark.parametrize("told", ["Looks good, but the timeout is missing", "Fixed timeout leaks", "Good catch: null"])
def test_a_comment_that_praises_and_names_a_problem_is_read(told: str):
    assert len(read([comment(told)]).findings) == 1


@pytest.mark.parametrize("content", [{}, {"action": "created"}, 7, "x", None])
def test_another_file_is_refused_in_one_sentence(content: object):
    with pytest.raises(InvalidInput, match=r"^comments has no `comment`; give the list that GitHub answers"):
        read(content)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(st.sampled_from([*comment(), "original_line", "in_reply_to_id"]), ANYTHING)
def test_whatever_a_comment_holds_the_others_are_read(member: str, value: object):
    intake = read([comment("one"), comment(**{member: value}), value, comment("two")])
    assert all(isinstance(finding, Finding) for finding in intake.findings)
    assert (intake.findings[0].description, intake.findings[-1].description) == ("one", "two")


def lines(*records: object) -> bytes:
    return "\n".join(map(json.dumps, records)).encode()


def github(number: int, body: str = "This leaks.", **more: object) -> dict[str, Any]:
    url = f"https://github.com/acme/shop/pull/7#discussion_r{number}"
    return {"id": number, "html_url": url, "body": body, "path": "a.py", "line": 3, "pull_request_url": "u", **more}


def thread(number: int, *, resolved: bool = False, outdated: bool = False, answer: str = "Fixed.") -> dict[str, Any]:
    """Return a thread as GraphQL has it, whose state may stand behind its comments."""
    nodes = [
        {"databaseId": number, "body": "This leaks.", "author": {"login": "ann"}, "path": "a.py"},
        {"databaseId": number + 1, "body": answer, "replyTo": {"id": "x"}},
    ]
    comments = {"nodes": nodes}
    return {"comments": comments, "path": "a.py", "line": 3, "isResolved": resolved, "isOutdated": outdated}


def answered(*threads: dict[str, Any]) -> dict[str, Any]:
    return {"data": {"repository": {"pullRequest": {"reviewThreads": {"nodes": list(threads)}}}}}


class TestShapes:
    TWO = ("github-comment=11", "github-comment=12")

    @pytest.mark.parametrize(
        "data",
        [
            json.dumps([github(11), github(12)]).encode(),
            (json.dumps([github(11)]) + json.dumps([github(12)])).encode(),
            json.dumps([[github(11)], [github(12)]]).encode(),
            json.dumps([[github(11)], []]).encode() + json.dumps([github(12)]).encode(),
            lines(github(11), github(12)),
            b"\xef\xbb\xbf" + lines(github(11), github(12)) + b"\n",
            json.dumps(answered(thread(11), thread(12))).encode(),
            lines(answered(thread(11)), answered(thread(12))),
            json.dumps([answered(thread(11)), answered(thread(12))]).encode(),
            lines(thread(11), thread(12)),
            json.dumps([thread(11), thread(12)]).encode(),
            json.dumps({"data": {"repository": {"pullRequest": {"comments": {"nodes": []}}}}}).encode()
            + json.dumps(answered(thread(11), thread(12))).encode(),
        ],
    )
    def test_the_same_comments_are_known_in_every_shape(self, data: bytes):
        intake = read_report(data, place="-")
        assert tuple(finding.fingerprint for finding in intake.findings) == self.TWO
        assert {(finding.description, finding.file) for finding in intake.findings} == {("This leaks.", "a.py")}
        assert intake.refused == []

    def test_threads_that_are_resolved_are_no_issues_and_outdated_ones_are(self):
        data = answered(thread(11, resolved=True), thread(13, outdated=True), thread(15))
        assert [finding.fingerprint for finding in read(data).findings] == ["github-comment=13", "github-comment=15"]

    def test_gh_pr_view_has_comments_and_reviews(self):
        said = {"author": {"login": "ann"}, "authorAssociation": "MEMBER", "isMinimized": False}
        pull_request = {
            "body": "Adds the basket.",
            "comments": [
                {**said, "id": "IC_1", "body": "The export is slow.", "url": "https://x/pull/7#issuecomment-21"},
                {**said, "id": "IC_2", "body": "LGTM", "url": "https://x/pull/7#issuecomment-22"},
                {**said, "id": "IC_3", "body": "Old.", "isMinimized": True},
            ],
            "reviews": [
                {**said, "id": "PRR_1", "body": "", "state": "COMMENTED", "submittedAt": "2026-11-01T00:00:00Z"},
                {**said, "id": "PRR_2", "body": "Nice tests here", "state": "APPROVED", "submittedAt": "2026"},
                {**said, "id": "PRR_3", "body": "The lock is never freed.", "state": "CHANGES_REQUESTED"},
            ],
        }
        for data in (pull_request, [pull_request["comments"], pull_request["reviews"]]):
            intake = read_report(json.dumps(data).encode(), place="-")
            assert [(finding.description, finding.fingerprint) for finding in intake.findings] == [
                ("The export is slow.", "github-issue-comment=21"),
                ("The lock is never freed.", "github-node=PRR_3"),
            ]
            assert [refused.reason for refused in intake.refused] == ["names no problem"]

    def test_reviews_and_the_conversation_of_github_are_read(self):
        review = {"id": 5, "node_id": "n", "user": {}, "pull_request_url": "u", "submitted_at": "2026"}
        reviews = [
            {**review, "body": "Please close the file.", "state": "CHANGES_REQUESTED"},
            {**review, "body": "Well done, really.", "state": "APPROVED"},
            {**review, "body": "", "state": "COMMENTED"},
        ]
        conversation = [{"id": 6, "body": "This query is slow.", "issue_url": "u", "user": {}}]
        for content, kept in ((reviews, "github-review=5"), (conversation, "github-issue-comment=6")):
            intake = read_report(json.dumps(content).encode(), place="-")
            assert [finding.fingerprint for finding in intake.findings] == [kept]
            assert intake.refused == []

    def test_discussions_and_notes_of_gitlab_are_read(self):
        note = {
            "id": 31,
            "type": "DiffNote",
            "body": "Check the length first.",
            "system": False,
            "resolvable": True,
            "resolved": False,
            "noteable_type": "MergeRequest",
            "position": {"new_path": "src/a.go", "old_path": "src/a.go", "new_line": 9, "old_line": None},
        }
        answer = {**note, "id": 32, "body": "Is it needed?"}
        system = {"id": 33, "body": "approved this merge request", "system": True, "noteable_type": "MergeRequest"}
        discussions = [
            {"id": "d1", "individual_note": False, "notes": [note, answer]},
            {"id": "d2", "individual_note": False, "notes": [{**note, "id": 34, "resolved": True}]},
            {"id": "d3", "individual_note": True, "notes": [system]},
        ]
        for data in (json.dumps(discussions).encode(), lines(*discussions), json.dumps([note, system]).encode()):
            (finding,) = read_report(data, place="-").findings
            assert (finding.file, finding.line, finding.fingerprint) == ("src/a.go", 9, "gitlab-note=31")

    def test_comments_of_bitbucket_and_gitea_are_read(self):
        bitbucket = {
            "id": 41,
            "content": {"raw": "This races.", "html": "<p>This races.</p>"},
            "inline": {"path": "a.c", "to": 4, "from": None},
            "deleted": False,
            "pullrequest": {"id": 1},
        }
        page = {
            "pagelen": 10,
            "values": [bitbucket, {**bitbucket, "id": 42, "parent": {"id": 41}}, {**bitbucket, "deleted": True}],
        }
        (finding,) = read_report(json.dumps(page).encode(), place="-").findings
        assert (finding.file, finding.line, finding.fingerprint) == ("a.c", 4, "bitbucket-comment=41")
        server = {"action": "COMMENTED", "comment": {"id": 43, "text": "This races."}, "commentAnchor": {"path": "b.c"}}
        activities = {"isLastPage": True, "values": [server, {"action": "APPROVED", "user": {}}]}
        intake = read_report(json.dumps(activities).encode(), place="-")
        assert [(each.file, each.fingerprint) for each in intake.findings] == [("b.c", "bitbucket-comment=43")]
        gitea = {"id": 51, "body": "This races.", "path": "c.go", "position": 8, "resolver": None}
        intake = read_report(json.dumps([gitea, {**gitea, "id": 52, "resolver": {"id": 1}}]).encode(), place="-")
        assert [(each.file, each.line) for each in intake.findings] == [("c.go", 8)]

    def test_comments_of_bots_are_read_and_nobody_is_named(self):
        bot = {"login": "checker[bot]", "type": "Bot"}
        (finding,) = read([github(11, user=bot)]).findings
        assert finding.fingerprint == "github-comment=11"
        assert "checker" not in repr(finding)

    def test_a_page_that_breaks_off_is_refused_with_its_place(self):
        whole = (json.dumps([github(11)]) + json.dumps([github(12)])).encode()
        with pytest.raises(InvalidInput, match=r"^out is not valid JSON \(line 1, column \d+\): it breaks off there"):
            read_report(whole[:-9], place="out")
        with pytest.raises(InvalidInput, match="is not valid JSON"):
            read_report(whole + b"\nFound 2 comments.", place="out")


class TestWords:
    @pytest.mark.parametrize(
        ("body", "words"),
        [
            ("Load it as JSON.\r\n\r\n```suggestion\r\nreturn json.loads(x)\r\n```", "Load it as JSON."),
            ("````suggestion\n```\nx\n```\n````\nIs this needed?", "Is this needed?"),
            ("> It works.\n\nNot on Windows.", "Not on Windows."),
            ("<!-- mark -->Close <b>the</b> file<br>", "Close the file"),
            ("Escape &quot;x&quot; &amp;amp; y", 'Escape "x" &amp; y'),
            ("Broken\x1b[31m red\x1b[0m\x07", "Broken red"),
            ("The lock stays.\n<details><summary>Prompt</summary>Fix it so</details>", "The lock stays."),
            ("<details><summary>Why</summary>The lock stays.</details>", "WhyThe lock stays."),
            ("Use `a < b` here", "Use `a < b` here"),
        ],
    )
    def test_what_is_quoted_hidden_or_proposed_is_left_out(self, body: str, words: str):
        assert [finding.description for finding in read([comment(body)]).findings] == [words]

    @pytest.mark.parametrize("body", ["```suggestion\nx = 1\n```", "> quoted", "<!-- hidden -->", " "])
    def test_a_comment_without_words_of_its_own_is_refused(self, body: str):
        assert read([comment(body)]).refused == [Refused("[0]", "has no words of its own")]

    @pytest.mark.parametrize(
        "body", ["/retest", "@dependabot rebase", "@ann LGTM", "Approving, thanks!", "No further notes"]
    )
    def test_praise_and_commands_name_no_problem(self, body: str):
        assert read([comment(body)]).refused == [Refused("[0]", "names no problem")]
