"""The figures of the page: in which section each appears, what its caption says, and its SVG."""

from typing import NamedTuple

from markupsafe import Markup
from matplotlib.figure import Figure

from report.svg import Palette, inline_svg

# The one figure that answers the question stands beside the conclusions: that of the study, or else
# the first of these.
LEAD_OF_STUDY = {"depth": "gradients_by_layer"}
LEAD = ("tuned", "batch_sizes", "schedule_gains", "accuracy_curves", "loss_accuracy")
# Words that need explaining, each below the first figure in which it appears.
TERMS = {
    "t-interval": (
        "A 95 % t-interval is computed from how much the seeds differ: in 95 of 100 experiments "
        "like this one it contains the true mean."
    ),
    "nats": (
        "A nat is the unit of a loss that is a natural logarithm: to give the right class a "
        "probability of 90 % costs 0.1 nats, to know nothing about ten classes ln 10 = 2.3 nats."
    ),
    "dL/dz": (
        "dL/dz is the gradient of the loss L with respect to z, the numbers that a layer passes to "
        "its activation. |dL/dz| is its length: the root of the sum of all its squares, over all "
        "units and up to 1000 validation images, of which L is the mean loss."
    ),
    "percentage point": "From 85 % to 88 % are 3 percentage points.",
    "cell": "A cell is one combination of settings, with all its seeds.",
}
# Section of the page -> its figures, in order -> how to read them.
CAPTIONS = {
    "study": {
        "sensitivity": (
            "What each learning rate reached while rates were chosen. A wide plateau forgives a "
            "badly chosen rate, a narrow peak does not."
        ),
        "tuned": (
            "The same cells on fresh seeds, at the usual and at the chosen rate: what is left of a "
            "difference between optimizers when each has a rate that suits it."
        ),
        "steps_to_target": (
            "Lower is sooner. Validation comes once an epoch, so the steps are those of whole "
            "epochs."
        ),
        "accuracy_by_depth": "Where a curve falls, the added layers cost more than they give.",
        "batch_sizes": (
            "Small batches take many noisy steps in an epoch, large ones few exact steps: compare "
            "equal numbers of steps, of images, and of seconds."
        ),
        "schedule_gains": (
            "Each row is a schedule minus no schedule, seed by seed. A lower training loss is not "
            "yet a higher accuracy on images that the network has never seen."
        ),
        "differences": (
            "Each row is a cell minus the best one, seed by seed. A hollow dot leaves open which "
            "of the two is better: more seeds would make its interval narrower."
        ),
    },
    "learning": {
        "accuracy_curves": (
            "Higher is better. The scale stretches the top, where the last errors are hard to get "
            "rid of. Where bands overlap widely, the order of their curves may be chance."
        ),
        "loss_curves": (
            "Lower is better. A training loss that falls while the validation accuracy no longer "
            "rises is overfitting."
        ),
        "loss_accuracy": (
            "Where the training loss goes on falling while the validation loss rises, the network "
            "learns its training images by heart."
        ),
        "learning_rate": "The rate that the schedule set in each epoch.",
    },
    "gradients": {
        "gradients_by_layer": (
            "What backpropagation hands to each layer, before anything is learned. In the last "
            "layer it is much the same for all, as they give each class about the same "
            "probability. From there on, a gradient that shrinks by the same factor in each layer "
            "is a straight line. Dotted, where there is a theory, is what it predicts."
        ),
        "gradient_flow": (
            "How large the gradient of the loss is in one more training batch after each epoch: "
            "its absolute value, mean over all weights of a layer. (So it is not |dL/dz|, and also "
            "grows with the inputs of the layer.) A curve per layer. Where the first layers lie "
            "far below the last, plain sgd moves them less; adam and rmsprop scale their steps."
        ),
        "signal": (
            "The gradient as it passes through the layers, from the last to the first. A straight "
            "line on this log axis is a gradient that shrinks by the same factor in each layer."
        ),
        "units": (
            "A dead unit outputs 0 for every image of a fixed set, and gets no gradient from any "
            "of them. Zero gradients, the original sheet's measure, are counted in one batch, "
            "which says nothing about the next. Saturated outputs pass hardly any gradient on."
        ),
        "saturation": (
            "Outputs so close to an end of the range that the function is nearly flat there, and "
            "passes hardly any gradient on."
        ),
        "zero_gradients": (
            "How many of a weight's gradients were exactly 0 in one batch. A unit that is silent "
            "in one batch may speak in the next: this is not the share of dead units."
        ),
        "activations": (
            "Solid: the function. Dashed: its derivative, by which each layer multiplies the "
            "gradient on its way back; where it is far below 1, little is passed on."
        ),
    },
    "inside": {
        "update_ratio": (
            "How far the last step of each epoch moved a layer's weight, as a power of ten: −3 is "
            "0.1 % of the weight, the usual rule of thumb, and −5 is 0.001 %. Far above the rule, "
            "steps are too large to follow the gradient; far below, training is slow."
        ),
        "histogram_activations": (
            "What each layer outputs. A layer whose histogram is narrow can hardly tell its inputs "
            "apart; a peak at an end of the range is saturation."
        ),
        "histogram_gradients": (
            "What comes back to each layer. Histograms that become narrower from the last layer to "
            "the first are vanishing gradients."
        ),
    },
    "numbers": {
        "comparison_grid": "A row per activation, a column per optimizer and its settings.",
    },
}
UNKNOWN = "inside"  # the section of a figure without a caption
NOT_HERE = {"confusion", "most_wrong"}  # the page has a table and images of its own for them


class Picture(NamedTuple):
    """A figure as the page shows it; width is in pixels, at its natural size.

    run is "", or which run it is a figure of; terms has those of TERMS that appear in it.
    """

    name: str
    title: str
    run: str
    caption: str
    terms: list[str]
    width: int
    svg: Markup


def in_sections(
    pictures: dict[str, Picture], study: str | None = None
) -> tuple[dict[str, list[Picture]], list[str]]:
    """Return the pictures of each section, in the order of CAPTIONS, and what other TERMS mean.

    These are in no figure, but the charts of page.js have them. A term is explained below the first
    picture that has it. Section "lead" has the one that answers the question of the study, if there
    is any, which is in no other section. A picture that CAPTIONS does not know comes last in the
    section UNKNOWN.
    """
    sections = {"lead": [], **{section: list(captions) for section, captions in CAPTIONS.items()}}
    known = {name for names in sections.values() for name in names}
    sections[UNKNOWN] += sorted(pictures.keys() - known - NOT_HERE)
    leads = (LEAD_OF_STUDY.get(study), *LEAD)
    for name in [name for name in leads if name in pictures][:1]:
        next(names for names in sections.values() if name in names).remove(name)
        sections["lead"].append(name)
    meanings = dict(TERMS)
    placed: dict[str, list[Picture]] = {section: [] for section in sections}
    for section, names in sections.items():
        for one in [pictures[name] for name in names if name in pictures]:
            new = [meanings.pop(term) for term in one.terms if term in meanings]
            placed[section].append(one._replace(caption=" ".join([one.caption, *new]).strip()))
    return placed, [meanings[term] for term in ("nats", "dL/dz", "cell") if term in meanings]


def picture(name: str, figure: Figure, palette: Palette) -> Picture:
    """Return a figure as a picture; its caption is that in CAPTIONS, "" if there is none."""
    caption = next((captions[name] for captions in CAPTIONS.values() if name in captions), "")
    title, _, run = figure.get_suptitle().partition("\n")
    texts = [caption, in_words(figure), *(text.get_text() for text in figure.texts)]
    terms = [term for term in TERMS if any(term in text for text in texts)]
    svg = inline_svg(figure, f"figure-{name}", in_words(figure), palette)
    width = round(96 * figure.get_figwidth())
    return Picture(name, title, run, caption, terms, width, Markup(svg))


def in_words(figure: Figure) -> str:
    """Return what a figure shows: its title, panels, axes, and legends with their values."""
    panels, axes, legends = [], [], list(figure.legends)
    for ax in figure.axes:
        panels.append(ax.get_title("left") or ax.get_title())
        axes.append(" by ".join(filter(None, (ax.get_ylabel(), ax.get_xlabel()))))
        legends += [ax.get_legend()] if ax.get_legend() else []
    parts = [figure.get_suptitle()]
    for lead, texts in (("Panels", panels), ("Axes", axes)):
        texts = list(dict.fromkeys(text for text in texts if text))
        parts += [f"{lead}: {'; '.join(texts[:12])}"] if texts else []
    for legend in legends:
        entries = [legend.get_title().get_text(), *(text.get_text() for text in legend.get_texts())]
        parts.append("Legend: " + "; ".join(entry for entry in entries if entry))
    return " ".join(". ".join(parts).split())
