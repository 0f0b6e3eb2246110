"""The figures on the page: where they appear, and what is said of them."""

import re

import numpy as np


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
