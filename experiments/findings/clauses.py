"""Parts of sentences that several findings share: an accuracy, a difference, who is ahead."""

from collections.abc import Iterator
from typing import NamedTuple

from findings.comparisons import NOT_DECIDED, ONE_SEED, ROUNDING, Difference
from findings.sweep import Cell
from words import plus_minus

UNITS = {"test_accuracy": ("percentage points", 2), "final_loss": ("nats", 4)}  # and digits


class Finding(NamedTuple):
    """What was found, in a sentence or a few, and what it is about, in a few words."""

    topic: str
    text: str

    def __str__(self) -> str:
        return f"{self.topic}: {self.text}"


Findings = Iterator[Finding]


def accuracy(cell: Cell) -> str:
    """'89.20 ± 0.31 %': the test accuracy of a cell."""
    return f"{plus_minus(*cell.mean('test_accuracy'), 2)} %"


def amount_of(difference: Difference, measure: str = "test_accuracy") -> str:
    """'2.10 ± 0.31 percentage points', without the sign."""
    unit, digits = UNITS[measure]
    return f"{plus_minus(abs(difference.mean), difference.half, digits)} {unit}"


def doubt(difference: Difference) -> str:
    """Say in brackets that a difference is not supported; "" if it is, or of one seed."""
    return f" ({noise(difference)})" if difference.verdict == NOT_DECIDED else ""


def noise(difference: Difference) -> str:
    """Say that a difference is not decided, also where only its being one of many leaves it so."""
    alone = difference.half is not None and abs(difference.mean) > difference.half > ROUNDING
    return "within the noise of so many comparisons" if alone else "within the noise"


def contrast(a: str, b: str, difference: Difference) -> str:
    """Say in a clause which of two cells is better: 'adam beats sgd by 2.10 ± 0.31 ...'.

    Of one seed it says what happened there; that one seed decides nothing is said once, elsewhere.
    """
    if difference.n == 0:
        return f"{a} and {b} have no seed in common that both finished"
    ahead, behind = (a, b) if difference.mean >= 0 else (b, a)
    several = ahead.split(" of ")[0].endswith(" layers")
    amount = amount_of(difference)
    if difference.supported:
        return f"{ahead} {'beat' if several else 'beats'} {behind} by {amount}"
    if difference.verdict == ONE_SEED:
        if difference.mean == 0:
            return f"{a} and {b} are level"
        return f"{ahead} {'are' if several else 'is'} {amount} ahead of {behind}"
    return f"the difference between {ahead} and {behind} is {noise(difference)} ({amount})"
