"""The page as a reader sees it, in a real browser: page.js and page.css."""

import re

import numpy as np
import pytest

from browser import MISSING, Browser
from nnlite import ACTIVATIONS
from pages import EVIL, many, write
from report.svg import PAPER, contrast


@pytest.fixture(scope="module")
def browser():
    if MISSING:
        pytest.skip(MISSING)
    with Browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def paths(cells, evil, diverged, tmp_path_factory):
    """Reports on disk, by name."""
    sweeps = {
        "cells": cells,
        "one run": cells[:1],
        "diverged": [*cells[3:], diverged],
        "none tested": [diverged],
        "many": many(cells[3], 40),
        "names": evil,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ACTIVATIONS, EVIL, ACTIVATIONS["relu"])
        return {
            name: write(logs, tmp_path_factory.mktemp("report"), command=EVIL)
            for name, logs in sweeps.items()
        }


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
    loaded = browser.run("return performance.getEntriesByType('resource').map(e => e.name)")
    assert [name for name in loaded if not name.startswith("data:")] == []


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
        return [float(text.split()[0]) for text in column(reader, "cells", 4)]

    head = "#cells thead th:nth-child(4)"
    reader.click(f"{head} button")
    assert accuracies() == sorted(accuracies())
    assert reader.run(f"return document.querySelector('{head}').ariaSort") == "ascending"
    reader.type(f"{head} button", "enter")
    assert accuracies() == sorted(accuracies(), reverse=True)
    assert reader.run(f"return document.querySelector('{head}').ariaSort") == "descending"
    reader.click("#cells thead th:nth-child(6) button")  # such as 2.5e−4: not sorted as text
    gradients = [float(text.split()[0].replace("−", "-")) for text in column(reader, "cells", 6)]
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
    wide, tall, tab = browser.run(
        f"return [{box}.scrollWidth - {box}.clientWidth, {box}.scrollHeight - {box}.clientHeight, "
        f"{box}.tabIndex]"
    )
    assert (wide > 0 or tall > 0) == (tab == 0) and (wide > 0 or width > 360)


def test_on_a_phone_what_goes_on_beyond_an_edge_fades_there(reader):
    reader.resize(390, 844)
    reader.run("document.querySelectorAll('details').forEach(e => e.open = true)")
    frames = "return new Promise(done => requestAnimationFrame(() => setTimeout(done, 200)))"
    reader.run(frames)
    wrong = reader.run("""
        return [...document.querySelectorAll("body *")].filter((e) => !e.closest("svg"))
            .filter((e) => e.scrollWidth > e.clientWidth + 1 && e.clientWidth)
            .filter((e) => getComputedStyle(e).overflowX !== "visible")
            .filter((e) => !e.matches(".more-right, .unseen, select")).map((e) => e.outerHTML)""")
    assert wrong == []
    boxes = "[...document.querySelectorAll('nav, #cells-box, .lead .scroll')]"
    assert reader.run(f"return {boxes}.every(e => e.matches('.more-right'))")
    assert reader.run(f"return {boxes}.every(e => getComputedStyle(e).maskImage !== 'none')")
    assert reader.run(f"return {boxes}.map(e => e.tabIndex)") == [-1, 0, 0]  # nav has links
    reader.run(f"{boxes}.forEach(e => e.scrollLeft = 1e6)")
    reader.run(frames)
    assert not reader.run(f"return {boxes}.some(e => e.matches('.more-right'))")


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

    assert colors("body", "backgroundColor") == PAPER["light"]
    figure = "#figure-accuracy_curves text"
    for theme in ("light", "dark"):
        reader.media(prefers_color_scheme=theme)
        paper = colors("body", "backgroundColor")
        assert paper == PAPER[theme]
        for selector in ("body", ".facts", "nav a", "summary", "#copy", "caption"):
            assert contrast(colors(selector), paper) >= 4.5, (theme, selector)
        assert contrast(colors(figure, "fill"), paper) >= 4.5
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
