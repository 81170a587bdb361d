"""Redaction of examples of every kind of secret, and of what only looks like one."""

import pytest

from lessonbook.screening.redact import redact
from tests.screening.secrets.corpus import examples

SETS = ["seen", "final", "third", "fourth"]
RECALL_LEAST = 0.95
LOOK_ALIKES_MOST = 0.05


@pytest.mark.parametrize("name", SETS)
def test_secrets_go_out_of_a_text(name: str) -> None:
    secrets = [example for example in examples(name) if example.secrets]
    missed = [one.text for one in secrets if any(secret in redact(one.text)[0] for secret in one.secrets)]
    assert len(missed) <= (1 - RECALL_LEAST) * len(secrets), missed


@pytest.mark.parametrize("name", SETS)
def test_what_only_looks_like_a_secret_stays(name: str) -> None:
    others = [example for example in examples(name) if not example.secrets]
    redacted = [one.text for one in others if redact(one.text) != (one.text, ())]
    assert len(redacted) <= LOOK_ALIKES_MOST * len(others), redacted


@pytest.mark.parametrize("name", SETS)
def test_redacting_an_example_again_changes_nothing(name: str) -> None:
    once = [redact(example.text)[0] for example in examples(name)]
    assert [redact(text)[0] for text in once] == once
