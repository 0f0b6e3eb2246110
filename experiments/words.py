"""Small pieces of English that what is printed, sentences, figures and the report share."""

import re
from collections.abc import Iterable

FEW = 6  # as many items as a sentence lists; of more it gives the number
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")  # no text may have these


def plural(n: int, word: str) -> str:
    """'1 epoch', '2,500 epochs'."""
    return f"{n:,} {word}{'' if n == 1 else 's'}"


def ordinal(n: int) -> str:
    """'1st', '12th', '23rd'."""
    return f"{n}{'th' if 10 < n % 100 < 14 else {1: 'st', 2: 'nd', 3: 'rd'}.get(n % 10, 'th')}"


def and_list(items: Iterable[str]) -> str:
    """'sgd', 'sgd and adam', 'sgd, adam and adamw'."""
    *first, last = items
    return f"{', '.join(first)} and {last}" if first else last


def the_first_few(items: list[str]) -> str:
    """List the items; of more than FEW the first ones, 'and 7 more'."""
    return and_list(
        items if len(items) <= FEW else [*items[: FEW - 1], f"{len(items) - FEW + 1} more"]
    )


def printable(text: str) -> str:
    """Return the text with a � for each control character, and for all else that is no letter."""
    return CONTROL.sub("�", text)


def clipped(text: str, most: int) -> str:
    """Return the text, with … in place of its middle if it is longer than that."""
    if len(text) <= most:
        return text
    return f"{text[: most - most // 2]}…{text[len(text) - most // 2 + 1 :]}"


def plus_minus(mean: float, half: float | None, digits: int) -> str:
    """'2.10 ± 0.31'; with more digits if rounding would hide whether the interval holds 0."""
    if half is None:
        return f"{mean:,.{digits}f}"
    differ = abs(abs(mean) - half) > 1e-6
    while differ and f"{abs(mean):.{digits}f}" == f"{half:.{digits}f}":
        digits += 1
    return f"{mean:,.{digits}f} ± {half:,.{digits}f}"
