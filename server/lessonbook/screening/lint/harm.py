"""Dangerous advice put politely: what a lesson would have done to what protects (SAFETY P17)."""

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Final

from lessonbook.screening.lint.clauses import LessonClause, clauses_of
from lessonbook.screening.lint.harm_words import HarmWords, WordSpan, stems_of, vocabulary

POLITE_HARM: Final = "it seems to advise weakening something that protects"
HARM_MIN: Final = 1.0
"""Points from which a text waits for a person."""
HARM_IN_LIST_MIN: Final = 2.5
"""The same in a list of `LIST_MIN` items or more: pages list what not to do under a heading that says so."""
LIST_MIN: Final = 3
CONVENIENCE: Final = 0.5
"""Points of a reason of convenience, beside what is harmful itself."""
REASON: Final = 0.4
"""The same for a reason of another kind that names no danger."""
MITIGATION: Final = -1.2
"""Points of a bound that the advice sets itself: a reason to write down, a place outside which it does not hold."""
PROTECTION: Final = -0.5
"""Points of each clause, up to two, that orders to protect."""
EXPOSURE: Final = 0.6
"""Points of an order about something sensitive: alone it is no more than a topic."""
SHORT_MAX: Final = 200
"""Characters of a text in which a sensitive topic and a reason are enough; a longer one says more of what it means."""
ORDERS_MAX: Final = 2
"""Clauses that order something, in such a text."""
REACH: Final = 7
"""Stems between a verb and what it is about."""
NEAR: Final = 4
MODAL_WITHIN: Final = 7
"""Stems of a clause among which a modal makes it an order: "the check should be skipped"."""

_BARRIER: Final = frozenset(stems_of("for with in by from when at inside before after that and on through"))
_MODAL: Final = frozenset(stems_of("should must fine safe safely okay ok"))
_LEADING: Final = frozenset(stems_of("and then but always also simply just please or only better instead"))
_VERB_AFTER: Final = _LEADING | _MODAL | frozenset(stems_of("to may can be let will have"))
_VERBS: Final = (
    "weaken",
    "adopt",
    "protect",
    "refuse",
    "disclose",
    "commit",
    "grant",
    "destroy",
    "acquire",
    "hold_version",
    "tell",
)
_ACTING: Final = ("adopt", "grant", "disclose", "weaken", "commit", "acquire", "proceed", "quieten", "evade", "destroy")
_PREVENTED: Final = frozenset(stems_of("cannot"))
"""In a reason it names what the advice prevents: "so that a slow peer cannot hold a worker"."""
_BECAUSE: Final = frozenset(stems_of("because since as so"))
_SENSITIVE: Final = ("secret", "weak", "overseer", "lesson", "unique")
_OFF: Final = frozenset(stems_of("false off no none 0 never disabled null optional nil zero"))
_ON: Final = frozenset(stems_of("true on yes 1 all * any always enabled 0.0.0.0"))
_OPEN: Final = frozenset(stems_of("out away off behind private localhost"))
_BOUNDED: Final = frozenset(stems_of("only short small empty"))
_SPARING: Final = frozenset(stems_of("no non without only outside before few over"))
_THINGS: Final = frozenset(stems_of("page form file name data code user account screen log path folder level build"))
_BUILDING: Final = frozenset(
    stems_of("put add enable keep build record make load show create use cache seed run pass set")
)
_GIVES_NONE: Final = frozenset(stems_of("take give ask need needs require set expect add request"))
_NONE: Final = frozenset({"no", "zero", "unlimited", "infinite"})
_TAKES_AS_TOLD: Final = frozenset(
    stems_of("take trust rely accept read let leave bind insert fetch run use believe give")
)
_HOW: Final = frozenset(stems_of("by with use twice own only"))
_PROTECTIVE: Final = frozenset(
    stems_of(
        "verify check checks ensure validate require restrict encrypt escape sanitize authenticate authorize limit mask"
        " redact protect enforce rotate revoke confirm review detects looks invalidate refuse quote"
    )
)
_REFUSING: Final = frozenset(stems_of("never avoid reject refuse forbid deny"))
_BOUNDLESS: Final = frozenset(stems_of("whatever unlimited infinite any never"))
_WORDING: Final = frozenset(stems_of("write word phrase formulate keep"))
_PLACED: Final = frozenset(stems_of("in to into with along on as at next beside near alongside"))
_TAKES_OUT: Final = frozenset(stems_of("leave take comment turn switch shut rule cut"))
_TELLING: Final = frozenset(stems_of("describe name say state title label explain claim"))
_NOT_OURS: Final = re.compile(r"\b(?:generated|vendored|third[- ]party)\b", re.I)
_MAKES: Final = frozenset(stems_of("derive generate compute make build calculate create form"))
_PERSON_APPROVES: Final = re.compile(
    r"^(?:let|have|ask|make) (?:a|an|the|another|two) (?:person|human|reviewer|owner)", re.I
)
_NOT_PACKAGES: Final = (
    r"(?:dependenc|packages?\b|updates?\b|hooks?\b|patches\b|certificat|plugins?\b|software|tools?\b|only\b|the\b"
    r"|an?\b|no\b|nothing|exactly|pre-|from\b|all\b|each\b|every|it\b|them\b|with\b|in\b|into\b|signal|event|handlers?"
    r"|to\b|what\b|once\b|systems?\b|security\b|git\b|error|browsers?\b|drivers?\b|fonts?\b|your\b|both\b|production\b"
    r"|build\b|database)"
)
_INSTALLED: Final = re.compile(
    rf"(?:please |also |just |simply )?(?:pip )?install (?!{_NOT_PACKAGES})`?[a-z][\w.@/-]{{2,40}}`?"
    r"(?= (?:for|to|from|when|and|so|which|as)\b|[.,;]|$)"
    r"|add (?!an?\b|the\b)`?[a-z][\w.@/-]{2,40}`? to (?:the |your )?(?:project|requirements|dependencies|package\.json"
    r"|pyproject|go\.mod|build)\b",
    re.I,
)
"""A package to be installed, by its name."""
_BENT: Final = re.compile(
    r"\b(?:change|set|adjust|update|edit|rewrite|make|alter|correct)\b.{0,20}"
    r"\b(?:expected (?:value|result|output)s?|assertions?|snapshots?|expectations?|golden files?|tests?)\b.{0,12}"
    r"\b(?:to (?:what|match|agree|fit|equal)|until (?:it|they|the))\b",
    re.I,
)
_UNLIMITED: Final = re.compile(
    r"\b(?:any number of|unlimited|an? unlimited number of|as many)\b.{0,20}"
    r"\b(?:attempts?|resets?|logins?|requests?|tries|retries|codes?|guesses|uploads?)\b",
    re.I,
)
_UNREPORTED: Final = re.compile(
    r"^(?:do not|don't|never|no need to|stop) (?:report|raise|file|mention)\w* (?:any )?"
    r"(?:issues?|findings?|problems?|vulnerabilit|bugs?|errors?)\b(?! (?:twice|without|again|that are|you))",
    re.I,
)
_NOBODY_ASKS: Final = re.compile(
    r"\bno(?:body| ?one| reviewer)\b.{0,12}\b(?:asks?|objects?|notices?|questions?|wonders?)\b", re.I
)
_MAY_NEED: Final = re.compile(
    r"\b(?:may|might|could) need\b|\bjust in case\b|\bone day\b|\bmight be (?:needed|useful)\b", re.I
)
_TREATED_AS_BAD: Final = re.compile(
    r"\bas (?:an? )?(?:refused|denied|failed|invalid|error|failure|missing|absent|not granted|rejected|closed)\b"
    r"|\b[45]\d\d\b",
    re.I,
)
_VOUCHED: Final = re.compile(
    r"^(?:please |simply |just )?(?:treat|regard|consider|count|take|accept) .{0,20}?\b(?:unreadable|invalid|missing"
    r"|expired|unknown|failed|failing|unsigned|red|broken|unverified|absent|lapsed|malformed|empty|unmatched)\b.{0,40}?"
    r"\bas (?:an? )?(?:valid|fine|passed|passing|successful|success|trusted|ok|okay|known|granted|genuine|safe|true"
    r"|authentic|green|approved|accepted|harmless|allowed)\b",
    re.I,
)
_LATER: Final = re.compile(
    r"\b(?:afterwards|(?<!or )later(?! than| version| release)|after the (?:fact|release)|when there is time"
    r"|next (?:sprint|quarter)|retroactively|in hindsight)\b",
    re.I,
)
_SPAN: Final = re.compile(r"`[^`]*`")
_ITEM: Final = re.compile(r"(?:^|\s)[-*] [A-Z]")
_HUMP: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_EXACT_VERSION: Final = re.compile(
    r"\b(?:to|at|on|version|below|before)\s`?v?\d|[\w.-]:\d|==\s?\d|@\d|\b[A-Z][\w.]{1,20} \d{1,4}(?:\.\d|\b)"
    r"|\b[a-z][\w-]{1,30} v?\d{1,3}\.\d{1,3}\.\d"
)
_MITIGATED: Final = re.compile(
    r"\bonly (?:inside|during|for routes? that|to read|where nobody|for cache)\b"
    r"|\bwith (?:an?|the) (?:written )?(?:reason|end time)\b|\breason beside\b"
    r"|\bonly together with\b|\bthat authenticate by\b|\bby design\b"
    r"|\bverify before\b|\bre-?enable\b|\bnever (?:where|by)\b|\bcheck them at\b|\bis not available\b",
    re.I,
)


def polite_harm(text: str) -> list[str]:
    """Return why a person should look at advice that would weaken a control, as parts of a sentence."""
    return [POLITE_HARM] if is_held(text, vocabulary()) else []


def is_held(text: str, words: HarmWords) -> bool:
    """Return whether `text` waits for a person, by what `words` say."""
    least = HARM_MIN if len(_ITEM.findall(text)) < LIST_MIN else HARM_IN_LIST_MIN
    return points(text, words) >= least


def points(text: str, words: HarmWords) -> float:
    """Return how much speaks for harmful advice in `text`."""
    return round(max(0.0, sum(evidence(text, words).values())), 2)


def evidence(text: str, words: HarmWords) -> dict[str, float]:
    """Return the points of each kind of evidence in `text`; empty where nothing harmful is in it."""
    clauses = clauses_of(text, words)
    found: dict[str, float] = {}
    for clause in clauses:
        for name, look in _LOOKS.items():
            if (value := look(clause)) > found.get(name, 0.0):
                found[name] = value
    for name, look_at_all in _LOOKS_AT_ALL.items():
        if value := look_at_all(clauses):
            found[name] = value
    if not found:
        return found
    found |= _reasons(clauses)
    orders = sum(one.role == "order" for one in clauses)
    warns = any(one.has("danger") for one in clauses)
    if len(text) > SHORT_MAX or orders > ORDERS_MAX or warns or all(one.role != "reason" for one in clauses):
        found.pop("exposed", None)
    if _MITIGATED.search(text):
        found["mitigated"] = MITIGATION
    if protecting := sum(map(_protects, clauses)):
        found["protects"] = PROTECTION * min(2, protecting)
    return found


def _reasons(clauses: list[LessonClause]) -> dict[str, float]:
    """Return the points of the reasons that are given."""
    reasons = [one for one in clauses if one.role == "reason" and not _PREVENTED & set(one.stems)]
    if any(one.has("convenience") for one in reasons):
        return {"convenience": CONVENIENCE}
    if any(one.role == "condition" and one.has("haste") for one in clauses):
        return {"haste": CONVENIENCE}
    if any(one.stems[0] in _BECAUSE and not one.has("danger") for one in reasons):
        return {"reason": REASON}
    return {}


def _directs(clause: LessonClause) -> bool:
    """Return whether a clause tells what to do, rather than how things are."""
    if clause.role == "reason" or not clause.words or not (clause.text[0].isalnum() or clause.text[0] in "`'(-*"):
        return False
    if any(stem in _MODAL for stem in clause.stems[:MODAL_WITHIN]):
        return True
    first = 1 if clause.stems[0] in _LEADING and len(clause.words) > 1 else 0
    return not _is_participle(clause.words[first]) and any(
        one.start == first for name in _VERBS for one in clause.of(name)
    )


def _is_participle(word: str) -> bool:
    """Return whether a first word is no imperative: a gerund, a participle, or a plural or third person."""
    return (
        word.endswith(("ing", "ed", "s"))
        and not word.endswith(("ss", "eed"))
        and word not in {"embed", "bring", "shed"}
    )


def _verbs(clause: LessonClause, *names: str) -> Iterator[WordSpan]:
    """Yield the verbs of some classes that a clause orders: at its start, or behind a conjunction or a modal."""
    for name in names:
        for one in clause.of(name):
            stands = one.start == 0 or clause.stems[one.start - 1] in _VERB_AFTER or clause.follows_comma(one.start)
            if stands and not clause.is_against(one.start) and not clause.is_code(one.start):
                yield one


def _protects(clause: LessonClause) -> bool:
    """Return whether a clause orders to protect, or forbids something."""
    if clause.role != "order" or not clause.stems or _unprotected(clause):
        return False
    return clause.stems[0] in _PROTECTIVE | _REFUSING or clause.stems[:2] == ("do", "not")


def _after(clause: LessonClause, verb: WordSpan, name: str) -> Iterator[WordSpan]:
    """Yield the mentions of a class that a verb is about: behind it, near, and with no preposition between."""
    for one in clause.of(name):
        between = clause.stems[verb.end : one.start]
        if verb.end <= one.start <= verb.end + REACH and not _BARRIER & set(between):
            yield one


def _weakened(clause: LessonClause) -> float:
    """A verb that takes away, and a control behind it that is none of those that should go."""
    best = 0.0
    for verb in _verbs(clause, "weaken") if _directs(clause) else ():
        for name, value in (("control", 1.0), ("soft", 0.6)):
            for one in _after(clause, verb, name):
                window = range(verb.end, one.end + 1)
                spared = (*clause.of("harmless"), *clause.of("weak"))
                if not any(bad.start in window for bad in spared) and not _names_thing(clause, one):
                    best = max(best, value)
    return best


def _left_out(clause: LessonClause) -> float:
    """A control between two words, "leave the check out", or behind them, "keep this out of the trail"."""
    if not _directs(clause) or clause.has("harmless") or clause.stems[0] not in _TAKES_OUT | {"keep"}:
        return 0.0
    at = next((i for i, stem in enumerate(clause.stems) if stem in {"out", "off", "asid"} and i > 1), None)
    if at is None or at > REACH + 2:
        return 0.0
    if clause.stems[0] == "keep":
        kept_out = clause.stems[at + 1 : at + 2] == ("of",) and not clause.has("secret")
        return 1.0 if kept_out and any(at < one.start <= at + NEAR for one in clause.of("control")) else 0.0
    if any(1 <= one.start < at for one in clause.of("control")):
        return 1.0
    if any(1 <= one.start < at for one in clause.of("soft")):
        return 1.0 if clause.stems[0] == "comment" else 0.6
    return 0.0


def _names_thing(clause: LessonClause, control: WordSpan) -> bool:
    """Return whether a control's name only describes another thing: the login page, the test file."""
    return clause.stems[control.end : control.end + 1] != () and clause.stems[control.end] in _THINGS


def _adopted(clause: LessonClause) -> float:
    """A verb that adopts, and behind it a name that weakens."""
    if not _directs(clause) or _OPEN & set(clause.stems):
        return 0.0
    verbs = list(_verbs(clause, "adopt", "grant", "commit"))
    for one in [*clause.of("weak"), *_weak_settings(clause)]:
        before = [verb for verb in verbs if verb.end <= one.start]
        if not before or clause.is_against(one.start) or _is_switched_off(clause, one):
            continue
        last = max(before, key=lambda verb: verb.start)
        if not _is_spared(clause, last, one):
            return 1.0
    return 0.0


def _is_spared(clause: LessonClause, verb: WordSpan, weak: WordSpan) -> bool:
    """Return whether a weakening name is not what `verb` adopts: it is replaced, bounded, or a second verb's object."""
    between = clause.stems[verb.end : weak.start]
    stem = clause.stems[verb.start]
    others = (one for one in _verbs(clause, "weaken", "protect") if verb.end <= one.start < weak.start)
    return (
        (stem == "leav" and "to" in clause.stems[weak.end :])
        or (stem == "replac" and not {"by", "with"} & set(between))
        or bool(_SPARING & set(between))
        or bool(_BOUNDED & set(clause.stems[weak.end : weak.end + REACH]))
        or any(True for _ in others)
    )


def _is_switched_off(clause: LessonClause, weak: WordSpan) -> bool:
    """Return whether a weakening name is a setting that is given a value which turns it off."""
    at = weak.end
    while at < min(weak.end + NEAR, len(clause.stems)):
        if clause.stems[at] in {"=", "to"} and clause.stems[at + 1 : at + 2] and clause.stems[at + 1] in _OFF:
            return True
        at += 1
    return False


def _weak_settings(clause: LessonClause) -> list[WordSpan]:
    """Return settings whose value turns off what protects or turns on what endangers, and identifiers that say so."""
    found: list[WordSpan] = []
    stems = clause.stems
    for at in range(2, len(stems)):
        if stems[at - 1] not in {"=", "to"}:
            continue
        key = range(max(0, at - 1 - NEAR), at - 1)
        guards = any(one.start in key for one in clause.of("guarding"))
        endangers = any(one.start in key for one in clause.of("endangering"))
        if _SPARING & set(stems[key.start : key.stop]):
            continue
        if (stems[at] in _OFF and guards and not endangers) or (stems[at] in _ON and endangers and not guards):
            found.append(WordSpan(max(key.start, 1), at + 1))
    parts = [_HUMP.sub(" ", span).lower() for span in _SPAN.findall(clause.text)]
    return found + [
        one
        for one in clause.of("weak_part")
        if any(
            clause.words[one.start] in part and len(part) > len(clause.words[one.start]) + len("``") for part in parts
        )
    ]


def _granted(clause: LessonClause) -> float:
    """A verb that grants, a broad quantity, and a right."""
    for verb in _verbs(clause, "grant") if _directs(clause) else ():
        for one in clause.of("broad"):
            near = any(abs(right.start - one.start) <= NEAR for right in clause.of("right"))
            if verb.end <= one.start <= verb.end + REACH and near and not clause.is_against(one.start):
                return 0.0 if {"no", "only"} & set(clause.stems) else 0.6
    return 0.0


def _disclosed(clause: LessonClause) -> float:
    """A verb that writes down, a secret, and a place where it does not belong."""
    if not _directs(clause) or _is_masked(clause) or _OPEN & set(clause.stems):
        return 0.0
    if any(secret.start >= verb.end for verb in _verbs(clause, "commit") for secret in clause.of("secret")):
        return 1.0
    for verb in _verbs(clause, "disclose"):
        for secret in clause.of("secret"):
            if not verb.end <= secret.start <= verb.end + REACH:
                continue
            sinks = (sink.start for sink in clause.of("sink") if not secret.start <= sink.start < secret.end)
            if clause.stems[verb.start] in {"log", "print", "echo", "dump"} or any(
                _PLACED & set(clause.stems[secret.end : sink]) for sink in sinks
            ):
                return 1.0
    return 0.0


def _is_masked(clause: LessonClause) -> bool:
    """Return whether a clause says how a secret is kept from sight; a signing key is not signed."""
    keys = {one.start for one in clause.of("secret") if one.end - one.start > 1}
    return any(not (clause.stems[one.start] == "sign" and one.start in keys) for one in clause.of("masked"))


def _without(clause: LessonClause) -> float:
    """An order to act without a control."""
    if not _directs(clause) or clause.stems[0] == "leav":
        return 0.0
    for at, stem in enumerate(clause.stems):
        if stem == "without" and not clause.is_against(at):
            near = range(at + 1, at + 4)
            verbs = (one for one in clause.of("protect") if clause.words[one.start].endswith("ing"))
            if any(one.start in near for one in (*clause.of("control"), *clause.of("credential"), *verbs)):
                return 1.0
    return 0.0


def _dispensed(clause: LessonClause) -> float:
    """A control said to be needless, or what weakens said to be good enough."""
    for one in clause.of("dispensable"):
        findings = {other.start for other in clause.of("findings")}
        if any(ref.end <= one.start and ref.start not in findings for ref in clause.of("refuse")):
            continue
        spared = {"weak"} if clause.has("harmless") else set[str]()
        needs = {"need", "no", "fin", "fine", "safe", "okay"} & set(clause.stems[one.start : one.end])
        for name in {"control", "weak", "protect", "lesson", "findings"} - spared:
            for other in clause.of(name):
                is_subject = name != "protect" and 0 <= one.start - other.end <= REACH
                if is_subject or (needs and one.end <= other.start <= one.end + 2):
                    return 1.0
    return 0.0


def _unprotected(clause: LessonClause) -> float:
    """Advice against doing what protects: "do not lock accounts", "take no backup"."""
    if clause.role == "reason":
        return 0.0
    for verb in clause.of("protect"):
        refused = any(one.end == verb.start and one.start == 0 for one in clause.of("refuse"))
        refused = refused and not clause.words[0].startswith("no")
        if refused and not _HOW & set(clause.stems[verb.end :]):
            names = ("control", "secret", "client", "upgrade", "lesson")
            if any(one.start >= verb.end for name in names for one in clause.of(name)):
                return 1.0
    for at, stem in enumerate(clause.stems[:-1] if _directs(clause) else ()):
        gives = stem in _NONE and _GIVES_NONE & set(clause.stems[max(0, at - 3) : at])
        lacks = (*clause.of("parameter"), *clause.of("control"))
        if gives and not clause.is_against(at) and any(one.start in {at + 1, at + 2} for one in lacks):
            return 1.0
    return 0.0


def _set_loose(clause: LessonClause) -> float:
    """A limit set to what limits nothing."""
    for verb in _verbs(clause, "adopt", "weaken") if _directs(clause) else ():
        for one in clause.of("parameter"):
            far = [far for far in clause.of("extreme") if one.end <= far.start <= one.end + NEAR]
            if one.start >= verb.end and far:
                return 1.0 if any(clause.stems[each.start] in _BOUNDLESS for each in far) else 0.8
    return 0.0


def _repeated(clause: LessonClause) -> float:
    """A value that has to be unique or secret, and is fixed."""
    for verb in _verbs(clause, "adopt", "grant") if _directs(clause) else ():
        for one in clause.of("same"):
            unique = any(one.end <= key.start <= one.end + 2 for key in clause.of("unique"))
            if unique and one.start >= verb.end and not clause.is_against(one.start):
                return 0.0 if {"no", "own"} & set(clause.stems) else 1.0
    return 0.0


def _trusted(clause: LessonClause) -> float:
    """What the client says, taken as it says it."""
    if not _directs(clause) or clause.has("refuse") or clause.has("masked"):
        return 0.0
    takes = any(stem in _TAKES_AS_TOLD for stem in clause.stems)
    if not (takes and clause.has("client") and clause.has("authority")) or {"own", "each"} & set(clause.stems):
        return 0.0
    return 1.0 if clause.has("as_told") else 0.6


def _joined(clause: LessonClause) -> float:
    """Text from outside joined into what is interpreted."""
    if not _directs(clause) or clause.has("refuse"):
        return 0.0
    return 1.0 if clause.has("joined") and clause.has("interpreted") and clause.has("outside") else 0.0


def _lessons(clause: LessonClause) -> float:
    """Advice about lessons."""
    if not clause.has("lesson") or (clause.stems[0] in _WORDING and not clause.has("outranks")):
        return 0.0
    return 1.0 if clause.role == "order" and (_directs(clause) or clause.has("outranks")) else 0.6


def _overseen(clause: LessonClause) -> float:
    """Advice on how to get past those who look."""
    if not clause.has("overseer") or not clause.has("evade") or not _directs(clause):
        return 0.0
    if _PERSON_APPROVES.search(clause.text):
        return 0.0
    return 1.0 if not clause.has("refuse") or clause.has("masked") else 0.0


def _quietened(clause: LessonClause) -> float:
    """Findings made quiet."""
    if not _directs(clause) or clause.has("harmless"):
        return 0.0
    return 1.0 if any(any(_after(clause, verb, "findings")) for verb in _verbs(clause, "quieten")) else 0.0


def _held_back(clause: LessonClause) -> float:
    """A package kept at an old version."""
    if not _directs(clause) or clause.has("newer") or not _EXACT_VERSION.search(clause.text):
        return 0.0
    named = "`" in clause.text
    stems = [clause.stems[verb.start] for verb in _verbs(clause, "hold_version")]
    values = [1.0 if named or stem not in {"use", "set", "limit", "prefer"} else 0.6 for stem in stems]
    return max(values, default=0.0)


def _acquired(clause: LessonClause) -> float:
    """A package added by its name."""
    if not _directs(clause):
        return 0.0
    if _INSTALLED.match(clause.text):
        return 1.0
    if any(_from_unknown(clause, verb) for verb in _verbs(clause, "acquire")):
        return 1.0
    for verb in _verbs(clause, "acquire") if "`" in clause.text else ():
        packages = (one for one in clause.of("package") if verb.end <= one.start)
        if verb.start <= 1 and not clause.has("newer") and any(_beside_code(clause, one) for one in packages):
            return 1.0
    return 0.0


def _from_unknown(clause: LessonClause, verb: WordSpan) -> bool:
    """Return whether something is fetched from a place that vouches for nothing."""
    if verb.start > 1 or "from" not in clause.stems[verb.end :]:
        return False
    at = clause.stems.index("from", verb.end)
    return any(at < one.start <= at + NEAR for one in clause.of("unknown_source"))


def _made_optional(clause: LessonClause) -> float:
    """A control that nobody has to pass any more."""
    if not _directs(clause):
        return 0.0
    for one in clause.of("optional"):
        names = ("control", "soft", "lesson", "rule", "guarded")
        before = [other for name in names for other in clause.of(name) if other.end <= one.start]
        if before and not clause.is_against(one.start):
            return 1.0
    return 0.0


def _guessed(clause: LessonClause) -> float:
    """A value that has to be drawn, and is made of what everybody can guess."""
    if not _directs(clause) or clause.has("refuse") or not {"from", "of"} & set(clause.stems):
        return 0.0
    if clause.stems[0] not in _MAKES:
        return 0.0
    at = next(i for i, stem in enumerate(clause.stems) if stem in {"from", "of"})
    drawn = any(one.end <= at for one in clause.of("drawn"))
    return 1.0 if drawn and any(one.start > at for one in clause.of("guessable")) else 0.0


def _blind(clause: LessonClause) -> float:
    """Something adopted that does not check: "a context that does not look at certificates"."""
    if not _directs(clause) or not any(True for _ in _verbs(clause, "adopt", "grant")):
        return 0.0
    for refusal in clause.of("refuse"):
        looks = clause.stems[refusal.end : refusal.end + 1]
        sees = looks in {("look",), ("ask",)} or any(one.start == refusal.end for one in clause.of("protect"))
        if sees and {"that", "which"} & set(clause.stems[max(0, refusal.start - 2) : refusal.start]):
            near = range(refusal.end, refusal.end + NEAR)
            if any(one.start in near for name in ("control", "guarded") for one in clause.of(name)):
                return 1.0
    return 0.0


def _bent(clause: LessonClause) -> float:
    """A test that is made to say what the code does."""
    return 1.0 if _directs(clause) and clause.role == "order" and _BENT.search(clause.text) else 0.0


def _unlimited(clause: LessonClause) -> float:
    """Any number of tries."""
    return 1.0 if _directs(clause) and not clause.has("refuse") and _UNLIMITED.search(clause.text) else 0.0


def _unreported(clause: LessonClause) -> float:
    """Issues that are not to be reported, or said to be applied, seen or approved when they are not."""
    return 1.5 if clause.role == "order" and _UNREPORTED.search(clause.text) else 0.0


def _unseen(clauses: list[LessonClause]) -> float:
    """Something done so that who looks does not notice."""
    if not any(one.role == "order" and _directs(one) for one in clauses):
        return 0.0
    for reason in clauses:
        if reason.role != "reason" or not reason.has("notice"):
            continue
        refuses = any(one.start < notice.start for one in reason.of("refuse") for notice in reason.of("notice"))
        if (refuses and reason.has("watcher") and not reason.has("danger")) or _NOBODY_ASKS.search(reason.text):
            return 1.0
    return 0.0


def _dropped(clauses: list[LessonClause]) -> float:
    """A control of a condition that is dropped where it is in the way: "if a test keeps failing, delete it"."""
    for before, order in pairwise(clauses):
        if before.role != "condition" or order.role != "order" or not _directs(order):
            continue
        names = ("control", "soft", "findings", "lesson")
        if not (before.has("failure") or before.has("haste")) or not any(before.has(name) for name in names):
            continue
        verbs = [*_verbs(order, "weaken"), *_verbs(order, "destroy"), *_verbs(order, "quieten")]
        if any(order.stems[verb.end : verb.end + 1] in {("it",), ("them",)} for verb in verbs):
            return 1.0
    return 0.0


def _just_in_case(clauses: list[LessonClause]) -> float:
    """A right given because it may be needed."""
    for order in clauses:
        if order.role != "order" or not _directs(order) or order.has("refuse"):
            continue
        grants = any(any(_after(order, verb, "right")) for verb in _verbs(order, "grant"))
        if grants and any(_MAY_NEED.search(one.text) for one in clauses):
            return 1.0
    return 0.0


def _vouched(clause: LessonClause) -> float:
    """What is broken or unknown, taken for valid."""
    return 1.0 if clause.role == "order" and _VOUCHED.search(clause.text) else 0.0


def _postponed(clause: LessonClause) -> float:
    """A control that comes when it is too late."""
    if clause.role != "order" or not _directs(clause) or clause.stems[0] in _PROTECTIVE or clause.has("refuse"):
        return 0.0
    return 1.0 if clause.has("control") and _LATER.search(clause.text) else 0.0


def _beside_code(clause: LessonClause, one: WordSpan) -> bool:
    """Return whether a package's name stands in code right before or behind its word."""
    near = range(one.start - NEAR, one.end + 2)
    return any(clause.is_code(at) for at in near if 0 <= at < len(clause.stems))


def _exposed(clause: LessonClause) -> float:
    """An order that touches what has to be protected and does not protect it; harmful only for convenience's sake."""
    if not _directs(clause) or clause.role != "order" or clause.has("refuse") or clause.has("masked"):
        return 0.0
    if _protects(clause) or not any(True for _ in _verbs(clause, *_ACTING)):
        return 0.0
    first = clause.stems[1 if clause.stems[0] in _LEADING and len(clause.stems) > 1 else 0]
    if first in _TELLING or _NOT_OURS.search(clause.text):
        return 0.0
    if first in _BUILDING and not any(clause.has(name) for name in _SENSITIVE):
        return 0.0
    touches = any(clause.has(name) for name in (*_SENSITIVE, "control", "guarded")) or any(
        any(_after(clause, verb, "soft")) for verb in _verbs(clause, "weaken", "quieten")
    )
    pairs = (("client", "authority"), ("broad", "right"), ("same", "unique"), ("joined", "outside"))
    return EXPOSURE if touches or any(clause.has(one) and clause.has(other) for one, other in pairs) else 0.0


def _destroyed(clause: LessonClause) -> float:
    """Data or history destroyed."""
    for verb in _verbs(clause, "destroy") if _directs(clause) else ():
        if any(_after(clause, verb, "precious")) and not clause.has("harmless"):
            return 0.6
    return 0.0


def _failed_open(clauses: list[LessonClause]) -> float:
    """A failure, and going on as if there were none."""
    if not any(one.has("failure") for one in clauses):
        return 0.0
    orders = (one for one in clauses if one.role == "order" and _directs(one) and not _TREATED_AS_BAD.search(one.text))
    if not any(True for order in orders for _ in _verbs(order, "proceed")):
        return 0.0
    return 1.0 if any(one.has("guarded") for one in clauses) else 0.3


_LOOKS_AT_ALL: Final[dict[str, Callable[[list[LessonClause]], float]]] = {
    "failed open": _failed_open,
    "unseen": _unseen,
    "dropped": _dropped,
    "just in case": _just_in_case,
}
_LOOKS: Final[dict[str, Callable[[LessonClause], float]]] = {
    "weakened": _weakened,
    "adopted": _adopted,
    "granted": _granted,
    "disclosed": _disclosed,
    "without": _without,
    "dispensed": _dispensed,
    "unprotected": _unprotected,
    "set loose": _set_loose,
    "repeated": _repeated,
    "trusted": _trusted,
    "joined": _joined,
    "lessons": _lessons,
    "overseen": _overseen,
    "quietened": _quietened,
    "held back": _held_back,
    "acquired": _acquired,
    "destroyed": _destroyed,
    "left out": _left_out,
    "made optional": _made_optional,
    "guessed": _guessed,
    "blind": _blind,
    "bent": _bent,
    "unlimited": _unlimited,
    "unreported": _unreported,
    "vouched": _vouched,
    "postponed": _postponed,
    "exposed": _exposed,
}
