"""Numbers that compare the cells of a sweep, computed from its logs; `conclusions` says them.

A cell is one configuration with all its seeds. Runs that share a seed share their split, the order
of samples, and the initial weights as far as their shapes agree: not across depths, and across
initializations only the random numbers, which each scales in its own way. So two cells are compared
by differences within each seed, which are free of the luck that both had. 'A beats B' is supported
if the 95 % t-interval of the mean of these differences excludes 0; otherwise it is not decided,
which is not the same as 'equal'. Nor is it decided if the differences are all the same: accuracies
come in steps (0.01 % for 10,000 images), so that two or three seeds can agree by chance, and then
the interval has no width to go by.
"""

import math
from collections.abc import Callable, Collection, Iterable
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit  # what scipy.stats.t.ppf calls; scipy.stats takes 1 s to import

from nnlite.activations import ACTIVATIONS
from nnlite.network import INITIALIZERS
from nnlite.optimizers import OPTIMIZERS
from nnlite.schedulers import SCHEDULERS
from nnlite.training.logs import summarize
from sweep.tuning import best_rate, score

LOWER_IS_BETTER = {"final_loss", "final_val_loss", "avg_epoch_time", "epoch_to_90pct_best"}
A_BETTER, B_BETTER = "a is better", "b is better"
SUPPORTED = {A_BETTER, B_BETTER}
NOT_DECIDED, ONE_SEED = "not decided", "one seed: not decided"
ROUNDING = 1e-9  # an interval no wider has no width but the rounding of sums


# Cells


def layers_text(hidden: list[int]) -> str:
    """'5 hidden layers', or 'hidden 256-128' if their widths differ."""
    if len(set(hidden)) > 1:
        return f"hidden {'-'.join(map(str, hidden))}"
    return f"{len(hidden) or 'no'} hidden layer{'' if len(hidden) == 1 else 's'}"


# What a label says of the value of a setting, in this order.
NAMES: dict[str, Callable] = {
    "activation": str,
    "optimizer": str,
    "learning_rate": lambda rate: f"lr {repr(rate).removesuffix('.0')}",
    "scheduler": lambda name: "no schedule" if name == "none" else name,
    "batch_size": lambda size: f"batch {size}",
    "hidden": layers_text,
    "init": str,
    "epochs": lambda epochs: f"{epochs} epochs",
}


def varying(configs: list[dict]) -> list[str]:
    """Return the settings that vary between the configurations, in the order of a label.

    The learning rate varies only if one and the same optimizer has several: that each optimizer has
    a customary rate of its own belongs to the optimizer.
    """

    def several(key: str, among: list[dict]) -> bool:
        return len({repr(c[key]) for c in among}) > 1

    optimizers = {c["optimizer"] for c in configs}
    rates = any(
        several("learning_rate", [c for c in configs if c["optimizer"] == o]) for o in optimizers
    )
    return [key for key in NAMES if (rates if key == "learning_rate" else several(key, configs))]


def label(config: dict, keys: list[str]) -> str:
    """Name a cell by these settings: 'relu + adam', 'lr 0.01', '5 hidden layers, xavier'."""
    both = [config[key] for key in ("activation", "optimizer") if key in keys]
    others = [NAMES[key](config[key]) for key in keys if key not in ("activation", "optimizer")]
    return ", ".join([" + ".join(both), *others] if both else others)


def place(name: str, registry: dict) -> tuple[int, str]:
    """Return what sorts names as the registry has them, and unknown ones after these."""
    return (list(registry).index(name) if name in registry else len(registry)), name


def in_order(logs: list[dict]) -> list[dict]:
    """Return the logs in the order of the command line's names, and of numbers."""

    def key(log: dict) -> tuple:
        c = log["config"]
        return (
            place(c["activation"], ACTIVATIONS), place(c["optimizer"], OPTIMIZERS),
            c["learning_rate"], place(c["scheduler"], SCHEDULERS), c["batch_size"],
            len(c["hidden"]), c["hidden"], place(c["init"], INITIALIZERS), c["epochs"], c["seed"],
        )  # fmt: skip

    return sorted(logs, key=key)


def group(logs: list[dict], without: Collection[str] = ()) -> list[list[dict]]:
    """Return lists of the logs that share everything but the seed, and but the keys `without`."""
    groups: dict[str, list[dict]] = {}
    for log in logs:
        shared = {k: v for k, v in log["config"].items() if k != "seed" and k not in without}
        groups.setdefault(repr(sorted(shared.items())), []).append(log)
    return list(groups.values())


def without_tuning(logs: list[dict], tune_seeds: Collection[int]) -> list[dict]:
    """Return the logs but for those with which a tuning has tried learning rates."""
    return [log for log in logs if log["config"]["seed"] not in tune_seeds]


def to_show(logs: list[dict], tune_seeds: Collection[int]) -> list[dict]:
    """Return the logs `without_tuning`; all of them if a sweep has not got beyond its tuning."""
    return without_tuning(logs, tune_seeds) or logs


def cells(logs: list[dict], tune_seeds: Collection[int] = ()) -> dict[str, list[dict]]:
    """Return the logs of each cell under its label, which names only what varies between cells.

    Runs of tune_seeds, which served to choose a learning rate, are left out. If nothing varies, the
    only cell is called after its activation and optimizer.
    """
    groups = group(in_order(without_tuning(logs, tune_seeds)))
    keys = varying([of[0]["config"] for of in groups]) or ["activation", "optimizer"]
    return {label(of[0]["config"], keys): of for of in groups}


# Differences, paired by seed

Values = dict[int, float | None]  # a metric of one cell by seed, None where the run diverged


def values(logs: list[dict], metric: str) -> Values:
    """Return a metric of `summarize` for each seed of a cell; None where the run diverged."""
    return {
        log["config"]["seed"]: None if log["diverged"] else summarize(log)[metric] for log in logs
    }


def t_interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean over axis 0 and the half-width of its 95 % t-interval, leaving NaNs out.

    half-width = t(0.975, n - 1) s / sqrt(n), and NaN where n < 2.
    """
    n = np.isfinite(values).sum(axis=0)
    mean = np.nansum(values, axis=0) / np.where(n > 0, n, np.nan)
    freedom = np.where(n > 1, n - 1, np.nan)
    variance = np.nansum((values - mean) ** 2, axis=0) / freedom
    return mean, stdtrit(freedom, 0.975) * np.sqrt(variance / n)


def interval(numbers: Iterable[float | None]) -> tuple[float | None, float | None]:
    """Return the mean and the half-width of its 95 % t-interval, leaving out None.

    None for the mean of no number, and for the half-width of fewer than two.
    """
    known = [number for number in numbers if number is not None]
    if not known:
        return None, None
    mean, half = t_interval(np.array(known))
    return float(mean), float(half) if len(known) > 1 else None


def mean_of(logs: list[dict], metric: str) -> tuple[float | None, float | None]:
    """Return mean and half-width of a cell's metric, over the seeds that did not diverge."""
    return interval(values(logs, metric).values())


def subtract(a: Values, b: Values) -> Values:
    """Return a - b for each seed that both have; None where either diverged."""
    return {
        seed: None if a[seed] is None or b[seed] is None else a[seed] - b[seed]
        for seed in a
        if seed in b
    }


def compare(a: Values, b: Values, metric: str = "test_accuracy") -> dict:
    """Compare two cells; what is returned is explained under `differences`."""
    paired = subtract(a, b)
    mean, half = interval(paired.values())
    left_out = sum(difference is None for difference in paired.values())
    n = len(paired) - left_out
    verdict = ONE_SEED if n == 1 else NOT_DECIDED
    if half is not None and abs(mean) > half > ROUNDING:  # the interval excludes 0
        verdict = A_BETTER if (mean > 0) != (metric in LOWER_IS_BETTER) else B_BETTER
    return {"mean": mean, "half": half, "n": n, "left_out": left_out, "verdict": verdict}


def differences(
    logs: list[dict], metric: str = "test_accuracy", tune_seeds: Collection[int] = ()
) -> list[dict]:
    """Compare every cell with every other one, by differences a - b paired by seed.

    Each row has the labels "a" and "b"; "mean" and "half", the mean difference and the half-width
    of its 95 % t-interval (None if there are too few seeds for it); "n", the number of seeds it is
    of; "left_out", how many shared seeds do not count because one of the two runs diverged; and
    "verdict": "a is better", "b is better", "not decided", or "one seed: not decided".

    Of k cells that are k (k - 1) / 2 intervals, of which one in twenty misses the truth by chance.
    """
    numbers = {name: values(of, metric) for name, of in cells(logs, tune_seeds).items()}
    return [
        {"a": a, "b": b, **compare(numbers[a], numbers[b], metric)}
        for a, b in combinations(numbers, 2)
    ]


def against_no_schedule(logs: list[dict], metric: str) -> list[tuple[dict, str, dict]]:
    """Compare each schedule with none, all else equal: what `compare` returns of the two.

    With its configuration, and a label of what else varies ("" if nothing does).
    """
    keys = [key for key in varying([log["config"] for log in logs]) if key != "scheduler"]
    rows = []
    for peers in group(logs, ["scheduler"]):
        schedules = {of[0]["config"]["scheduler"]: of for of in group(peers)}
        constant = values(schedules.pop("none", []), metric)
        for of in schedules.values():
            config = of[0]["config"]
            row = compare(values(of, metric), constant, metric)
            rows.append((config, label(config, keys), row))
    return rows


def ranked(by_cell: dict[str, Values], metric: str = "test_accuracy") -> dict[str, float]:
    """Return cell -> mean, best first; without the cells of which every seed diverged.

    Cells of which some seed diverged come after all others: their mean is of the lucky seeds only.
    """
    means = {name: interval(of.values())[0] for name, of in by_cell.items()}
    known = {name: mean for name, mean in means.items() if mean is not None}
    sign = 1 if metric in LOWER_IS_BETTER else -1
    whole = finished(by_cell)
    return dict(sorted(known.items(), key=lambda item: (item[0] not in whole, sign * item[1])))


def finished(by_cell: dict[str, Values]) -> dict[str, Values]:
    """Return the cells of which every seed finished: one of these is the best."""
    return {name: of for name, of in by_cell.items() if of and None not in of.values()}


def seeds_diverged(of: Values) -> str:
    """' (2 of 5 seeds diverged)', or "" if none did."""
    n = sum(value is None for value in of.values())
    return f" ({n} of {len(of)} seed{'' if len(of) == 1 else 's'} diverged)" if n else ""


# How soon


def steps_to(log: dict, target: float) -> int | None:
    """Return the steps until validation accuracy first reached target %, in whole epochs."""
    for epoch, accuracy in zip(log["epoch"], log["val_accuracy"]):
        if accuracy is not None and accuracy >= target:
            return epoch * log["steps_per_epoch"]
    return None


def target_accuracy(by_cell: dict[str, list[dict]]) -> int | None:
    """Return the highest multiple of 5 % that three quarters of the cells reach with every seed.

    None if that is below 20 %, which says nothing where ten classes give 10 % by guessing.
    """
    worst = sorted(
        min(summarize(log)["best_val_accuracy"] or 0 for log in of) for of in by_cell.values()
    )
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


def depth_of(log: dict) -> int:
    """Return the number of hidden layers."""
    return len(log["config"]["hidden"])


def theoretical_factor(activation: str, init: str) -> float | None:
    """Return sqrt(D Var(w)) * (the root mean square of f', or its bound); None if unknown.

    Weights uniform in +-bound have Var(w) = bound^2 / 3, so that D Var(w) of equal layers is
    1/3 (uniform), 1 (xavier) or 2 (he).
    """
    if activation not in ROOT_MEAN_SQUARE_SLOPE or init not in INITIALIZERS:
        return None
    D = 100  # any other gives the same
    return ROOT_MEAN_SQUARE_SLOPE[activation] * math.sqrt(D * INITIALIZERS[init](D, D) ** 2 / 3)


def initial_norms(log: dict) -> list[float]:
    """Return |dL/dz| of each hidden layer, first to last, before the first step.

    [] if one of them is not known, or 0, which a log axis has no place for.
    """
    probe = log["initial"]["probe"]
    names = [f"fc{k + 1}" for k in range(depth_of(log))]
    norms = [probe.get(name, {}).get("gradient_norm") for name in names]
    return norms if all(norms) else []


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


# Tuning


class Tuning(NamedTuple):
    """One setting of which the learning rate was tuned: all but rate and seed are fixed."""

    config: dict  # of one of its runs
    scores: dict[float, float | None]  # rate -> as sweep.tuning.score gives it, ascending rates
    trials: dict[float, list[dict]]  # rate -> logs of the tuning seeds
    customary: float
    best: float
    at_customary: list[dict]  # logs of the fresh seeds
    at_best: list[dict]


def tunings(logs: list[dict], tune_seeds: Collection[int]) -> dict[str, Tuning]:
    """Return the settings that were tuned, by label.

    Rates of which a tuning seed is missing are left out, and settings of which no rate is left.
    """
    groups = group(in_order(logs), ["learning_rate"])
    keys = varying([of[0]["config"] for of in groups])
    keys = [key for key in keys if key != "learning_rate"] or ["activation", "optimizer"]
    found = {}
    for of in groups:
        config = of[0]["config"]
        by_rate: dict[float, list[dict]] = {log["config"]["learning_rate"]: [] for log in of}
        for log in of:
            if log["config"]["seed"] in tune_seeds:
                by_rate[log["config"]["learning_rate"]].append(log)
        trials = {r: seeds for r, seeds in by_rate.items() if len(seeds) == len(tune_seeds)}
        scores = {rate: score(seeds) for rate, seeds in trials.items()}
        best = best_rate(scores)
        if best is None:
            continue
        optimizer = OPTIMIZERS.get(config["optimizer"])
        middle = list(scores)[len(scores) // 2]
        customary = optimizer.default_learning_rate if optimizer else middle
        fresh = without_tuning(of, tune_seeds)
        at_customary, at_best = (
            [log for log in fresh if log["config"]["learning_rate"] == rate]
            for rate in (customary, best)
        )
        tuning = Tuning(config, scores, trials, customary, best, at_customary, at_best)
        found[label(config, keys)] = tuning
    return found
