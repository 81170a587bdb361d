"""Secrets out, before anything is stored: each is replaced by a mark that says of what kind it was."""

import re
from typing import Final

_PATTERNS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = (
    (
        "private-key",
        re.compile(
            r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----.*?(?:-----END (?:[A-Z0-9]+ )*PRIVATE KEY-----|\Z)", re.S
        ),
    ),
    ("jwt", re.compile(r"(?<![\w-])eyJ[\w-]{8,4000}\.[\w-]{8,8000}\.[\w-]{0,4000}")),
    ("aws-key", re.compile(r"\b(?:AKIA|ASIA|AGPA|AROA|AIDA|ANPA)[A-Z0-9]{16}\b")),
    ("github-token", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{40,})")),
    ("gitlab-token", re.compile(r"\bglpat-[\w-]{20,}")),
    ("slack-token", re.compile(r"\bxox[abeoprs]-[\w-]{10,}")),
    ("slack-webhook", re.compile(r"https://hooks\.slack\.com/services/[\w/+-]{20,}")),
    ("google-key", re.compile(r"\bAIza[\w-]{35}")),
    ("stripe-key", re.compile(r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}")),
    ("model-key", re.compile(r"\bsk-(?:ant-|proj-|or-)?[\w-]{20,}")),
    ("registry-token", re.compile(r"\b(?:npm_[A-Za-z0-9]{36}|pypi-AgE[\w-]{50,})")),
    ("sendgrid-key", re.compile(r"\bSG\.[\w-]{20,}\.[\w-]{30,}")),
    ("url-password", re.compile(r"(?<=://)(?!\[redacted:)[^\s/:@'\"]{0,100}:[^\s/@'\"]{1,200}(?=@)")),
    ("bearer-token", re.compile(r"(?<=\bBearer )[A-Za-z0-9._~+/-]{16,}=*", re.I)),
    (
        "password",
        re.compile(
            r"""(?:(?<=password)|(?<=passwd)|(?<=secret)|(?<=token)|(?<=api_key)|(?<=api-key)|(?<=apikey)|(?<=access_key)"""
            r"""|(?<=secret_key)|(?<=auth_token))['"]?\s{0,4}(?::=|=>|[:=])\s{0,4}(?P<value>"[^"\s]{6,200}"|'[^'\s]{6,200}')""",
            re.I,
        ),
    ),
    (
        "password",
        re.compile(
            r"(?:(?<=PASSWORD)|(?<=SECRET)|(?<=TOKEN)|(?<=API_KEY)|(?<=ACCESS_KEY)|(?<=SECRET_KEY))="
            r"(?P<value>(?=[^\s]{0,200}\d)[^\s'\"(){}\[\];,]{8,200})"
        ),
    ),
)


def redact(text: str) -> tuple[str, tuple[str, ...]]:
    """Return `text` with each secret replaced by `[redacted:KIND]`, and the kinds that were found."""
    kinds: list[str] = []
    for kind, pattern in _PATTERNS:

        def mark(match: re.Match[str], kind: str = kind) -> str:
            kinds.append(kind)
            whole, value = match.group(0), match.groupdict().get("value")
            return whole.replace(value, f"[redacted:{kind}]") if value else f"[redacted:{kind}]"

        text = pattern.sub(mark, text)
    return text, tuple(dict.fromkeys(kinds))
