"""The page as a parser sees it."""

import re
from collections import Counter
from copy import deepcopy

import numpy as np
import pytest
from jinja2 import UndefinedError
from scipy import stats

from builders import many_classes
from findings.clauses import Finding
from findings.conclusions import Conclusions
from findings.sweep import Sweep
from nnlite.training.logs import summarize
from pages import EVIL, Page, many, page_of, write
from report import page as report


@pytest.fixture(scope="module", params=["cells", "one run", "one seed", "diverged", "none tested"])
def any_page(request, cells, diverged):
    logs = {
        "cells": cells,
        "one run": cells[:1],
        "one seed": cells[::3],
        "diverged": [*cells[3:], diverged],
        "none tested": [diverged],
    }
    return page_of(logs[request.param])


def test_it_needs_nothing_from_outside(any_page):
    for element in any_page.elements:
        for key in ("src", "href", "data", "action", "poster", "srcset"):
            assert element.get(key, "#").startswith(("#", "data:image/png;base64,"))
    outside = re.sub(r'xmlns="http://www.w3.org/2000/svg"', "", any_page.text)
    outside = outside.replace('"http://www.w3.org/2000/svg"', "")  # a name in the script
    assert "://" not in outside and "@import" not in outside
    assert set(re.findall(r"url\((.)", any_page.text)) <= {"#", "$"}  # "$" in the script
    (policy,) = [e for e in any_page.all("meta") if "http-equiv" in e]
    assert policy["content"].startswith("default-src 'none'")


def test_every_id_is_there_once_and_every_reference_is_to_one(any_page):
    ids = Counter(e["id"] for e in any_page.elements if "id" in e)
    assert max(ids.values()) == 1
    references = set(re.findall(r'(?:href="#|url\(#|\bfor="|labelledby=")([\w-]+)', any_page.text))
    assert references and references <= set(ids)


def test_pictures_are_said_in_words_and_captioned(any_page):
    pictures = [e for e in any_page.all("svg") if "figure" in e["inside"]]
    assert len(pictures) >= 2
    for picture in pictures:
        assert picture["role"] == "img" and len(picture["aria-label"]) > 30
    plots = any_page.all("figure", class_="plot")
    captions = any_page.texts("figcaption")  # one for each image, too
    assert len(plots) == len(pictures) == len(captions) - len(any_page.all("img"))
    assert all(caption.strip() for caption in captions)
    assert all(e["alt"] for e in any_page.all("img"))


def test_every_picture_has_its_own_heading(any_page):
    titles = [e["text"] for e in any_page.all("h3")]
    assert len(titles) == len(set(titles)) > 3
    assert not [title for title in titles if "seed" in title]


def test_headings_go_down_one_level_at_a_time(any_page):
    levels = [int(e["tag"][1]) for e in any_page.elements if re.fullmatch("h[1-6]", e["tag"])]
    assert levels[0] == 1 and levels.count(1) == 1
    assert max(np.diff(levels)) == 1


def test_controls_have_names(any_page):
    labelled = {e["for"] for e in any_page.all("label") if "for" in e}
    for e in any_page.elements:
        if e["tag"] in ("input", "select"):
            assert "label" in e["inside"] or e["id"] in labelled
        if e["tag"] == "button":
            assert e["text"].strip()


def test_names_never_become_markup(evil, evil_activation):
    page = page_of(evil, command=EVIL)
    assert not [e for e in page.elements if "onerror" in e]
    assert len(page.all("script")) == 2
    assert f"{EVIL} + adam" in [cell["name"] for cell in page.data()["cells"]]
    assert page.data()["classes"][3] == EVIL
    assert page.texts("code", id="command") == [EVIL]
    assert page.texts("p", class_="warning") == [EVIL]
    assert page.texts("p", class_="facts")[0].startswith(EVIL)
    setup = dict(zip(page.texts("dt"), page.texts("dd")))
    assert setup["Device"] == EVIL and f"numpy {EVIL}" in setup["Versions"]
    assert page.texts("h1") == [page.texts("title")[0].removeprefix("nnlite: ")]


def test_a_name_in_the_question_never_becomes_markup(evil, evil_activation, no_pictures):
    page = page_of(evil[:3])
    assert page.texts("h1") == [f"How does {EVIL} + sgd learn?"]
    assert page.texts("title") == [f"nnlite: How does {EVIL} + sgd learn?"]


def test_a_value_that_the_template_lacks_is_an_error(cells, monkeypatch, no_pictures):
    whole = report.context

    def without_facts(*args):
        return {name: value for name, value in whole(*args).items() if name != "facts"}

    monkeypatch.setattr(report, "context", without_facts)
    with pytest.raises(UndefinedError, match="facts"):
        page_of(cells)


def test_the_same_logs_give_the_same_bytes(cells, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    paths = [write(deepcopy(cells), tmp_path / name) for name in "ab"]
    assert paths[0] == tmp_path / "a" / "report.html"
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert [path.name for path in paths[0].parent.iterdir()] == ["report.html"]


def test_what_is_asked(cells, no_pictures):
    def question(logs, **sweep):
        return page_of(logs, **sweep).texts("h1")[0]

    assert question(cells) == "What difference do activation and optimizer make?"
    assert question(cells[:3]) == "How does relu + sgd learn?"
    assert question(cells[:6]) == "What difference does optimizer make?"
    assert "depth" not in question(cells, study="unheard-of")
    assert question(cells, study="optimizers").startswith("Which optimizer learns best")


def test_conclusions_come_first_as_they_are(cells, no_pictures):
    said = Conclusions([Finding("One", "first"), Finding("Two", "a < b")], ["third"])
    page = Page(report.page(Sweep.of(cells), said))
    assert page.texts("li")[:3] == ["One: first", "Two: a < b", "third"]
    assert page.texts("strong")[:2] == ["One:", "Two:"]


def test_setup(cells, page):
    facts = "tiny · 12 runs · 4 cells · 3 seeds · 4 epochs"
    assert page.texts("p", class_="facts") == [facts]
    setup = dict(zip(page.texts("dt"), page.texts("dd")))
    images = "about 270 images to train on, 30 to validate on, 50 to test on"
    assert setup["Data"] == f"tiny, 10 classes; {images}; pixels: {cells[0]['dataset']['pixels']}"
    assert "activation: sigmoid, relu" in setup["What varies"]
    assert "learning" not in setup["What varies"]  # each optimizer has its own
    assert "learning rate: 0.01 (sgd), 0.001 (adam)" in setup["What is fixed"]
    assert "hidden layers: 12-8" in setup["What is fixed"]
    assert setup["Seeds"].startswith("0, 1, 2")
    assert setup["Steps"] == "6 an epoch"  # 270 images in batches of 50
    assert cells[0]["dataset"]["checksum"] in setup["Checksum"]
    kernels = [f"{name} {cells[0]['versions'][name]}" for name in ("code", "blas", "simd")]
    assert all(kernel in setup["Versions"] for kernel in kernels)
    assert "the same numbers to the last digit where" in setup["Versions"]


def test_settings_are_in_order(cells):
    logs = deepcopy([cells[0], cells[6], cells[9]])  # relu + sgd, sigmoid + sgd, sigmoid + adam
    for log, rate in zip(logs, (0.1, 0.5, 0.25), strict=True):
        log["config"]["learning_rate"] = rate
    sweep = Sweep.of(logs)
    settings = report.setting_values(sweep)
    assert settings["learning_rate"] == "0.1, 0.25, 0.5" and "learning_rate" in sweep.varies
    assert settings["activation"] == "sigmoid, relu" and "activation" in sweep.varies
    assert settings["epochs"] == "4" and "epochs" not in sweep.varies


def test_digits_and_diverged_runs_are_warned_of(cells, diverged, no_pictures):
    def warnings(logs):
        return page_of(logs).texts("p", class_="warning")

    assert warnings(cells) == []
    assert "1 of 2 runs diverged" in warnings([cells[0], diverged])[0]
    digits = deepcopy(cells[:1])
    digits[0]["dataset"]["name"] = "digits"
    assert "not Fashion-MNIST" in warnings(digits)[0]


# Tables


def test_a_cell_s_numbers_are_mean_and_interval(page, cells):
    accuracies = [log["test_accuracy"] for log in cells[3:6]]
    mean = np.mean(accuracies)
    low, high = stats.t.interval(0.95, 2, mean, stats.sem(accuracies))
    (row,) = [row for row in page.rows("cells") if row[0] == "relu + adam"]
    assert row[3] == f"{mean:.2f} ± {(high - low) / 2:.2f}"
    best = [float(row[3].split()[0]) for row in page.rows("cells")]
    assert best == sorted(best, reverse=True)
    assert any(
        "best test accuracy first: mean over its 3 seeds" in c for c in page.texts("caption")
    )


def test_each_run_has_a_row(page, cells):
    rows = page.rows("runs")
    assert len(rows) == len(cells)
    summary = summarize(cells[4])
    (row,) = [row for row in rows if row[:2] == ["relu + adam", "1"]]
    assert row[2] == f"{summary['final_loss']:.4f}"
    assert row[3] == f"{summary['best_val_accuracy']:.2f}"
    assert row[4] == f"{summary['test_accuracy']:.2f}"


def test_differences_name_the_better_cell(page, cells):
    rows = page.rows("differences")
    assert len(rows) == 6  # pairs of 4
    (row,) = [row for row in rows if row[:2] == ["relu + sgd", "relu + adam"]]
    sgd, adam = ([log["test_accuracy"] for log in part] for part in (cells[:3], cells[3:6]))
    paired = np.subtract(sgd, adam)
    assert row[2].startswith(f"{paired.mean():+.2f}".replace("-", "−"))
    assert {len(row) for row in rows} == {3}
    assert any("of many intervals, one in twenty misleads" in c for c in page.texts("caption"))


def test_tables_say_what_they_are_and_sort_by_numbers(any_page):
    tables = any_page.all("table", class_="sortable")
    assert "cells" in {table["id"] for table in tables}
    assert len([e for e in any_page.all("caption")]) == len(any_page.all("table"))
    for head in [e for e in any_page.all("th")]:
        assert head["scope"] == ("col" if "thead" in head["inside"] else "row")
    for field in any_page.all("td"):
        if field.get("data-value"):
            shown = float(field["text"].split()[0].replace("−", "-"))
            assert shown == pytest.approx(float(field["data-value"]), rel=0.05, abs=0.006)


def test_numbers_are_written_for_readers_and_kept_for_sorting():
    number = report.number
    assert number(-4.32e-4, 1e-5, ".1e") == ("−4.3e−4", -4.32e-4, "1.0e−5")
    assert number(1.5, 0.25, "+.2f") == ("+1.50", 1.5, "0.25")
    assert number(1, form=".1f") == ("1", 1, "")
    assert number(None, form=".1f") == ("–", None, "")


def test_every_configuration_is_there(page, cells):
    rows = page.rows("configurations")
    assert len(rows) == 4
    assert rows[0] == ["sigmoid + sgd", "sigmoid", "sgd", "0.01"]
    same = "scheduler: none; epochs: 4; batch size: 50; initial weights: uniform; "
    same += "hidden layers: 12, 8; seeds: 0, 1, 2"
    assert any(f"The same in all: {same}" in text for text in page.texts("p"))


def test_what_all_rows_say_is_said_once(cells, no_pictures):
    one_seed = page_of(cells[::3])
    captions = " ".join(one_seed.texts("caption"))
    assert "best test accuracy first: one seed each" in captions
    assert "Differences in test accuracy, of one seed. Another seed may give other ones" in captions
    assert {len(row) for row in one_seed.rows("differences")} == {3}
    assert "decided" not in " ".join(one_seed.texts("table"))
    assert not one_seed.all("table", id="runs")  # the cells are the runs

    alike = [deepcopy(log) for log in cells for _ in range(2)]
    for k, log in enumerate(alike):
        log["config"]["seed"], log["test_accuracy"] = k % 6, 80.0
    noise = page_of(alike)
    assert {len(row) for row in noise.rows("differences")} == {3}

    uneven = page_of(cells[:-1])
    assert [row[1] for row in uneven.rows("cells")].count("2") == 1
    assert {row[3] for row in uneven.rows("differences")} == {"2", "3"}
    (run,) = [page_of(cells[:1])]
    assert not run.all("table", id="configurations") and run.texts("caption")[-1] == "The run"


def test_versions_that_differ_are_named_beside_one_another(cells, no_pictures):
    logs = deepcopy(cells[:2])
    logs[1]["versions"]["numpy"] = "0.1"
    said = dict(zip(*map(page_of(logs).texts, ("dt", "dd"))))["Versions"]
    assert f"numpy {logs[0]['versions']['numpy']} or 0.1" in said and said.count("python") == 1


def test_what_diverged_has_no_numbers(diverged, no_pictures):
    page = page_of([diverged])
    assert page.rows("cells")[0][0].endswith("diverged at epoch 1")
    assert page.rows("cells")[0][1:4] == ["–", "–", "–"]
    assert "No run got as far as the test images." in page.text


def test_many_pairs_are_those_with_the_best(cells, no_pictures):
    page = page_of(many(cells[3], 20))
    rows = page.rows("differences")
    assert len(rows) == 19
    assert all("lr 20" in row[:2] for row in rows)


def test_tuning_runs_are_no_cells(cells, no_pictures):
    page = page_of(cells, tune_seeds=[0])
    assert {row[1] for row in page.rows("runs")} == {"1", "2"}
    assert page.texts("p", class_="facts")[0].startswith("tiny · 12 runs · 4 cells · 2 seeds")
    assert "chosen on 0" in page.text
    assert len(page_of(cells[:3], tune_seeds=[0, 1, 2]).rows("runs")) == 3  # nothing else yet


@pytest.mark.parametrize("name", ["\x00\x07bell", "\x1b[31mred", "\ud800", "\ufffe", "a\nb"])
def test_no_character_breaks_the_page(cells, name, tmp_path):
    logs = deepcopy(cells[3:6])
    for log in logs:
        log["dataset"]["classes"] = [name] * 10
        log["dataset"]["name"] = log["device"] = name
    text = write(logs, tmp_path, command=f"exp3 --data-file {name}").read_text("utf-8")
    assert not re.search("[\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe]", text)
    page = Page(text)
    shown = re.sub("[\x00-\x1f\ud800-\udfff\ufffe]", "�", name)
    assert page.texts("p", class_="facts")[0].startswith(shown + " · ")
    assert page.data()["classes"] == [shown] * 10


def test_of_many_rows_the_first_are_shown_and_it_is_said(cells, no_pictures, monkeypatch):
    monkeypatch.setattr(report, "MOST_ROWS", 15)
    logs = many(cells[3], 70)
    again = deepcopy(logs)
    for log in again:
        log["config"]["seed"] = 1
    page = page_of(logs + again)
    for table in ("cells", "differences", "runs", "configurations"):
        assert len(page.rows(table)) == 15, table
    assert page.rows("cells")[0][0] == "lr 70"
    said = page.texts("caption") + page.texts("summary") + page.texts("legend")
    assert "The best 60 of 70 cells, best test accuracy first" in said
    assert any(text.startswith("The best 15 of 70 cells of the grid") for text in said)
    assert "The first 15 of 140 runs; summary.csv has all" in said
    assert "The first 15 of 70 configurations" in said
    assert any("of 2,415 pairs, the first 15 of those with lr 70" in text for text in said)


def test_many_classes_and_seeds_stay_readable(no_pictures):
    page = page_of([many_classes(1000, seed=seed) for seed in range(100)])
    assert len(page.rows("matrix")) == 20 and len(page.rows("matrix")[0]) == 1 + 20 + 1
    assert "the 20 most confused of 1,000 classes" in page.text and "1,000 classes;" in page.text
    assert "0, 1, 2, 3, 4 and 95 more" in dict(zip(page.texts("dt"), page.texts("dd")))["Seeds"]
    assert len(page.text) < 500_000


def test_a_large_sweep_stays_small(cells):
    logs = [deepcopy(log) for log in many(cells[3], 90) for _ in range(5)]
    for k, log in enumerate(logs):
        log["config"]["seed"] = k % 5
    page = page_of(logs)
    assert len(page.text) < 2_000_000
    assert len(page.rows("cells")) == 90
