"""English index terms of tasks in other languages."""

from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.search.tokenizer import READ_MAX
from lessonbook.search.translation import english_of

TASKS = [
    ("Der Nutzer soll eine Rechnung herunterladen können", "user invoice download"),
    ("Le mot de passe doit être chiffré dans la base de données", "password encrypt database"),
    ("Añade paginación a la lista de pedidos", "add paginate list order"),
    ("Adicione um botão para baixar o relatório", "add button download report"),
    ("Correggi l'errore del fuso orario nella tabella dei clienti", "fix error time zone table customer"),
    ("Исправь загрузку файлов: пользователь не может войти", "fix upload file user login"),
    ("添加用户登录功能，密码需要加密", "add user login password encrypt"),
    ("ユーザーのパスワードを暗号化してデータベースに保存する", "user password encrypt database save"),
    ("사용자가 파일을 업로드하고 비밀번호를 암호화합니다", "user file upload password encrypt"),
    ("أضف صفحة لتسجيل الدخول وحفظ البيانات في قاعدة البيانات", "add page login save data database"),
]


def in_order(terms: list[str], text: list[str]) -> bool:
    following = iter(text)
    return all(term in following for term in terms)


@pytest.mark.parametrize(("task", "terms"), TASKS)
def test_a_task_gives_the_english_terms_of_its_words_in_order(task: str, terms: str) -> None:
    assert in_order(terms.split(), english_of(task))


@pytest.mark.parametrize(
    ("compound", "terms"),
    [
        ("Zahlungsdienst", ["payment", "service"]),
        ("Kundendatenbanken", ["customer", "database"]),
        ("Bestellnummer", ["order", "number"]),
        ("Warteschlange", ["queue"]),
        ("Krankenhausrechnungen", ["bill", "invoice"]),
    ],
)
def test_a_german_compound_gives_its_parts_or_at_least_its_head(compound: str, terms: list[str]) -> None:
    assert english_of(f"die Liste für den {compound}")[-len(terms) :] == terms


@pytest.mark.parametrize(
    ("language", "term", "forms"),
    [
        ("Das ist für den Nutzer nicht", "upload", ["hochladen", "hochgeladen", "hochzuladen", "hochgeladene"]),
        ("Das ist für den Nutzer nicht", "delete", ["löschen", "loeschen", "gelöscht", "löscht", "Löschung"]),
        ("Les règles sont dans le", "verify", ["vérifier", "vérifie", "vérifiez", "vérification", "VÉRIFIER"]),
        ("El usuario no puede", "delete", ["eliminar", "elimina", "eliminación", "eliminados", "eliminarlo"]),
        ("O usuário não pode", "export", ["exportar", "exporta", "exportação", "exportados"]),
        ("Il cliente non può", "save", ["salvare", "salva", "salvato", "salvataggio"]),
        ("Это", "delete", ["удалить", "удали", "удаление", "удалили", "удаляет"]),
        ("هذا", "file", ["ملف", "الملف", "ملفات", "والملفات", "بالملف"]),
        ("", "add", ["추가", "추가하다", "추가해줘", "추가합니다"]),
        ("", "write", ["書く", "書いて", "書きます"]),
    ],
)
def test_an_inflected_word_gives_the_term_of_its_dictionary_form(language: str, term: str, forms: list[str]) -> None:
    assert [form for form in forms if term not in english_of(f"{language} {form}")] == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Add a login page, then write tests for the password reset",
        "Parse CSV rows",
        "fix(orders): don't retry failed payments in the worker",
        "Use the de facto encoding for the café’s menu – naïve or not",
        "Write a DES encryption test for the die roll",
        "def upload(path: str) -> None: ...",
        "Deploy to Los Angeles and El Paso with the new time zones",
    ],
)
def test_an_english_text_gives_nothing(text: str) -> None:
    assert english_of(text) == []


def test_no_page_of_our_english_catalogue_is_taken_for_another_language() -> None:
    folder = resources.files("lessonbook") / "data" / "catalogue"
    lines = [line for file in folder.iterdir() for line in file.read_text(encoding="utf-8").splitlines()]
    assert [line for line in lines if english_of(line)] == []


@pytest.mark.parametrize(
    ("title", "term"), [("Rechnung exportieren als CSV", "invoice"), ("Passwort zurücksetzen per E-Mail", "password")]
)
def test_a_title_without_function_words_is_known_by_its_dictionary_words(title: str, term: str) -> None:
    assert term in english_of(title)


def test_german_without_umlauts_is_german() -> None:
    task = "Fuege eine Tabelle mit Benutzern hinzu und loesche die Spalten"
    assert in_order(["table", "user", "delete", "column"], english_of(task))


@pytest.mark.parametrize("text", ["ＡＰＩの応答をキャッシュする", "APIのレスポンスをｷｬｯｼｭする"])
def test_full_and_half_width_letters_are_the_same_as_ordinary_ones(text: str) -> None:
    assert english_of(text) == ["response", "cache"]


def test_traditional_and_simplified_chinese_give_the_same_terms() -> None:
    assert english_of("設定資料庫連線並驗證密碼") == english_of("设定数据库连线并验证密码") != []


def test_a_mixed_text_gives_the_terms_of_its_foreign_part_alone() -> None:
    assert english_of("Fix the timeout when users upload: 密码错误") == ["password", "error", "wrong"]
    assert english_of("In the API: der Benutzer kann sich nicht mit dem Passwort anmelden") == [
        "user",
        "password",
        "login",
    ]


@pytest.mark.parametrize("text", ["wärmepumpe", "Кот", "龘", "ゔゔゔ", "뷁뷁", "ظظظ", "ไทย", "x" * 50, "ß" * 9_000])
def test_words_that_are_not_known_give_nothing(text: str) -> None:
    assert english_of(text) == []


@given(st.text(max_size=400) | st.text("aeinrstüßгдежз的录用户ーんる가파일في ال '-\u0301", max_size=400))
def test_any_text_gives_plain_english_words(text: str) -> None:
    assert all(word.isascii() and word.replace("-", "").isalpha() for word in english_of(text))


@pytest.mark.parametrize(
    "piece", ["Zahlungsdienst und ", "录", "データ", "가파일", "والملفات ", "a\u0301", "ﷺ", "é" * 39 + " "]
)
def test_only_the_beginning_of_a_long_text_is_read(piece: str) -> None:
    assert english_of(piece * READ_MAX) == english_of((piece * READ_MAX)[:READ_MAX])
