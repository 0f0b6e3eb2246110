"""The figures on the page: where they appear, and what is said of them."""

import re

import numpy as np
import pytest
from matplotlib.figure import Figure

from builders import make_log
from pages import page_of
from report.pictures import TERMS, in_sections, picture
from report.svg import Palette


def test_a_picture_s_words_have_its_numbers(page, cells):
    words = [e["aria-label"] for e in page.all("svg", role="img")]
    (words,) = [text for text in words if text.startswith("Validation accuracy")]
    last = np.mean([log["val_accuracy"][-1] for log in cells[3:6]])
    assert f"{last:.1f} relu + adam" in words and "epoch" in words


def test_text_stays_text_and_numbers_on_colours_stay_black(page):
    texts = [e for e in page.all("text") if "figure" in e["inside"]]
    assert {"Validation", "accuracy"} & set(" ".join(e["text"] for e in texts).split())
    numbers = [e for e in texts if re.match(r"\d+\.\d+$", e["text"].strip())]
    on_fields = [e for e in numbers if "fill:#000" in e["style"]]
    assert len(on_fields) >= 12  # three tables of four cells


def test_a_figure_that_nobody_captioned_comes_last():
    figures = {name: Figure() for name in ("my_figure", "update_ratio", "confusion", "differences")}
    for name, figure in figures.items():
        figure.suptitle(f"Title of {name}\nand more")
    pictures = {name: picture(name, figure, Palette()) for name, figure in figures.items()}
    sections, _ = in_sections(pictures)
    names = {section: [p.name for p in listed] for section, listed in sections.items() if listed}
    assert names == {"study": ["differences"], "inside": ["update_ratio", "my_figure"]}
    assert sections["inside"][1].title == "Title of my_figure"
    assert [bool(p.caption) for p in sections["inside"]] == [True, False]


def test_each_study_leads_with_the_figure_that_answers_it():
    names = ("accuracy_curves", "gradients_by_layer", "differences")
    pictures = {}
    for name in names:
        figure = Figure()
        figure.suptitle(name)
        pictures[name] = picture(name, figure, Palette())
    for study, lead in ((None, "accuracy_curves"), ("depth", "gradients_by_layer")):
        sections, _ = in_sections(pictures, study)
        assert [p.name for p in sections["lead"]] == [lead]
        listed = [p.name for pictures in sections.values() for p in pictures]
        assert sorted(listed) == sorted(names)


def test_a_figure_too_wide_to_stand_beside_the_findings_is_above_them(page):
    assert page.all("section", id="found")[0].get("class") is None
    sizes = [make_log(batch_size=n, seed=s) for n in (8, 64) for s in (1, 2)]
    assert page_of(sizes, "batch-size").all("section", id="found")[0]["class"] == "wide"


def test_the_figure_that_answers_the_question_comes_first_and_once(page, cells):
    first, *others = [e["id"] for e in page.elements if e.get("id", "").startswith("figure-")]
    assert first == "figure-accuracy_curves" and first not in others
    order = ["figure-loss_curves", "figure-gradient_flow", "figure-units", "figure-update_ratio"]
    assert [name for name in others if name in order] == order
    sections = [e["id"] for e in page.all("section")]
    assert sections.index("found") < sections.index("learning") < sections.index("setup")
    one = page_of(cells[:1])
    assert one.text.index("figure-loss_accuracy") < one.text.index("What it does not show")


@pytest.mark.parametrize("count", [1, 12])
def test_terms_are_explained_once(page, cells, count):
    shown = page if count > 1 else page_of(cells[:1])
    words = ["nats", "dL/dz"] + ["t-interval", "percentage point"] * (count > 1)
    for term in words:
        assert shown.text.count(TERMS[term].replace("'", "&#39;")) == 1, term
    assert count > 1 or TERMS["t-interval"] not in shown.text  # a word that is not there


def test_figures_of_a_run_say_which_run(cells):
    page = page_of(cells[3:4])
    runs = page.texts("p", class_="run")
    assert len(runs) >= 8 and set(runs) == {"relu + adam, lr 0.001, batch 50, hidden 12-8, seed 0"}
    assert "Loss and accuracy" in page.texts("h3")
