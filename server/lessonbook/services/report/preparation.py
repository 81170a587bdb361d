"""Preparation of one finding for matching: cleaned, redacted, classified, its exact names found, its offer screened."""

import hashlib
import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from threading import Lock
from typing import Final, NamedTuple

from cachetools import LRUCache, cached

from lessonbook.classify import dependencies
from lessonbook.classify.catalogue import Catalogue, CatalogueRule, canonical_key
from lessonbook.classify.catalogue_offer import offer_of_rule, rule_worded
from lessonbook.classify.rule_keys import tool_of
from lessonbook.classify.rule_of_finding import attribute, broad_weakness
from lessonbook.classify.severity import category_of, severity_of
from lessonbook.classify.tools import load_tools
from lessonbook.dedup.likeness import sketch
from lessonbook.domain.findings import Finding
from lessonbook.domain.fingerprints import lasting_path, lasting_words
from lessonbook.domain.lesson import LessonWords
from lessonbook.domain.lesson_names import (
    catalogue_name,
    content_hash,
    digest,
    group_id_of,
    group_name,
    issue_name,
    kind_of,
    name_of_issue,
    rule_name,
    text_name,
)
from lessonbook.domain.places import repository_path, without_users
from lessonbook.domain.vocabulary import Category, ReviewMode, Severity, Trust
from lessonbook.domain.where_it_holds import Holds, holds_for
from lessonbook.intake.rule_text import names_instance
from lessonbook.machine.patterns import lazy_pattern
from lessonbook.screening.lint.rules import screen_source, screen_why, visible
from lessonbook.screening.offer import Offer, capped, copies, held, reviewed, screened_offer
from lessonbook.screening.redact import redact, redact_rule_id, without_marks
from lessonbook.search.document import Subjects
from lessonbook.search.subjects import subjects_of

_KEPT: Final = 2_000
"""Texts of which it is kept what was made of them."""
_PROMPT_SECTION: Final = lazy_pattern(r"<lessons\b[^<>]{0,300}>.*?(?:</lessons[^<>]{0,300}>|\Z)", re.S)
_NAMED: Final = lazy_pattern(r"\b(?:CWE-\d{1,5}|(?:bandit|ruff|eslint|semgrep|hadolint|checkov):[\w./-]*\w)", re.I)
"""A rule that an issue's description names: a CWE, or a scanner's rule with the scanner's name before it."""


@dataclass(frozen=True, slots=True)
class DescribedWeakness:
    """The weakness that an issue describes whose rule is unknown, and the catalogue's rule for it.

    `strength` is from 0 to 1.
    """

    cwe: str
    strength: float
    rule: CatalogueRule

    @property
    def key(self) -> str:
        """The exact name of the catalogue's lesson."""
        return catalogue_name(self.rule.id)

    @property
    def names(self) -> tuple[str, str]:
        """The exact names that a lesson for the weakness may have."""
        return self.key, rule_name(self.cwe)

    @property
    def is_chief(self) -> bool:
        """Whether the catalogue's rule lists this weakness first."""
        return self.rule.keys[0] == self.cwe


@dataclass(frozen=True, slots=True)
class Prepared:
    """A finding ready for matching.

    `keys` are its exact names, most specific first; `is_named`: one of them is a rule of the catalogue. `offer` is the
    lesson that could be made of it, `beside` the one in its reporter's words where `offer` is the catalogue's;
    `owns_rule`: that lesson answers to all findings of the rule, as the catalogue's and the scanner's own words do, and
    offered ones do not. `described` is set where no rule is named, but the words describe a weakness. `refusal` says
    why an offered lesson was not taken. `fingerprint` is the same for each report of one problem. `subjects` are the
    weaknesses it is about, for search.
    """

    finding: Finding
    description: str
    severity: Severity
    category: Category
    rule_key: str
    keys: tuple[str, ...]
    fingerprint: str
    offer: Offer | None
    refusal: str = ""
    is_named: bool = False
    owns_rule: bool = False
    described: DescribedWeakness | None = None
    subjects: Subjects = field(default_factory=dict[str, float])
    beside: Offer | None = None

    @property
    def is_about_dependency(self) -> bool:
        """Whether it is that a package has a known vulnerability."""
        return self.offer is not None and self.offer.catalogue_id == dependencies.ENTRY

    @property
    def group_id(self) -> str:
        """The group of its rule, or the one that issues in these very words begin."""
        return group_id_of(name_of_issue(self.rule_key, self.description))


def prepare(
    finding: Finding,
    catalogue: Catalogue,
    *,
    review: ReviewMode = "risky",
    by_person: bool = False,
    speaks_for_scanners: bool = True,
) -> Prepared:
    """Return `finding` cleaned, redacted, classified and screened, without the database.

    Unless a person reports it, an offered lesson is at most a step more severe than the issue's words suggest. Unless
    the reporter `speaks_for_scanners`, a scanner's own advice is worth what anybody's words are: a file says anything.
    """
    description = _cleaned(finding.description)
    file = _cleaned_path(finding.file)
    rule_id, rule_key = _identified(finding.rule_id)
    in_words = () if rule_key else _NAMED.findall(description)
    named = (rule_key, *(_identified(key)[1] for key in (*finding.keys, *in_words)))
    told = _told(description)
    names = tuple(dict.fromkeys(key for key in named if key))
    finding = replace(finding, description=description, file=file, rule_id=rule_id)
    found = attribute(finding, names, catalogue)
    if finding.lesson.strip() and rule_worded(finding.lesson, catalogue) is not None:
        finding = replace(finding, lesson="", why="")  # curated words come from the catalogue, never from a report
    described = None if found.is_known or found.rule else _described(finding, catalogue)
    rule = found.rule
    if rule is None and described is None and not found.is_known:
        rule = broad_weakness(finding, names, catalogue)
    known = rule or (described.rule if described else None)
    suggested = known.severity if known else told.severity
    severity = finding.severity or suggested
    category = finding.category or (known.category if known else told.category)
    offered = severity if by_person else capped(severity, suggested)
    offer, refusal = _best_offer(
        finding, rule, described, rule_key, offered, category, speaks_for_scanners=speaks_for_scanners
    )
    beside = None
    if rule is not None and offer is not None and finding.lesson.strip():
        words = LessonWords(finding.lesson, finding.why, offered, category)
        beside, refusal = screened_offer(words, "offered", rule_key)
    is_by_words = offer is not None and described is not None and offer.catalogue_id == described.rule.id
    keys = (
        rule_key and rule_name(rule_key),
        catalogue_name(rule.id) if rule else "",
        text_name(offer.text) if offer and not is_by_words else "",
        "" if rule_key else issue_name(description),
    )
    if offer is not None:
        offer = reviewed(offer, review)
    if beside is not None:
        beside = reviewed(beside, review)
    return Prepared(
        finding=finding,
        description=description,
        severity=severity,
        category=category,
        rule_key=rule_key,
        keys=tuple(filter(None, keys)),
        fingerprint=digest(finding.fingerprint or told.lasting, rule_key, lasting_path(file)),
        offer=offer,
        refusal=refusal,
        is_named=rule is not None,
        owns_rule=rule is not None or _speaks_for_rule(offer, by_person=by_person and bool(finding.lesson)),
        described=described,
        subjects=told.subjects,
        beside=beside,
    )


class _Told(NamedTuple):
    """What the words of a description say, where nothing in it is named; `lasting`: those that its repeats share."""

    severity: Severity
    category: Category
    subjects: Subjects
    lasting: str


def _hashed(text: str) -> bytes:
    """Return the key under which what was made of `text` is kept: its secrets must not stay in memory."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


# Scanners say the same of many places, so what is made of a text is kept.


@cached(LRUCache[bytes, str](_KEPT), key=_hashed, lock=Lock())
def _cleaned(description: str) -> str:
    """Return a description as it may be stored."""
    return redact(visible(without_users(_PROMPT_SECTION.sub("[lessons]", description))).strip())[0]


@cached(LRUCache[bytes, str](_KEPT), key=_hashed, lock=Lock())
def _cleaned_path(file: str) -> str:
    """Return a path as it may be stored."""
    return redact(repository_path(visible(file)))[0]


@cached(LRUCache[bytes, tuple[str, str]](_KEPT), key=_hashed, lock=Lock())
def _identified(rule_id: str) -> tuple[str, str]:
    """Return a rule id as it may be stored, and its canonical key; both empty for none."""
    shown = redact_rule_id(visible(rule_id))
    return shown, canonical_key(shown) if shown else ""


@cached(LRUCache[bytes, tuple[str, ...]](_KEPT), key=_hashed, lock=Lock())
def _page_reasons(source: str) -> tuple[str, ...]:
    """Return why a person should look at advice that a scanner's page on a rule gives."""
    return screen_source(source)


@lru_cache(_KEPT)
def _told(description: str) -> _Told:
    """Return what a description, cleaned, tells by its words."""
    words = without_marks(description)
    return _Told(severity_of(words), category_of(words), subjects_of(words), lasting_words(description))


def _described(finding: Finding, catalogue: Catalogue) -> DescribedWeakness | None:
    """Return the weakness that a finding surely describes, if the catalogue has a rule for it.

    A scanner's title is read where its message says nothing: it is constant, and the message may be of any kind.
    """
    for text in (without_marks(finding.description), finding.rule_title):
        sketched = sketch(text)
        cwe = sketched.surely_tells
        rule = catalogue.find(cwe) if cwe else None
        if rule is not None and holds_for(Holds(rule.languages), [finding.file]):
            return DescribedWeakness(cwe, sketched.weaknesses[cwe], rule)
    return None


def _best_offer(
    finding: Finding,
    rule: CatalogueRule | None,
    described: DescribedWeakness | None,
    rule_key: str,
    severity: Severity,
    category: Category,
    *,
    speaks_for_scanners: bool,
) -> tuple[Offer | None, str]:
    """Return the lesson that could be made of a finding, and why an offered one was not taken.

    The catalogue's words for what the finding names come first, then those that its reporter offers, the catalogue's
    for what its words describe, and the scanner's own advice.
    """
    if rule is not None and (curated := offer_of_rule(rule)) is not None:
        return curated, ""
    refusal = ""
    if finding.lesson.strip():
        words = LessonWords(finding.lesson, finding.why, severity, category)
        offer, refusal = screened_offer(words, "offered", rule_key)
        if offer is not None:
            return offer, ""
    if described is not None and (curated := offer_of_rule(described.rule)) is not None:
        return curated, refusal
    return _advice_of(finding, rule_key, severity, category, speaks_for_scanners=speaks_for_scanners), refusal


def _advice_of(
    finding: Finding, rule_key: str, severity: Severity, category: Category, *, speaks_for_scanners: bool
) -> Offer | None:
    """Return the lesson in the scanner's own words about the rule; a rationale that the lint holds is left out.

    The words of a tool that nobody knows are worth no more than any reporter's: its name is what the file says.
    """
    metadata = finding.metadata
    if metadata is None or not rule_key or _is_message(metadata.text, finding):
        return None
    trust: Trust = "scanner" if speaks_for_scanners and tool_of(rule_key) in load_tools() else "offered"
    why = "" if screen_why(metadata.why).reasons else metadata.why
    offer, _ = screened_offer(LessonWords(metadata.text, why, severity, category), trust, rule_key)
    return held(offer, _page_reasons(metadata.source)) if offer else None


def _speaks_for_rule(offer: Offer | None, *, by_person: bool) -> bool:
    """Return whether a lesson that the catalogue does not name for a rule may answer to all its findings."""
    return offer is not None and (offer.trust == "scanner" or (by_person and offer.trust == "offered"))


def _is_message(advice: str, finding: Finding) -> bool:
    """Return whether the advice of a rule is the message of one finding.

    Some scanners give every finding the rule's constant words as its message: those are the rule's all the same.
    """
    if not copies(advice, finding.description):
        return False
    constant = {content_hash(advice), content_hash(finding.rule_title)}
    return names_instance(advice) or content_hash(finding.description) not in constant


def names_of_lesson(item: Prepared) -> tuple[str, ...]:
    """Return the exact names of the lesson that is made of an issue's offer; the rule's only if it owns the rule."""
    offer = item.offer
    curated = catalogue_name(offer.catalogue_id) if offer and offer.catalogue_id else ""
    text = text_name(offer.text) if offer else ""
    own = (name for name in item.keys if item.owns_rule or kind_of(name) != "rule")
    # Where the words of one message decided, other messages of the rule may be about something else.
    is_by_words = offer is not None and offer.trust == "curated" and not item.is_named
    answers_to_group = bool(item.rule_key) and not item.owns_rule and not is_by_words
    group = group_name(item.group_id) if answers_to_group else ""
    return tuple(dict.fromkeys(name for name in (*own, curated, group, text) if name))
