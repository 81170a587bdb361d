"""The curated rules are well formed, cover what they promise and are found by any spelling."""

import re
from collections import Counter
from collections.abc import Iterator

import pytest

from lessonbook.classify.agent_roster import load_roster
from lessonbook.classify.catalogue import CatalogueRule, canonical_key, load_catalogue
from lessonbook.classify.rule_keys import tool_of
from lessonbook.domain.vocabulary import CATEGORIES, SEVERITIES
from lessonbook.screening.lint.rules import screen, screen_why

RULES = load_catalogue().rules
KEYS = [key for rule in RULES for key in rule.keys]

CWE_TOP_25 = {
    2022: "787 79 89 20 125 78 416 22 352 434 476 502 190 287 798 862 77 306 119 276 918 362 400 611 94",
    2023: "787 79 89 416 78 20 125 22 352 434 862 476 287 190 502 77 119 798 918 306 362 269 94 863 276",
    2024: "79 787 89 352 22 125 78 416 862 434 94 20 77 287 269 502 200 863 918 119 476 798 190 400 306",
    2025: "79 89 352 862 787 22 416 125 78 94 120 434 476 121 502 122 863 20 284 200 306 918 77 639 770",
}
OWASP_TOP_10 = [f"A{place:02}:{year}" for year in (2021, 2025) for place in range(1, 11)]
ASVS_5 = {
    "V1 encoding and sanitization": "injection sql-injection cross-site-scripting incomplete-sanitization",
    "V2 validation and business logic": "untrusted-input-validation interpretation-conflict brute-force-protection",
    "V3 web frontend": "content-security-policy csrf cookie-samesite origin-validation clickjacking security-headers",
    "V4 API and web service": "http-request-smuggling mass-assignment insecure-websocket graphql-limits",
    "V5 file handling": "unrestricted-upload path-traversal archive-extraction decompression-bomb",
    "V6 authentication": "password-policy multi-factor-authentication weak-password-recovery authentication-flow",
    "V7 session management": "session-fixation session-expiration cookie-without-httponly",
    "V8 authorization": "missing-authorization incorrect-authorization object-level-authorization",
    "V9 self-contained tokens": "signature-verification token-key-source token-audience-and-type",
    "V10 OAuth and OIDC": "oauth-authorization-request oauth-redirect-uri oauth-token-handling oidc-identity-token",
    "V11 cryptography": "broken-cipher password-hashing insecure-random predictable-iv-or-nonce hardcoded-crypto-key",
    "V12 secure communication": "tls-verification weak-tls-version cleartext-transmission",
    "V13 configuration": "security-misconfiguration hardcoded-credentials debug-mode-in-production attack-surface",
    "V14 data protection": "sensitive-information-exposure sensitive-response-caching cleartext-storage-of-secrets",
    "V15 secure coding and architecture": "vulnerable-dependency prototype-pollution race-condition insecure-design",
    "V16 logging and error handling": "insufficient-audit-logging log-injection error-details-exposure fail-closed",
    "V17 WebRTC": "webrtc-relay webrtc-media-encryption webrtc-signalling",
}
PLATFORM = {
    "pod security": "k8s-run-as-non-root k8s-privileged k8s-capabilities k8s-seccomp k8s-pod-security-standard",
    "probes": "k8s-probes k8s-probe-ports k8s-graceful-shutdown",
    "resources": "k8s-resource-requests k8s-availability k8s-disruption-budget",
    "cluster rights": "k8s-rbac-wildcards k8s-service-accounts k8s-cluster-exposure",
    "cluster network": "k8s-network-isolation k8s-ingress-encryption k8s-selectors",
    "images": "pinned-base-image k8s-image-tag immutable-image-tags secrets-in-image",
    "docker": "container-root-user dockerfile-stages compose-hardening docker-socket-mount exec-form-entrypoint",
    "cloud": "iam-wildcards public-bucket open-ingress encryption-at-rest terraform-module-pinning access-logging",
    "supply chain": "pinned-actions pinned-packages untrusted-checkout build-provenance package-name-verification",
}
HOLLOW = re.compile(r"\b(?:careful\w*|make sure|ensure|properly|appropriate\w*|best practices?)\b", re.IGNORECASE)
KEY_FORMS = {
    "CWE": r"CWE-[1-9]\d{0,3}",
    "owasp": r"owasp:A(0[1-9]|10):20\d\d",
    "bandit": r"bandit:B[1-7]\d\d",
    "ruff": r"ruff:[A-Z]{1,5}\d{3,4}",
    "gosec": r"gosec:G\d{3}",
    "eslint": r"eslint:(@?[a-z0-9-]+/)?[a-z0-9-]+",
    "semgrep": r"semgrep:[A-Za-z0-9_-]+",
    "codeql": r"codeql:(actions|js|py)/[a-z0-9/-]+",
    "checkov": r"checkov:CKV2?_[A-Z0-9]+_\d+",
    "kube-linter": r"kube-linter:[a-z0-9-]+",
    "hadolint": r"hadolint:DL\d{4}",
    "shellcheck": r"shellcheck:SC\d{4}",
    "squawk": r"squawk:[a-z-]+",
    "sqlfluff": r"sqlfluff:[A-Z]{2}\d\d",
    "owasp-llm": r"owasp-llm:LLM(0[1-9]|10)",
    "owasp-api": r"owasp-api:API([1-9]|10)",
    "axe": r"axe:[a-z-]+",
    "mypy": r"mypy:[a-z-]+",
    "pylint": r"pylint:([CRWEF]\d{4}|[a-z]+(-[a-z]+)+)",
    "stylelint": r"stylelint:[a-z-]+",
}
RISKY_TEXT = re.compile(
    r"https?://|www\.|\S@\S+\.\w|\b(?:pip|npm|apt|curl|wget|sudo) (?:install|-)|ignore (?:all|previous|the above)"
    r"|you (?:must|are) now|[\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]",
    re.IGNORECASE,
)


def test_there_are_enough_rules():
    assert len(RULES) >= 480


def test_ids_keys_and_texts_are_unique():
    for values in ([rule.id for rule in RULES], KEYS, [rule.text for rule in RULES], [rule.why for rule in RULES]):
        assert [value for value, count in Counter(value.casefold() for value in values).items() if count > 1] == []


def faults_of_form(rule: CatalogueRule) -> Iterator[str]:
    """Yield what keeps a rule from being a short plain sentence with its reason."""
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", rule.id):
        yield "id"
    if rule.severity not in SEVERITIES:
        yield "severity"
    if rule.category not in CATEGORIES:
        yield "category"
    if not 30 <= len(rule.text) <= 400 or not 20 <= len(rule.why) <= 250:
        yield "length"
    for sentence in (rule.text, rule.why):
        plain = sentence.endswith(".") and (sentence[0].isupper() or sentence[0] == "`")
        if not plain or sentence.count("`") % 2 or RISKY_TEXT.search(sentence):
            yield f"not a plain sentence: {sentence}"
    if HOLLOW.search(rule.text):
        yield f"hollow: {rule.text}"
    if len(re.findall(r"[.!?](?=\s|$)", re.sub(r"`[^`]*`", "code", f"{rule.text} {rule.why}"))) > 3:
        yield "more than three sentences"


def test_every_rule_is_a_short_plain_sentence():
    assert {rule.id: faults for rule in RULES if (faults := list(faults_of_form(rule)))} == {}


def faults_of_words(rule: CatalogueRule) -> Iterator[str]:
    if not rule.agents:
        yield "no agent"
    if not 3 <= len(set(rule.words)) == len(rule.words) <= 8:
        yield "three to eight different words"
    if not all(word == word.casefold().strip() and len(word.split()) <= 5 for word in rule.words):
        yield "spelling of the words"
    if not all(language == language.casefold() for language in rule.languages):
        yield "spelling of the languages"


def test_every_rule_names_whom_it_concerns_and_how_its_issues_speak():
    assert {rule.id: faults for rule in RULES if (faults := list(faults_of_words(rule)))} == {}


def test_every_rule_has_a_word_no_other_rule_has():
    shared = Counter(word for rule in RULES for word in rule.words)
    assert [rule.id for rule in RULES if all(shared[word] > 1 for word in rule.words)] == []


@pytest.mark.slow
def test_every_rule_passes_the_lint_of_lessons():
    reasons = {rule.id: (*screen(rule.text).reasons, *screen_why(rule.why).reasons) for rule in RULES}
    assert {rule_id: found for rule_id, found in reasons.items() if found} == {}


def test_every_key_has_the_form_of_its_tool_and_is_canonical():
    assert [key for key in KEYS if not re.fullmatch(KEY_FORMS[tool_of(key)], key) or canonical_key(key) != key] == []


@pytest.mark.parametrize("year", CWE_TOP_25)
def test_the_cwe_top_25_is_covered(year: int):
    numbers = CWE_TOP_25[year].split()
    assert len(set(numbers)) == 25
    assert [number for number in numbers if f"CWE-{number}" not in KEYS] == []


def test_most_weaknesses_of_software_have_a_rule():
    assert len([key for key in KEYS if tool_of(key) == "CWE"]) >= 600


@pytest.mark.parametrize("place", OWASP_TOP_10)
def test_the_owasp_top_10_is_covered(place: str):
    assert load_catalogue().find(place) is not None


@pytest.mark.parametrize("list_name", ["owasp-llm:LLM{:02}", "owasp-api:API{}"])
def test_the_owasp_lists_for_models_and_apis_are_covered(list_name: str):
    assert [key for key in map(list_name.format, range(1, 11)) if key not in KEYS] == []


@pytest.mark.parametrize(("subject", "ids"), [*ASVS_5.items(), *PLATFORM.items()])
def test_a_subject_is_covered_by_at_least_three_rules(subject: str, ids: str):
    known = {rule.id for rule in RULES}
    assert [rule_id for rule_id in ids.split() if rule_id not in known] == [], subject
    assert len(set(ids.split())) >= 3


def test_every_chapter_of_asvs_5_has_its_rules():
    assert [title.split()[0] for title in ASVS_5] == [f"V{number}" for number in range(1, 18)]


def test_every_bandit_family_is_covered():
    found = {key.removeprefix("bandit:B") for key in KEYS if tool_of(key) == "bandit"}
    assert {number[0] for number in found} == set("1234567")
    assert len(found) >= 70


def test_bandit_and_ruff_twins_share_a_rule():
    catalogue = load_catalogue()
    twins = [(key, f"ruff:S{key[-3:]}") for key in KEYS if tool_of(key) == "bandit"]
    apart = [
        (bandit, ruff) for bandit, ruff in twins if ruff in KEYS and catalogue.find(bandit) is not catalogue.find(ruff)
    ]
    assert apart == []


def test_agents_named_by_rules_are_in_the_roster():
    names = {agent.name for agent in load_roster().agents}
    assert {agent for rule in RULES for agent in rule.agents} <= names


def test_weaknesses_come_before_the_ids_of_tools():
    for rule in RULES:
        is_weakness = [tool_of(key) == "CWE" for key in rule.keys]
        assert is_weakness == sorted(is_weakness, reverse=True), rule.id


@pytest.mark.parametrize(
    ("weakness", "rule_id"),
    [
        ("CWE-59", "link-following"),
        ("CWE-98", "file-inclusion"),
        ("CWE-338", "insecure-random"),
        ("CWE-436", "interpretation-conflict"),
        ("CWE-552", "files-exposed-by-server"),
        ("CWE-822", "untrusted-pointer"),
        ("CWE-908", "uninitialized-memory"),
        ("CWE-912", "hidden-functionality"),
    ],
)
def test_a_rule_names_first_the_weakness_its_words_are_about(weakness: str, rule_id: str):
    rule = load_catalogue().find(weakness)
    assert rule is not None
    assert (rule.id, rule.keys[0]) == (rule_id, weakness)


def test_a_rule_is_found_by_any_of_its_keys():
    catalogue = load_catalogue()
    for written in ("CWE-89", "cwe_0089", "B608", "S608", "codeql:py/sql-injection", "catalogue:sql-injection"):
        rule = catalogue.find(written)
        assert rule is not None
        assert rule.id == "sql-injection"


def test_a_rule_without_keys_has_a_key_of_its_own():
    rule = next(rule for rule in RULES if not rule.keys)
    assert rule.key == f"catalogue:{rule.id}"
    assert load_catalogue().find(rule.key) is rule
