"""Colours that can be seen on light and on dark pages."""

import re

import pytest

from findings.sweep import PALETTE
from report.svg import INK, PAPER, Palette, contrast, on_page


def test_contrast_is_that_of_the_standard():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert contrast("#ffffff", "#0000ff") == pytest.approx(8.59, abs=0.01)


def test_every_curve_and_every_word_can_be_seen_on_dark_pages():
    palette = Palette()
    colors = [c.lower() for c in PALETTE]
    shapes, words = [palette.shape(c) for c in colors], [palette.text(c) for c in colors]
    for theme in ("light", "dark"):
        css = dict(re.findall(r"(--\w+):(#\w+);", palette.css(theme)))
        for variables, least in ((shapes, 3), (words, 4.5)):
            for variable in variables:
                if theme == "dark" or least == 4.5:
                    color = css[variable[4:-1]]
                    assert contrast(color, PAPER[theme]) >= least
    light = dict(re.findall(r"(--\w+):(#\w+);", palette.css("light")))
    assert light["--c0072b2"] == "#0072b2"  # the figures' own colour, where it is seen well


def test_greys_of_the_layers_are_seen_on_dark_pages_and_grids_are_faint():
    greys = ["#000000", "#5f5f5f", "#b5b5b5", "#e4e4e4"]  # three layers, grid
    dark = [on_page(grey, "dark", 0) for grey in greys]
    contrasts = [contrast(grey, PAPER["dark"]) for grey in dark]
    assert min(contrasts[:3]) >= 3 and contrasts[3] < 2
    assert contrasts == sorted(contrasts, reverse=True)


def test_black_becomes_ink_and_white_paper():
    for theme in ("light", "dark"):
        assert on_page("#000000", theme, 0) == INK[theme]
        assert on_page("#ffffff", theme, 0) == PAPER[theme]
