"""What is not a rule: questions, chat, tasks, program code, texts in other languages than English."""

import re
from typing import Final

from lessonbook.machine.patterns import lazy_pattern

_SPAN: Final = lazy_pattern(r"`[^`]*`")
_QUOTED: Final = lazy_pattern(r"\"[^\"]{1,200}\"|“[^”]{1,200}”|«[^»]{1,200}»")
_LETTERS: Final = lazy_pattern(r"[^\W\d_]")
_FOREIGN: Final = lazy_pattern(
    r"\b(?:der|das|und|nicht|ist|wird|werden|sie|eine[mnr]?|für|mit|auf|oder|wenn|vor|nach|alle|jede[rs]?|nur|auch|bei|zum"
    r"|zur|vom|bitte|keine?|sind|wie|les|une|pas|est|dans|pour|avec|vous|votre|sur|qui|que|ne|aux?|sont|être|avant|après"
    r"|toutes|tous|il|elle|el|los|las|una|para|con|por|como|sus?|todos|todas|más|cuando|lo|dell[ae]|degli|gli|che|sono"
    r"|ogni|prima|dopo|tutt[ei]|nella?|di|uma|não|em|dos|seu|sua|het|een|niet|voor|van|zijn|wordt|elke|och|att|är|inte"
    r"|som|på|för|alla|ikke|og|til|det|nie|się|jest|dla|przed|przez|które|wszystkie|ve|bir|bu|için|tüm)\b"
)
"""The commonest words of other languages in Latin letters, except those that are English or name things in code."""

_ENGLISH: Final = lazy_pattern(
    r"\b(?:the|and|of|to|in|is|are|be|for|with|not|on|that|this|it|as|by|or|from|when|use|never|always|do|an|at|before"
    r"|after|each|every|all|no|without|instead|into|than|only|if|must|should|so|its|their|which|can|has|have|one)\b"
)
TALK: Final = "it is somebody talking, not a rule"
_FORMS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = (
    ("it asks instead of telling", lazy_pattern(r"[\w)'’…]\s?[?？؟](?=\s|$|[)\"'”])")),
    (
        TALK,
        lazy_pattern(
            r"\b(?:I|I['’](?:m|ll|ve|d))(?=\s+[a-z']|[,.]?$)|\b(?:I['’](?:m|ll|ve|d))\b|(?<![\w-])(?:[Mm]e|[Mm]y|mine"
            r"|myself|MY|ME)(?=[\s.,;!:]|$)(?!\s+[A-Z]{2})|(?:^|[.!]\s+)(?:Hello|Hi|Hey|Dear|Thanks|Thank you|Greetings"
            r"|Sorry|Sincerely|Regards)\b|\b(?i:let['’]s|let us)\b|(?:^|[.!]\s+)Please\b",
        ),
    ),
    (
        "it is a note of work to do, not a rule",
        lazy_pattern(r"(?:^|[.!]\s+)(?:TODO|FIXME|REMINDER|TASK)\s?[:(–-]", re.I),
    ),
    (
        "it tells the reader to put given code in",
        lazy_pattern(
            r"\b(?:following|below|subsequent|next|given|provided) (?:\w+ ){0,2}(?:code|snippet|script|block|lines?"
            r"|function|excerpt|fragment|payload)s?\b(?=.{0,80}:)|\b(?:code|snippet|script) (?:block )?below\b",
            re.I,
        ),
    ),
    ("it names somebody's bank account", lazy_pattern(r"\b[A-Z]{2}\d{12,30}\b|\b(?:bank|my|his|her) account\b")),
)

_CODE: Final = lazy_pattern(
    r"```|~~~|(?:^|[\s;])(?:import \w|from [\w.]+ import|const \w+ ?=|let \w+ ?=|var \w+ ?=|def \w+\("
    r"|function\b.{0,30}\(|require\()|\w = [\w.]{1,60}\(|;\s\w[\w.]*\("
)
_ACTING_CODE: Final = lazy_pattern(
    r"\b(?:socket\.|smtplib|urlopen|urlretrieve|requests\.(?:get|post|put)\(|http\.client|httpx\.\w+\(|axios|fetch\("
    r"|XMLHttpRequest|subprocess\.|os\.(?:system|popen|exec\w*|environ\b.{0,40}\b(?:post|send))|child_process|exec\("
    r"|eval\(|Runtime\.getRuntime|pynput|keyboard\.|pyperclip|psutil|ctypes|getpass|paramiko|ftplib|telnetlib|pyautogui"
    r"|winreg|shutil\.rmtree|os\.remove|yagmail|scapy|wget\.download|cryptography\.fernet|Fernet\()"
)

FOREIGN_WORDS_MIN: Final = 2
FOREIGN_LETTERS: Final = 0.2
"""The share of letters outside the Latin alphabet above which a text counts as another language."""


def forms(text: str) -> list[str]:
    """Return why `text` is not a rule, as parts of a sentence. Quotations and code spans do not count."""
    prose = _prose(text)
    found = [reason for reason, pattern in _FORMS if pattern.search(prose)]
    if _ACTING_CODE.search(_SPAN.sub(" span ", text)) and _CODE.search(text):
        found.append("it holds program code that acts on the network or the system")
    if is_foreign(prose):
        found.append("it is not in English, which alone can be judged here")
    return found


def talks(text: str) -> bool:
    """Return whether somebody speaks in `text`, outside of quotations and code spans."""
    prose = _prose(text)
    return any(pattern.search(prose) is not None for reason, pattern in _FORMS if reason == TALK)


def _prose(text: str) -> str:
    return _QUOTED.sub(" quotation ", _SPAN.sub(" span ", text))


def is_foreign(text: str) -> bool:
    """Return whether `text` is in another language than English."""
    letters = _LETTERS.findall(text)
    if not text.isascii() and sum(letter > "\u024f" for letter in letters) > FOREIGN_LETTERS * len(letters):
        return True
    lower = text.lower()
    foreign = len(_FOREIGN.findall(lower))
    return foreign >= FOREIGN_WORDS_MIN and foreign > len(_ENGLISH.findall(lower))
