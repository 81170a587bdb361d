"""A catalogue in a person's own files is read whole, or refused with the file and key that are wrong."""

from pathlib import Path

import pytest

from lessonbook.classify.catalogue import load_catalogue
from lessonbook.domain.errors import ConfigError


def write(folder: Path, name: str, body: str) -> Path:
    path = folder / name
    path.write_text(f"version = 1\n{body}", encoding="utf-8")
    return path


def entry(rule_id: str = "a-rule", **fields: str) -> str:
    values = {
        "id": f'"{rule_id}"',
        "keys": "[]",
        "severity": '"low"',
        "category": '"other"',
        "text": f'"Do {rule_id}."',
        "why": '"Because."',
    } | fields
    return "[[rule]]\n" + "".join(f"{name} = {value}\n" for name, value in values.items())


def test_a_directory_and_a_single_file_can_replace_the_catalogue(tmp_path: Path):
    write(tmp_path, "b.toml", entry("second", keys='["CWE-1"]'))
    path = write(tmp_path, "a.toml", entry("first"))
    assert [rule.id for rule in load_catalogue(tmp_path).rules] == ["first", "second"]
    assert [rule.id for rule in load_catalogue(path).rules] == ["first"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (entry(severity='"grave"'), "'severity'"),
        (entry(category='"style"'), "'category'"),
        (entry(colour='"red"'), "'colour'"),
        (entry(keys='["b608"]'), "write 'bandit:B608'"),
        (entry(keys='"CWE-1"'), "'keys'"),
        (entry(text='""'), "'text'"),
        (entry(text=f'"{"x" * 401}"'), "400 at most"),
        (entry("Not_Kebab"), "kebab-case"),
        (entry() + entry(), "'id'"),
        (entry("one", keys='["CWE-1"]') + entry("two", keys='["CWE-1"]'), "which rules.toml: rule one has already"),
        ("rules = []\n", "'rules'"),
        ("rule = 3\n", "'rule'"),
        ("rule = [3]\n", "rule 1"),
        ("not toml", "cannot be read"),
    ],
)
def test_a_mistake_in_a_file_is_named_with_file_and_key(tmp_path: Path, body: str, told: str):
    path = write(tmp_path, "rules.toml", body)
    with pytest.raises(ConfigError) as caught:
        load_catalogue(path)
    assert str(caught.value).startswith("rules.toml:")
    assert told in str(caught.value)


def test_a_missing_catalogue_is_an_error(tmp_path: Path):
    with pytest.raises(ConfigError, match="no such catalogue"):
        load_catalogue(tmp_path / "nothing")


def test_another_version_of_the_format_is_refused(tmp_path: Path):
    path = tmp_path / "rules.toml"
    path.write_text("version = 2\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="'version' has to be 1"):
        load_catalogue(path)
