"""The table of cells: one definition of its columns for the page, two files and the terminal."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import NamedTuple

from findings.comparisons import best_first
from findings.sweep import Cell, Sweep
from nnlite.training.config import hidden_name
from sweep.results import csv_text
from words import clipped

MOST_LINES = 20  # of the table on a terminal
LONG_LABEL = 30  # there; of a longer one the middle is left out


class Column(NamedTuple):
    """What heads a column, at length and on a terminal, and the format of its numbers."""

    heading: str
    short: str
    form: str


# To add a column, add a measure of nnlite.training.logs.summarize. A terminal shows as many as fit.
COLUMNS = {
    "final_loss": Column("final training loss (nats)", "training loss", ".4f"),
    "best_val_accuracy": Column("best validation accuracy (%)", "best val (%)", ".2f"),
    "test_accuracy": Column("test accuracy (%)", "test (%)", ".2f"),
    "epoch_to_90pct_best": Column("epochs to 90 % of its best accuracy", "90 % of best", ".1f"),
    "mean_gradient_early_layers": Column("mean |gradient| in fc1, fc2", "|gradient|", ".1e"),
    "avg_epoch_time": Column("seconds per epoch", "s/epoch", ".2f"),
}


def as_csv(sweep: Sweep) -> str:
    """Return cells.csv: a row a cell, with its settings, and mean and half-width of each measure.

    The half-width is that of the 95 % t-interval. What is not known is empty.
    """
    rows = []
    for cell in sweep.cells:
        settings = {**asdict(cell.config), "hidden": hidden_name(cell.config.hidden)}
        del settings["seed"]
        row = {"cell": cell.label, **settings}
        row |= {"seeds": " ".join(map(str, cell.seeds)), "diverged": cell.diverged}
        for measure in COLUMNS:
            row[measure], row[f"{measure}_half"] = cell.mean(measure)
        rows.append(row)
    return csv_text(rows)


def as_markdown(sweep: Sweep) -> str:
    """Return cells.md: the same as a table for people, the best cell first."""
    headings = ["cell", "seeds", *(column.heading for column in COLUMNS.values())]
    rows = [headings, ["---", *["---:"] * (len(headings) - 1)], *map(texts, ordered(sweep))]
    lines = [" | ".join(text.replace("|", "\\|") for text in row) for row in rows]
    return "".join(f"| {line} |\n" for line in lines)


def as_lines(sweep: Sweep, width: int) -> str:
    """Return the table for a terminal of that width: the best cells, and the columns that fit."""
    cells = ordered(sweep)
    headings = ["cell", "seeds", *(column.short for column in COLUMNS.values())]
    rows = [headings, *map(texts, cells[:MOST_LINES])]
    for row in rows:
        row[0] = clipped(row[0], LONG_LABEL)
    columns = list(zip(*rows))
    widths = [max(map(len, column)) for column in columns]
    while sum(widths) + 2 * (len(widths) - 1) > width and len(widths) > 2:
        widths.pop()
    lines = ["  ".join(aligned(row, widths)) for row in rows]
    lines.insert(1, "-" * len(lines[0]))
    if len(cells) > MOST_LINES:
        lines.append(f"... and {len(cells) - MOST_LINES:,} more cells: see cells.md")
    return "\n".join(lines)


def ordered(sweep: Sweep) -> list[Cell]:
    """Return the cells in the order of the tables, see best_first."""
    return best_first(sweep.cells)


def texts(cell: Cell) -> list[str]:
    """Return a cell's row: its label, its seeds, and '89.20 ± 0.31' or '-' for each measure."""
    diverged = f" ({cell.diverged} diverged)" if cell.diverged else ""
    numbers = []
    for measure, column in COLUMNS.items():
        known = [n for n in cell.mean(measure) if n is not None]
        numbers.append(" ± ".join(format(n, column.form) for n in known) or "-")
    return [cell.label, f"{len(cell.logs)}{diverged}", *numbers]


def aligned(row: list[str], widths: list[int]) -> Iterable[str]:
    """Return the first texts of a row, as many as there are widths, all but the label right."""
    others = [text.rjust(width) for text, width in zip(row[1:], widths[1:])]
    return [row[0].ljust(widths[0]), *others]
