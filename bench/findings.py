"""What lesson each finding of a folder of report files gets, and where its words come from.

Findings are prepared as `report_issues` prepares them, without a database: `python -m bench findings --data DIR`.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lessonbook.classify.catalogue import load_catalogue
from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.findings import Finding
from lessonbook.intake import open_report
from lessonbook.intake.report_file import ReportFile
from lessonbook.services.report.preparation import prepare


@dataclass(frozen=True)
class Answer:
    """One finding with the lesson that it would make: `origin` is the trust of its words, empty where it waits."""

    file: str
    rule: str
    description: str
    origin: str
    status: str
    entry: str
    lesson: str
    why: str


def answers(folder: Path) -> Iterator[Answer]:
    """Yield an answer per finding of the readable files in `folder`."""
    catalogue = load_catalogue()
    for path in sorted(folder.iterdir()):
        if path.suffix in {".tsv", ".md"} or not path.is_file():
            continue
        try:
            found = [one for one in open_report(ReportFile(path, path.name)).outcomes if isinstance(one, Finding)]
        except InvalidInput as error:
            print(f"{path.name}: {error}")
            continue
        for finding in found:
            item = prepare(finding, catalogue)
            offer = item.offer
            yield Answer(
                path.name,
                item.rule_key,
                item.description,
                offer.trust if offer else "",
                offer.status if offer else "pending",
                offer.catalogue_id if offer else "",
                offer.text if offer else "",
                offer.why if offer else "",
            )


def main(folder: Path, out: Path | None = None) -> None:
    """Print a line per file, and the totals by finding and by distinct rule."""
    found = list(answers(folder))
    if out:
        out.write_text("".join(json.dumps(vars(one)) + "\n" for one in found), encoding="utf-8")
    for name in sorted({one.file for one in found}):
        of_file = [one for one in found if one.file == name]
        rules = {one.rule: one.origin for one in of_file}
        counts = Counter(one.origin or "pending" for one in of_file)
        print(f"{name:34} findings {counts!s:70} rules {Counter(rules.values())}")
    rules = {(one.rule or one.description): one.origin or "pending" for one in found}
    print("findings", Counter(one.origin or "pending" for one in found), "rules", Counter(rules.values()))


if __name__ == "__main__":
    import sys

    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
