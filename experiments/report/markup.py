"""Pieces of HTML. Text is escaped wherever it enters one, so no name in a log can become markup."""

import html
import json

FEW_ROWS = 16  # of a table that is not folded up
TALL = 30  # rows of a table that scrolls by itself


class Markup(str):
    """Text that is HTML already."""


def join(*parts: object) -> Markup:
    """Put pieces one after the other, escaping those that are no Markup."""
    return Markup(
        "".join(part if isinstance(part, Markup) else html.escape(str(part)) for part in parts)
    )


def element(tag: str, /, *content: object, **attributes: object) -> Markup:
    """Return <tag attributes>content</tag>; class_ is class, aria_label aria-label.

    An attribute that is True stands without a value, one that is None or False is left out.
    """
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}"
        + ("" if value is True else f'="{html.escape(str(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    end = "" if tag in ("input", "img", "br") else f"</{tag}>"
    return Markup(f"<{tag}{written}>{join(*content)}{end}")


def items(sentences: list[str]) -> Markup:
    return element("ul", *(element("li", sentence) for sentence in sentences))


def section(identity: str, title: str, *content: object) -> Markup:
    heading = element("h2", title, id=f"{identity}-title")
    return element("section", heading, *content, id=identity, aria_labelledby=f"{identity}-title")


def scroller(content: Markup, identity: str, what: str, tall: bool = False) -> Markup:
    """Return a box that scrolls by itself what is too wide, and too tall, with the keyboard too."""
    return element("div", content, class_="scroll tall" if tall else "scroll", id=identity,
                   tabindex="0", role="group", aria_label=f"{what}, scrolls by itself")  # fmt: skip


def cell(text: object, value: float | None = None) -> Markup:
    """Return a table cell; `value` is the number it is sorted by."""
    return element("td", text, data_value="" if value is None else repr(float(value)))


def sortable(identity: str, caption: str, headings: list[str], rows: list[list[Markup]]) -> Markup:
    """Return a table that report.js makes sortable, its box of its own width."""
    head = element("tr", *(element("th", heading, scope="col") for heading in headings))
    inside = element(
        "table", element("caption", element("span", caption)), element("thead", head),
        element("tbody", *(element("tr", *row) for row in rows)), class_="sortable", id=identity,
    )  # fmt: skip
    return scroller(inside, f"{identity}-box", f"table {identity}", tall=len(rows) > TALL)


def folded(title: str, content: Markup) -> Markup:
    return element("details", element("summary", title), content)


def data_text(content: dict) -> Markup:
    """Return the data as JSON for a <script>: no name in it can end the script."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))
