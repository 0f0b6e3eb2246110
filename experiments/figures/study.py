"""Figures that only a study has, and two of any sweep: gradients before training, differences.

Numbers come from findings/comparisons.py, so that figures and sentences agree.
"""

from collections.abc import Collection, Iterable
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from figures import inside, style
from findings.comparisons import (
    BOUNDS,
    Difference,
    against_no_schedule,
    best_first,
    compare_all,
    finished,
    gradient_norms,
    ranked,
    seeds_diverged,
    steps_to,
    target_accuracy,
    theoretical_ratio,
)
from findings.sweep import (
    MARKERS,
    Cell,
    Sweep,
    color_of,
    dashes_of,
    label,
    t_interval,
    table,
    varying,
)
from nnlite.training.config import Config
from words import plural, plus_minus

MOST_ROWS = 20
MOST_TUNED = 40  # pairs of dots side by side
HOLLOW = {"marker": "o", "markersize": 7.5, "markerfacecolor": "white", "markeredgewidth": 1.8}
FULL = {**HOLLOW, "markerfacecolor": style.GREY}
STAR = {"marker": "*", "markersize": 13, "markeredgecolor": "black", "markeredgewidth": 0.8}
CROSS = {"marker": "X", "markersize": 9, "markeredgecolor": "black", "clip_on": False}
DOT = {"marker": "o", "markersize": 5}


def study_figures(sweep: Sweep) -> dict[str, Figure]:
    """Return the figures of the sweep's study by name; {} if there is nothing to compare."""
    return style.made(makers(sweep))


def makers(sweep: Sweep) -> style.Makers:
    """Return what makes each of study_figures."""
    found: style.Makers = {}
    if sweep.tunings:
        found["sensitivity"] = partial(sensitivity, sweep)
        tuned = [t.at_best for t in sweep.tunings if t.at_best]
        if tuned:
            found["tuned"] = partial(tuned_and_usual, sweep)
        if target := target_accuracy(tuned):
            found["steps_to_target"] = partial(tuned_and_usual, sweep, target)
    if not sweep.only_tuned:
        if len(sweep.logs) > 1:  # a single run has "signal"
            found["gradients_by_layer"] = partial(gradients_by_layer, sweep)
        if sweep.study == "depth":
            found["accuracy_by_depth"] = partial(accuracy_by_depth, sweep)
        if sweep.study == "batch-size":
            found["batch_sizes"] = partial(batch_sizes, sweep)
        if sweep.study == "schedulers":
            found["schedule_gains"] = partial(schedule_gains, sweep)
        found["differences"] = partial(differences, sweep)
    return found


# What they share


def look(config: Config) -> dict:
    """Return the colour and the line style of a cell with this configuration."""
    return {"color": color_of(config.activation), "linestyle": dashes_of(config.optimizer)}


def key(text: str, **marker) -> Line2D:
    """Return what a legend explains: a grey marker, or a line if a linestyle is given."""
    return Line2D([], [], **{"color": style.GREY, "linestyle": "", **marker}, label=text)


def each_once(items: Iterable) -> list:
    """Return the items in order, each once."""
    return list(dict.fromkeys(items))


def panels(
    title: str, sweep: Sweep, names: list[str], size: tuple[float, float], note: str
) -> tuple[Figure, dict[str, Axes]]:
    """Return a figure of panels side by side that share both axes, by name."""
    shared = {"left": 1.25, "sharex": True, "sharey": True}
    figure, (axes,) = style.new_figure(title, sweep.dataset, 1, len(names), size, note, **shared)
    figure.subplots_adjust(wspace=0.08)
    for ax in axes:
        ax.label_outer()
    return figure, dict(zip(names, axes))


def color_titles(panels_of: dict[str, Axes]) -> None:
    """Write above each panel which activation it shows."""
    for name, ax in panels_of.items():
        ax.set_title(style.short(name), color=color_of(name), weight="bold", pad=12)


def log_x(ax: Axes, ticks: Iterable[float], text: str) -> None:
    """Make x logarithmic, with these ticks alone."""
    ticks = list(ticks)
    ax.set_xscale("log")
    ax.set_xticks(ticks, [f"{tick:,.0f}" if tick >= 1 else f"{tick:g}" for tick in ticks])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel(text)


def draw_means(ax: Axes, x: Iterable[float], rows: Iterable[list], **line) -> None:
    """Draw the mean of each row of seeds at its x, in a band that is the t-interval.

    If y is logarithmic, it is the logarithms that are averaged. The interval of two seeds is 12.7
    times as wide as the two are apart and would hide the rest: they are drawn as dots instead.
    """
    x, logarithmic = list(x), ax.get_yscale() == "log"
    numbers = table(rows).T
    mean, half = t_interval(np.log10(numbers) if logarithmic else numbers)
    low, middle, high = (10**v if logarithmic else v for v in (mean - half, mean, mean + half))
    ax.plot(x, middle, **line)
    if len(numbers) == 2:
        for seed in numbers:
            ax.plot(x, seed, ".", color=line["color"], markersize=4, alpha=0.6)
    else:
        ax.fill_between(x, low, high, color=line["color"], alpha=0.13, linewidth=0)


# Differences


Row = tuple[str, Cell, Difference]  # a name, the cell that gives the colour, and the difference


def differences(sweep: Sweep) -> Figure | None:
    """Differences of the other cells from the best, paired by seed; None without any interval.

    Cells of which a seed diverged are below all others.
    """
    if not finished(sweep.cells):
        return None
    best, *others = ranked(sweep.cells)
    rows = [
        (style.short(cell.label) + seeds_diverged(cell), cell, difference)
        for cell, _, difference in compare_all((cell, best) for cell in others)
    ]
    title = f"Test accuracy against the best cell, {style.short(best.label)}"
    return forest(title, sweep, [(rows, "percentage points", 2)])


def schedule_gains(sweep: Sweep) -> Figure | None:
    """Differences of each schedule from none, in loss and in accuracy; None without any."""
    losses, accuracies = (
        [(style.short(a.label), a, row) for a, _, row in against_no_schedule(sweep, measure)]
        for measure in ("final_loss", "test_accuracy")
    )
    panels = [(losses, "final training loss (nats)", 4)]
    panels += [(accuracies, "test accuracy (percentage points)", 2)]
    return forest("What a schedule changes against no schedule", sweep, panels)


def forest(title: str, sweep: Sweep, panels: list[tuple[list[Row], str, int]]) -> Figure | None:
    """Return a figure with a line per difference, in panels side by side; None without any.

    A panel has its rows, from the top to the bottom, what x is, and the digits of the numbers.
    Differences without an interval are left out.
    """
    panels = [([r for r in rows if r[-1].half is not None], *rest) for rows, *rest in panels]
    first = panels[0][0]
    if not first:
        return None
    n = sorted({difference.n for *_, difference in first})
    note = f"{n[0]} to {n[-1]}" if len(n) > 1 else f"{n[0]}"
    note += " seeds paired, 95 % t-interval"
    if len(first) > MOST_ROWS:
        note += f"; the {len(first) - MOST_ROWS} cells below are not shown"
    left = 0.4 + 0.1 * max(len(name) for name, *_ in first[:MOST_ROWS])
    size = (left + 4.5 + 2.5 * len(panels), 0.34 * len(first[:MOST_ROWS]) + 2.1)
    frame = {"size": size, "note": note, "top": 0.95, "left": left, "sharey": True}
    figure, (axes,) = style.new_figure(title, sweep.dataset, columns=len(panels), **frame)
    for ax, (rows, text, digits) in zip(axes, panels):
        draw_differences(ax, rows[:MOST_ROWS], text, digits)
    figure.subplots_adjust(right=1 - 1.75 / size[0], wspace=0.62)
    dots = [key("supported, all rows together", **FULL), key("within the noise", **HOLLOW)]
    place = {"loc": "upper left", "bbox_to_anchor": (0, 1 - 0.42 / size[1])}
    figure.legend(handles=dots, ncols=2, **place)
    return figure


def draw_differences(ax: Axes, rows: list[Row], text: str, digits: int) -> None:
    """Draw a line per difference: its dot, its interval and its numbers, beside a line at 0."""
    ends = [0.0]
    for y, (_, cell, row) in enumerate(rows):
        ends += [row.mean - row.half, row.mean + row.half]
        ax.plot(ends[-2:], [y, y], color=cell.color)
        dot = {**HOLLOW, "markerfacecolor": cell.color} if row.supported else HOLLOW
        ax.plot(row.mean, y, **dot, color=cell.color)
        number = ("+" if row.mean >= 0 else "−") + plus_minus(abs(row.mean), row.half, digits)
        ax.text(1.02, y, number, transform=ax.get_yaxis_transform(), va="center")
    ax.axvline(0, color="black", linewidth=1)
    low, high = min(ends), max(ends)
    if high - low > 20:  # so that differences of tenths and of tens can both be seen
        ax.set_xscale("symlog", linthresh=1, linscale=0.7)
        steps = (1, 10, 100) if low < 0 < high and high > 1 else (1, 3, 10, 30, 100)
        ticks = [t for t in (*(-s for s in reversed(steps)), 0, *steps) if low <= t <= high]
        ax.set_xticks(ticks, [f"{tick:g}".replace("-", "−") for tick in ticks])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xlim(min(1.3 * low, -0.5), max(1.3 * high, 0.5))
        text += ", log scale beyond 1"
    else:
        ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.set_xlabel(text)
    ax.set_yticks(range(len(rows)), [name for name, *_ in rows])
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.grid(False, axis="y")
    ax.tick_params(axis="y", length=0)


# Learning rates


def sensitivity(sweep: Sweep) -> Figure:
    """A panel per activation: best validation accuracy of each optimizer over the rates."""
    tunings = sweep.tunings
    activations = each_once(t.config.activation for t in tunings)
    size = (3.3 * len(activations) + 3.2, 5)
    note = style.seeds_note([trial for t in tunings for trial in t.trials.values()], dots=True)
    figure, axes = panels("Sensitivity to the learning rate", sweep, activations, size, note)
    heights = {}  # (rates, tuning seeds)
    for t in tunings:
        heights[t] = table(
            trial.values("best_val_accuracy").values() for trial in t.trials.values()
        )
        # A rate at which a seed diverged has no height, however far the others came.
        heights[t][np.isnan(heights[t]).any(axis=1)] = np.nan
    text = f"best validation accuracy {style.ERRORS}"
    style.value_axis(figure.axes[0], text, heights.values(), "errors")
    rates = [rate for t in tunings for rate in t.scores]
    decades = np.arange(np.ceil(np.log10(min(rates))), np.floor(np.log10(max(rates))) + 1)
    for ax in axes.values():
        log_x(ax, 10.0 ** decades[::2], "learning rate")
        ax.set_xlim(min(rates) / 1.6, max(rates) * 1.6)
    color_titles(axes)
    for t, rows in heights.items():
        ax, line = axes[t.config.activation], look(t.config)
        draw_means(ax, t.scores, rows, **line)
        mean = dict(zip(t.scores, t_interval(rows.T)[0], strict=True))
        line["linestyle"] = ""
        for rate, score in t.scores.items():
            if score is None:
                ax.plot(rate, ax.get_ylim()[0], **CROSS, **line, zorder=3)
        if t.scores.get(t.usual) is not None:
            ax.plot(t.usual, mean[t.usual], **HOLLOW, **line, zorder=3)
        ax.plot(t.best, mean[t.best], **STAR, **line, zorder=4)
    optimizers = each_once(t.config.optimizer for t in tunings)
    legend = [key(name, linestyle=dashes_of(name)) for name in optimizers]
    legend += [key("chosen", **STAR), key("usual", **HOLLOW)]
    if any(score is None for t in tunings for score in t.scores.values()):
        legend.append(key("diverged", **CROSS))
    style.legend_right(figure, legend, 0.75)
    return figure


def tuned_and_usual(sweep: Sweep, target: int | None = None) -> Figure:
    """A panel per activation: each optimizer at its usual and its tuned rate, on fresh seeds.

    The height is test accuracy, or with a target the steps to that validation accuracy.
    """
    tunings = sweep.tunings
    configs = [t.config for t in tunings]
    activations = each_once(config.activation for config in configs)
    keys = [name for name in varying(configs) if name not in ("activation", "learning_rate")]
    names = {t: label(t.config, keys or ["optimizer"]) for t in tunings}
    of_cell = {t.at_best: names[t] for t in tunings if t.at_best}
    best = each_once([of_cell[cell] for cell in best_first(of_cell)] + list(names.values()))
    most = max(1, MOST_TUNED // len(activations))
    some = f"the best {most} of {len(best):,} combinations {style.BY}" if len(best) > most else ""
    tunings = [t for t in tunings if names[t] in best[:most]]
    positions = {name: x for x, name in enumerate(each_once(names[t] for t in tunings))}

    def heights(cell: Cell) -> list[float | None]:
        if target is None:
            return list(cell.values("test_accuracy").values())
        return [steps_to(log, target) for log in cell.logs]

    title, text, scale = "Usual and tuned learning rates", f"test accuracy {style.ERRORS}", "errors"
    if target is not None:
        title = f"Steps to {target} % validation accuracy (in whole epochs)"
        text, scale = "steps, log scale", "log"
    ticks = style.folded(positions, 11)
    longest = max(len(line) for tick in ticks for line in tick.split("\n"))
    panel = max(0.7, 0.1 * longest) * len(ticks) + 0.5
    cells = [cell for t in tunings for cell in (t.at_usual, t.at_best) if cell]
    size = (panel * len(activations) + 3, 5)
    note = style.notes(some, style.seeds_note(cells))
    figure, axes = panels(title, sweep, activations, size, note)
    figure.subplots_adjust(bottom=(0.9 + 0.2 * max(0, style.lines_in(ticks) - 2)) / size[1])
    style.value_axis(figure.axes[0], text, [table([heights(cell)]) for cell in cells], scale)
    for ax in axes.values():
        ax.set_xticks(range(len(ticks)), ticks)
        ax.set_xlim(-0.5, len(ticks) - 0.5)
        ax.grid(False, axis="x")
    color_titles(axes)
    missed = False
    for t in tunings:
        ax, color, x = axes[t.config.activation], color_of(t.config.activation), positions[names[t]]
        heads = []  # from the usual to the tuned rate
        for cell, shift, marker in ((t.at_usual, -0.15, HOLLOW), (t.at_best, 0.15, STAR)):
            numbers = heights(cell) if cell else []
            if None in numbers:  # then the mean of the others would be too good
                missed = True
                worst = ax.get_ylim()[0 if target is None else 1]
                ax.plot(x + shift, worst, **CROSS, color=color)
                heads.append(worst)
            elif numbers:
                mean, half = t_interval(np.array(numbers, dtype=float))
                ax.plot([x + shift] * 2, [mean - half, mean + half], color=color, linewidth=1.5)
                ax.plot(x + shift, mean, **marker, color=color, linestyle="", zorder=3)
                heads.append(mean)
        if len(heads) == 2:
            ax.plot([x - 0.15, x + 0.15], heads, color=style.GREY, linewidth=0.8, zorder=1)
    legend = [key("usual rate", **HOLLOW), key("tuned rate", **STAR)]
    if missed:
        why = "a seed diverged" if target is None else "not with every\nseed"
        legend.append(key(why, **CROSS))
    style.legend_right(figure, legend, 0.75)
    return figure


# Depth


def gradients_by_layer(sweep: Sweep) -> Figure | None:
    """A panel per initialization: |dL/dz| of each layer of the deepest networks, before training.

    Beside each curve, the line that theory predicts from the last layer on. None of this depends on
    the optimizer, so one cell stands for all that start alike.
    """
    measured = {
        cell: rows
        for cell in sweep.cells
        if (rows := [norms for log in cell.logs if (norms := gradient_norms(log, "initial"))])
    }
    deepest = max(measured, key=lambda cell: cell.depth, default=None)
    if deepest is None or not deepest.depth:
        return None
    hidden = deepest.config.hidden
    widths = (*hidden, len(sweep.dataset["classes"]))  # of the layers
    layers = np.arange(1, len(widths) + 1)
    norms, theory = {}, {}  # by cell
    starts = set()
    for cell, rows in measured.items():
        start = cell.config.activation, cell.config.init
        if cell.config.hidden != hidden or start in starts:
            continue
        starts.add(start)
        norms[cell] = table(rows).T
        ratios = [theoretical_ratio(*start, widths[k:]) for k in range(len(widths))]
        if None not in ratios:
            theory[cell] = 10 ** np.log10(norms[cell][-1]).mean() * np.array(ratios)
    figure, axes = panels_by_init(
        f"Gradients before the first step, {plural(len(hidden), 'hidden layer')}", sweep, norms
    )
    values = [*norms.values(), *theory.values()]
    style.value_axis(figure.axes[0], "|dL/dz| (nats), log scale", values, "log")
    dotted = {"color": "black", "linestyle": ":", "linewidth": 1.2, "zorder": 3}
    for cell, rows in norms.items():
        ax = axes[cell.config.init]
        draw_means(ax, layers, rows, color=cell.color, linestyle="-", **DOT)  # before any optimizer
        if cell in theory:
            ax.plot(layers, theory[cell], **dotted)
        ax.set_xlim(0.5, len(layers) + 0.5)
        shown = layers[style.spread(len(layers), 6)]
        ax.set_xticks(shown, [f"fc{k}" for k in shown])
        ax.set_xlabel("layer: fc1 is the first")
    names = each_once(cell.config.activation for cell in norms)
    legend = [key(style.short(n), color=color_of(n), linestyle="-", **DOT) for n in names]
    if theory:
        bounds = [name for name in BOUNDS if name in names]
        only = " (" + ",\n".join(bounds) + ": bound)" if bounds else ""
        legend.append(key(f"theory{only}", **dotted))
    style.legend_right(figure, legend, 0.75)
    return figure


def accuracy_by_depth(sweep: Sweep) -> Figure:
    """A panel per initialization: test accuracy over the number of hidden layers."""
    figure, axes = panels_by_init("Test accuracy by depth", sweep, sweep.cells)
    means = [[cell.mean("test_accuracy")[0]] for cell in sweep.cells]
    style.value_axis(figure.axes[0], f"test accuracy {style.ERRORS}", table(means), "errors")
    depths = sorted({cell.depth for cell in sweep.cells})
    for cells in sweep.peers("hidden"):
        config = cells[0].config
        ax = axes[config.init]
        rows = {cell.depth: [*cell.values("test_accuracy").values()] for cell in cells}
        draw_means(ax, rows, rows.values(), **look(config), **DOT)
        ax.set_xticks(depths[:: 1 + len(depths) // 8])
        ax.set_xlabel("hidden layers")
    style.legend_right(figure, legend_of(sweep.cells), 0.75)
    return figure


def panels_by_init(
    title: str, sweep: Sweep, cells: Collection[Cell]
) -> tuple[Figure, dict[str, Axes]]:
    """Return a figure with a panel per initialization of these cells, by name."""
    inits = each_once(cell.config.init for cell in cells)
    names = [line.get_label() for line in legend_of(cells)]
    wider = 0.085 * max(0, max(map(len, names)) - 20)
    size = (2.9 * len(inits) + 3 + wider, inside.legend_height(len(names), 4.6))
    figure, axes = panels(title, sweep, inits, size, style.seeds_note(cells, dots=True))
    for init, ax in axes.items():
        ax.set_title(f"{init} initialization")
    return figure, axes


def legend_of(cells: Collection[Cell]) -> list[Line2D]:
    """Return the lines that a legend explains: activations, and optimizers if there are several."""
    several = len({cell.config.optimizer for cell in cells}) > 1
    keys = ["activation", "optimizer"] if several else ["activation"]
    configs = {style.short(label(cell.config, keys)): cell.config for cell in cells}
    return [key(name, **look(config), **DOT) for name, config in configs.items()]


# Batch size


def batch_sizes(sweep: Sweep) -> Figure:
    """Accuracy over batch size, and over steps and seconds by batch size, dark for small ones."""
    cells = sweep.cells
    sizes = sorted({cell.config.batch_size for cell in cells})
    kept = {sizes[k]: k for k in style.spread(len(sizes), style.MOST_LAYERS)}
    height = 4.6 if len(kept) < 9 else 0.25 * len(kept) + 2.5
    frame = {"size": (14, height), "note": style.seeds_note(cells, dots=True), "left": 1.25}
    figure, (axes,) = style.new_figure("Batch size", sweep.dataset, columns=3, **frame)
    figure.subplots_adjust(wspace=0.36)
    left, middle, right = axes
    accuracies = {cell: [*cell.values("test_accuracy").values()] for cell in cells}
    bands = [t_interval(table([row]).T) for row in accuracies.values()]
    ends = [mean + side * np.nan_to_num(half) for mean, half in bands for side in (-1, 1)]
    style.value_axis(left, f"test accuracy {style.ERRORS}", ends, "errors")
    for peers in sweep.peers("batch_size"):
        x, rows = [cell.config.batch_size for cell in peers], [accuracies[cell] for cell in peers]
        draw_means(left, x, rows, **look(peers[0].config), marker="o", markersize=7)
    ticks = np.geomspace(sizes[0], sizes[-1], 8)  # of more than eight sizes, those close to these
    few = sorted({min(sizes, key=lambda size: abs(size / tick - 1)) for tick in ticks})
    log_x(left, sizes if len(sizes) <= 8 else few, "batch size")

    curves = {cell: t_interval(cell.curves("val_accuracy"))[0] for cell in cells}
    for ax in (middle, right):
        style.value_axis(ax, f"validation accuracy {style.ERRORS}", curves.values(), "errors")
    lines: dict[int, Line2D] = {}
    for cell, curve in curves.items():
        size = cell.config.batch_size
        if size not in kept:
            continue
        k = kept[size]
        color = lighter(cell.color, 0.6 * k / max(1, len(sizes) - 1))
        line = {"color": color, "linestyle": cell.dashes, "linewidth": 1.5, "label": size}
        line |= {"marker": MARKERS[k % len(MARKERS)], "markersize": 5}
        steps = cell.logs[0]["steps_per_epoch"] * np.arange(1, len(curve) + 1)
        seconds, _ = t_interval(np.cumsum(cell.curves("epoch_time"), axis=1))
        (lines[size],) = middle.plot(steps, curve, **line)
        right.plot(seconds, curve, **line)
    for ax, text in ((middle, "steps"), (right, "seconds, on this machine")):
        x = np.concatenate([line.get_xdata() for line in ax.lines])
        low, high = np.log10([np.nanmin(x), np.nanmax(x)])
        decades = np.arange(np.ceil(low), max(np.ceil(low), np.floor(high)) + 1)
        log_x(ax, 10.0**decades, text)
    some = f"\n({len(kept)} of {len(sizes):,})" if len(kept) < len(sizes) else ""
    style.legend_right(figure, [lines[size] for size in kept], 0.75, f"batch size{some}")
    return figure


def lighter(color: str, share: float) -> tuple[float, ...]:
    """Mix a colour with that share of white."""
    return tuple(share + (1 - share) * part for part in to_rgb(color))
