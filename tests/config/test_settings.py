import tomllib
from pathlib import Path

import pytest

from lessonbook.config.settings import Settings, load_settings
from lessonbook.domain.errors import ConfigError

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"


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


def test_the_persons_own_file_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = tmp_path / "home" / "lessonbook" / "lessonbook.toml"
    own.parent.mkdir(parents=True)
    own.write_text("[learning]\nttl_days = 7\n")
    monkeypatch.chdir(tmp_path)
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


def test_a_variable_that_is_no_setting_is_named_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, hint in (
        ("LESSONBOOK_DATABASE", "LESSONBOOK_DATABASE_URL"),
        ("LESSONBOOK_PROJET", "LESSONBOOK_PROJECT"),
        ("LESSONBOOK_REFINER_API_KEY", "LESSONBOOK_REFINER_API_KEY_ENV"),
        ("LESSONBOOK_ZZZ", "config.example.toml"),
    ):
        with monkeypatch.context() as scene:
            scene.setenv(variable, "postgresql://me:hunter2@db/x")
            with pytest.raises(ConfigError) as caught:
                load_settings()
        assert repr(variable) in str(caught.value)
        assert hint in str(caught.value)
        assert "hunter2" not in str(caught.value)


def test_variables_for_keys_and_for_other_commands_are_no_settings_and_no_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in ("LESSONBOOK_TOKEN", "LESSONBOOK_GATEWAY_KEY", "LESSONBOOK_TEST_DATABASE_URL", "LESSONBOOK_MINE"):
        monkeypatch.setenv(variable, "x")
    assert load_settings({"refiner": {"api_key_env": "LESSONBOOK_MINE"}}).refiner.api_key_env == "LESSONBOOK_MINE"


@pytest.mark.parametrize("text", ["agent,operator", " agent , operator,", '["agent", "operator"]'])
def test_a_list_in_a_variable_is_written_with_commas_or_as_json(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("LESSONBOOK_SERVER_TOOLSETS", text)
    assert load_settings().server.toolsets == ["agent", "operator"]


@pytest.mark.parametrize("text", ["agents", "[agent", '["agent", 3]'])
def test_a_list_in_a_variable_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("LESSONBOOK_SERVER_TOOLSETS", text)
    with pytest.raises(ConfigError, match="LESSONBOOK_SERVER_TOOLSETS"):
        load_settings()


@pytest.mark.parametrize("section", ["refiner", "semantic"])
@pytest.mark.parametrize(
    ("address", "variable"),
    [
        ("https://sink.example/v1", "AWS_SECRET_ACCESS_KEY"),
        ("https://sink.example/v1", "OPENAI_API_KEY"),
        ("http://api.openai.com/v1", "OPENAI_API_KEY"),
        ("https://api.openai.com.sink.example/v1", "OPENAI_API_KEY"),
        ("https://api.openai.com/v1", "ANTHROPIC_API_KEY"),
        ("http://127.0.0.1:11434/v1", "lessonbook_key"),
    ],
)
def test_a_server_of_anybodys_gets_no_key_but_one_that_is_named_for_us(
    section: str, address: str, variable: str
) -> None:
    with pytest.raises(ConfigError, match=rf"{section}.api_key_env.*LESSONBOOK_…_KEY"):
        load_settings({section: {"model": "m", "base_url": address, "api_key_env": variable}})


@pytest.mark.parametrize(
    ("address", "variable"),
    [("https://api.openai.com/v1", "OPENAI_API_KEY"), ("http://localhost/v1", "LESSONBOOK_LOCAL_KEY"), ("", "MY_KEY")],
)
def test_a_key_may_go_to_whom_it_belongs(address: str, variable: str) -> None:
    given = {"model": "m", "base_url": address, "api_key_env": variable}
    assert load_settings({"refiner": given}).refiner.api_key_env == variable


def test_paths_in_a_file_are_read_from_the_files_own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "own" / "mine.toml"
    file.parent.mkdir()
    file.write_text(
        '[database]\nurl = "sqlite:///here.db"\n[semantic]\nmodel = "small"\n'
        '[data]\nroster = "roster.toml"\ncatalogue = "~/catalogue"\n'
    )
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    settings = load_settings(file=file)
    assert settings.database_url == f"sqlite:///{tmp_path}/own/here.db"
    assert settings.semantic.model == f"{tmp_path}/own/small"
    assert settings.data.roster == tmp_path / "own" / "roster.toml"
    assert settings.data.catalogue == tmp_path / "home" / "catalogue"


def test_a_models_name_behind_a_server_is_no_path(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[semantic]\nmodel = "org/small"\nbase_url = "http://localhost/v1"\n')
    assert load_settings(file=file).semantic.model == "org/small"


@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("LESSONBOOK_CONFIG", "LESSONBOOK_CONFIG"),
        ("LESSONBOOK_DATA_CATALOGUE", "data.catalogue"),
        ("LESSONBOOK_DATA_ROSTER", "data.roster"),
        ("LESSONBOOK_SEMANTIC_MODEL", "semantic.model"),
    ],
)
def test_a_relative_path_in_a_variable_which_means_another_file_in_each_folder_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, name: str
) -> None:
    (tmp_path / "planted.toml").write_text("version = 1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(variable, "planted.toml")
    with pytest.raises(ConfigError, match=rf"{name}.*absolute"):
        load_settings()


def test_a_file_that_is_named_is_the_only_one_that_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = tmp_path / "home" / "lessonbook" / "lessonbook.toml"
    own.parent.mkdir(parents=True)
    own.write_text('agent = "own"\n')
    named = tmp_path / "named.toml"
    named.write_text('log_level = "ERROR"\n')
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "lessonbook.toml").write_text('agent = "folder"\n')
    monkeypatch.chdir(folder)
    monkeypatch.setenv("LESSONBOOK_CONFIG", str(named))
    settings = load_settings()
    assert (settings.agent, settings.log_level) == ("", "ERROR")


def test_a_file_that_is_named_and_not_there_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LESSONBOOK_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(ConfigError, match=r"none\.toml cannot be read"):
        load_settings()


def test_an_address_with_a_password_is_not_repeated_in_an_error(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('database = "postgresql://me:hunter2@db/x"\n')
    with pytest.raises(ConfigError) as caught:
        load_settings(file=file)
    assert "hunter2" not in str(caught.value)
