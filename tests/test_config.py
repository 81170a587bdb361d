import tomllib
from pathlib import Path

import pytest

from lessonbook.config import Settings, load_settings, project_of
from lessonbook.errors import ConfigError

EXAMPLE = Path(__file__).parents[1] / "config.example.toml"


def test_the_example_names_every_setting_with_its_default() -> None:
    example = tomllib.loads(EXAMPLE.read_text())
    default = Settings().model_dump(mode="json")
    default.pop("data")  # None cannot be written in TOML; the example shows these commented out
    example.pop("data")
    assert example == default
    for name in ("roster", "catalogue"):
        assert f"# {name} = " in EXAMPLE.read_text()


def test_the_command_line_goes_before_the_environment_before_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "lessonbook.toml"
    file.write_text('project = "file"\nagent = "file"\nlog_level = "ERROR"\n')
    monkeypatch.setenv("LESSONBOOK_PROJECT", "environment")
    monkeypatch.setenv("LESSONBOOK_AGENT", "environment")
    settings = load_settings({"project": "line"}, file=file)
    assert (settings.project, settings.agent, settings.log_level) == ("line", "environment", "ERROR")


def test_database_url_is_read_below_our_own_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://theirs")
    assert load_settings().database_url == "postgresql://theirs"
    monkeypatch.setenv("LESSONBOOK_DATABASE_URL", "sqlite:///ours.db")
    assert load_settings().database_url == "sqlite:///ours.db"


def test_a_file_in_the_working_folder_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lessonbook.toml").write_text("[learning]\nttl_days = 7\n")
    assert load_settings().learning.ttl_days == 7


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('projet = "x"', ["projet", "x", "no setting"]),
        ('[database]\nurll = "y"', ["database.urll", "y", "no setting"]),
        ("[learning]\nttl_days = 0", ["learning.ttl_days", "0"]),
        ('[server]\nport = "many"', ["server.port", "many"]),
        ('[trust]\nreview = "never"', ["trust.review", "never"]),
        ("database = 3", ["database", "3"]),
        ("x = = 1", ["not valid TOML"]),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_file(tmp_path: Path, text: str, words: list[str]) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings(file=file)
    for word in ["mine.toml", *words]:
        assert word in str(caught.value)


def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LESSONBOOK_LEARNING_TTL_DAYS", "soon")
    with pytest.raises(ConfigError, match=r"LESSONBOOK_LEARNING_TTL_DAYS.*soon"):
        load_settings()


@pytest.mark.parametrize(
    "remote",
    [
        "git@github.com:acme/shop.git",
        "https://github.com/acme/shop.git",
        "https://user:token@github.com/acme/shop",
        "ssh://git@github.com:22/acme/shop.git",
    ],
)
def test_a_project_is_its_remote_in_any_spelling_and_without_credentials(tmp_path: Path, remote: str) -> None:
    import subprocess  # noqa: PLC0415

    subprocess.run(("git", "init", "-q"), cwd=tmp_path, check=True)
    subprocess.run(("git", "remote", "add", "origin", remote), cwd=tmp_path, check=True)
    (tmp_path / "deep").mkdir()
    assert project_of(tmp_path / "deep") == "github.com/acme/shop"


def test_a_checkout_without_a_remote_is_named_by_its_top_folder_and_no_checkout_is_default(tmp_path: Path) -> None:
    import subprocess  # noqa: PLC0415

    assert project_of(tmp_path) == "default"
    top = tmp_path / "shop"
    (top / "deep").mkdir(parents=True)
    subprocess.run(("git", "init", "-q"), cwd=top, check=True)
    assert project_of(top / "deep") == "shop"
