"""The numbers in README and the reference results agree; labsheet.md's own are in its test."""

import csv
import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from findings.dynamics import LEAD_AT_TUNED, LEAD_AT_USUAL
from sweep.studies import STUDIES

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "experiments" / "reference"
NAMES = ["default", *STUDIES]
FRESH = {"42", "43", "44", "45", "46"}  # learning rates were tuned on other seeds
NUMBER = re.compile(r"\d+\.\d+ ± \d+\.\d+")


def one_line(text):
    return " ".join(text.split())


def conclusions(name):
    return one_line((REFERENCE / name / "conclusions.txt").read_text(encoding="utf-8"))


def cells(name):
    """Test accuracy by cell and seed: {run id without its seed: {seed: accuracy}}."""
    found = {}
    with (REFERENCE / name / "summary.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["seed"] in FRESH and row["test_accuracy"]:
                cell = row["experiment_id"].rsplit("_seed", 1)[0]
                found.setdefault(cell, {})[row["seed"]] = float(row["test_accuracy"])
    return found


def interval(values):
    """Mean and half-width of the 95 % t-interval, as they are printed."""
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    return f"{abs(np.mean(values)):.2f} ± {half:.2f}"


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_has_five_seeds(name):
    assert {len(seeds) for seeds in cells(name).values()} == {5}


@pytest.mark.parametrize("name", NAMES)
def test_the_best_cell_is_the_best_of_the_table(name):
    said = re.search(
        r"has the highest test accuracy of \d+ (?:tuned )?cells, (\S+ ± \S+) %", conclusions(name)
    )
    best = max(cells(name).values(), key=lambda seeds: np.mean(list(seeds.values())))
    assert said and said[1] == interval(list(best.values()))


@pytest.mark.parametrize("name", ["default", "activations", "optimizers", "schedulers"])
def test_paired_differences_are_those_of_the_table(name):
    differences = set()
    for a, b in combinations(cells(name).values(), 2):
        differences.add(interval([a[seed] - b[seed] for seed in FRESH]))
    text, _, tuning = conclusions(name).partition("What tuning would change")
    said = re.findall(r"(\d+\.\d+ ± \d+\.\d+) percentage points", text)
    assert set(said) & differences
    if name == "default":  # elsewhere sentences speak of other measures too
        assert set(said) <= differences
        assert re.findall(r"by (\d+\.\d+ ± \d+\.\d+)", tuning)


def test_what_tuning_would_change_is_what_it_changed():
    """The lead of adam over sgd with relu, at usual and at tuned rates, from the runs."""
    means = {
        (optimizer, kind): cells("learning-rate")[f"relu_{optimizer}_none_lr{rate}"]
        for optimizer, kind, rate in (
            ("adam", "usual", "0.001"),
            ("sgd", "usual", "0.01"),
            ("sgd", "tuned", "0.316"),
        )
    }  # adam's usual rate is its best
    for lead, kind in ((LEAD_AT_USUAL, "usual"), (LEAD_AT_TUNED, "tuned")):
        adam, sgd = means["adam", "usual"], means["sgd", kind]
        assert lead == interval([adam[seed] - sgd[seed] for seed in FRESH])
    assert "at tuned rates (0.001 and 0.316)" in conclusions("learning-rate")


@pytest.mark.parametrize("name", NAMES)
def test_tables_for_people_agree_with_the_runs(name):
    """Test accuracy in cells.md, beside mean and interval of the rows of summary.csv."""
    table = (REFERENCE / name / "cells.md").read_text(encoding="utf-8").splitlines()
    column = [text.strip() for text in table[0].split(" | ")].index("test accuracy (%)")
    shown = sorted(line.split(" | ")[column].strip() for line in table[2:])
    assert shown == sorted(interval(list(seeds.values())) for seeds in cells(name).values())


def test_numbers_in_readme_are_those_that_were_computed():
    readme = one_line((ROOT / "README.md").read_text(encoding="utf-8"))
    known = {number for name in NAMES for number in NUMBER.findall(conclusions(name))}
    numbers = NUMBER.findall(readme)
    assert numbers and [number for number in numbers if number not in known] == []


def test_sentences_in_readme_are_quoted_word_for_word():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    everything = " ".join(conclusions(name) for name in NAMES)
    quotes = re.findall(r"^> (.*(?:\n> .*)*)", readme, re.M)
    assert quotes
    for quote in quotes:
        for finding in re.split(r"^- ", quote.replace("\n> ", "\n"), flags=re.M)[1:]:
            assert one_line(finding) in everything


def test_logs_are_not_committed_and_files_are_small():
    sizes = {path: path.stat().st_size for path in REFERENCE.rglob("*") if path.is_file()}
    assert not [path for path in sizes if path.name == "training_log.json"]
    assert max(sizes.values()) < 400_000 and sum(sizes.values()) < 6_000_000
