"""Figures of one run: how it learned, what goes on inside the network, and what it gets wrong."""

import base64
import math
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from figures import inside, style
from findings.sweep import color_of, dashes_of, dataset_of, label, table
from nnlite.training.config import Config, hidden_name
from nnlite.training.logs import summarize

BEYOND = 0.005  # share of numbers below the first bin of a histogram, and above the last
LIGHT = "#C8C8C8"
CELL = {"ha": "center", "va": "center"}  # of the text in a cell of a table
MOST_CLASSES = 20  # of a confusion matrix; of more classes, those that are most confused


def run_figures(log: dict) -> dict[str, Figure]:
    """Return the figures of one run by name, without those that would show nothing."""
    return style.made(makers(log))


def makers(log: dict) -> style.Makers:
    """Return what makes each of run_figures."""
    log = {**log, "dataset": dataset_of(log)}
    return {
        "loss_accuracy": partial(loss_accuracy, log),
        "learning_rate": partial(learning_rate, log),
        "gradient_flow": partial(gradient_flow, log),
        "zero_gradients": partial(zero_gradients, log),
        "update_ratio": partial(update_ratio, log),
        "signal": partial(signal, log),
        "units": partial(units, log),
        "saturation": partial(saturation, log),
        "histogram_activations": partial(histograms, log, "act", "Activations", "output a"),
        "histogram_gradients": partial(histograms, log, "fc", "Gradients dL/dz", "dL/dz (nats)"),
        "confusion": partial(confusion, log),
        "most_wrong": partial(most_wrong, log),
    }


# What they share


def run_name(log: dict) -> str:
    """Say what run a figure shows; settings as usual are left out."""
    config = Config(**log["config"])
    keys = ["activation", "optimizer", "learning_rate"]
    others = ("scheduler", "batch_size", "init")
    keys += [key for key in others if getattr(config, key) != getattr(Config, key)]
    unusual = config.hidden != Config.hidden
    hidden = f", hidden {hidden_name(config.hidden)}" if unusual else ""
    return style.short(f"{label(config, keys)}{hidden}, seed {config.seed}")


def run_figure(
    log: dict, title: str, size: tuple[float, float] = (9, 4.4), note: str = "", **frame
) -> tuple[Figure, np.ndarray]:
    """Return a new figure with the title, the name of the run below it, and its divergence."""
    if log["diverged"]:
        note = f"diverged at epoch {log['diverged']['epoch']}"
    frame = {"top": 1.05, **frame}
    name = f"{title}\n{run_name(log)}"
    return style.new_figure(name, log["dataset"], size=size, note=note, **frame)


def looks_of(log: dict) -> tuple[dict, dict]:
    """Return how the run's curve looks: a line, and one with a hollow dot at each number."""
    config = log["config"]
    line = {"color": color_of(config["activation"]), "linestyle": dashes_of(config["optimizer"])}
    return line, {**line, "marker": "o", "linewidth": 1.2, "markerfacecolor": "white"}


def draw_from_start(ax: Axes, layers: np.ndarray, looks: dict[int, dict]) -> None:
    """Draw a curve for each of the layers that have a look, from epoch 0: before training."""
    for k, look in looks.items():
        if k < len(layers):
            every = -(-layers.shape[1] // 10)
            ax.plot(layers[k], label=f"layer {k + 1}", markevery=every, **look)
    epochs = layers.shape[1] - 1
    style.epoch_axis(ax, epochs)
    ax.set(xlim=(-0.03 * epochs, 1.03 * epochs), xlabel="epoch (0: before training)")


# How it learned


def loss_accuracy(log: dict) -> Figure:
    """Training and validation loss, and validation accuracy."""
    line, dotted = looks_of(log)
    epochs = log["epoch"][-1]
    figure, ((left, right),) = run_figure(log, "Loss and accuracy", columns=2)
    losses, accuracy = table([log["train_loss"], log["val_loss"]]), table([log["val_accuracy"]])
    style.draw_curve(left, losses[:1], label="training", marker="o" if epochs < 3 else "", **line)
    style.draw_curve(left, losses[1:], label="validation", **dotted)
    style.value_axis(left, style.LOSS, losses, ceiling=style.max_loss(log["dataset"]))
    style.draw_curve(right, accuracy, **dotted)
    style.value_axis(right, "validation accuracy (%)", accuracy)
    above = {"loc": "lower left", "bbox_to_anchor": (-0.03, 0.98), "ncols": 2}
    summary = summarize(log)
    best, epoch = summary["best_val_accuracy"], summary["best_epoch"]
    if best is not None:
        text = f"best: {best:.2f} % at epoch {epoch}"
        right.plot(epoch, best, "*", markersize=15, color="black", label=text)
        right.legend(**above)
    left.legend(**above)
    style.epoch_axis(left, epochs)
    style.epoch_axis(right, epochs)
    return figure


def learning_rate(log: dict) -> Figure | None:
    """The learning rate by epoch, if a schedule changes it."""
    if log["config"]["scheduler"] == "none":
        return None
    _, dotted = looks_of(log)
    figure, ((ax,),) = run_figure(log, "Learning rate", (7, 4.2), top=0.8)
    rates = table([log["learning_rate"]])
    style.draw_curve(ax, rates, **dotted)
    style.value_axis(ax, "learning rate (unitless)", rates, "log")
    style.epoch_axis(ax, log["epoch"][-1])
    return figure


def gradient_flow(log: dict) -> Figure:
    """Mean |gradient| of each layer's weight: by epoch, and at the end from layer to layer."""
    gradients, epochs = style.weight_gradients(log), log["epoch"][-1]
    size = (9, inside.legend_height(len(gradients)))
    figure, ((left, right),) = run_figure(log, "Gradient flow", size, columns=2, sharey=True)
    lines = style.draw_layers(left, [gradients])
    style.value_axis(left, style.GRADIENT, table(gradients.values()), "log")
    style.epoch_axis(left, epochs)
    last = epochs - 1 if log["diverged"] and epochs > 1 else epochs
    for x, line in enumerate(lines):
        y = line.get_ydata()[last - 1]
        right.plot(x, y, line.get_marker(), color=line.get_color(), markersize=12)
    every = 1 + len(lines) // 8
    names = [line.get_label() for line in lines]
    right.set_xticks(range(0, len(lines), every), names[::every])
    right.set(xlim=(-0.5, len(lines) - 0.5), xlabel="layer")
    right.set_title(f"at epoch {last}", loc="left")
    style.legend_right(figure, lines, 0.95, style.of_layers("weight of", len(gradients)))
    return figure


def zero_gradients(log: dict) -> Figure | None:
    """The original sheet's indicator of dead units, of the activations that it is meant for."""
    if log["config"]["activation"] not in ("relu", "leaky_relu", "elu"):
        return None
    gradients = style.weight_gradients(log, "pct_zero")
    size = (7.5, inside.legend_height(len(gradients), 4.2))
    figure, ((ax,),) = run_figure(log, "Zero gradients", size, top=0.8)
    lines = style.draw_layers(ax, [gradients])
    style.legend_right(figure, lines, 0.7, style.of_layers("weight of", len(gradients)))
    measured = table(gradients.values())
    from_0_to_1 = [0 * measured, 0 * measured + 1]  # at least, where there are any
    style.value_axis(ax, "share of zero gradients (%)", [measured, *from_0_to_1])
    style.epoch_axis(ax, log["epoch"][-1])
    return figure


# Inside the network


def update_ratio(log: dict) -> Figure | None:
    """How far the last step of each epoch moved the weight of each layer."""
    layers = inside.log_ratios(log)
    values = table(layers.values())
    if not np.isfinite(values).any():
        return None
    size = (8, inside.legend_height(len(layers)))
    figure, ((ax,),) = run_figure(log, "Size of the updates", size, top=0.85)
    lines = [*style.draw_layers(ax, [layers]), inside.draw_guide(ax)]
    style.value_axis(ax, inside.UPDATE_RATIO, [values, inside.GUIDE])
    style.epoch_axis(ax, log["epoch"][-1])
    style.legend_right(figure, lines, 0.75, style.of_layers("weight of", len(layers)))
    return figure


def signal(log: dict) -> Figure | None:
    """The gradient that reaches each layer: by epoch, and from layer to layer."""
    layers = inside.from_start(log, "probe", "fc", "gradient_norm")
    if not (layers > 0).any():
        return None
    title, size = "Gradient that reaches each layer", (10, inside.legend_height(len(layers)))
    figure, ((left, right),) = run_figure(log, title, size, columns=2, sharey=True)
    draw_from_start(left, layers, style.layer_looks(len(layers)))
    style.value_axis(left, "|dL/dz| (nats)", layers, "log")
    last = np.flatnonzero(np.isfinite(layers).any(axis=0))[-1]
    numbers = np.arange(len(layers)) + 1
    dashed = {"linestyle": "--", "markerfacecolor": "white", "zorder": 3}
    ends = {0: {"label": "before training", **dashed}}
    if last > 0:
        ends[last] = {"label": f"after epoch {last}"}
    for epoch, look in ends.items():
        right.plot(numbers, layers[:, epoch], marker="o", color=style.GREY, **look)
    right.set(xlabel="layer", xlim=(0.6, len(layers) + 0.4))
    right.xaxis.set_major_locator(MaxNLocator(integer=True))
    style.legend_right(figure, [*left.lines, *right.lines], 0.95, style.of_layers("", len(layers)))
    return figure


def units(log: dict) -> Figure | None:
    """Dead units, beside the original sheet's indicator of them, which is something else."""
    found = inside.shares(log)
    values = np.append(found[inside.DEAD], found[inside.ZERO])
    if not (found[inside.DEAD].size and (values > 0).any()):
        return None
    layers = len(found[inside.ZERO])
    title, size = "Dead units are not zero gradients", (10, inside.legend_height(layers))
    figure, (axes,) = run_figure(log, title, size, columns=2, sharey=True)
    for ax, share in zip(axes, (inside.DEAD, inside.ZERO)):
        draw_from_start(ax, found[share], style.layer_looks(layers))
        ax.set_title(inside.MEANING[share], loc="left")
        ax.set_ylabel(share)
    style.value_axis(axes[0], inside.DEAD, [values, 0, 1])
    style.legend_right(figure, axes[1].lines, 0.95, style.of_layers("", layers))
    return figure


def saturation(log: dict) -> Figure | None:
    """Outputs of sigmoid and tanh where the function is nearly flat."""
    layers = inside.shares(log)[inside.SATURATED]
    if not layers.size:
        return None
    figure, ((ax,),) = run_figure(log, "Saturation", (8, inside.legend_height(len(layers))))
    draw_from_start(ax, layers, style.layer_looks(len(layers)))
    ax.set_title(inside.MEANING[inside.SATURATED], loc="left")
    style.value_axis(ax, inside.SATURATED, [layers, 0, 1])
    style.legend_right(figure, ax.lines, 0.95, style.of_layers("", len(layers)))
    return figure


def densities(histogram: dict) -> tuple[np.ndarray, np.ndarray]:
    """Return the density in each bin of a histogram of the log, and the edges of the bins.

    The log counts what lies beyond the bins in the first and the last of them; here it is left
    out. (At an end where nothing lies beyond, as at relu's 0, that takes 0.5 % from a large pile.)
    """
    counts = np.array(histogram["counts"], dtype=float)
    total = counts.sum()
    counts[[0, -1]] = np.maximum(counts[[0, -1]] - BEYOND * total, 0)
    edges = np.linspace(histogram["low"], histogram["high"], len(counts) + 1)
    return counts / total / np.diff(edges), edges


def histograms(log: dict, kind: str, title: str, text: str) -> Figure | None:
    """Densities in each layer, first and last epoch (Glorot & Bengio 2010, figures 2-4 and 6-7).

    On a log scale, as most numbers may share one bin: relu's outputs that are 0, or the gradients
    of images that are classified well.
    """
    first, last = log["histograms"]["first"], log["histograms"]["last"]
    names = [name for name in first if name.startswith(kind)]
    if not names:
        return None
    some = f"{style.MOST_LAYERS} of {len(names):,} layers" * (len(names) > style.MOST_LAYERS)
    names = [names[k] for k in style.spread(len(names), style.MOST_LAYERS)]
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    size = (2.8 * columns + 2.1, 2.2 * rows + 1.7)
    note = style.notes(some, f"without the outer {100 * BEYOND:g} % on each side")
    figure, axes = run_figure(log, title, size, note, rows=rows, columns=columns)
    figure.subplots_adjust(hspace=0.55, wspace=0.4)
    color = color_of(log["config"]["activation"])
    for ax, name in zip(axes.flat, names):
        heights, edges = densities(first[name])
        ax.stairs(heights, edges, baseline=1e-300, fill=True, color=LIGHT)
        if last:
            dark, edges = densities(last[name])
            ax.stairs(dark, edges, baseline=None, color=color, linewidth=1.5)
            heights = np.append(heights, dark)
        if (heights > 0).sum() > 1 + bool(last):
            style.value_axis(ax, "", heights, "log")
        else:  # a single bin, the width of which means nothing
            ax.set_yticks([])
            ax.text(0.54, 0.5, "all the same", transform=ax.transAxes)
        ax.xaxis.set(major_locator=MaxNLocator(3), major_formatter="{x:g}")
        ax.set_title(name, loc="left")
        ax.set_xlabel(text)
    for ax in axes.flat[len(names) :]:
        ax.set_axis_off()
    for ax in axes[:, 0]:
        ax.set_ylabel("density")
    legend = [Patch(color=LIGHT, label="first"), Line2D([], [], color=color, label="last")]
    style.legend_right(figure, legend if last else legend[:1], 0.95, "epoch")
    return figure


# What it gets wrong


def most_confused(counts: np.ndarray) -> list[int]:
    """Return the classes with the most frequent errors of a confusion matrix, up to MOST_CLASSES.

    They are in order. counts (C, C) has a row for each true class.
    """
    errors = np.where(np.eye(len(counts)), -1, counts)
    found: dict[int, None] = {}
    for pair in np.argsort(-errors, axis=None, kind="stable"):
        found |= dict.fromkeys(divmod(int(pair), len(counts)))
        if len(found) >= MOST_CLASSES:
            break
    return sorted([*found][:MOST_CLASSES])


def among(classes: list[int], counts: np.ndarray) -> np.ndarray:
    """Return the confusion (..., K, K) of K of the classes; of some, one more column: all others.

    counts is (..., C, C). The rows add up to what they do in counts.
    """
    part = counts[..., classes, :]
    others = part.sum(axis=-1, keepdims=True) - part[..., classes].sum(axis=-1, keepdims=True)
    return np.append(part[..., classes], others[..., : len(classes) < counts.shape[-1]], axis=-1)


def confusion(log: dict) -> Figure | None:
    """What share of each class is taken for which class, on the test set."""
    if log["test_confusion"] is None:
        return None
    everything = np.array(log["test_confusion"])
    shown = most_confused(everything)
    counts = among(shown, everything)
    classes = [style.in_two_lines(log["dataset"]["classes"][k], 22) for k in shown]
    predicted = [*classes, "other classes"][: counts.shape[1]]
    images = counts.sum(axis=1, keepdims=True)
    percent = 100 * counts / np.maximum(images, 1)
    lines = [line for name in predicted for line in name.split("\n")]
    longest, side = max(map(len, lines)), 0.55 * len(predicted)
    bottom, left = 0.9 + 0.075 * longest, max(1.6, 0.5 + 0.095 * longest)  # inches, for the names
    size = (max(side + left + 0.3, 7), 0.55 * len(classes) + bottom + 0.85)
    title, note = "Confusion on the test set (%)", "rows add up to 100 %"
    if len(predicted) > len(classes):
        note = f"the {len(classes)} most confused of {len(everything):,} classes; {note}"
    figure, ((ax,),) = run_figure(log, title, size, note, top=0.85, left=left)
    figure.subplots_adjust(bottom=bottom / size[1])
    # Errors only, or the diagonal would outshine them. The map's dark end stays unused: black
    # text is read on all cells.
    errors = np.where(np.eye(*counts.shape), np.nan, percent)
    errors[:, len(classes) :] = np.nan  # nor the sum of all others
    most = max(1, np.nanmax(errors, initial=0))
    ax.pcolormesh(errors, cmap="Oranges", vmin=0, vmax=1.7 * most, edgecolors="white")
    for i, j in np.argwhere(counts + np.eye(*counts.shape)):
        text = f"{percent[i, j]:.{0 if percent[i, j] >= 9.95 or i == j else 1}f}"
        ax.text(j + 0.5, i + 0.53, text, weight="bold" if i == j else "normal", **CELL)
    at_an_angle = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    if len(lines) > len(predicted):  # names of two lines have no room at an angle
        at_an_angle = {"rotation": 90}
        bottom += 0.03 * longest
    ticks = np.arange(len(predicted)) + 0.5
    ax.set_xticks(ticks, predicted, **at_an_angle if longest > 3 else {})
    ax.set_yticks(ticks[: len(classes)], classes)
    ax.set(xlabel="predicted class", ylabel="true class")
    style.table_axes(ax, len(classes), style.GRID)
    return figure


def square(image: str) -> np.ndarray:
    """Return the pixels of an entry of a log's most_wrong as a square, filled up with 0 if need be.

    So samples that are no square images are seen as squares of their numbers, row by row.
    """
    pixels = np.frombuffer(base64.b64decode(image), dtype="uint8")
    side = math.ceil(math.sqrt(len(pixels)))
    return np.pad(pixels, (0, side * side - len(pixels))).reshape(side, side)


def most_wrong(log: dict) -> Figure | None:
    """The test images that are most confidently taken for another class."""
    classes = log["dataset"]["classes"]
    if not log["most_wrong"]:
        return None
    rows = -(-len(log["most_wrong"]) // 4)
    names = [
        [style.in_two_lines(classes[wrong[key]], 21) for key in ("label", "predicted")]
        for wrong in log["most_wrong"]
    ]
    long = max(map(len, map("".join, names))) > 23  # then each has a line or two
    lines = 2 + max("".join(pair).count("\n") for pair in names) if long else 1
    step = 1.38 + 0.12 * lines  # from row to row, in widths of an image
    size = (8.4, 1.433 * (step * (rows + 1) - 1.62) + 1.22)
    note = "true class → predicted class, and its probability"
    figure, ((ax,),) = run_figure(log, "Most confidently wrong", size, note, left=0.2, top=0.75)
    figure.subplots_adjust(bottom=0.4 / size[1])
    gray = {"cmap": "gray_r", "interpolation": "nearest"}
    for k, wrong in enumerate(log["most_wrong"]):
        x, y = 1.4 * (k % 4), step * (k // 4)
        ax.imshow(square(wrong["image"]), extent=(x, x + 1, y + 1, y), **gray)
        p = wrong["probability"]
        text = ("\n→ " if long else " → ").join(names[k])
        text += "\n> 99.99 %" if p > 0.9999 else f"\n{100 * p:.2f} %"
        ax.text(x + 0.5, y - 0.04, text, ha="center", fontsize=11 if lines < 4 else 9.5)
    ax.set(xlim=(-0.2, 5.4), ylim=(step * rows - 0.45, 1.17 - step))
    ax.set_axis_off()
    return figure
