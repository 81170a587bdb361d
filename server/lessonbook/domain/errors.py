"""The errors that a caller may get. Each message says what is wrong and what to do; edges translate them once."""

from typing import Final, Self

AT_MOST_ONCE: Final = (
    "so it may or may not be done. Send the same request again, with the same idempotency_key: it is done at most once."
)
STOPPED: Final = "The server stopped before this was answered"
GIVEN_UP: Final = "That took too long and was given up"
_READ: Final = "Try again in a moment."
"""Of a call that takes no key: a failed read never speaks of keys."""


class LessonbookError(Exception):
    """Something went wrong in Lessonbook.

    The docstring of each subclass is its default message.
    """

    code = "error"

    def __init__(self, message: str = "", *, place: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])
        self.place = place
        """A path on this machine: for the person at the terminal and the log, never for a caller."""


class InvalidInput(LessonbookError):
    """The input does not have the shape that was asked for."""

    code = "invalid_input"


class NotFound(LessonbookError):
    """Nothing of that name exists in this project."""

    code = "not_found"

    @classmethod
    def lesson(cls, lesson_id: str, project: str) -> Self:
        """Return the error of a lesson that the project does not have."""
        return cls(f"There is no lesson {lesson_id!r} in project {project!r}: check the id")

    @classmethod
    def issue(cls, issue_id: str, project: str) -> Self:
        """Return the error of an issue that the project does not have."""
        return cls(f"There is no issue {issue_id!r} in project {project!r}: check the id")

    @classmethod
    def run(cls, run_id: str, project: str, advice: str = "check the id") -> Self:
        """Return the error of a run that the project does not have; `advice` says what to do."""
        return cls(f"There is no run {run_id!r} in project {project!r}: {advice}")


class Conflict(LessonbookError):
    """The request contradicts what is already recorded."""

    code = "conflict"


class Forbidden(LessonbookError):
    """This caller may not do that."""

    code = "forbidden"


class MissingScope(Forbidden):
    """The token does not have the scope that this needs."""

    code = "insufficient_scope"

    def __init__(self, scope: str, action: str) -> None:
        super().__init__(f"{action} needs a token with the scope {scope}, and yours does not have it")
        self.scope = scope


class Unauthorised(LessonbookError):
    """The request carries no valid token."""

    code = "unauthorized"


class TooMany(LessonbookError):
    """That is more than one caller may write or call in its time. `retry_after_s`: when it may be tried again."""

    code = "too_many"

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ConfigError(LessonbookError):
    """The configuration has a wrong key or value."""

    code = "config"


class Unavailable(LessonbookError):
    """The database does not answer. Nothing was changed; try again."""

    code = "unavailable"


class Undecided(Unavailable):
    """No answer came. `cause` is the clause that says why; what to do depends on whether the call takes a key."""

    def __init__(self, cause: str, *, takes_key: bool = True) -> None:
        super().__init__(f"{cause}, {AT_MOST_ONCE}" if takes_key else f"{cause}. {_READ}")
        self.cause = cause
