"""The lint that every offered, imported or generated lesson passes before it may be served (SAFETY P4)."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final, Literal

from lessonbook.refinery.redact import redact

LESSON_MAX: Final = 600
WHY_MAX: Final = 600
WORDS_MIN: Final = 3

Verdict = Literal["clean", "risky", "unfit"]


@dataclass(frozen=True, slots=True)
class Screened:
    """A lesson's text after the lint.

    `clean` may be served, `risky` waits for a person, `unfit` is no rule at all. `reasons` are sentences for a person.
    """

    text: str
    verdict: Verdict
    reasons: tuple[str, ...]


_RISKS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = (
    (
        "it holds a web address",
        re.compile(r"\b(?:https?|ftp|file|data|javascript)://?[\w\[]|\bdata:\w+/\w|\bwww\.\w", re.I),
    ),
    ("it holds an e-mail address", re.compile(r"[\w.+-]+@[\w-]+\.[a-z]{2,}", re.I)),
    (
        "it speaks to the model instead of about code",
        re.compile(
            r"\b(?:ignore|disregard|forget|override|bypass)\b.{0,40}\b(?:previous|prior|above|earlier|all|any|your|other|"
            r"system|safety)\b.{0,30}\b(?:instructions?|prompts?|rules?|guidelines?|lessons?|context|messages?)\b"
            r"|\byou (?:must now|are now|will now|are an? (?:ai|assistant|agent|model))\b|\b(?:system|developer) prompt\b"
            r"|\bact as\b|\bas an ai\b|\bjailbreak|\bdo anything now\b|\bnew instructions?\b|\bfrom now on\b"
            r"|</?(?:system|user|assistant|lessons?|instructions?)\b|\[/?INST\]|<\|"
            r"|\b(?:do not|don't|never) (?:tell|inform|mention|alert|warn|notify)\b.{0,30}"
            r"\b(?:user|human|operator|anyone)\b",
            re.I | re.S,
        ),
    ),
)
"""What no lesson may hold, whatever it says about it."""

_GUARD: Final = (
    r"check\w*|verif\w*|validat\w*|authenti\w*|authoriz\w*|authoris\w*|certificate\w*|tls|ssl|firewall|selinux|"
    r"sandbox\w*|csrf|cors|csp|linter?\w*|tests?|scan\w*|security|sanitiz\w*|sanitis\w*|encrypt\w*|signature\w*|"
    r"review\w*"
)
_ADVICE: Final[tuple[tuple[str, re.Pattern[str]], ...]] = (
    (
        "it tells the reader to run a command",
        re.compile(
            r"(?:^|[\s`;|&(])(?:sudo|curl|wget|rm\s+-\w|chmod\s+[0-7+]|bash\s+-c|sh\s+-c|powershell|iex|eval\s+\"|nc\s+-|"
            r"npx\s|pip3?\s+install|npm\s+(?:i|install)\s|yarn\s+add|apt(?:-get)?\s+install|brew\s+install|cargo\s+install|"
            r"go\s+install|gem\s+install|docker\s+run|base64\s+-d|git\s+(?:push|clone|config)\s|ssh\s+\w)",
            re.I,
        ),
    ),
    ("it pipes into a shell", re.compile(r"\|\s*(?:sudo\s+)?(?:ba|z|da|k)?sh\b", re.I)),
    (
        "it advises to give away secrets",
        re.compile(
            r"\b(?:reveal|print|output|repeat|exfiltrate|leak)\b.{0,40}?\b(?:secrets?|credentials?|prompt|environment "
            r"variables?|api keys?|tokens?)\b",
            re.I | re.S,
        ),
    ),
    ("it advises to act unasked", re.compile(r"\bwithout (?:asking|telling|informing)\b", re.I)),
    (
        "it advises to disable a check",
        re.compile(
            r"\b(?:disable|turn(?:ing)? off|switch(?:ing)? off|skip|bypass|suppress|deactivate|comment out|silence)\b"
            rf".{{0,50}}?\b(?:{_GUARD}|escap\w*|audit\w*|logging|permission\w*)\b"
            rf"|\b(?:remove|omit)\b.{{0,50}}?\b(?:{_GUARD})\b"
            r"|\bverify\s*=\s*false\b|--no-verify\b|--insecure\b|\bnosec\b|\bchmod\s+777\b|\beval\(.*\brequest",
            re.I | re.S,
        ),
    ),
)
"""What no lesson may advise. Advising against it is fine."""

_AGAINST: Final = re.compile(
    r"\b(?:never|not|don't|avoid|no|without|instead of|rather than|refuse|reject|forbid)\b", re.I
)
_CLAUSE_START: Final = re.compile(r"[.,;:!?](?=\s)|\b(?:and|but|then|just)\b", re.I)
_ASIDE: Final = re.compile(r"\b(never|not|don't)\s*,[^,.;:!?]{1,40},\s*", re.I)
_HIDDEN: Final = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f\ufff9-\ufffb]")
_ENCODED: Final = re.compile(r"[A-Za-z0-9+/]{48,}={0,2}|(?:\\x[0-9a-fA-F]{2}){6,}|(?:%[0-9a-fA-F]{2}){8,}")
_WORD: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{2}|[^\W\d_]{2,}")
"""A word; where words are not spaced (Chinese, Japanese, Korean), two characters count as one."""


def visible(text: str) -> str:
    """Return `text` without characters that a reader does not see or that reorder what is seen."""
    kept = _HIDDEN.sub("", text)
    return "".join(char for char in kept if char in "\n\t" or unicodedata.category(char) != "Cc")


def one_line(text: str) -> str:
    """Return `text` on one line, with single blanks."""
    return " ".join(text.split())


def screen(text: str) -> Screened:
    """Return the lint's judgement of a lesson, with its text cleaned and on one line."""
    return _judge(text, WORDS_MIN)


def _judge(text: str, words_min: int) -> Screened:
    reasons: list[str] = []
    if _HIDDEN.search(text):
        reasons.append("it holds hidden or direction-changing characters")
    cleaned, secrets = redact(one_line(visible(text)))
    if secrets:
        reasons.append(f"it holds a secret ({', '.join(secrets)})")
    if len(_WORD.findall(cleaned)) < words_min:
        return Screened(cleaned, "unfit", ("it is not a rule: write what to do, in at least three words",))
    if len(cleaned) > LESSON_MAX:
        reasons.append(f"it is longer than {LESSON_MAX} characters")
    reasons += [reason for reason, pattern in _RISKS if pattern.search(cleaned)]
    reasons += [reason for reason, pattern in _ADVICE if _is_advised(pattern, cleaned)]
    if _ENCODED.search(cleaned):
        reasons.append("it holds encoded data")
    return Screened(cleaned, "risky" if reasons else "clean", tuple(reasons))


def screen_why(text: str) -> Screened:
    """Return the lint's judgement of a rationale, which may be short. One without a word is dropped."""
    judged = _judge(text, 1)
    return Screened("", "clean", ()) if judged.verdict == "unfit" else judged


def _is_advised(pattern: re.Pattern[str], text: str) -> bool:
    """Return whether `text` advises what `pattern` finds, rather than advising against it.

    Advice against something says so before it, in the same clause: "Don't panic, disable TLS" does not.
    """
    plain = _ASIDE.sub(r"\1 ", text)
    found = pattern.search(plain)
    while found:
        before = plain[: found.start()]
        clause = before[max((start.end() for start in _CLAUSE_START.finditer(before)), default=0) :]
        if not _AGAINST.search(clause):
            return True
        found = pattern.search(plain, found.start() + 1)
    return False
