"""Gathers advisories with a CVSS 3 base score for `bench.train_severity`: `python -m bench.scored_advisories … OUT`.

Reads any of these, each a folder: `--ruby` (rubysec/ruby-advisory-db; only entries with a CVE or GHSA number and no
OSVDB number), `--node` (nodejs/security-wg, MIT), `--bitnami` (bitnami/vulndb, Apache-2.0); and `--nvd`, a yearly feed
`nvdcve-1.1-YEAR.json.gz` of the National Vulnerability Database (public domain). Whatever shares a number with a line
of `--without FILE` is left out: give the numbers of the advisories that the model is judged on.
"""

import argparse
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from bench.evaluation import Row, write_rows
from lessonbook.classify.cvss import base_score


def ruby(folder: Path) -> Iterator[Row]:
    """Yield the scored advisories of gems and Ruby engines."""
    for file in sorted([*folder.glob("gems/*/*.yml"), *folder.glob("rubies/*/*.yml")]):
        entry = yaml.safe_load(file.read_text(encoding="utf-8"))
        if entry.get("cvss_v3") and not entry.get("osvdb"):
            names = [f"{kind.upper()}-{entry[kind]}" for kind in ("cve", "ghsa") if entry.get(kind)]
            text = f"{entry.get('title', '')} {entry.get('description', '')}"
            yield _row(names, text, float(entry["cvss_v3"]), "ruby-advisory-db (text of CVE and GHSA, CC BY 4.0)")


def node(folder: Path) -> Iterator[Row]:
    """Yield the scored advisories of npm packages and of Node itself."""
    for file in sorted([*folder.glob("vuln/npm/*.json"), *folder.glob("vuln/core/*.json")]):
        entry = json.loads(file.read_text(encoding="utf-8"))
        names = entry.get("cves") or entry.get("cve") or []
        names = [names] if isinstance(names, str) else names
        score = base_score(str(entry.get("cvss_vector") or entry.get("cvss") or "")) or entry.get("cvss_score")
        text = f"{entry.get('title', '')} {entry.get('overview') or entry.get('description') or ''}"
        if isinstance(score, int | float):
            yield _row(names or [f"{file.parent.name}/{file.name}"], text, float(score), "nodejs/security-wg (MIT)")


def bitnami(folder: Path) -> Iterator[Row]:
    """Yield the scored advisories of packaged server software."""
    for file in sorted(folder.glob("data/*/*.json")):
        entry = json.loads(file.read_text(encoding="utf-8"))
        ratings = [rating for affected in entry["affected"] for rating in affected.get("severity", [])]
        scores = [base_score(rating["score"]) for rating in ratings if rating["type"] == "CVSS_V3"]
        text = f"{entry.get('summary', '')} {entry.get('details', '')}"
        if scores:
            yield _row(entry.get("aliases") or [entry["id"]], text, scores[-1], "bitnami/vulndb (Apache-2.0)")


def nvd(feed: Path) -> Iterator[Row]:
    """Yield the scored entries of a yearly feed, with the classes of weakness named for each."""
    for entry in json.loads(gzip.decompress(feed.read_bytes()))["CVE_Items"]:
        rating = entry["impact"].get("baseMetricV3")
        text = " ".join(part["value"] for part in entry["cve"]["description"]["description_data"])
        problems = [
            part["value"] for one in entry["cve"]["problemtype"]["problemtype_data"] for part in one["description"]
        ]
        if rating:
            row = _row(
                [entry["cve"]["CVE_data_meta"]["ID"]], text, rating["cvssV3"]["baseScore"], "NVD (public domain)"
            )
            yield row | {"weaknesses": [problem for problem in problems if problem.startswith("CWE-")]}


def gather(rows: Iterator[Row], without: set[str], seen: set[str]) -> Iterator[Row]:
    """Yield the rows with a text and a score whose numbers are neither in `without` nor in `seen`; adds to `seen`."""
    for row in rows:
        names = set(row["names"])
        if row["text"] and row["score"] and not names & (without | seen):
            seen |= names
            yield row


def main() -> None:
    """Write what was found, a JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    readers: dict[str, Any] = {"ruby": ruby, "node": node, "bitnami": bitnami, "nvd": nvd}
    for name in readers:
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--without", type=Path)
    parser.add_argument("out", type=Path)
    arguments = vars(parser.parse_args())
    without = set(arguments["without"].read_text(encoding="utf-8").split()) if arguments["without"] else set()
    seen: set[str] = set()
    found = [
        row
        for name, reader in readers.items()
        if arguments[name]
        for row in gather(reader(arguments[name]), without, seen)
    ]
    write_rows(arguments["out"], found)
    print(f"{len(found)} advisories")


def _row(names: list[str], text: str, score: float | None, source: str) -> Row:
    return {"names": names, "text": " ".join(text.split()), "score": score, "source": source}


if __name__ == "__main__":
    main()
