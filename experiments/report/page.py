"""OUT/report.html: everything a sweep found, on one page that needs neither network nor server.

page.html.jinja is the page: its structure and its words. This module computes the values in it, as
plain texts and numbers. The page is complete without its script; page.js adds what can be played
with, page.css the looks, and both become part of the file, as all images do.
"""

import math
from collections.abc import Collection, Iterable
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from figures import grid, inside, run, study
from figures.style import Makers, divergence, made, save, uncollected
from findings.comparisons import best_first, compare
from findings.conclusions import Conclusions
from findings.sweep import NAMES, Cell, Sweep
from findings.table import COLUMNS
from nnlite.files import write_text
from nnlite.training.config import hidden_name
from nnlite.training.loop import VALIDATION_SHARE
from report.data import SHOWN_AT_FIRST, look, script_data
from report.pictures import NOT_HERE, Picture, in_sections, picture
from report.svg import Palette, legal
from words import plural, the_first_few

HERE = Path(__file__).parent
MANY_PAIRS = 120  # with more than that, cells are compared with the best one only
MOST_ROWS = 1000  # of a table
MOST_VALUES = 60  # that a line lists


class Drawn(NamedTuple):
    """Pictures of the page by name, and the CSS variables of their colours."""

    pictures: dict[str, Picture]
    colors: dict[str, tuple[str, float]]


def draw_part(sweep: Sweep, out: Path | None = None, part: int = 0, parts: int = 1) -> Drawn:
    """Make every `parts`-th figure of a sweep, from this one on, and return those of the page.

    Each is made once, for the page and for its file in `out`, if that is given.
    """
    files, shown = figures_of(sweep)
    palette, pictures = Palette(), {}
    for name in [*{**files, **shown}][part::parts]:
        makers = [kind.get(name) for kind in (files, shown)]
        for make in dict.fromkeys(filter(None, makers)):
            with uncollected():
                figures = made({name: make})
                if out and make is makers[0]:
                    save(figures, out)
                if make is makers[1] and name not in NOT_HERE:
                    pictures |= {n: picture(n, figure, palette) for n, figure in figures.items()}
    return Drawn(pictures, palette.used)


def write_page(
    sweep: Sweep, conclusions: Conclusions, out: Path, parts: Collection[Drawn] = ()
) -> Path:
    """Write OUT/report.html, in one step, and return its path.

    parts: all that draw_part returned; without them the figures are drawn here.
    """
    path = out / "report.html"
    write_text(path, page(sweep, conclusions, parts))
    return path


def page(sweep: Sweep, conclusions: Conclusions, parts: Collection[Drawn] = ()) -> str:
    """Return the report as HTML."""
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    template = environment.get_template("page.html.jinja")
    return legal(template.render(context(sweep, conclusions, parts)).lstrip())


def context(sweep: Sweep, conclusions: Conclusions, parts: Collection[Drawn]) -> dict:
    """Return the values in the template, by the names that they have there."""
    palette, drawn = Palette(), {}
    for part in parts or [draw_part(sweep)]:
        palette.used |= part.colors
        drawn |= part.pictures
    data = script_data(sweep, palette)
    figures, terms = in_sections(drawn, sweep.study)
    positions = {cell["name"]: k for k, cell in enumerate(data["cells"])}
    ranked = best_first(sweep.cells)
    ranking = [positions[cell.label] for cell in ranked[: len(positions)]]
    return {
        "question": sweep.question,
        "study": sweep.study,
        "facts": [
            sweep.dataset["name"],
            plural(len(sweep.logs), "run"),
            plural(len(sweep.cells), "cell"),
            plural(len(sweep.seeds), "seed"),
            plural(sweep.epochs, "epoch"),
        ],
        "all_runs": len(sweep.logs),
        "diverged": sum(log["diverged"] is not None for log in sweep.logs),
        "notes": sorted({log["dataset"]["note"] for log in sweep.logs} - {""}),
        "found": conclusions.found,
        "not_shown": conclusions.not_shown,
        "setup": setup(sweep),
        "figures": figures,
        "terms": terms,
        "data": data,
        "shown_at_first": SHOWN_AT_FIRST,
        "all_cells": len(sweep.cells),
        "most_rows": MOST_ROWS,
        "all_layers": 1 + max(cell.depth for cell in sweep.cells),
        "best_first": ranking,  # positions in data.cells, like `mistaken`: the best of those tested
        "mistaken": next((k for k in ranking if data["cells"][k]["confusion"]), None),
        "headings": [column.heading for column in COLUMNS.values()],
        "cells": cell_rows(ranked[:MOST_ROWS], palette),
        "seeds_each": same(len(cell.logs) for cell in sweep.cells),
        "runs": run_rows(sweep),
        "cell_runs": len(runs_of(sweep)),
        **difference_rows(sweep),
        **configuration_rows(sweep),
        "command": sweep.command,
        "colors": {theme: palette.css(theme) for theme in ("light", "dark")},
        "style": source("page.css"),
        "script": source("page.js"),
    }


def source(name: str) -> Markup:
    return Markup((HERE / name).read_text(encoding="utf-8"))


def runs_of(sweep: Sweep) -> list[dict]:
    """Return the logs of the cells."""
    return [log for cell in sweep.cells for log in cell.logs]


def figures_of(sweep: Sweep) -> tuple[Makers, Makers]:
    """Return what makes the figures of which there are files, and what makes those of the page.

    These are the same, but for a single run.
    """
    runs = runs_of(sweep)
    files = {**grid.makers(sweep), **inside.makers(sweep), **study.makers(sweep)}
    if len(runs) > 1:
        return files, files
    # Its own figures say more than a grid of one.
    of_study = {name: files[name] for name in ["activations", *study.makers(sweep)]}
    return files, {**run.makers(runs[0]), **of_study}


# What was run


def setup(sweep: Sweep) -> dict[str, str | list[str]]:
    """Return what was run, on what."""
    runs = runs_of(sweep)
    versions: dict[str, dict[str, None]] = {}
    for name, version in (item for log in runs for item in log["versions"].items()):
        versions.setdefault(name, {})[version] = None
    tested = next((log for log in runs if log["test_confusion"]), runs[0])
    settings = {key: f"{setting_name(key)}: {text}" for key, text in setting_values(sweep).items()}
    return {
        "dataset": sweep.dataset["name"],
        "pixels": sweep.dataset["pixels"],
        "images": images(tested),
        "varies": [settings[key] for key in sweep.varies],
        "fixed": [text for key, text in settings.items() if key not in sweep.varies],
        "seeds": listed(map(str, sweep.seeds)),
        "tune_seeds": listed(map(str, sweep.tune_seeds)),
        "steps": each(f"{log['steps_per_epoch']:,}" for log in runs),
        "device": each(log["device"] for log in runs),
        "versions": ", ".join(f"{name} {' or '.join(v)}" for name, v in versions.items()),
        "time": duration(sum(sum(log["epoch_time"]) for log in runs)),
        "checksum": sweep.dataset["checksum"],
    }


def each(texts: Iterable[str]) -> str:
    """List the different ones among texts of all runs."""
    return "; ".join(dict.fromkeys(texts))


def same(values: Iterable):
    """Return the value that all of them have; None if they differ."""
    first, *others = dict.fromkeys(values)
    return None if others else first


def listed(texts: Iterable[str]) -> str:
    """List texts; of more than MOST_VALUES only a few, and how many more there are."""
    texts = list(texts)
    return ", ".join(texts) if len(texts) <= MOST_VALUES else the_first_few(texts)


def setting_name(key: str) -> str:
    """Return the name of a setting of Config on the page."""
    return {"hidden": "hidden layers", "init": "initial weights"}.get(key, key.replace("_", " "))


def setting_values(sweep: Sweep) -> dict[str, str]:
    """Return the values of each setting, such as {"optimizer": "sgd, adam"}.

    Where the learning rate does not vary, as it is each optimizer's own, its optimizer is named.
    """
    configs = [cell.config for cell in sweep.cells]
    values = {key: [getattr(c, key) for c in configs] for key in NAMES}
    for key in ("learning_rate", "batch_size", "epochs"):
        values[key].sort()
    values["hidden"] = [hidden_name(c.hidden) for c in configs]
    if "learning_rate" not in sweep.varies:
        values["learning_rate"] = [f"{c.learning_rate:g} ({c.optimizer})" for c in configs]
    return {key: listed(map(short, dict.fromkeys(found))) for key, found in values.items()}


def short(value: float | str) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def images(log: dict) -> str:
    """Return how many images train, validate and test; "" if the run diverged before it counted.

    A log counts only those that validate and test; those that train follow from their share.
    """
    validated, tested = log["val_confusion"][0], log["test_confusion"]
    if not validated:
        return ""
    count = sum(map(sum, validated))
    trained = float(f"{count * (1 / VALIDATION_SHARE - 1):.3g}")
    text = f"about {trained:,.0f} images to train on, {count:,} to validate on"
    return f"{text}, {sum(map(sum, tested)):,} to test on" if tested else text


def duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


# Tables


class Number(NamedTuple):
    """A number in a table: as text, as the script sorts it, and what follows its ±, if anything."""

    text: str
    value: float | None
    half: str = ""


def number(value: float | None, half: float | None = None, form: str = "") -> Number:
    """Return a number with a true minus and a short exponent: 2.30, −1, 4.3e−4; – if it is None."""

    def written(number: float, form: str) -> str:
        text = format(number, "" if isinstance(number, int) else form)
        return text.replace("e-0", "e-").replace("-", "−")

    text = "–" if value is None else written(value, form)
    return Number(text, value, "" if half is None else written(half, form.lstrip("+")))


def cell_rows(cells: list[Cell], palette: Palette) -> list[dict]:
    """Return the rows of the table of cells, in this order."""
    return [
        {
            "name": cell.label,
            "look": look(cell, palette),
            "diverged": divergence(cell),
            "seeds": number(len(cell.logs)),
            "numbers": [number(*cell.mean(key), column.form) for key, column in COLUMNS.items()],
        }
        for cell in cells
    ]


def run_rows(sweep: Sweep) -> list[dict]:
    """Return the rows of the table of runs, MOST_ROWS at most."""
    runs = [(cell, run) for cell in sweep.cells for run in cell.summaries]
    return [
        {
            "name": cell.label,
            "diverged": f"diverged at epoch {run['diverged']['epoch']}" if run["diverged"] else "",
            "seed": number(run["seed"]),
            "numbers": [number(run[key], form=column.form) for key, column in COLUMNS.items()],
        }
        for cell, run in runs[:MOST_ROWS]
    ]


def difference_rows(sweep: Sweep) -> dict:
    """Return the rows of the table of differences, and what its caption says of them.

    `pairs` is how many pairs of cells there are. If these are too many, there are only rows with
    the best cell, and `compared_with` is its name; otherwise that is None. `paired` is how many
    seeds each pair has, if that is the same for all. There are no verdicts here: those of the
    findings are of other families, and would seem to contradict them.
    """
    cells, best = sweep.cells, None
    count = math.comb(len(cells), 2)
    pairs = combinations(cells, 2)
    if count > MANY_PAIRS:
        best, *others = best_first(cells)
        at = {cell: k for k, cell in enumerate(cells)}
        pairs = (sorted([best, other], key=at.get) for other in others[:MOST_ROWS])
    rows = []
    for a, b in pairs:
        found = compare(a, b)
        if found.mean is None:  # no seed in common that both finished
            continue
        row = {
            "a": a.label,
            "b": b.label,
            "difference": number(found.mean, found.half, "+.2f"),
            "seeds": number(found.n),
        }
        rows.append(row)
    return {
        "differences": rows,
        "pairs": f"{count:,}",
        "compared_with": best and best.label,
        "paired": same(row["seeds"].text for row in rows) if rows else None,
    }


def configuration(cell: Cell) -> dict[str, str | int | float]:
    """Return what decides the outcome of a cell's runs, and their seeds."""
    config = asdict(cell.config)
    del config["seed"]
    hidden = ", ".join(map(str, config["hidden"]))
    return {**config, "hidden": hidden, "seeds": listed(map(str, cell.seeds))}


def configuration_rows(sweep: Sweep) -> dict:
    """Return the table of configurations: what differs between cells, and once what does not."""
    found = {cell.label: configuration(cell) for cell in sweep.cells}
    keys = [*configuration(sweep.cells[0])]
    shared = {key: same(values[key] for values in found.values()) for key in keys}
    differ = [key for key in keys if shared[key] is None]
    return {
        "shared": [f"{setting_name(k)}: {shared[k]}" for k in keys if k not in differ],
        "differ": [setting_name(key) for key in differ],
        "configurations": [
            {
                "name": name,
                "numbers": [
                    Number(str(values[key]), None if isinstance(values[key], str) else values[key])
                    for key in differ
                ],
            }
            for name, values in [*found.items()][:MOST_ROWS]
        ],
    }
