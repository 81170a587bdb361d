"""Test commands of a shell: which they are, and what their output says."""

from __future__ import annotations

import re
import shlex
from typing import NamedTuple

from lessonbook.machine.local_sockets import digest

TESTS_MAX = 20
"""Names of failing tests that are kept of one command."""
NAME_MAX = 160
NAMED_MAX = 5
"""Tests that a description names."""
_COMMAND_MAX = 4_000
_SEPARATORS = frozenset({"&&", "||", ";", "|", "|&", "&", "(", ")", "\n"})
_LEADERS = frozenset(
    {
        *("env", "time", "nice", "timeout", "sudo", "xvfb-run", "command", "exec", "npx", "bunx", "pnpx", "uvx"),
        *("poetry", "pdm", "hatch", "pipenv", "rye", "uv", "run", "exec", "bundle", "python", "python3", "-m", "yarn"),
        *("pnpm", "npm", "bun", "dlx", "coverage", "php"),
    }
)
"""Words that stand before a runner. `npm`, `yarn`, `pnpm` and `bun` are runners themselves where `test` follows."""
_RUNNERS = frozenset(
    {
        *("pytest", "py.test", "unittest", "tox", "nox", "jest", "vitest", "mocha", "ava", "playwright", "cypress"),
        *("karma", "rspec", "minitest", "phpunit", "pest", "ctest", "gotestsum", "nextest", "behave", "nose2", "bats"),
    }
)
_WITH_WORD = {
    **dict.fromkeys(("go", "cargo", "dotnet", "swift", "mix", "deno", "bazel", "flutter", "dart"), ("test", "nextest")),
    **dict.fromkeys(("npm", "yarn", "pnpm", "bun"), ("test", "t")),
    **dict.fromkeys(("rake", "rails", "make", "just", "task", "composer", "sbt"), ("test", "check", "spec")),
    **dict.fromkeys(("mvn", "mvnw", "gradle", "gradlew"), ("test", "verify", "check", "build")),
}
"""Programs that run tests where one of these words is among their arguments."""
LINES_MAX = 4_000
"""Lines read of an output, from its end."""
_LINE_MAX = 400
_FAILS = re.compile(
    r"\b[1-9]\d{0,6} (?:failed|failures?|failing|errors?)\b|^(?:FAILED|ERROR) [\w./\\-]|^FAILED \(|^--- FAIL:"
    r"|^FAIL(?:[:\t ]|$)|^test result: FAILED|^not ok \d|^Failed! |^FAILURES!$|BUILD FAILURE|There were failing tests"
    r"|Failures: [1-9]"
)
_PASSES = re.compile(
    r"\b[1-9]\d{0,6} (?:passed|passing)\b|^ok\s|^PASS\b|^test result: ok|^OK\b|\b0 failures\b|BUILD SUCCESS|^Passed!"
)
_TESTS = (
    re.compile(
        r"(?:FAILED|ERROR) ([\w./\\:-]{1,300})(?:\[.{0,200}\])?"
        r"(?: - ([A-Za-z_][\w.]{0,80}(?:Error|Exception|Failure|Exit)))?"
    ),
    re.compile(r"--- FAIL: ([\w./-]{1,200})()"),
    re.compile(r"test ([\w:]{1,200}) \.\.\. FAILED()"),
    re.compile(r"(?:FAIL|ERROR): ([\w.]{1,200})()"),
    re.compile(r"FAIL {1,2}([\w./@-]{1,200})()$"),
)
"""The name of a failing test at the beginning of a line, and perhaps the kind of its error."""
_HIDES_CODE = re.compile(r"[|;\n]|(?<!&)&(?!&)")


class CommandOutcome(NamedTuple):
    """What one test command printed: `fails` is None where that says nothing about tests."""

    runner: str
    fails: bool | None
    tests: tuple[str, ...] = ()
    """Names of failing tests, each perhaps with the kind of its error."""


def key_of(command: str) -> str:
    """Return what identifies a command within its session: a hash, since a command may hold a secret."""
    return digest(" ".join(command.split()))


def runner_of(command: str) -> str:
    """Return the test runner that a command of a shell starts, as a person names it; empty if it starts none."""
    for part in _parts(command):
        words = [word.rsplit("/", 1)[-1] for word in part]
        for place, word in enumerate(words):
            if word in _RUNNERS:
                return word
            if word in _WITH_WORD and (found := _word_after(words[place + 1 :], _WITH_WORD[word])):
                return f"{word} {found}"
            if word not in _LEADERS and not word.startswith("-") and "=" not in word and not word.isdigit():
                break  # another program: what follows are its arguments
    return ""


def is_commit(command: str) -> bool:
    """Return whether a command of a shell commits with git."""
    for words in _parts(command):
        if words[0].rsplit("/", 1)[-1] == "git" and "--dry-run" not in words:
            options = [*words[1:], ""]
            while options[0].startswith("-"):
                del options[: 2 if options[0] in {"-c", "-C"} else 1]
                options = options or [""]
            if options[0] == "commit":
                return True
    return False


def read_outcome(command: str, output: str, *, failed: bool, is_certain: bool) -> CommandOutcome:
    """Return what a test command's output says.

    Args:
        command: the command, which starts the runner that `runner_of` names.
        output: what it printed.
        failed: the client says that the command failed.
        is_certain: the client would have said so. In a pipe or a sequence another command may have succeeded last.
    """
    runner = runner_of(command)
    lines = [line[:_LINE_MAX] for line in output.splitlines()[-LINES_MAX:]]
    ended_well = is_certain and not failed
    if ended_well and not _HIDES_CODE.search(command):
        return CommandOutcome(runner, False)
    if any(_FAILS.search(line) for line in lines):
        return CommandOutcome(runner, True, tuple(_names(lines)))
    if failed:
        return CommandOutcome(runner, None)  # it did not get as far as its tests
    return CommandOutcome(runner, False if ended_well or any(_PASSES.search(line) for line in lines) else None)


def describe(runner: str, tests: list[str]) -> str:
    """Return the description of an issue: tests that still failed at a commit or at the end of a turn."""
    if not tests:
        return f"Tests were left failing: `{runner}` fails."
    more = f" and {len(tests) - NAMED_MAX} more" if len(tests) > NAMED_MAX else ""
    return f"Tests were left failing: `{runner}` fails in {', '.join(tests[:NAMED_MAX])}{more}."


def file_of(tests: list[str]) -> str:
    """Return the file of the first failing test that names one; empty if none does."""
    for test in tests:
        name = test.partition("::")[0].partition(" ")[0]
        if "." in name.rsplit("/", 1)[-1][1:]:
            return name
    return ""


def _names(lines: list[str]) -> list[str]:
    names: dict[str, None] = {}
    for line in lines:
        if (found := next((hit for form in _TESTS if (hit := form.match(line.lstrip()))), None)) is not None:
            name, error = found.groups()
            names[f"{name[:NAME_MAX]} ({error})" if error else name[:NAME_MAX]] = None
        if len(names) == TESTS_MAX:
            break
    return list(names)


def _word_after(words: list[str], wanted: tuple[str, ...]) -> str:
    return next((word for word in words if word in wanted or word.split(":", 1)[0] in wanted), "")


def _parts(command: str) -> list[list[str]]:
    """Return the simple commands of a shell's command line, as words."""
    parts: list[list[str]] = [[]]
    for line in command[:_COMMAND_MAX].splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        try:
            words = list(lexer)
        except ValueError:  # a quotation that another line ends
            words = line.split()
        for word in words:
            if word in _SEPARATORS:
                parts.append([])
            else:
                parts[-1].append(word)
        parts.append([])
    return [part for part in parts if part]
