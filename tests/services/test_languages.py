"""Lessons and tasks in other languages than English."""

import pytest

from lessonbook.classify.catalogue import load_catalogue
from lessonbook.domain.lesson import Caller
from lessonbook.domain.lesson_reviews import LessonListing, NewLesson
from lessonbook.services.lessons import review
from lessonbook.services.queries import listings
from tests.services.conftest import AGENT, Loop

pytestmark = [pytest.mark.anyio, pytest.mark.databases("sqlite")]

LESSONS = {
    "ru": "Проверяйте подпись вебхука, прежде чем менять заказ.",
    "ja": "外部サービスの呼び出しにはタイムアウトを設定する。",
    "zh": "缓存的键必须包含租户标识，否则会泄露数据。",
    "ar": "تحقق من صلاحية المستخدم قبل حذف الملف.",
    "de": "Prüfe Rechnungsbeträge in ganzen Cent, nicht in Gleitkommazahlen.",
}


@pytest.mark.parametrize("language", LESSONS)
async def test_a_lesson_is_found_by_its_own_words(language: str, loop: Loop, person: Caller, agent: Caller) -> None:
    for text in LESSONS.values():
        await review.add_lesson(loop.work, person, NewLesson(agent_name=AGENT, text=text, severity="medium"))
    wanted = LESSONS[language]
    assert [lesson.text for lesson in (await loop.get(agent, task=wanted)).lessons][:1] == [wanted]
    listed = await listings.list_lessons(loop.work, person, LessonListing(query=wanted))
    assert [lesson.text for lesson in listed.lessons][:1] == [wanted]


@pytest.mark.parametrize(
    "task",
    [
        "Füge eine Suche nach Kunden hinzu, die SQL-Abfrage wird aus dem Formular gebaut.",
        "Добавь поиск заказов, SQL-запрос к базе собирается из параметров формы.",
        "添加订单搜索功能，根据表单参数拼接 SQL 查询。",
    ],
)
async def test_a_task_in_another_language_gets_the_english_lesson_of_the_catalogue(
    task: str, loop: Loop, person: Caller, agent: Caller
) -> None:
    rules = [rule for rule in load_catalogue().rules if "CWE-89" in rule.keys or "CWE-798" in rule.keys]
    await review.add_starters(loop.work, person, AGENT, rules)
    wanted = next(rule.text for rule in rules if "CWE-89" in rule.keys)
    assert [lesson.text for lesson in (await loop.get(agent, task=task)).lessons] == [wanted]
