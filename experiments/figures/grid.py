"""Figures that compare all cells of a sweep: their curves, a table, gradients in each layer."""

from functools import partial
from textwrap import fill

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures import inside, style
from findings.comparisons import best_first
from findings.sweep import Cell, Sweep, color_of, t_interval, table
from nnlite.activations import ACTIVATIONS

MOST_CELLS = 30  # more curves, or panels, than that cannot be told apart
MOST_COLUMNS = 28, 14  # of the tables, and of the panels
TABLES = {  # what the three tables of the comparison show: title, digits, scale of the shades
    "final_loss": ("final training\nloss (nats)", 3, "log"),
    "best_val_accuracy": ("best validation\naccuracy (%)", 1, "errors"),
    "test_accuracy": ("test\naccuracy (%)", 1, "errors"),
}


def grid_figures(sweep: Sweep) -> dict[str, Figure]:
    """Return the figures that compare the cells, by name; of too many, they show the best ones."""
    return style.made(makers(sweep))


def makers(sweep: Sweep) -> style.Makers:
    """Return what makes each of grid_figures."""
    return {
        "loss_curves": partial(curves, sweep, "train_loss"),
        "accuracy_curves": partial(curves, sweep, "val_accuracy"),
        "comparison_grid": partial(comparison_grid, sweep),
        "gradient_flow": partial(gradient_flow, sweep),
        "activations": partial(activations, sweep),
    }


def curves(sweep: Sweep, key: str) -> Figure:
    """Return a figure with the curves of all cells: "train_loss" or "val_accuracy"."""
    sweep, best = style.best_cells(sweep, MOST_CELLS)
    falling = key == "train_loss"
    legend_lines = len(sweep.cells) + sum(cell.diverged > 0 for cell in sweep.cells)
    names = {cell: style.short(cell.label) for cell in sweep.cells}
    longest = max(map(len, names.values()))
    size = (10 + 0.09 * max(0, longest - 40), max(5, 0.24 * legend_lines + 1.2))
    title = "Training loss" if falling else "Validation accuracy"
    note = style.notes(best, style.seeds_note(sweep.cells))
    figure, ((ax,),) = style.new_figure(title, sweep.dataset, size=size, note=note, top=0.6)
    rows_of = {cell: cell.curves(key) for cell in sweep.cells}
    if falling:
        ceiling = style.max_loss(sweep.dataset)
        style.value_axis(ax, f"{style.LOSS}, log scale", rows_of.values(), "log", ceiling)
    else:
        style.value_axis(ax, "accuracy (%), errors on a log scale", rows_of.values(), "errors")
    style.epoch_axis(ax, sweep.epochs)
    worst = ax.get_ylim()[1 if falling else 0]

    lines: dict[Cell, Line2D] = {}
    for cell, rows in rows_of.items():
        look = {"color": cell.color, "linestyle": cell.dashes, "marker": cell.marker}
        lines[cell] = line = style.draw_curve(ax, rows, **look)
        for log, row in zip(cell.logs, rows, strict=True):
            if log["diverged"]:
                measured = np.flatnonzero(np.isfinite(row))
                x = measured[-1] + 1 if len(measured) else log["diverged"]["epoch"]
                y = np.clip(row[x - 1], *ax.get_ylim()) if len(measured) else worst
                edge = {"markeredgecolor": "black", "zorder": 3, "clip_on": False}
                ax.plot(x, y, "X", color=cell.color, markersize=11, **edge)
        last = t_interval(rows[[not log["diverged"] for log in cell.logs]])[0][-1]
        number = "–" if np.isnan(last) else f"{last:.3f}" if falling else f"{last:.1f}"
        diverged = f"\n✖ {style.divergence(cell)}" if cell.diverged else ""
        line.set_label(f"{number}  {names[cell]}{diverged}")
    ordered = [lines[cell] for cell in best_first(sweep.cells)]
    style.legend_right(figure, ordered, 0.5, "at the last epoch;\nbest test accuracy first")
    return figure


def comparison_grid(sweep: Sweep) -> Figure:
    """Return a figure of three tables, activations by columns, coloured from bad to good."""
    sweep, best_ones = style.best_columns(sweep, MOST_COLUMNS[0])
    rows, columns = sweep.rows, sweep.columns
    beside = len(columns) <= 3  # then the three tables fit beside one another
    names, row_names = style.folded(columns, 11), style.folded(rows, 14)
    left = max(1.25, 0.3 + 0.11 * max(map(len, "\n".join(row_names).split("\n"))))
    width, height = max(1.1 * len(columns), 1.6), 0.75 * len(rows)
    below = 0.22 * max(0, style.lines_in(names) - 2)  # room for long names
    size = (3 * width + left + 0.65, height + below + 2.1)
    if not beside:
        size = (width + left + 0.25, 3 * (height + below) + 4.5)
    shape = (1, 3) if beside else (3, 1)
    title = "Comparison of the runs (darker is better)"
    note = style.notes(best_ones, style.seeds_note(sweep.cells))
    frame = {"top": 1.2, "left": left, "sharey": True}
    figure, axes = style.new_figure(title, sweep.dataset, *shape, size, note, **frame)
    figure.subplots_adjust(wspace=0.1, hspace=(1.2 + below) / height)
    figure.subplots_adjust(bottom=(0.9 + below) / size[1])
    for ax, (measure, (heading, digits, scale)) in zip(axes.flat, TABLES.items(), strict=True):
        means = np.full((len(rows), len(columns)), np.nan)
        for i, j in np.ndindex(means.shape):
            text = "–"
            if cell := sweep.at(rows[i], columns[j]):
                mean, half = cell.mean(measure)
                means[i, j] = np.nan if mean is None else mean
                parts = [] if mean is None else [f"{mean:.{digits}f}"]
                parts += [] if half is None else [f"± {half:.{digits}f}"]
                parts += [fill(style.divergence(cell), 13)] if cell.diverged else []
                text = "\n".join(parts) or "–"
            small = {"fontsize": 12 if text.count("\n") < 2 else 10, "linespacing": 1.05}
            ax.text(j + 0.5, i + 0.5, text, ha="center", va="center", **small)
        shades = style.SCALES[scale][0](means) * (-1 if measure == "final_loss" else 1)
        known = shades[np.isfinite(shades)]
        worst, best = (known.min(), known.max()) if len(known) else (0, 1)
        span = best - worst or 1  # the map's dark end stays unused: black text is read on all cells
        ends = {"vmin": worst - 0.1 * span, "vmax": best + 0.8 * span}
        ax.pcolormesh(shades, cmap="YlGnBu", edgecolors="white", linewidth=2, **ends)
        ax.set_xticks(np.arange(len(columns)) + 0.5, names)
        ax.set_yticks(np.arange(len(rows)) + 0.5, row_names)
        for label, row in zip(ax.get_yticklabels(), rows):
            label.set(color=color_of(row), weight="bold")
        ax.set_title(heading, loc="left")
        style.table_axes(ax, len(rows), "#EEEEEE")
    return figure


def gradient_flow(sweep: Sweep) -> Figure:
    """Return a figure with a panel per cell: mean |gradient| of each layer's weight by epoch."""
    most = min(MOST_COLUMNS[1], max(1, MOST_CELLS // len(sweep.rows)))
    sweep, best = style.best_columns(sweep, most)
    rows, columns = sweep.rows, sweep.columns
    gradients = {cell: [style.weight_gradients(log) for log in cell.logs] for cell in sweep.cells}
    layers = max(len(seeds[0]) for seeds in gradients.values())
    names, row_names = style.folded(columns, 20), style.folded(rows, 12)
    left = 1.4 + 0.2 * (style.lines_in(row_names) - 1)
    more = 0.2 * (style.lines_in(names) - 1)  # room for long names, in inches
    size = (
        max(7, 2.1 * len(columns) + 2),
        max(inside.legend_height(layers, 3.8), 1.4 * len(rows) + 1.7 + more),
    )
    note = style.notes(best, style.seeds_note(sweep.cells))
    frame = {"size": size, "note": note, "top": 0.85 + more, "left": left}
    frame |= {"sharex": True, "sharey": True}
    shape = (len(rows), len(columns))
    figure, axes = style.new_figure("Gradient flow", sweep.dataset, *shape, **frame)
    legend: list[Line2D] = []
    for (i, j), ax in np.ndenumerate(axes):
        if cell := sweep.at(rows[i], columns[j]):
            legend = max(legend, style.draw_layers(ax, gradients[cell], layers), key=len)
            style.write_divergence(ax, cell)
        else:
            ax.text(0.5, 0.5, "–", transform=ax.transAxes)
        style.epoch_axis(ax, sweep.epochs)
        ax.set_ylabel(row_names[i], color=color_of(rows[i]), weight="bold")
        ax.label_outer()
    for ax, name in zip(axes[0], names, strict=True):
        ax.set_title(name)
    values = [table(seed.values()) for seeds in gradients.values() for seed in seeds]
    style.value_axis(axes[0, 0], row_names[0], values, "log")
    figure.subplots_adjust(wspace=0.08, hspace=0.12)
    figure.text(0.15 / size[0], 0.5, style.GRADIENT, rotation=90, va="center")
    style.legend_right(figure, legend, 0.75, style.of_layers("weight of", layers))
    return figure


def activations(sweep: Sweep) -> Figure:
    """Return a figure of the activation functions in the sweep, and their derivatives.

    nnlite's own code computes both.
    """
    names, titles = sweep.rows, style.folded(sweep.rows, 18)
    across = min(len(names), 3)
    down = -(-len(names) // across)
    more = 0.2 * (style.lines_in(titles) - 1)  # room for long names, in inches
    size = (2.8 * across + 1.9, (2.2 + more) * down + 1.7)
    frame = {"size": size, "top": 0.85 + more, "sharex": True, "sharey": True}
    title = "Activation functions and their derivatives"
    figure, axes = style.new_figure(title, sweep.dataset, down, across, **frame)
    figure.subplots_adjust(hspace=0.28 + more / 2)
    z = np.linspace(-3, 3, 301)
    for ax, name, text in zip(axes.flat, names, titles):
        layer, color = ACTIVATIONS[name](), color_of(name)
        ax.plot(z, layer.forward(z), "-", color=color)
        ax.plot(z, layer.backward(np.ones_like(z)), "--", color=color)
        ax.set_title(text, loc="left", weight="bold", color=color)
        ax.set(xlabel="z", ylabel="a, da/dz")
    style.label_outside(axes, len(names))
    function = Line2D([], [], color="black", label="a = f(z)")
    derivative = Line2D([], [], color="black", linestyle="--", label="da/dz = f '(z)")
    style.legend_right(figure, [function, derivative], 0.75)
    return figure
