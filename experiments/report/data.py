"""What page.js draws from: the curves of each cell, and its mistakes, in few bytes."""

import base64
import io
from collections.abc import Iterable

import numpy as np
from matplotlib.markers import MarkerStyle
from PIL import Image

from figures.run import among, most_confused, square
from figures.style import LOSS, max_loss, spread
from findings.comparisons import best_first
from findings.sweep import Cell, Sweep, t_interval, table
from report.svg import Palette

SHOWN_AT_FIRST = 8  # more curves than that, laid over one another, cannot be told apart
MOST_CELLS = 60  # that can be explored, the best ones
POINTS = 60  # of a curve
LAYERS = 20
WRONG_IMAGES = 12

# What the page's charts can show, in the order of their buttons.
ACCURACY = {"scale": "errors", "digits": 2, "ceiling": None}
NATS = {"scale": "log", "digits": 4}
METRICS = {  # key of a log -> how to show it
    "val_accuracy": {"label": "validation accuracy (%)", **ACCURACY},
    "train_loss": {"label": f"training loss: {LOSS}", **NATS},
    "val_loss": {"label": f"validation loss: {LOSS}", **NATS},
}
FLOWS = {  # label -> what a log has of a layer, from the untrained network to the last epoch
    "mean |gradient| of the weights (nats)": lambda log, layer: [
        log["initial"]["gradient_stats"][f"{layer}.weight"]["mean_abs"],
        *log["gradient_stats"][f"{layer}.weight"]["mean_abs"],
    ],
    "|dL/dz|, Euclidean norm (nats)": lambda log, layer: [
        log["initial"]["probe"][layer]["gradient_norm"],
        *log["probe"][layer]["gradient_norm"],
    ],
    "|update| / |weight| of an epoch's last step": lambda log, layer: [
        None,  # an untrained network has made no update
        *log["update_ratio"][layer],
    ],
}


def script_data(sweep: Sweep, palette: Palette) -> dict:
    """Return all that page.js needs, as values that JSON has: of the best cells, in their order."""
    kept = spread(sweep.epochs, POINTS)
    best = best_first(sweep.cells)[:MOST_CELLS]
    first = best[:SHOWN_AT_FIRST]
    sweep = sweep.only(best)
    deepest = max(cell.depth for cell in sweep.cells)
    shown_layers = [f"fc{k + 1}" for k in spread(deepest + 1, LAYERS)]
    shown_classes = most_confused_of(sweep.cells)
    wrong = [wrong_images(cell.logs) for cell in sweep.cells]
    cells = [
        {
            "name": cell.label,
            **look(cell, palette),
            "shown": cell in first,
            "seeds": len(cell.logs),
            "curves": [mean_curve(cell.curves(metric), kept, digits=5) for metric in METRICS],
            "flows": [flow(cell, of_layer, shown_layers, kept) for of_layer in FLOWS.values()],
            "confusion": confusion(cell.logs, shown_classes),
            "wrong": [
                (w["row"], w["label"], w["predicted"], round(w["probability"], 4), w["seeds"])
                for w in images
            ],
        }
        for cell, images in zip(sweep.cells, wrong)
    ]
    return {
        "epochs": [k + 1 for k in kept],
        "layers": shown_layers,
        "confused": shown_classes,
        "metrics": [{"ceiling": max_loss(sweep.dataset), **metric} for metric in METRICS.values()],
        "measures": list(FLOWS),
        "classes": sweep.dataset["classes"],
        "images": {w["row"]: png(w["image"]) for images in wrong for w in images},
        "cells": cells,
    }


# How a cell's curve looks, in the words of SVG


def look(cell: Cell, palette: Palette) -> dict[str, str]:
    """Return the cell's colour, dashes and marker."""
    color = palette.shape(cell.color)
    return {"color": color, "dash": svg_dashes(cell), "marker": svg_marker(cell)}


def svg_dashes(cell: Cell) -> str:
    """Return the cell's stroke-dasharray."""
    return "none" if cell.dashes == "-" else " ".join(f"{2 * d:g}" for d in cell.dashes[1])


def svg_marker(cell: Cell) -> str:
    """Return the cell's marker as a path, about 7 units wide; "" if it has none."""
    if not cell.marker:
        return ""
    style = MarkerStyle(cell.marker)
    corners = style.get_path().transformed(style.get_transform()).to_polygons()[0]
    return "M" + "L".join(f"{7 * x:.2f} {-7 * y:.2f}" for x, y in corners) + "Z"


# Curves


def rounded(values: np.ndarray, digits: int) -> list:
    """Return an array as nested lists, with so many significant digits; None for NaN."""
    if values.ndim:
        return [rounded(row, digits) for row in values]
    return float(f"{values:.{digits}g}") if np.isfinite(values) else None


def mean_curve(values: np.ndarray, kept: list[int], digits: int) -> dict:
    """Return mean and half-width over seeds of values (seeds, epochs) at the epochs kept.

    Where all seeds diverged before that, both are None.
    """
    missing = kept[-1] + 1 - values.shape[1]
    whole = np.pad(values, [(0, 0), (0, missing)], constant_values=np.nan)
    mean, half = t_interval(whole[:, kept])
    return {"mean": rounded(mean, digits), "half": rounded(half, digits - 2)}


def flow(cell: Cell, of_layer, layers: list[str], kept: list[int]) -> dict:
    """Return one of FLOWS: mean and half-width, [layer][epoch], the untrained network first.

    Of these layers, those that the cell's networks have.
    """
    epochs = [0, *(k + 1 for k in kept)]
    curves = [
        mean_curve(table(of_layer(log, layer) for log in cell.logs), epochs, digits=4)
        for layer in layers
        if int(layer.removeprefix("fc")) <= cell.depth + 1
    ]
    return {key: [curve[key] for curve in curves] for key in ("mean", "half")}


# Mistakes


def most_confused_of(cells: list[Cell]) -> list[int]:
    """Return the classes that the page's confusion matrix shows: most confused in all cells."""
    counts = [np.array(log["test_confusion"]) for cell in cells for log in cell.logs[:1]]
    tested = [matrix for matrix in counts if matrix.ndim]
    return most_confused(sum(tested)) if tested else []


def confusion(logs: list[dict], classes: list[int]) -> list | None:
    """Return [true][predicted] in % of the true class's test images, mean over a cell's seeds.

    Of these classes; if they are not all, the last column is all others. None if all seeds
    diverged, and none was tested.
    """
    counts = [log["test_confusion"] for log in logs if log["test_confusion"]]
    if not counts:
        return None
    shares = among(classes, np.array(counts, dtype=float))
    shares *= 100 / np.maximum(shares.sum(axis=-1, keepdims=True), 1)
    return rounded(shares.mean(axis=0), 3)


def wrong_images(logs: Iterable[dict]) -> list[dict]:
    """Return a cell's most confidently wrong test images: first those that most seeds get wrong.

    Each is the entry of the seed that is surest, and "seeds" says how many get it wrong.
    """
    by_row: dict[int, list[dict]] = {}
    for log in logs:
        for image in log["most_wrong"]:
            by_row.setdefault(image["row"], []).append(image)
    found = [
        {**max(images, key=lambda image: image["probability"]), "seeds": len(images)}
        for images in by_row.values()
    ]
    return sorted(found, key=lambda w: (-w["seeds"], -w["probability"]))[:WRONG_IMAGES]


def png(image: str) -> str:
    """Return the base64 of a PNG file with the pixels of an image of `most_wrong`."""
    file = io.BytesIO()
    Image.fromarray(square(image)).save(file, format="PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()
