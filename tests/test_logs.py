"""Log lines: one for each record, of bounded length and number, and nothing in them is a caller's to forge."""

import logging

from lessonbook.logs import LINE_MAX, RECORD_MAX, REPEATS_MAX, WINDOW_S, BoundedFormatter, Seldom


def record(message: str, line: int = 1, error: BaseException | None = None) -> logging.LogRecord:
    told = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("lessonbook", logging.WARNING, "here.py", line, message, None, told)


def test_a_message_is_one_bounded_line_whatever_a_caller_put_into_it() -> None:
    written = BoundedFormatter("%(message)s").format(record("a\n2026 ERROR forged\x1b[2J\u202e" + "x" * 3 * LINE_MAX))
    assert written.startswith(r"a\n2026 ERROR forged\x1b[2J\u202e")
    assert "\n" not in written
    assert len(written) < LINE_MAX + 100


def test_a_traceback_is_bounded() -> None:
    written = BoundedFormatter("%(message)s").format(record("failed", error=ValueError("y" * 3 * RECORD_MAX)))
    assert written.startswith("failed\nValueError: y")
    assert len(written) < RECORD_MAX + 100


def test_one_fault_writes_few_lines_and_says_later_how_many_there_were() -> None:
    now = [0.0]
    seldom = Seldom(lambda: now[0])
    assert sum(seldom.filter(record("down")) for _ in range(500)) == REPEATS_MAX
    assert seldom.filter(record("elsewhere", line=2))
    now[0] = WINDOW_S
    later = record("down")
    assert seldom.filter(later)
    assert later.getMessage() == f"down (and {500 - REPEATS_MAX} like it before)"


def test_another_minute_counts_anew() -> None:
    now = [0.0]
    seldom = Seldom(lambda: now[0])
    for _ in range(REPEATS_MAX):
        seldom.filter(record("down"))
    now[0] = WINDOW_S
    assert sum(seldom.filter(record("down")) for _ in range(100)) == REPEATS_MAX
