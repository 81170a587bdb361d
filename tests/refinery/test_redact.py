"""Secrets out: every kind is found, and nothing else is touched."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.refinery.redact import redact

A = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7"

SECRETS = {
    "private-key": "-----BEGIN RSA PRIVATE KEY-----\nMIIEow" + A + "\n-----END RSA PRIVATE KEY-----",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.s1gnature_" + A,
    "aws-key": "AKIA" + "QWERTYUIOP123456",
    "github-token": "ghp_" + A + "0123456789",
    "gitlab-token": "glpat-" + A,
    "slack-token": "xoxb-" + A,
    "slack-webhook": "https://hooks.slack.com/services/T000/B000/" + A,
    "google-key": "AIza" + (A * 2)[:35],
    "stripe-key": "sk_live_" + A,
    "model-key": "sk-ant-" + A,
    "registry-token": "npm_" + (A * 2)[:36],
    "sendgrid-key": "SG." + A + "." + A + A,
    "bearer-token": A + "==",
}
PREFIXES = {"bearer-token": "Authorization: Bearer "}
PASSWORDS = [
    ("password = 'hunter2hunter2'", "password = [redacted:password]"),
    ('"api_key": "abcdef123456"', '"api_key": [redacted:password]'),
    ("client_secret => 'abcdef123456'", "client_secret => [redacted:password]"),
    ("DB_PASSWORD=abcdef123456 run", "DB_PASSWORD=[redacted:password] run"),
    ("postgresql://bob:s3cret@db.example/app", "postgresql://[redacted:url-password]@db.example/app"),
]
ORDINARY = [
    "SQL is built with an f-string in orders.py:33",
    "The token is compared with == instead of hmac.compare_digest",
    "password is None when the form is empty",
    "password = os.environ['DB_PASSWORD']",
    "token: str = Field(min_length=8)",
    "Set PASSWORD=... in the environment",
    "commit 1f0c2d3e4b5a69788796a5b4c3d2e1f00f1e2d3c broke it",
    "The bearer of this message has a sk- prefix and an npm_ one",
    "uuid 3f2504e0-4f89-11d3-9a0c-0305e82c3301",
    "https://example.org/path?user=bob",
    "secret = secrets.token_urlsafe(32)",
    "eyJ is how a JWT begins",
    "Größe und 密码 stehen im Text",
    "",
]


@pytest.mark.parametrize("kind", SECRETS)
def test_every_kind_of_secret_is_replaced_by_a_mark_of_its_kind(kind: str) -> None:
    prefix = PREFIXES.get(kind, "It reads ")
    text, kinds = redact(f"{prefix}{SECRETS[kind]} here")
    assert text == f"{prefix}[redacted:{kind}] here"
    assert kinds == (kind,)


@pytest.mark.parametrize(("text", "redacted"), PASSWORDS)
def test_the_value_of_a_password_goes_and_its_name_stays(text: str, redacted: str) -> None:
    assert redact(text)[0] == redacted


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_untouched(text: str) -> None:
    assert redact(text) == (text, ())


def test_a_private_key_that_was_cut_off_is_redacted_to_the_end() -> None:
    text, _ = redact("Found -----BEGIN PRIVATE KEY-----\nMIIEow\nabc")
    assert text == "Found [redacted:private-key]"


def test_several_secrets_are_all_replaced_and_each_kind_named_once() -> None:
    both = f"{SECRETS['github-token']} {SECRETS['aws-key']} {SECRETS['github-token']}"
    text, kinds = redact(both)
    assert text == "[redacted:github-token] [redacted:aws-key] [redacted:github-token]"
    assert sorted(kinds) == ["aws-key", "github-token"]


@given(st.lists(st.sampled_from([*SECRETS.values(), *ORDINARY, *(text for text, _ in PASSWORDS)]), max_size=5))
def test_redacting_again_changes_nothing(parts: list[str]) -> None:
    once, _ = redact(" and ".join(parts))
    assert redact(once) == (once, ())
    assert not any(secret in once for kind, secret in SECRETS.items() if kind not in PREFIXES)


@given(st.text(max_size=400))
def test_no_text_makes_it_fail_or_grow_without_a_secret(text: str) -> None:
    redacted, kinds = redact(text)
    assert kinds or redacted == text


def test_a_long_text_is_read_quickly() -> None:
    for piece in ("password ", "eyJ" + "a" * 50 + ".", "://" + "a" * 50, "-----BEGIN ", "x" * 60 + "@"):
        text = piece * (1_000_000 // len(piece))
        redact(text[:200_000])
