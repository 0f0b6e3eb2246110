"""What the report's script draws from: the curves of each cell, and its mistakes, in few bytes.

Also how cells look and in what order they come, for the script and for the rest of the page.
"""

import base64
import io
from itertools import cycle

import numpy as np
from matplotlib.markers import MarkerStyle
from PIL import Image

from figures.style import (
    ACTIVATION_COLORS,
    LOSS,
    MARKERS,
    MAX_LOSS,
    OPTIMIZER_STYLES,
    arrange,
    square,
    t_interval,
    table,
)
from findings.comparisons import depth_of, ranked, values
from report.markup import Markup, element
from report.svg import Palette

Cells = dict[str, list[dict]]  # label -> the logs of its seeds, as from comparisons.cells

SHOWN_AT_FIRST = 8  # curves laid over one another that can still be told apart
POINTS = 60  # of a curve
WRONG_IMAGES = 12
METRICS = {  # the order of the page's buttons: label, scale, digits, ceiling
    "val_accuracy": ("validation accuracy (%)", "errors", 2, None),
    "train_loss": (f"training loss: {LOSS}", "log", 4, MAX_LOSS),
    "val_loss": (f"validation loss: {LOSS}", "log", 4, MAX_LOSS),
}


# How cells look, and in what order they come


def looks(grid: Cells, palette: Palette) -> dict[str, dict]:
    """Return colour, dashes and marker of each cell's curve, for SVG, the same as in the figures.

    Cells that share colour and dashes, such as two learning rates, differ in their markers.
    """
    _, columns, arranged = arrange([log for logs in grid.values() for log in logs])
    dashes_differ = len(columns) == len({optimizer for optimizer, *_ in columns})
    outlines = dict(zip(columns, cycle([""] if dashes_differ else map(outline, MARKERS))))
    marker_of = {
        log["experiment_id"]: outlines[column]
        for (_, column), seeds in arranged.items()
        for log in seeds
    }
    found = {}
    for name, logs in grid.items():
        c = logs[0]["config"]
        dashes = OPTIMIZER_STYLES[c["optimizer"]]
        found[name] = {
            "color": palette.shape(ACTIVATION_COLORS[c["activation"]]),
            "dash": "none" if dashes == "-" else " ".join(f"{2 * d:g}" for d in dashes[1]),
            "marker": marker_of[logs[0]["experiment_id"]],
        }
    return found


def outline(marker: str) -> str:
    """Return one of matplotlib's markers as SVG path, about 7 units wide."""
    style = MarkerStyle(marker)
    corners = style.get_path().transformed(style.get_transform()).to_polygons()[0]
    return "M" + "L".join(f"{7 * x:.2f} {-7 * y:.2f}" for x, y in corners) + "Z"


def swatch(look: dict) -> Markup:
    """Return a short piece of the cell's curve."""
    line = element("path", d="M1 6H33", style=f"stroke:{look['color']};"
                   f"stroke-dasharray:{look['dash']}", class_="curve")  # fmt: skip
    marker = element("path", d=look["marker"], transform="translate(17 6)",
                     style=f"fill:{look['color']}")  # fmt: skip
    parts = [line, marker] if look["marker"] else [line]
    return element("svg", *parts, class_="swatch", viewBox="0 0 34 12", aria_hidden="true")


def by_accuracy(grid: Cells) -> list[str]:
    """Return the names of the cells, best mean validation accuracy first."""
    first = ranked({name: values(logs, "best_val_accuracy") for name, logs in grid.items()})
    return [*first, *(name for name in grid if name not in first)]


# Numbers


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
    depth = depth_of(logs[0]) + 1
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
        found.append({"mean": rounded(mean, 5), "half": rounded(half, 3)})
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
    file = io.BytesIO()
    Image.fromarray(square(image["image"])).save(file, format="PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def playable(grid: Cells, styles: dict[str, dict]) -> dict:
    """Return all that report.js needs, small enough to be part of the page."""
    logs = [log for seeds in grid.values() for log in seeds]
    kept = thinned(max(len(log["epoch"]) for log in logs))
    depth = max(map(depth_of, logs)) + 1
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
        "metrics": [
            dict(zip(("label", "scale", "digits", "ceiling"), m)) for m in METRICS.values()
        ],
        "classes": logs[0]["dataset"]["classes"],
        "images": images,
        "cells": entries,
    }
