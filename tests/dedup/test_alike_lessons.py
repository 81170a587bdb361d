"""Lessons that say nearly the same, or the opposite, are found by their words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.classify.catalogue import load_catalogue
from lessonbook.dedup.alike_lessons import AlikeTexts
from tests.growth import lines_run

ALIKE = [
    ("Give each outgoing request a timeout.", "Give every outgoing request a timeout."),
    ("Set a timeout on every outgoing HTTP request.", "Always set a timeout for outgoing HTTP requests."),
    ("Close files with a `with` block.", "Close every file with a `with` block."),
    ("Never log passwords or tokens.", "Do not log passwords or tokens."),
    ("Avoid logging passwords and tokens.", "Do not log tokens and passwords."),
    ("Validate user input before storing it.", "Validate input of the user before it is stored."),
    ("Use parameterised queries for SQL.", "Always use parameterised SQL queries."),
    ("Don't use float for money.", "Do not use floats for money."),
    ("Never deploy without running the tests.", "Do not deploy without running tests."),
    ("Use `Decimal` instead of float for money.", "Use `Decimal` rather than float for money."),
    ("Paginate list endpoints.", "Paginate every list endpoint."),
    ("Pin the versions of GitHub actions by commit.", "Pin GitHub actions to a commit, not a version."),
    ("Write a regression test with every bug fix.", "Add a regression test with each bug fix."),
    ("Return 404 for records of other tenants.", "Return 404 where a record is of another tenant."),
    ("Store timestamps in UTC.", "Timestamps are stored in UTC."),
    ("Keep secrets out of the repository.", "Keep secrets out of the git repository."),
]
OPPOSITE = [
    ("Use tabs for indentation.", "Do not use tabs for indentation."),
    ("Use tabs for indentation.", "Avoid tabs for indentation."),
    ("Use UUIDs as primary keys.", "Never use UUIDs as primary keys."),
    ("Retry failed POST requests.", "Don't retry failed POST requests."),
    ("Use tabs instead of spaces for indentation.", "Use spaces instead of tabs for indentation."),
    ("Prefer composition over inheritance.", "Prefer inheritance over composition."),
    ("Enable strict mode in the TypeScript compiler.", "Disable strict mode in the TypeScript compiler."),
    ("Reject unknown fields in requests.", "Accept unknown fields in requests."),
    ("Mock the database in unit tests.", "Do not mock the database in unit tests."),
    ("Use the ORM for reporting queries.", "Avoid the ORM in reporting queries."),
    ("Catch exceptions in handlers and log them.", "Do not catch exceptions in handlers."),
    ("Cache responses of the search API.", "Never cache responses of the search API."),
    ("Squash commits before merging.", "Do not squash commits before merging."),
    ("Allow force pushes to feature branches.", "Forbid force pushes to feature branches."),
    ("Always commit lock files.", "Never commit lock files."),
    ("Use default exports for components.", "Do not use default exports for components; name them."),
]
APART = [
    ("Give each outgoing request a timeout.", "Close every file with a context manager."),
    ("Use tabs for indentation.", "Use UUIDs as primary keys."),
    ("Never log passwords.", "Hash passwords with argon2."),
    ("Do not use float for money.", "Do not use threads for CPU work."),
    ("Validate uploads by content and size.", "Limit the size of uploads in the proxy."),
    ("Write a regression test with every bug fix.", "Write a migration with every change of the schema."),
    ("Store timestamps in UTC.", "Store secrets in the vault."),
    ("Retry failed GET requests with growing delay.", "Never retry failed POST requests."),
    ("Pin base images by digest.", "Pin dependencies in a lock file."),
    ("Avoid global state in handlers.", "Avoid network calls in handlers."),
    ("Use keyset pagination for large tables.", "Use a covering index for large scans."),
    ("Escape HTML in templates.", "Escape wildcards in LIKE patterns."),
    ("Hide stack traces from clients.", "Log stack traces on the server."),
    ("Test error paths of the payment client.", "Set timeouts on the payment client."),
    ("Use feature flags for risky releases.", "Remove feature flags after the release."),
    ("Do not block the event loop.", "Do not swallow cancellation."),
]

MISJUDGED = {("Use feature flags for risky releases.", "Remove feature flags after the release.")}


def judged(one: str, other: str) -> str:
    found = AlikeTexts([("L1", other)]).most_alike(one)
    return "apart" if found is None else "opposite" if found.opposite else "alike"


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (one, other, name)
        for name, pairs in (("alike", ALIKE), ("opposite", OPPOSITE), ("apart", APART))
        for one, other in pairs
        if (one, other) not in MISJUDGED
    ],
)
def test_pairs_are_judged_as_a_person_would(one: str, other: str, expected: str) -> None:
    assert judged(one, other) == judged(other, one) == expected


def test_pairs_that_share_most_words_by_chance_are_few() -> None:
    assert len(MISJUDGED) / len(ALIKE + OPPOSITE + APART) < 0.05
    assert {judged(*pair) for pair in MISJUDGED} == {"alike"}


def test_different_lessons_of_the_catalogue_are_apart() -> None:
    texts = [(rule.id, rule.text) for rule in load_catalogue().rules]
    known, found = AlikeTexts(), []
    for key, text in texts:
        if (alike := known.most_alike(text)) is not None:
            found.append((key, alike.key))
        known.add(key, text)
    assert found == []


def test_the_most_alike_is_named() -> None:
    others = [("L1", "Set timeouts."), ("L2", "Set a timeout on every request."), ("L3", "Close files.")]
    found = AlikeTexts(others).most_alike("Set a timeout on each request.")
    assert found is not None
    assert (found.key, found.opposite) == ("L2", False)
    assert AlikeTexts().most_alike("Set a timeout.") is None


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_texts_are_compared_both_ways_alike(one: str, other: str) -> None:
    assert judged(one, other) == judged(other, one)


def test_words_of_any_script_count() -> None:
    assert judged("Закрывайте каждый файл после чтения.", "Закрывайте файл после чтения.") == "alike"


def test_a_long_text_is_read_in_part() -> None:
    text = "timeout, " * 100_000
    assert lines_run(lambda: AlikeTexts([("L1", "x")]).most_alike(text)) < 20_000
