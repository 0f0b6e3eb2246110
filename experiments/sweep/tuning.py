"""How the best learning rate of a combination is found: which rates are tried, and in what order.

Rates are half a decade apart, so that every second one is exactly ten times another; three digits
keep them readable: 0.001, 0.00316, 0.01, ...
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from statistics import fmean

from nnlite.training.config import Config
from nnlite.training.logs import summarize
from sweep.results import Outcome
from words import plural

FIRST_RATES = 7  # from a factor of 32 below the usual rate to 32 above it
EXTENSIONS = 4  # rates added beyond an edge, at most


def train_tuned(
    cells: list[Config],
    tune_seeds: list[int],
    seeds: list[int],
    train: Callable[[list[Config]], Outcome],
) -> Outcome:
    """Find the best learning rate of each cell; then train it at that and at its usual rate.

    cells: at their usual rates. Rates are chosen on tune_seeds, and trained with on seeds. The
    outcome has the logs of all; it ends early if a run is missing, or after Ctrl-C.
    """
    logs: list[dict] = []
    scores: dict[Config, dict] = {cell: {} for cell in cells}
    todo = {cell: first_rates(cell.learning_rate) for cell in cells}
    while todo:
        print(f"looking for the best learning rate of {plural(len(todo), 'combination')}\n")
        trials = {
            (cell, rate): [replace(cell, learning_rate=rate, seed=seed) for seed in tune_seeds]
            for cell, rates in todo.items()
            for rate in rates
        }
        outcome = train([config for configs in trials.values() for config in configs])
        logs += outcome.logs
        if not outcome.complete:
            return outcome._replace(logs=logs)
        by_id = {log["experiment_id"]: log for log in outcome.logs}
        for (cell, rate), configs in trials.items():
            scores[cell][rate] = score(by_id[config.run_id] for config in configs)
        todo = {cell: [rate] for cell in cells if (rate := next_rate(scores[cell]))}

    print("each combination at its usual and at its best learning rate\n")
    at_both = []
    for cell in cells:
        best = best_rate(scores[cell]) or cell.learning_rate
        rates = dict.fromkeys([cell.learning_rate, best])
        at_both += [replace(cell, learning_rate=rate) for rate in rates]
    outcome = train([replace(cell, seed=seed) for seed in seeds for cell in at_both])
    return outcome._replace(logs=logs + outcome.logs)


def three_digits(rate: float) -> float:
    return float(f"{rate:.3g}")


def first_rates(usual: float) -> list[float]:
    """Return the rates that a tuning tries first, ascending, the usual one in the middle."""
    half = FIRST_RATES // 2
    return [three_digits(usual * 10 ** (k / 2)) for k in range(-half, half + 1)]


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
    best_rate, of all rates tried so far.
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
