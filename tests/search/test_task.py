"""A task as search reads it."""

from lessonbook.search.task import excerpt, read_task
from lessonbook.search.tokenizer import READ_MAX


def test_of_a_long_task_the_beginning_and_the_end_are_read() -> None:
    task = f"Begin here. {'filler ' * 5_000} End there."
    read = excerpt(task)
    assert len(read) <= READ_MAX
    assert (read[:11], read[-10:]) == ("Begin here.", "End there.")


def test_the_english_of_another_language_stands_behind_the_task() -> None:
    task = read_task("Füge eine Suche nach Kunden hinzu", ["src/shop.py"]).task
    assert task.startswith("Füge eine Suche nach Kunden hinzu\n")
    assert {"search", "customer"} <= set(task.split())


def test_code_alone_is_a_task() -> None:
    reading = read_task('cursor.execute(f"SELECT * FROM users WHERE name = {name}")', ["app/db.py"])
    assert reading.place.language == "python"
    assert reading.query.endswith("app/db.py")
