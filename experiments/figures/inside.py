"""Figures of what goes on inside the networks, drawn from the logs alone.

What is measured, and which paper proposes it, is in nnlite/diagnostics.py. Layers are greys, black
for the first, as in all figures; what belongs to no layer has the colour of the activation.
"""

from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from figures.style import (
    ACTIVATION_COLORS,
    ALARM,
    GREY,
    arrange,
    divergence,
    draw_curve,
    epoch_axis,
    layer_looks,
    legend_right,
    new_figure,
    run_name,
    seeds_note,
    square,
    t_interval,
    table,
    value_axis,
)

UPDATE_RATIO = "log10(|update| / |weight|)"
GUIDE = -3  # an update of a thousandth of the weight: A. Karpathy's rule of thumb
DEAD, ZERO, SATURATED = "dead units (%)", "zero gradients (%)", "saturated outputs (%)"
MEANING = {
    DEAD: "output 0 for every probe image",
    ZERO: "of the weights, in one batch",
    SATURATED: "within 5 % of an end of the range",
}
BEYOND = 0.005  # share of numbers below the first bin of a histogram, and above the last
LIGHT = "#C8C8C8"
MAX_PANELS, MAX_ROWS = 15, 40  # a figure of more cells than that would be unreadable


# What is drawn: a row of numbers for each layer, NaN where the log has None


def log_ratios(log: dict) -> dict[str, np.ndarray]:
    """Return log10(|update| / |weight|) of each layer by epoch; NaN also where nothing moved."""
    ratios = table([*log["update_ratio"].values()])
    return dict(zip(log["update_ratio"], np.log10(np.where(ratios > 0, ratios, np.nan))))


def from_start(log: dict, part: str, kind: str, metric: str) -> np.ndarray:
    """Return a metric of the layers with `kind` in their name: before training, then by epoch.

    part is "probe" or "gradient_stats". The array is (layers, 1 + epochs), or empty.
    """
    rows = [
        [log["initial"][part][name][metric], *history[metric]]
        for name, history in log[part].items()
        if kind in name and metric in history
    ]
    return np.array(rows, dtype=float)


def shares(log: dict) -> dict[str, np.ndarray]:
    """Return how much of each layer is stuck, in percent, by the three measures of it."""
    return {
        DEAD: from_start(log, "probe", "act", "dead"),
        ZERO: from_start(log, "gradient_stats", ".weight", "pct_zero"),
        SATURATED: from_start(log, "probe", "act", "saturated"),
    }


def last_measured(values: np.ndarray) -> float:
    """Return the last number that is not NaN; NaN if there is none."""
    measured = values[np.isfinite(values)]
    return measured[-1] if len(measured) else np.nan


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


# One run


def run_diagnostics(log: dict) -> dict[str, Figure]:
    """Return the diagnostic figures of one run by name, without those that would show nothing."""
    figures = {
        "update_ratio": update_ratio(log),
        "signal": signal(log),
        "units": units(log),
        "saturation": saturation(log),
        "histogram_activations": histograms(log, "act", "Activations", "output a"),
        "histogram_gradients": histograms(log, "fc", "Gradients dL/dz", "dL/dz (nats)"),
        "confusion": confusion(log),
        "most_wrong": most_wrong(log),
    }
    return {name: figure for name, figure in figures.items() if figure}


def run_figure(log: dict, title: str, size: tuple, note: str = "", **subplots) -> tuple:
    """Return new_figure(...) with the title, the name of the run below it, and its divergence."""
    note = divergence([log]) or note
    return new_figure(f"{title}\n{run_name(log)}", [log], size=size, note=note,
                      **{"top": 1.05, **subplots})  # fmt: skip


def height(layers: int) -> float:
    """Return the height of a figure, in inches, whose legend has a line for each layer."""
    return max(4.4, 0.25 * layers + 2)


def draw_from_start(ax: Axes, layers: np.ndarray, looks: list[dict]) -> None:
    """Draw a curve for each layer, from epoch 0: before training."""
    for k, (values, look) in enumerate(zip(layers, looks), start=1):
        ax.plot(values, label=f"layer {k}", markevery=-(-len(values) // 10), **look)
    epochs = layers.shape[1] - 1
    epoch_axis(ax, epochs)
    ax.set(xlim=(-0.03 * epochs, 1.03 * epochs), xlabel="epoch (0: before training)")


def draw_guide(ax: Axes) -> Line2D:
    label = f"\N{MINUS SIGN}{-GUIDE}: rule of thumb\n(A. Karpathy)"
    return ax.axhline(GUIDE, color=GREY, linestyle="--", linewidth=1.5, zorder=1, label=label)


def update_ratio(log: dict) -> Figure | None:
    """How far the last step of each epoch moved the weight of each layer."""
    layers = log_ratios(log)
    values = table([*layers.values()])
    if not np.isfinite(values).any():
        return None
    figure, ((ax,),) = run_figure(log, "Size of the updates", (8, height(len(layers))), top=0.85)
    looks = layer_looks(len(layers))
    lines = [draw_curve(ax, layers[name][None], label=name, **look)
             for name, look in zip(layers, looks)]  # fmt: skip
    lines.append(draw_guide(ax))
    value_axis(ax, UPDATE_RATIO, np.append(values, GUIDE))
    epoch_axis(ax, log["epoch"][-1])
    legend_right(figure, lines, 0.75, "weight of")
    return figure


def signal(log: dict) -> Figure | None:
    """The gradient that reaches each layer: by epoch, and from layer to layer."""
    layers = from_start(log, "probe", "fc", "gradient_norm")
    if not (layers > 0).any():
        return None
    looks = layer_looks(len(layers))
    figure, ((left, right),) = run_figure(log, "Gradient that reaches each layer",
        (10, height(len(layers))), columns=2, sharey=True)  # fmt: skip
    draw_from_start(left, layers, looks)
    value_axis(left, "norm of dL/dz (nats)", layers, "log")
    last = np.flatnonzero(np.isfinite(layers).any(axis=0))[-1]
    numbers = np.arange(len(layers)) + 1
    ends = {last: {"label": f"after epoch {last}"}}
    ends[0] = {"label": "before training", "linestyle": "--", "markerfacecolor": "white",
               "zorder": 3}  # fmt: skip
    lines = [right.plot(numbers, layers[:, epoch], marker="o", color=GREY, **look)[0]
             for epoch, look in sorted(ends.items())]  # fmt: skip
    right.set(xlabel="layer", xlim=(0.6, len(layers) + 0.4))
    right.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_right(figure, [*left.lines, *lines], 0.95)
    return figure


def units(log: dict) -> Figure | None:
    """Dead units, beside the lab sheet's indicator of them, which is something else."""
    found, shown = shares(log), (DEAD, ZERO)
    values = np.concatenate([found[label].ravel() for label in shown])
    if not (found[DEAD].size and (values > 0).any()):
        return None
    layers = len(found[ZERO])
    figure, (axes,) = run_figure(log, "Dead units are not zero gradients", (10, height(layers)),
                                 columns=2, sharey=True)  # fmt: skip
    for ax, label in zip(axes, shown):
        draw_from_start(ax, found[label], layer_looks(layers))
        ax.set_title(MEANING[label], loc="left")
        ax.set_ylabel(label)
    value_axis(axes[0], DEAD, np.append(values, [0, 1]))
    legend_right(figure, axes[1].lines, 0.95)
    return figure


def saturation(log: dict) -> Figure | None:
    """Outputs of sigmoid and tanh where the function is nearly flat."""
    layers = shares(log)[SATURATED]
    if not layers.size:
        return None
    figure, ((ax,),) = run_figure(log, "Saturation", (8, height(len(layers))))
    draw_from_start(ax, layers, layer_looks(len(layers) + 1))
    ax.set_title(MEANING[SATURATED], loc="left")
    value_axis(ax, SATURATED, np.append(layers, [0, 1]))
    legend_right(figure, ax.lines, 0.95)
    return figure


def histograms(log: dict, kind: str, title: str, label: str) -> Figure | None:
    """Densities in each layer, first and last epoch (Glorot & Bengio 2010, figures 2-4 and 6-7).

    On a log scale, as most numbers may share one bin: relu's outputs that are 0, or the gradients
    of images that are classified well.
    """
    first, last = log["histograms"]["first"], log["histograms"]["last"]
    names = [name for name in first if name.startswith(kind)]
    if not names:
        return None
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    size = (2.8 * columns + 2.1, 2.2 * rows + 1.7)
    note = f"without the outer {100 * BEYOND:g} % on each side"
    figure, axes = run_figure(log, title, size, note, rows=rows, columns=columns)
    figure.subplots_adjust(hspace=0.55, wspace=0.4)
    color = ACTIVATION_COLORS[log["config"]["activation"]]
    for ax, name in zip(axes.flat, names):
        heights, edges = densities(first[name])
        ax.stairs(heights, edges, baseline=1e-300, fill=True, color=LIGHT)
        if last:
            dark, edges = densities(last[name])
            ax.stairs(dark, edges, baseline=None, color=color, linewidth=1.5)
            heights = np.append(heights, dark)
        if (heights > 0).sum() > 1 + bool(last):
            value_axis(ax, "", heights, "log")
        else:  # a single bin, the width of which means nothing
            ax.set_yticks([])
            ax.text(0.54, 0.5, "all the same", transform=ax.transAxes)
        ax.xaxis.set(major_locator=MaxNLocator(3), major_formatter="{x:g}")
        ax.set_title(name, loc="left")
        ax.set_xlabel(label)
    for ax in axes.flat[len(names) :]:
        ax.set_axis_off()
    for ax in axes[:, 0]:
        ax.set_ylabel("density")
    legend = [Patch(color=LIGHT, label="first"), Line2D([], [], color=color, label="last")]
    legend_right(figure, legend if last else legend[:1], 0.95, "epoch")
    return figure


def confusion(log: dict) -> Figure | None:
    """What share of each class is taken for which class, on the test set."""
    if log["test_confusion"] is None:
        return None
    counts, classes = np.array(log["test_confusion"]), log["dataset"]["classes"]
    images = counts.sum(axis=1, keepdims=True)
    percent = 100 * counts / np.maximum(images, 1)
    longest, side = max(map(len, classes)), 0.55 * len(classes)
    bottom = 0.9 + 0.075 * longest  # inches, for names at an angle
    size = (max(side + 1.9, 7), side + bottom + 0.85)
    title, note = "Confusion on the test set (%)", "rows add up to 100 %"
    figure, ((ax,),) = run_figure(log, title, size, note, top=0.85, left=1.6)
    figure.subplots_adjust(bottom=bottom / size[1])
    # Errors only, or the diagonal would outshine them. The map's dark end stays unused: black
    # text is read on all cells.
    errors = np.where(np.eye(len(classes)), np.nan, percent)
    most = max(1, np.nanmax(errors, initial=0))
    ax.pcolormesh(errors, cmap="Oranges", vmin=0, vmax=1.7 * most, edgecolors="white")
    for i, j in np.argwhere(counts + np.eye(len(classes))):
        text = f"{percent[i, j]:.{0 if percent[i, j] >= 9.95 or i == j else 1}f}"
        ax.text(j + 0.5, i + 0.53, text, ha="center", va="center",
                weight="bold" if i == j else "normal")  # fmt: skip
    ticks = np.arange(len(classes)) + 0.5
    at_an_angle = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    ax.set_xticks(ticks, classes, **at_an_angle if longest > 3 else {})
    ax.set_yticks(ticks, classes)
    ax.set(xlabel="predicted class", ylabel="true class")
    ax.set(facecolor="#E4E4E4", ylim=(len(classes), 0))
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.grid(False)
    return figure


def most_wrong(log: dict) -> Figure | None:
    """The test images that are most confidently taken for another class."""
    classes = log["dataset"]["classes"]
    if not log["most_wrong"]:
        return None
    rows = -(-len(log["most_wrong"]) // 4)
    size = (8.4, 2.15 * rows + 1.05)
    note = "true class → predicted class, and its probability"
    figure, ((ax,),) = run_figure(log, "Most confidently wrong", size, note, left=0.2, top=0.75)
    figure.subplots_adjust(bottom=0.4 / size[1])
    for k, wrong in enumerate(log["most_wrong"]):
        x, y = 1.4 * (k % 4), 1.5 * (k // 4)
        ax.imshow(square(wrong["image"]), cmap="gray_r", interpolation="nearest",
                  extent=(x, x + 1, y + 1, y))  # fmt: skip
        p = wrong["probability"]
        text = f"{classes[wrong['label']]} → {classes[wrong['predicted']]}\n"
        text += "> 99.99 %" if p > 0.9999 else f"{100 * p:.2f} %"
        ax.text(x + 0.5, y - 0.04, text, ha="center", fontsize=11)
    ax.set(xlim=(-0.2, 5.4), ylim=(1.5 * rows - 0.45, -0.33))
    ax.set_axis_off()
    return figure


# All cells of a grid


def grid_diagnostics(logs: list[dict]) -> dict[str, Figure]:
    """Return the diagnostic figures that compare the cells of a grid, by name.

    Without those that would show nothing, or be too large to be read.
    """
    figures = {"update_ratio": update_ratios(logs), "units": stuck_shares(logs)}
    return {name: figure for name, figure in figures.items() if figure}


def update_ratios(logs: list[dict]) -> Figure | None:
    """A panel per cell: how far a step moves the weight of each layer, by epoch."""
    _, columns, cells = arrange(logs)
    values = table([ratios for log in logs for ratios in log_ratios(log).values()])
    if len(cells) > MAX_PANELS or not np.isfinite(values).any():
        return None
    across = len(columns) if len(columns) <= 5 else 4
    rows = -(-len(cells) // across)
    deepest = max((log_ratios(log) for log in logs), key=len)
    looks = dict(zip(deepest, layer_looks(len(deepest))))
    names = [f"{row}\n{fill(columns[column], 21)}" for row, column in cells]
    lines = max(name.count("\n") for name in names) + 1  # of text above each panel
    size = (max(7, 2.2 * across + 2.9), max(height(len(looks)), (1.6 + 0.2 * lines) * rows + 1.6))
    figure, axes = new_figure("Size of the updates", logs, rows, across, size, seeds_note(logs),
                              top=0.7 + 0.2 * lines, sharex=True, sharey=True)  # fmt: skip
    figure.subplots_adjust(wspace=0.08, hspace=0.2 + 0.15 * lines)
    for ax in axes.flat[len(cells) :]:
        ax.set_axis_off()
    for n, (ax, name, seeds) in enumerate(zip(axes.flat, names, cells.values())):
        of_seeds = [log_ratios(log) for log in seeds]
        for layer, look in looks.items():
            if curves := [ratios[layer] for ratios in of_seeds if layer in ratios]:
                draw_curve(ax, table(curves), **look)
        if not any(np.isfinite(row).any() for ratios in of_seeds for row in ratios.values()):
            ax.text(0.5, 0.5, "–", transform=ax.transAxes)
        line = draw_guide(ax)
        epoch_axis(ax, values.shape[1])
        if n < len(cells) - across:  # there is a panel below
            ax.set_xlabel("")
        ax.tick_params(labelbottom=n >= len(cells) - across)
        ax.set_title(name, color=ACTIVATION_COLORS[name.split("\n")[0]])
        ax.text(0.98, 0.05, fill(divergence(seeds), 16), transform=ax.transAxes, ha="right",
                fontsize=11, color=ALARM)  # fmt: skip
    value_axis(axes[0, 0], UPDATE_RATIO, np.append(values, GUIDE))
    legend = [Line2D([], [], label=name, **look) for name, look in looks.items()]
    legend_right(figure, [*legend, line], 0.75, "weight of")
    return figure


def stuck_shares(logs: list[dict]) -> Figure | None:
    """A row per cell: dead units, zero gradients and saturated outputs at the end of training."""
    _, columns, cells = arrange(logs)
    found = [[shares(log) for log in seeds] for seeds in cells.values()]
    measured = [run for seeds in found for run in seeds]
    shown = [label for label in MEANING if any((run[label] > 0).any() for run in measured)]
    if not shown or len(cells) > MAX_ROWS:
        return None
    layers = max(len(run[ZERO]) for run in measured)
    names = [f"{activation} + {columns[column]}" for activation, column in cells]
    notes = [f"\n✖ {divergence(seeds)}" if divergence(seeds) else "" for seeds in cells.values()]
    left = 0.5 + 0.11 * max(map(len, [*names, *notes]))
    row = max(0.42, 0.06 * layers)  # height, in inches
    size = (left + 3 * len(shown) + 1.4, max(height(layers), row * len(cells) + 2))
    title = "Dead units, zero gradients, saturation at the end of training"
    figure, (axes,) = new_figure(title, logs, 1, len(shown), size, seeds_note(logs), top=1.1,
                                 left=left, sharex=True, sharey=True)  # fmt: skip
    figure.subplots_adjust(wspace=0.1)
    highest = max(np.nanmax(run[label]) for run in measured for label in shown if run[label].size)
    for ax, label in zip(axes, shown):
        ends = [table([list(map(last_measured, run[label])) for run in seeds]) for seeds in found]
        means, halves = (table(list(rows)) for rows in zip(*map(t_interval, ends)))
        for k, look in zip(range(means.shape[1]), layer_looks(layers)):
            y = np.arange(len(cells)) + (k - (layers - 1) / 2) * 0.7 / layers
            ax.errorbar(means[:, k], y, xerr=halves[:, k], linestyle="", linewidth=1.5, **look)
        ax.set_title(f"{label.removesuffix(' (%)')}:\n{MEANING[label]}", loc="left", fontsize=11)
        ax.set_xlabel(label)
    axes[0].set_yticks(range(len(cells)), map("".join, zip(names, notes)))
    axes[0].set_xlim(-0.03 * highest, 1.03 * highest)
    for tick, (activation, _) in zip(axes[0].get_yticklabels(), cells):
        tick.set(color=ACTIVATION_COLORS[activation], weight="bold")
    axes[0].set_ylim(len(cells) - 0.4, -0.6)
    legend = [Line2D([], [], label=f"layer {k}", linestyle="", **look)
              for k, look in enumerate(layer_looks(layers), start=1)]  # fmt: skip
    legend_right(figure, legend, 1)
    return figure


# An adapter: a Sweep instead of logs
_grid_diagnostics = grid_diagnostics


def grid_diagnostics(sweep) -> dict[str, Figure]:  # noqa: F811
    if isinstance(sweep, list):
        return _grid_diagnostics(sweep)
    return _grid_diagnostics([log for cell in sweep.cells for log in cell.logs])
