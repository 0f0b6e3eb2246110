"""OUT/report.html: everything a sweep found, on one page that needs neither network nor server.

report.html is the page with gaps, and this module fills them. The page is complete as it is then:
text, pictures, tables. report.js adds what can be played with, and report.css the looks; both
become part of the file, and so do all images.
"""

from pathlib import Path
from string import Template

from figures.inside import grid_diagnostics, run_diagnostics
from figures.study import study_figures
from figures.style import divergence, grid_figures, run_figures
from findings.comparisons import (
    A_BETTER,
    B_BETTER,
    NAMES,
    cells,
    differences,
    in_order,
    mean_of,
    to_show,
    varying,
)
from findings.conclusions import conclude
from nnlite.files import write_text
from nnlite.training.config import hidden_name
from nnlite.training.logs import summarize
from report.data import SHOWN_AT_FIRST, Cells, by_accuracy, looks, playable, swatch
from report.markup import (
    FEW_ROWS,
    Markup,
    cell,
    data_text,
    element,
    folded,
    items,
    join,
    scroller,
    section,
    sortable,
)
from report.pictures import pictures
from report.svg import INK, PAPER, Palette
from sweep.studies import STUDIES, plural

HERE = Path(__file__).parent
MANY_PAIRS = 120  # with more than that, cells are compared with the best one only
PAGE_HAS = {"confusion", "most_wrong"}  # pictures of a run that the page draws in its own way
SECTIONS = {
    "found": "Found",
    "setup": "Setup",
    "study": "Answer",
    "explore": "Explore",
    "learning": "Learning",
    "gradients": "Gradients",
    "inside": "Inside",
    "mistakes": "Mistakes",
    "numbers": "Numbers",
    "repeat": "Repeat",
}
COLUMNS = {  # of the tables: measure of the summary -> heading, format
    "final_loss": ("final training loss (nats)", ".4f"),
    "best_val_accuracy": ("best validation accuracy (%)", ".2f"),
    "test_accuracy": ("test accuracy (%)", ".2f"),
    "epoch_to_90pct_best": ("epochs to 90 % of the best", ".1f"),
    "mean_gradient_early_layers": ("mean |gradient| in fc1, fc2", ".1e"),
    "training_stability_score": ("stability score", ".4f"),
    "avg_epoch_time": ("seconds per epoch", ".2f"),
}


# What was run


WORDS = {"init": "initial weights", "hidden": "hidden layers", "learning_rate": "learning rate",
         "batch_size": "batch size"}  # fmt: skip


def settings(logs: list[dict]) -> dict[str, tuple[str, bool]]:
    """Return the values of each setting, and whether it varies: {"optimizer": ("sgd, adam", True)}.

    A learning rate that is each optimizer's own does not vary: it belongs to the optimizer.
    """
    configs = [log["config"] for log in in_order(logs)]
    found = {}
    for key in NAMES:
        values = [c[key] for c in configs]
        if key == "hidden":
            values = list(map(hidden_name, values))
        elif key == "learning_rate" and key not in varying(configs):
            values = [f"{c[key]:g} ({c['optimizer']})" for c in configs]
        elif not isinstance(values[0], str):
            values.sort()
        text = ", ".join(
            f"{v:g}" if isinstance(v, float) else str(v) for v in dict.fromkeys(values)
        )
        found[WORDS.get(key, key)] = text, key in varying(configs)
    return found


def question_of(logs: list[dict], study: str | None) -> str:
    """Return the question that the sweep asks."""
    if study in STUDIES:
        return STUDIES[study].question
    names = [name for name, (_, varies) in settings(logs).items() if varies]
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
    for name, (text, varies) in settings(logs).items():
        listed[varies].append(f"{name}: {text}")
    tested = next((log for log in logs if log["test_confusion"]), logs[0])
    seeds = ", ".join(map(str, sorted({log["config"]["seed"] for log in logs})))
    if len(logs) > 1:
        seeds += (
            "; runs that share a seed share their split, the order of samples, and the initial "
            "weights as far as their shapes agree"
        )
    if tune_seeds:
        seeds += f"; learning rates were chosen on {', '.join(map(str, tune_seeds))}"
    terms = {
        "Data": f"{dataset['name']}, {len(dataset['classes'])} classes; "
        f"{total(tested['val_confusion'][0])} images to validate on, "
        f"{total(tested['test_confusion'])} to test on",
        "What varies": items(listed[True] or ["nothing"]),
        "What is fixed": "; ".join(listed[False] or ["nothing"]),
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


# Tables


def number(value: float | None, form: str) -> str:
    """Return a number as text, with a true minus: 2.30, −1, 4.3e−4."""
    if value is None:
        return "–"
    text = str(value) if isinstance(value, int) else format(value, form)
    return text.replace("e-0", "e-").replace("-", "−")


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
    better = {A_BETTER: "a", B_BETTER: "b"}
    rows = []
    for pair in pairs:
        mean, half = pair["mean"], pair["half"]
        spread = "" if half is None else element("small", f" ± {half:.2f}")
        rows.append([
            element("th", pair["a"], scope="row"),
            cell(pair["b"]),
            cell(join(number(mean, "+.2f"), spread), mean),
            cell(pair["n"], pair["n"]),
            cell(pair[better[pair["verdict"]]] if pair["verdict"] in better else pair["verdict"]),
        ])  # fmt: skip
    headings = ["a", "b", "a − b (percentage points)", "seeds", "better"]
    made = sortable("differences", caption, headings, rows)
    return folded(f"{len(rows)} differences", made) if len(rows) > FEW_ROWS else made


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


# Mistakes


def mistakes(grid: Cells, data: dict) -> Markup:
    """Return the confusion matrix and the most confidently wrong images of the best cell."""
    classes = data["classes"]
    tested = {entry["name"]: k for k, entry in enumerate(data["cells"]) if entry["confusion"]}
    if not tested:
        return element("p", "No run got as far as the test images.")
    best = next(name for name in by_accuracy(grid) if name in tested)
    entry = data["cells"][tested[best]]
    options = [
        element("option", name, value=k, selected=name == best) for name, k in tested.items()
    ]
    select = element("select", *options, id="mistaken")
    chooser = element("p", element("label", "Cell ", select), class_="chooser", hidden=True)

    corner = element("th", "true class", scope="col", class_="corner")
    head = [element("th", element("span", name), scope="col") for name in classes]
    body = [
        element("tr", element("th", name, scope="row"), *map(share_field, shares))
        for name, shares in zip(classes, entry["confusion"])
    ]
    caption = join("Of 100 test images of a class (row), how many ",
                   element("b", best, id="whose"),
                   " takes for which class (column), mean over its seeds")  # fmt: skip
    matrix = element(
        "table", element("caption", element("span", caption)),
        element("thead", element("tr", corner, *head)), element("tbody", *body), id="matrix",
    )  # fmt: skip
    images = [wrong_image(wrong, entry["seeds"], data) for wrong in entry["wrong"]]
    explanation = element(
        "p", "The test images that it is most certain of, and wrong about; first those that most "
        "seeds get wrong. In bold what it says, with its probability.",
    )  # fmt: skip
    left = element("div", scroller(matrix, "matrix-box", "confusion matrix"))
    right = element("div", element("h3", "Most confidently wrong"), explanation,
                    element("div", *images, id="wrong"))  # fmt: skip
    return join(chooser, element("div", left, right, class_="beside"))


def share_field(share: float) -> Markup:
    """Return a field of the confusion matrix; share is in percent."""
    text = int(share + 0.5) or ""
    strong = "full" if share >= 50 else None
    return element("td", text, style=f"--share:{share / 100:.3f}", class_=strong)


def wrong_image(wrong: list, seeds: int, data: dict) -> Markup:
    row, label, predicted, probability, wrong_seeds = wrong
    classes = data["classes"]
    whose = f"{wrong_seeds} of {seeds} seeds" if seeds > 1 else f"image {row}"
    image = element("img", src=f"data:image/png;base64,{data['images'][row]}", width=84, height=84,
                    alt=f"test image {row}: {classes[label]}")  # fmt: skip
    caption = element(
        "figcaption", element("b", classes[predicted]), f" {100 * probability:.1f} %",
        element("br"), f"is: {classes[label]}", element("br"), element("small", whose),
    )  # fmt: skip
    return element("figure", image, caption)


# The page


def facts(logs: list[dict], grid: Cells) -> str:
    """Return how much there is: fashion-mnist · 30 runs · 6 cells · 5 seeds · 30 epochs."""
    seeds = {log["config"]["seed"] for of in grid.values() for log in of}
    counts = {
        "run": len(logs),
        "cell": len(grid),
        "seed": len(seeds),
        "epoch": max(len(log["epoch"]) for log in logs),
    }
    datasets = ", ".join(dict.fromkeys(log["dataset"]["name"] for log in logs))
    return " · ".join([datasets, *(plural(n, word) for word, n in counts.items())])


def warnings(logs: list[dict]) -> Markup:
    """Return what a reader must not overlook: other data than expected, runs that diverged."""
    notes = {log["dataset"]["note"] for log in logs} - {""}
    if not notes and any(log["dataset"]["name"] == "digits" for log in logs):
        notes = {"These are scikit-learn's handwritten digits, not Fashion-MNIST."}
    if diverged := sum(log["diverged"] is not None for log in logs):
        notes.add(f"{diverged} of {len(logs)} runs diverged: they have no test accuracy, and no "
                  "part in the means of the tables.")  # fmt: skip
    return join(*(element("p", note, class_="warning", role="note") for note in sorted(notes)))


def picture_sections(logs: list[dict], palette: Palette) -> Markup:
    """Return the sections with the figures of the grid, or of a single run."""
    compared = grid_figures(logs)  # those with curves only if they could be told apart
    gradients = {name: compared.pop(name) for name in ("gradient_flow", "activations")
                 if name in compared}  # fmt: skip
    inside = grid_diagnostics(logs)
    if len(logs) == 1:  # then its own figures say more than a grid of one
        compared, inside = run_figures(logs[0]), run_diagnostics(logs[0])
        gradients["gradient_flow"] = compared.pop("gradient_flow")
    inside = {name: figure for name, figure in inside.items() if name not in PAGE_HAS}
    sections = {
        "learning": ("How it learns", compared),
        "gradients": ("How the gradients flow", gradients),
        "inside": ("Inside the networks", inside),
    }
    return join(*(section(identity, title, pictures(figures, palette))
                  for identity, (title, figures) in sections.items() if figures))  # fmt: skip


def page(logs: list[dict], sweep: dict) -> str:
    """Return the report. sweep: the content of sweep.json."""
    study, tune_seeds = sweep["study"], sweep["tune_seeds"]
    fresh = to_show(logs, tune_seeds)
    grid, palette = cells(fresh), Palette()
    styles = looks(grid, palette)
    data = playable(grid, styles)
    conclusions = conclude(study, logs, tune_seeds)
    own = study_figures(study, logs, tune_seeds)
    boxes = [
        element("label", element("input", type="checkbox", value=list(grid).index(name)),
                swatch(styles[name]), element("span", name))
        for name in by_accuracy(grid)
    ]  # fmt: skip
    runs = runs_table(grid)
    parts = {
        "question": question_of(fresh, study),
        "study_name": f" · {study}" if study else "",
        "facts": facts(logs, grid),
        "warnings": warnings(logs),
        "found": items(conclusions["found"]),
        "not_shown": items(conclusions["not_shown"]),
        "setup": setup(fresh, tune_seeds),
        "study_pictures": section("study", "The answer in pictures", pictures(own, palette))
        if own else "",
        "first_cells": f"best {SHOWN_AT_FIRST}" if len(grid) > SHOWN_AT_FIRST else "all",
        "boxes": join(*boxes),
        "pictures": picture_sections(fresh, palette),
        "mistakes": mistakes(grid, data),
        "cells": cells_table(grid, styles),
        "differences": differences_table(grid, fresh),
        "runs": folded(f"Each of the {len(fresh)} runs", runs) if len(fresh) > FEW_ROWS else runs,
        "command": sweep["command"],
        "configurations": folded("Every configuration", configurations_table(grid)),
        "data": data_text(data),
    }  # fmt: skip
    template = (HERE / "page.html").read_text(encoding="utf-8")
    there = template + parts["study_pictures"] + parts["pictures"]
    links = [
        element("a", text, href=f"#{name}", hidden=name == "explore")
        for name, text in SECTIONS.items()
        if f'id="{name}"' in there
    ]
    texts = {name: join(part) for name, part in parts.items()}
    style, script = ((HERE / f"page.{end}").read_text(encoding="utf-8") for end in ("css", "js"))
    return Template(template).substitute(
        texts, contents=join(*links), colors=theme_colors(palette), style=style, script=script
    )


def theme_colors(palette: Palette) -> str:
    """Return the CSS with the colours of light pages, and of dark ones; paper is light."""
    light, dark = (f":root{{--ink:{INK[theme]};--paper:{PAPER[theme]};{palette.css(theme)}}}"
                   for theme in ("light", "dark"))  # fmt: skip
    return f"{light}\n@media screen and (prefers-color-scheme: dark) {{{dark}}}"


def write_report(logs: list[dict], out: Path, sweep: dict) -> Path:
    """Write OUT/report.html, in one step, and return its path."""
    path = out / "report.html"
    write_text(path, page(logs, sweep))
    return path


def write_page(sweep, conclusions, out: Path) -> Path:
    """An adapter: the page of a Sweep."""
    about = {"study": sweep.study, "command": sweep.command, "tune_seeds": sweep.tune_seeds}
    return write_report(sweep.logs, out, about)
