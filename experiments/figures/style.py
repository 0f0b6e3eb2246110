"""What all figures share: settings, the frame around the axes, scales, curves in bands, layers.

What a cell looks like is decided in findings/sweep.py: one colour per activation, one line style
per optimizer, in every figure. Layers are greys, black for the first.
"""

import gc
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import cycle
from pathlib import Path
from textwrap import fill

import matplotlib.style
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator, NullLocator

from findings.comparisons import best_first
from findings.sweep import MARKERS, Cell, Sweep, t_interval, table
from nnlite.files import replacing
from words import FEW, clipped

GREY, ALARM, GRID = "#666666", "#B00020", "#E4E4E4"
DPI = 120
MOST_PIXELS = 4000  # of a picture's longer side; a larger one is drawn less finely
MOST_LAYERS = 16  # more curves than that, one a layer, cannot be told apart
MOST_POINTS = 200  # of a band: more would not be seen
LONG_NAME, LONG_LABEL = 24, 80  # a longer name, or label of a cell, loses its middle
SETTINGS = {
    "text.parse_math": False,  # a name with two $ in it is a name, not a formula
    "font.size": 12,
    "axes.titlesize": 12,
    "figure.titlesize": 14,
    "legend.fontsize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "grid.color": GRID,
    "axes.axisbelow": True,
    "axes.titley": 1.0,
    "lines.linewidth": 2,
    "legend.frameon": False,
    "legend.handlelength": 2.8,
}
# `with settings():` or `@settings()` around all that makes a figure, measures or writes it. Within,
# matplotlib is as it comes, but for SETTINGS: nothing of the user's own matplotlibrc. Outside,
# matplotlib is as the user has set it, such as in a notebook that draws figures of its own.
settings = partial(matplotlib.style.context, SETTINGS, after_reset=True)

LOSS = "cross-entropy (nats)"
GRADIENT = "mean |gradient| (nats)"  # per unit of weight, which is a pure number
BY = "by test accuracy"  # which cells are the best, everywhere
ERRORS = "(%)\nerrors on a log scale"
SCALES = {  # how numbers become heights, and back
    "linear": (lambda v: v, lambda h: h),
    "log": (lambda v: np.log(np.maximum(v, 1e-30)), np.exp),
    # For accuracies in %: the log of the errors, from 101 so that 100 % has a place too.
    "errors": (lambda v: -np.log(np.maximum(101 - v, 0.5)), lambda h: 101 - np.exp(-h)),
}


def max_loss(dataset: dict) -> float:
    """Return how far the axis of a loss goes at most: a little further than knowing nothing costs.

    That is the logarithm of the number of classes, here of ten at least. Far more is an accident.
    """
    return 1.5 * math.log(max(10, len(dataset["classes"])))


# The frame: title, what the data are, what the numbers are


def new_figure(
    title: str,
    dataset: dict,
    rows: int = 1,
    columns: int = 1,
    size: tuple[float, float] = (9, 4.2),
    note: str = "",
    top: float = 0.85,
    left: float = 1.05,
    **subplots,
) -> tuple[Figure, np.ndarray]:
    """Return a figure, with a title and a line that names the data, and the array of its axes.

    dataset is a log's. note: what else that line says. size, and the margins top and left, are in
    inches.
    """
    width, height = size
    figure = Figure(figsize=size, dpi=min(DPI, MOST_PIXELS / max(size)))
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, **subplots)
    # Margins by hand: matplotlib's automatic layouts draw everything twice to find them.
    figure.subplots_adjust(left / width, 0.9 / height, 1 - 0.2 / width, 1 - top / height, 0.28)
    text = figure.suptitle(title, x=0.15 / width, y=1 - 0.12 / height, ha="left", va="top")
    shrink([text], width - 0.3)

    digits = dataset["name"] == "digits"
    warning = "digits, not Fashion-MNIST" if digits else clipped(dataset["note"], 70)
    data = f"lab data: {warning or clipped(dataset['name'], 40)}"
    foot = partial(figure.text, y=0.12 / height, fontsize=11)
    left = foot(x=0.15 / width, s=data, color=ALARM if warning else GREY)
    color = ALARM if "diverged" in note else GREY
    right = foot(x=1 - 0.15 / width, s=note, ha="right", color=color)
    shrink([left, right], width - 0.5)
    return figure, axes


def shrink(texts: list[Text], room: float) -> None:
    """Make texts smaller until they fit beside one another into that many inches."""
    while sum(text.get_window_extent().width for text in texts) > room * texts[0].figure.dpi:
        for text in texts:
            text.set_fontsize(0.98 * text.get_fontsize())


def legend_right(figure: Figure, lines: list[Line2D], top: float, title: str = "") -> None:
    """Put the legend beside the axes, which make room for it; top is its distance in inches.

    Labels that would take more than about half of the width are broken into lines.
    """
    width, height = figure.get_size_inches()
    place = {"loc": "upper right", "bbox_to_anchor": (1, 1 - top / height)}
    names = [
        "\n".join(fill(part, int(6 * width)) for part in line.get_label().split("\n"))
        for line in lines
    ]
    legend = figure.legend(lines, names, title=title, alignment="left", **place)
    figure.subplots_adjust(right=1 - (legend.get_window_extent().width / figure.dpi + 0.1) / width)


def label_outside(axes: np.ndarray, count: int) -> None:
    """Keep the first `count` panels of a grid, and label x only where there is no panel below.

    Likewise y only at the left.
    """
    across = axes.shape[1]
    for n, ax in enumerate(axes.flat):
        lowest = n + across >= count
        ax.tick_params(labelbottom=lowest)
        if not lowest:
            ax.set_xlabel("")
        if n % across:
            ax.set_ylabel("")
        if n >= count:
            ax.set_axis_off()


def seeds_note(cells: Iterable[Cell], dots: bool = False) -> str:
    """Say what curves and numbers are the mean of; "" if each is of one seed.

    dots: whether two seeds are shown as dots, see `draw_means`.
    """
    n = sorted({len(cell.logs) for cell in cells})
    if dots and n == [2]:
        return "mean of 2 seeds, which are the dots"
    several = f"{n[0]} to {n[-1]}" if len(n) > 1 else n[0]
    return f"mean of {several} seeds, 95 % t-interval" if n[-1] > 1 else ""


def best_cells(sweep: Sweep, most: int) -> tuple[Sweep, str]:
    """Return the sweep with its best cells alone, `most` at most, and what a note says of that."""
    cells = sweep.cells
    if len(cells) <= most:
        return sweep, ""
    return sweep.only(best_first(cells)[:most]), f"the best {most} of {len(cells):,} cells {BY}"


def best_columns(sweep: Sweep, most: int) -> tuple[Sweep, str]:
    """Return the sweep with its best cells' columns alone, `most` at most, and a note as above."""
    columns = dict.fromkeys(cell.column for cell in best_first(sweep.cells))
    if len(columns) <= most:
        return sweep, ""
    best = set([*columns][:most])
    part = sweep.only([cell for cell in sweep.cells if cell.column in best])
    return part, f"the best {most} of {len(columns):,} columns {BY}"


def notes(*texts: str) -> str:
    """Join what there is to note."""
    return "; ".join(filter(None, texts))


def divergence(cell: Cell) -> str:
    """Say how many of a cell's seeds diverged, and when; "" if none did."""
    epochs = sorted({log["diverged"]["epoch"] for log in cell.logs if log["diverged"]})
    who = f"{cell.diverged} of {len(cell.logs)} seeds " if len(cell.logs) > 1 else ""
    when = ", ".join(map(str, epochs)) if len(epochs) <= FEW else f"{epochs[0]} to {epochs[-1]}"
    return f"{who}diverged at epoch {when}" if epochs else ""


def write_divergence(ax: Axes, cell: Cell) -> None:
    """Write in a corner of a cell's panel which seeds diverged, if any did."""
    corner = {"transform": ax.transAxes, "ha": "right"}
    ax.text(0.98, 0.05, fill(divergence(cell), 16), fontsize=11, color=ALARM, **corner)


def short(label: str) -> str:
    """Return a label without the middle of its long names, nor of itself if it is still long."""
    words = re.sub(rf"\S{{{LONG_NAME + 1},}}", lambda word: clipped(word[0], LONG_NAME), label)
    return clipped(words, LONG_LABEL)


def folded(names: Collection[str], width: int) -> list[str]:
    """Break labels into lines of about that many characters, all of them if one is too long.

    They are broken at commas first, then at spaces and underscores; and made `short` before.
    """
    names = [short(name) for name in names]
    if max(map(len, names)) <= width:
        return names
    parts = [name.replace("_", "_ ").split(", ") for name in names]
    return ["\n".join(fill(p, width) for p in name).replace("_ ", "_") for name in parts]


def in_two_lines(name: str, width: int) -> str:
    """Return a name in one line, or in two lines of at most that many characters.

    If that is not enough, it loses its middle.
    """
    name = clipped(name, 2 * width)
    if len(name) <= width:
        return name
    after = [k + 1 for k, letter in enumerate(name) if letter in " _-/"]
    fit = [k for k in after if len(name) - width <= k <= width] or [len(name) // 2]
    middle = min(fit, key=lambda k: abs(k - len(name) / 2))
    return f"{name[:middle].rstrip()}\n{name[middle:]}"


def lines_in(texts: Iterable[str]) -> int:
    """Return how many lines the longest of the texts has."""
    return 1 + max(text.count("\n") for text in texts)


# Axes


def table_axes(ax: Axes, rows: int, color: str) -> None:
    """Make the axes those of a table, its first row on top; cells without a number in a colour."""
    ax.set(facecolor=color, ylim=(rows, 0))
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.grid(False)


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
    ax: Axes,
    label: str,
    values: Iterable[np.ndarray],
    scale: str = "linear",
    ceiling: float = np.inf,
) -> None:
    """Make y, one of SCALES, fit all values up to the ceiling; bands may run out of it.

    values: arrays of any shapes. Numbers that the scale has no place for are left out.
    """
    ax.set_ylabel(label)
    everything = np.concatenate([np.ravel(array) for array in values] or [[]])
    fit = everything[np.isfinite(everything) & ((everything > 0) | (scale != "log"))]
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


# Curves


def spread(count: int, most: int) -> list[int]:
    """Return which of so many items to keep: the first, the last, and evenly spread `most` at most.

    They are counted from 0.
    """
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()


def draw_curve(ax: Axes, rows: np.ndarray, **line) -> Line2D:
    """Draw a row, a number per epoch; or the mean of several rows in its 95 % t-interval."""
    epochs = np.arange(1, rows.shape[1] + 1)
    mean, half = t_interval(rows)
    (drawn,) = ax.plot(epochs, mean, markevery=-(-len(epochs) // 10), **line)
    if len(rows) > 1:
        kept = spread(len(epochs), MOST_POINTS)
        band = {"color": line["color"], "alpha": 0.13, "linewidth": 0}
        ax.fill_between(epochs[kept], (mean - half)[kept], (mean + half)[kept], **band)
    return drawn


def weight_gradients(log: dict, metric: str = "mean_abs") -> dict[str, list]:
    """One metric of the gradient of each layer's weight, by epoch: {"fc1": [...], ...}."""
    statistics = log["gradient_stats"].items()
    return {n.removesuffix(".weight"): s[metric] for n, s in statistics if n.endswith(".weight")}


def layer_looks(layers: int) -> dict[int, dict]:
    """Return colour and marker of the layers that are drawn, by number from 0: black to grey.

    These are all, or of more than MOST_LAYERS as many, evenly spread.
    """
    drawn = spread(layers, MOST_LAYERS)
    greys = colormaps["Greys_r"](np.linspace(0, 0.6, len(drawn)))
    looks = [{"color": grey, "marker": marker} for grey, marker in zip(greys, cycle(MARKERS))]
    return dict(zip(drawn, looks))


def of_layers(title: str, layers: int) -> str:
    """Return the title of a legend of so many layers, which says if only some of them are drawn."""
    some = f"({MOST_LAYERS} of {layers:,} layers)" if layers > MOST_LAYERS else ""
    return "\n".join(filter(None, (title, some)))


def draw_layers(ax: Axes, seeds: list[dict[str, list]], layers: int = 0) -> list[Line2D]:
    """Draw a curve for each layer, the mean over the seeds: name -> a number per epoch.

    layers: how many the deepest network of the figure has, so that greys agree between panels.
    """
    names = [*seeds[0]]
    return [
        draw_curve(ax, table(seed[names[k]] for seed in seeds), label=names[k], **look)
        for k, look in layer_looks(max(layers, len(names))).items()
        if k < len(names)
    ]


# All figures of a kind


Makers = dict[str, Callable[[], Figure | None]]  # name -> what makes the figure, if it shows any


@settings()
def made(makers: Makers) -> dict[str, Figure]:
    """Return the figures by name, without those that would show nothing."""
    figures = {name: make() for name, make in makers.items()}
    return {name: figure for name, figure in figures.items() if figure}


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep Python's garbage collector away from what draws in this block.

    For matplotlib's many small objects it would go through all logs again and again, which takes
    up to 40 % of the time.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


# Files


@settings()
def save(figures: dict[str, Figure], folder: Path) -> list[Path]:
    """Write each figure to folder/NAME.png, in one step; return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {folder / f"{name}.png": figure for name, figure in figures.items()}
    for path, figure in paths.items():
        with replacing(path) as file:
            figure.savefig(file, format="png", pil_kwargs={"compress_level": 1})
    return list(paths)
