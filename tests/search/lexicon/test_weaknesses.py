"""An issue in plain words is recognised by the field's terms; causes count, not what they lead to.

A lesson is recognised by the controls it asks for, too.
"""

from functools import cache
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lessonbook.domain.errors import ConfigError
from lessonbook.search.lexicon import phrases
from lessonbook.search.lexicon.weaknesses import (
    Terms,
    Weakness,
    guarded_against,
    load_lexicon,
    read_lexicon,
    weaknesses_in,
)

SURE = 0.9
LEXICON = load_lexicon()
WORDS = sorted(LEXICON.terms.index._exact | {prefix[:-1] for prefix in LEXICON.terms.index._prefixes})


@cache
def cwes(terms: Terms) -> set[str]:
    return {rule.cwe for number in range(len(terms._texts)) for rule in terms._rules_of(number)}


def top(text: str) -> str | None:
    found = weaknesses_in(text)
    return found[0].cwe if found and found[0].strength >= SURE else None


def write(folder: Path, body: str, head: str = "version = 1\n") -> Path:
    path = folder / "words.toml"
    path.write_text(head + body, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "cwe"),
    [
        ("Freed pointer is dereferenced on reconnect", "CWE-416"),
        ("SQL injection via user name", "CWE-89"),
        ("Search endpoint builds its SQL with an f-string", "CWE-89"),
        ("The password is logged in clear text", "CWE-532"),
        ("Regex of the e-mail check causes catastrophic backtracking", "CWE-1333"),
        ("Merging user settings allows prototype pollution", "CWE-1321"),
        ("The proxy is prone to request smuggling", "CWE-444"),
        ("Malicious app draws an overlay that tricks people into a tap: tapjacking", "CWE-1021"),
        ("CRLF in the file name allows HTTP response splitting", "CWE-113"),
        ("Failed login attempts are not logged", "CWE-778"),
        ("Server does not check the certificate revocation list", "CWE-299"),
        ("Off-by-one error when copying the last chunk", "CWE-193"),
        ("Session ID is not regenerated after login", "CWE-384"),
        ("JWT signature is not verified", "CWE-347"),
        ("Cells beginning with an equals sign end up as formulas in the CSV export", "CWE-1236"),
        ("API key committed to repository", "CWE-798"),
        ("Container runs as root", "CWE-250"),
        ("Two worker threads deadlock", "CWE-833"),
        ("Division by zero when the basket is empty", "CWE-369"),
        ("The session cookie lacks the HttpOnly flag", "CWE-1004"),
        ("PRNG is seeded with the current time", "CWE-337"),
    ],
)
def test_a_plain_issue_is_recognised_by_its_term_of_art(text: str, cwe: str) -> None:
    assert top(text) == cwe


@pytest.mark.parametrize(
    "text",
    [
        "The SQL formatter breaks strings in f-strings",
        "Test of the login page is flaky on CI",
        "Total of the invoice is wrong by one cent",
        "Orders page is slow with a thousand rows",
        "Docs of the retry setting are missing",
        "Password reset mail is not sent",
        "Release notes are not in the archive",
        "Logging a user out times out",
        "User is logged in twice",
        "Redirect after login goes to a blank page",
        "Comment in the code is wrong",
        "Access token refresh fails after one hour",
        "Session timeout banner overlaps the header",
        "Search is case sensitive",
        "Cookie banner is shown twice",
        "Cache is not invalidated when a product changes",
        "The user is not notified when the import fails",
        "Expected behavior: the list is sorted. Actual behavior: it is not",
        "Missing whitespace after keyword",
        "Missing argument description in the docstring",
        "`%`-format string has 0 placeholders but 2 substitutions",
        "Unused method argument: `dtype`",
        "`else` clause on loop without a `break` statement",
        "Closing a tab does not focus its parent tab",
        "Unrecognized option detected: `--colour`",
        "SyntaxError: invalid syntax",
        "Columns collapse when the window is narrow",
        "The calendar uses the full width of the window",
        "Page is blocked by a CAPTCHA",
        "Matrix is [0, 0, 0, 0] after the reset",
        "Tests run against an https only account and fail",
        "Mails are sent in plain text instead of HTML",
        "",
    ],
)
def test_an_ordinary_issue_is_no_weakness(text: str) -> None:
    assert top(text) is None


@pytest.mark.parametrize(
    ("text", "cause", "effect"),
    [
        ("integer underflow leads to heap-based buffer overflow", "CWE-191", "CWE-122"),
        ("heap-based buffer overflow due to integer underflow", "CWE-191", "CWE-122"),
        ("out-of-bounds read, resultant from integer underflow", "CWE-191", "CWE-125"),
        ("Open redirect results in SSRF", "CWE-601", "CWE-918"),
        ("SSRF caused by an open redirect", "CWE-601", "CWE-918"),
        ("XXE allows attackers to cause SSRF", "CWE-611", "CWE-918"),
    ],
)
def test_the_cause_of_a_chain_is_told_from_its_effect(text: str, cause: str, effect: str) -> None:
    strengths = {mention.cwe: mention.strength for mention in weaknesses_in(text)}

    assert top(text) == cause
    assert strengths[effect] < strengths[cause] / 1.5


def test_two_weaknesses_side_by_side_are_both_uncertain() -> None:
    found = weaknesses_in("The form suffers from CSRF. The upload suffers from XXE.")

    assert {mention.cwe for mention in found} == {"CWE-352", "CWE-611"}
    assert all(mention.strength < SURE for mention in found)


def test_the_special_case_counts_and_not_the_general_one() -> None:
    found = weaknesses_in("Cross-site scripting in the error page")

    assert [mention.cwe for mention in found] == ["CWE-81"]


def test_what_is_averted_is_doubtful_and_what_is_not_averted_is_sure() -> None:
    assert top("The new header prevents CSRF") is None
    assert top("Release notes: prevents CSRF") is None
    assert top("The new header fails to prevent CSRF") == "CWE-352"


def test_words_in_between_make_a_term_less_certain() -> None:
    close, wide = (weaknesses_in(text)[0] for text in ("length is truncated", "length of the whole block is truncated"))

    assert close.cwe == wide.cwe == "CWE-197"
    assert wide.strength < close.strength


def test_a_mention_repeats_the_words_that_say_so() -> None:
    (found,) = weaknesses_in("Yesterday we saw a Use-After-Free in the parser")

    assert found.words == ("use", "after", "free")


def test_the_strongest_comes_first_whatever_the_order_in_the_text() -> None:
    found = weaknesses_in("Race condition, memory corruption, and an integer underflow")

    assert [mention.strength for mention in found] == sorted((s.strength for s in found), reverse=True)
    assert found[0].cwe == "CWE-191"


def test_a_phrase_does_not_leave_its_sentence() -> None:
    assert top("Prints use after free and stops") == "CWE-416"
    assert top("Prints use after. Free and stops") is None


def test_spelling_and_inflection_do_not_matter() -> None:
    spellings = ("use-after-free", "Use After Free", "use_after_free", "uses after freeing", "USE AFTER FREE!")

    assert {top(spelling) for spelling in spellings} == {"CWE-416"}


@pytest.mark.parametrize(
    ("text", "cwe"),
    [
        ("Set HttpOnly on session cookies", "CWE-1004"),
        ("Set the 'Secure' flag on cookies", "CWE-614"),
        ("Use parameterized queries", "CWE-89"),
        ("Use prepared statements, never string formatting", "CWE-89"),
        ("Hash passwords with argon2", "CWE-916"),
        ("Verify TLS certificates", "CWE-295"),
        ("Escape output by its context", "CWE-79"),
        ("Send an anti-forgery token with each form", "CWE-352"),
        ("Require multi-factor authentication for admins", "CWE-308"),
        ("Regenerate the session ID after login", "CWE-384"),
        ("Lock an account after ten failed login attempts", "CWE-307"),
        ("Disable DTDs in XML parsers", "CWE-611"),
        ("Allowlist the hosts of outbound requests", "CWE-918"),
        ("Store uploads outside the web root and check file extensions", "CWE-434"),
        ("Encrypt data at rest", "CWE-311"),
        ("Drop all capabilities of the container", "CWE-250"),
        ("Set memory limits on each pod", "CWE-770"),
        ("Use a CSPRNG for tokens", "CWE-338"),
        ("Compare digests in constant time", "CWE-208"),
        ("Redact logs", "CWE-532"),
        ("Pin images by digest", "CWE-494"),
        ("Send Cache-Control: no-store with account pages", "CWE-525"),
        ("Check bounds before each index is read", "CWE-125"),
    ],
)
def test_a_lesson_is_recognised_by_the_control_it_asks_for(text: str, cwe: str) -> None:
    assert cwe in {mention.cwe for mention in guarded_against(text)}


@pytest.mark.parametrize(
    "text",
    [
        "Sort imports by name",
        "Use a context manager for locks in tests",
        "Name a helper for what it returns",
        "Fail the build when a core module has no tests",
        "Prefer pathlib to os.path",
        "Checks for uses of `os.path.join`",
        "Write release notes in the same pull request",
        "Read https://docs.example.org/guide before a migration",
        "Keep the namespace of a plugin short",
        "",
    ],
)
def test_an_ordinary_lesson_averts_no_weakness(text: str) -> None:
    assert guarded_against(text) == ()


def test_what_a_lesson_averts_counts_in_full() -> None:
    (mention, *_) = guarded_against("Prevent SQL injection")

    assert (mention.cwe, mention.strength) == ("CWE-89", 0.95)
    assert weaknesses_in("Prevent SQL injection")[0].strength < mention.strength / 2


def test_the_effect_of_a_weakness_counts_in_full_in_a_lesson() -> None:
    strengths = {mention.cwe: mention.strength for mention in guarded_against("XXE allows attackers to cause SSRF")}

    assert strengths["CWE-611"] == strengths["CWE-918"]


@pytest.mark.parametrize("name", ["CWE-79", "cwe:CWE-79", "CWE79", "cwe-79", "cwe_79", "(CWE-79)"])
def test_a_weakness_cited_by_number_is_certain(name: str) -> None:
    assert [(mention.cwe, mention.strength) for mention in guarded_against(f"Mind {name}.")] == [("CWE-79", 1.0)]


def test_a_weakness_both_cited_and_told_is_told_once() -> None:
    found = guarded_against("CWE-89: use parameterized queries")

    assert [(mention.cwe, mention.strength) for mention in found] == [("CWE-89", 1.0)]


@pytest.mark.parametrize("text", ["CWE-0", "CWE-12345", "acwe-79", "CWE-79x", "CWE 2024 list of 25"])
def test_what_only_looks_like_a_number_cites_nothing(text: str) -> None:
    assert all(mention.strength < 1 for mention in guarded_against(text))


def test_controls_are_known_for_the_commonest_weaknesses() -> None:
    assert len(cwes(LEXICON.controls)) >= 150
    assert cwes(LEXICON.controls) >= {
        f"CWE-{n}" for n in (22, 78, 79, 89, 94, 125, 287, 306, 352, 416, 434, 476, 502, 787)
    }


@given(st.text(max_size=400) | st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join))
@example("'s 'secure' ''")
@example("CWE-79 CWE-79 cwe79")
def test_any_lesson_is_handled(text: str) -> None:
    found = guarded_against(text)

    assert all(0 < mention.strength <= 1 and mention.words for mention in found)
    assert len({mention.cwe for mention in found}) == len(found)
    assert [one.strength for one in found] == sorted((one.strength for one in found), reverse=True)


@given(st.text(max_size=400) | st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join))
@example("\n\n")
@example(". .. ... ../ ..\\ ....// /./ %00")
@example("not " * 400)
def test_any_text_is_handled(text: str) -> None:
    found = weaknesses_in(text)

    assert all(0 < mention.strength < 1 and mention.cwe in cwes(LEXICON.terms) and mention.words for mention in found)
    assert len({mention.cwe for mention in found}) == len(found)


@pytest.mark.parametrize(
    "text",
    [
        "A use after free in the parser lets remote attackers read sensitive memory through a crafted certificate. ",
        "password log cookie url header not checked injection overflow buffer memory ",
    ],
)
def test_work_grows_no_faster_than_the_text(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    walks = 0
    reach = phrases._reach

    def counted(*args: object) -> set[int]:
        nonlocal walks
        walks += 1
        return reach(*args)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(phrases, "_reach", counted)
    counts: list[int] = []
    for times in (10, 20, 40, 400):
        walks = 0
        weaknesses_in(text * times)
        counts.append(walks)

    assert counts[0] > 0
    assert counts[1] <= 2 * counts[0] + 10
    assert counts[3] <= 10 * counts[2] + 10


def test_the_lexicon_covers_the_weaknesses_of_software() -> None:
    assert len(cwes(LEXICON.terms)) >= 300
    assert cwes(LEXICON.terms) >= {
        f"CWE-{n}" for n in (22, 78, 79, 89, 94, 125, 287, 306, 352, 416, 434, 476, 502, 787, 862)
    }


def test_every_weakness_is_found_in_its_example_and_not_in_its_near_miss() -> None:
    def is_in(entry: Weakness, text: str) -> bool:
        return entry.cwe in {mention.cwe for mention in weaknesses_in(text)}

    assert [entry.cwe for entry in LEXICON.entries if not is_in(entry, entry.example)] == []
    assert [entry.cwe for entry in LEXICON.entries if not entry.near_miss or is_in(entry, entry.near_miss)] == []


def test_a_phrase_of_not_in_bars_all_phrases_of_its_weakness(tmp_path: Path) -> None:
    body = '[[weakness]]\ncwe = "CWE-1"\nsure = "red apple; green apple"\nnot_in = "apple pie"'
    lexicon = read_lexicon(write(tmp_path, body))

    assert lexicon.described("A red apple, and a green apple")
    assert lexicon.described("A red apple. The apple pie is done") == ()


def test_the_shipped_lexicon_is_read_once() -> None:
    assert load_lexicon() is load_lexicon()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ('[[weakness]]\ncwe = "79"\nsure = ["xss"]', "'cwe'"),
        ('[[weakness]]\ncwe = "CWE-79"\ncertain = ["xss"]', "CWE-79.*'certain'"),
        ('[[weakness]]\ncwe = "CWE-79"\nsure = 1', "CWE-79.*'sure'"),
        ('[[weakness]]\ncwe = "CWE-79"\nsure = "xss; "', "CWE-79.*'sure'"),
        ('[[weakness]]\ncwe = "CWE-79"\nsure = "xss"\nnot_in = "@nobody"', "CWE-79.*'not_in'.*'@nobody'"),
        ('[[weakness]]\ncwe = "CWE-79"\nsure = ["xss", " "]', "CWE-79.*'sure'"),
        ('[[weakness]]\ncwe = "CWE-79"\nsure = ["xss ~"]', "CWE-79.*'sure'.*'xss ~'"),
        ('[[weakness]]\ncwe = "CWE-79"\nsure = ["xss?"]', "CWE-79.*'sure'.*no phrase"),
        ('[[weakness]]\ncwe = "CWE-79"\nsure = ["the xss"]', "CWE-79.*'sure'.*'the'"),
        ('[[weakness]]\ncwe = "CWE-79"\nsure = ["x= attack"]', "CWE-79.*'sure'.*'x='"),
        ('[[weakness]]\ncwe = "CWE-79"\nsure = ["@nobody"]', "CWE-79.*'sure'.*'@nobody'"),
        ('[groups]\na = ["@a"]\n[[weakness]]\ncwe = "CWE-79"\nsure = ["@a"]', "'@a'"),
        ('[[weakness]]\ncwe = "CWE-79"\nsure = ["xss - "]', "CWE-79.*'sure'"),
        ('joined = ["one"]', "'joined' 1: write it in another form"),
        ("synonyms = 1", "'synonyms'"),
        ("weakness = 1", "'weakness'"),
        ("weaknesses = 1", "'weaknesses'"),
        ("[weakness", "words.toml"),
        (
            'joined = ["file name"]\n[[weakness]]\ncwe = "CWE-79"\nsure = ["path|file name"]',
            "CWE-79.*'sure'.*'filename'",
        ),
        ('[[weakness]]\ncwe = "CWE-79"\nsure = ["(red apple|) pie"]', "CWE-79.*'sure'.*brackets"),
        ('[[weakness]]\ncwe = "CWE-79"\nsure = ["(red apple"]', "CWE-79.*'sure'.*matches nothing"),
        ('[[weakness]]\ncwe = "CWE-79"\nsure = ["XSS"]', "CWE-79.*'sure'.*matches nothing"),
        ('[[weakness]]\ncwe = "CWE-79"\ncontrol = 1', "CWE-79.*'control'.*list"),
        ('[[weakness]]\ncwe = "CWE-79"\ncontrol = ["escape ~"]', "CWE-79.*'control'.*'escape ~'"),
        ('[[weakness]]\ncwe = "CWE-79"\ncontrol_hint = ["@nobody"]', "CWE-79.*'control_hint'.*'@nobody'"),
    ],
)
def test_a_malformed_lexicon_names_entry_and_key(body: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=told):
        read_lexicon(write(tmp_path, body)).guarded("an apple")


def test_controls_change_nothing_of_what_an_issue_speaks_of(tmp_path: Path) -> None:
    issue = "A red apple fell on the pie. And a plum"
    told = '[[weakness]]\ncwe = "CWE-1"\nsure = ["red ~ pie"]\n'
    controls = 'control = ["red apple", "apple"]\n[[weakness]]\ncwe = "CWE-2"\ncontrol = ["pie", "plum"]\n'
    without, with_them = (read_lexicon(write(tmp_path, body)) for body in (told, told + controls))

    assert without.described(issue) == with_them.described(issue) != ()
    assert cwes(without.terms) == cwes(with_them.terms) == {"CWE-1"}
    assert cwes(with_them.controls) == {"CWE-1", "CWE-2"}
    assert {one.cwe for one in with_them.guarded(issue)} == {"CWE-1", "CWE-2"}


def test_a_lexicon_of_another_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'version'"):
        read_lexicon(write(tmp_path, "", head="version = 2\n"))


@pytest.mark.parametrize(
    ("pattern", "hits", "misses"),
    [
        ("red|green apple", ["a green apple"], ["a blue apple", "apple green"]),
        ("red juicy? apple", ["red apple", "red juicy apple"], ["red sour apple"]),
        (
            "red ~ apple",
            ["red and very juicy apple"],
            ["red one two three four five apple", "The apple is red. The apple fell"],
        ),
        ("appl*", ["apply", "applied"], ["apt"]),
        ("red apple + pear", ["pear beside a red apple"], ["red apple", "pear"]),
        ("red apple - pear", ["red apple"], ["red apple and pear"]),
        ("(red apple|pear|plum) pie", ["red apple pie", "pear pie", "plum pie"], ["red pie", "apple pie", "red pear"]),
        ("pie - (red apple|pear)", ["pie", "red pie", "apple pie"], ["pie of red apple", "pie of pear"]),
        ("pie + (red apple|pear)", ["pie of red apple", "pear on pie"], ["red pie", "pie"]),
    ],
)
def test_a_pattern_says_which_words_it_wants(pattern: str, hits: list[str], misses: list[str], tmp_path: Path) -> None:
    lexicon = read_lexicon(write(tmp_path, f'[[weakness]]\ncwe = "CWE-1"\nsure = ["{pattern}"]'))

    assert [text for text in hits if not lexicon.described(text)] == []
    assert [text for text in misses if lexicon.described(text)] == []
