"""How cells compare: paired differences, rankings, steps to a target, gradients through depth.

Runs that share a seed share their split, the order of samples, and the initial weights as far as
their shapes agree: not across depths, and across initializations only the random numbers, which
each scales in its own way. So two cells are compared by their differences within each seed, which
are free of the luck that both had. 'A beats B' is supported if the 95 % t-interval of the mean
difference excludes 0. Otherwise it is not decided, which is not the same as 'equal'. Nor is it
decided if the differences are all the same: accuracies come in steps (0.01 % for 10,000 images), so
two or three seeds can agree by chance, and then the interval has no width to go by.

What one sentence or table compares is a family, and `together` gives its verdicts: with many
comparisons some would be supported by luck.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from itertools import combinations, pairwise
from typing import NamedTuple

import numpy as np
from scipy.special import stdtr, stdtrit

from findings.sweep import Cell, Sweep, Tuning, interval
from nnlite.network import INITIALIZERS
from words import plural

LOWER_IS_BETTER = {"final_loss", "final_val_loss", "avg_epoch_time", "epoch_to_90pct_best"}
A_BETTER, B_BETTER = "a is better", "b is better"
SUPPORTED = {A_BETTER, B_BETTER}
NOT_DECIDED, ONE_SEED = "not decided", "one seed: not decided"
ROUNDING = 1e-9  # an interval no wider than that has only the width that rounding gave it


# Differences, paired by seed


class Difference(NamedTuple):
    """The difference a - b of two cells: its mean over seeds, and what follows from it.

    half is the half-width of the 95 % t-interval; mean and half are None if there are too few seeds
    for them. n counts the seeds, left_out those that both cells have but one of them diverged in.
    verdict is A_BETTER, B_BETTER, NOT_DECIDED or ONE_SEED. p is the p-value of the paired t-test:
    how probable so large a mean is, or a larger one, if the two were equal.
    """

    mean: float | None
    half: float | None
    n: int
    left_out: int
    verdict: str
    p: float = 1.0

    @property
    def supported(self) -> bool:
        """Does the interval exclude 0?"""
        return self.verdict in SUPPORTED


Values = dict[int, float | None]  # by seed; None where a run diverged


def subtract(a: Values, b: Values) -> Values:
    """Return a - b for each seed that both have."""
    return {s: None if None in (a[s], b[s]) else a[s] - b[s] for s in a if s in b}


def judge(differences: Values, measure: str) -> Difference:
    """Return the mean of differences a - b by seed, and which of the two is better."""
    mean, half = interval(differences.values())
    left_out = sum(difference is None for difference in differences.values())
    n = len(differences) - left_out
    verdict, p = ONE_SEED if n == 1 else NOT_DECIDED, 1.0
    if half is not None and half > ROUNDING:
        standard_error = half / stdtrit(n - 1, 0.975)
        p = float(2 * stdtr(n - 1, -abs(mean) / standard_error))
        if abs(mean) > half:  # the interval excludes 0, so p < 0.05
            verdict = A_BETTER if (mean > 0) != (measure in LOWER_IS_BETTER) else B_BETTER
    return Difference(mean, half, n, left_out, verdict, p)


def compare(a: Cell, b: Cell, measure: str = "test_accuracy") -> Difference:
    """Compare two cells by a measure of nnlite.training.logs.summarize."""
    return judge(subtract(a.values(measure), b.values(measure)), measure)


def together(family: Iterable[Difference]) -> list[Difference]:
    """Return the differences, in order, with verdicts that hold for all of them at once.

    Of m comparisons of equals, one in twenty has an interval that excludes 0. So the smallest p
    must be below 0.05 / m, the next one below 0.05 / (m - 1), and so on; from the first that is
    not, all are undecided (Holm 1979). The intervals stay as they are.
    """
    family = list(family)
    m = sum(difference.half is not None for difference in family)
    judged = list(family)
    supported = sorted((d.p, i) for i, d in enumerate(family) if d.supported)
    fails = next((k for k, (p, _) in enumerate(supported) if k < m - 1 and p >= 0.05 / (m - k)), m)
    for _, i in supported[fails:]:
        judged[i] = family[i]._replace(verdict=NOT_DECIDED)
    return judged


def compare_all(
    pairs: Iterable[tuple[Cell, Cell]], measure: str = "test_accuracy"
) -> list[tuple[Cell, Cell, Difference]]:
    """Compare pairs of cells, as one family: rows (a, b, difference)."""
    pairs = list(pairs)
    family = together(compare(a, b, measure) for a, b in pairs)
    return [(a, b, difference) for (a, b), difference in zip(pairs, family)]


def differences(
    sweep: Sweep, measure: str = "test_accuracy"
) -> list[tuple[Cell, Cell, Difference]]:
    """Compare every cell with every other one: rows (a, b, difference)."""
    return compare_all(combinations(sweep.cells, 2), measure)


def against_no_schedule(sweep: Sweep, measure: str) -> list[tuple[Cell, Cell, Difference]]:
    """Compare each schedule with none, all else equal: rows like those of `differences`."""
    pairs = []
    for peers in sweep.peers("scheduler"):
        constant = [cell for cell in peers if cell.config.scheduler == "none"]
        scheduled = [cell for cell in peers if cell.config.scheduler != "none"]
        pairs += [(a, b) for a in scheduled for b in constant]
    return compare_all(pairs, measure)


def closed_by_tuning(a: Tuning, b: Tuning) -> Difference:
    """Return how much of the gap a - b in test accuracy tuning closes: at usual - at tuned rates.

    Both need their cells at both rates. All four runs of a seed are paired.
    """
    at_usual, at_best = (
        subtract(one.values("test_accuracy"), other.values("test_accuracy"))
        for one, other in ((a.at_usual, b.at_usual), (a.at_best, b.at_best))
    )
    return judge(subtract(at_usual, at_best), "test_accuracy")


# Rankings


def finished(cells: Collection[Cell]) -> list[Cell]:
    """Return the cells whose seeds all finished: only one of these can be the best."""
    return [cell for cell in cells if not cell.diverged]


def ranked(cells: Collection[Cell], measure: str = "test_accuracy") -> list[Cell]:
    """Return the cells by their mean, best first; without those whose seeds all diverged.

    Cells with a seed that diverged come after all others: their mean is of the lucky seeds only.
    """
    means = {cell: cell.mean(measure)[0] for cell in cells}
    known = [cell for cell in cells if means[cell] is not None]
    sign = 1 if measure in LOWER_IS_BETTER else -1
    return sorted(known, key=lambda cell: (cell.diverged > 0, sign * means[cell]))


def best_first(cells: Collection[Cell]) -> list[Cell]:
    """Return all cells, best mean test accuracy first; those without any come last."""
    best = ranked(cells)
    known = set(best)
    return [*best, *(cell for cell in cells if cell not in known)]


def seeds_diverged(cell: Cell) -> str:
    """' (2 of 5 seeds diverged)', or "" if none did."""
    n = cell.diverged
    return f" ({n} of {plural(len(cell.logs), 'seed')} diverged)" if n else ""


# How soon


def epochs_to(log: dict, target: float) -> int | None:
    """Return the first epoch after which validation accuracy was target % or more."""
    for epoch, accuracy in zip(log["epoch"], log["val_accuracy"]):
        if accuracy is not None and accuracy >= target:
            return epoch
    return None


def steps_to(log: dict, target: float) -> int | None:
    """Return the steps until validation accuracy first reached target %, in whole epochs."""
    epoch = epochs_to(log, target)
    return epoch and epoch * log["steps_per_epoch"]


def target_accuracy(cells: Collection[Cell]) -> int | None:
    """Return the highest multiple of 5 % that three quarters of the cells reach with every seed.

    None if that is below 20 %, which says nothing where ten classes give 10 % by guessing.
    """
    worst = sorted(min(s["best_val_accuracy"] or 0 for s in cell.summaries) for cell in cells)
    target = 5 * int(worst[len(worst) // 4] // 5) if worst else 0
    return target if target >= 20 else None


# Depth: by which factor |dL/dz| changes from a hidden layer to the one before it.
#
# From layer to layer backpropagation gives dz_k = (dz_{k+1} W^T) * f'(z_k). With D units in each
# layer and independent weights, |dz| changes by the factor sqrt(D Var(w) * mean of f'(z)^2). Where
# f' is at most 1/4 (sigmoid) or 1 (tanh), that gives a bound. ReLU's f' is 1 for the half of the
# units that is on and 0 for the other half: He, Zhang, Ren & Sun (2015), section 2.2.
ROOT_MEAN_SQUARE_SLOPE = {"sigmoid": 1 / 4, "tanh": 1.0, "relu": math.sqrt(1 / 2)}
BOUNDS = ("sigmoid", "tanh")


def theoretical_factor(activation: str, init: str) -> float | None:
    """Return the factor of |dL/dz| from a layer to the one before it, where both are equally wide.

    sqrt(D Var(w)) * (the root mean square of f', or its bound); None if unknown. Weights uniform in
    +-bound have Var(w) = bound^2 / 3, so that D Var(w) of equal layers is 1/3 (uniform), 1 (xavier)
    or 2 (he).
    """
    return theoretical_ratio(activation, init, (100, 100))  # any other width gives the same


def theoretical_ratio(activation: str, init: str, widths: Sequence[int]) -> float | None:
    """Return |dL/dz| of the first of these layers, divided by that of the last, as theory has it.

    It is the product of the factors from layer to layer: layer k of D_k units has the weight of
    the next one, of shape (D_k, D_k+1), behind it. None if there is no theory for these names.
    """
    if activation not in ROOT_MEAN_SQUARE_SLOPE or init not in INITIALIZERS:
        return None
    slope = ROOT_MEAN_SQUARE_SLOPE[activation]
    return math.prod(slope * factor for factor in spreads(init, widths))


def spreads(init: str, widths: Sequence[int]) -> list[float]:
    """Return sqrt(D Var(w)) of the weight between each two of these layers, before training."""
    return [math.sqrt(D * INITIALIZERS[init](D, D_next) ** 2 / 3) for D, D_next in pairwise(widths)]


def gradient_norms(log: dict, after: str) -> list[float]:
    """Return |dL/dz| of each Linear, first to last; after: "initial" or "last epoch".

    [] if one of them is not known, or 0, which no ratio and no log axis has a place for.
    """
    probe = log["initial"]["probe"] if after == "initial" else log["probe"]
    names = [f"fc{k + 1}" for k in range(1 + len(log["config"]["hidden"]))]
    norms = [probe.get(name, {}).get("gradient_norm") for name in names]
    if after != "initial":
        norms = [history[-1] if history else None for history in norms]
    return norms if all(norms) else []


def first_to_last(log: dict, after: str) -> float | None:
    """Return |dL/dz| of the first Linear, divided by that of the last one; None if not known."""
    norms = gradient_norms(log, after)
    return norms[0] / norms[-1] if norms else None


def initial_norms(log: dict) -> list[float]:
    """Return |dL/dz| of each hidden layer, first to last, before the first step; [] as above."""
    return gradient_norms(log, "initial")[:-1]


def measured_factor(log: dict) -> float | None:
    """Return the factor of |dL/dz| per layer towards the input, before the first step.

    It is the slope of the straight line through log10 |dL/dz| over the hidden layers; None with
    fewer than three of them.
    """
    norms = initial_norms(log)
    if len(norms) < 3:
        return None
    towards_input = np.log10(norms[::-1])
    return float(10 ** np.polyfit(range(len(norms)), towards_input, 1)[0])
