"""Every figure of the lab, drawn from the logs of the runs alone (train -> JSON -> plot).

One colour per activation and one line style per optimizer, in every figure. Learning rates and
schedules of the same optimizer differ by marker. Seeds of the same cell of the grid become one
curve, their mean, in a band that is its 95 % t-interval.
"""

import os
import re
from itertools import cycle, product
from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib import colormaps, rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from scipy.special import stdtrit  # what scipy.stats.t.ppf calls; scipy.stats takes 1 s to import

from nnlite.activations import ACTIVATIONS
from nnlite.optimizers import OPTIMIZERS
from nnlite.training import summarize

# Okabe & Ito's palette, which colour-blind readers can tell apart too: purple, orange, blue, sky
# blue, green and vermilion for nnlite's own activations, black and brown for the next ones.
PALETTE = "#CC79A7 #E69F00 #0072B2 #56B4E9 #009E73 #D55E00 #000000 #8C510A".split()
DASHES = [(0, (2.5, 1.5)), (0, (6, 1.5, 1.2, 1.5)), (0, (1, 1.2)), "-", (0, (9, 1.2))]
ACTIVATION_COLORS = dict(zip(ACTIVATIONS, cycle(PALETTE)))
OPTIMIZER_STYLES = dict(zip(OPTIMIZERS, cycle(DASHES)))
MARKERS = "os^Dv*Pph<>d"
GREY, ALARM = "#666666", "#B00020"
DPI = 120
rcParams.update({
    "font.size": 12, "axes.titlesize": 12, "figure.titlesize": 14, "legend.fontsize": 11,
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": GREY,
    "axes.grid": True, "grid.color": "#E4E4E4", "axes.axisbelow": True, "axes.titley": 1.0,
    "lines.linewidth": 2, "legend.frameon": False, "legend.handlelength": 2.8,
})  # fmt: skip

LOSS, ACCURACY = "cross-entropy (nats)", "validation accuracy (%)"
GRADIENT = "mean |gradient| (nats)"  # per unit of weight, which is a pure number
ZERO_SHARE = "share of zero gradients (%)"
MAX_LOSS = 1.5 * np.log(10)  # ten classes held equally likely cost ln 10: much more is an accident

Column = tuple[str, float, str]  # optimizer, learning rate, scheduler


def t_interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean over axis 0 and the half-width of its 95 % t-interval, leaving NaNs out.

    half-width = t(0.975, n - 1) s / sqrt(n), and NaN where n < 2.
    """
    n = np.isfinite(values).sum(axis=0)
    mean = np.nansum(values, axis=0) / np.where(n > 0, n, np.nan)
    freedom = np.where(n > 1, n - 1, np.nan)
    variance = np.nansum((values - mean) ** 2, axis=0) / freedom
    return mean, stdtrit(freedom, 0.975) * np.sqrt(variance / n)


def table(rows: list[list]) -> np.ndarray:
    """Lists of numbers, of any lengths, as one array; NaN where a number is None or missing."""
    array = np.full((len(rows), max(map(len, rows))), np.nan)
    for line, row in zip(array, rows):
        line[: len(row)] = row  # NumPy makes None a NaN
    return array


def arrange(logs: list[dict]) -> tuple[list[str], dict[Column, str], dict[tuple, list[dict]]]:
    """Return the grid: activations, columns with their names, and (activation, column) -> logs."""

    def rank(name: str, registry: dict) -> tuple:
        return list(registry).index(name) if name in registry else len(registry), name

    cells: dict[tuple, list[dict]] = {}
    for log in logs:
        c = log["config"]
        column = (c["optimizer"], c["learning_rate"], c["scheduler"])
        cells.setdefault((c["activation"], column), []).append(log)
    rows = sorted({row for row, _ in cells}, key=lambda row: rank(row, ACTIVATIONS))
    columns = {c: c[0] for c in sorted({c for _, c in cells}, key=lambda c: (rank(c[0], OPTIMIZERS), c))}
    for optimizer, rate, scheduler in columns:
        if len({r for o, r, _ in columns if o == optimizer}) > 1:
            columns[optimizer, rate, scheduler] += f" lr={rate:g}"
        if scheduler != "none":
            columns[optimizer, rate, scheduler] += f" {scheduler}"
    return rows, columns, cells


def divergence(logs: list[dict]) -> str:
    """Say how many of a cell's seeds diverged, and when; "" if none did."""
    epochs = [log["diverged"]["epoch"] for log in logs if log["diverged"]]
    who = f"{len(epochs)} of {len(logs)} seeds " if len(logs) > 1 else ""
    return f"{who}diverged at epoch {', '.join(map(str, sorted(set(epochs))))}" if epochs else ""


def seeds_note(logs: list[dict]) -> str:
    """Say what the curves and numbers of a grid with several seeds are; "" for one seed."""
    n = sorted({len(seeds) for seeds in arrange(logs)[2].values()})
    return f"mean of {'-'.join(map(str, n[::max(1, len(n) - 1)]))} seeds, 95 % t-interval" if n[-1] > 1 else ""


def new_figure(
    title: str, logs: list[dict], rows: int = 1, columns: int = 1, size: tuple = (9, 4.2),
    top: float = 0.85, left: float = 0.85, **subplots,
) -> tuple[Figure, np.ndarray]:  # fmt: skip
    """Return a figure and the array of its axes; sizes in inches.

    It has a title and a caption, which names the data and tells of several seeds and divergence.
    """
    width, height = size
    figure = Figure(figsize=size, dpi=DPI)
    axes = figure.subplots(rows, columns, squeeze=False, **subplots)
    # Margins by hand: matplotlib's automatic layouts draw everything twice to find them.
    figure.subplots_adjust(left / width, 0.9 / height, 1 - 0.2 / width, 1 - top / height)
    figure.suptitle(title, x=0.15 / width, y=1 - 0.12 / height, ha="left", va="top")

    datasets = {log["dataset"]["name"]: log["dataset"]["note"] for log in logs}
    warning = "digits, not Fashion-MNIST" if "digits" in datasets else "".join(datasets.values())
    figure.text(0.15 / width, 0.12 / height, f"lab data: {warning or ', '.join(datasets)}"[:80],
                color=ALARM if warning else GREY, fontsize=11)  # fmt: skip
    note = seeds_note(logs) if len(logs) > 1 else divergence(logs)
    figure.text(1 - 0.15 / width, 0.12 / height, note, ha="right", fontsize=11,
                color=GREY if len(logs) > 1 else ALARM)  # fmt: skip
    return figure, axes


def epoch_axis(ax: Axes, epochs: int) -> None:
    """Make x the epochs, 1 to `epochs`, with room for a marker at both ends."""
    room = 0.03 * (epochs - 1) or 0.5
    ax.set_xlim(1 - room, epochs + room)
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    ax.set_xlabel("epoch")


def stretch(accuracy: np.ndarray) -> np.ndarray:
    """Spread accuracies (%) by the log of the errors, from 101 so that 100 % has a place too."""
    return -np.log(np.maximum(101 - accuracy, 0.5))


def unstretch(stretched: np.ndarray) -> np.ndarray:
    return 101 - np.exp(-stretched)


def safe_log(values: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(values, 1e-30))


SCALES = {"linear": (np.copy, np.copy), "log": (safe_log, np.exp), "errors": (stretch, unstretch)}


def value_axis(
    ax: Axes, label: str, values: np.ndarray, scale: str = "linear", ceiling: float = np.inf
) -> None:
    """Make y fit all values up to the ceiling; bands may run out of it.

    scale: "linear"; "log"; or "errors" for accuracies, which is log in the share of errors.
    """
    forward, back = SCALES[scale]
    fit = values[np.isfinite(values) & ((values > 0) | (scale != "log"))]
    low, high = (fit.min(), fit.max()) if fit.size else (0.1, 1.0)
    low, high = forward(low), forward(max(low, min(high, ceiling)))
    if scale == "log":
        ax.set_yscale("log")
        digits = (1, 1.5, 2, 3, 4, 5, 6, 8) if high - low < 2.3 else (1, 2, 5)
        ax.yaxis.set_major_locator(LogLocator(subs=digits if high - low < 4.6 else (1,)))
        # Plain numbers and no minor ticks: both draw several times as fast as the usual ones.
        ax.yaxis.set(minor_locator=NullLocator(), major_formatter="{x:g}")
    elif scale == "errors":
        ax.set_yscale("function", functions=(stretch, unstretch))
    room = 0.05 * (high - low) if high - low > 0.01 else 0.2
    ax.set_ylim(back(low - room), back(high + room))
    ax.set_ylabel(label)


def draw_curve(ax: Axes, rows: np.ndarray, **line) -> Line2D:
    """Draw a row, a number per epoch; or the mean of several rows in its 95 % t-interval."""
    epochs = np.arange(1, rows.shape[1] + 1)
    mean, half = t_interval(rows)
    (drawn,) = ax.plot(epochs, mean, markevery=-(-len(epochs) // 10), **line)
    if len(rows) > 1:
        band = {"color": line["color"], "alpha": 0.13, "linewidth": 0}
        ax.fill_between(epochs, mean - half, mean + half, **band)
    return drawn


def weight_gradients(log: dict, metric: str) -> dict[str, list]:
    """One metric of the gradient of each layer's weight, by epoch: {"fc1": [...], ...}."""
    statistics = log["gradient_stats"].items()
    return {n.removesuffix(".weight"): s[metric] for n, s in statistics if n.endswith(".weight")}


def draw_layers(ax: Axes, logs: list[dict], metric: str) -> list[Line2D]:
    """Draw one curve per layer, mean over the seeds; black to grey from the first to the last."""
    seeds = [weight_gradients(log, metric) for log in logs]
    greys = colormaps["Greys_r"](np.linspace(0, 0.6, len(seeds[0])))
    lines = []
    for layer, grey, marker in zip(seeds[0], greys, cycle(MARKERS)):
        rows = table([seed[layer] for seed in seeds])
        if metric == "mean_abs":
            rows[rows == 0] = np.nan  # no place on a log axis
        lines.append(draw_curve(ax, rows, color=grey, marker=marker, label=layer))
    return lines


def legend_above(ax: Axes) -> None:
    """Put the legend between the title of the figure and the axes."""
    ax.legend(loc="lower left", bbox_to_anchor=(-0.03, 0.98), ncols=4, handlelength=2,
              columnspacing=1.5)  # fmt: skip


def legend_right(figure: Figure, lines: list[Line2D], top: float, **options) -> None:
    """Put the legend beside the axes, which make room for it; top is its distance in inches."""
    width, height = figure.get_size_inches()
    legend = figure.legend(handles=lines, loc="upper right", alignment="left",
                           bbox_to_anchor=(1, 1 - top / height), **options)  # fmt: skip
    figure.subplots_adjust(right=1 - 0.1 / width - legend.get_window_extent().width / DPI / width)


def run_figures(log: dict) -> dict[str, Figure]:
    """Return the figures of one run by name."""
    c = log["config"]
    schedule = "" if c["scheduler"] == "none" else f" ({c['scheduler']})"
    title = f"{c['activation']} + {c['optimizer']}, lr {c['learning_rate']:g}{schedule}"
    title += f", seed {c['seed']}"
    look = {
        "color": ACTIVATION_COLORS.get(c["activation"], GREY),
        "linestyle": OPTIMIZER_STYLES.get(c["optimizer"], "-"),
    }
    points = {**look, "marker": "o", "linewidth": 1.2, "markerfacecolor": "white"}
    epochs = log["epoch"][-1]
    figures = {}

    figures["loss_accuracy"], ((left, right),) = new_figure(title, [log], columns=2)
    losses, accuracy = table([log["train_loss"], log["val_loss"]]), table([log["val_accuracy"]])
    draw_curve(left, losses[:1], label="training", marker="." if epochs < 3 else "", **look)
    draw_curve(left, losses[1:], label="validation", **points)
    value_axis(left, LOSS, losses, ceiling=MAX_LOSS)
    draw_curve(right, accuracy, **points)
    value_axis(right, ACCURACY, accuracy)
    summary = summarize(log)
    if summary["best_epoch"]:
        best, epoch = summary["best_val_accuracy"], summary["best_epoch"]
        label = f"best: {best:.2f} % at epoch {epoch}"
        right.plot(epoch, best, "*", markersize=15, color="black", label=label)
        legend_above(right)

    if c["scheduler"] != "none":
        figures["learning_rate"], ((left,),) = new_figure(title, [log], size=(7, 3.8), top=0.6)
        rates = table([log["learning_rate"]])
        draw_curve(left, rates, **points)
        value_axis(left, "learning rate (unitless)", rates, "log")

    figures["gradient_flow"], ((left, right),) = new_figure(title, [log], columns=2, sharey=True)
    layers = draw_layers(left, [log], "mean_abs")
    gradients = table(list(weight_gradients(log, "mean_abs").values()))
    value_axis(left, GRADIENT, gradients, "log")
    last = epochs - 2 if log["diverged"] and epochs > 1 else epochs - 1
    for x, line in enumerate(layers):
        right.plot(x, line.get_ydata()[last], line.get_marker(), color=line.get_color(), ms=12)
    right.set_xticks(range(len(layers)), [line.get_label() for line in layers])
    right.set(xlim=(-0.5, len(layers) - 0.5), xlabel="layer")
    right.set_title(f"at epoch {last + 1}", loc="left")

    if c["activation"] in ("relu", "leaky_relu", "elu"):
        figures["zero_gradients"], ((left,),) = new_figure(title, [log], size=(7, 3.8))
        draw_layers(left, [log], "pct_zero")
        shares = table(list(weight_gradients(log, "pct_zero").values()))
        value_axis(left, ZERO_SHARE, np.append(shares, 0))

    for figure in figures.values():
        for ax in figure.axes:
            if ax is not right:
                epoch_axis(ax, epochs)
            if len(ax.get_legend_handles_labels()[0]) > 1:
                legend_above(ax)
    return figures


def grid_figures(logs: list[dict]) -> dict[str, Figure]:
    """Return the figures that compare all runs, by name."""
    return {
        "loss_curves": curves(logs, "train_loss"),
        "accuracy_curves": curves(logs, "val_accuracy"),
        "comparison_grid": comparison_grid(logs),
        "gradient_flow": gradient_flow(logs),
        "activations": activations(logs),
    }


def curves(logs: list[dict], metric: str) -> Figure:
    """Return a figure with the curves of all cells: "train_loss" or "val_accuracy"."""
    _, columns, cells = arrange(logs)
    epochs = max(log["epoch"][-1] for log in logs)
    lines_of_text = len(cells) + sum(divergence(seeds) > "" for seeds in cells.values())
    size = (10, max(5, 0.24 * lines_of_text + 1))
    values = table([log[metric] for log in logs])
    if falling := metric == "train_loss":
        figure, ((ax,),) = new_figure("Training loss", logs, size=size, top=0.6)
        value_axis(ax, f"{LOSS}, log scale", values, "log", MAX_LOSS)
    else:
        figure, ((ax,),) = new_figure("Validation accuracy", logs, size=size, top=0.6)
        value_axis(ax, "accuracy (%), errors on a log scale", values, "errors")
    epoch_axis(ax, epochs)
    worst = ax.get_ylim()[1 if falling else 0]

    # Line styles do not tell learning rates apart, nor anything on a curve of one point.
    marked = epochs < 3 or len(columns) > len({optimizer for optimizer, *_ in columns})
    markers = dict(zip(columns, cycle(MARKERS))) if marked else {}
    entries = []
    for (activation, column), seeds in cells.items():
        rows = table([log[metric] for log in seeds])
        color = ACTIVATION_COLORS.get(activation, GREY)
        line = draw_curve(ax, rows, color=color, marker=markers.get(column, ""),
                          linestyle=OPTIMIZER_STYLES.get(column[0], "-"))  # fmt: skip
        for log, row in zip(seeds, rows):
            if log["diverged"]:
                measured = np.flatnonzero(np.isfinite(row))
                x = measured[-1] + 1 if len(measured) else log["diverged"]["epoch"]
                y = row[x - 1] if len(measured) else worst
                y = min(y, worst) if falling else y
                ax.plot(x, y, "X", color=color, markersize=11, clip_on=False)
        last = t_interval(rows)[0][-1]
        number = "–" if np.isnan(last) else f"{last:.3f}" if falling else f"{last:.1f}"
        note = f"\n✖ {divergence(seeds)}" if divergence(seeds) else ""
        line.set_label(f"{number}  {activation} + {columns[column]}{note}")
        entries.append((np.isnan(last), last if falling else -last, line))
    ranked = [line for *_, line in sorted(entries, key=lambda entry: entry[:2])]
    legend_right(figure, ranked, top=0.5, title="at the last epoch, best first")
    return figure


def comparison_grid(logs: list[dict]) -> Figure:
    """Return a figure of three tables, activations by optimizers, coloured from bad to good."""
    rows, columns, cells = arrange(logs)
    beside = len(columns) <= 3  # then the three tables fit beside one another
    crowded = any(len(seeds) > 1 and divergence(seeds) for seeds in cells.values())
    width, height = max(1.1 * len(columns), 1.6), (0.9 if crowded else 0.6) * len(rows)
    size = (3 * width + 1.9, height + 2.1) if beside else (width + 1.5, 3 * height + 4.5)
    figure, axes = new_figure(
        "All runs (the darker, the better)", logs, *((1, 3) if beside else (3, 1)), size,
        top=1.2, left=1.25, sharey=True,
    )  # fmt: skip
    figure.subplots_adjust(wspace=0.1, hspace=1.2 / height)
    metrics = [("final_loss", "final training\nloss (nats)", 3, "log"),
               ("best_val_accuracy", "best validation\naccuracy (%)", 1, "errors"),
               ("test_accuracy", "test\naccuracy (%)", 1, "errors")]  # fmt: skip
    for ax, (metric, title, digits, scale) in zip(axes.flat, metrics):
        means = np.full((len(rows), len(columns)), np.nan)
        for (i, row), (j, column) in product(enumerate(rows), enumerate(columns)):
            seeds = cells.get((row, column), [])
            numbers = [summarize(log)[metric] for log in seeds if not log["diverged"]]
            mean, half = t_interval(np.array(numbers, dtype=float))
            means[i, j] = mean
            text = "" if np.isnan(mean) else f"{mean:.{digits}f}"
            text += "" if np.isnan(half) else f"\n± {half:.{digits}f}"
            text += "\n" + fill(divergence(seeds), 13)
            ax.text(j + 0.5, i + 0.5, text.strip() or "–", ha="center", va="center", linespacing=1.05,
                    fontsize=12 if text.count("\n") < 3 else 10)  # fmt: skip
        shades = SCALES[scale][0](means) * (-1 if scale == "log" else 1)
        known = shades[np.isfinite(shades)]
        worst, best = (known.min(), known.max()) if len(known) else (0, 1)
        span = best - worst or 1  # the map's dark end stays unused: black text is read on all cells
        ax.pcolormesh(shades, cmap="YlGnBu", edgecolors="white", linewidth=2,
                      vmin=worst - 0.1 * span, vmax=best + 0.8 * span)  # fmt: skip
        ax.set_title(title, loc="left")
        ax.set_xticks(np.arange(len(columns)) + 0.5, [re.sub("[ _]", "\n", c) for c in columns.values()])
        ax.set_yticks(np.arange(len(rows)) + 0.5, rows)
        ax.set(facecolor="#EEEEEE", ylim=(len(rows), 0))
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)
        ax.grid(False)
        for label in ax.get_yticklabels():
            label.set(color=ACTIVATION_COLORS.get(label.get_text(), GREY), weight="bold")
    return figure


def gradient_flow(logs: list[dict]) -> Figure:
    """Return a figure with a panel per cell: mean |gradient| of each layer's weight by epoch."""
    rows, columns, cells = arrange(logs)
    size = (max(7, 2.1 * len(columns) + 2), max(3.8, 1.4 * len(rows) + 1.7))
    figure, axes = new_figure("Gradient flow", logs, len(rows), len(columns), size, left=1.3,
                              sharex=True, sharey=True)  # fmt: skip
    gradients = [g for log in logs for g in weight_gradients(log, "mean_abs").values()]
    layers: list[Line2D] = []
    for (i, j), ax in np.ndenumerate(axes):
        seeds = cells.get((rows[i], list(columns)[j]), [])
        layers = draw_layers(ax, seeds, "mean_abs") if seeds else layers
        if not seeds:
            ax.text(0.5, 0.5, "–", transform=ax.transAxes)
        elif note := divergence(seeds):
            ax.text(0.98, 0.05, fill(note, 16), transform=ax.transAxes, ha="right", color=ALARM,
                    fontsize=11, bbox={"color": "white", "alpha": 0.7, "pad": 1})  # fmt: skip
        if i == 0:
            ax.set_title(list(columns.values())[j])
        epoch_axis(ax, max(log["epoch"][-1] for log in logs))
        ax.set_ylabel(rows[i], color=ACTIVATION_COLORS.get(rows[i], GREY), weight="bold")
        ax.label_outer()
    value_axis(axes[0, 0], rows[0], table(gradients), "log")
    figure.subplots_adjust(wspace=0.08, hspace=0.12)
    figure.text(0.15 / size[0], 0.5, GRADIENT, rotation=90, va="center")
    legend_right(figure, layers, top=0.75, title="weight of")
    return figure


def activations(logs: list[dict]) -> Figure:
    """Return a figure of nnlite's activation functions and derivatives, by nnlite's own code."""
    title, lines = "Activation functions and their derivatives", -(-len(ACTIVATIONS) // 3)
    figure, axes = new_figure(title, logs, lines, 3, (10, 2.2 * lines + 1.7), sharex=True, sharey=True)
    z = np.linspace(-3, 3, 301)
    for ax, (name, activation) in zip(axes.flat, ACTIVATIONS.items()):
        layer = activation()
        ax.plot(z, layer.forward(z), "-", color=ACTIVATION_COLORS.get(name, GREY))
        ax.plot(z, layer.backward(np.ones_like(z)), "--", color=ACTIVATION_COLORS.get(name, GREY))
        ax.set_title(name, loc="left", weight="bold", color=ACTIVATION_COLORS.get(name, GREY))
        ax.set(xlabel="z", ylabel="a, da/dz")
        ax.label_outer()
    legend = [Line2D([], [], color="black", label="a = f(z)"),
              Line2D([], [], color="black", linestyle="--", label="da/dz = f '(z)")]  # fmt: skip
    legend_right(figure, legend, top=0.75)
    return figure


def save(figures: dict[str, Figure], folder: Path) -> list[Path]:
    """Write each figure to folder/NAME.png in one step; return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, figure in figures.items():
        path = folder / f"{name}.png"
        temporary = folder / f".{name}.{os.getpid()}.tmp"
        try:
            figure.savefig(temporary, format="png", pil_kwargs={"compress_level": 1})
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        paths.append(path)
    return paths
