"""The words of a reviewer: without what is quoted, hidden or proposed as code, and whether they name a problem."""

import re
from typing import Final

from lessonbook.intake.clean_text import decoded, without_controls
from lessonbook.machine.patterns import lazy_pattern

PRAISE_MAX: Final = 100
"""Characters of the longest comment that is looked at for praise."""

_HIDDEN: Final = lazy_pattern(r"<!--.*?(?:-->|\Z)", re.S)
_SUGGESTION: Final = lazy_pattern(
    r"^[ ]{0,3}(`{3,9}|~{3,9})suggestion\b[^\n]*\n.*?(?:^[ ]{0,3}\1[`~]*[ \t]*$|\Z)", re.S | re.M
)
_FOLDED: Final = lazy_pattern(r"<details\b[^<>]{0,100}>.*?(?:</details>|\Z)", re.S | re.I)
_QUOTED: Final = lazy_pattern(r"^[ ]{0,3}>.*$\n?", re.M)
_TAG: Final = lazy_pattern(
    r"</?(?:details|summary|sub|sup|br|hr|img|p|b|i|em|strong|u|a|div|span|picture|source|h[1-6]|ul|ol|li|kbd|center)"
    r"(?:\s[^<>]{0,390})?/?>",
    re.I,
)
_GAP: Final = lazy_pattern(r"\n[ \t]*\n(?:[ \t]*\n)+")
_PRAISE: Final = lazy_pattern(
    r"(?:@[\w-]+|:\w+:|\+1|\W|\b(?:lgtm|looks? (?:good|great|fine|nice)(?: to me)?(?: now)?|sgtm|ship it"
    r"|approv(?:ed?|ing)|thanks?(?: you)?|thx|ty|nice(?: work| one| job| catch)?|great(?: work| job| catch)?"
    r"|good (?:catch|point|job|work)|well done|all good|love (?:it|this)|perfect|awesome|done|fixed|ok(?:ay)?|agreed"
    r"|resolved|ack|same here|makes sense|will do|works for me"
    r"|no (?:further |more )?(?:notes|comments|issues|concerns))\b)++",
    re.IGNORECASE,
)
"""A whole comment of such words names no problem."""
_SLASH: Final = lazy_pattern(r"\A/[a-z][\w-]{0,40}(?: [\w./#@-]{1,60}){0,4}\s*\Z")
"""A command to a bot: `/retest`."""
_COMMANDS_OF_BOTS: Final = lazy_pattern(
    r"@[\w-]+(?:\[bot\])? (?:rebase|recreate|merge|squash and merge|review|full review|retry|resolve|ignore|close"
    r"|reopen|pause|resume|summary|help|run)\b[^.\n]{0,40}",
    re.I,
)


def words_in(body: str) -> str:
    """Return what a comment says itself: no quotations, no suggested code, nothing hidden or folded, entities decoded.

    What is folded is kept where there is nothing else.
    """
    text = _SUGGESTION.sub("", _HIDDEN.sub("", body.replace("\r\n", "\n")))
    unfolded = _FOLDED.sub("", text)
    text = _QUOTED.sub("", unfolded if _TAG.sub("", unfolded).strip() else text)
    return _GAP.sub("\n\n", without_controls(decoded(_TAG.sub("", text)))).strip()


def names_problem(words: str) -> bool:
    """Return whether words may name a problem: praise, thanks and commands to bots do not."""
    if len(words) > PRAISE_MAX:
        return True
    return not (_PRAISE.fullmatch(words) or _SLASH.fullmatch(words) or _COMMANDS_OF_BOTS.fullmatch(words))
