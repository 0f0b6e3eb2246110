"""Every figure of the lab, drawn from the logs of the runs alone (train -> JSON -> plot).

One colour per activation and one line style per optimizer, in every figure. Learning rates and
schedules of the same optimizer differ by marker. Seeds of the same cell of the grid become one
curve, their mean, in a band that is its 95 % t-interval.
"""

import base64
import math
from collections import defaultdict
from functools import partial
from itertools import cycle, product
from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib import colormaps, rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from findings.comparisons import place, t_interval
from nnlite.activations import ACTIVATIONS
from nnlite.files import replacing
from nnlite.network import INITIALIZERS
from nnlite.optimizers import OPTIMIZERS
from nnlite.schedulers import SCHEDULERS
from nnlite.training.config import Config, hidden_name
from nnlite.training.logs import summarize

GREY, ALARM = "#666666", "#B00020"
# Okabe & Ito's palette, which colour-blind readers can tell apart too: purple, orange, blue, sky
# blue, green and vermilion for nnlite's own activations, black and brown for the next ones.
PALETTE = "#CC79A7 #E69F00 #0072B2 #56B4E9 #009E73 #D55E00 #000000 #8C510A".split()
# Dashed, dash-dotted, dotted, solid, and solid but for small gaps: adamw is almost adam.
DASHES = [(0, (2.5, 1.5)), (0, (6, 1.5, 1.2, 1.5)), (0, (1, 1.2)), "-", (0, (9, 1.2))]
ACTIVATION_COLORS = defaultdict(lambda: GREY, zip(ACTIVATIONS, cycle(PALETTE)))
OPTIMIZER_STYLES = defaultdict(lambda: "-", zip(OPTIMIZERS, cycle(DASHES)))
MARKERS = "os^Dv*Pph<>d"
DPI = 120
MANY_CELLS = 30  # more curves than that cannot be told apart
rcParams.update({
    "text.parse_math": False,  # a name with two $ in it is a name, not a formula
    "font.size": 12, "axes.titlesize": 12, "figure.titlesize": 14, "legend.fontsize": 11,
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": GREY,
    "axes.grid": True, "grid.color": "#E4E4E4", "axes.axisbelow": True, "axes.titley": 1.0,
    "lines.linewidth": 2, "legend.frameon": False, "legend.handlelength": 2.8,
})  # fmt: skip

LOSS = "cross-entropy (nats)"
GRADIENT = "mean |gradient| (nats)"  # per unit of weight, which is a pure number
MAX_LOSS = 1.5 * np.log(10)  # ten classes held equally likely cost ln 10: far more is an accident
SCALES = {  # how numbers become heights, and back
    "linear": (lambda v: v, lambda h: h),
    "log": (lambda v: np.log(np.maximum(v, 1e-30)), np.exp),
    # For accuracies in %: the log of the errors, from 101 so that 100 % has a place too.
    "errors": (lambda v: -np.log(np.maximum(101 - v, 0.5)), lambda h: 101 - np.exp(-h)),
}


def table(rows: list[list]) -> np.ndarray:
    """Lists of numbers, of any lengths, as one array; NaN where a number is None or missing."""
    longest = max(map(len, rows))
    return np.array([[*row, *[None] * (longest - len(row))] for row in rows], dtype=float)


def square(image: str) -> np.ndarray:
    """Return the pixels of an entry of a log's most_wrong as a square, filled up with 0 if need be.

    So samples that are no square images are seen as squares of their numbers, row by row.
    """
    pixels = np.frombuffer(base64.b64decode(image), dtype="uint8")
    side = math.ceil(math.sqrt(len(pixels)))
    return np.pad(pixels, (0, side * side - len(pixels))).reshape(side, side)


def arrange(logs: list[dict]) -> tuple[list[str], dict[tuple, str], dict[tuple, list[dict]]]:
    """Return the grid: its rows, its columns with their names, and the logs of each cell.

    A row is an activation, a column all other settings but the seed, optimizer first; a cell is a
    (row, column). A column's name says what it does not share with all the others.
    """

    cells: dict[tuple, list[dict]] = {}
    for log in logs:
        c = log["config"]
        column = (c["optimizer"], c["learning_rate"], c["scheduler"],
                  c["batch_size"], c["init"], tuple(c["hidden"]))  # fmt: skip
        cells.setdefault((c["activation"], column), []).append(log)
    rows = sorted({row for row, _ in cells}, key=lambda row: place(row, ACTIVATIONS))

    def order(column: tuple) -> tuple:
        optimizer, rate, scheduler, batch_size, init, hidden = column
        return (place(optimizer, OPTIMIZERS), rate, place(scheduler, SCHEDULERS), batch_size,
                place(init, INITIALIZERS), len(hidden), hidden)  # fmt: skip

    keys = sorted({column for _, column in cells}, key=order)
    varies = [len(set(values)) > 1 for values in zip(*keys)]
    columns = {}
    for column in keys:
        optimizer, rate, scheduler, batch_size, init, hidden = column
        rates = {r for o, r, *_ in keys if o == optimizer}
        parts = [optimizer, f"lr={rate:g}" if len(rates) > 1 else "", scheduler]
        parts += [f"batch={batch_size}" if varies[3] else "", init if varies[4] else ""]
        parts += [hidden_name(hidden) if varies[5] else ""]
        columns[column] = " ".join(part for part in parts if part not in ("", "none"))
    cells = {key: cells[key] for key in product(rows, columns) if key in cells}
    return rows, columns, cells


def divergence(logs: list[dict]) -> str:
    """Say how many of a cell's seeds diverged, and when; "" if none did."""
    epochs = [log["diverged"]["epoch"] for log in logs if log["diverged"]]
    who = f"{len(epochs)} of {len(logs)} seeds " if len(logs) > 1 else ""
    return f"{who}diverged at epoch {', '.join(map(str, sorted(set(epochs))))}" if epochs else ""


def seeds_note(logs: list[dict]) -> str:
    """Say what the curves and numbers of a grid with several seeds are; "" if there is one."""
    n = sorted({len(seeds) for seeds in arrange(logs)[2].values()})
    several = f"{n[0]} to {n[-1]}" if len(n) > 1 else n[0]
    return f"mean of {several} seeds, 95 % t-interval" if n[-1] > 1 else ""


def new_figure(
    title: str, logs: list[dict], rows: int = 1, columns: int = 1, size: tuple = (9, 4.2),
    note: str = "", top: float = 0.85, left: float = 1.05, **subplots,
) -> tuple[Figure, np.ndarray]:  # fmt: skip
    """Return a figure, with a title and a line that names the data, and the array of its axes.

    note: what else that line says. size, and the margins top and left, are in inches.
    """
    width, height = size
    figure = Figure(figsize=size, dpi=DPI)
    axes = figure.subplots(rows, columns, squeeze=False, **subplots)
    # Margins by hand: matplotlib's automatic layouts draw everything twice to find them.
    figure.subplots_adjust(left / width, 0.9 / height, 1 - 0.2 / width, 1 - top / height, 0.28)
    text = figure.suptitle(title, x=0.15 / width, y=1 - 0.12 / height, ha="left", va="top")
    too_long = text.get_window_extent().width / ((width - 0.3) * DPI)
    text.set_fontsize(text.get_fontsize() / max(1, too_long))

    datasets = {log["dataset"]["name"]: log["dataset"]["note"] for log in logs}
    warning = "digits, not Fashion-MNIST" if "digits" in datasets else "".join(datasets.values())
    figure.text(0.15 / width, 0.12 / height, f"lab data: {warning or ', '.join(datasets)}"[:80],
                fontsize=11, color=ALARM if warning else GREY)  # fmt: skip
    figure.text(1 - 0.15 / width, 0.12 / height, note, ha="right",
                fontsize=11, color=ALARM if "diverged" in note else GREY)  # fmt: skip
    return figure, axes


def epoch_axis(ax: Axes, epochs: int) -> None:
    """Make x the epochs, 1 to `epochs`, with room for a marker at both ends."""
    room = 0.03 * (epochs - 1) or 0.5
    ax.set_xlim(1 - room, epochs + room)
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    ax.set_xlabel("epoch")


def log_ticks(bottom: float, top: float) -> np.ndarray:
    """Return round numbers between bottom and top that are well spread on a log axis."""
    if top < 3 * bottom:
        ticks = MaxNLocator(7, steps=[1, 2, 5, 10]).tick_values(bottom, top)
    else:
        first, last = np.floor(np.log10([bottom, top]))
        decades = 10 ** np.arange(first, last + 1, max(1, (last - first) // 4))
        choices = {8: [1, 1.5, 2, 3, 4, 5, 6, 8], 40: [1, 2, 3, 5], 1000: [1, 3], np.inf: [1]}
        digits = next(choice for limit, choice in choices.items() if top / bottom < limit)
        ticks = np.outer(decades, digits).ravel()
    return ticks[(bottom < ticks) & (ticks < top)]


def value_axis(
    ax: Axes, label: str, values: np.ndarray, scale: str = "linear", ceiling: float = np.inf
) -> None:
    """Make y, one of SCALES, fit all values up to the ceiling; bands may run out of it."""
    ax.set_ylabel(label)
    fit = values[np.isfinite(values) & ((values > 0) | (scale != "log"))]
    if not fit.size:
        ax.text(0.5, 0.4, "no values to show", transform=ax.transAxes, ha="center")
        ax.set(ylim=(0, 1), yticks=[])
        return
    forward, back = SCALES[scale]
    low, high = forward(fit.min()), forward(max(fit.min(), min(fit.max(), ceiling)))
    room = 0.05 * (high - low) if high - low > 0.01 else 0.2
    bottom, top = back(low - room), back(high + room)
    if scale == "log":
        ax.set_yscale("log")
        ax.set_yticks(log_ticks(bottom, top))
        ax.yaxis.set(minor_locator=NullLocator(), major_formatter="{x:g}")  # quickest to draw
    elif scale == "errors":
        ax.set_yscale("function", functions=SCALES[scale])
        ax.set_yticks(100 - log_ticks(max(100 - top, 0.5), 100 - bottom))
    ax.set_ylim(bottom, top)


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


def layer_looks(layers: int) -> list[dict]:
    """Return colour and marker of each layer: black to grey from the first to the last."""
    greys = colormaps["Greys_r"](np.linspace(0, 0.6, layers))
    return [{"color": grey, "marker": marker} for grey, marker in zip(greys, cycle(MARKERS))]


def draw_layers(ax: Axes, logs: list[dict], metric: str) -> list[Line2D]:
    """Draw one curve per layer, mean over the seeds."""
    seeds = [weight_gradients(log, metric) for log in logs]
    lines = []
    for layer, look in zip(seeds[0], layer_looks(len(seeds[0]))):
        rows = table([seed[layer] for seed in seeds])
        lines.append(draw_curve(ax, rows, label=layer, **look))
    return lines


def legend_right(figure: Figure, lines: list[Line2D], top: float, title: str = "") -> None:
    """Put the legend beside the axes, which make room for it; top is its distance in inches."""
    width, height = figure.get_size_inches()
    place = {"loc": "upper right", "bbox_to_anchor": (1, 1 - top / height)}
    legend = figure.legend(handles=lines, title=title, alignment="left", **place)
    figure.subplots_adjust(right=1 - (legend.get_window_extent().width / DPI + 0.1) / width)


def run_name(log: dict) -> str:
    """Say what run a figure shows; settings as usual are left out."""
    c = log["config"]
    parts = [f"{c['activation']} + {c['optimizer']}", f"lr {c['learning_rate']:g}"]
    parts += [] if c["scheduler"] == "none" else [c["scheduler"]]
    parts += [] if c["batch_size"] == Config.batch_size else [f"batch {c['batch_size']}"]
    parts += [] if c["init"] == Config.init else [c["init"]]
    parts += [] if tuple(c["hidden"]) == Config.hidden else [f"hidden {hidden_name(c['hidden'])}"]
    return ", ".join([*parts, f"seed {c['seed']}"])


def run_figures(log: dict) -> dict[str, Figure]:
    """Return the figures of one run by name."""
    c, epochs = log["config"], log["epoch"][-1]
    new = partial(new_figure, run_name(log), [log], note=divergence([log]))
    color, style = ACTIVATION_COLORS[c["activation"]], OPTIMIZER_STYLES[c["optimizer"]]
    look = {"color": color, "linestyle": style}
    points = {**look, "marker": "o", "linewidth": 1.2, "markerfacecolor": "white"}
    figures = {}

    figures["loss_accuracy"], ((left, right),) = new(columns=2)
    losses, accuracy = table([log["train_loss"], log["val_loss"]]), table([log["val_accuracy"]])
    above = {"loc": "lower left", "bbox_to_anchor": (-0.03, 0.98), "ncols": 2}
    draw_curve(left, losses[:1], label="training", marker="o" if epochs < 3 else "", **look)
    draw_curve(left, losses[1:], label="validation", **points)
    value_axis(left, LOSS, losses, ceiling=MAX_LOSS)
    draw_curve(right, accuracy, **points)
    value_axis(right, "validation accuracy (%)", accuracy)
    best, epoch = (summarize(log)[key] for key in ("best_val_accuracy", "best_epoch"))
    if best is not None:
        label = f"best: {best:.2f} % at epoch {epoch}"
        right.plot(epoch, best, "*", markersize=15, color="black", label=label)
        right.legend(**above)
    left.legend(**above)

    if c["scheduler"] != "none":
        figures["learning_rate"], ((left,),) = new(size=(7, 4), top=0.6)
        rates = table([log["learning_rate"]])
        draw_curve(left, rates, **points)
        value_axis(left, "learning rate (unitless)", rates, "log")

    figures["gradient_flow"], ((left, right),) = new(columns=2, sharey=True)
    lines = draw_layers(left, [log], "mean_abs")
    value_axis(left, GRADIENT, table([*weight_gradients(log, "mean_abs").values()]), "log")
    last = epochs - 1 if log["diverged"] and epochs > 1 else epochs
    for x, line in enumerate(lines):
        y = line.get_ydata()[last - 1]
        right.plot(x, y, line.get_marker(), color=line.get_color(), markersize=12)
    right.set_xticks(range(len(lines)), [line.get_label() for line in lines])
    right.set(xlim=(-0.5, len(lines) - 0.5), xlabel="layer")
    right.set_title(f"at epoch {last}", loc="left")
    legend_right(figures["gradient_flow"], lines, 0.75, "weight of")

    if c["activation"] in ("relu", "leaky_relu", "elu"):
        figures["zero_gradients"], ((left,),) = new(size=(7.5, 4), top=0.6)
        lines = draw_layers(left, [log], "pct_zero")
        legend_right(figures["zero_gradients"], lines, 0.5, "weight of")
        shares = table([*weight_gradients(log, "pct_zero").values()])
        from_0_to_1 = [0 * shares, 0 * shares + 1]  # at least, where there are any
        value_axis(left, "share of zero gradients (%)", np.append(shares, from_0_to_1))

    for ax in (ax for figure in figures.values() for ax in figure.axes if not ax.get_xlabel()):
        epoch_axis(ax, epochs)
    return figures


def grid_figures(logs: list[dict]) -> dict[str, Figure]:
    """Return the figures that compare all runs, by name; of too many cells, no curves."""
    if len(arrange(logs)[2]) > MANY_CELLS:
        return {"activations": activations(logs)}
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
    falling = metric == "train_loss"
    legend_lines = len(cells) + sum(divergence(seeds) > "" for seeds in cells.values())
    size = (10, max(5, 0.24 * legend_lines + 1))
    title = "Training loss" if falling else "Validation accuracy"
    figure, ((ax,),) = new_figure(title, logs, size=size, note=seeds_note(logs), top=0.6)
    values = table([log[metric] for log in logs])
    if falling:
        value_axis(ax, f"{LOSS}, log scale", values, "log", MAX_LOSS)
    else:
        value_axis(ax, "accuracy (%), errors on a log scale", values, "errors")
    epoch_axis(ax, epochs)
    worst = ax.get_ylim()[1 if falling else 0]

    # Line styles do not tell learning rates apart, nor anything on a curve of one point.
    marked = epochs < 3 or len(columns) > len({optimizer for optimizer, *_ in columns})
    markers = dict(zip(columns, cycle(MARKERS if marked else [""])))
    ranked = []
    for (activation, column), seeds in cells.items():
        color, style = ACTIVATION_COLORS[activation], OPTIMIZER_STYLES[column[0]]
        rows = table([log[metric] for log in seeds])
        line = draw_curve(ax, rows, color=color, linestyle=style, marker=markers[column])
        for log, row in zip(seeds, rows, strict=True):
            if log["diverged"]:
                measured = np.flatnonzero(np.isfinite(row))
                x = measured[-1] + 1 if len(measured) else log["diverged"]["epoch"]
                y = np.clip(row[x - 1], *ax.get_ylim()) if len(measured) else worst
                edge = {"markeredgecolor": "black", "zorder": 3, "clip_on": False}
                ax.plot(x, y, "X", color=color, markersize=11, **edge)
        last = t_interval(rows[[not log["diverged"] for log in seeds]])[0][-1]
        number = "–" if np.isnan(last) else f"{last:.3f}" if falling else f"{last:.1f}"
        note = f"\n✖ {divergence(seeds)}" if divergence(seeds) else ""
        line.set_label(f"{number}  {activation} + {columns[column]}{note}")
        ranked.append((np.isnan(last), last if falling else -last, line))
    ranked.sort(key=lambda entry: entry[:2])
    legend_right(figure, [line for *_, line in ranked], 0.5, "at the last epoch, best first")
    return figure


def comparison_grid(logs: list[dict]) -> Figure:
    """Return a figure of three tables, activations by optimizers, coloured from bad to good."""
    rows, columns, cells = arrange(logs)
    beside = len(columns) <= 3  # then the three tables fit beside one another
    width, height = max(1.1 * len(columns), 1.6), 0.75 * len(rows)
    size = (3 * width + 1.9, height + 2.1) if beside else (width + 1.5, 3 * height + 4.5)
    figure, axes = new_figure(
        "Comparison of the runs (darker is better)", logs, *((1, 3) if beside else (3, 1)), size,
        seeds_note(logs), top=1.2, left=1.25, sharey=True,
    )  # fmt: skip
    figure.subplots_adjust(wspace=0.1, hspace=1.2 / height)
    metrics = [("final_loss", "final training\nloss (nats)", 3, "log"),
               ("best_val_accuracy", "best validation\naccuracy (%)", 1, "errors"),
               ("test_accuracy", "test\naccuracy (%)", 1, "errors")]  # fmt: skip
    for ax, (metric, title, digits, scale) in zip(axes.flat, metrics, strict=True):
        means = np.full((len(rows), len(columns)), np.nan)
        for i, j in np.ndindex(means.shape):
            seeds = cells.get((rows[i], list(columns)[j]), [])
            numbers = [summarize(log)[metric] for log in seeds if not log["diverged"]]
            means[i, j], half = t_interval(np.array(numbers, dtype=float))
            parts = [f"{means[i, j]:.{digits}f}", f"± {half:.{digits}f}"]
            parts = [part for part in parts if "nan" not in part]
            text = "\n".join([*parts, fill(divergence(seeds), 13)]).strip() or "–"
            ax.text(j + 0.5, i + 0.5, text, ha="center", va="center", linespacing=1.05,
                    fontsize=12 if text.count("\n") < 2 else 10)  # fmt: skip
        shades = SCALES[scale][0](means) * (-1 if metric == "final_loss" else 1)
        known = shades[np.isfinite(shades)]
        worst, best = (known.min(), known.max()) if len(known) else (0, 1)
        span = best - worst or 1  # the map's dark end stays unused: black text is read on all cells
        ax.pcolormesh(shades, cmap="YlGnBu", edgecolors="white", linewidth=2,
                      vmin=worst - 0.1 * span, vmax=best + 0.8 * span)  # fmt: skip
        labels = [name.replace(" ", "\n").replace("_", "_\n") for name in columns.values()]
        ax.set_xticks(np.arange(len(columns)) + 0.5, labels)
        ax.set_yticks(np.arange(len(rows)) + 0.5, rows)
        for label in ax.get_yticklabels():
            label.set(color=ACTIVATION_COLORS[label.get_text()], weight="bold")
        ax.set_title(title, loc="left")
        ax.set(facecolor="#EEEEEE", ylim=(len(rows), 0))
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)
        ax.grid(False)
    return figure


def gradient_flow(logs: list[dict]) -> Figure:
    """Return a figure with a panel per cell: mean |gradient| of each layer's weight by epoch."""
    rows, columns, cells = arrange(logs)
    size = (max(7, 2.1 * len(columns) + 2), max(3.8, 1.4 * len(rows) + 1.7))
    figure, axes = new_figure("Gradient flow", logs, len(rows), len(columns), size,
                              seeds_note(logs), left=1.4, sharex=True, sharey=True)  # fmt: skip
    for (i, j), ax in np.ndenumerate(axes):
        if seeds := cells.get((rows[i], list(columns)[j])):
            layers = draw_layers(ax, seeds, "mean_abs")
            ax.text(0.98, 0.05, fill(divergence(seeds), 16), transform=ax.transAxes, ha="right",
                    fontsize=11, color=ALARM)  # fmt: skip
        else:
            ax.text(0.5, 0.5, "–", transform=ax.transAxes)
        epoch_axis(ax, max(log["epoch"][-1] for log in logs))
        ax.set_ylabel(rows[i], color=ACTIVATION_COLORS[rows[i]], weight="bold")
        ax.label_outer()
    for ax, name in zip(axes[0], columns.values(), strict=True):
        ax.set_title(name)
    gradients = [g for log in logs for g in weight_gradients(log, "mean_abs").values()]
    value_axis(axes[0, 0], rows[0], table(gradients), "log")
    figure.subplots_adjust(wspace=0.08, hspace=0.12)
    figure.text(0.15 / size[0], 0.5, GRADIENT, rotation=90, va="center")
    legend_right(figure, layers, 0.75, "weight of")
    return figure


def activations(logs: list[dict]) -> Figure:
    """Return a figure of nnlite's activation functions and derivatives, by nnlite's own code."""
    title, lines = "Activation functions and their derivatives", -(-len(ACTIVATIONS) // 3)
    size = (10, 2.2 * lines + 1.7)
    figure, axes = new_figure(title, logs, lines, 3, size, sharex=True, sharey=True)
    z = np.linspace(-3, 3, 301)
    for ax, (name, activation) in zip(axes.flat, ACTIVATIONS.items(), strict=False):
        layer, color = activation(), ACTIVATION_COLORS[name]
        ax.plot(z, layer.forward(z), "-", color=color)
        ax.plot(z, layer.backward(np.ones_like(z)), "--", color=color)
        ax.set_title(name, loc="left", weight="bold", color=color)
        ax.set(xlabel="z", ylabel="a, da/dz")
        ax.label_outer()
    legend = [Line2D([], [], color="black", label="a = f(z)"),
              Line2D([], [], color="black", linestyle="--", label="da/dz = f '(z)")]  # fmt: skip
    legend_right(figure, legend, 0.75)
    return figure


def save(figures: dict[str, Figure], folder: Path) -> list[Path]:
    """Write each figure to folder/NAME.png, in one step; return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {folder / f"{name}.png": figure for name, figure in figures.items()}
    for path, figure in paths.items():
        with replacing(path) as file:
            figure.savefig(file, format="png", pil_kwargs={"compress_level": 1})
    return list(paths)
