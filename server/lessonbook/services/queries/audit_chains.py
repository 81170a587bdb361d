"""Whether the audit chains of a project are whole."""

from sqlalchemy import Connection

from lessonbook.domain.audit_trail import AuditChain, AuditCheck
from lessonbook.domain.lesson import Caller
from lessonbook.services.workspace import Workspace
from lessonbook.store import audit


async def check_audit(work: Workspace, caller: Caller) -> AuditCheck:
    """Return whether the project's audit chains are whole, and where they end."""

    def read(connection: Connection) -> AuditCheck:
        faults = audit.verify(connection, caller.project)
        heads = sorted(audit.heads_of(connection, caller.project).items())
        chains = [AuditChain(writer=writer, seq=seq, hash=value) for writer, (seq, value) in heads]
        return AuditCheck(whole=not faults, faults=faults, chains=chains)

    return await work.store.read(read)
