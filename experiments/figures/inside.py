"""What goes on inside the networks: the figures of all cells, and what those of a run share.

What is measured, and which paper proposes it, is in nnlite/training/diagnostics.py.
"""

from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures import style
from findings.sweep import Sweep, t_interval, table
from words import and_list

UPDATE_RATIO = "log10(|update| / |weight|)"
GUIDE = -3  # an update of a thousandth of the weight: A. Karpathy's rule of thumb
DEAD, ZERO, SATURATED = "dead units (%)", "zero gradients (%)", "saturated outputs (%)"
MEANING = {
    DEAD: "output 0 for every probe image",
    ZERO: "of the weights, in one batch",
    SATURATED: "within 5 % of an end of the range",
}
TITLES = {DEAD: "dead units", ZERO: "zero gradients", SATURATED: "saturation"}
MAX_PANELS, MAX_ROWS = 15, 40  # a figure of more cells would be unreadable: of the best ones, then


# What is drawn: a row of numbers for each layer, NaN where the log has None


def log_ratios(log: dict) -> dict[str, np.ndarray]:
    """Return log10(|update| / |weight|) of each layer by epoch; NaN also where nothing moved."""
    ratios = table(log["update_ratio"].values())
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


def draw_guide(ax: Axes) -> Line2D:
    """Draw the line that update ratios are compared with."""
    label = f"\N{MINUS SIGN}{-GUIDE}: rule of thumb\n(A. Karpathy)"
    return ax.axhline(GUIDE, color=style.GREY, linestyle="--", linewidth=1.5, zorder=1, label=label)


def legend_height(layers: int, least: float = 4.4) -> float:
    """Return the height of a figure, in inches, whose legend has a line for each layer."""
    return max(least, 0.25 * min(layers, style.MOST_LAYERS) + 2)


# All cells


def grid_diagnostics(sweep: Sweep) -> dict[str, Figure]:
    """Return the diagnostic figures that compare the cells, by name.

    Without those that would show nothing.
    """
    return style.made(makers(sweep))


def makers(sweep: Sweep) -> style.Makers:
    """Return what makes each of grid_diagnostics."""
    return {"update_ratio": partial(update_ratios, sweep), "units": partial(stuck_units, sweep)}


def update_ratios(sweep: Sweep) -> Figure | None:
    """A panel per cell: how far a step moves the weight of each layer, by epoch."""
    sweep, best = style.best_cells(sweep, MAX_PANELS)
    ratios = [[log_ratios(log) for log in cell.logs] for cell in sweep.cells]
    values = [row for seeds in ratios for layers in seeds for row in layers.values()]
    if not any(np.isfinite(row).any() for row in values):
        return None
    across = len(sweep.columns) if len(sweep.columns) <= 5 else 4
    down = -(-len(ratios) // across)
    layers = max(len(seeds[0]) for seeds in ratios)
    names = style.folded([cell.label for cell in sweep.cells], 21)
    lines = style.lines_in(names)
    height = max(legend_height(layers), (1.6 + 0.2 * lines) * down + 1.6)
    frame = {"size": (max(7, 2.2 * across + 2.9), height), "top": 0.7 + 0.2 * lines}
    note = style.notes(best, style.seeds_note(sweep.cells))
    frame |= {"note": note, "sharex": True, "sharey": True}
    figure, axes = style.new_figure("Size of the updates", sweep.dataset, down, across, **frame)
    figure.subplots_adjust(wspace=0.08, hspace=0.2 + 0.15 * lines)
    legend: list[Line2D] = []
    for ax, name, cell, seeds in zip(axes.flat, names, sweep.cells, ratios):
        legend = max(legend, style.draw_layers(ax, seeds, layers), key=len)
        if not any(np.isfinite(row).any() for layers_of in seeds for row in layers_of.values()):
            ax.text(0.5, 0.5, "–", transform=ax.transAxes)
        guide = draw_guide(ax)
        style.epoch_axis(ax, sweep.epochs)
        ax.set_title(name, color=cell.color)
        style.write_divergence(ax, cell)
    style.label_outside(axes, len(ratios))
    style.value_axis(axes[0, 0], "", [*values, GUIDE])
    figure.text(0.15 / frame["size"][0], 0.5, UPDATE_RATIO, rotation=90, va="center")
    style.legend_right(figure, [*legend, guide], 0.75, style.of_layers("weight of", layers))
    return figure


def stuck_units(sweep: Sweep) -> Figure | None:
    """A row per cell: dead units, zero gradients and saturated outputs at the end of training."""
    sweep, best = style.best_cells(sweep, MAX_ROWS)
    cells = sweep.cells
    found = [[shares(log) for log in cell.logs] for cell in cells]
    measured = [run for seeds in found for run in seeds]
    shown = [label for label in MEANING if any((run[label] > 0).any() for run in measured)]
    if not shown:
        return None
    layers = max(len(run[ZERO]) for run in measured)
    looks = style.layer_looks(layers)
    notes = [f"\n✖ {style.divergence(cell)}" if cell.diverged else "" for cell in cells]
    names = [style.short(cell.label) + note for cell, note in zip(cells, notes)]
    left = 0.5 + 0.11 * max(len(line) for name in names for line in name.split("\n"))
    row = max(0.42, 0.06 * len(looks))  # height, in inches
    size = (left + 3 * len(shown) + 1.4, max(legend_height(layers), row * len(cells) + 2))
    title = and_list(TITLES[label] for label in shown)
    title = f"{title[0].upper()}{title[1:]} at the end of training"
    note = style.notes(best, style.seeds_note(cells))
    frame = {"size": size, "note": note, "top": 1.1, "left": left}
    shared = {"sharex": True, "sharey": True}
    figure, (axes,) = style.new_figure(title, sweep.dataset, 1, len(shown), **frame, **shared)
    figure.subplots_adjust(wspace=0.1)
    highest = max(np.nanmax(run[label]) for run in measured for label in shown if run[label].size)
    for ax, label in zip(axes, shown):
        ends = [table([*map(last_measured, run[label])] for run in seeds) for seeds in found]
        means, halves = (table(rows) for rows in zip(*map(t_interval, ends)))
        for n, (k, look) in enumerate(looks.items()):
            if k < means.shape[1]:
                y = np.arange(len(cells)) + (n - (len(looks) - 1) / 2) * 0.7 / len(looks)
                ax.errorbar(means[:, k], y, xerr=halves[:, k], linestyle="", linewidth=1.5, **look)
        ax.set_title(f"{label.removesuffix(' (%)')}:\n{MEANING[label]}", loc="left", fontsize=11)
        ax.set_xlabel(label)
    axes[0].set_yticks(range(len(cells)), names)
    axes[0].set_xlim(-0.03 * highest, 1.03 * highest)
    for tick, cell in zip(axes[0].get_yticklabels(), cells):
        tick.set(color=cell.color, weight="bold")
    axes[0].set_ylim(len(cells) - 0.4, -0.6)
    lines = [
        Line2D([], [], linestyle="", label=f"layer {k + 1}", **look) for k, look in looks.items()
    ]
    style.legend_right(figure, lines, 1, style.of_layers("", layers))
    return figure
