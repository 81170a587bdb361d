"""The lessons an agent starts with are those that somebody who knows its stack would name first."""

from contextlib import suppress
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.classify.agent_roster import load_roster
from lessonbook.classify.catalogue import Catalogue, CatalogueRule, load_catalogue
from lessonbook.classify.stacks import load_technologies
from lessonbook.classify.starters import starter_rules
from lessonbook.domain.errors import InvalidInput

BACKEND = "BackendDevelopmentAgent"
FRONTEND = "FrontendDevelopmentAgent"
FIRST = 15
EARLY = 40

FOREIGN = {
    "saml-assertions",
    "ldap-injection",
    "xpath-injection",
    "xmlrpc-parsing",
    "graphql-limits",
    "hidden-functionality",
}
POINTERS = {
    "memory-bounds",
    "out-of-bounds-write",
    "use-after-free",
    "untrusted-pointer",
    "double-free",
    "unbounded-copy",
}

EXPECTED = [
    (BACKEND, "python", "sql-injection mutable-default-argument blind-except request-timeout naive-datetime"),
    (
        BACKEND,
        "python postgresql",
        "sql-injection n-plus-one-queries mutable-default-argument migration-concurrent-index",
    ),
    (BACKEND, "python postgresql", "one-transaction-per-use-case missing-index request-timeout naive-datetime"),
    (BACKEND, "django", "n-plus-one-queries migration-not-null-column csrf object-level-authorization mark-safe"),
    (BACKEND, "fastapi", "blocking-call-in-async missing-authentication untrusted-input-validation mass-assignment"),
    (FRONTEND, "react typescript", "effect-cleanup exhaustive-deps dangerous-inner-html floating-promise explicit-any"),
    (FRONTEND, "react typescript", "unsafe-type-assertion loading-and-error-states stable-list-keys form-labels"),
    (
        BACKEND,
        "node express",
        "floating-promise untrusted-input-validation missing-authorization blocking-call-in-async",
    ),
    (BACKEND, "spring", "n-plus-one-queries one-transaction-per-use-case missing-authorization session-data-isolation"),
    (BACKEND, "go", "race-condition task-lifetimes request-timeout null-dereference context-manager-for-resources"),
    (BACKEND, "rust", "integer-overflow lock-across-await uncaught-exception-at-boundary native-boundary"),
    (BACKEND, "rails", "n-plus-one-queries mass-assignment object-level-authorization migration-not-null-column csrf"),
    (BACKEND, "laravel", "mass-assignment n-plus-one-queries unrestricted-upload debug-mode-in-production csrf"),
    (BACKEND, "dotnet", "missing-authorization http-client-reuse sql-injection n-plus-one-queries null-dereference"),
    (FRONTEND, "android", "mobile-main-thread mobile-secure-storage android-exported-components device-permissions"),
    ("InfrastructureDevelopmentAgent", "terraform kubernetes", "iam-wildcards public-bucket open-ingress k8s-probes"),
    ("InfrastructureDevelopmentAgent", "terraform kubernetes", "k8s-resource-requests k8s-run-as-non-root"),
    ("MachineLearningAgent", "pytorch", "train-test-leakage model-eval-mode training-loop-gradients reproducible-runs"),
    (
        "DataScienceAgent",
        "airflow",
        "orchestrated-task-idempotency idempotent-loads data-quality-checks schema-contracts",
    ),
    ("DataMigrationAgent", "airflow", "orchestrated-task-idempotency idempotent-loads bounded-retries"),
]


@cache
def ranked(agent: str, *stack: str) -> tuple[CatalogueRule, ...]:
    """Return the starters of an agent: ranked once, however many tests look at them."""
    return tuple(starter_rules(load_catalogue(), agent, stack))


def names(agent: str, *stack: str) -> list[str]:
    return [rule.id for rule in ranked(agent, *stack)]


def tiny(*rules: CatalogueRule) -> Catalogue:
    return Catalogue(rules)


def rule(name: str, **changes: object) -> CatalogueRule:
    values: dict[str, object] = {"keys": (), "severity": "medium", "category": "other", "why": "So."}
    return CatalogueRule(id=name, text=f"Mind the {name}.", **{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(("agent", "stack", "expected"), EXPECTED)
def test_a_reviewer_of_the_stack_finds_what_they_would_name_first(agent: str, stack: str, expected: str) -> None:
    assert set(expected.split()) - set(names(agent, *stack.split())[:FIRST]) == set()


@pytest.mark.parametrize("stack", sorted({stack for _, stack, _ in EXPECTED}))
def test_what_nobody_named_comes_late(stack: str) -> None:
    assert FOREIGN & set(names(BACKEND, *stack.split())[:EARLY]) == set()


@pytest.mark.parametrize("stack", ["rust", "go", "python", "spring", "dotnet"])
def test_pointers_are_for_languages_that_have_them(stack: str) -> None:
    assert POINTERS & set(names(BACKEND, stack)[:EARLY]) == set()
    assert len(POINTERS & set(names(BACKEND, "c++")[:FIRST])) >= 2


@pytest.mark.parametrize(
    ("stack", "wanted"), [("saml", "saml-assertions"), ("ldap", "ldap-injection"), ("ssh", "ssh-host-key")]
)
def test_what_is_named_comes_first(stack: str, wanted: str) -> None:
    assert wanted in names(BACKEND, "python", stack)[:FIRST]


@pytest.mark.parametrize(("agent", "stack"), sorted({(agent, stack) for agent, stack, _ in EXPECTED}))
def test_the_first_are_of_several_subjects(agent: str, stack: str) -> None:
    first = ranked(agent, *stack.split())[:10]
    assert len({rule.subject for rule in first}) >= 2
    assert len({rule.category for rule in first}) >= 2


def test_rules_for_other_languages_are_left_out() -> None:
    shown = set(names(BACKEND, "python", "postgresql"))
    assert not {"rules-of-hooks", "prototype-pollution", "double-free", "file-inclusion"} & shown
    assert "exhaustive-deps" in names(FRONTEND, "React")
    assert "mark-safe" not in names(BACKEND, "fastapi")
    assert "mark-safe" in names(BACKEND, "django")
    for library in ("Prisma", "TypeORM"):
        assert "keyset-pagination" in names("DatabaseAgent", library)


def test_without_a_stack_the_rules_of_any_language_come_first() -> None:
    first = ranked(FRONTEND)[:EARLY]
    assert not any(rule.languages for rule in first)
    assert FOREIGN & {rule.id for rule in first} == set()


def test_every_agent_of_the_roster_has_a_starter_set_of_its_own() -> None:
    for agent in load_roster().agents:
        own = [rule for rule in ranked(agent.name) if agent.name in rule.agents]
        assert len(own) >= 3, agent.name


def test_an_agent_no_rule_names_gets_the_rules_of_every_agent() -> None:
    assert len(names("HouseAgent")) == len(load_catalogue().rules)


def test_a_rule_of_another_agent_is_lent_where_the_stack_names_it_first() -> None:
    assert "timestamp-with-time-zone" in names(BACKEND, "postgresql")
    assert "timestamp-with-time-zone" not in names(FRONTEND, "postgresql")


def test_the_common_comes_before_the_rare_and_the_grave_before_the_light() -> None:
    catalogue = tiny(rule("rare", severity="high"), rule("light", common=2, severity="low"), rule("grave", common=2))
    assert [each.id for each in starter_rules(catalogue, BACKEND)] == ["grave", "light", "rare"]


def test_tasks_that_name_the_stack_lift_a_rule() -> None:
    catalogue = tiny(
        rule("other", tasks=("a Vue page",)), rule("plain", tasks=("a page",)), rule("own", tasks=("a Go job",))
    )
    assert [each.id for each in starter_rules(catalogue, BACKEND, ("go",))] == ["own", "plain", "other"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Python 3.12", {"python"}),
        ("django==5.1", {"django", "python"}),
        ("Node.js", {"node", "javascript"}),
        ("ASP.NET Core", {"dotnet", "csharp"}),
        ("C++", {"cpp"}),
        ("python+postgresql", {"python", "postgresql", "sql"}),
        ("React and TypeScript", {"react", "typescript", "javascript"}),
        ("k8s", {"kubernetes"}),
        ("", set()),
    ],
)
def test_a_stack_is_read_as_people_write_it(written: str, meant: set[str]) -> None:
    assert load_technologies().stack([written]).names == meant


@pytest.mark.parametrize(
    ("written", "nearest"), [("pythn", "python"), ("postgress", "postgresql"), ("kubernets", "kubernetes")]
)
def test_an_unknown_stack_names_the_nearest(written: str, nearest: str) -> None:
    with pytest.raises(InvalidInput, match=f"no stack '{written}'.*nearest: .*{nearest}"):
        names(BACKEND, "python", written)


def test_a_language_of_another_catalogue_is_a_stack() -> None:
    catalogue = tiny(rule("plain"), rule("own", languages=("zig",)))
    assert [each.id for each in starter_rules(catalogue, BACKEND, ("Zig",))] == ["own", "plain"]
    with pytest.raises(InvalidInput, match="nearest: zig"):
        starter_rules(catalogue, BACKEND, ("zigg",))


@given(st.text(max_size=200))
def test_any_text_is_a_stack_or_a_plain_error(text: str) -> None:
    with suppress(InvalidInput):
        load_technologies().stack([text])


def test_the_table_of_technologies_names_what_there_is() -> None:
    rules = {rule.id for rule in load_catalogue().rules}
    languages = {language for rule in load_catalogue().rules for language in rule.languages}
    technologies = load_technologies()
    spellings = [name for each in technologies.all.values() for name in (each.name, *each.aliases)]
    for each in technologies.all.values():
        assert {*each.first, *each.rare} <= rules, each.name
        assert set(each.languages) <= languages, each.name
        assert set(each.agents) <= {agent.name for agent in load_roster().agents}, each.name
        assert all(technologies.mentioned(f"a {word} thing") >= {each.name} for word in each.words), each.name
    assert all(technologies.find(name) for name in {*spellings, *languages})
    assert len(spellings) == len({name.replace("-", "").replace(".", "") for name in spellings})
