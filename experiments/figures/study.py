"""Figures that only a study has, and the differences of any sweep, drawn from its logs.

In the style of `figures`: one colour per activation, one line style per optimizer, 95 % t-intervals
over seeds. Numbers come from `comparisons`, so that figures and sentences agree.
"""

from collections.abc import Collection, Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from figures.style import (
    ACTIVATION_COLORS,
    GREY,
    MARKERS,
    OPTIMIZER_STYLES,
    legend_right,
    new_figure,
    t_interval,
    table,
    value_axis,
)
from findings.comparisons import (
    SUPPORTED,
    Tuning,
    against_no_schedule,
    cells,
    compare,
    depth_of,
    finished,
    group,
    in_order,
    initial_norms,
    label,
    ranked,
    seeds_diverged,
    steps_to,
    target_accuracy,
    theoretical_factor,
    tunings,
    values,
    varying,
)
from findings.conclusions import plus_minus

ERRORS = "(%)\nerrors on a log scale"
MOST_ROWS = 20
KEY = {"color": GREY, "linestyle": ""}  # of a marker that a legend explains
HOLLOW = {"marker": "o", "markersize": 7.5, "markerfacecolor": "white", "markeredgewidth": 1.8}
STAR = {"marker": "*", "markersize": 13, "markeredgecolor": "black", "markeredgewidth": 0.8}
CROSS = {"marker": "X", "markersize": 9, "markeredgecolor": "black", "clip_on": False}


def study_figures(
    study: str | None, logs: list[dict], tune_seeds: Collection[int] = ()
) -> dict[str, Figure]:
    """Return the figures of a study by name; {} if there is nothing to compare.

    study: a name of STUDIES, or None; logs: all runs of the sweep; tune_seeds: the seeds on which
    learning rates were tuned.
    """
    by_cell = cells(logs, tune_seeds)
    fresh = [log for of in by_cell.values() for log in of]
    figures: dict[str, Figure | None] = {}
    if tune_seeds and (found := tunings(logs, tune_seeds)):
        figures["sensitivity"] = sensitivity(found, logs)
        tuned = {name: t.at_best for name, t in found.items() if t.at_best}
        if tuned:
            figures["tuned"] = tuned_and_customary(found, logs)
        if target := target_accuracy(tuned):
            figures["steps_to_target"] = tuned_and_customary(found, logs, target)
    if study == "depth" and fresh:
        figures["gradients_by_layer"] = gradients_by_layer(fresh)
        figures["accuracy_by_depth"] = accuracy_by_depth(fresh)
    if study == "batch-size" and fresh:
        figures["batch_sizes"] = batch_sizes(fresh)
    if study == "schedulers":
        figures["schedule_gains"] = schedule_gains(fresh)
    figures["differences"] = forest(by_cell)
    return {name: figure for name, figure in figures.items() if figure}


def look(config: dict) -> dict:
    """Return the colour of a run's activation and the line style of its optimizer."""
    return {
        "color": ACTIVATION_COLORS[config["activation"]],
        "linestyle": OPTIMIZER_STYLES[config["optimizer"]],
    }


def choices(logs: Iterable[dict], key: str) -> list:
    """Return the values of a setting, in order."""
    return list(dict.fromkeys(log["config"][key] for log in logs))


def seeds_note(groups: Iterable[list[dict]], dots: bool = True) -> str:
    """Say what the points of a figure are the mean of; "" if each is of one seed.

    dots: whether two seeds are shown as dots, see `draw_means`.
    """
    counts = sorted({len(of) for of in groups if of})
    several = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else counts[0]
    if counts == [2] and dots:
        return "mean of 2 seeds, which are the dots"
    return f"mean of {several} seeds, 95 % t-interval" if counts[-1] > 1 else ""


def log_x(ax: Axes, ticks: Iterable[float], text: str) -> None:
    """Make x logarithmic, with these ticks alone."""
    ticks = list(ticks)
    ax.set_xscale("log")
    ax.set_xticks(ticks, [f"{tick:,.0f}" if tick >= 1 else f"{tick:g}" for tick in ticks])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel(text)


def color_titles(axes: np.ndarray, activations: list[str]) -> None:
    for ax, name in zip(axes, activations, strict=True):
        ax.set_title(name, color=ACTIVATION_COLORS[name], weight="bold", pad=12)
        ax.label_outer()


def draw_means(ax: Axes, x: Iterable[float], rows: list[list], **line) -> None:
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


def draw_forest(ax: Axes, rows: list[tuple[str, dict, dict]], text: str, digits: int = 2) -> None:
    """Draw a line per comparison: its dot, its interval and its numbers, beside a line at 0.

    rows: label, configuration, and what `compare` returns, from the top to the bottom.
    """
    ends = [0.0]
    for y, (_, config, row) in enumerate(rows):
        mean, half, color = row["mean"], row["half"], look(config)["color"]
        ends += [mean - half, mean + half]
        ax.plot(ends[-2:], [y, y], color=color)
        face = {} if row["verdict"] in SUPPORTED else {"markerfacecolor": "white"}
        ax.plot(mean, y, **{**HOLLOW, "markerfacecolor": color, **face}, color=color)
        number = ("+" if mean >= 0 else "−") + plus_minus(abs(mean), half, digits)
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


def decided_legend(figure: Figure) -> None:
    """Explain full and hollow dots, above the axes."""
    handles = [
        Line2D(
            [], [], **{**KEY, **HOLLOW, "markerfacecolor": GREY}, label="the interval excludes 0"
        ),
        Line2D([], [], **{**KEY, **HOLLOW}, label="not decided"),
    ]
    top = 1 - 0.42 / figure.get_size_inches()[1]
    figure.legend(handles=handles, loc="upper left", ncols=2, bbox_to_anchor=(0, top))


def forest(by_cell: dict[str, list[dict]]) -> Figure | None:
    """Differences of the other cells from the best, paired by seed; None without any interval.

    Cells of which a seed diverged are below all others.
    """
    accuracy = {name: values(of, "test_accuracy") for name, of in by_cell.items()}
    if not finished(accuracy):
        return None
    best, *others = ranked(accuracy)
    rows = [(name + seeds_diverged(accuracy[name]), by_cell[name][0]["config"],
             compare(accuracy[name], accuracy[best])) for name in others]  # fmt: skip
    rows = [row for row in rows if row[2]["half"] is not None]
    if not rows:
        return None
    n = sorted({row["n"] for *_, row in rows})
    note = f"{n[0]} to {n[-1]}" if len(n) > 1 else f"{n[0]}"
    note += " seeds paired, 95 % t-interval"
    if len(rows) > MOST_ROWS:
        note += f"; the {len(rows) - MOST_ROWS} cells below are not shown"
    rows = rows[:MOST_ROWS]
    left = 0.4 + 0.1 * max(len(name) for name, *_ in rows)
    size = (left + 7, 0.34 * len(rows) + 2.1)
    logs = [log for of in by_cell.values() for log in of]
    title = f"Test accuracy against the best cell, {best}"
    figure, ((ax,),) = new_figure(title, logs, size=size, note=note, top=0.95, left=left)
    draw_forest(ax, rows, "percentage points")
    figure.subplots_adjust(right=1 - 1.75 / size[0])
    decided_legend(figure)
    return figure


def schedule_gains(logs: list[dict]) -> Figure | None:
    """Differences of each schedule from none, in loss and in accuracy; None if there are none."""
    losses, accuracies = (
        [
            (config["scheduler"] + (f", {where}" if where else ""), config, row)
            for config, where, row in against_no_schedule(logs, metric)
            if row["half"] is not None
        ][:MOST_ROWS]
        for metric in ("final_loss", "test_accuracy")
    )
    if not losses:
        return None
    left = 0.4 + 0.1 * max(len(name) for name, *_ in losses)
    size = (left + 9.5, 0.4 * len(losses) + 2.1)
    title = "What a schedule changes against no schedule"
    note = f"{losses[0][2]['n']} seeds paired, 95 % t-interval"
    figure, ((one, other),) = new_figure(
        title, logs, columns=2, size=size, note=note, top=0.95, left=left, sharey=True
    )
    draw_forest(one, losses, "final training loss (nats)", digits=4)
    draw_forest(other, accuracies, "test accuracy (percentage points)")
    figure.subplots_adjust(right=1 - 1.75 / size[0], wspace=0.62)
    decided_legend(figure)
    return figure


# Learning rates


def sensitivity(found: dict[str, Tuning], logs: list[dict]) -> Figure:
    """A panel per activation: best validation accuracy of each optimizer over the rates."""
    trials = [of for t in found.values() for of in t.trials.values()]
    one_of_each = [of[0] for of in trials]
    activations = choices(one_of_each, "activation")
    size = (3.3 * len(activations) + 3.2, 5)
    title = "Sensitivity to the learning rate"
    figure, (axes,) = new_figure(
        title,
        logs,
        1,
        len(activations),
        size,
        seeds_note(trials),
        left=1.25,
        sharex=True,
        sharey=True,
    )
    figure.subplots_adjust(wspace=0.08)
    # A rate at which a seed diverged has no height, however far the other seeds came.
    rows = {
        name: [
            [None if t.scores[rate] is None else max(log["val_accuracy"]) for log in of]
            for rate, of in t.trials.items()
        ]
        for name, t in found.items()
    }
    means = {name: t_interval(table(of).T)[0] for name, of in rows.items()}
    everything = table([row for of in rows.values() for row in of])
    value_axis(axes[0], f"best validation accuracy {ERRORS}", everything, "errors")
    rates = [rate for t in found.values() for rate in t.scores]
    decades = np.arange(np.ceil(np.log10(min(rates))), np.floor(np.log10(max(rates))) + 1)
    for ax in axes:
        log_x(ax, 10.0 ** decades[::2], "learning rate")
        ax.set_xlim(min(rates) / 1.6, max(rates) * 1.6)
    color_titles(axes, activations)
    for name, t in found.items():
        ax, line = axes[activations.index(t.config["activation"])], look(t.config)
        height = dict(zip(t.scores, means[name], strict=True))
        draw_means(ax, t.scores, rows[name], **line)
        line["linestyle"] = ""
        for rate, score in t.scores.items():
            if score is None:
                ax.plot(rate, ax.get_ylim()[0], **CROSS, **line, zorder=3)
        if t.scores.get(t.customary) is not None:
            ax.plot(t.customary, height[t.customary], **HOLLOW, **line, zorder=3)
        ax.plot(t.best, height[t.best], **STAR, **line, zorder=4)
    legend = [Line2D([], [], color=GREY, linestyle=OPTIMIZER_STYLES[name], label=name)
              for name in choices(one_of_each, "optimizer")]  # fmt: skip
    legend.append(Line2D([], [], **KEY, **STAR, label="chosen"))
    legend.append(Line2D([], [], **KEY, **HOLLOW, label="customary"))
    if any(score is None for t in found.values() for score in t.scores.values()):
        legend.append(Line2D([], [], **KEY, **CROSS, label="diverged"))
    legend_right(figure, legend, 0.75)
    return figure


def tuned_and_customary(
    found: dict[str, Tuning], logs: list[dict], target: int | None = None
) -> Figure:
    """A panel per activation: each optimizer at its customary and its tuned rate, on fresh seeds.

    The height is test accuracy, or with a target the steps to that validation accuracy.
    """
    configs = [t.config for t in found.values()]
    activations = choices([{"config": c} for c in configs], "activation")
    keys = [key for key in varying(configs) if key not in ("activation", "learning_rate")]
    keys = keys or ["optimizer"]
    names = list(dict.fromkeys(label(c, keys) for c in configs))

    def heights(of: list[dict]) -> list[float | None]:
        if target is None:
            return list(values(of, "test_accuracy").values())
        return [steps_to(log, target) for log in of]

    both = [of for t in found.values() for of in (t.at_customary, t.at_best)]
    size = ((0.7 * len(names) + 0.5) * len(activations) + 3, 5)
    if target is None:
        title, text, scale = (
            "Customary and tuned learning rates",
            f"test accuracy {ERRORS}",
            "errors",
        )
    else:
        title = f"Steps to {target} % validation accuracy (in whole epochs)"
        text, scale = "steps, log scale", "log"
    figure, (axes,) = new_figure(
        title,
        logs,
        1,
        len(activations),
        size,
        seeds_note(both, False),
        left=1.25,
        sharex=True,
        sharey=True,
    )
    figure.subplots_adjust(wspace=0.08)
    known = table([heights(of) for of in both if of])
    value_axis(axes[0], text, known, scale)
    for ax in axes:
        ax.set_xticks(range(len(names)), [name.replace("_", "_\n") for name in names])
        ax.set_xlim(-0.5, len(names) - 0.5)
        ax.grid(False, axis="x")
    color_titles(axes, activations)
    missed = False
    for t in found.values():
        ax, color = axes[activations.index(t.config["activation"])], look(t.config)["color"]
        x = names.index(label(t.config, keys))
        heads = []  # from the customary to the tuned rate
        for of, shift, marker in ((t.at_customary, -0.15, HOLLOW), (t.at_best, 0.15, STAR)):
            numbers = heights(of)
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
            ax.plot([x - 0.15, x + 0.15], heads, color=GREY, linewidth=0.8, zorder=1)
    legend = [Line2D([], [], **KEY, **HOLLOW, label="customary rate"),
              Line2D([], [], **KEY, **STAR, label="tuned rate")]  # fmt: skip
    if missed:
        why = "a seed diverged" if target is None else "not with every\nseed"
        legend.append(Line2D([], [], **KEY, **CROSS, label=why))
    legend_right(figure, legend, 0.75)
    return figure


# Depth


def gradients_by_layer(logs: list[dict]) -> Figure | None:
    """A panel per initialization: |dL/dz| of each hidden layer of the deepest networks, at first.

    Beside each curve, the straight line that theory predicts, from the last hidden layer on.
    """
    logs = [log for log in in_order(logs) if len(initial_norms(log)) > 1]
    if not logs:
        return None
    deepest = max(map(depth_of, logs))
    logs = [log for log in logs if depth_of(log) == deepest]
    title = f"Gradients before the first step, {deepest} hidden layers"
    figure, panels, groups = panels_by_init(title, logs)
    layers = np.arange(1, deepest + 1)
    norms = [table([initial_norms(log) for log in of]).T for of in groups]
    theory = []  # np.nan where there is none
    for of, rows in zip(groups, norms, strict=True):
        factor = theoretical_factor(of[0]["config"]["activation"], of[0]["config"]["init"])
        last = 10 ** np.log10(rows[-1]).mean()
        line = last * factor ** (deepest - layers) if factor else np.full(deepest, np.nan)
        theory.append(line)
    heights = np.concatenate([*map(np.ravel, norms), *theory])
    value_axis(figure.axes[0], "|dL/dz|, log scale", heights, "log")
    dots = {"marker": "o", "markersize": 5, "linestyle": "-"}  # no optimizer has made a step yet
    dotted = {"color": "black", "linestyle": ":", "linewidth": 1.2, "zorder": 3}
    for of, rows, line in zip(groups, norms, theory, strict=True):
        ax = panels[of[0]["config"]["init"]]
        draw_means(ax, layers, rows.tolist(), **{**look(of[0]["config"]), **dots})
        ax.plot(layers, line, **dotted)
        ax.set_xlim(0.5, deepest + 0.5)
        ax.set_xticks(layers[:: 1 + deepest // 6])
        ax.set_xlabel("hidden layer, from the input")
    lines = legend_of(logs, linestyle="-")
    if np.isfinite(theory).any():
        lines.append(Line2D([], [], **dotted, label="theory (sigmoid,\ntanh: bound)"))
    legend_right(figure, lines, 0.75)
    return figure


def accuracy_by_depth(logs: list[dict]) -> Figure:
    """A panel per initialization: test accuracy over the number of hidden layers."""
    figure, panels, groups = panels_by_init("Test accuracy by depth", logs, "hidden")
    accuracy = [
        {depth_of(of[0]): list(values(of, "test_accuracy").values())
         for of in group(peers)}
        for peers in groups
    ]  # fmt: skip
    means = [t_interval(table([*of.values()]).T)[0] for of in accuracy]
    value_axis(figure.axes[0], f"test accuracy {ERRORS}", np.concatenate(means), "errors")
    depths = sorted(set(map(depth_of, logs)))
    for peers, of in zip(groups, accuracy, strict=True):
        config = peers[0]["config"]
        ax = panels[config["init"]]
        draw_means(ax, of, [*of.values()], **look(config), marker="o", markersize=5)
        ax.set_xticks(depths[:: 1 + len(depths) // 6])
        ax.set_xlabel("hidden layers")
    legend_right(figure, legend_of(logs), 0.75)
    return figure


def panels_by_init(
    title: str, logs: list[dict], without: str = "seed"
) -> tuple[Figure, dict[str, Axes], list[list[dict]]]:
    """Return a figure with a panel per initialization, by name; and the groups of logs to draw."""
    inits = choices(logs, "init")
    size = (2.9 * len(inits) + 3, 4.6)
    note = seeds_note(group(logs))
    figure, (axes,) = new_figure(
        title, logs, 1, len(inits), size, note, left=1.25, sharex=True, sharey=True
    )
    figure.subplots_adjust(wspace=0.08)
    for ax, init in zip(axes, inits, strict=True):
        ax.set_title(f"{init} initialization")
        ax.label_outer()
    return figure, dict(zip(inits, axes)), group(logs, [without])


def legend_of(logs: list[dict], **line) -> list[Line2D]:
    """Return the lines that a legend explains: activations, and optimizers if there are several."""
    several = len(choices(logs, "optimizer")) > 1
    keys = ["activation", "optimizer"] if several else ["activation"]
    configs = {label(log["config"], keys): log["config"] for log in logs}
    return [
        Line2D([], [], **{**look(config), **line}, marker="o", markersize=5, label=name)
        for name, config in configs.items()
    ]


# Batch size


def batch_sizes(logs: list[dict]) -> Figure:
    """Accuracy over batch size, and over steps and seconds by batch size, dark for small ones."""
    sizes = choices(sorted(logs, key=lambda log: log["config"]["batch_size"]), "batch_size")
    groups = group(logs)
    figure, ((left, middle, right),) = new_figure(
        "Batch size", logs, columns=3, size=(14, 4.6), note=seeds_note(groups), left=1.25
    )
    figure.subplots_adjust(wspace=0.36)
    by_size = [
        {of[0]["config"]["batch_size"]: list(values(of, "test_accuracy").values())
         for of in group(peers)}
        for peers in group(logs, ["batch_size"])
    ]  # fmt: skip
    bands = [t_interval(table([*of.values()]).T) for of in by_size]
    ends = [mean + side * np.nan_to_num(half) for mean, half in bands for side in (-1, 1)]
    value_axis(left, f"test accuracy {ERRORS}", np.concatenate(ends), "errors")
    for peers, of in zip(group(logs, ["batch_size"]), by_size, strict=True):
        draw_means(left, of, [*of.values()], **look(peers[0]["config"]), marker="o", markersize=7)
    log_x(left, sizes, "batch size")

    curves = [t_interval(table([log["val_accuracy"] for log in of]))[0] for of in groups]
    for ax in (middle, right):
        value_axis(ax, f"validation accuracy {ERRORS}", np.concatenate(curves), "errors")
    lines, longest = {}, {middle: [], right: []}
    for of, curve in zip(groups, curves, strict=True):
        config = of[0]["config"]
        k = sizes.index(config["batch_size"])
        line = {
            **look(config),
            "marker": MARKERS[k % len(MARKERS)],
            "markersize": 5,
            "linewidth": 1.5,
        }
        line["color"] = lighter(line["color"], 0.6 * k / max(1, len(sizes) - 1))
        epochs = np.arange(1, len(curve) + 1)
        seconds, _ = t_interval(table([np.cumsum(log["epoch_time"]) for log in of]))
        for ax, x in ((middle, epochs * of[0]["steps_per_epoch"]), (right, seconds)):
            (lines[config["batch_size"]],) = ax.plot(x, curve, **line, label=config["batch_size"])
            longest[ax] += [*x]
    for ax, text in ((middle, "steps"), (right, "seconds, on this machine")):
        low, high = np.log10([min(longest[ax]), max(longest[ax])])
        log_x(ax, [10.0**k for k in range(int(np.ceil(low)), int(high) + 1)], text)
    legend_right(figure, [lines[size] for size in sizes], 0.75, "batch size")
    return figure


def lighter(color: str, share: float) -> tuple[float, ...]:
    """Mix a colour with that share of white."""
    return tuple(share + (1 - share) * part for part in to_rgb(color))


# An adapter: a Sweep instead of study, logs and tuning seeds
_study_figures = study_figures


def study_figures(sweep, logs=None, tune_seeds=()) -> dict[str, Figure]:  # noqa: F811
    if logs is not None:
        return _study_figures(sweep, logs, tune_seeds)
    return _study_figures(sweep.study, sweep.logs, sweep.tune_seeds)
