"""Computes the usual scores of weaknesses (`data/models/severity.json`): `python -m bench.train_severity FEED...`.

Each FEED is a yearly file `nvdcve-1.1-YEAR.json.gz` of the National Vulnerability Database (public domain).
"""

import argparse
import gzip
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import fmean
from typing import Final

from bench.training import MODELS

_LEAST_OF_A_WEAKNESS: Final = 12


def scores_in(feed: Path) -> Iterator[tuple[str, float]]:
    """Yield the CWE number and the CVSS 3 base score of each scored entry of a feed, for each weakness it names."""
    for entry in json.loads(gzip.decompress(feed.read_bytes()))["CVE_Items"]:
        rating = entry["impact"].get("baseMetricV3")
        for problem in entry["cve"]["problemtype"]["problemtype_data"] if rating else ():
            for part in problem["description"]:
                if part["value"].startswith("CWE-"):
                    yield part["value"].removeprefix("CWE-"), float(rating["cvssV3"]["baseScore"])


def usual_scores(scores: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Return the mean score of each weakness that enough entries name."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for weakness, score in scores:
        found[weakness].append(score)
    return {
        weakness: round(fmean(found[weakness]), 1)
        for weakness in sorted(found, key=int)
        if len(found[weakness]) >= _LEAST_OF_A_WEAKNESS
    }


def main() -> None:
    """Write the table into the package."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("feeds", type=Path, nargs="+", metavar="FEED")
    table = usual_scores(pair for feed in parser.parse_args().feeds for pair in scores_in(feed))
    content = {"version": 1, "trained_on": ["NVD (public domain)"], "weaknesses": table}
    file = MODELS / "severity.json"
    file.write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")
    print(file)


if __name__ == "__main__":
    main()
