"""What a reader sees in a figure: its words, its legend, its curves, and no overlaps."""

import numpy as np


def texts(figure):
    """All that is written in a figure, as one string."""
    found = figure.findobj(lambda artist: hasattr(artist, "get_text"))
    return "\n".join(text.get_text() for text in found)


def legend_of(figure):
    """label -> line, without the number before the label."""
    (legend,) = figure.legends
    labels = [text.get_text().split("  ", 1)[-1] for text in legend.get_texts()]
    return dict(zip(labels, legend.get_lines(), strict=True))


def look(line):
    """Colour and line style as they are drawn."""
    return line.get_color(), line._unscaled_dash_pattern


def curves(ax):
    """The numbers of all curves but guide lines, None where they are NaN."""
    drawn = [line.get_ydata() for line in ax.lines if "thumb" not in str(line.get_label())]
    return [[None if np.isnan(y) else y for y in ys] for ys in drawn]


def check_layout(figure, name):
    """Nothing is cut off, legends cover nothing, and no text lies on another."""
    (left, bottom), (right, top) = figure.get_tightbbox().get_points()  # around all, in inches
    width, height = figure.get_size_inches()
    assert min(left, bottom, width - right, height - top) > -0.01, name
    titles = [text.get_window_extent() for text in figure.texts if text.get_text()]
    axes = [ax.get_window_extent() for ax in figure.axes]
    seen = [ax for ax in figure.axes if ax.axison]
    above = [
        title.get_window_extent()
        for ax in seen
        for title in (ax.title, ax._left_title)
        if title.get_text()
    ]
    below = [ax.xaxis.label.get_window_extent() for ax in seen if ax.get_xlabel()]
    legends = [*figure.legends, *(ax.get_legend() for ax in figure.axes if ax.get_legend())]
    for legend in (legend.get_window_extent() for legend in legends):
        assert not any(legend.overlaps(other) for other in [*titles, *axes]), name
    for i, title in enumerate(titles):
        assert not any(title.overlaps(other) for other in titles[:i] + above + below), name
    for i, text in enumerate(above):
        assert not any(text.overlaps(other) for other in above[:i] + below + axes), name
    for ax in seen:
        labels = [label for label in ax.get_xticklabels() if label.get_text()]
        if labels and ax.xaxis.get_tick_params()["labelbottom"] and not labels[0].get_rotation():
            spans = sorted(tuple(label.get_window_extent().intervalx) for label in labels)
            assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:])), name
