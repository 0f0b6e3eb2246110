"""experiments/diagnostic_figures.py: what a reader sees in each figure, from made-up logs."""

import base64
import json
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PolyCollection, QuadMesh
from matplotlib.patches import StepPatch
from scipy import stats

EXPERIMENTS = str(Path(__file__).resolve().parents[2] / "experiments")
if EXPERIMENTS not in sys.path:
    sys.path.insert(0, EXPERIMENTS)

from figures import style as figures  # noqa: E402
from figures.inside import grid_diagnostics, run_diagnostics  # noqa: E402
from nnlite import Config  # noqa: E402
from nnlite.training import train  # noqa: E402

ALWAYS = {"update_ratio", "signal", "histogram_activations", "histogram_gradients", "confusion",
          "most_wrong"}  # fmt: skip
CLASSES = ["T-shirt/top", "Trouser", "Ankle boot"]
CONFUSION = [
    [90, 6, 4],
    [0, 0, 7],
    [0, 0, 0],
]  # a class that is never right, and one without images


pytestmark = pytest.mark.usefixtures("no_warnings")


def make_histogram(low=-1.0, high=3.0, spike=0, seed=0):
    """As in a log; spike is how many numbers are in the first bin beside the others."""
    counts = np.random.default_rng(seed).integers(20, 400, 40)
    counts[0] += spike
    counts[[0, -1]] += counts.sum() // 198  # what lies beyond: 0.5 % on each side
    return {"low": low, "high": high, "counts": counts.tolist()}


def make_image(k):
    return np.random.default_rng(k).integers(0, 256, (6, 6), dtype="uint8")


def make_log(
    activation="relu", optimizer="adam", learning_rate=0.001, scheduler="none", seed=0,
    epochs=4, diverged=0, hidden=(8, 6), dead=5.0, zero=9.0, saturated=20.0, level=1.0, **changes,
):  # fmt: skip
    """A log as nnlite.training writes it; diverged is the epoch of that, or 0.

    dead, zero, saturated: percentages of the first layer. level: a factor of all update ratios.
    """
    shown, layers = diverged or epochs, len(hidden) + 1
    falling = (1 + 0.01 * seed) / np.arange(1, shown + 1)

    def measured(values):
        return [*map(float, values[:-1]), None if diverged else float(values[-1])]

    probe = {}
    for k in range(1, layers + 1):
        probe[f"fc{k}"] = {"gradient_norm": measured(0.01 * 4**k * falling)}
        if k < layers:
            probe[f"act{k}"] = {
                "gradient_norm": measured(falling),
                "dead": measured(dead / falling / k),
            }
        if k < layers and activation in ("sigmoid", "tanh"):
            probe[f"act{k}"]["saturated"] = measured(saturated * k * falling)
    gradients = {
        f"fc{k}.{part}": {"mean_abs": measured(falling),
                          "pct_zero": measured(zero * share / falling / k)}
        for k in range(1, layers + 1) for part, share in (("weight", 1), ("bias", 0.5))
    }  # fmt: skip
    first = {name: make_histogram(seed=i) for i, name in enumerate(probe)}
    last = {name: make_histogram(-2, 2, seed=100 + i) for i, name in enumerate(probe)}
    log = {
        "experiment_id": "a_run",
        "config": {"activation": activation, "optimizer": optimizer, "scheduler": scheduler,
                   "learning_rate": learning_rate, "seed": seed, "epochs": epochs,
                   "batch_size": 128, "init": "uniform", "hidden": list(hidden)},
        "dataset": {"name": "fashion-mnist", "note": "", "classes": CLASSES},
        "diverged": {"epoch": diverged, "step": 7} if diverged else None,
        "epoch": list(range(1, shown + 1)),
        "initial": {"probe": {n: dict.fromkeys(h, 1.5) for n, h in probe.items()},
                    "gradient_stats": {n: dict.fromkeys(h, 2.5 if zero else 0.0)
                                       for n, h in gradients.items()}},
        "gradient_stats": gradients,
        "update_ratio": {f"fc{k}": measured(level * 0.002 * k * falling)
                         for k in range(1, layers + 1)},
        "probe": probe,
        "histograms": {"first": {} if diverged == 1 else first, "last": {} if diverged else last},
        "test_confusion": None if diverged else CONFUSION,
        "most_wrong": [] if diverged else [
            {"row": k, "label": 2, "predicted": 0, "probability": 0.9999 - 0.02 * k,
             "image": base64.b64encode(make_image(k).tobytes()).decode()} for k in range(16)],
    }  # fmt: skip
    for name, start in log["initial"]["probe"].items():
        if name.startswith("act"):
            start["dead"] = 1.0 if dead else 0.0
    return {**log, **changes}


def texts(figure):
    """All that is written in a figure, as one string."""
    found = figure.findobj(lambda artist: hasattr(artist, "get_text"))
    return "\n".join(text.get_text() for text in found)


def curves(ax):
    """The numbers of all curves but guide lines, None where they are NaN."""
    drawn = [line.get_ydata() for line in ax.lines if "thumb" not in str(line.get_label())]
    return [[None if np.isnan(y) else y for y in ys] for ys in drawn]


# Which figures there are


@pytest.mark.parametrize(
    ("settings", "more"),
    [
        ({"activation": "relu"}, {"units"}),
        ({"activation": "relu", "dead": 0}, {"units"}),
        ({"activation": "gelu", "dead": 0, "zero": 0}, set()),
        ({"activation": "tanh", "dead": 0, "zero": 0}, {"saturation"}),
        ({"activation": "sigmoid", "dead": 0, "zero": 0, "saturated": 0}, {"saturation"}),
        ({"activation": "sigmoid"}, {"saturation", "units"}),
    ],
)
def test_a_run_has_its_figures(settings, more):
    assert set(run_diagnostics(make_log(**settings))) == ALWAYS | more


def test_axes_are_labelled_with_units_and_scaled_as_promised():
    drawn = run_diagnostics(make_log("tanh"))
    axes = {
        name: [(ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) for ax in drawn[name].axes]
        for name in drawn
    }
    start = "epoch (0: before training)"
    assert axes["update_ratio"] == [("epoch", "log10(|update| / |weight|)", "linear")]
    assert axes["signal"] == [(start, "norm of dL/dz (nats)", "log"), ("layer", "", "log")]
    assert axes["units"] == [(start, "dead units (%)", "linear"),
                             (start, "zero gradients (%)", "linear")]  # fmt: skip
    assert axes["saturation"] == [(start, "saturated outputs (%)", "linear")]
    assert axes["histogram_activations"][0] == ("output a", "density", "log")
    assert axes["histogram_gradients"][0] == ("dL/dz (nats)", "density", "log")
    assert axes["confusion"] == [("predicted class", "true class", "linear")]


def test_a_real_log_has_all_that_the_figures_need(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "DPI", 30)  # small pictures are drawn sooner
    for activation in ("relu", "tanh"):
        (log,) = train([Config(activation, "sgd", 0.1, epochs=2, hidden=(8, 6))], tiny)
        log = json.loads(json.dumps(log))
        drawn = run_diagnostics(log)
        assert set(drawn) >= ALWAYS and ("saturation" in drawn) == (activation == "tanh")
        figures.save(drawn | grid_diagnostics([log]), tmp_path)
        (left, _) = drawn["signal"].axes
        assert left.lines[0].get_ydata()[1:] == pytest.approx(log["probe"]["fc1"]["gradient_norm"])


# One run: update ratios, gradients, units


def test_update_ratios_are_drawn_as_log10():
    log = make_log()
    log["update_ratio"]["fc2"] = [0.1, 1e-3, 1e-7, 1.0]
    (ax,) = run_diagnostics(log)["update_ratio"].axes
    assert curves(ax)[1] == pytest.approx([-1, -3, -7, 0])
    assert curves(ax)[0] == pytest.approx(np.log10(log["update_ratio"]["fc1"]))
    assert list(ax.lines[0].get_xdata()) == log["epoch"]
    labels = [line.get_label() for line in ax.lines]
    assert labels == ["fc1", "fc2", "fc3", "−3: rule of thumb\n(A. Karpathy)"]


@pytest.mark.parametrize("level", [1e-6, 1.0, 1e6])
def test_the_guide_line_is_at_minus_3_and_always_seen(level):
    for drawn in (run_diagnostics, lambda log: grid_diagnostics([log])):
        figure = drawn(make_log(level=level))["update_ratio"]
        for ax in figure.axes:
            (guide,) = (line for line in ax.lines if "thumb" in str(line.get_label()))
            assert list(guide.get_ydata()) == [-3, -3]
            bottom, top = ax.get_ylim()
            assert bottom < -3 < top
        assert "Karpathy" in figure.legends[0].get_texts()[-1].get_text()


def test_where_nothing_moved_there_is_no_ratio_to_draw():
    log = make_log()
    log["update_ratio"] = {"fc1": [0.01, 0.0, 0.0, None], "fc2": [0.0] * 4, "fc3": [None] * 4}
    (ax,) = run_diagnostics(log)["update_ratio"].axes
    assert curves(ax) == [[-2, None, None, None], [None] * 4, [None] * 4]
    log["update_ratio"]["fc1"] = [0.0] * 4
    assert "update_ratio" not in run_diagnostics(log)
    assert "update_ratio" not in grid_diagnostics([log])


def test_gradients_are_drawn_by_epoch_and_by_layer():
    log = make_log()
    for k, norm in enumerate((3e-4, 0.02, 1.0), start=1):
        log["initial"]["probe"][f"fc{k}"]["gradient_norm"] = norm
    left, right = run_diagnostics(log)["signal"].axes
    for k, line in enumerate(left.lines, start=1):
        norms = [log["initial"]["probe"][f"fc{k}"]["gradient_norm"]]
        norms += log["probe"][f"fc{k}"]["gradient_norm"]
        assert line.get_ydata() == pytest.approx(norms)
        assert list(line.get_xdata()) == [0, 1, 2, 3, 4]
    before, after = right.lines
    assert (before.get_label(), after.get_label()) == ("before training", "after epoch 4")
    assert before.get_ydata() == pytest.approx([3e-4, 0.02, 1.0])
    assert after.get_ydata() == pytest.approx([0.01, 0.04, 0.16])  # 0.01 4^k / 4
    assert list(after.get_xdata()) == [1, 2, 3]
    assert left.get_xlim()[0] < 0 and left.get_ylim() == right.get_ylim()


def test_dead_units_are_beside_zero_gradients_on_the_same_scale():
    log = make_log(dead=3.0, zero=12.0)
    left, right = run_diagnostics(log)["units"].axes
    assert curves(left) == [pytest.approx([1.0, *(3.0 * e / k for e in range(1, 5))])
                            for k in (1, 2)]  # fmt: skip
    assert curves(right) == [pytest.approx([2.5, *(12.0 * e / k for e in range(1, 5))])
                             for k in (1, 2, 3)]  # fmt: skip
    assert left.get_ylim() == right.get_ylim() and left.get_ylim()[1] > 48
    looks = [[(tuple(line.get_color()), line.get_marker()) for line in ax.lines]
             for ax in (left, right)]  # fmt: skip
    assert looks[0] == looks[1][:2]


def test_saturated_outputs():
    (ax,) = run_diagnostics(make_log("tanh", saturated=30.0))["saturation"].axes
    assert curves(ax) == [pytest.approx([1.5, *(30.0 * k / e for e in range(1, 5))])
                          for k in (1, 2)]  # fmt: skip


# Histograms


def outlines(ax):
    """Heights and edges of the histograms of a panel: first epoch, last epoch."""
    return [patch.get_data() for patch in ax.patches if isinstance(patch, StepPatch)]


def test_histograms_are_densities_of_what_lies_within():
    sample = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000, 0, 2)
    low, high = np.quantile(sample, [0.005, 0.995])
    counts, _ = np.histogram(sample.clip(low, high), bins=40)
    log = make_log()
    log["histograms"]["last"]["act2"] = {"low": low, "high": high, "counts": counts.tolist()}
    ax = run_diagnostics(log)["histogram_activations"].axes[1]
    assert ax.get_title("left") == "act2" and ax.get_yscale() == "log"
    _, (heights, edges, _) = outlines(ax)
    assert (edges[0], edges[-1], len(edges)) == pytest.approx((low, high, 41))
    # The true density in the middle of each bin, also of the outermost, which hold 100 outliers.
    expected = stats.norm.pdf((edges[1:] + edges[:-1]) / 2, 0, 2)
    assert heights == pytest.approx(expected, rel=0.05)
    assert (heights * np.diff(edges)).sum() == pytest.approx(0.99, abs=1e-3)


@pytest.mark.parametrize(("name", "kind", "layers"), [
    ("histogram_activations", "act", 2), ("histogram_gradients", "fc", 3),
])  # fmt: skip
def test_histograms_of_first_and_last_epoch(name, kind, layers):
    log = make_log("gelu")
    figure = run_diagnostics(log)[name]
    assert [ax.get_title("left") for ax in figure.axes] == [f"{kind}{k + 1}" for k in range(layers)]
    for ax in figure.axes:
        layer = ax.get_title("left")
        for end, (heights, edges, _) in zip(("first", "last"), outlines(ax), strict=True):
            histogram = log["histograms"][end][layer]
            counts = np.array(histogram["counts"])
            width = (histogram["high"] - histogram["low"]) / 40
            assert heights[1:-1] == pytest.approx(counts[1:-1] / counts.sum() / width)
            assert (edges[0], edges[-1]) == (histogram["low"], histogram["high"])
        first, last = ax.patches
        assert first.get_fill() and not last.get_fill()
        assert last.get_edgecolor()[:3] == pytest.approx(rgb(figures.ACTIVATION_COLORS["gelu"]))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["first", "last"]


def rgb(color):
    return [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def test_the_spike_of_relu_leaves_the_rest_readable():
    log = make_log()
    for end in log["histograms"].values():
        end["act1"] = make_histogram(0, 4, spike=100_000)
    ax = run_diagnostics(log)["histogram_activations"].axes[0]
    (heights, *_), _ = outlines(ax)
    others = ax.transData.transform([(1, h) for h in (heights[1:].min(), heights[1:].max())])[:, 1]
    assert np.ptp(others) > 0.25 * ax.get_window_extent().height
    assert ax.get_ylim()[0] < heights.min() and ax.get_ylim()[1] > heights.max()


def test_numbers_that_are_all_the_same_have_no_density():
    log = make_log()
    one_bin = {"low": -0.5, "high": 0.5, "counts": [0] * 20 + [500] + [0] * 19}
    log["histograms"]["first"]["fc2"] = log["histograms"]["last"]["fc2"] = one_bin
    axes = run_diagnostics(log)["histogram_gradients"].axes
    assert ["all the same" in [t.get_text() for t in ax.texts] for ax in axes] == [
        False,
        True,
        False,
    ]
    assert not len(axes[1].get_yticks())


# Confusion and wrong images


def test_the_confusion_matrix_is_in_percent_of_its_rows():
    (ax,) = run_diagnostics(make_log())["confusion"].axes
    cells = {(int(y), int(x)): text.get_text()
             for text in ax.texts for x, y in [text.get_position()]}  # fmt: skip
    # A share that is 0 is left blank, unless it is what the class has right.
    assert cells == {(0, 0): "90", (0, 1): "6.0", (0, 2): "4.0", (1, 1): "0", (1, 2): "100",
                     (2, 2): "0"}  # fmt: skip
    assert [label.get_text() for label in ax.get_xticklabels()] == CLASSES
    assert [label.get_text() for label in ax.get_yticklabels()] == CLASSES
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first class is on top


def test_only_errors_are_coloured():
    (ax,) = run_diagnostics(make_log())["confusion"].axes
    (mesh,) = ax.findobj(QuadMesh)
    shades = np.ma.masked_invalid(mesh.get_array())
    assert (shades.mask == np.eye(3, dtype=bool)).all()
    assert shades[1, 2] == 100 and shades[0, 1] == pytest.approx(6)
    red, green, blue, _ = mesh.to_rgba(100.0)  # black on the darkest of them can be read
    assert 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.4


@pytest.mark.parametrize("number", [1, 5, 16])
def test_the_most_wrong_images(number):
    log = make_log()
    del log["most_wrong"][number:]
    (ax,) = run_diagnostics(log)["most_wrong"].axes
    assert len(ax.images) == len(ax.texts) == number
    for k, image in enumerate(ax.images):
        assert (image.get_array() == make_image(k)).all()
        left, right, bottom, top = image.get_extent()
        assert right - left == bottom - top == 1  # square, and upright
    assert ax.texts[0].get_text() == "Ankle boot → T-shirt/top\n99.99 %"
    if number > 1:
        assert ax.texts[1].get_text().endswith("\n97.99 %")
        assert ax.images[1].get_extent()[0] > ax.images[0].get_extent()[1]
    if number > 4:
        assert ax.images[4].get_extent()[3] > ax.images[0].get_extent()[2]


def test_a_probability_is_never_rounded_to_1():
    log = make_log()
    log["most_wrong"][0]["probability"] = 0.99999
    (ax,) = run_diagnostics(log)["most_wrong"].axes
    assert ax.texts[0].get_text().endswith("\n> 99.99 %")


def test_a_network_that_makes_no_mistake_has_no_such_sheet():
    log = make_log(most_wrong=[], test_confusion=np.diag([5, 5, 5]).tolist())
    assert set(run_diagnostics(log)) == ALWAYS - {"most_wrong"} | {"units"}


# Divergence


@pytest.mark.parametrize(("epoch", "names"), [
    (1, {"signal", "units", "saturation"}),
    (3, {"signal", "units", "saturation", "update_ratio", "histogram_activations",
         "histogram_gradients"}),
])  # fmt: skip
def test_a_run_that_diverged_is_drawn_as_far_as_it_went(epoch, names, tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "DPI", 30)
    drawn = run_diagnostics(make_log("tanh", "sgd", diverged=epoch))
    assert set(drawn) == names
    for name, figure in drawn.items():
        assert f"diverged at epoch {epoch}" in texts(figure), name
    left, right = drawn["signal"].axes
    assert curves(left)[0] == [1.5, *([0.04, 0.02][: epoch - 1]), None]
    labels = [line.get_label() for line in right.lines]
    assert labels == ["before training", "after epoch 2"][: 2 if epoch == 3 else 1]
    if epoch == 3:
        for name in ("histogram_activations", "histogram_gradients"):
            assert [len(outlines(ax)) for ax in drawn[name].axes] == [1] * len(drawn[name].axes)
            assert [t.get_text() for t in drawn[name].legends[0].get_texts()] == ["first"]
    figures.save(drawn, tmp_path)


def test_divergence_is_told_in_the_figures_of_the_grid():
    logs = [make_log(), make_log("tanh", seed=1, diverged=2), make_log("tanh", seed=2)]
    for figure in grid_diagnostics(logs).values():
        assert "1 of 2 seeds diverged at epoch 2" in texts(figure).replace("\n", " ")
    bad = make_log("elu", dead=0, zero=0, diverged=1)
    bad["initial"]["probe"] = {n: dict.fromkeys(h, 0.0) for n, h in bad["probe"].items()}
    assert grid_diagnostics([bad]) == {}


# All cells


def test_update_ratios_of_seeds_are_a_mean_in_a_band():
    logs = [make_log(seed=seed, level=level) for seed, level in enumerate((1.0, 3.0, 0.1))]
    logs += [make_log("tanh", "sgd", level=2.0)]
    figure = grid_diagnostics(logs)["update_ratio"]
    assert [ax.get_title() for ax in figure.axes] == ["tanh\nsgd", "relu\nadam"]
    tanh, relu = figure.axes
    ratios = np.log10([log["update_ratio"]["fc2"] for log in logs[:3]])
    half = stats.t.ppf(0.975, df=2) * ratios.std(axis=0, ddof=1) / np.sqrt(3)
    assert curves(relu)[1] == pytest.approx(ratios.mean(axis=0))
    band = relu.findobj(PolyCollection)[1].get_paths()[0].vertices
    ends = [y for x, y in band if x == 4]
    middle = ratios.mean(axis=0)[3]
    assert (min(ends), max(ends)) == pytest.approx((middle - half[3], middle + half[3]))
    assert curves(tanh)[2] == pytest.approx(np.log10(logs[3]["update_ratio"]["fc3"]))
    assert not tanh.findobj(PolyCollection)
    assert "mean of 1 to 3 seeds, 95 % t-interval" in texts(figure)
    assert relu.get_ylim() == tanh.get_ylim()


def test_dead_zero_and_saturated_of_each_cell_at_the_end():
    logs = [make_log("relu", seed=seed, dead=dead) for seed, dead in enumerate((2.0, 4.0, 9.0))]
    logs += [make_log("tanh", dead=0, zero=0, saturated=40.0)]
    figure = grid_diagnostics(logs)["units"]
    titles = [ax.get_xlabel() for ax in figure.axes]
    assert titles == ["dead units (%)", "zero gradients (%)", "saturated outputs (%)"]
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert rows == ["tanh + adam", "relu + adam"]
    dead, _, saturated = figure.axes
    ends = 4 * np.array([2.0, 4.0, 9.0]) / (1 + 0.01 * np.arange(3))
    assert dead.lines[0].get_xdata() == pytest.approx([0, ends.mean()])
    assert dead.lines[1].get_xdata() == pytest.approx([0, ends.mean() / 2])
    half = stats.t.ppf(0.975, df=2) * ends.std(ddof=1) / np.sqrt(3)
    bars = dead.findobj(LineCollection)[0].get_segments()
    assert bars[-1][:, 0] == pytest.approx([ends.mean() - half, ends.mean() + half])
    assert saturated.lines[0].get_xdata() == pytest.approx([10, np.nan], nan_ok=True)
    assert dead.lines[0].get_ydata() == pytest.approx([0, 1], abs=0.5)
    assert dead.get_xlim()[0] < 0 and dead.get_xlim() == saturated.get_xlim()


def test_a_run_that_diverged_counts_with_its_last_measurement():
    dead, _ = grid_diagnostics([make_log(dead=3.0, diverged=3)])["units"].axes
    assert dead.lines[0].get_xdata() == pytest.approx([6.0])


def test_what_does_not_occur_has_no_panel():
    logs = [make_log("gelu", dead=0), make_log("elu", dead=0)]
    (ax,) = grid_diagnostics(logs)["units"].axes
    assert ax.get_xlabel() == "zero gradients (%)"
    assert set(grid_diagnostics([make_log("gelu", dead=0, zero=0)])) == {"update_ratio"}


@pytest.mark.parametrize(("cells", "names"), [
    (1, {"update_ratio", "units"}), (15, {"update_ratio", "units"}), (16, {"units"}), (41, set()),
])  # fmt: skip
def test_only_what_can_be_read_is_drawn(cells, names):
    logs = [make_log(learning_rate=0.001 * (k + 1)) for k in range(cells)]
    drawn = grid_diagnostics(logs)
    assert set(drawn) == names
    for figure in drawn.values():
        assert max(figure.get_size_inches()) < 21


# Nothing is covered, nothing is cut off, nothing breaks


OPTIMIZERS = ["sgd_momentum", "rmsprop", "adam"]
CASES = {
    "usual": [make_log()],
    "one hidden layer": [make_log("tanh", hidden=(8,))],
    "ten hidden layers": [make_log("sigmoid", hidden=(8,) * 10)],
    "very deep": [make_log("tanh", hidden=(8,) * 16, diverged=2)],
    "depths": [make_log("elu", hidden=(8,) * depth) for depth in (1, 5, 10)],
    "long names": [
        make_log("leaky_relu", "sgd_momentum", rate, "exponential", 123456, hidden=hidden)
        for rate in (0.00015, 0.1) for hidden in [(8, 6), (128, 64, 32)]
    ],
    "fifteen": [make_log(a, o) for a, o in product(list(figures.ACTIVATIONS)[:5], OPTIMIZERS)],
    "seeds that diverged": [make_log("gelu", seed=s, diverged=2 * (s > 1)) for s in range(4)],
    "one epoch": [make_log(epochs=1)],
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_legends_cover_nothing_and_nothing_is_cut_off(case):
    drawn = {**run_diagnostics(CASES[case][0])}
    drawn |= {f"all {name}": figure for name, figure in grid_diagnostics(CASES[case]).items()}
    for name, figure in drawn.items():
        (left, bottom), (right, top) = figure.get_tightbbox().get_points()  # around all, in inches
        width, height = figure.get_size_inches()
        assert min(left, bottom, width - right, height - top) > -0.01, name
        titles = [text.get_window_extent() for text in figure.texts if text.get_text()]
        axes = [ax.get_window_extent() for ax in figure.axes]
        above = [
            title.get_window_extent() for ax in figure.axes
            for title in (ax.title, ax._left_title) if title.get_text()
        ]  # fmt: skip
        below = [ax.xaxis.label.get_window_extent() for ax in figure.axes if ax.get_xlabel()]
        for legend in (legend.get_window_extent() for legend in figure.legends):
            assert not any(legend.overlaps(other) for other in [*titles, *axes]), name
        for i, title in enumerate(titles):
            assert not any(title.overlaps(other) for other in titles[:i] + above + below), name
        for i, text in enumerate(above):
            assert not any(text.overlaps(other) for other in above[:i] + below + axes), name


def test_odd_numbers_neither_break_nor_warn(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "DPI", 30)
    gaps = make_log()
    for series in (gaps["probe"]["fc1"]["gradient_norm"], gaps["update_ratio"]["fc2"]):
        series[1:3] = [None, 0.0]
    vanished = make_log("sigmoid", hidden=(4,) * 10, dead=0, zero=0, saturated=0)
    for k in range(1, 12):
        vanished["probe"][f"fc{k}"]["gradient_norm"] = [1e-40] * 4
        histogram = {"low": -1e-42, "high": 1e-42, "counts": [1] * 40}
        vanished["histograms"]["first"][f"fc{k}"] = histogram
    nothing = make_log("tanh", dead=100.0)
    for history in nothing["probe"].values():
        history["gradient_norm"] = [0.0] * 4
    nothing["initial"]["probe"] = {
        name: dict.fromkeys(start, 0.0) for name, start in nothing["initial"]["probe"].items()
    }
    assert "signal" not in run_diagnostics(nothing)
    logs = [gaps, vanished, nothing, make_log("elu", epochs=1)]
    for log in logs:
        figures.save(run_diagnostics(log), tmp_path)
    figures.save(grid_diagnostics(logs), tmp_path)


def test_every_figure_says_when_the_data_are_the_digits():
    log = make_log(
        "tanh", dataset={"name": "digits", "note": "not the real ones", "classes": CLASSES}
    )
    for figure in [*run_diagnostics(log).values(), *grid_diagnostics([log]).values()]:
        assert "digits, not Fashion-MNIST" in texts(figure)


def test_layers_look_as_in_the_other_figures():
    (ax,) = run_diagnostics(make_log(hidden=(8,) * 5))["update_ratio"].axes
    names = [f"fc{k}" for k in range(1, 7)]
    log = {"gradient_stats": {f"{n}.weight": {"mean_abs": [1.0, 2.0]} for n in names}}
    others = figures.draw_layers(figures.Figure().subplots(), [log], "mean_abs")
    assert [(tuple(line.get_color()), line.get_marker()) for line in ax.lines[:-1]] == [
        (tuple(line.get_color()), line.get_marker()) for line in others
    ]


def test_the_order_of_the_logs_does_not_matter():
    logs = [make_log("relu", seed=1), make_log("tanh"), make_log("relu", "sgd"), make_log("relu")]
    for one, other in zip(*(grid_diagnostics(order).values() for order in (logs, logs[::-1]))):
        assert texts(one) == texts(other)
        for ax, same in zip(one.axes, other.axes, strict=True):
            assert curves(ax) == [pytest.approx(values) for values in curves(same)]
