"""How the best learning rate of a combination is found: which rates are tried, and in what order.

Rates lie half a decade apart, so that every second one is exactly ten times another; three digits
keep them readable: 0.001, 0.00316, 0.01, ...
"""

from collections.abc import Iterable
from statistics import fmean

from nnlite.training.logs import summarize

FIRST_RATES = 7  # from a factor of 32 below the customary rate to 32 above it
EXTENSIONS = 4  # rates added beyond an edge, at most


def three_digits(rate: float) -> float:
    return float(f"{rate:.3g}")


def first_rates(customary: float) -> list[float]:
    """Return the rates that a tuning tries first, ascending, the customary one in the middle."""
    half = FIRST_RATES // 2
    return [three_digits(customary * 10 ** (k / 2)) for k in range(-half, half + 1)]


def best_rate(scores: dict[float, float | None]) -> float | None:
    """Return the rate with the best score, the lowest of equals; None if there is none.

    scores: rate -> mean best validation accuracy, or None if a seed diverged.
    """
    known = [(-score, rate) for rate, score in scores.items() if score is not None]
    return min(known)[1] if known else None


def on_edge(scores: dict[float, float | None]) -> bool:
    """Is the best rate the lowest or the highest that was tried, so that a better may follow?"""
    best = best_rate(scores)
    return best is not None and best in (min(scores), max(scores))


def next_rate(scores: dict[float, float | None]) -> float | None:
    """Return the rate to try next, half a decade beyond the edge that the best one lies on.

    None if the best lies inside, or after as many extensions as are allowed. scores: as in
    `best_rate`, of all rates tried so far.
    """
    if not on_edge(scores) or len(scores) >= FIRST_RATES + EXTENSIONS:
        return None
    rates = sorted(scores)
    # Two half-decades from the last but one: no square root, so no error that adds up.
    beyond = rates[1] / 10 if best_rate(scores) == rates[0] else rates[-2] * 10
    return three_digits(beyond)


def score(logs: Iterable[dict]) -> float | None:
    """Return the mean best validation accuracy of a rate's seeds; None if one of them diverged.

    A diverged seed counts as a failure of the rate, however good it was before that.
    """
    logs = list(logs)
    if not logs or any(log["diverged"] for log in logs):
        return None
    return fmean(summarize(log)["best_val_accuracy"] for log in logs)
