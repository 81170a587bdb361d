"""A person begins the experiment anew, where its arms have become unlike."""

from pydantic import BaseModel
from sqlalchemy import Connection

from lessonbook.domain.lesson import Caller
from lessonbook.experiment.evidence import Evidence
from lessonbook.screening.redact import redact
from lessonbook.services.workspace import Workspace
from lessonbook.services.writing.ledger import Ledger
from lessonbook.services.writing.scoring import scored
from lessonbook.store import evidence as evidence_rows
from lessonbook.store import run_checks


class Restarted(BaseModel):
    """The experiment that is on now: its number, and how many lessons had evidence that is set aside."""

    project: str
    epoch: int
    lessons: int
    note: str = (
        "All coins are tossed anew. Earlier rows are kept apart and count for nothing. The bounds on errors (1 % wrong "
        "retirements, 95 % intervals) begin anew and hold for each experiment by itself."
    )


async def restart_experiment(work: Workspace, caller: Caller, reason: str) -> Restarted:
    """Toss all coins anew, and set the evidence so far aside.

    Statuses stay as they are. Processes that serve learn of it within a minute.

    Raises:
        Forbidden: the caller is not a person.
    """
    caller.require_person("begin the experiment anew", "experiment restart")

    def transaction(connection: Connection) -> Restarted:
        project, now = caller.project, work.now()
        ledger = Ledger(work, caller, connection, now)
        epoch = run_checks.experiment(connection, project).epoch
        lessons = ledger.lessons(run_checks.lessons_with_rows(connection, project, epoch))
        for lesson in lessons.values():
            known = Evidence.from_document(lesson.evidence)
            kept = Evidence(verdicts=known.verdicts, before={**lesson.evidence, "epoch": epoch})
            ledger.set(lesson, scored(kept))
        for sums in evidence_rows.of_agents(connection, project):
            evidence_rows.put(connection, evidence_rows.AgentSums(project, sums.agent_name, {}))
        why = redact(reason)[0]
        run_checks.begin_experiment(connection, project, epoch + 1, caller.principal, why, now)
        ledger.note("experiment.restart", project, {"epoch": epoch + 1, "reason": why, "lessons": len(lessons)})
        ledger.write()
        return Restarted(project=project, epoch=epoch + 1, lessons=len(lessons))

    return await work.store.write(transaction)
