"""experiments/figures/run.py: what a reader sees in the figures of one run."""

import json

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import StepPatch
from scipy import stats

from builders import CLASSES, LONG_NAMES, make_histogram, make_image, make_log, many_classes
from figures import run
from figures.inside import grid_diagnostics
from figures.run import run_figures
from figures.style import save
from findings.sweep import Sweep, color_of
from nnlite import ACTIVATIONS, OPTIMIZERS, Config
from nnlite.training import train
from seen import check_layout, curves, look, texts

ALWAYS = {
    "loss_accuracy",
    "gradient_flow",
    "update_ratio",
    "signal",
    "histogram_activations",
    "histogram_gradients",
    "confusion",
    "most_wrong",
}


# Which figures there are


@pytest.mark.parametrize(
    ("settings", "more"),
    [
        ({"activation": "relu"}, {"units", "zero_gradients"}),
        ({"activation": "relu", "dead": 0}, {"units", "zero_gradients"}),
        ({"activation": "leaky_relu", "dead": 0, "zero": 0}, {"zero_gradients"}),
        (
            {"activation": "elu", "dead": 0, "zero": 0, "scheduler": "cosine"},
            {"zero_gradients", "learning_rate"},
        ),
        ({"activation": "gelu", "dead": 0, "zero": 0}, set()),
        ({"activation": "gelu", "dead": 0, "zero": 0, "scheduler": "step"}, {"learning_rate"}),
        ({"activation": "tanh", "dead": 0, "zero": 0}, {"saturation"}),
        ({"activation": "sigmoid", "dead": 0, "zero": 0, "saturated": 0}, {"saturation"}),
        ({"activation": "sigmoid"}, {"saturation", "units"}),
    ],
)
def test_a_run_has_its_figures(settings, more):
    assert set(run_figures(make_log(**settings))) == ALWAYS | more


def axes_of(figures):
    return {
        name: [(ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) for ax in figure.axes]
        for name, figure in figures.items()
    }


def test_axes_are_labelled_with_units_and_scaled_as_promised():
    axes = axes_of(run_figures(make_log(scheduler="cosine")))
    assert axes["loss_accuracy"] == [
        ("epoch", "cross-entropy (nats)", "linear"),
        ("epoch", "validation accuracy (%)", "linear"),
    ]
    assert axes["learning_rate"] == [("epoch", "learning rate (unitless)", "log")]
    assert axes["gradient_flow"] == [
        ("epoch", "mean |gradient| (nats)", "log"),
        ("layer", "", "log"),
    ]
    assert axes["zero_gradients"] == [("epoch", "share of zero gradients (%)", "linear")]

    axes = axes_of(run_figures(make_log("tanh")))
    start = "epoch (0: before training)"
    assert axes["update_ratio"] == [("epoch", "log10(|update| / |weight|)", "linear")]
    assert axes["signal"] == [(start, "|dL/dz| (nats)", "log"), ("layer", "", "log")]
    assert axes["units"] == [
        (start, "dead units (%)", "linear"),
        (start, "zero gradients (%)", "linear"),
    ]
    assert axes["saturation"] == [(start, "saturated outputs (%)", "linear")]
    assert axes["histogram_activations"][0] == ("output a", "density", "log")
    assert axes["histogram_gradients"][0] == ("dL/dz (nats)", "density", "log")
    assert axes["confusion"] == [("predicted class", "true class", "linear")]


def test_a_real_log_has_all_that_the_figures_need(tiny, tmp_path, coarse):
    for activation in ("relu", "tanh"):
        (log,) = train([Config(activation, "sgd", 0.1, epochs=2, hidden=(8, 6))], tiny)
        log = json.loads(json.dumps(log))
        drawn = run_figures(log)
        assert set(drawn) >= ALWAYS and ("saturation" in drawn) == (activation == "tanh")
        save(drawn | grid_diagnostics(Sweep.of([log])), tmp_path)
        (left, _) = drawn["signal"].axes
        assert left.lines[0].get_ydata()[1:] == pytest.approx(log["probe"]["fc1"]["gradient_norm"])


def test_curves_show_the_logged_numbers():
    log = make_log(scheduler="step")
    run = run_figures(log)
    training, validation = run["loss_accuracy"].axes[0].lines
    accuracy, best = run["loss_accuracy"].axes[1].lines
    (rate,) = run["learning_rate"].axes[0].lines
    for line, key in [
        (training, "train_loss"),
        (validation, "val_loss"),
        (accuracy, "val_accuracy"),
        (rate, "learning_rate"),
    ]:
        assert line.get_xdata().tolist() == log["epoch"]
        assert line.get_ydata() == pytest.approx(log[key], abs=0)
    assert (best.get_xdata(), best.get_ydata()) == ([4], [log["val_accuracy"][3]])
    assert "best: 95.00 % at epoch 4" in texts(run["loss_accuracy"])


def test_layers_are_weights_in_order_and_the_last_epoch_is_drawn_for_each():
    log = make_log(hidden=(8,) * 4)
    run = run_figures(log)
    left, right = run["gradient_flow"].axes
    names = [f"fc{k}" for k in range(1, 6)]
    assert [line.get_label() for line in left.lines] == names
    assert [label.get_text() for label in right.get_xticklabels()] == names
    for line, dot, name in zip(left.lines, right.lines, names, strict=True):
        values = log["gradient_stats"][f"{name}.weight"]["mean_abs"]
        assert line.get_ydata() == pytest.approx(values, abs=0)
        assert dot.get_ydata() == pytest.approx(values[-1:], abs=0)
        assert tuple(dot.get_color()) == tuple(line.get_color())
        assert dot.get_marker() == line.get_marker()
    shares = run["zero_gradients"].axes[0].lines[0].get_ydata()
    assert shares == pytest.approx(log["gradient_stats"]["fc1.weight"]["pct_zero"], abs=0)


def test_layers_wear_no_activation_s_colour():
    lines = run.gradient_flow(make_log(hidden=(8,) * 5)).axes[0].lines
    for red, green, blue, _ in (line.get_color() for line in lines):
        assert red == green == blue
    assert len({line.get_marker() for line in lines}) == 6


# One run: update ratios, gradients, units


def test_update_ratios_are_drawn_as_log10():
    log = make_log()
    log["update_ratio"]["fc2"] = [0.1, 1e-3, 1e-7, 1.0]
    (ax,) = run.update_ratio(log).axes
    assert curves(ax)[1] == pytest.approx([-1, -3, -7, 0])
    assert curves(ax)[0] == pytest.approx(np.log10(log["update_ratio"]["fc1"]))
    assert list(ax.lines[0].get_xdata()) == log["epoch"]
    labels = [line.get_label() for line in ax.lines]
    assert labels == ["fc1", "fc2", "fc3", "−3: rule of thumb\n(A. Karpathy)"]


@pytest.mark.parametrize("level", [1e-6, 1.0, 1e6])
def test_the_guide_line_is_at_minus_3_and_always_seen(level):
    log = make_log(ratio=level)
    for figure in (run.update_ratio(log), grid_diagnostics(Sweep.of([log]))["update_ratio"]):
        for ax in figure.axes:
            (guide,) = (line for line in ax.lines if "thumb" in str(line.get_label()))
            assert list(guide.get_ydata()) == [-3, -3]
            bottom, top = ax.get_ylim()
            assert bottom < -3 < top
        assert "Karpathy" in figure.legends[0].get_texts()[-1].get_text()


def test_where_nothing_moved_there_is_no_ratio_to_draw():
    log = make_log()
    log["update_ratio"] = {"fc1": [0.01, 0.0, 0.0, None], "fc2": [0.0] * 4, "fc3": [None] * 4}
    (ax,) = run.update_ratio(log).axes
    assert curves(ax) == [[-2, None, None, None], [None] * 4, [None] * 4]
    log["update_ratio"]["fc1"] = [0.0] * 4
    assert "update_ratio" not in run_figures(log)
    assert "update_ratio" not in grid_diagnostics(Sweep.of([log]))


def test_gradients_are_drawn_by_epoch_and_by_layer():
    log = make_log()
    for k, norm in enumerate((3e-4, 0.02, 1.0), start=1):
        log["initial"]["probe"][f"fc{k}"]["gradient_norm"] = norm
    left, right = run.signal(log).axes
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
    left, right = run.units(log).axes
    assert curves(left) == [
        pytest.approx([1.0, *(3.0 * e / k for e in range(1, 5))]) for k in (1, 2)
    ]
    assert curves(right) == [
        pytest.approx([2.5, *(12.0 * e / k for e in range(1, 5))]) for k in (1, 2, 3)
    ]
    assert left.get_ylim() == right.get_ylim() and left.get_ylim()[1] > 48
    looks = [
        [(tuple(line.get_color()), line.get_marker()) for line in ax.lines] for ax in (left, right)
    ]
    assert looks[0] == looks[1][:2]


def test_saturated_outputs():
    (ax,) = run.saturation(make_log("tanh", saturated=30.0)).axes
    assert curves(ax) == [
        pytest.approx([1.5, *(30.0 * k / e for e in range(1, 5))]) for k in (1, 2)
    ]


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
    ax = run_figures(log)["histogram_activations"].axes[1]
    assert ax.get_title("left") == "act2" and ax.get_yscale() == "log"
    _, (heights, edges, _) = outlines(ax)
    assert (edges[0], edges[-1], len(edges)) == pytest.approx((low, high, 41))
    # The true density in the middle of each bin, also of the outermost, which hold 100 outliers.
    expected = stats.norm.pdf((edges[1:] + edges[:-1]) / 2, 0, 2)
    assert heights == pytest.approx(expected, rel=0.05)
    assert (heights * np.diff(edges)).sum() == pytest.approx(0.99, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "kind", "layers"),
    [
        ("histogram_activations", "act", 2),
        ("histogram_gradients", "fc", 3),
    ],
)
def test_histograms_of_first_and_last_epoch(name, kind, layers):
    log = make_log("gelu")
    figure = run_figures(log)[name]
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
        assert last.get_edgecolor()[:3] == pytest.approx(to_rgb(color_of("gelu")))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["first", "last"]


def test_the_spike_of_relu_leaves_the_rest_readable():
    log = make_log()
    for end in log["histograms"].values():
        end["act1"] = make_histogram(0, 4, spike=100_000)
    ax = run_figures(log)["histogram_activations"].axes[0]
    (heights, *_), _ = outlines(ax)
    others = ax.transData.transform([(1, h) for h in (heights[1:].min(), heights[1:].max())])[:, 1]
    assert np.ptp(others) > 0.25 * ax.get_window_extent().height
    assert ax.get_ylim()[0] < heights.min() and ax.get_ylim()[1] > heights.max()


def test_numbers_that_are_all_the_same_have_no_density():
    log = make_log()
    one_bin = {"low": -0.5, "high": 0.5, "counts": [0] * 20 + [500] + [0] * 19}
    log["histograms"]["first"]["fc2"] = log["histograms"]["last"]["fc2"] = one_bin
    axes = run_figures(log)["histogram_gradients"].axes
    assert ["all the same" in [t.get_text() for t in ax.texts] for ax in axes] == [
        False,
        True,
        False,
    ]
    assert not len(axes[1].get_yticks())


# Confusion and wrong images


def test_the_confusion_matrix_is_in_percent_of_its_rows():
    (ax,) = run.confusion(make_log()).axes
    cells = {
        (int(y), int(x)): text.get_text() for text in ax.texts for x, y in [text.get_position()]
    }
    # A share that is 0 is left blank, unless it is what the class has right.
    assert cells == {
        (0, 0): "90",
        (0, 1): "6.0",
        (0, 2): "4.0",
        (1, 1): "0",
        (1, 2): "100",
        (2, 2): "0",
    }
    assert [label.get_text() for label in ax.get_xticklabels()] == CLASSES
    assert [label.get_text() for label in ax.get_yticklabels()] == CLASSES
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first class is on top


def test_only_errors_are_coloured():
    (ax,) = run.confusion(make_log()).axes
    (mesh,) = ax.findobj(QuadMesh)
    shades = np.ma.masked_invalid(mesh.get_array())
    assert (shades.mask == np.eye(3, dtype=bool)).all()
    assert shades[1, 2] == 100 and shades[0, 1] == pytest.approx(6)
    red, green, blue, _ = mesh.to_rgba(100.0)  # black on the darkest of them can be read
    assert 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.4


@pytest.mark.parametrize("classes", [21, 1000])
def test_of_many_classes_the_most_confused_are_shown(classes):
    log = many_classes(classes)
    log["test_confusion"][18][3], log["test_confusion"][4][20] = 30, 40
    (ax,) = run.confusion(log).axes
    names = [label.get_text() for label in ax.get_xticklabels()]
    assert len(names) == 21 and len(ax.get_yticks()) == 20
    numbers = [name[-9:].split("_")[0] for name in names[:-1]]
    assert names[-1] == "other classes"
    assert all(len(line) <= 24 for name in names for line in name.split("\n"))
    assert f"the 20 most confused of {classes:,} classes" in texts(ax.figure)
    counts = np.array(log["test_confusion"])
    shown = run.most_confused(counts)
    assert {3, 4, 18, 20} <= set(shown) and len(numbers) == 20
    written = {(int(t.get_position()[1]), int(t.get_position()[0])): t.get_text() for t in ax.texts}
    row, share = shown.index(4), 100 * counts[4] / counts[4].sum()
    assert float(written[row, shown.index(20)]) == pytest.approx(share[20], abs=0.5)
    others = np.delete(share, shown).sum()
    assert float(written.get((row, 20), 0)) == pytest.approx(others, abs=0.5)


@pytest.mark.parametrize("number", [1, 5, 16])
def test_the_most_wrong_images(number):
    log = make_log()
    del log["most_wrong"][number:]
    (ax,) = run.most_wrong(log).axes
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
    (ax,) = run.most_wrong(log).axes
    assert ax.texts[0].get_text().endswith("\n> 99.99 %")


def test_a_network_that_makes_no_mistake_has_no_such_sheet():
    log = make_log(most_wrong=[], test_confusion=np.diag([5, 5, 5]).tolist())
    assert set(run_figures(log)) == ALWAYS - {"most_wrong"} | {"units", "zero_gradients"}


# Divergence


@pytest.mark.parametrize(
    ("epoch", "names"),
    [
        (1, {"signal", "units", "saturation"}),
        (
            3,
            {
                "signal",
                "units",
                "saturation",
                "update_ratio",
                "histogram_activations",
                "histogram_gradients",
            },
        ),
    ],
)
def test_a_run_that_diverged_is_drawn_as_far_as_it_went(epoch, names, tmp_path, coarse):
    drawn = run_figures(make_log("tanh", "sgd", diverged=epoch))
    assert set(drawn) == names | {"loss_accuracy", "gradient_flow"}
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
    save(drawn, tmp_path)


@pytest.mark.parametrize("epoch", [1, 3])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_divergence_is_shown_in_every_figure(activation, epoch):
    for name, figure in run_figures(make_log(activation, "sgd", diverged=epoch)).items():
        assert f"diverged at epoch {epoch}" in texts(figure), name


def test_divergence_leaves_the_epoch_before_it_to_compare_layers():
    _, right = run.gradient_flow(make_log("relu", "sgd", diverged=3)).axes
    assert right.get_title("left") == "at epoch 2"
    assert all(np.isfinite(dot.get_ydata()).all() for dot in right.lines)


# The same look, nothing covered, nothing cut off, nothing breaks


def test_the_curve_looks_as_its_cell():
    for activation, optimizer in zip(ACTIVATIONS, [*OPTIMIZERS, "adam"]):
        log = make_log(activation, optimizer)
        (cell,) = Sweep.of([log]).cells
        line = run.loss_accuracy(log).axes[0].lines[0]
        assert look(line) == look(Line2D([], [], color=cell.color, linestyle=cell.dashes))


def test_layers_look_alike_in_all_figures():
    drawn = run_figures(make_log(hidden=(8,) * 5))
    looks = [
        [(tuple(line.get_color()), line.get_marker()) for line in drawn[name].axes[0].lines[:6]]
        for name in ("update_ratio", "gradient_flow", "signal", "zero_gradients")
    ]
    assert all(other == looks[0] for other in looks[1:])


def test_one_epoch_is_visible():
    for name, figure in run_figures(make_log(epochs=1, scheduler="step")).items():
        for line in (line for ax in figure.axes for line in ax.lines):
            assert line.get_marker() not in ("", "None", None) or line.get_linestyle() == "--", name


def test_what_is_not_usual_is_in_the_name():
    name = texts(run.loss_accuracy(make_log()))
    assert "relu + adam, lr 0.001, seed 0" in name
    unusual = {"scheduler": "cosine", "batch_size": 32, "init": "he", "hidden": (64,) * 5}
    name = texts(run.loss_accuracy(make_log(**unusual)))
    assert "relu + adam, lr 0.001, cosine, batch 32, he, hidden 64x5, seed 0" in name


CASES = {
    "usual": make_log(),
    "one hidden layer": make_log("tanh", hidden=(8,)),
    "ten hidden layers": make_log("sigmoid", hidden=(8,) * 10),
    "very deep": make_log("tanh", hidden=(8,) * 16, diverged=2),
    "long names": make_log(
        "leaky_relu", "sgd_momentum", 0.00015, "exponential", 123456, hidden=(128, 64, 32)
    ),
    "sixty hidden layers": make_log("tanh", hidden=(8,) * 60, epochs=1000),
    "sixty different layers": make_log(hidden=tuple(range(100, 160)), dataset=LONG_NAMES),
    "names of forty characters": make_log("sigmoid", dataset=LONG_NAMES),
    "many classes": many_classes(300),
    "one epoch": make_log("elu", epochs=1),
    "diverged": make_log("gelu", "sgd", diverged=1),
}


@pytest.mark.parametrize("case", CASES)
def test_legends_cover_nothing_and_nothing_is_cut_off(case):
    for name, figure in run_figures(CASES[case]).items():
        check_layout(figure, name)
        assert max(figure.get_size_inches()) < 16, name


def test_of_many_layers_some_are_drawn_and_it_is_said():
    for name, figure in run_figures(make_log("tanh", hidden=(8,) * 60)).items():
        if name not in ("loss_accuracy", "confusion", "most_wrong"):
            of = 60 if name in ("saturation", "histogram_activations") else 61
            assert f"16 of {of} layers" in texts(figure), name
    left, right = run.gradient_flow(make_log(hidden=(8,) * 60)).axes
    labels = [line.get_label() for line in left.lines]
    assert len(labels) == len(right.lines) == 16 and (labels[0], labels[-1]) == ("fc1", "fc61")
    assert "of" not in texts(run.signal(make_log(hidden=(8,) * 15)).legends[0])


def odd_logs():
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
    assert "signal" not in run_figures(nothing)
    return [gaps, vanished, nothing, make_log("elu", epochs=1)]


def test_odd_numbers_neither_break_nor_warn(tmp_path, coarse):
    logs = odd_logs()
    for log in logs:
        save(run_figures(log), tmp_path)
    save(grid_diagnostics(Sweep.of(logs)), tmp_path)


def test_every_figure_says_what_it_shows_of_which_run():
    drawn = run_figures(make_log(scheduler="step", saturated=20.0))
    titles = [figure.get_suptitle().split("\n") for figure in drawn.values()]
    assert {name for _, name in titles} == {"relu + adam, lr 0.001, step, seed 0"}
    assert len({title for title, _ in titles}) == len(titles) > 8


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_class_names_of_40_characters_are_whole(classes):
    log = many_classes(classes)
    names = [f"a_class_whose_name_has_40_characters_{k:03}" for k in range(classes)]
    log["dataset"]["classes"] = names
    for wrong in log["most_wrong"]:
        wrong["label"] = 1
    drawn = run_figures(log)
    for name in ("confusion", "most_wrong"):
        check_layout(drawn[name], name)
        assert names[1] in texts(drawn[name]).replace("\n", ""), name
        assert "…" not in texts(drawn[name]), name


def test_a_loss_of_many_classes_fits_its_axis():
    log = many_classes(1000, level=4.6)  # to know nothing costs ln 1000 = 6.9
    left, _ = run_figures(log)["loss_accuracy"].axes
    assert left.get_ylim()[1] > max(log["val_loss"])
