"""The manifests of a folder show its stack."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.classify.manifests import is_manifest, stack_of

POM = "<dependency><groupId>org.springframework.boot</groupId><artifactId>spring-boot-starter</artifactId></dependency>"
WEB_PROJECT = '<Project Sdk="Microsoft.NET.Sdk.Web"><PackageReference Include="Npgsql.EntityFrameworkCore" /></Project>'
GRADLE = 'plugins { id("com.android.application"); kotlin("android") }'

SHOWN = [
    (
        "pyproject.toml",
        '[project]\ndependencies = ["fastapi>=0.1", "psycopg[binary]", "Django ; extra"]',
        "fastapi django postgresql",
    ),
    ("pyproject.toml", '[tool.poetry.dependencies]\npython = "^3.12"\nsqlalchemy = "*"', "python sqlalchemy"),
    ("pyproject.toml", '[dependency-groups]\ndev = ["pytest", {include-group = "x"}]', "pytest"),
    ("requirements.txt", "# web\nflask==3.0\nredis\n-r other.txt\n", "python flask redis"),
    ("requirements-dev.txt", "apache-airflow-providers-http\n", "python airflow"),
    ("Pipfile", '[packages]\ntorch = "*"', "python pytorch"),
    (
        "web/package.json",
        '{"dependencies": {"react": "18", "@nestjs/core": "1"}, "scripts": []}',
        "javascript react nestjs",
    ),
    ("package.json", '{"devDependencies": {"typescript": "5", "@angular/core": "1"}}', "typescript angular"),
    (
        "go.mod",
        "module x\n\nrequire (\n\tgithub.com/gin-gonic/gin v1.9\n\tgithub.com/lib/pq v1.1\n)\n",
        "go gin postgresql",
    ),
    ("Cargo.toml", '[dependencies]\naxum = "0.7"\n', "rust axum"),
    ("Cargo.toml", '[workspace.dependencies]\ntokio = { version = "1" }\n', "rust axum"),
    ("pom.xml", POM, "java spring"),
    ("app/build.gradle.kts", GRADLE, "java kotlin android"),
    ("build.gradle", "implementation 'org.springframework.boot:spring-boot-starter:3'", "java spring"),
    ("composer.json", '{"require": {"laravel/framework": "11"}}', "php laravel"),
    ("Gemfile", "gem 'rails', '~> 7'\ngem \"pg\"\n", "ruby rails postgresql"),
    ("src/App.csproj", WEB_PROJECT, "csharp dotnet postgresql"),
    ("Dockerfile", "FROM --platform=linux/amd64 docker.io/library/python:3.12 AS x\n", "python docker"),
    ("docker-compose.yml", "services:\n  db:\n    image: postgres:16\n", "docker postgresql"),
    ("infra/main.tf", 'provider "aws" {\n}\n', "terraform aws"),
    ("deploy/web.yaml", "apiVersion: apps/v1\nkind: Deployment\n", "kubernetes"),
    ("prisma/schema.prisma", 'datasource db {\n  provider = "mysql"\n}', "prisma mysql"),
    ("pubspec.yaml", "dependencies:\n  flutter:\n    sdk: flutter\n", "dart flutter"),
    (".github/workflows/ci.yml", "on: push\n", "github-actions"),
    ("notes.yaml", "kind: words\n", ""),
]


@pytest.mark.parametrize(("path", "text", "shown"), SHOWN)
def test_a_manifest_shows_its_technologies(path: str, text: str, shown: str) -> None:
    assert is_manifest(path)
    assert set(shown.split()) <= set(stack_of({path: text}))


def test_a_manifest_shows_no_more_than_it_names() -> None:
    assert stack_of({"pyproject.toml": '[project]\ndescription = "like django"\ndependencies = ["fastapi"]'}) == [
        "python",
        "fastapi",
    ]
    assert stack_of({"notes.yaml": "kind: words\n"}) == []
    assert stack_of({}) == []
    assert not is_manifest("README.md")
    assert not is_manifest("src/main.py")


def test_languages_come_first_and_nothing_twice() -> None:
    manifests = {"Dockerfile": "FROM python", "requirements.txt": "psycopg2\nfastapi", "pyproject.toml": ""}
    assert stack_of(manifests) == ["python", "fastapi", "postgresql", "docker"]


@given(st.sampled_from([path for path, _, _ in SHOWN]), st.text(max_size=300))
def test_no_content_breaks_the_reading(path: str, text: str) -> None:
    stack_of({path: text})
