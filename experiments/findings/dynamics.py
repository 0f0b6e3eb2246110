"""How the networks of a sweep learned: how fast, how gradients flow, what is stuck, what overfits.

What is measured, and which paper proposes it, is in nnlite/training/diagnostics.py.
"""

import math
from collections.abc import Callable, Iterable
from itertools import groupby

import numpy as np

from findings.clauses import Finding, Findings
from findings.comparisons import (
    BOUNDS,
    epochs_to,
    finished,
    first_to_last,
    spreads,
    steps_to,
    target_accuracy,
    theoretical_ratio,
)
from findings.sweep import Cell, Sweep, interval, label
from nnlite.network import INITIALIZERS
from nnlite.optimizers import OPTIMIZERS
from words import FEW, and_list, plus_minus, the_first_few

# Optimizers that divide each gradient by its own recent size
NORMALIZING = ("rmsprop", "adam", "adamw")
RISE = 2  # % that the validation loss must rise above its lowest for a cell to overfit
# What the learning-rate study found with relu (reference/learning-rate): adam's lead over sgd in
# percentage points, at usual and at tuned rates.
LEAD_AT_USUAL, LEAD_AT_TUNED = "5.39 ± 1.17", "0.46 ± 0.81"


# By what an activation multiplies a gradient, beside the weights
SLOPES = {
    "sigmoid": "at most 1/4 for sigmoid",
    "tanh": "at most 1 for tanh",
    "relu": "for relu 1 in half of its units and 0 in the others, together 0.707",
}


# How fast


def speed(cells: list[Cell], unit: str = "epochs", where: str = "") -> Findings:
    """Say how soon each cell reached the same validation accuracy; where: ' at tuned rates'.

    unit: epochs, steps, or "steps and seconds", in whole epochs all of them.
    """
    target = target_accuracy(cells)
    if target is None:
        return
    reached, never = {}, []
    for cell in cells:
        epochs = [epochs_to(log, target) for log in cell.logs]
        if None in epochs:
            best = max(s["best_val_accuracy"] or 0 for s in cell.summaries)
            never.append(f"{cell.label} (at best {best:.1f} %)")
            continue
        counts = epochs if unit == "epochs" else [steps_to(log, target) for log in cell.logs]
        mean, half = interval(counts)
        digits = 1 if unit == "epochs" and half else 0  # equal in all seeds: a whole number
        text = plus_minus(mean, half or None, digits)
        if unit == "steps and seconds":
            times = [sum(log["epoch_time"][:n]) for log, n in zip(cell.logs, epochs)]
            text += f" in {np.mean(times):.1f} s"
        reached[cell.label] = mean, text
    order = sorted(reached.items(), key=lambda item: item[1])
    texts = [
        f"{text} ({the_first_few([name for name, _ in tied])})"
        for (_, text), tied in groupby(order, lambda item: item[1])
    ]
    if len(texts) > FEW:
        texts = [*texts[:3], "...", *texts[-3:]]
    counted = "" if unit == "epochs" else ", counted in whole epochs"
    text = f"{unit} to {target} % validation accuracy{where}{counted}: {', '.join(texts)}"
    if never:
        text += f". Not every seed got there: {the_first_few(never)}"
    yield Finding("How fast", f"{text}.")


# How gradients flow


def gradients_at_start(sweep: Sweep) -> Findings:
    """Say what is left of |dL/dz| in the first layer before training, beside what theory says.

    That does not depend on the optimizer, so one cell stands for all that start alike.
    """
    clauses, left, of_weights = [], {}, set()
    cells = [cell for cell in sweep.cells if cell.depth]
    keys = [key for key in ("activation", "hidden", "init") if key in sweep.varies]
    for cell in cells:
        config = cell.config
        mean, half = interval(first_to_last(log, "initial") for log in cell.logs)
        name = label(config, keys) if keys else config.activation
        if mean is None or name in left:
            continue
        left[name] = mean
        widths = (*config.hidden, len(sweep.dataset["classes"]))
        theory = theoretical_ratio(config.activation, config.init, widths)
        if config.init in INITIALIZERS:
            of_weights.update(map(significant, spreads(config.init, widths)))
        at_most = "at most " if config.activation in BOUNDS else ""
        beside = "" if theory is None else f" (theory: {at_most}{significant(theory)})"
        clauses.append(f"{name} {spread(mean, half)}{beside}")
    if not left or len(clauses) > 2 * FEW:
        return
    depths = {cell.depth for cell in cells}
    last = f"fc{1 + max(depths)}, the last" if len(depths) == 1 else "the last layer"
    text = f"|dL/dz| of fc1, the first layer, divided by that of {last}: {', '.join(clauses)}."
    weakest = min(left, key=left.get)
    if left[weakest] < 0.1:
        text += f" With {weakest} gradients vanish on their way to the input."
    if theory := [SLOPES[a] for a in SLOPES if any(c.config.activation == a for c in cells)]:
        here = f", here {of_weights.pop()}" if len(of_weights) == 1 else ""
        text += (
            " Theory: on its way back through an activation, the length of the gradient is "
            "multiplied by the spread of the weights after it (the root of D times the mean of "
            f"w^2, D units{here}) and by the slope: {', '.join(theory)}."
        )
    if len(depths) == 1 and len(sweep.varies) > 1:
        text += " This is one depth; others: --study depth."
    yield Finding("Gradients before training", text)


def gradients_at_end(sweep: Sweep) -> Findings:
    """Say what |dL/dz| in the first layer is after the last epoch, as a share of the last layer."""
    means, grown = {}, []
    for cell in finished(cell for cell in sweep.cells if cell.depth):
        before, _ = interval(first_to_last(log, "initial") for log in cell.logs)
        mean, half = interval(first_to_last(log, "last epoch") for log in cell.logs)
        if mean is not None:
            means[f"{cell.label} {spread(mean, half)}"] = mean
            grown.append(before is not None and mean - (half or 0) > 1.1 * before)
    if means:
        order = sorted(means, key=means.get)
        if len(order) > FEW:
            order = [order[0], "...", order[-1]]
        text = (
            "|dL/dz| of the first layer divided by that of the last, in the last epoch: "
            f"{', '.join(order)}."
        )
        if max(means.values()) > 1:
            text += " Above 1, the first layer gets more than the last."
        if all(grown):
            text += " It has grown everywhere: section 5.6 of the lab sheet shows how."
        yield Finding("Gradients after training", text)


def hidden_gradients(sweep: Sweep) -> Findings:
    """Say how far each optimizer moves the first layer where its gradients are the smallest."""
    groups = [
        peers
        for peers in sweep.peers("optimizer", "learning_rate")
        if len({cell.config.optimizer for cell in peers}) > 1 and peers[0].depth
    ]
    starts = [interval(first_to_last(log, "initial") for log in g[0].logs)[0] for g in groups]
    known = [(start, k) for k, start in enumerate(starts) if start is not None]
    if not known or min(known)[0] > 0.1:
        return  # nothing vanishes, so nothing is hidden
    peers = groups[min(known)[1]]
    first, last = "fc1", f"fc{1 + peers[0].depth}"
    keys = [key for key in ("optimizer", "learning_rate") if key in sweep.varies]
    moved = {}
    for cell in peers:
        pairs = [
            [log["update_ratio"].get(fc, [None])[0] for fc in (first, last)] for log in cell.logs
        ]
        pairs = [pair for pair in pairs if None not in pair]
        if pairs:
            moved[cell] = np.mean(pairs, axis=0)
    names = {cell: label(cell.config, keys) for cell in moved}
    clauses = [
        f"{names[cell]} fc1 by {100 * a:.2g} % and {last} by {100 * b:.2g} %"
        for cell, (a, b) in moved.items()
    ]
    ratios = {cell: a / b for cell, (a, b) in moved.items() if b}
    plain = [ratio for cell, ratio in ratios.items() if cell.config.optimizer not in NORMALIZING]
    hiding = [
        names[cell]
        for cell, ratio in ratios.items()
        if cell.config.optimizer in NORMALIZING and plain and ratio > 10 * max(plain)
    ]
    if not clauses or len(clauses) > FEW:
        return
    where = label(peers[0].config, [key for key in sweep.varies if key not in keys])
    text = (
        f"with {where or peers[0].config.activation}, a step at the end of the first epoch changes "
        f"weights by these parts of their size: {'; '.join(clauses)}."
    )
    if hiding:
        verb = "hides" if len(hiding) == 1 else "hide"
        text += (
            f" {and_list(hiding)} {verb} the vanishing gradient: dividing each gradient by its own "
            "recent size makes a step as large from a small gradient as from a big one."
        )
    yield Finding("What optimizers make of it" if hiding else "Steps of the first layer", text)


# Dead and saturated units


def stuck_units(cells: list[Cell]) -> Findings:
    """Say where units are dead or outputs saturated after the last epoch, if any are."""
    kinds = {
        "dead": "dead units (their output is 0 for every probe image, so none teaches them)",
        "saturated": "saturated outputs (of one unit for one image, within 5 % of an end of the "
        "range, where sigmoid's and tanh's slope is below a fifth of its largest; from other "
        "images the unit may still learn)",
    }
    clauses = []
    for measure, meaning in kinds.items():
        most = {}
        for cell in finished(cells):
            by_name = {}
            for name in (f"act{k + 1}" for k in range(cell.depth)):
                shares = [log["probe"].get(name, {}).get(measure, [None])[-1] for log in cell.logs]
                by_name[name] = interval(shares)[0] or 0.0
            if by_name and (worst := max(by_name, key=by_name.get)) and by_name[worst] >= 0.5:
                text = f"{cell.label} {by_name[worst]:.0f} % of {worst}"
                most[text] = by_name[worst]
        if most:
            order = sorted(most, key=most.get, reverse=True)
            clauses.append(f"{meaning}: {the_first_few(order)}")
    if clauses:
        yield Finding("Dead and saturated units", f"after the last epoch, {'; '.join(clauses)}.")


# Overfitting


def overfitting(sweep: Sweep) -> Findings:
    """Say when the validation loss was lowest, and how far it has risen since, by optimizer."""
    cells = finished(sweep.cells)
    groups: dict[str, list[Cell]] = {}
    name: Callable = (
        (lambda cell: cell.config.optimizer)
        if "optimizer" in sweep.varies and len(sweep.varies) > 1
        else (lambda cell: cell.label)
    )
    for cell in cells:
        if cell.config.epochs > 1:
            groups.setdefault(name(cell), []).append(cell)
    if not groups or len(groups) > FEW:
        return
    clauses = []
    overfit = False
    for group, members in groups.items():
        epochs, rises = zip(*map(lowest_loss, members))
        overfit |= max(rises) > RISE
        clauses.append(
            f"with {group} after epoch {between(epochs)}, and {between(rises)} % higher at the end"
        )
    text = f"the validation loss is lowest {'; '.join(clauses)}."
    if overfit:
        text += " Where it rises, a network overfits: it learns its training images by heart."
    yield Finding("Overfitting", text)


def lowest_loss(cell: Cell) -> tuple[float, float]:
    """Return the epoch with the lowest validation loss, and the rise since in %: means of seeds."""
    losses = cell.curves("val_loss")
    lowest = np.nanmin(losses, axis=1)
    return (
        float(np.mean(1 + np.nanargmin(losses, axis=1))),
        float(np.mean(100 * (losses[:, -1] / lowest - 1))),
    )


# Tuning


def tuning_would_change(sweep: Sweep) -> Findings:
    """Say what tuned learning rates are known to change, and which study tunes them."""
    optimizers = {cell.config.optimizer for cell in sweep.cells}
    usual = all(
        cell.config.learning_rate == OPTIMIZERS[cell.config.optimizer].default_learning_rate
        for cell in sweep.cells
    )
    if len(optimizers) > 1 and usual:
        yield Finding(
            "What tuning would change",
            "each optimizer ran at its usual learning rate. In another experiment, with relu on "
            f"Fashion-MNIST for 5 epochs, adam led sgd by {LEAD_AT_USUAL} percentage points at "
            f"usual rates, and by {LEAD_AT_TUNED}, within the noise, at the best rate of each. To "
            "repeat that: --study learning-rate.",
        )


# Numbers


def significant(number: float) -> str:
    """'0.0208', '0.167', '1.41': three significant digits, without an exponent."""
    decimals = max(0, 2 - math.floor(math.log10(number)))
    return f"{number:.{decimals}f}"


def spread(mean: float, half: float | None) -> str:
    """'0.0202 ± 0.0011': the mean in three significant digits, its half-width as precisely."""
    text = significant(mean)
    digits = len(text.partition(".")[2])
    return plus_minus(mean, half, digits) if digits else text


def between(numbers: Iterable[float]) -> str:
    """'7 to 17', or '7' if that is all, in whole numbers."""
    low, high = (f"{round(number):,}" for number in (min(numbers), max(numbers)))
    return low if low == high else f"{low} to {high}"
