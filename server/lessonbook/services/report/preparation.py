"""Preparation of one finding for matching: cleaned, redacted, classified, its exact names found, its offer screened."""

import re
from dataclasses import dataclass, field, replace
from typing import Final

from lessonbook.classify.catalogue import Catalogue, CatalogueRule, canonical_key
from lessonbook.classify.catalogue_offer import offer_of_rule, rule_worded
from lessonbook.classify.severity import category_of, severity_of
from lessonbook.dedup.likeness import sketch
from lessonbook.domain.findings import Finding
from lessonbook.domain.lesson_names import (
    catalogue_name,
    digest,
    general_words,
    group_id_of,
    issue_name,
    name_of_issue,
    rule_name,
    text_name,
)
from lessonbook.domain.vocabulary import Category, Severity
from lessonbook.screening.lint.screen import visible
from lessonbook.screening.offer import Offer, ReviewMode, capped, copies, reviewed, screened_offer
from lessonbook.screening.redact import redact
from lessonbook.search.document import Subjects
from lessonbook.search.subjects import subjects_of

_PROMPT_SECTION: Final = re.compile(r"<lessons\b[^<>]{0,300}>.*?(?:</lessons[^<>]{0,300}>|\Z)", re.S)
_NAMED: Final = re.compile(r"\b(?:CWE-\d{1,5}|(?:bandit|ruff|eslint|semgrep|hadolint|checkov):[\w./-]*\w)", re.I)
"""A rule that an issue's description names: a CWE, or a scanner's rule with the scanner's name before it."""


@dataclass(frozen=True, slots=True)
class DescribedWeakness:
    """The weakness that an issue without a rule describes, and the catalogue's rule for it. `strength`: 0 to 1."""

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
    lesson that could be made of it. `described` is set where no rule is named, but the words describe a weakness.
    `refusal` says why an offered lesson was not taken. `fingerprint` is the same for each report of one problem.
    `subjects` are the weaknesses it is about, for search.
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
    described: DescribedWeakness | None = None
    subjects: Subjects = field(default_factory=dict[str, float])

    @property
    def group_id(self) -> str:
        """The group of its rule, or the one that issues in these very words begin."""
        return group_id_of(name_of_issue(self.rule_key, self.description))


def prepare(
    finding: Finding, catalogue: Catalogue, *, review: ReviewMode = "risky", by_person: bool = False
) -> Prepared:
    """Return `finding` cleaned, redacted, classified and screened, without the database.

    Unless a person reports it, an offered lesson is at most a step more severe than the issue's words suggest.
    """
    description, _ = redact(visible(_PROMPT_SECTION.sub("[lessons]", finding.description)).strip())
    file, _ = redact(finding.file)
    rule_id = redact(finding.rule_id)[0]
    rule_key = canonical_key(rule_id) if rule_id else ""
    in_words = () if rule_key else _NAMED.findall(description)
    named = (rule_key, *(canonical_key(redact(key)[0]) for key in finding.keys), *map(canonical_key, in_words))
    names = tuple(dict.fromkeys(key for key in named if key))
    rule = next((found for key in names if (found := catalogue.find(key)) is not None), None)
    finding = replace(finding, file=file, rule_id=rule_id)
    if finding.lesson.strip() and rule_worded(finding.lesson, catalogue) is not None:
        finding = replace(finding, lesson="", why="")  # curated words come from the catalogue, never from a report
    described = None if rule or rule_key else _described(description, catalogue)
    known = rule or (described.rule if described else None)
    suggested = known.severity if known else severity_of(description)
    severity = finding.severity or suggested
    category = finding.category or (known.category if known else category_of(description))
    offered = severity if by_person else capped(severity, suggested)
    offer, refusal = _best_offer(finding, rule, rule_key, offered, category)
    keys = (
        rule_key and rule_name(rule_key),
        catalogue_name(rule.id) if rule else "",
        text_name(offer.text) if offer else "",
        "" if rule_key else issue_name(description),
    )
    if offer is None and described is not None:
        offer = offer_of_rule(described.rule)
    if offer is not None:
        offer = reviewed(offer, review)
    return Prepared(
        finding=finding,
        description=description,
        severity=severity,
        category=category,
        rule_key=rule_key,
        keys=tuple(filter(None, keys)),
        fingerprint=digest(finding.fingerprint or general_words(description), rule_key, file),
        offer=offer,
        refusal=refusal,
        is_named=rule is not None,
        described=described,
        subjects=subjects_of(description),
    )


def _described(description: str, catalogue: Catalogue) -> DescribedWeakness | None:
    """Return the weakness that a description surely describes, if the catalogue has a rule for it."""
    sketched = sketch(description)
    cwe = sketched.surely_tells
    rule = catalogue.find(cwe) if cwe else None
    return DescribedWeakness(cwe, sketched.weaknesses[cwe], rule) if rule else None


def _best_offer(
    finding: Finding, rule: CatalogueRule | None, rule_key: str, severity: Severity, category: Category
) -> tuple[Offer | None, str]:
    if rule is not None and (curated := offer_of_rule(rule)) is not None:
        return curated, ""
    refusal = ""
    if finding.lesson.strip():
        offer, refusal = screened_offer(finding.lesson, finding.why, severity, category, "offered", rule_key)
        if offer is not None:
            return offer, ""
    metadata = finding.metadata
    if metadata is not None and rule_key and not copies(metadata.text, finding.description):
        offer, _ = screened_offer(metadata.text, metadata.why, severity, category, "scanner", rule_key)
        if offer is not None:
            return offer, ""
    return None, refusal


def names_of_lesson(item: Prepared) -> tuple[str, ...]:
    """Return the exact names of the lesson that is made of an issue's offer."""
    offer = item.offer
    curated = catalogue_name(offer.catalogue_id) if offer and offer.catalogue_id else ""
    text = text_name(offer.text) if offer else ""
    return tuple(dict.fromkeys(key for key in (*item.keys, curated, text) if key))
