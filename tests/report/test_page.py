"""experiments/report.py: the page as a parser sees it, and as a reader does in a real browser."""

import base64
import io
import json
import re
from collections import Counter
from copy import deepcopy
from html.parser import HTMLParser
from itertools import product

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from browser import MISSING, Browser
from figures import style as figures
from nnlite import Config
from nnlite.training import train
from nnlite.training.logs import summarize
from report import data as report_data
from report import page as report
from report import svg as report_svg

VOID = {"meta", "input", "img", "br"}
SWEEP = {"study": None, "command": "python experiments/exp3.py", "tune_seeds": [], "runs": []}
EVIL = '<b>&"\'</script><img src=x onerror="hacked=1">'


# Logs: real ones, of small networks on the tiny data


@pytest.fixture(scope="module")
def cells(tiny):
    """Two activations by two optimizers by three seeds."""
    grid = product(("relu", "sigmoid"), ("sgd", "adam"))
    settings = {"epochs": 4, "batch_size": 50, "hidden": (12, 8)}
    return [log for activation, optimizer in grid for log in train(
        [Config(activation, optimizer, seed=seed, **settings) for seed in (0, 1, 2)], tiny
    )]  # fmt: skip


@pytest.fixture(scope="module")
def diverged(tiny):
    """One seed of relu + sgd, at a learning rate at which nothing can be learned."""
    (log,) = train([Config("relu", "sgd", 1e20, seed=0, epochs=4, hidden=(12, 8))], tiny)
    assert log["diverged"]
    return log


def many(log, count):
    """As many cells, made from one log: learning rates 1, 2, 3, ..., the last the best."""
    logs = []
    for k in range(1, count + 1):
        logs.append(deepcopy(log))
        logs[-1]["config"]["learning_rate"] = float(k)
        logs[-1]["experiment_id"] = f"run{k}"
        logs[-1]["val_accuracy"] = [90 + k / 100] * len(log["epoch"])
    return logs


def renamed(logs):
    """The same runs, with names that would be markup if they were not escaped."""
    logs = deepcopy(logs)
    for log in logs:
        if log["config"]["activation"] == "relu":
            log["config"]["activation"] = EVIL
        log["dataset"]["classes"][3] = log["dataset"]["name"] = log["device"] = EVIL
        log["dataset"]["note"] = log["versions"]["numpy"] = EVIL
    return logs


class Page(HTMLParser):
    """The elements of a page, with their attributes and texts; AssertionError if tags cross."""

    def __init__(self, text):
        super().__init__()
        self.text, self.elements, self.open = text, [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        entry = {
            "tag": tag,
            **dict(attributes),
            "text": "",
            "inside": [e["tag"] for e in self.open],
        }
        self.elements.append(entry)
        if tag not in VOID:
            self.open.append(entry)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop()["tag"] == tag

    def handle_data(self, data):
        for entry in self.open:
            entry["text"] += data

    def all(self, tag, **attributes):
        wanted = {key.rstrip("_"): value for key, value in attributes.items()}.items()
        return [e for e in self.elements if e["tag"] == tag and wanted <= e.items()]

    def data(self):
        (script,) = self.all("script", id="data")
        return json.loads(script["text"])

    def rows(self, table):
        """The texts of a table's body, row by row."""
        part = self.text[self.text.index(f'id="{table}"') :]
        body = part[part.index("<tbody>") : part.index("</tbody>")]
        return [
            [re.sub("<[^>]*>", "", field) for field in re.findall(r"<t[hd].*?</t[hd]>", row, re.S)]
            for row in re.findall("<tr>.*?</tr>", body, re.S)
        ]


def page_of(logs, **sweep):
    return Page(report.page(logs, {**SWEEP, **sweep}))


@pytest.fixture
def no_pictures(monkeypatch):
    """Leave out what takes longest and does not matter here."""
    monkeypatch.setattr(report, "picture_sections", lambda *_: "")
    monkeypatch.setattr(report, "study_figures", lambda *_: {})


@pytest.fixture(scope="module")
def page(cells):
    return page_of(cells)


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


# The page as a parser sees it


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
    captions = [e for e in any_page.all("figcaption") if e["inside"][-2:] == ["section", "figure"]]
    assert len(plots) == len(pictures) == len(captions)
    assert all(caption["text"].strip() for caption in captions)
    assert all(e["alt"] for e in any_page.all("img"))


def test_a_picture_s_words_have_its_numbers(page, cells):
    (words,) = [e["aria-label"] for e in page.all("svg", role="img")
                if e["aria-label"].startswith("Validation accuracy")]  # fmt: skip
    last = np.mean([log["val_accuracy"][-1] for log in cells[3:6]])
    assert f"{last:.1f} relu + adam" in words and "epoch" in words


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


def test_names_never_become_markup(cells):
    page = page_of(renamed(cells), command=EVIL)
    assert not [e for e in page.elements if "onerror" in e]
    assert len(page.all("script")) == 2
    assert f"{EVIL} + adam" in [cell["name"] for cell in page.data()["cells"]]
    assert page.data()["classes"][3] == EVIL
    (command,) = page.all("code", id="command")
    assert command["text"] == EVIL
    (title,) = page.all("title")
    assert page.all("h1")[0]["text"] == title["text"].removeprefix("nnlite: ")


def test_the_same_logs_give_the_same_bytes(cells, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    paths = [report.write_report(deepcopy(cells), tmp_path / name, SWEEP) for name in "ab"]
    assert paths[0] == tmp_path / "a" / "report.html"
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert [path.name for path in paths[0].parent.iterdir()] == ["report.html"]


def test_what_is_asked(cells, no_pictures):
    def question(logs, **sweep):
        return page_of(logs, **sweep).all("h1")[0]["text"]

    assert question(cells) == "What difference do activation and optimizer make?"
    assert question(cells[:3]) == "How does relu + sgd learn?"
    assert question(cells[:6]) == "What difference does optimizer make?"
    assert "depth" not in question(cells, study="unheard-of")
    assert question(cells, study="optimizers").startswith("Which optimizer learns best")


def test_conclusions_come_first_as_they_are(cells, monkeypatch, no_pictures):
    said = {"found": ["first", "a < b"], "not_shown": ["third"]}
    monkeypatch.setattr(report, "conclude", lambda *_: said)
    items = [e["text"] for e in page_of(cells).all("li")]
    assert items[:3] == ["first", "a < b", "third"]


def test_setup(cells, page):
    assert (
        page.all("p", class_="facts")[0]["text"] == "tiny · 12 runs · 4 cells · 3 seeds · 4 epochs"
    )
    setup = dict(zip(*([e["text"] for e in page.all(tag)] for tag in ("dt", "dd"))))
    assert "30 images to validate on, 50 to test on" in setup["Data"]
    assert "activation: sigmoid, relu" in setup["What varies"]
    assert "learning" not in setup["What varies"]  # each optimizer has its own
    assert "learning rate: 0.01 (sgd), 0.001 (adam)" in setup["What is fixed"]
    assert "hidden layers: 12-8" in setup["What is fixed"]
    assert setup["Seeds"].startswith("0, 1, 2")
    assert setup["Steps"] == "6 an epoch"  # 270 images in batches of 50
    assert cells[0]["dataset"]["checksum"] in setup["Checksum"]


def test_settings_are_in_order(cells):
    logs = deepcopy([cells[0], cells[6], cells[9]])  # relu + sgd, sigmoid + sgd, sigmoid + adam
    for log, rate in zip(logs, (0.1, 0.5, 0.25), strict=True):
        log["config"]["learning_rate"] = rate
    settings = report.settings(logs)
    assert settings["learning rate"] == ("0.1, 0.25, 0.5", True)
    assert settings["activation"] == ("sigmoid, relu", True)
    assert settings["epochs"] == ("4", False)


def test_digits_and_diverged_runs_are_warned_of(cells, diverged, no_pictures):
    def warnings(logs):
        return [e["text"] for e in page_of(logs).all("p", class_="warning")]

    assert warnings(cells) == []
    assert "1 of 2 runs diverged" in warnings([cells[0], diverged])[0]
    digits = deepcopy(cells[:1])
    digits[0]["dataset"]["name"] = "digits"
    assert "not Fashion-MNIST" in warnings(digits)[0]


# Tables


def test_a_cell_s_numbers_are_mean_and_interval(page, cells):
    accuracies = [log["test_accuracy"] for log in cells[3:6]]
    mean, (low, high) = np.mean(accuracies), stats.t.interval(
        0.95, 2, np.mean(accuracies), stats.sem(accuracies)
    )  # fmt: skip
    (row,) = [row for row in page.rows("cells") if row[0] == "relu + adam"]
    assert row[1] == "3"
    assert row[4] == f"{mean:.2f} ± {(high - low) / 2:.2f}"
    best = [float(row[3].split()[0]) for row in page.rows("cells")]
    assert best == sorted(best, reverse=True)


def test_each_run_has_a_row(page, cells):
    rows = page.rows("runs")
    assert len(rows) == len(cells)
    summary = summarize(cells[4])
    (row,) = [row for row in rows if row[:2] == ["relu + adam", "1"]]
    assert row[2:5] == [f"{summary['final_loss']:.4f}", f"{summary['best_val_accuracy']:.2f}",
                        f"{summary['test_accuracy']:.2f}"]  # fmt: skip


def test_differences_name_the_better_cell(page, cells):
    rows = page.rows("differences")
    assert len(rows) == 6  # pairs of 4
    (row,) = [row for row in rows if row[:2] == ["relu + sgd", "relu + adam"]]
    paired = np.subtract(
        *([log["test_accuracy"] for log in part] for part in (cells[:3], cells[3:6]))
    )
    assert row[2].startswith(f"{paired.mean():+.2f}".replace("-", "−"))
    decided = abs(paired.mean()) > stats.t.ppf(0.975, 2) * stats.sem(paired)
    assert row[4] == (row[int(paired.mean() < 0)] if decided else "not decided")


def test_tables_say_what_they_are_and_sort_by_numbers(any_page):
    tables = any_page.all("table", class_="sortable")
    assert {"cells", "runs", "configurations"} <= {table["id"] for table in tables}
    assert len([e for e in any_page.all("caption")]) == len(any_page.all("table"))
    for head in [e for e in any_page.all("th")]:
        assert head["scope"] == ("col" if "thead" in head["inside"] else "row")
    for field in any_page.all("td"):
        if field.get("data-value"):
            shown = float(field["text"].split()[0].replace("−", "-"))
            assert shown == pytest.approx(float(field["data-value"]), rel=0.05, abs=0.006)


def test_every_configuration_is_there(page, cells):
    rows = page.rows("configurations")
    assert len(rows) == 4
    assert rows[0][1:] == [
        "sigmoid",
        "sgd",
        "0.01",
        "none",
        "4",
        "50",
        "uniform",
        "12, 8",
        "0, 1, 2",
    ]


def test_what_diverged_has_no_numbers(diverged, no_pictures):
    page = page_of([diverged])
    assert page.rows("runs")[0][0].endswith("diverged at epoch 1")
    assert page.rows("cells")[0][2:5] == ["–", "–", "–"]
    assert "No run got as far as the test images." in page.text


def test_many_pairs_are_those_with_the_best(cells, no_pictures):
    page = page_of(many(cells[3], 20))
    rows = page.rows("differences")
    assert len(rows) == 19
    assert all("lr 20" in row[:2] for row in rows)


def test_tuning_runs_are_no_cells(cells, no_pictures):
    page = page_of(cells, tune_seeds=[0])
    assert {row[1] for row in page.rows("runs")} == {"1", "2"}
    assert page.all("p", class_="facts")[0]["text"].startswith("tiny · 12 runs · 4 cells · 2 seeds")
    assert "chosen on 0" in page.text
    assert len(page_of(cells[:3], tune_seeds=[0, 1, 2]).rows("runs")) == 3  # nothing else yet


# What the script draws from


def test_curves_are_means_with_intervals(page, cells):
    data = page.data()
    assert [cell["name"] for cell in data["cells"]] == [
        "sigmoid + sgd", "sigmoid + adam", "relu + sgd", "relu + adam"
    ]  # fmt: skip
    losses = np.array([log["train_loss"] for log in cells[3:6]])
    curve = data["cells"][3]["curves"][1]
    assert data["metrics"][1]["label"].startswith("training loss")
    np.testing.assert_allclose(curve["mean"], losses.mean(axis=0), rtol=1e-4)
    half = stats.t.ppf(0.975, 2) * stats.sem(losses, axis=0)
    np.testing.assert_allclose(curve["half"], half, rtol=1e-2)


def test_flow_begins_before_the_first_step(page, cells):
    weights, signal, updates = page.data()["cells"][3]["flows"]
    logs = cells[3:6]
    first = np.mean([log["initial"]["gradient_stats"]["fc2.weight"]["mean_abs"] for log in logs])
    last = np.mean([log["gradient_stats"]["fc2.weight"]["mean_abs"][-1] for log in logs])
    assert len(weights["mean"]) == 3 and len(weights["mean"][1]) == 5  # layers, 4 epochs and one
    assert weights["mean"][1][0] == pytest.approx(first, rel=1e-3)
    assert weights["mean"][1][-1] == pytest.approx(last, rel=1e-3)
    norm = np.mean([log["probe"]["fc1"]["gradient_norm"][-1] for log in logs])
    assert signal["mean"][0][-1] == pytest.approx(norm, rel=1e-3)
    ratio = np.mean([log["update_ratio"]["fc3"][1] for log in logs])
    assert updates["mean"][2][0] is None
    assert updates["mean"][2][2] == pytest.approx(ratio, rel=1e-3)


def test_long_runs_are_thinned():
    kept = report_data.thinned(1000)
    assert len(kept) == report_data.POINTS and kept[0] == 0 and kept[-1] == 999
    assert report_data.thinned(3) == [0, 1, 2]


def test_the_best_cells_are_shown_first(cells, no_pictures):
    data = page_of(many(cells[3], 20)).data()
    shown = [cell["name"] for cell in data["cells"] if cell["shown"]]
    assert shown == [f"lr {k}" for k in range(13, 21)]
    markers = [cell["marker"] for cell in data["cells"]]
    assert all(markers) and len(set(markers)) == 12  # as many as there are


def test_confusion_is_in_percent_of_the_true_class(page, cells):
    shares = np.array(page.data()["cells"][3]["confusion"])
    np.testing.assert_allclose(shares.sum(axis=1), 100, atol=1)
    counts = np.array([log["test_confusion"] for log in cells[3:6]])  # 5 images a class
    np.testing.assert_allclose(shares, counts.mean(axis=0) * 20, atol=0.1)


def test_wrong_images_are_those_of_the_log(page, cells):
    data = page.data()
    wrong = {w["row"]: w for log in cells for w in log["most_wrong"]}
    shown = [w for cell in data["cells"] for w in cell["wrong"]]
    assert shown and {str(row) for row, *_ in shown} == set(data["images"])
    for row, label, _, _, _ in shown:
        file = io.BytesIO(base64.b64decode(data["images"][str(row)]))
        assert Image.open(file).tobytes() == base64.b64decode(wrong[row]["image"])
        assert label == wrong[row]["label"]


def test_images_that_more_seeds_get_wrong_come_first():
    def wrong(row, probability):
        return {"row": row, "label": 1, "predicted": 2, "probability": probability, "image": ""}

    logs = [{"most_wrong": [wrong(1, 0.99), wrong(2, 0.7)]}, {"most_wrong": [wrong(2, 0.8)]},
            {"most_wrong": [wrong(3, 0.995)]}]  # fmt: skip
    ranked = report_data.wrong_images(logs)
    assert [(w["row"], w["seeds"], w["probability"]) for w in ranked] == [
        (2, 2, 0.8), (3, 1, 0.995), (1, 1, 0.99)
    ]  # fmt: skip


def test_a_large_sweep_stays_small(cells):
    logs = [deepcopy(log) for log in many(cells[3], 90) for _ in range(5)]
    for k, log in enumerate(logs):
        log["config"]["seed"] = k % 5
    text = report.page(logs, SWEEP)
    assert len(text) < 2_000_000
    assert len(Page(text).rows("cells")) == 90


# Colours


def test_contrast_is_that_of_the_standard():
    assert report_svg.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert report_svg.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert report_svg.contrast("#ffffff", "#0000ff") == pytest.approx(8.59, abs=0.01)


def test_every_curve_and_every_word_can_be_seen_on_dark_pages():
    palette = report_svg.Palette()
    colors = [c.lower() for c in figures.PALETTE]
    shapes, words = [palette.shape(c) for c in colors], [palette.text(c) for c in colors]
    for theme in ("light", "dark"):
        css = dict(re.findall(r"(--\w+):(#\w+);", palette.css(theme)))
        for variables, least in ((shapes, 3), (words, 4.5)):
            for variable in variables:
                if theme == "dark" or least == 4.5:
                    color = css[variable[4:-1]]
                    assert report_svg.contrast(color, report_svg.PAPER[theme]) >= least
    light = dict(re.findall(r"(--\w+):(#\w+);", palette.css("light")))
    assert light["--c0072b2"] == "#0072b2"  # the figures' own colour, where it is seen well


def test_greys_of_the_layers_are_seen_on_dark_pages_and_grids_are_faint():
    greys = ["#000000", "#5f5f5f", "#b5b5b5", "#e4e4e4"]  # three layers, grid
    dark = [report_svg.on_page(grey, "dark", 0) for grey in greys]
    contrasts = [report_svg.contrast(grey, report_svg.PAPER["dark"]) for grey in dark]
    assert min(contrasts[:3]) >= 3 and contrasts[3] < 2
    assert contrasts == sorted(contrasts, reverse=True)


def test_black_becomes_ink_and_white_paper():
    for theme in ("light", "dark"):
        assert report_svg.on_page("#000000", theme, 0) == report_svg.INK[theme]
        assert report_svg.on_page("#ffffff", theme, 0) == report_svg.PAPER[theme]


def test_text_stays_text_and_numbers_on_colours_stay_black(page):
    texts = [e for e in page.all("text") if "figure" in e["inside"]]
    assert {"Validation", "accuracy"} & set(" ".join(e["text"] for e in texts).split())
    on_fields = [e for e in texts if re.match(r"\d+\.\d+$", e["text"].strip())
                 and "fill:#000" in e["style"]]  # fmt: skip
    assert len(on_fields) >= 12  # three tables of four cells


# The page as a reader sees it, in a real browser


@pytest.fixture(scope="module")
def browser():
    if MISSING:
        pytest.skip(MISSING)
    with Browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def paths(cells, diverged, tmp_path_factory):
    """Reports on disk, by name."""
    sweeps = {
        "cells": cells,
        "one run": cells[:1],
        "diverged": [*cells[3:], diverged],
        "none tested": [diverged],
        "many": many(cells[3], 40),
        "names": renamed(cells),
    }
    folders = {name: tmp_path_factory.mktemp("report") for name in sweeps}
    return {name: report.write_report(logs, folders[name], {**SWEEP, "command": EVIL})
            for name, logs in sweeps.items()}  # fmt: skip


@pytest.fixture
def reader(browser, paths):
    """A browser on a laptop, with the report of the four cells open."""
    browser.media()
    browser.resize(1366, 768)
    browser.open(paths["cells"])
    yield browser
    assert browser.messages() == []


def curves(browser, chart="#curves"):
    """The shapes of the curves in a chart, by cell."""
    return browser.run(f"""
        return Object.fromEntries([...document.querySelectorAll("{chart} .series")].map(
            (g) => [g.dataset.cell, g.querySelector(".curve").getAttribute("d")]))""")


def column(browser, table, k):
    return browser.texts(f"#{table} tbody tr > :nth-child({k})")


def shown(browser, selector):
    """Is anything of it on the page?"""
    return browser.run(
        f"return [...document.querySelectorAll({selector!r})].some(e => e.getClientRects().length)"
    )


@pytest.mark.parametrize("name", ["one run", "diverged", "none tested", "many", "names"])
def test_no_report_makes_the_console_complain(browser, paths, name):
    browser.media()
    browser.resize(1366, 768)
    browser.open(paths[name])
    browser.click("input[name=metric][value='1'] ")
    browser.click("input[name=measure][value='2']")
    browser.click("#cells thead th:nth-child(4) button")
    assert shown(browser, "#curves svg") and shown(browser, "#flow svg")
    assert browser.messages() == []
    assert browser.run("return [document.images.length, window.hacked ?? null]")[1] is None
    assert browser.run("return performance.getEntriesByType('resource')"
                       ".map(e => e.name).filter(n => !n.startsWith('data:'))") == []  # fmt: skip


def test_a_cell_that_is_unticked_disappears(reader, cells):
    everything = {"relu + sgd", "relu + adam", "sigmoid + sgd", "sigmoid + adam"}
    assert set(curves(reader)) == set(curves(reader, "#flow")) == everything
    for k, name in enumerate(reader.texts("#picker label"), start=1):
        reader.click(f"#picker label:nth-child({k})")
        assert set(curves(reader)) == set(curves(reader, "#flow")) == everything - {name}
        reader.click(f"#picker label:nth-child({k})")
        assert set(curves(reader)) == everything
    reader.click("[data-pick=none]")
    assert curves(reader) == {} and "choose some cells" in reader.texts("#curves")[0]
    reader.click("[data-pick=first]")
    assert set(curves(reader)) == everything


def test_metrics_change_the_curves(reader):
    before = curves(reader)
    reader.click("input[name=metric][value='1']")
    assert curves(reader)["relu + adam"] != before["relu + adam"]
    assert "training loss" in reader.texts("#curves text")[0]


def test_the_slider_moves_through_the_epochs(reader, page):
    last = curves(reader, "#flow")
    assert reader.texts("#epoch-value") == ["4"]
    reader.type("#epoch", "left")
    assert reader.texts("#epoch-value") == ["3"]
    assert curves(reader, "#flow")["relu + adam"] != last["relu + adam"]
    assert reader.texts("#curves-values b") == ["epoch 3"]
    reader.type("#epoch", "home")
    assert reader.texts("#epoch-value") == ["0, before training"]
    assert reader.texts("#flow-values b") == ["fc1, epoch 0, before training"]
    start = page.data()["cells"][3]["flows"][0]["mean"][0][0]
    (entry,) = [text for text in reader.texts("#flow-values > span") if "relu + adam" in text]
    assert f"{start:.1e}".replace("e-0", "e−") in entry
    reader.type("#epoch", "end")
    assert curves(reader, "#flow") == last


def test_play_moves_by_itself(reader):
    reader.click("#play")
    assert reader.texts("#play") == ["Pause"]
    assert reader.run("""
        return new Promise((done) => {
            const wait = () => document.querySelector("#epoch").value === "4"
                && document.querySelector("#play").textContent === "Play" ? done(true)
                : setTimeout(wait, 50);
            wait();
        })""")
    reader.media(prefers_reduced_motion="reduce")
    assert not shown(reader, "#play") and shown(reader, "#epoch")


def test_arrow_keys_and_pointer_read_values(reader, cells):
    reader.run("document.querySelector('#curves').focus()")
    reader.type("#curves", "left", "left")
    mean = np.mean([log["val_accuracy"][1] for log in cells[3:6]])
    (entry,) = [text for text in reader.texts("#curves-values > span") if "relu + adam" in text]
    assert f"{mean:.2f} ±" in entry
    assert reader.texts("#curves-values b") == ["epoch 2"]
    reader.run("""
        const box = document.querySelector("#curves svg").getBoundingClientRect();
        document.querySelector("#curves svg").dispatchEvent(new PointerEvent("pointermove",
            {clientX: box.left + 70, clientY: box.top + 100, bubbles: true}))""")
    assert reader.texts("#curves-values b") == ["epoch 1"]
    reader.type("#flow", "end")
    assert reader.texts("#flow-values b")[0].startswith("fc3, epoch 1")


def test_headings_sort_the_table(reader):
    def accuracies():
        return [float(text.split()[0]) for text in column(reader, "cells", 5)]

    head = "#cells thead th:nth-child(5)"
    reader.click(f"{head} button")
    assert accuracies() == sorted(accuracies())
    assert reader.run(f"return document.querySelector('{head}').ariaSort") == "ascending"
    reader.type(f"{head} button", "enter")
    assert accuracies() == sorted(accuracies(), reverse=True)
    assert reader.run(f"return document.querySelector('{head}').ariaSort") == "descending"
    reader.click("#cells thead th:nth-child(7) button")  # such as 2.5e−4: not sorted as text
    gradients = [float(text.split()[0].replace("−", "-")) for text in column(reader, "cells", 7)]
    assert gradients == sorted(gradients) and len(set(gradients)) > 2
    reader.click("#cells thead th:nth-child(1) button")
    assert column(reader, "cells", 1) == sorted(column(reader, "cells", 1))
    assert reader.run(f"return document.querySelector('{head}').ariaSort") is None


def test_what_has_no_number_is_sorted_last(reader, paths):
    reader.open(paths["diverged"])
    for _ in range(2):
        reader.click("#runs thead th:nth-child(5) button")
        assert column(reader, "runs", 5)[-1] == "–"


def test_another_cell_s_mistakes(reader, page):
    names = [cell["name"] for cell in page.data()["cells"]]

    def choose(name):
        reader.run(f"""
            const select = document.querySelector("#mistaken");
            select.value = "{names.index(name)}";
            select.dispatchEvent(new Event("change"))""")

    def mistakes():
        pictures = "return [...document.querySelectorAll('#wrong img')].map(i => [i.alt, i.src])"
        return reader.texts("#matrix td"), reader.texts("#wrong figure"), reader.run(pictures)

    (best,) = reader.texts("#whose")
    as_written = mistakes()
    choose("sigmoid + sgd")
    assert mistakes() != as_written and reader.texts("#whose") == ["sigmoid + sgd"]
    shares = np.ravel(page.data()["cells"][names.index("sigmoid + sgd")]["confusion"])
    assert reader.texts("#matrix td") == [str(int(s + 0.5) or "") for s in shares]
    assert reader.run("return [...document.images].every(i => i.complete && i.naturalWidth === 28)")
    choose(best)
    assert mistakes() == as_written  # the script writes what the page was written with


def test_the_command_can_be_copied_or_at_least_selected(reader):
    assert reader.texts("#command") == [EVIL]
    reader.click("#copy")
    text = "return document.querySelector('#copy').textContent"
    assert reader.run(f"await new Promise(r => setTimeout(r, 300)); {text}") != "Copy"


@pytest.mark.parametrize("name", ["cells", "one run", "many", "names"])
@pytest.mark.parametrize("width", [360, 768])
def test_nothing_is_wider_than_a_phone(browser, paths, name, width):
    browser.media()
    browser.resize(width, 740)
    browser.open(paths[name])
    for part in browser.run("return [...document.querySelectorAll('details')].map((_, k) => k)"):
        browser.run(f"document.querySelectorAll('details')[{part}].open = true")
    assert browser.run("return document.documentElement.scrollWidth") == width
    assert browser.run("return document.body.scrollWidth") <= width
    box = "document.querySelector('#cells-box')"  # which scrolls in itself, with the keyboard too
    wide, tab = browser.run(f"return [{box}.scrollWidth - {box}.clientWidth, {box}.tabIndex]")
    assert (wide > 0) == (tab == 0) and (wide > 0 or width > 360)


def test_curves_are_drawn_anew_for_another_width(reader):
    wide = curves(reader)
    reader.resize(390, 844)
    reader.run("return new Promise(done => requestAnimationFrame(() => setTimeout(done, 200)))")
    assert curves(reader) != wide
    width = "return document.querySelector('#curves svg').viewBox.baseVal.width"
    assert reader.run(width) < 390


def test_dark_pages_are_dark_and_can_be_read(reader):
    def colors(selector, key="color"):
        found = reader.run(f"return getComputedStyle(document.querySelector({selector!r})).{key}")
        return "#" + "".join(f"{int(n):02x}" for n in re.findall(r"\d+", found)[:3])

    assert colors("body", "backgroundColor") == report_svg.PAPER["light"]
    figure = "#figure-accuracy_curves text"
    for theme in ("light", "dark"):
        reader.media(prefers_color_scheme=theme)
        paper = colors("body", "backgroundColor")
        assert paper == report_svg.PAPER[theme]
        for selector in ("body", ".facts", "nav a", "summary", "#copy", "caption"):
            assert report_svg.contrast(colors(selector), paper) >= 4.5, (theme, selector)
        assert report_svg.contrast(colors(figure, "fill"), paper) >= 4.5
        blacks = reader.run("""
            return [...document.querySelectorAll("figure.plot svg :is(path, use, text)")]
                .filter(e => !e.closest("defs"))
                .filter(e => { const s = getComputedStyle(e);
                    return s.fill === "rgb(0, 0, 0)" || s.stroke === "rgb(0, 0, 0)" })
                .map(e => e.textContent.trim())""")
        assert all(re.match(r"\d|± \d", text) for text in blacks)  # on the coloured tables
        for path in ("#curves .curve", "#figure-accuracy_curves path[style*='2;']"):
            assert colors(path, "stroke") != paper


def test_printed_it_is_complete_and_has_no_controls(reader):
    reader.media("print", prefers_color_scheme="dark")
    reader.run("dispatchEvent(new Event('beforeprint'))")
    for part in ("#explore", "nav", "#copy", "#mistaken"):
        assert not shown(reader, part), part
    for part in ("#figure-accuracy_curves svg", "#matrix", "#configurations", "#command"):
        assert shown(reader, part), part
    assert reader.run("return getComputedStyle(document.body).color") == "rgb(27, 30, 36)"  # light
    reader.run("dispatchEvent(new Event('afterprint'))")
    assert not reader.run("return document.querySelector('details').open")
    reader.media()
    assert reader.pdf().startswith(b"%PDF")


def test_without_scripts_it_is_all_there(browser, paths):
    browser.media()
    browser.resize(1366, 768)
    browser.cdp("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(paths["cells"])
        assert not shown(browser, "#explore") and not shown(browser, "#mistaken")
        for part in ("#figure-loss_curves svg", "#matrix td", "#wrong img", "#cells td"):
            assert shown(browser, part), part
    finally:
        browser.cdp("Emulation.setScriptExecutionDisabled", value=False)


def test_the_keyboard_gets_everywhere_and_shows_where_it_is(reader):
    reader.type("body", "tab")
    link = "document.activeElement"
    assert reader.run(f"return {link}.getAttribute('href')") == "#found"
    assert reader.run(f"return getComputedStyle({link}).outlineStyle") == "solid"
    names = reader.run("""
        return [...document.querySelectorAll("button, input, select, summary, a, [tabindex='0']")]
            .filter(e => e.getClientRects().length && e.tabIndex < 0).map(e => e.outerHTML)""")
    assert names == []
