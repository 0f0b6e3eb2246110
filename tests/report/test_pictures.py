"""The figures on the page: where they appear, and what is said of them."""

import re

import numpy as np
from matplotlib.figure import Figure

from report.pictures import in_sections, picture
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
    sections = in_sections(pictures)
    names = {section: [p.name for p in listed] for section, listed in sections.items() if listed}
    assert names == {"study": ["differences"], "inside": ["update_ratio", "my_figure"]}
    assert sections["inside"][1].title == "Title of my_figure"
    assert [bool(p.caption) for p in sections["inside"]] == [True, False]
