"""The lesson that each finding of a folder of report files gets, and where its words come from.

Findings are prepared as `report_issues` prepares them, without a database, so nothing joins an earlier lesson.
"""

import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.measure import Figure, Report
from lessonbook.classify.catalogue import load_catalogue
from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.findings import Finding
from lessonbook.intake.readers import open_report
from lessonbook.intake.report_file import ReportFile
from lessonbook.services.report.preparation import prepare

PENDING = "pending"
OF_A_FILE_MAX = 7
"""Findings of one file in a sample."""
NOT_REPORTS = {".tsv", ".md"}


@dataclass(frozen=True)
class Answer:
    """One finding with the lesson that it would make; `origin` is the trust of its words, or `pending`."""

    file: str
    rule: str
    finding: str
    origin: str
    entry: str
    lesson: str
    why: str

    @property
    def kind(self) -> tuple[str, str]:
        """What findings of one kind share: the file and the rule, or the beginning of the words."""
        return self.file, self.rule or self.finding[:80]


def answers(folder: Path) -> Iterator[Answer]:
    """Yield an answer per finding of the files in `folder` that can be read."""
    catalogue = load_catalogue()
    for path in sorted(path for path in folder.iterdir() if path.is_file() and path.suffix not in NOT_REPORTS):
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
                offer.trust if offer else PENDING,
                offer.catalogue_id if offer else "",
                offer.text if offer else "",
                offer.why if offer else "",
            )


def sample(found: Iterable[Answer], count: int, seed: int) -> list[Answer]:
    """Return `count` answers of different kinds, few of one file, in random order."""
    dice = random.Random(seed)
    kinds: dict[tuple[str, str], list[Answer]] = defaultdict(list)
    for one in found:
        kinds[one.kind].append(one)
    of_file: Counter[str] = Counter()
    chosen: list[Answer] = []
    for kind in dice.sample(sorted(kinds), len(kinds)):
        if of_file[kind[0]] < OF_A_FILE_MAX:
            of_file[kind[0]] += 1
            chosen.append(dice.choice(kinds[kind]))
    return chosen[:count]


def measure(folder: Path, sample_file: Path | None, count: int, seed: int) -> Report:
    """Return the shares of findings and of kinds by origin; write a sample for people to judge where asked."""
    found = list(answers(folder))
    if sample_file is not None:
        lines = (json.dumps({"n": number, **asdict(one)}) for number, one in enumerate(sample(found, count, seed), 1))
        sample_file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    kinds = {one.kind: one.origin for one in found}
    report = Report("findings", "what findings become", {"findings": len(found), "rules": len(kinds)})
    for what, origins in (("findings", [one.origin for one in found]), ("rules", list(kinds.values()))):
        counts = Counter(origins).most_common()
        report.add(what, [Figure(origin, number / len(origins)) for origin, number in counts])
    return report
