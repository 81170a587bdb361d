"""Names that other people chose (of files, rules, runs) as a model may read them: they are text like any other."""

import re
from typing import Final

from lessonbook.screening.lint.disguise import visible
from lessonbook.screening.lint.prompt_injection import speeches
from lessonbook.screening.redact import redact

NAME_MAX: Final = 200
"""Characters of a name that are shown."""
SENTENCE_WORDS: Final = 4
"""From so many words on a name is read as a sentence."""
LEFT_OUT: Final = "(a name that speaks to its reader, left out)"
_WORD: Final = re.compile(r"[^\W_]+")
_NO_PART: Final = re.compile(r"[^\w .:/\\@+~#(),=*-]")


def shown_name(name: str) -> str:
    """Return a name without secrets, hidden characters and marks, cut to `NAME_MAX`; none that speaks to a model."""
    kept = _NO_PART.sub("_", redact(" ".join(visible(name).split()))[0])
    words = _WORD.findall(kept)
    if len(words) >= SENTENCE_WORDS and speeches(" ".join(words)):
        return LEFT_OUT
    return kept if len(kept) <= NAME_MAX else f"…{kept[-NAME_MAX:]}"
