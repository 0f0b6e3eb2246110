"""experiments/words.py: small pieces of English."""

import pytest

from words import (
    FEW,
    and_list,
    clipped,
    ordinal,
    plural,
    plus_minus,
    printable,
    the_first_few,
)


def test_counts_and_ranks():
    assert [plural(n, "run") for n in (0, 1, 2, 1234)] == [
        "0 runs",
        "1 run",
        "2 runs",
        "1,234 runs",
    ]
    ranks = [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 112, 123)]
    assert ranks == "1st 2nd 3rd 4th 11th 12th 13th 21st 112th 123rd".split()


def test_names_are_printable_and_not_too_long():
    assert printable("a\x00b\nc\x1b\x9f\ud800\ufffe") == "a�b�c����"
    assert printable("Æ 漢字 $x_{$ <b>") == "Æ 漢字 $x_{$ <b>"
    assert clipped("abcdefgh", 8) == "abcdefgh"
    assert clipped("abcdefghi", 8) == "abcd…ghi" and clipped("abcdefghi", 7) == "abcd…hi"


def test_lists():
    assert [and_list("abc"[:n]) for n in (1, 2, 3)] == ["a", "a and b", "a, b and c"]
    assert the_first_few([*"abcdef"]) == "a, b, c, d, e and f" and FEW == 6
    assert the_first_few([*"abcdefgh"]) == "a, b, c, d, e and 3 more"


@pytest.mark.parametrize(
    ("mean", "half", "text"),
    [
        (2.1, 0.314, "2.10 ± 0.31"),
        (-2.1, None, "-2.10"),
        (1234.5, 1000, "1,234.50 ± 1,000.00"),
        (0.304, 0.302, "0.304 ± 0.302"),  # the interval holds 0, or does not
        (-0.304, 0.302, "-0.304 ± 0.302"),
        (0.0, 0.0, "0.00 ± 0.00"),
    ],
)
def test_rounding_does_not_hide_whether_an_interval_holds_0(mean, half, text):
    assert plus_minus(mean, half, 2) == text
