"""What is said of a refused value: what to write instead, whatever kind of fault pydantic finds."""

from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter, ValidationError
from pydantic_core.core_schema import ErrorType

from lessonbook.domain.corrections import correction_of
from tests.words import faults_in

CONTEXT: dict[str, Any] = {
    "max_length": 1,
    "min_length": 3,
    "expected": "'a' or 'b'",
    "multiple_of": 5,
    **dict.fromkeys(("gt", "ge", "lt", "le"), 1.0),
}


def test_every_kind_of_fault_has_a_correction_in_our_own_words() -> None:
    for kind in get_args(ErrorType):
        fault: Any = {"type": kind, "loc": (), "msg": "Input should be something else", "input": "x", "ctx": CONTEXT}
        said = correction_of(fault)
        assert said.startswith(("write ", "leave ", "send ")), (kind, said)
        assert list(faults_in(said)) == [], (kind, said)


@pytest.mark.parametrize("form", [Path, complex, bytes, set[int], tuple[int, str], dict[str, int]])
def test_kinds_that_pydantic_does_not_list_are_corrected_as_well(form: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(form).validate_python(object())
    for fault in refused.value.errors(include_url=False):
        assert list(faults_in(correction_of(fault))) == [], fault
