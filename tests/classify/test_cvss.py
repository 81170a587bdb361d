import pytest

from lessonbook.classify.cvss import base_score, score_in


@pytest.mark.parametrize(
    ("vector", "score"),
    [
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 6.1),
        ("CVSS:3.0/AV:N/AC:L/PR:L/UI:N/S:C/C:H/I:H/A:H", 9.9),
        ("CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:N/I:N/A:N", 0.0),
        ("AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 6.1),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H/E:P/RL:O", 9.8),
        ("CVSS:3.1/AV:N/AC:L", None),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:Q", None),
        ("AV:N/AC:L/Au:N/C:P/I:P/A:P", 7.5),
        ("CVSS:2.0/AV:L/AC:H/Au:M/C:P/I:N/A:N/E:POC/RL:OF", 0.8),
        ("AV:N/AC:L/Au:N", None),
        ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:H/SI:H/SA:H", 10.0),
        ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:N/VI:L/VA:N/SC:N/SI:N/SA:N/U:Clear", 6.9),
        ("CVSS:4.0/AV:N/AC:L", None),
    ],
)
def test_base_scores_are_those_of_the_standard(vector: str, score: float | None):
    assert base_score(vector) == score
    assert score_in(f"Rated {vector} by us") == score


@pytest.mark.parametrize("text", ["CVSS", "version 7.5 of the tool", "severity 7.5", ""])
def test_a_number_that_is_no_score_is_none(text: str):
    assert score_in(text) is None
