"""Log lines: one for each record, of bounded length and number, and nothing in them is a caller's to forge."""

import json
import logging

from lessonbook.logs import (
    LINE_MAX,
    RECORD_MAX,
    REPEATS_MAX,
    WINDOW_S,
    BoundedFormatter,
    JsonFormatter,
    Seldom,
    request_id_of,
    set_context,
)


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


def test_a_line_of_json_is_one_bounded_object() -> None:
    told = record("a\n{forged}" + "x" * 3 * LINE_MAX, error=ValueError("y" * 3 * RECORD_MAX))
    with set_context(request_id="r1", operation="get_lessons", principal="p\n" * 500):
        line = JsonFormatter().format(told)
    assert "\n" not in line
    written = json.loads(line)
    assert written["message"].startswith("a\n{forged}x")
    assert len(line) < LINE_MAX + RECORD_MAX + 1_000
    assert (written["level"], written["request_id"], written["operation"]) == ("WARNING", "r1", "get_lessons")
    assert "request_id" not in json.loads(JsonFormatter().format(record("outside")))


def test_a_line_of_text_ends_with_what_is_known_of_the_call_and_nobody_forges_it() -> None:
    with set_context(request_id="r1", principal="p\nERROR forged"):
        written = BoundedFormatter("%(message)s").format(record("late"))
    assert written == r"late [request_id=r1 principal=p\nERROR forged]"
    assert BoundedFormatter("%(message)s").format(record("outside")) == "outside"


def test_an_id_is_a_client_s_own_where_it_is_well_formed() -> None:
    assert request_id_of("4bf92f35-77b3.a_1") == "4bf92f35-77b3.a_1"
    for given in ("", "a b", "a\nb", "x" * 65, "-a", "é"):
        made = request_id_of(given)
        assert made != given
        assert len(made) == 16


def test_every_end_of_a_call_is_written() -> None:
    seldom = Seldom()
    for _ in range(3 * REPEATS_MAX):
        ended = record("call ended")
        ended.outcome = "ok"
        assert seldom.filter(ended)


def test_a_traceback_does_not_repeat_the_values_of_a_row() -> None:
    told = record("failed", error=ValueError("violated\nDETAIL:  Failing row contains (the words of an issue)."))
    for formatter in (BoundedFormatter("%(message)s"), JsonFormatter()):
        assert "violated" in formatter.format(told)
        assert "words of an issue" not in formatter.format(told)
