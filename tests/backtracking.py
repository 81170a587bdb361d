"""A backtracking matcher that counts its steps, and texts that make a pattern take many.

It goes through a pattern as Python's own engine does, one alternative after the other, but without that engine's short
cuts, so that the same pattern and text give the same count on every machine. It is for tests: it tells how the work
grows with a text, not how long it takes.

Repetitions with a bound are shortened to a few, since the work they cost is bounded; those of other repetitions, and
those of many hundreds, count as endless.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

# The parser of the standard library, whose tree is what the engine's own compiler is given.
from re import _constants as sre  # pyright: ignore[reportAttributeAccessIssue]
from re import _parser as sre_parser  # pyright: ignore[reportAttributeAccessIssue]
from typing import Any

FEW = 3
BOUND_MAX = 400
NESTED_MAX = 8
ASCII, IGNORECASE, MULTILINE, DOTALL = (int(flag) for flag in (re.A, re.I, re.M, re.S))
STRANGER = "\u2603"
"""A character that hardly any pattern asks for."""
ALPHABET = "aA0 \n\t/.-_:'\"<>()[]{}=,\\`*@#|;&%+!?~^$é"
_REPEATS = {sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT}
_CATEGORIES: dict[Any, str] = {
    sre.CATEGORY_DIGIT: r"\d",
    sre.CATEGORY_NOT_DIGIT: r"\D",
    sre.CATEGORY_SPACE: r"\s",
    sre.CATEGORY_NOT_SPACE: r"\S",
    sre.CATEGORY_WORD: r"\w",
    sre.CATEGORY_NOT_WORD: r"\W",
}
Instruction = tuple[Any, ...]


class Test(dict[str, bool]):
    """Whether a character fits a part of a pattern that takes one: found out once."""

    def __init__(self, op: Any, argument: Any, flags: int) -> None:
        super().__init__()
        self._op, self._argument = op, argument
        self._flags = flags

    def __missing__(self, character: str) -> bool:
        forms = {character, character.lower(), character.upper()} if self._flags & IGNORECASE else {character}
        told = self[character] = _fits(self._op, self._argument, forms, self._flags)
        return told


_TESTS: dict[tuple[str, int], Test] = {}


def _test(op: Any, argument: Any, flags: int) -> Test:
    """Return the test of a part, which is the same wherever it stands in whichever pattern."""
    flags &= ASCII | IGNORECASE | DOTALL
    name = f"{op} {argument}", flags
    if name not in _TESTS:
        _TESTS[name] = Test(op, argument, flags)
    return _TESTS[name]


class Beginnings(dict[str, bool]):
    """Whether a match may begin with a character: found out once."""

    def __init__(self, tests: list[Test]) -> None:
        super().__init__()
        self._tests = tests

    def __missing__(self, character: str) -> bool:
        told = self[character] = any(test[character] for test in self._tests)
        return told


class Exhausted(Exception):
    """More steps were taken than allowed."""


@dataclass
class Counter:
    """Steps taken, and how many there may be."""

    limit: int
    steps: int = 0


class Matcher:
    """One pattern, ready to be matched step by step."""

    def __init__(self, pattern: re.Pattern[Any]) -> None:
        text = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
        self._flags = pattern.flags if isinstance(pattern.pattern, str) else pattern.flags | ASCII
        self.tree = sre_parser.parse(text, self._flags & ~ASCII if isinstance(pattern.pattern, str) else pattern.flags)
        self._program = _ready(self._compiled(self.tree, self._flags))
        self._first = _first_tests(self._program)
        self._beginnings = None if self._first is None else Beginnings(self._first)
        self._tests = list({id(test): test for test in _tests_of(self._program)}.values())
        self._kinds: dict[str, str] = {}
        self._names: dict[tuple[bool, ...], str] = {}
        self.compares = _compares(self._program)
        """Whether a part of a text is compared with another part of it."""
        self.has_loops = _has_loops(self._program)
        """Whether a match may be of any length; else the work at each place of a text is bounded."""

    def search_steps(self, text: str, limit: int) -> int:
        """Return the steps of finding every match in `text`."""
        counter, at, length, begins = Counter(limit), 0, len(text), self._beginnings
        while at <= length:
            counter.steps += 1
            if counter.steps > limit:
                raise Exhausted
            if begins is not None and not (at < length and begins[text[at]]):
                at += 1
                continue
            end = self._run(self._program, text, at, counter)
            at = end if end is not None and end > at else at + 1
        return counter.steps

    def kinds(self, text: str) -> str:
        """Return a text in which characters that no part of the pattern tells apart are one."""
        return "".join(self._kinds.get(character) or self._kind_of(character) for character in text)

    def _kind_of(self, character: str) -> str:
        told = (character == "\n", *(re.match(r"\w", character, flag) is not None for flag in (ASCII, 0)))
        told += tuple(test[character] for test in self._tests)
        return self._kinds.setdefault(character, self._names.setdefault(told, chr(len(self._names))))

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return where the matches in `text` begin and end."""
        counter, at, found = Counter(10**6), 0, list[tuple[int, int]]()
        while at <= len(text):
            end = self._run(self._program, text, at, counter)
            if end is not None:
                found.append((at, end))
            at = end if end is not None and end > at else at + 1
        return found

    def _run(  # noqa: C901, PLR0912, PLR0915  # an interpreter is read whole
        self, program: list[Instruction], text: str, start: int, counter: Counter, groups: tuple[Any, ...] = ()
    ) -> int | None:
        stack: list[tuple[int, int, tuple[Any, ...]]] = [(0, start, groups)]
        length, left = len(text), counter.limit - counter.steps
        while stack:
            at, place, marks = stack.pop()
            while True:
                left -= 1
                if left < 0:
                    raise Exhausted
                op = program[at]
                kind = op[0]
                if kind == "char":
                    if place >= length or not op[1][text[place]]:
                        break
                    place += 1
                elif kind == "match":
                    counter.steps = counter.limit - left
                    return place
                elif kind == "split":
                    ways = op[3][text[place] if place < length else ""]
                    if not ways:
                        break
                    at = ways[0]
                    if len(ways) > 1:
                        stack.extend([(way, place, marks) for way in ways[:0:-1]])
                    continue
                elif kind == "jump":
                    at = op[1]
                    continue
                elif kind == "at":
                    if not op[1](text, place):
                        break
                elif kind == "look":
                    _, program_of, back, wanted = op
                    found = None
                    if place >= back:
                        counter.steps = counter.limit - left
                        found = self._run(program_of, text, place - back, counter, marks)
                        left = counter.limit - counter.steps
                    if (found is not None) != wanted:
                        break
                elif kind == "atomic":
                    counter.steps = counter.limit - left
                    found = self._run(op[1], text, place, counter, marks)
                    left = counter.limit - counter.steps
                    if found is None:
                        break
                    place = found
                elif kind == "mark":
                    marks = (*(mark for mark in marks if mark[0] != op[1]), (op[1], place))
                elif kind == "moved":  # a round of a repetition that took nothing ends it
                    if any(mark == (op[1], place) for mark in marks):
                        break
                elif kind == "same":
                    known = dict(marks)
                    part = text[known.get((op[1], 0), 0) : known.get((op[1], 1), 0)]
                    if not text.startswith(part, place):
                        break
                    place += len(part)
                at += 1
        counter.steps = counter.limit - left
        return None

    def _compiled(self, tree: Any, flags: int) -> list[Instruction]:
        return [*self._code(tree, flags, 0), ("match",)]

    def _code(self, tree: Any, flags: int, base: int) -> list[Instruction]:
        code: list[Instruction] = []
        for op, argument in tree:
            code += self._code_of(op, argument, flags, base + len(code))
        return code

    def _code_of(  # noqa: C901  # a case for each kind of part
        self, op: Any, argument: Any, flags: int, base: int
    ) -> list[Instruction]:
        if op in {sre.LITERAL, sre.NOT_LITERAL, sre.ANY, sre.IN}:
            return [("char", _test(op, argument, flags))]
        if op is sre.AT:
            return [("at", _anchor(argument, flags))]
        if op is sre.SUBPATTERN:
            group, added, removed, inner = argument
            flags = (flags | added) & ~removed
            if group is None:
                return self._code(inner, flags, base)
            return [("mark", (group, 0)), *self._code(inner, flags, base + 1), ("mark", (group, 1))]
        if op is sre.BRANCH:
            return self._branches(argument[1], flags, base)
        if op in _REPEATS:
            least, most, inner = argument
            if op is sre.POSSESSIVE_REPEAT:
                greedy = self._repeat(least, most, inner, flags, 0, greedy=True)
                return [("atomic", _ready([*greedy, ("match",)]))]
            return self._repeat(least, most, inner, flags, base, greedy=op is sre.MAX_REPEAT)
        if op in {sre.ASSERT, sre.ASSERT_NOT}:
            direction, inner = argument
            back = inner.getwidth()[0] if direction < 0 else 0
            return [("look", _ready(self._compiled(inner, flags)), back, op is sre.ASSERT)]
        if op is sre.ATOMIC_GROUP:
            return [("atomic", _ready(self._compiled(argument, flags)))]
        if op is sre.GROUPREF:
            return [("same", argument)]
        raise NotImplementedError(op)

    def _branches(self, branches: list[Any], flags: int, base: int) -> list[Instruction]:
        code: list[Instruction] = []
        ends: list[int] = []
        for number, branch in enumerate(branches):
            is_last = number == len(branches) - 1
            inner = self._code(branch, flags, base + len(code) + (not is_last))
            if is_last:
                code += inner
            else:
                code.append(("split", base + len(code) + 1, base + len(code) + len(inner) + 2))
                code += inner
                ends.append(len(code))
                code.append(("jump", 0))
        for end in ends:
            code[end] = ("jump", base + len(code))
        return code

    def _repeat(self, least: int, most: Any, inner: Any, flags: int, base: int, *, greedy: bool) -> list[Instruction]:
        least, most = shortened(least, most, inner)
        code: list[Instruction] = []
        for _ in range(least):
            code += self._code(inner, flags, base + len(code))
        if most is None:
            loop = base + len(code)
            may_be_empty = inner.getwidth()[0] == 0
            body: list[Instruction] = [("mark", ("loop", loop))] if may_be_empty else []
            body += self._code(inner, flags, loop + 1 + len(body))
            if may_be_empty:
                body.append(("moved", ("loop", loop)))
            go, leave = loop + 1, loop + len(body) + 2
            code.append(("split", go, leave) if greedy else ("split", leave, go))
            return [*code, *body, ("jump", loop)]
        splits: list[int] = []
        for _ in range(most - least):
            splits.append(len(code))
            code.append(("split", 0, 0))
            code += self._code(inner, flags, base + len(code))
        end = base + len(code)
        for at in splits:
            go = base + at + 1
            code[at] = ("split", go, end) if greedy else ("split", end, go)
        return code


class Ways(dict[str, tuple[int, ...]]):
    """Where a match may go on from a split, in the order they are tried, by the next character; "" is the text's end.

    As Python's engine does, this looks at the next character before it goes down a way that begins with one.
    """

    def __init__(self, program: list[Instruction], at: int) -> None:
        super().__init__()
        self._program, self._at = program, at

    def __missing__(self, character: str) -> tuple[int, ...]:
        found: list[int] = []
        ahead = [self._at]
        while ahead:  # it comes to an end: each round of a loop takes a character or has a mark
            at = ahead.pop()
            op = self._program[at]
            if op[0] == "split":
                ahead += [op[2], op[1]]
            elif op[0] == "jump":
                ahead.append(op[1])
            elif op[0] != "char" or (character and op[1][character]):
                found.append(at)
        told = self[character] = tuple(found)
        return told


def _ready(program: list[Instruction]) -> list[Instruction]:
    """Give each split of a whole program what tells its ways apart."""
    program[:] = [(*op, Ways(program, at)) if op[0] == "split" else op for at, op in enumerate(program)]
    return program


def _first_tests(program: list[Instruction]) -> list[Test] | None:
    """Return what the first character of a match has to fit one of; None where there may be none."""
    tests: list[Test] = []
    seen: set[int] = set()
    waiting = [0]
    while waiting:
        at = waiting.pop()
        if at in seen:
            continue
        seen.add(at)
        op = program[at]
        if op[0] == "char":
            tests.append(op[1])
        elif op[0] == "split":
            waiting += op[1:3]
        elif op[0] == "jump":
            waiting.append(op[1])
        elif op[0] in {"at", "look", "mark"}:
            waiting.append(at + 1)
        elif op[0] == "atomic" and (inner := _first_tests(op[1])) is not None:
            tests += inner
        else:
            return None
    return tests


def _tests_of(program: list[Instruction]) -> Iterator[Test]:
    """Yield what a program asks of characters, in what looks around as well."""
    for op in program:
        if op[0] == "char":
            yield op[1]
        elif op[0] in {"look", "atomic"}:
            yield from _tests_of(op[1])


def _compares(program: list[Instruction]) -> bool:
    known = {"char", "match", "split", "jump", "at", "mark", "moved"}
    return any(_compares(op[1]) if op[0] in {"look", "atomic"} else op[0] not in known for op in program)


def _has_loops(program: list[Instruction]) -> bool:
    return any(
        (op[0] == "jump" and op[1] <= at) or (op[0] in {"look", "atomic"} and _has_loops(op[1]))
        for at, op in enumerate(program)
    )


def shortened(least: int, most: Any, inner: Any) -> tuple[int, int | None]:
    """Return the bounds by which a repetition is tried; None: endless."""
    limit = NESTED_MAX if any(True for _ in repeats_in(inner)) else BOUND_MAX
    if most is sre.MAXREPEAT or most > limit:
        return min(least, FEW), None
    return min(least, FEW), min(most, FEW)


def repeats_in(tree: Any) -> Iterator[Any]:
    """Yield the repetitions in a tree that may take more or less."""
    for op, argument in tree:
        if op in _REPEATS and argument[0] != argument[1]:
            yield op, argument
        for inner in _inner(op, argument):
            yield from repeats_in(inner)


def _inner(op: Any, argument: Any) -> list[Any]:
    if op is sre.SUBPATTERN:
        return [argument[3]]
    if op is sre.BRANCH:
        return list(argument[1])
    if op in _REPEATS:
        return [argument[2]]
    if op in {sre.ASSERT, sre.ASSERT_NOT}:
        return [argument[1]]
    return [argument] if op is sre.ATOMIC_GROUP else []


def _fits(op: Any, argument: Any, forms: set[str], flags: int) -> bool:
    if op is sre.LITERAL:
        return any(ord(form) == argument for form in forms if len(form) == 1)
    if op is sre.NOT_LITERAL:
        return all(ord(form) != argument for form in forms if len(form) == 1)
    if op is sre.ANY:
        return bool(flags & DOTALL) or "\n" not in forms
    if op is sre.RANGE:
        return any(argument[0] <= ord(form) <= argument[1] for form in forms if len(form) == 1)
    if op is sre.CATEGORY:
        return any(re.match(_CATEGORIES[argument], form, flags & ASCII) for form in forms)
    negated = argument[0][0] is sre.NEGATE
    return any(_fits(kind, value, forms, flags) for kind, value in argument[negated:]) != negated


def _anchor(kind: Any, flags: int) -> Callable[[str, int], bool]:
    is_word = re.compile(r"\w", flags & ASCII).match

    def boundary(text: str, place: int) -> bool:
        before = place > 0 and is_word(text[place - 1]) is not None
        return before != (place < len(text) and is_word(text[place]) is not None)

    def begins(text: str, place: int) -> bool:
        return place == 0 or (bool(flags & MULTILINE) and kind is sre.AT_BEGINNING and text[place - 1] == "\n")

    def ends(text: str, place: int) -> bool:
        rest = len(text) - place
        return rest == 0 or (kind is sre.AT_END and (rest == 1 or bool(flags & MULTILINE)) and text[place] == "\n")

    if kind is sre.AT_BOUNDARY:
        return boundary
    if kind is sre.AT_NON_BOUNDARY:
        return lambda text, place: not boundary(text, place)
    return begins if kind in {sre.AT_BEGINNING, sre.AT_BEGINNING_STRING} else ends


def attacks(matcher: Matcher, flags: int) -> Iterator[tuple[str, str, str]]:
    """Yield texts that may make a pattern take many steps: what comes first, what is repeated, and what comes last."""
    seen: set[tuple[str, ...]] = set()

    def is_new(attack: tuple[str, str, str]) -> bool:
        """Return whether the pattern tells it from those before: else it takes as many steps as one of them."""
        known = attack if matcher.compares else tuple(map(matcher.kinds, attack))
        is_known = known in seen
        seen.add(known)
        return not is_known

    wanted = set(_characters(matcher.tree, flags))
    texts = [*_pumps(matcher.tree, "", flags), *(("", character) for character in ALPHABET if character in wanted)]
    for before, pump in texts:
        for attack in ((before, pump, STRANGER), ("", before + pump, STRANGER), (before, pump, "")):
            if attack[1] and is_new(attack):
                yield attack
    sample = next(samples(matcher.tree, flags), "")
    for end in range(1, min(len(sample), 40) + 1):
        if is_new(attack := ("", sample[:end], STRANGER)):
            yield attack


def _pumps(tree: Any, before: str, flags: int) -> Iterator[tuple[str, str]]:
    """Yield for each repetition in a tree what may come before it, and what it may repeat."""
    for op, argument in tree:
        inner_flags = (flags | argument[1]) & ~argument[2] if op is sre.SUBPATTERN else flags
        if op in _REPEATS and argument[0] != argument[1]:
            for pump in islice(samples(argument[2], flags), 4):
                yield before, pump
        for inner in _inner(op, argument):
            yield from _pumps(inner, before, inner_flags)
        if op not in {sre.ASSERT, sre.ASSERT_NOT}:
            before += next(samples([(op, argument)], flags), "")


def samples(tree: Any, flags: int) -> Iterator[str]:
    """Yield texts that fit a tree, the shortest of each way first; at least one where there is any."""
    parts = [list(islice(_samples_of(op, argument, flags), 6)) for op, argument in tree]
    if not all(parts):
        return
    yield "".join(part[0] for part in parts)
    for at, part in enumerate(parts):
        for other in part[1:]:
            yield "".join(one[0] for one in parts[:at]) + other + "".join(one[0] for one in parts[at + 1 :])


def _samples_of(op: Any, argument: Any, flags: int) -> Iterator[str]:
    if op in {sre.LITERAL, sre.NOT_LITERAL, sre.ANY, sre.IN}:
        yield from _characters([(op, argument)], flags)
    elif op is sre.SUBPATTERN:
        yield from samples(argument[3], (flags | argument[1]) & ~argument[2])
    elif op is sre.BRANCH:
        for branch in argument[1]:
            yield from islice(samples(branch, flags), 1)
    elif op in _REPEATS:
        least, _ = shortened(argument[0], argument[1], argument[2])
        for sample in islice(samples(argument[2], flags), 3):
            yield sample * max(least, 1)
        if not least:
            yield ""
    elif op is sre.ATOMIC_GROUP:
        yield from samples(argument, flags)
    else:
        yield ""


def _characters(tree: Any, flags: int) -> Iterator[str]:
    """Yield characters that fit anywhere in a tree."""
    for op, argument in tree:
        if op is sre.LITERAL:
            yield chr(argument)
        elif op in {sre.NOT_LITERAL, sre.ANY, sre.IN}:
            fitting = list(filter(_test(op, argument, flags).__getitem__, ALPHABET))
            yield from fitting
            if op is sre.IN and not fitting:
                yield from (
                    chr(value if kind is sre.LITERAL else value[0])
                    for kind, value in argument[:3]
                    if kind in {sre.LITERAL, sre.RANGE}
                )
        for inner in _inner(op, argument):
            yield from _characters(inner, flags)
