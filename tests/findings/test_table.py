"""findings/table.py: the cells as CSV, as Markdown and on a terminal."""

import csv
import io

import pytest

from builders import cell, fake
from findings import table
from findings.sweep import Sweep, interval
from nnlite.training.logs import summarize

THREE = (42, 43, 44)


def sweep_of(*cells):
    return Sweep.of([log for logs in cells for log in logs])


@pytest.fixture
def two():
    """relu + sgd with three seeds; relu + adam with three of which one diverged."""
    adam = [*cell((90, 91), THREE[:2]), fake(seed=44, diverged=True)]
    return sweep_of(cell((80, 81.5, 82), THREE, optimizer="sgd"), adam)


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_a_row_a_cell_with_settings_seeds_and_every_measure_in_full(two):
    sgd, adam = rows_of(table.as_csv(two))
    assert (sgd["cell"], adam["cell"]) == ("sgd", "adam")
    assert (sgd["activation"], sgd["hidden"], sgd["learning_rate"]) == ("relu", "256-128", "0.01")
    assert (sgd["seeds"], sgd["diverged"], adam["diverged"]) == ("42 43 44", "0", "1")
    mean, half = interval([80, 81.5, 82])
    assert float(sgd["test_accuracy"]) == mean and float(sgd["test_accuracy_half"]) == half
    assert float(adam["test_accuracy"]) == 90.5
    measures = summarize(fake())
    for measure in table.COLUMNS:
        assert measure in measures and {measure, f"{measure}_half"} <= set(sgd)


def test_what_is_not_known_is_empty_or_a_dash():
    (row,) = rows_of(table.as_csv(sweep_of([fake(diverged=True)])))
    assert row["test_accuracy"] == row["test_accuracy_half"] == ""
    (row,) = rows_of(table.as_csv(sweep_of([fake()])))
    assert row["test_accuracy"] == "80.0" and row["test_accuracy_half"] == ""
    line = table.as_lines(sweep_of([fake(diverged=True)]), 80).splitlines()[-1]
    assert line.split()[-1] == "-" and "1 (1 diverged)" in line


def test_markdown_is_for_people_best_first(two):
    head, rule, first, last = table.as_markdown(two).splitlines()
    assert head.startswith("| cell | seeds | final training loss (nats) | best validation")
    assert rule.startswith("| --- | ---: | ---: |") and rule.count("|") == head.replace(
        "\\|", ""
    ).count("|")
    assert first.startswith("| sgd | 3 | 0.3000 ± 0.0000 | 82.17 ± 2.59 | 81.17 ± 2.59 |")
    assert last.startswith("| adam | 3 (1 diverged) | ")


def test_names_with_commas_and_pipes_are_text(two):
    odd = Sweep.of(two.logs)
    cells = [type(c)("a|b, 'c'\"d\"", c.column, c.config, c.logs) for c in odd.cells]
    odd = type(odd)(odd.logs, cells, [], [])
    assert {row["cell"] for row in rows_of(table.as_csv(odd))} == {"a|b, 'c'\"d\""}
    for line in table.as_markdown(odd).splitlines()[2:]:
        assert line.startswith("| a\\|b, 'c'\"d\" | 3")
        assert line.replace("\\|", "").count("|") == 3 + len(table.COLUMNS)


@pytest.mark.parametrize("width", [98, 80, 60, 30])
def test_a_terminal_shows_the_columns_that_fit_aligned(two, width):
    lines = table.as_lines(two, width).splitlines()
    assert len({len(line) for line in lines}) == 1 and len(lines[0]) <= width
    shown = [column.short in lines[0] for column in table.COLUMNS.values()]
    assert shown == sorted(shown, reverse=True)
    assert "test (%)" in lines[0] or width < 80


def test_a_terminal_shows_the_best_of_many_cells_and_short_labels():
    rates = [0.001 * 1.1**k for k in range(30)]
    logs = [fake(learning_rate=rate, test=50 + k) for k, rate in enumerate(rates)]
    logs += [fake("gelu", "sgd_momentum", 0.1, "exponential", hidden=(64,) * 3, test=40)]
    lines = table.as_lines(Sweep.of(logs), 80).splitlines()
    assert max(map(len, lines)) <= 80 and len(lines) == 2 + table.MOST_LINES + 1
    assert lines[-1] == "... and 11 more cells: see cells.md"
    assert "…" in lines[2] and "79.00" in lines[2]
