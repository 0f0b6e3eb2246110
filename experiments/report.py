"""OUT/report.html: everything a sweep found, on one page that needs neither network nor server.

The page is complete as it is written here: text, pictures, tables. report.js adds what can be
played with, and report.css the looks; both become part of the file, and so do all images.
"""

import base64
import html
import io
import json
from itertools import cycle
from pathlib import Path

import numpy as np
from comparisons import NAMES, cells, differences, in_order, interval, layers_text, ranked, values
from conclusions import conclude
from diagnostic_figures import grid_diagnostics, run_diagnostics
from figures import (
    ACTIVATION_COLORS,
    GRADIENT,
    LOSS,
    MARKERS,
    MAX_LOSS,
    OPTIMIZER_STYLES,
    divergence,
    grid_figures,
    run_figures,
    t_interval,
    table,
)
from matplotlib.figure import Figure
from matplotlib.markers import MarkerStyle
from PIL import Image
from report_svg import INK, PAPER, Palette, inline_svg
from studies import STUDIES
from study_figures import study_figures

from nnlite.files import write_text
from nnlite.logs import summarize

HERE = Path(__file__).parent
SHOWN_AT_FIRST = 8  # curves laid over one another that can still be told apart
MANY_PAIRS = 120  # with more than that, cells are compared with the best one only
POINTS = 60  # of a curve that can be played with
WRONG_IMAGES = 12

# Figure -> its heading, and how to read it.
CAPTIONS = {
    "comparison_grid": (
        "All cells at a glance",
        "A row per activation, a column per optimizer; the darker a field, the better.",
    ),
    "accuracy_curves": (
        "Validation accuracy",
        "Higher is better. The scale stretches the top, where the last errors are hard to get rid "
        "of; the legend is ranked. A band is the 95 % t-interval of the mean over the seeds: "
        "where two bands overlap widely, the order of their curves may be chance.",
    ),
    "loss_curves": (
        "Training loss",
        "Lower is better, on a log scale. A loss that falls while the validation accuracy does not "
        "rise any more is overfitting. Knowing nothing about ten classes costs ln 10 = 2.3 nats.",
    ),
    "gradient_flow": (
        "Gradient flow",
        "A panel per cell, a curve per layer, on a log scale: the gradient that reaches the "
        "weights. Curves far below that of the last layer mean that the first layers hardly learn.",
    ),
    "activations": (
        "Activation functions",
        "Solid: the function. Dashed: its derivative, by which each layer multiplies the gradient "
        "on its way back. Where that is far below 1, little of the gradient is passed on.",
    ),
    "loss_accuracy": (
        "Loss and accuracy",
        "Left: when the training loss goes on falling while the validation loss rises, the network "
        "learns its training images by heart. Right: what that does to the accuracy.",
    ),
    "learning_rate": ("Learning rate", "The rate that the schedule set in each epoch."),
    "zero_gradients": (
        "Zero gradients",
        "How many of a weight's gradients were exactly 0 in one batch. A unit may be silent in one "
        "batch and not in the next: this is not yet the share of dead units.",
    ),
}  # fmt: skip

METRICS = {  # curves to play with: label, scale, digits, ceiling
    "val_accuracy": ("validation accuracy (%)", "errors", 2, None),
    "train_loss": (f"training loss: {LOSS}", "log", 4, MAX_LOSS),
    "val_loss": (f"validation loss: {LOSS}", "log", 4, MAX_LOSS),
}
COLUMNS = {  # of the tables: measure of the summary -> heading, format
    "final_loss": ("final training loss (nats)", ".4f"),
    "best_val_accuracy": ("best validation accuracy (%)", ".2f"),
    "test_accuracy": ("test accuracy (%)", ".2f"),
    "epoch_to_90pct_best": ("epoch with 90 % of the best accuracy", ".3g"),
    "mean_gradient_early_layers": ("mean |gradient| of fc1, fc2 (nats)", ".2e"),
    "training_stability_score": ("stability score", ".4f"),
    "avg_epoch_time": ("seconds per epoch", ".2f"),
}


# HTML. Text is escaped wherever it enters an element, so no name in a log can become markup.


class Markup(str):
    """Text that is HTML already."""


def escaped(content: object) -> str:
    return content if isinstance(content, Markup) else html.escape(str(content))


def join(*parts: object) -> Markup:
    return Markup("".join(map(escaped, parts)))


def element(tag: str, /, *content: object, **attributes: object) -> Markup:
    """Return <tag attributes>content</tag>; class_ is class, aria_label aria-label.

    An attribute that is True stands without a value, one that is None or False is left out.
    """
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}"
        + ("" if value is True else f'="{html.escape(str(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    end = "" if tag in ("input", "img", "meta", "br") else f"</{tag}>"
    return Markup(f"<{tag}{written}>{join(*content)}{end}")


def items(sentences: list[str]) -> Markup:
    return element("ul", *(element("li", sentence) for sentence in sentences))


def section(identity: str, title: str, *content: object, **attributes: object) -> Markup:
    heading = element("h2", title, id=f"{identity}-title")
    labels = {"id": identity, "aria_labelledby": f"{identity}-title"}
    return element("section", heading, *content, **labels, **attributes)


# The cells of the grid.

Cells = dict[str, list[dict]]  # label -> the logs of its seeds, as from comparisons.cells


def looks(grid: Cells, palette: Palette) -> dict[str, dict]:
    """Return colour, dashes and marker of each cell as SVG attributes, the same as in the figures.

    Cells that share colour and dashes, such as two learning rates, differ in their markers.
    """
    found, shapes = {}, {}
    for name, logs in grid.items():
        c = logs[0]["config"]
        column = str({key: c[key] for key in NAMES if key != "activation"})
        shapes.setdefault(column, len(shapes))
        dashes = OPTIMIZER_STYLES[c["optimizer"]]
        found[name] = {
            "color": palette.shape(ACTIVATION_COLORS[c["activation"]]),
            "dash": "none" if dashes == "-" else " ".join(f"{2 * d:g}" for d in dashes[1]),
            "column": shapes[column],
        }
    plain = len(shapes) == len({logs[0]["config"]["optimizer"] for logs in grid.values()})
    for look in found.values():
        look["marker"] = "" if plain else marker_path(look.pop("column"))
        look.pop("column", None)
    return found


def marker_path(k: int) -> str:
    """Return the outline of the k-th of the figures' markers, about 7 units wide, as SVG path."""
    style = MarkerStyle(list(MARKERS)[k % len(MARKERS)])
    outline = style.get_path().transformed(style.get_transform()).to_polygons()[0]
    return "M" + "L".join(f"{7 * x:.2f} {-7 * y:.2f}" for x, y in outline) + "Z"


def swatch(look: dict) -> Markup:
    """Return a short piece of the cell's curve."""
    line = element("path", d="M1 6H33", style=f"stroke:{look['color']};"
                   f"stroke-dasharray:{look['dash']}", class_="curve")  # fmt: skip
    marker = element("path", d=look["marker"], transform="translate(17 6)",
                     style=f"fill:{look['color']}")  # fmt: skip
    parts = [line, marker] if look["marker"] else [line]
    return element("svg", *parts, class_="swatch", viewBox="0 0 34 12", aria_hidden="true")


def mean_of(logs: list[dict], measure: str) -> tuple[float | None, float | None]:
    """Return mean and half 95 % t-interval of a measure over a cell's seeds that did not diverge."""
    return interval(values(logs, measure).values())


def by_accuracy(grid: Cells) -> list[str]:
    """Return the names of the cells, best mean validation accuracy first."""
    first = ranked({name: values(logs, "best_val_accuracy") for name, logs in grid.items()})
    return [*first, *(name for name in grid if name not in first)]


# What report.js draws from.


def rounded(values: np.ndarray, digits: int) -> list:
    """An array as nested lists, with so many digits that count; None for NaN."""
    if values.ndim:
        return [rounded(row, digits) for row in values]
    return float(f"{values:.{digits}g}") if np.isfinite(values) else None


def thinned(count: int) -> list[int]:
    """Return which of so many epochs to keep: the first, the last, and POINTS at most."""
    return np.unique(np.linspace(0, count - 1, min(count, POINTS)).round().astype(int)).tolist()


def flows(logs: list[dict], kept: list[int]) -> list[dict]:
    """Return the three views of the gradient flow of a cell: mean and half-width, [layer][epoch].

    Before the first epoch there is the initial network, which has made no update yet.
    """
    depth = len(logs[0]["config"]["hidden"]) + 1
    weights, linear = ([f"fc{k + 1}{end}" for k in range(depth)] for end in (".weight", ""))
    parts = [
        ("gradient_stats", weights, "mean_abs"),
        ("probe", linear, "gradient_norm"),
    ]
    rows = [
        [[[log["initial"][part][n][metric], *log[part][n][metric]] for log in logs] for n in names]
        for part, names, metric in parts
    ]
    rows.append([[[None, *log["update_ratio"][name]] for log in logs] for name in linear])
    views = []
    for layers in rows:
        intervals = [t_interval(table(seeds)) for seeds in layers]
        chosen = [0, *(k + 1 for k in kept)]
        means, halves = (
            [[pair[i][k] if k < len(pair[i]) else np.nan for k in chosen] for pair in intervals]
            for i in (0, 1)
        )
        views.append({"mean": rounded(np.array(means), 4), "half": rounded(np.array(halves), 2)})
    return views


def curves(logs: list[dict], kept: list[int]) -> list[dict]:
    """Return the curves of a cell, mean and half-width by epoch, one for each of METRICS."""
    found = []
    for metric in METRICS:
        padded = [log[metric] + [None] * (kept[-1] + 1 - len(log[metric])) for log in logs]
        mean, half = (numbers[kept] for numbers in t_interval(table(padded)))
        found.append({"mean": rounded(mean, 5), "half": rounded(half, 2)})
    return found


def confusion(logs: list[dict]) -> list | None:
    """Return [true][predicted] in % of the true class's test images, mean over a cell's seeds."""
    counts = [log["test_confusion"] for log in logs if log["test_confusion"]]
    if not counts:
        return None
    shares = np.array(counts, dtype=float)
    shares *= 100 / np.maximum(shares.sum(axis=-1, keepdims=True), 1)
    return rounded(shares.mean(axis=0), 3)


def wrong_images(logs: list[dict]) -> list[dict]:
    """Return a cell's most confidently wrong test images: first those that most seeds get wrong."""
    rows: dict[int, list[dict]] = {}
    for log in logs:
        for image in log["most_wrong"] or []:
            rows.setdefault(image["row"], []).append(image)

    def worst(images: list[dict]) -> dict:
        return max(images, key=lambda image: image["probability"])

    ranked = sorted(rows.values(), key=lambda images: (-len(images), -worst(images)["probability"]))
    return [{**worst(images), "seeds": len(images)} for images in ranked[:WRONG_IMAGES]]


def png(image: dict) -> str:
    """Return the base64 of a PNG file with the pixels of an entry of `most_wrong`."""
    pixels = np.frombuffer(base64.b64decode(image["image"]), dtype=np.uint8)
    side = round(len(pixels) ** 0.5)
    file = io.BytesIO()
    Image.fromarray(pixels.reshape(side, side)).save(file, format="PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def playable(grid: Cells, styles: dict[str, dict]) -> dict:
    """Return all that report.js needs, small enough to be part of the page."""
    logs = [log for seeds in grid.values() for log in seeds]
    kept = thinned(max(len(log["epoch"]) for log in logs))
    depth = max(len(log["config"]["hidden"]) for log in logs) + 1
    first = by_accuracy(grid)[:SHOWN_AT_FIRST]
    images: dict[int, str] = {}
    entries = []
    for name, seeds in grid.items():
        wrong = wrong_images(seeds)
        for image in wrong:
            if image["row"] not in images:
                images[image["row"]] = png(image)
        entries.append({
            "name": name, **styles[name], "shown": name in first, "seeds": len(seeds),
            "curves": curves(seeds, kept), "flows": flows(seeds, kept),
            "confusion": confusion(seeds),
            "wrong": [[w["row"], w["label"], w["predicted"], float(f"{w['probability']:.4f}"),
                       w["seeds"]] for w in wrong],
        })  # fmt: skip
    return {
        "epochs": [k + 1 for k in kept],
        "layers": [f"fc{k + 1}" for k in range(depth)],
        "metrics": [dict(zip(("label", "scale", "digits", "ceiling"), m)) for m in METRICS.values()],
        "classes": logs[0]["dataset"]["classes"],
        "images": images,
        "cells": entries,
    }


def data_script(content: dict) -> Markup:
    """Return the data as JSON in a <script> that is not run."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    text = text.replace("<", "\\u003c")  # so that no name can end the script
    return Markup(f'<script type="application/json" id="data">{text}</script>')


# Tables.


def number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form).replace("-", "−")


def cell(text: object, value: float | None = None, **attributes: object) -> Markup:
    """Return a table cell; `value` is the number it is sorted by."""
    known = "" if value is None else repr(float(value))
    return element("td", text, data_value=known, **attributes)


def sortable(identity: str, caption: object, headings: list[str], rows: list[list]) -> Markup:
    """Return a table that report.js makes sortable, in a box of its own that scrolls sideways."""
    head = element("tr", *(element("th", heading, scope="col") for heading in headings))
    body = [element("tr", *row) for row in rows]
    inside = element("table", element("caption", caption), element("thead", head),
                     element("tbody", *body), class_="sortable", id=identity)  # fmt: skip
    return scroller(inside, f"{identity}-box", "table")


def scroller(content: Markup, identity: str, what: str) -> Markup:
    """Return a box that scrolls sideways by itself, with the keyboard too."""
    label = f"{what}, scrolls sideways where it is too wide"
    return element("div", content, class_="scroll", id=identity, tabindex="0", role="region",
                   aria_label=label)  # fmt: skip


def cells_table(grid: Cells, styles: dict[str, dict]) -> Markup:
    rows = []
    for name in by_accuracy(grid):
        logs = grid[name]
        row = [element("th", swatch(styles[name]), name, note(logs), scope="row"),
               cell(len(logs), len(logs))]  # fmt: skip
        for measure, (_, form) in COLUMNS.items():
            mean, half = mean_of(logs, measure)
            spread = "" if half is None else element("small", f" ± {number(half, form)}")
            row.append(cell(join(number(mean, form), spread), mean))
        rows.append(row)
    caption = "Each cell of the grid: mean over its seeds ± half the 95 % t-interval, best first"
    headings = ["cell", "seeds", *(heading for heading, _ in COLUMNS.values())]
    return sortable("cells", caption, headings, rows)


def note(logs: list[dict]) -> Markup:
    """Return what a cell's row says of diverged seeds."""
    text = divergence(logs)
    return element("small", f" {text}", class_="alarm") if text else Markup("")


def runs_table(grid: Cells) -> Markup:
    rows = []
    for name, logs in grid.items():
        for log in logs:
            summary = summarize(log)
            row = [element("th", name, note([log]), scope="row"),
                   cell(summary["seed"], summary["seed"])]  # fmt: skip
            for measure, (_, form) in COLUMNS.items():
                value = summary[measure]
                row.append(cell(number(value, form), value))
            rows.append(row)
    headings = ["run", "seed", *(heading for heading, _ in COLUMNS.values())]
    return sortable("runs", "Each run; its folder has its log and its own figures", headings, rows)


def differences_table(grid: Cells, logs: list[dict]) -> Markup:
    """Return the table of paired differences; with many pairs, those with the best cell only."""
    pairs = [pair for pair in differences(logs) if pair["mean"] is not None]
    if not pairs:
        return Markup("")
    caption = "Differences in test accuracy, paired by seed: mean ± half the 95 % t-interval"
    if len(pairs) > MANY_PAIRS:
        best = by_accuracy(grid)[0]
        caption += f"; of {len(pairs):,} pairs, those with {best}, which validated best"
        pairs = [pair for pair in pairs if best in (pair["a"], pair["b"])]
    reach = max(abs(pair["mean"]) + (pair["half"] or 0) for pair in pairs) or 1
    rows = []
    for pair in pairs:
        mean, half = pair["mean"], pair["half"]
        spread = "" if half is None else element("small", f" ± {half:.2f}")
        rows.append([
            element("th", pair["a"], scope="row"),
            cell(pair["b"]),
            cell(join(number(mean, "+.2f"), spread), mean),
            cell(interval_picture(mean, half, reach), mean, class_="interval"),
            cell(pair["n"], pair["n"]),
            cell(pair["verdict"]),
        ])  # fmt: skip
    headings = ["a", "b", "a − b (points)", "interval", "seeds", "verdict"]
    return sortable("differences", caption, headings, rows)


def interval_picture(mean: float, half: float | None, reach: float) -> Markup:
    """Return a small picture of an interval around its mean, with a line at zero."""

    def x(value: float) -> str:
        return f"{60 + 56 * value / reach:.1f}"

    parts = [element("path", d="M60 0V16", class_="zero"), element("circle", cx=x(mean), cy=8, r=3.5)]
    if half is not None:
        parts.append(element("path", d=f"M{x(mean - half)} 8H{x(mean + half)}", class_="range"))
    return element("svg", *parts, viewBox="0 0 120 16", aria_hidden="true")


def configurations_table(grid: Cells) -> Markup:
    keys = [key for key in next(iter(grid.values()))[0]["config"] if key != "seed"]
    rows = []
    for name, logs in grid.items():
        config = {**logs[0]["config"]}
        config["hidden"] = ", ".join(map(str, config["hidden"]))
        row = [config[key] for key in keys]
        numeric = [v if isinstance(v, int | float) else None for v in row]
        seeds = ", ".join(str(log["config"]["seed"]) for log in logs)
        rows.append([element("th", name, scope="row"), *map(cell, row, numeric), cell(seeds)])
    headings = ["cell", *(key.replace("_", " ") for key in keys), "seeds"]
    caption = "Everything that decides the outcome of a run, apart from the data"
    return sortable("configurations", caption, headings, rows)


# Pictures.


def alternative(figure: Figure) -> str:
    """Return in words what a figure shows: its title, panels, axes, and legends with their values."""
    title = figure.get_suptitle() if hasattr(figure, "get_suptitle") else figure._suptitle.get_text()
    panels, axes, legends = [], [], [legend for legend in figure.legends]
    for ax in figure.axes:
        panels.append(ax.get_title("left") or ax.get_title())
        axes.append(" by ".join(filter(None, (ax.get_ylabel(), ax.get_xlabel()))))
        legends += [ax.get_legend()] if ax.get_legend() else []
    parts = [title]
    for lead, texts in (("Panels", panels), ("Axes", axes)):
        texts = list(dict.fromkeys(text for text in texts if text))
        parts += [f"{lead}: {'; '.join(texts[:12])}"] if texts else []
    for legend in legends:
        entries = [legend.get_title().get_text(), *(text.get_text() for text in legend.get_texts())]
        parts.append("Legend: " + "; ".join(entry for entry in entries if entry))
    return " ".join(". ".join(parts).split())


def picture(name: str, figure: Figure, palette: Palette) -> Markup:
    """Return a figure with its heading and its caption."""
    title, how_to_read = CAPTIONS.get(name, (name.replace("_", " ").capitalize(), ""))
    width, height = figure.get_size_inches()
    words = alternative(figure)
    svg = Markup(inline_svg(figure, f"figure-{name}", words, palette))
    drawing = scroller(svg, f"figure-{name}", f"picture, {title}")
    caption = element("figcaption", element("strong", title, ". "), how_to_read)
    return element("figure", drawing, caption, class_="plot",
                   style=f"--width:{96 * width:.0f}px")  # fmt: skip


def pictures(figures: dict[str, Figure], palette: Palette) -> Markup:
    return join(*(picture(name, figure, palette) for name, figure in figures.items()))


# The parts of the page.


WORDS = {"init": "initial weights", "hidden": "hidden layers", "learning_rate": "learning rate",
         "batch_size": "batch size"}  # fmt: skip


def settings(logs: list[dict]) -> dict[str, list[str]]:
    """Return the values of each setting, such as {"optimizer": ["sgd", "adam"], ...}."""
    ordered = in_order(logs)
    return {
        WORDS.get(key, key): list(dict.fromkeys(f"{log['config'][key]:g}" if key == "learning_rate"
                                                else say(log["config"][key]) for log in ordered))
        for key, say in NAMES.items()
    }  # fmt: skip


def question_of(logs: list[dict], study: str | None) -> str:
    """Return the question that the sweep asks."""
    if study in STUDIES:
        return STUDIES[study].question
    names = [name for name, found in settings(logs).items() if len(found) > 1]
    if not names:
        return f"How does {next(iter(cells(logs)))} learn?"
    listed = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    return f"What difference {'do' if len(names) > 1 else 'does'} {listed} make?"


def setup(logs: list[dict], tune_seeds: list[int]) -> Markup:
    """Return what was run, on what: a list of names and values."""
    dataset = logs[0]["dataset"]

    def each(texts) -> str:
        return "; ".join(dict.fromkeys(map(str, texts)))

    def total(matrix: list[list[int]] | None) -> str:
        return f"{sum(map(sum, matrix)):,}" if matrix else "–"

    listed = {True: [], False: []}
    for name, found in settings(logs).items():
        listed[len(found) > 1].append(f"{name}: {', '.join(found)}")
    tested = next((log for log in logs if log["test_confusion"]), logs[0])
    seeds = ", ".join(map(str, sorted({log["config"]["seed"] for log in logs})))
    if len(logs) > 1:
        seeds += "; runs that share a seed share their split, initial weights and batches"
    if tune_seeds:
        seeds += f"; learning rates were chosen on {', '.join(map(str, tune_seeds))}"
    terms = {
        "Data": f"{dataset['name']}, {len(dataset['classes'])} classes; "
        f"{total(tested['val_confusion'][0])} images to validate on, "
        f"{total(tested['test_confusion'])} to test on",
        "What varies": items(listed[True] or ["nothing"]),
        "What is fixed": items(listed[False] or ["nothing"]),
        "Seeds": seeds,
        "Steps": each(f"{log['steps_per_epoch']:,}" for log in logs) + " an epoch",
        "Device": each(log["device"] for log in logs),
        "Versions": each(", ".join(f"{n} {v}" for n, v in log["versions"].items()) for log in logs),
        "Time": duration(sum(sum(log["epoch_time"]) for log in logs))
        + " of training and measuring, all runs together",
        "Checksum": f"{dataset['checksum']} (md5 of the data)",
    }
    return element("dl", *(join(element("dt", k), element("dd", v)) for k, v in terms.items()))


def duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def explorer(grid: Cells, styles: dict[str, dict]) -> Markup:
    """Return the frame that report.js fills: cells to choose, curves, gradient flow."""
    first = by_accuracy(grid)[:SHOWN_AT_FIRST]
    boxes = [
        element("label", element("input", type="checkbox", value=k, checked=name in first),
                swatch(styles[name]), element("span", name))
        for k, name in enumerate(grid)
    ]  # fmt: skip
    quick = [element("button", text, type="button", data_pick=pick)
             for text, pick in (("best 8" if len(grid) > 8 else "all", "first"),
                                ("none", "none"))]  # fmt: skip
    picker = element(
        "fieldset", element("legend", "Cells to show"), element("div", *quick, class_="quick"),
        element("div", *boxes, class_="boxes"), id="picker",
    )  # fmt: skip
    metrics = radios("metric", "Curve", ["validation accuracy", "training loss", "validation loss"])
    measures = radios("measure", "Gradient", ["mean |gradient| of the weights", "|dL/dz|, its norm",
                                              "update / weight"])  # fmt: skip
    slider = element(
        "div",
        element("label", "Epoch ", element("output", id="epoch-value"), for_="epoch"),
        element("input", type="range", id="epoch", min=0, max=1, step=1, value=1),
        element("button", "Play", type="button", id="play", aria_pressed="false"),
        class_="slider",
    )
    charts = element(
        "div",
        element("h3", "Curves"), metrics,
        element("div", id="curves", class_="chart", tabindex="0", role="group"),
        element("p", id="curves-values", class_="values", aria_live="polite"),
        element("h3", "Gradient flow, epoch by epoch"), measures, slider,
        element("div", id="flow", class_="chart", tabindex="0", role="group"),
        element("p", id="flow-values", class_="values", aria_live="polite"),
    )  # fmt: skip
    hint = element(
        "p",
        "Point at the curves, or focus them and use the arrow keys, to read their values; the "
        "gradient flow below goes to the same epoch. A straight slope from the last layer down to "
        "the first is a gradient that shrinks by the same factor in each layer.",
    )
    return section("explore", "Play with it", hint, element("div", picker, charts, class_="explorer"),
                   hidden=True)  # fmt: skip


def radios(name: str, title: str, labels: list[str]) -> Markup:
    choices = [
        element("label", element("input", type="radio", name=name, value=k, checked=k == 0),
                element("span", label))
        for k, label in enumerate(labels)
    ]  # fmt: skip
    return element("fieldset", element("legend", title, class_="hidden"), *choices, class_="radios")


def mistakes(grid: Cells, data: dict) -> Markup:
    """Return the confusion matrix and the most confidently wrong images of the best cell."""
    names, known = data["classes"], [e["name"] for e in data["cells"] if e["confusion"]]
    if not known:
        return section("mistakes", "What it gets wrong", element("p", "No run was tested."))
    best = next(name for name in by_accuracy(grid) if name in known)
    entry = next(e for e in data["cells"] if e["name"] == best)
    options = [element("option", e["name"], value=k, selected=e["name"] == best)
               for k, e in enumerate(data["cells"]) if e["confusion"]]  # fmt: skip
    chooser = element("p", element("label", "Cell ", element("select", *options, id="mistaken")),
                      class_="chooser", hidden=True)  # fmt: skip
    head = element("tr", element("th", "true class", scope="col", class_="corner"), *(
        element("th", element("span", name), scope="col") for name in names))  # fmt: skip
    body = [
        element("tr", element("th", name, scope="row"), *(
            element("td", f"{share:.0f}" if share >= 0.5 else "", style=f"--share:{share / 100:.3f}",
                    class_="full" if share >= 50 else None) for share in row))
        for name, row in zip(names, entry["confusion"])
    ]  # fmt: skip
    caption = element(
        "caption", "Of 100 test images of a class (row), how many ", element("b", best, id="whose"),
        " takes for which class (column); mean over its seeds",
    )  # fmt: skip
    matrix = element("table", caption, element("thead", head), element("tbody", *body), id="matrix")
    figures = [
        element(
            "figure",
            element("img", src=f"data:image/png;base64,{data['images'][row]}", width=84, height=84,
                    alt=f"test image {row}: {names[label]}"),
            element("figcaption", element("b", names[predicted]), f" {100 * sure:.1f} %",
                    element("br"), f"is: {names[label]}", element("br"),
                    element("small", f"{seeds} of {entry['seeds']} seeds"
                            if entry["seeds"] > 1 else f"image {row}")),
        )
        for row, label, predicted, sure, seeds in entry["wrong"]
    ]  # fmt: skip
    explanation = element(
        "p", "The test images that the network is most certain of, and wrong about; first those "
        "that most of its seeds get wrong. In bold what it says, with its probability.",
    )  # fmt: skip
    return section(
        "mistakes", "What it gets wrong", chooser, scroller(matrix, "matrix-box", "table"),
        element("h3", "Most confidently wrong"), explanation,
        element("div", *figures, id="wrong"),
    )  # fmt: skip


def page(logs: list[dict], sweep: dict) -> str:
    """Return the whole report. sweep: the content of sweep.json."""
    study, tune_seeds = sweep["study"], sweep["tune_seeds"]
    fresh = [log for log in logs if log["config"]["seed"] not in tune_seeds] or logs
    grid, palette = cells(fresh), Palette()
    styles = looks(grid, palette)
    data = playable(grid, styles)
    question = question_of(fresh, study)
    conclusions = conclude(study, logs, tune_seeds)

    seeds = {log["config"]["seed"] for log in fresh}
    counts = [(len(logs), "run"), (len(grid), "cell"), (len(seeds), "seed"),
              (max(len(log["epoch"]) for log in logs), "epoch")]  # fmt: skip
    facts = " · ".join(f"{n:,} {word}{'s' if n != 1 else ''}" for n, word in counts)
    datasets = ", ".join(dict.fromkeys(log["dataset"]["name"] for log in logs))
    warnings = list(dict.fromkeys(log["dataset"]["note"] for log in logs if log["dataset"]["note"]))
    if "digits" in datasets and not warnings:
        warnings = ["These are scikit-learn's handwritten digits, not Fashion-MNIST."]
    if diverged := [log for log in logs if log["diverged"]]:
        warnings.append(f"{len(diverged)} of {len(logs)} runs diverged: they have no test accuracy, "
                        "and no part in the means of the tables.")  # fmt: skip

    found = element("div", element("h2", "What was found", id="found-title"),
                    items(conclusions["found"]), class_="found")  # fmt: skip
    not_shown = element("div", element("h2", "What it does not show"),
                        items(conclusions["not_shown"]))  # fmt: skip
    parts = [element("section", found, not_shown, id="found", aria_labelledby="found-title")]
    parts.append(section("setup", "What was run", setup(fresh, tune_seeds)))
    if own := study_figures(study, logs, tune_seeds):
        parts.append(section("study", "The answer in pictures", pictures(own, palette)))
    parts.append(explorer(grid, styles))

    compared = grid_figures(fresh)
    learning = {name: compared.pop(name) for name in ("comparison_grid", "accuracy_curves",
                                                  "loss_curves")}  # fmt: skip
    diagnostics = grid_diagnostics(fresh)
    if len(fresh) == 1:  # then its own figures say more than a grid of one
        learning, compared = run_figures(fresh[0]), {"activations": compared["activations"]}
        diagnostics = run_diagnostics(fresh[0])
    parts += [
        section("learning", "How it learns", pictures(learning, palette)),
        section("gradients", "How the gradients flow", pictures(compared, palette)),
        section("inside", "Inside the networks", pictures(diagnostics, palette)),
        mistakes(grid, data),
    ]
    stability = element(
        "p", "The stability score is the lab sheet's, 1 / (1 + variance of the training loss): it "
        "is high for a network that learns nothing at all, too.", class_="aside",
    )  # fmt: skip
    runs = runs_table(grid)
    if len(fresh) > 12:
        runs = element("details", element("summary", f"Each of the {len(fresh)} runs"), runs)
    parts.append(section("numbers", "The numbers", cells_table(grid, styles), stability,
                         differences_table(cells, fresh), runs))  # fmt: skip
    every = element("details", element("summary", "Every configuration"), configurations_table(grid))
    command = element("div", element("pre", element("code", sweep["command"], id="command"),
                                     tabindex="0"),
                      element("button", "Copy", type="button", id="copy", hidden=True),
                      class_="command")  # fmt: skip
    parts.append(section("repeat", "Repeat it", element(
        "p", "This command makes the same runs, with the same numbers, and this report. Runs that "
        "are finished already are not run again."), command, every))  # fmt: skip

    links = {"found": "Found", "setup": "Setup", "study": "Answer", "explore": "Play",
             "learning": "Learning", "gradients": "Gradients", "inside": "Inside",
             "mistakes": "Mistakes", "numbers": "Numbers", "repeat": "Repeat"}  # fmt: skip
    contents = element("nav", *(
        element("a", text, href=f"#{identity}", hidden=identity == "explore")
        for identity, text in links.items()
        if any(part.startswith(f'<section id="{identity}"') for part in parts)
    ), aria_label="Contents")  # fmt: skip
    header = element(
        "header", element("p", f"nnlite · lab report{f' · {study}' if study else ''}",
                          class_="kicker"),
        element("h1", question), element("p", f"{datasets} · {facts}", class_="facts"),
        *(element("p", warning, class_="warning", role="note") for warning in warnings),
    )  # fmt: skip
    body = join(header, contents, element("main", *parts), data_script(data))
    return document(f"nnlite: {question}", body, palette)


def document(title: str, body: Markup, palette: Palette) -> str:
    """Return the HTML file: nothing in it may be fetched from anywhere."""
    themes = {theme: f"--ink:{INK[theme]};--paper:{PAPER[theme]};{palette.css(theme)}"
              for theme in INK}  # fmt: skip
    colors = (f":root{{{themes['light']}}}"
              f"@media screen and (prefers-color-scheme: dark){{:root{{{themes['dark']}}}}}")  # fmt: skip
    style, script = ((HERE / f"report.{end}").read_text(encoding="utf-8") for end in ("css", "js"))
    policy = ("default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
              "img-src data:")  # fmt: skip
    return "\n".join([
        "<!DOCTYPE html>", '<html lang="en">', "<head>", '<meta charset="utf-8">',
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        element("title", title), f"<style>\n{colors}\n{style}</style>", "</head>",
        f"<body>\n{body}\n<script>\n{script}</script>\n</body>", "</html>", "",
    ])  # fmt: skip


def write_report(logs: list[dict], out: Path, sweep: dict) -> Path:
    """Write OUT/report.html, in one step, and return its path."""
    path = out / "report.html"
    write_text(path, page(logs, sweep))
    return path
