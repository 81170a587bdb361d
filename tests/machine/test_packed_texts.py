import marshal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.machine.packed_texts import TextRows, pack_texts


@given(st.lists(st.text()))
def test_texts_come_back_as_they_were(texts: list[str]) -> None:
    rows = TextRows(marshal.loads(marshal.dumps(pack_texts(texts))))
    assert [rows[number] for number in range(len(rows))] == texts


def test_there_is_no_text_behind_the_last() -> None:
    with pytest.raises(IndexError):
        TextRows(pack_texts(["one"]))[1]
