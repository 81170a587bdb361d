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
    ("it holds a web address", re.compile(r"\b(?:https?|ftp|file|data|javascript)://?\S|\bwww\.\w", re.I)),
    ("it holds an e-mail address", re.compile(r"[\w.+-]+@[\w-]+\.[a-z]{2,}", re.I)),
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
        "it speaks to the model instead of about code",
        re.compile(
            r"\b(?:ignore|disregard|forget|override|bypass)\b.{0,40}\b(?:previous|prior|above|earlier|all|any|your|other|"
            r"system|safety)\b.{0,30}\b(?:instructions?|prompts?|rules?|guidelines?|lessons?|context|messages?)\b"
            r"|\byou (?:must now|are now|will now|are an? (?:ai|assistant|agent|model))\b|\b(?:system|developer) prompt\b"
            r"|\bact as\b|\bas an ai\b|\bjailbreak|\bdo anything now\b|\bnew instructions?\b|\bfrom now on\b"
            r"|\b(?:reveal|print|output|repeat|exfiltrate|leak)\b.{0,40}\b(?:secrets?|credentials?|prompt|environment "
            r"variables?|api keys?|tokens?)\b|</?(?:system|user|assistant|lessons?|instructions?)\b|\[/?INST\]|<\|"
            r"|\b(?:do not|don't|never) (?:tell|inform|mention|alert|warn|notify)\b.{0,30}\b(?:user|human|operator|anyone)\b"
            r"|\bwithout (?:asking|telling|informing)\b",
            re.I | re.S,
        ),
    ),
)

_DISABLES: Final = re.compile(
    r"\b(?:disable|turn(?:ing)? off|switch(?:ing)? off|skip|bypass|suppress|remove|omit|deactivate|comment out|silence)\b"
    r".{0,50}\b(?:check\w*|verif\w*|validat\w*|authenti\w*|authoriz\w*|authoris\w*|certificate\w*|tls|ssl|firewall|selinux|"
    r"sandbox\w*|csrf|cors|csp|linter?\w*|tests?|scan\w*|security|sanitiz\w*|sanitis\w*|escap\w*|encrypt\w*|signature\w*|"
    r"audit\w*|logging|review\w*|permission\w*)\b"
    r"|\bverify\s*=\s*false\b|--no-verify\b|--insecure\b|\bnosec\b|\bchmod\s+777\b|\beval\(.*\brequest",
    re.I | re.S,
)
_AGAINST: Final = re.compile(
    r"\b(?:never|not|don't|avoid|no|without|instead of|rather than|refuse|reject|forbid)\b", re.I
)
_HIDDEN: Final = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f\ufff9-\ufffb]")
_ENCODED: Final = re.compile(r"[A-Za-z0-9+/]{48,}={0,2}|(?:\\x[0-9a-fA-F]{2}){6,}|(?:%[0-9a-fA-F]{2}){8,}")
_WORD: Final = re.compile(r"[^\W\d_]{2,}")


def visible(text: str) -> str:
    """Return `text` without characters that a reader does not see or that reorder what is seen."""
    kept = _HIDDEN.sub("", text)
    return "".join(char for char in kept if char in "\n\t" or unicodedata.category(char) != "Cc")


def one_line(text: str) -> str:
    """Return `text` on one line, with single blanks."""
    return " ".join(text.split())


def screen(text: str) -> Screened:
    """Return the lint's judgement of a lesson, with its text cleaned and on one line."""
    reasons: list[str] = []
    if _HIDDEN.search(text):
        reasons.append("it holds hidden or direction-changing characters")
    cleaned, secrets = redact(one_line(visible(text)))
    if secrets:
        reasons.append(f"it holds a secret ({', '.join(secrets)})")
    if len(_WORD.findall(cleaned)) < WORDS_MIN:
        return Screened(cleaned, "unfit", ("it is not a rule: write what to do, in at least three words",))
    if len(cleaned) > LESSON_MAX:
        reasons.append(f"it is longer than {LESSON_MAX} characters")
    reasons += [reason for reason, pattern in _RISKS if pattern.search(cleaned)]
    if _advises_disabling(cleaned):
        reasons.append("it advises to disable a check")
    if _ENCODED.search(cleaned):
        reasons.append("it holds encoded data")
    return Screened(cleaned, "risky" if reasons else "clean", tuple(reasons))


def screen_why(text: str) -> Screened:
    """Return the lint's judgement of a rationale. An empty one is clean."""
    if not text.strip():
        return Screened("", "clean", ())
    judged = screen(text)
    if judged.verdict == "unfit":
        return Screened("", "clean", ())
    return judged


def _advises_disabling(text: str) -> bool:
    """Return whether a sentence of `text` advises disabling a check, rather than advising against it."""
    for sentence in re.split(r"(?<=[.;!?])\s+", text):
        found = _DISABLES.search(sentence)
        if found and not _AGAINST.search(sentence[: found.start()]):
            return True
    return False
