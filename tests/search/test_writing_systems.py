"""Words that are not written in ASCII."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.search.writing_systems import split_scripts


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("認証を", ["認証", "証を"]),
        ("鍵", ["鍵"]),
        ("ไทย", ["ไท", "ทย"]),
        ("Загрузка ФАЙЛОВ", ["загрузка", "файлов"]),
        ("파일을", ["파일", "일을"]),
        ("ﾛｸﾞ", ["ログ"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("plain ASCII", []),
    ],
)
def test_text_in_other_scripts_is_indexed_by_its_own_words(text: str, terms: list[str]) -> None:
    assert split_scripts(text)[1] == terms


def test_full_width_letters_are_ascii_and_ascii_stays_where_it_is() -> None:
    assert split_scripts("ＡＰＩ v2 の get_user()") == ("api v2   get_user()", ["の"])


@given(st.text(max_size=400) | st.text("aeinrstüßгдежз的录用户ーんる가파일في ال '-\u0301", max_size=400))
def test_any_text_gives_short_terms_and_an_ascii_text(text: str) -> None:
    left, terms = split_scripts(text)
    assert all(0 < len(term) <= 40 for term in terms)
    assert not any(character.isalpha() and not character.isascii() for character in left)
