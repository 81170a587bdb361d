"""The roster knows its agents by many names and routes work to them."""

import tomllib
from pathlib import Path

import pytest

from lessonbook.classify.agent_roster import AREAS, ROUTE_CONFIDENCE_MIN, Roster, RosterAgent, load_roster
from lessonbook.domain.errors import ConfigError
from tests.growth import lines_run

ROSTER = load_roster()

SENTENCES = tomllib.loads((Path(__file__).parent / "routing_sentences.toml").read_text(encoding="utf-8"))

NAMES = [
    "FrontendDevelopmentAgent",
    "BackendDevelopmentAgent",
    "APIDevelopmentAgent",
    "InfrastructureDevelopmentAgent",
    "DatabaseAgent",
    "MachineLearningAgent",
    "RAGAgent",
    "DataScienceAgent",
    "LLMOpsAgent",
    "NLPAgent",
    "PromptEngineeringAgent",
    "ComputerVisionAgent",
    "DocumentIntelligenceAgent",
    "DashboardAgent",
    "TimeSeriesAgent",
    "RLAgent",
    "RecommenderAgent",
    "GraphAnalyticsAgent",
    "MultimodalAgent",
    "SpeechAgent",
    "APITestAgent",
    "MobileTestAgent",
    "ObservabilityAgent",
    "DataMigrationAgent",
    "CodeProtectionAgent",
]

TEXTS = [
    ("FrontendDevelopmentAgent", "The modal dialog traps focus and the submit button is hidden on small screens"),
    ("FrontendDevelopmentAgent", "React component rerenders forever because of a useEffect dependency"),
    ("BackendDevelopmentAgent", "The background worker swallows an exception while sending the email from the queue"),
    ("BackendDevelopmentAgent", "Login session is not invalidated after the password was changed"),
    (
        "APIDevelopmentAgent",
        "The REST endpoint returns status code 200 with an error payload, and pagination is missing",
    ),
    ("InfrastructureDevelopmentAgent", "The Dockerfile runs as root and the Kubernetes deployment has no limits"),
    ("InfrastructureDevelopmentAgent", "Terraform opens the security group to the world"),
    ("DatabaseAgent", "SQL query scans the whole table because the foreign key column has no index"),
    ("MachineLearningAgent", "Training loop of the PyTorch classifier forgets to reset the optimizer gradients"),
    ("RAGAgent", "The retriever returns chunks from the vector store without a citation"),
    ("DataScienceAgent", "Pandas dataframe merge in the notebook duplicates rows"),
    ("LLMOpsAgent", "The LLM gateway has no token budget and no fallback model"),
    ("NLPAgent", "Tokenizer drops accents before named entity recognition"),
    ("PromptEngineeringAgent", "The system prompt can be overridden by a prompt injection in the few-shot examples"),
    ("ComputerVisionAgent", "Object detection bounding boxes are shifted after image resize in OpenCV"),
    ("DocumentIntelligenceAgent", "OCR of the scanned invoice mixes up line items"),
    ("DashboardAgent", "The dashboard's bar chart does not start at zero and the KPI ignores the date filter"),
    ("TimeSeriesAgent", "Forecast backtest leaks the future through a rolling window"),
    ("RLAgent", "The reward is computed after the episode was truncated, so PPO learns a wrong value function"),
    ("RecommenderAgent", "Cold start users get popularity-biased recommendations from collaborative filtering"),
    ("GraphAnalyticsAgent", "The Cypher traversal in Neo4j never ends on cycles of the knowledge graph"),
    ("MultimodalAgent", "CLIP image-text embeddings of the vision language model are not normalised"),
    ("SpeechAgent", "Whisper transcription fails because the audio has another sample rate"),
    ("APITestAgent", "The pytest fixture leaks state, so the integration test is flaky"),
    ("MobileTestAgent", "Appium cannot find the button on the Android emulator after a swipe gesture"),
    ("ObservabilityAgent", "The Prometheus metric has a user id label and the alert has no runbook"),
    (
        "DataMigrationAgent",
        "The backfill from the legacy system lost rows and nobody did a reconciliation of row counts",
    ),
    ("CodeProtectionAgent", "License check is easy to patch because the binary is neither obfuscated nor code signed"),
]

FILES = [
    ("FrontendDevelopmentAgent", "web/src/components/Menu.tsx"),
    ("BackendDevelopmentAgent", "app/billing.py"),
    ("APIDevelopmentAgent", "src/api/openapi.yaml"),
    ("InfrastructureDevelopmentAgent", "deploy/main.tf"),
    ("InfrastructureDevelopmentAgent", "backend/Dockerfile"),
    ("InfrastructureDevelopmentAgent", ".github/workflows/ci.yml"),
    ("DatabaseAgent", "migrations/0001_users.sql"),
    ("MachineLearningAgent", "src/training/fit.ipy"),
    ("RAGAgent", "src/rag/index.py"),
    ("DataScienceAgent", "notebooks/churn.ipynb"),
    ("LLMOpsAgent", "platform/llm/gateway.py"),
    ("NLPAgent", "src/nlp/entities.py"),
    ("PromptEngineeringAgent", "prompts/summary.md"),
    ("ComputerVisionAgent", "src/vision/crop.py"),
    ("DocumentIntelligenceAgent", "src/ocr/pages.py"),
    ("DashboardAgent", "src/dashboards/sales.json"),
    ("TimeSeriesAgent", "models/forecasting/weekly.py"),
    ("RLAgent", "src/rl/agent.py"),
    ("RecommenderAgent", "src/recommender/rank.py"),
    ("GraphAnalyticsAgent", "queries/friends.cypher"),
    ("MultimodalAgent", "src/multimodal/pairs.py"),
    ("SpeechAgent", "src/speech/decode.py"),
    ("APITestAgent", "tests/api/test_orders.py"),
    ("MobileTestAgent", "app/src/androidTest/java/LoginTest.kt"),
    ("ObservabilityAgent", "ops/grafana/latency.json"),
    ("DataMigrationAgent", "scripts/data_migration/customers.py"),
    ("CodeProtectionAgent", "app/proguard-rules.pro"),
    ("BackendDevelopmentAgent", "packages/back-end/src/a.ts"),
    ("BackendDevelopmentAgent", "services/shop/src/cart.ts"),
    ("BackendDevelopmentAgent", "apps/web/src/server/session.ts"),
    ("BackendDevelopmentAgent", "src/main/java/com/acme/ui/Menu.java"),
    ("BackendDevelopmentAgent", "lib/inflate.c"),
    ("FrontendDevelopmentAgent", "packages/front-end/src/a.ts"),
    ("FrontendDevelopmentAgent", "apps/web/src/lib/dates.ts"),
    ("FrontendDevelopmentAgent", "services/shop/src/Cart.tsx"),
    ("APIDevelopmentAgent", "packages/api/src/index.ts"),
    ("InfrastructureDevelopmentAgent", "services/shop/infra/main.ts"),
    ("DatabaseAgent", "db-migrations/0007_orders.py"),
]


def write(folder: Path, body: str) -> Path:
    path = folder / "agents.toml"
    path.write_text(body, encoding="utf-8")
    return path


def test_the_roster_has_its_25_agents_in_order():
    assert [agent.name for agent in ROSTER.agents] == NAMES


@pytest.mark.parametrize("agent", ROSTER.agents, ids=lambda agent: agent.name)
def test_every_agent_is_described(agent: RosterAgent):
    assert agent.area in AREAS
    assert agent.answers_for
    assert agent.aliases
    assert agent.files
    assert 15 <= len(agent.words) <= 40
    assert len(set(agent.words)) == len(agent.words)
    assert all(word == word.lower().strip() for word in agent.words + agent.aliases)


@pytest.mark.parametrize("name", NAMES)
def test_every_agent_is_known_by_its_own_spellings_and_aliases(name: str):
    agent = ROSTER.find(name)
    assert agent is not None
    bare = name.removesuffix("Agent")
    for spelling in (name, name.lower(), bare, f" {bare.upper()} ", f"{bare} agent", f"{bare}_agent", *agent.aliases):
        assert ROSTER.resolve(spelling) == name
        assert ROSTER.known(spelling)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("data science", "DataScienceAgent"),
        ("data-science-agent", "DataScienceAgent"),
        ("time_series", "TimeSeriesAgent"),
        ("React-Agent", "FrontendDevelopmentAgent"),
        ("devops", "InfrastructureDevelopmentAgent"),
        ("QA", "APITestAgent"),
    ],
)
def test_case_blanks_and_hyphens_do_not_matter(given: str, name: str):
    assert ROSTER.resolve(given) == name


@pytest.mark.parametrize("given", ["  Payments Bot ", "agent", "", "*"])
def test_an_unknown_name_comes_back_stripped(given: str):
    assert ROSTER.resolve(given) == given.strip()
    assert ROSTER.known(given) is (given == "*")
    assert ROSTER.find(given) is None


def test_the_nearest_names_are_offered_best_first():
    assert ROSTER.nearest("FrontndDevelopmentAgent")[0] == "FrontendDevelopmentAgent"
    assert ROSTER.nearest("databse")[0] == "DatabaseAgent"
    assert ROSTER.nearest("PaymentsAgnt", also=["PaymentsAgent", "OtherAgent"])[0] == "PaymentsAgent"
    assert len(ROSTER.nearest("DataAgent", limit=2)) == 2
    assert ROSTER.nearest("zzzzzzzz") == []
    assert ROSTER.nearest("") == []


@pytest.mark.parametrize(("name", "text"), TEXTS)
def test_text_is_routed_to_the_agent_that_answers_for_it(name: str, text: str):
    routed = ROSTER.route(text)
    assert routed is not None
    agent, confidence = routed
    assert agent == name
    assert 0.0 < confidence <= 1.0


def test_the_routing_examples_cover_every_agent():
    assert {name for name, _ in TEXTS} == set(NAMES)
    assert {name for name, _ in FILES} == set(NAMES)


@pytest.mark.parametrize(("name", "file"), FILES)
def test_a_file_is_routed_to_the_agent_that_keeps_it(name: str, file: str):
    routed = ROSTER.route("", [file])
    assert routed is not None
    assert routed[0] == name


@pytest.mark.parametrize(
    ("text", "file", "name"),
    [
        ("Cross-site scripting vulnerability due to a user-provided value.", "app.ts", "FrontendDevelopmentAgent"),
        ("Null pointer dereference", "src/gz.c", "BackendDevelopmentAgent"),
        ("This expression contains a magic number.", "src/command/voice/Volume.kt", "BackendDevelopmentAgent"),
        ("Unused import", "src/main/java/com/acme/graph/Nodes.java", "BackendDevelopmentAgent"),
        ("Variable may be uninitialised", "lib/tokenizer.c", "BackendDevelopmentAgent"),
        ("Missing docstring", "src/licensing/client.py", "BackendDevelopmentAgent"),
        ("Function is too long", "com/acme/charts/Axes.java", "BackendDevelopmentAgent"),
        ("The transcription drops the last word", "src/voice/decode.py", "SpeechAgent"),
    ],
)
def test_a_word_in_a_path_makes_no_specialist_without_a_word_of_the_work(text: str, file: str, name: str):
    assert ROSTER.responsible(text, [file]) == name
    assert ROSTER.responsible_for_each([text], file) == [name]


def test_code_that_two_areas_write_is_nobodys_where_nothing_else_is_known():
    assert ROSTER.responsible("", ["src/index.ts"]) is None


def test_the_findings_of_one_file_go_to_one_agent_unless_their_words_differ():
    texts = [
        "Unused variable x",
        "Prefer const over let",
        "Null pointer dereference",
        "The SQL query scans the whole table because the foreign key column has no index",
    ]
    assert ROSTER.responsible_for_each(texts, "app/billing.py") == ["BackendDevelopmentAgent"] * 3 + ["DatabaseAgent"]


def test_findings_in_a_file_that_says_nothing_go_where_their_words_together_point():
    texts = ["The React component rerenders forever", "Prefer const over let", "The modal dialog traps focus"]
    assert set(ROSTER.responsible_for_each(texts, "src/index.ts")) == {"FrontendDevelopmentAgent"}
    assert ROSTER.responsible_for_each(["zzz", "qqq"], "LICENSE") == [None, None]


def test_files_weigh_more_than_words():
    routed = ROSTER.route("rename a column", ["src/components/Table.tsx"])
    assert routed is not None
    assert routed[0] == "FrontendDevelopmentAgent"


def test_windows_paths_are_understood():
    routed = ROSTER.route("", ["infra\\modules\\vpc\\main.tf"])
    assert routed is not None
    assert routed[0] == "InfrastructureDevelopmentAgent"


@pytest.mark.parametrize("text", ["", "   ", "zzz qqq", "correct a spelling mistake in the readme", "???"])
def test_nothing_is_routed_without_a_hint(text: str):
    assert ROSTER.route(text) is None
    assert ROSTER.route(text, []) is None
    assert ROSTER.route(text, [" "]) is None


def test_more_evidence_for_one_agent_raises_confidence():
    little = ROSTER.route("Terraform")
    much = ROSTER.route("Terraform for the Kubernetes ingress, load balancer and Helm chart", ["main.tf"])
    assert little is not None
    assert much is not None
    assert much[1] > little[1]


def test_contradicting_evidence_lowers_confidence():
    clear = ROSTER.route("OCR of a scanned invoice")
    mixed = ROSTER.route("OCR of a scanned invoice with a Cypher traversal in Neo4j")
    assert clear is not None
    assert mixed is not None
    assert mixed[1] < clear[1]


def test_sentences_about_every_agents_work_mostly_find_it():
    pairs = [(name, *sentence.partition(" | ")[::2]) for name, texts in SENTENCES.items() for sentence in texts]
    routed = [(name, ROSTER.route(text, files.split(", ") if files else [])) for name, text, files in pairs]
    assert set(SENTENCES) == set(NAMES)
    assert len(pairs) >= 100
    assert sum(found is not None and found[0] == name for name, found in routed) / len(pairs) >= 0.92


@pytest.mark.parametrize(
    ("area", "text", "files"),
    [
        ("docs", "Fix typos in the installation tutorial", []),
        ("docs", "", ["docs/guide/first-steps.md"]),
        ("frontend", "Fix the hover colour of buttons on small screens", []),
        ("infrastructure", "Cache docker layers in the release workflow", []),
        ("database", "Add a migration that makes the column nullable", []),
        ("ml", "The PyTorch training loop leaks validation data into training", []),
    ],
)
def test_the_area_is_told_even_where_no_agent_keeps_it(area: str, text: str, files: list[str]):
    areas = ROSTER.areas(text, ROSTER.hints.of_text(text), ROSTER.hints.of_files(files))
    assert max(areas, key=areas.__getitem__) == area
    assert sum(areas.values()) == pytest.approx(1.0)


def test_documentation_is_left_to_no_agent_without_a_word_of_its_work():
    assert ROSTER.route("Fix typos in the release notes and in the tutorial") is None


def test_words_the_area_model_knows_route_without_a_word_of_the_roster():
    roster = Roster([RosterAgent("Pages", "frontend", "pages"), RosterAgent("Core", "backend", "server")])
    routed = roster.route("Fix the margin of the footer on mobile and add an svg icon to the template")
    assert routed is not None
    assert routed[0] == "Pages"
    assert routed[1] >= ROUTE_CONFIDENCE_MIN


def test_a_roster_of_other_areas_is_routed_by_its_own_words():
    roster = Roster([RosterAgent("Train", "ml", "models", words=("model",)), RosterAgent("Ask", "ml", "x")])
    routed = roster.route("Fix the button of the model page")
    assert routed is not None
    assert routed[0] == "Train"
    assert roster.route("Fix the margin of the footer") is None


def test_a_long_text_is_read_up_to_a_length():
    sentence = "The React component of the report page loses its state when the server answers late. "
    ROSTER.route(sentence)
    one, many, more = (lines_run(lambda n=n: ROSTER.route(sentence * n)) for n in (1, 400, 1_600))
    assert more == many < 20 * one


def test_ties_go_to_the_agent_named_first(tmp_path: Path):
    body = "version = 1\n" + "".join(
        f'[[agent]]\nname = "{name}"\narea = "ml"\nanswers_for = "x"\nwords = ["shared", "{name.lower()}"]\n'
        for name in ("One", "Two")
    )
    roster = load_roster(write(tmp_path, body))
    tied, decided = roster.route("something shared"), roster.route("shared two")
    assert tied is not None
    assert decided is not None
    assert (tied[0], decided[0]) == ("One", "Two")


def test_routing_does_not_depend_on_case_number_or_camel_case():
    for text in ("kubernetes pod", "Kubernetes PODS", "KubernetesPods"):
        routed = ROSTER.route(text)
        assert routed is not None
        assert routed[0] == "InfrastructureDevelopmentAgent"


TWO_AGENTS = """
version = 1
[[agent]]
name = "A"
area = "ml"
answers_for = "x"
[[agent]]
name = "B"
area = "ml"
answers_for = "x"
aliases = ["a-agent"]
"""


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ('version = 1\n[[agent]]\nname = "A"\narea = "sea"\nanswers_for = "x"\n', "'area'"),
        ('version = 1\n[[agent]]\nname = "A"\narea = "ml"\n', "'answers_for'"),
        ('version = 1\n[[agent]]\nname = "A"\narea = "ml"\nanswers_for = "x"\nfile = []\n', "'file'"),
        ('version = 1\n[[agent]]\nname = "A"\narea = "ml"\nanswers_for = "x"\nwords = [1]\n', "'words'"),
        (TWO_AGENTS, "'a-agent', which means A"),
        ('version = 1\n[[agent]]\nname = "A"\narea = "ml"\nanswers_for = "x"\n[other]\n', "'other'"),
        ("version = 3\n", "'version'"),
        ("version = 1\nagent = 1\n", "'agent'"),
        ("nonsense", "cannot be read"),
    ],
)
def test_a_mistake_in_a_roster_is_named_with_file_and_key(tmp_path: Path, body: str, told: str):
    with pytest.raises(ConfigError) as caught:
        load_roster(write(tmp_path, body))
    assert str(caught.value).startswith("agents.toml:")
    assert told in str(caught.value)


def test_an_empty_roster_routes_nothing(tmp_path: Path):
    roster = load_roster(write(tmp_path, "version = 1\n"))
    assert roster.route("anything", ["a.py"]) is None
    assert roster.nearest("x") == []
