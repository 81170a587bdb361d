"""Trains the area model of the router (`data/models/routing.json`): `python -m bench.train_routing --data DIR`.

Trained on commit messages, each labelled by where its files lie. DIR holds `routing_commits.jsonl` (PrefectHQ/prefect
and pypi/warehouse, Apache-2.0). `--histories FOLDER` adds clones of the projects in `PROJECTS`, each at
`FOLDER/owner+name` or `FOLDER/owner+name/repo`: a router that knows two projects only learns their names for things.
"""

import argparse
import random
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.evaluation import Row, read_rows
from bench.training import fit, save
from lessonbook.classify.text_model import TextModel

PROJECTS: Final = {
    "Flagsmith/flagsmith": "BSD-3-Clause",
    "Netflix/dispatch": "Apache-2.0",
    "amundsen-io/amundsen": "Apache-2.0",
    "ansible/awx": "Apache-2.0",
    "argoproj/argo-workflows": "Apache-2.0",
    "getredash/redash": "BSD-2-Clause",
    "hatchet-dev/hatchet": "MIT",
    "healthchecks/healthchecks": "BSD-3-Clause",
    "jupyterhub/jupyterhub": "BSD-3-Clause",
    "meltano/meltano": "MIT",
    "netbox-community/netbox": "Apache-2.0",
    "readthedocs/readthedocs.org": "MIT",
    "rubygems/rubygems.org": "MIT",
    "rust-lang/crates.io": "MIT OR Apache-2.0",
    "saleor/saleor": "BSD-3-Clause",
}
"""Projects with a server, a web interface, a database and documents in one repository, and their licences."""

LABELLED_PROJECTS: Final = {"PrefectHQ/prefect": "Apache-2.0", "pypi/warehouse": "Apache-2.0"}

ELSEWHERE: Final = Path(__file__).parent / "data" / "routing_elsewhere.json"
"""The model of `PROJECTS` alone, by which `bench.routing` tells how a router does on projects it has not seen."""

_MOST_OF_AN_AREA: Final = 600
"""Commits taken of one area of one project, so that no project speaks for all."""
_MOST_FILES: Final = 12
_FEWEST_CHARACTERS: Final = 16
_MOST_CHARACTERS: Final = 1_000
_OTHER_WEIGHT: Final = 0.3
"""What a commit of an added project counts beside one of the labelled set."""
_STRENGTH: Final = 2.0
_MOST_TERMS: Final = 5_500
_LEAST_DOCUMENTS: Final = 4

_MACHINE = re.compile(r"dependabot|renovate|\[bot\]|bot@|weblate|pyup|greenkeeper", re.IGNORECASE)
_ROUTINE = re.compile(r"(?:merge|revert|bump|release|v?\d+\.\d+|update dependency|auto merge)\b", re.IGNORECASE)
_TRAILER = re.compile(
    r"(?im)^(?:signed-off-by|co-authored-by|reviewed-by|r=|bors|auto merge|fixes|closes|resolves)\b.*$"
)
_LINK = re.compile(r"https?://\S+|\(?#\d+\)?")
_PLACES: Final = (
    ("test", r"(?:^|/)(?:tests?|__tests__|spec|e2e|cypress|testdata|fixtures?|locales?|translations|vendor)/"),
    ("test", r"(?:^|/)(?:test_[^/]*|[^/]*_test\.(?:py|go|rs|rb)|[^/]*\.(?:test|spec)\.[jt]sx?|conftest\.py)$"),
    ("database", r"(?:^|/)(?:migrations?|alembic|migrate)/|\.sql$|(?:^|/)(?:schema\.r[bs]|alembic\.ini)$"),
    ("infrastructure", r"^\.(?:github|circleci|gitlab|travis|buildkite)/"),
    ("docs", r"(?:^|/)(?:docs?|documentation|website|mkdocs)/|\.(?:md|mdx|rst|adoc)$|(?:^|/)mkdocs\.yml$"),
    (
        "infrastructure",
        (
            r"^(?:docker|dockerfiles|deploy|deployment|k8s|kubernetes|helm|charts|terraform|infra|infrastructure|scripts?|ci"
            r"|hack|tools|requirements|bin|build|installer|manifests)/"
        ),
    ),
    (
        "infrastructure",
        (
            r"(?:^|/)(?:dockerfile[^/]*|[^/]*\.dockerfile|docker-compose[^/]*|compose[^/]*\.ya?ml|makefile|procfile"
            r"|\.travis\.yml|\.gitlab-ci\.yml|requirements[^/]*\.(?:txt|in)|setup\.(?:cfg|py)|pyproject\.toml|tox\.ini"
            r"|\.pre-commit-config\.yaml|(?:poetry|uv)\.lock|cargo\.(?:toml|lock)|gemfile(?:\.lock)?|go\.(?:mod|sum)"
            r"|\.dockerignore|\.gitignore|nginx\.conf|vagrantfile|app\.json|codecov\.yml|[^/]*\.tf|[^/]*\.sh)$"
        ),
    ),
    (
        "frontend",
        (
            r"\.(?:vue|tsx|jsx|css|scss|sass|less|svelte|hbs|html|erb|svg|woff2?|haml|jinja|styl|js|ts|mjs|cjs)$"
            r"|(?:^|/)(?:package(?:-lock)?\.json|yarn\.lock|pnpm-lock\.yaml)$"
            r"|(?:^|/)(?:frontend|ui|static|client|webapp|templates|assets|public)/"
        ),
    ),
    ("backend", r"\.(?:py|go|rs|rb|java|kt|php|cs)$"),
)
_COMPILED: Final = tuple((area, re.compile(pattern)) for area, pattern in _PLACES)


def area_of_path(path: str) -> str | None:
    """Return the area a file belongs to by its place, `test` where it is no evidence, or None."""
    lower = path.lower()
    return next((area for area, pattern in _COMPILED if pattern.search(lower)), None)


def commits_of(repository: Path, project: str) -> Iterator[Row]:
    """Yield the commits of one git directory whose files all lie in one area, at most so many of each area."""
    form = "%x00%an %ae%x01%s%x01%b%x01"
    command = ["git", "-C", str(repository), "log", "--no-merges", "--no-renames", "--name-only", f"--format={form}"]
    log = subprocess.run(command, capture_output=True, check=True).stdout.decode("utf-8", "replace")
    commits = log.split("\0")[1:]
    random.Random(project).shuffle(commits)
    taken: Counter[str] = Counter()
    for commit in commits:
        author, subject, body, names = commit.split("\x01", 3)
        files = [name for name in names.split("\n") if name]
        areas = {area_of_path(name) for name in files} - {"test", None}
        text = _text(subject, body)
        if _MACHINE.search(author) or _ROUTINE.match(subject) or len(text) < _FEWEST_CHARACTERS:
            continue
        if len(areas) != 1 or len(files) > _MOST_FILES:
            continue
        area = str(areas.pop())
        taken[area] += 1
        if taken[area] <= _MOST_OF_AN_AREA:
            yield {"query": text, "agent": area, "project": project}


def read_histories(folder: Path) -> list[Row]:
    """Return the labelled commits of every project of `PROJECTS` that has a clone in `folder`."""
    rows: list[Row] = []
    for project in PROJECTS:
        clone = folder / project.replace("/", "+")
        repository = clone / "repo" if (clone / "repo").is_dir() else clone
        if repository.is_dir():
            rows.extend(commits_of(repository, project))
    return rows


def train(labelled: list[Row], others: list[Row]) -> TextModel:
    """Return the area model of labelled commits and, weighing less, commits of other projects."""
    rows = [*labelled, *others]
    weights = [1.0] * len(labelled) + [_OTHER_WEIGHT if labelled else 1.0] * len(others)
    return fit(
        [row["query"] for row in rows],
        [row["agent"] for row in rows],
        strength=_STRENGTH,
        least_documents=_LEAST_DOCUMENTS if others else 2,
        most_terms=_MOST_TERMS,
        weights=weights,
    )


def main() -> None:
    """Train on all there is and write the model into the package."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--histories", type=Path)
    arguments = parser.parse_args()
    labelled = read_rows(arguments.data, "routing_commits")
    others = read_histories(arguments.histories) if arguments.histories else []
    named = LABELLED_PROJECTS | {project: PROJECTS[project] for project in sorted({row["project"] for row in others})}
    sources = [f"commit messages of {project} ({licence})" for project, licence in named.items()]
    print(save(train(labelled, others), "routing", sources))
    if others:
        print(save(train([], others), "routing_elsewhere", sources[len(LABELLED_PROJECTS) :], ELSEWHERE.parent))


def _text(subject: str, body: str) -> str:
    subject = re.sub(r"\s*\(#\d+\)\s*$", "", subject)
    text = f"{subject.rstrip('.')}. {_TRAILER.sub('', body)}"
    return " ".join(_LINK.sub("", text).split())[:_MOST_CHARACTERS]


if __name__ == "__main__":
    main()
