"""matplotlib's figures as SVG inside a page: text stays text, colours follow the page's theme.

Colours are replaced by CSS variables with one value for a light page and one for a dark page. Black
and white become the page's ink and paper, and greys their mixtures; other colours stay as they are,
or are mixed with some ink where they would be too faint to see on that page.
"""

import io
import re
from xml.etree import ElementTree

from matplotlib import rc_context
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from figures.style import settings

SVG, XLINK = "http://www.w3.org/2000/svg", "{http://www.w3.org/1999/xlink}href"
ElementTree.register_namespace("", SVG)

INK, PAPER = {"light": "#1b1e24", "dark": "#e4e6ea"}, {"light": "#ffffff", "dark": "#16181d"}
SHAPE_CONTRAST, TEXT_CONTRAST = 3.0, 4.5  # the least that WCAG 2.2 demands, level AA
ON_COLOUR = "on-colour"  # marks what lies on a coloured table, and keeps its colours


NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def legal(text: str) -> str:
    """Return the text with a � for each character that neither XML nor UTF-8 has a place for."""
    return NOT_XML.sub("�", text)


def numbers(color: str) -> list[float]:
    """Return red, green and blue of "#rrggbb", each 0 to 1."""
    return [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def hex_color(rgb) -> str:
    return "#" + "".join(f"{round(255 * c):02x}" for c in rgb)


def contrast(a: str, b: str) -> float:
    """Return the contrast of two colours, 1 to 21, as WCAG 2.2 defines it."""

    def linear(c: float) -> float:
        return c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4

    def luminance(color: str) -> float:
        red, green, blue = map(linear, numbers(color))
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted([luminance(a), luminance(b)])
    return (high + 0.05) / (low + 0.05)


def on_page(color: str, theme: str, least: float) -> str:
    """Return the colour as it is to appear on a light or dark page, with that contrast at least."""
    paper, ink = numbers(PAPER[theme]), numbers(INK[theme])
    rgb = numbers(color)
    if max(rgb) - min(rgb) < 0.01:  # a grey; equally faint on a dark page, it would get lost
        share = rgb[0] if theme == "light" else rgb[0] ** 1.8
        return hex_color([i + (p - i) * share for i, p in zip(ink, paper)])
    mixed, share = color, 0.0
    while contrast(mixed, PAPER[theme]) < least:
        share += 0.02
        mixed = hex_color([c + (i - c) * share for c, i in zip(rgb, ink)])
    return mixed


class Palette:
    """The colours that a page uses, as CSS variables."""

    def __init__(self):
        self.used: dict[str, tuple[str, float]] = {}  # variable -> colour, its least contrast

    def shape(self, color: str) -> str:
        """Return the CSS for a line or area of the colour "#rrggbb"; light pages show just it."""
        return self._variable("c", color.lower(), SHAPE_CONTRAST)

    def text(self, color: str) -> str:
        """Return the CSS for text of that colour, darkened on light pages until it can be read."""
        return self._variable("t", color.lower(), TEXT_CONTRAST)

    def _variable(self, kind: str, color: str, least: float) -> str:
        name = f"--{kind}{color[1:]}"
        self.used[name] = (color, least)
        return f"var({name})"

    def css(self, theme: str) -> str:
        """Return the values of the variables on pages of that theme: ink, paper, and all others."""
        values = {"--ink": INK[theme], "--paper": PAPER[theme]}
        for name, (color, least) in sorted(self.used.items()):
            as_it_is = theme == "light" and name.startswith("--c")
            values[name] = on_page(color, theme, 0 if as_it_is else least)
        return "".join(f"{name}:{value};" for name, value in values.items())


@settings()
def inline_svg(figure: Figure, name: str, alternative: str, palette: Palette) -> str:
    """Return the figure as an <svg> element, without its title, for which the page has headings.

    name: a prefix of the ids in it, so that those of several figures on a page differ.
    alternative: what a screen reader says in its place.
    """
    width, height = 72 * figure.get_size_inches()
    above = height - figure._suptitle.get_window_extent().y0 * 72 / figure.dpi
    figure._suptitle.set_visible(False)
    figure.patch.set_visible(False)
    for ax in figure.axes:
        if any(isinstance(artist, QuadMesh) for artist in ax.collections):
            for k, artist in enumerate([ax.patch, *ax.texts]):
                artist.set_gid(f"{ON_COLOUR}{k}")
    file = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format")))
    root = ElementTree.fromstring(legal(file.getvalue()))
    for parent in root.iter():
        for child in list(parent):
            if child.tag.endswith(("}metadata", "}style")):  # its style would hold for all the page
                parent.remove(child)
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', file.getvalue()))
    _clean(root, name, used, palette)
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    box = f"0 {above:.0f} {width:g} {height - above:g}"
    root.attrib.update({"viewBox": box, "role": "img", "aria-label": alternative})
    return ElementTree.tostring(root, encoding="unicode")


def _clean(element, name: str, used: set[str], palette: Palette | None) -> None:
    """Make ids unique, shorten numbers, and replace colours, in an element and all inside it.

    palette is None on a coloured table, which keeps its colours.
    """
    own = element.attrib
    identity = own.pop("id", "")
    if identity in used:
        own["id"] = f"{name}-{identity}"
    if XLINK in own:  # an element of this figure, or the data of an image
        own["href"] = re.sub("^#", f"#{name}-", own.pop(XLINK))
    if "clip-path" in own:
        own["clip-path"] = own["clip-path"].replace("#", f"#{name}-")
    for key in own.keys() & {"d", "x", "y", "points", "transform", "width", "height"}:
        own[key] = _shortened(own[key])
    if identity.startswith(("QuadMesh", ON_COLOUR)):
        palette = None
    is_text = element.tag.endswith("}text")
    if "style" in own:
        own["style"] = _style(own["style"], is_text, palette)
    if not is_text and not (element.text or "").strip():
        element.text = None
    element.tail = None
    for child in element:
        _clean(child, name, used, palette)


def _shortened(numbers: str) -> str:
    """Return a list of numbers with two decimals at most."""
    rounded = re.sub(r"-?\d+\.\d+", lambda number: f"{float(number[0]):.2f}", numbers)
    return " ".join(rounded.replace(".00", "").split())


def _style(style: str, is_text: bool, palette: Palette | None) -> str:
    """Return CSS with variables in place of colours, and of matplotlib's long list of fonts."""
    if is_text:
        style = re.sub(r"(font:.*?[\d.]+px) [^;]*", r"\1 var(--figure-font)", style)
    if is_text and not palette and "fill:" not in style:
        style += "; fill: #000"
    if palette:
        variable = palette.text if is_text else palette.shape
        style = re.sub(r"#[0-9a-f]{6}\b", lambda color: variable(color[0]), style)
    return style.replace(": ", ":").replace("; ", ";")
