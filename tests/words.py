"""Shapes that no answer may have: words of libraries, SQL, stacks, places, wrong plurals."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

FORBIDDEN: Final = {
    "pydantic": r"pydantic|[Ii]nput should|[Ff]ield required|[Ee]xtra inputs|value_error|[Vv]alue error,|"
    r"(?:[Ss]tring|[Ll]ist|[Tt]uple|[Dd]ictionary|[Vv]alue|[Dd]ata) should (?:be|have|match)|validation errors? for|"
    r"unable to (?:parse|interpret)|(?:input_|\b)type=\w|input_value|[Aa]ssertion failed|JSON decode error",
    "a stack": r"Traceback|File \"|, line \d+, in |site-packages|\.py:\d+|During handling of",
    "an exception": r"\b(?:[A-Z]\w+Error|[A-Z]\w+Exception)\b|<class '|object at 0x|NoneType|'dict'|asyncio\.",
    "a driver": r"sqlite3|asyncpg|sqlalche|psycopg|greenlet|alembic|SQLSTATE|errno|Errno",
    "SQL": r"\bSELECT\b.*\bFROM\b|\bINSERT INTO\b|\bUPDATE \w+ SET\b|\bDELETE FROM\b|\bPRAGMA\b|\bBEGIN\b|\[SQL",
    "a place": r"(?<![\w/.:])/(?:tmp|home|root|usr|work|var|opt|srv|mnt|private|Users)/",
    "a plural": r"(?<![\d.,-])\b1 (?!(?:as|is|was|has|this|less|across|plus|minus|s)\b)[a-z]*[a-rt-z]s\b|"
    r"\b(?:0|[2-9]|[1-9]\d+) (?:issue|lesson|run|character|item|record|file|line|second|day|byte|group|entry)\b(?!-)|"
    r"\w\(s\)",
    "opaqueness": r"Something went wrong|Invalid request parameters",
    "emptiness": r": *$|\bNone\b|known are *$",
}
_KEYS: Final = r"[Ii]dempotency"


def faults_in(
    text: str,
    *,
    reads: bool = False,
    private: Iterable[str] = (),
    named: Iterable[str] = (),
    opaque: bool = False,
) -> Iterator[str]:
    """Yield each kind of forbidden shape in an answer, with what has it.

    A read speaks of no idempotency keys. `private`: parts of the database's address. `named`: what the caller named.
    `opaque`: the fault is the server's own, which a caller gets a code of and no words.
    """
    for part in named:
        text = text.replace(part, "…")
    for kind, shape in FORBIDDEN.items():
        if kind == "opaqueness" and opaque:
            continue
        if found := re.search(shape, text):
            yield f"{kind}: {found[0]}"
    if reads and (found := re.search(_KEYS, text)):
        yield f"a key in a read: {found[0]}"
    yield from (f"private: {part}" for part in private if part in text)
