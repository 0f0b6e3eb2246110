"""experiments/figures/grid.py: what a reader sees in each figure, drawn from small made-up logs."""

from itertools import product

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from scipy import stats

from builders import LONG_NAMES, make_grid, make_log
from figures import grid, run, style
from figures.style import save
from findings.sweep import Sweep
from nnlite import ACTIVATIONS, OPTIMIZERS
from seen import check_layout, legend_of, look, texts

METRICS = ("train_loss", "val_accuracy")


def curves(logs, metric):
    return grid.curves(Sweep.of(logs), metric)


def comparison_grid(logs):
    return grid.comparison_grid(Sweep.of(logs))


def gradient_flow(logs):
    return grid.gradient_flow(Sweep.of(logs))


def activations(names=ACTIVATIONS):
    return grid.activations(Sweep.of([make_log(name) for name in names]))


def cell_texts(figure):
    """The words in the cells of the three tables of the comparison grid: [{(i, j): text}, ...]."""
    return [
        {(int(t.get_position()[1]), int(t.get_position()[0])): t.get_text() for t in ax.texts}
        for ax in figure.axes
    ]


# Which figures there are, and their axes


@pytest.fixture(scope="module")
def drawn_grid():
    return grid.grid_figures(Sweep.of(make_grid()))


def test_a_grid_has_its_figures(drawn_grid):
    names = ["loss_curves", "accuracy_curves", "comparison_grid", "gradient_flow", "activations"]
    assert list(drawn_grid) == names


def test_grid_axes_are_labelled_with_units_and_scaled_as_promised(drawn_grid):
    drawn = drawn_grid
    (loss,), (accuracy,) = drawn["loss_curves"].axes, drawn["accuracy_curves"].axes
    assert loss.get_xlabel() == accuracy.get_xlabel() == "epoch"
    assert loss.get_ylabel() == "cross-entropy (nats), log scale" and loss.get_yscale() == "log"
    assert accuracy.get_ylabel() == "accuracy (%), errors on a log scale"
    titles = [ax.get_title("left").replace("\n", " ") for ax in drawn["comparison_grid"].axes]
    assert titles == [
        "final training loss (nats)",
        "best validation accuracy (%)",
        "test accuracy (%)",
    ]
    flow = drawn["gradient_flow"]
    assert "mean |gradient| (nats)" in texts(flow)
    assert {ax.get_yscale() for ax in flow.axes} == {"log"}
    assert len({(ax.get_xlim(), ax.get_ylim()) for ax in flow.axes}) == 1
    assert {ax.get_xlabel() for ax in drawn["activations"].axes} == {"z"}
    assert drawn["activations"].axes[0].get_ylabel() == "a, da/dz"


# What the curves show


def test_epochs_are_whole_numbers():
    for epochs in (1, 2, 30):
        (ax,) = curves([make_log(epochs=epochs)], "train_loss").axes
        ticks = ax.get_xticks()
        assert len(ticks) and (ticks == ticks.astype(int)).all()


def test_one_epoch_is_visible():
    logs = make_grid(epochs=1, scheduler="step")
    drawn = [run.loss_accuracy(logs[-1]), run.learning_rate(logs[-1]), run.gradient_flow(logs[-1])]
    drawn += [run.zero_gradients(logs[-1]), gradient_flow(logs)]
    for figure in [*drawn, *(curves(logs, metric) for metric in METRICS)]:
        for line in (line for ax in figure.axes for line in ax.lines):
            assert len(line.get_xdata()) == 1 and line.get_marker() not in ("", "None", None)


def test_the_legend_ranks_the_curves(drawn_grid):
    loss, accuracy = drawn_grid["loss_curves"], drawn_grid["accuracy_curves"]
    expected = ["sigmoid + sgd", "sigmoid + adam", "relu + sgd", "relu + adam"]
    assert list(legend_of(loss)) == list(legend_of(accuracy)) == expected
    numbers = [text.get_text()[:5] for text in loss.legends[0].get_texts()]
    assert numbers == ["0.250", "0.500", "0.750", "1.000"]


def test_the_order_is_that_of_test_accuracy_and_it_is_said():
    logs = make_grid()
    for log, accuracy in zip(logs, (70.0, 60.0, 90.0, 80.0), strict=True):
        log["test_accuracy"] = accuracy
    for metric in METRICS:
        figure = curves(logs, metric)
        expected = ["relu + sgd", "relu + adam", "sigmoid + sgd", "sigmoid + adam"]
        assert list(legend_of(figure)) == expected
        assert "best test accuracy first" in figure.legends[0].get_title().get_text()


def test_the_comparison_grid_shows_each_cell_in_its_place():
    figure = comparison_grid(make_grid()[::-1])  # the order of the logs must not matter
    loss, best, test = cell_texts(figure)
    assert loss == {(0, 0): "0.250", (0, 1): "0.500", (1, 0): "0.750", (1, 1): "1.000"}
    assert best == {(0, 0): "95.0", (0, 1): "90.0", (1, 0): "85.0", (1, 1): "80.0"}
    assert test == {(0, 0): "94.5", (0, 1): "89.0", (1, 0): "83.5", (1, 1): "78.0"}
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["sigmoid", "relu"]
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["sgd", "adam"]
    for ax in figure.axes:
        darkness = ax.collections[0].get_array().ravel()
        assert (np.diff(darkness) < 0).all()  # better is darker, for losses and for accuracies


def test_a_cell_that_was_not_run_stays_blank():
    logs = make_grid()[:3]
    assert [cells[1, 1] for cells in cell_texts(comparison_grid(logs))] == ["–"] * 3
    missing = gradient_flow(logs).axes[3]
    assert texts(missing).count("–") == 1 and not missing.lines


def test_learning_rates_and_schedules_get_columns_and_markers_of_their_own():
    logs = [
        make_log(o, *rest)
        for o, *rest in [
            ("relu", "adam", 0.001, "none"),
            ("relu", "adam", 0.001, "cosine"),
            ("relu", "sgd", 0.1, "none"),
            ("relu", "sgd", 0.01, "none"),
            ("relu", "rmsprop"),
        ]
    ]
    columns = [
        "sgd, lr 0.01",
        "sgd, lr 0.1",
        "rmsprop, lr 0.001",
        "adam, lr 0.001",
        "adam, lr 0.001, cosine",
    ]
    columns = [name if "cosine" in name else f"{name}, no schedule" for name in columns]
    ticks = comparison_grid(logs).axes[0].get_xticklabels()
    assert [t.get_text().replace("_\n", "_").replace("\n", " ") for t in ticks] == [
        name.replace(",", "") for name in columns
    ]
    lines = legend_of(curves(logs, "train_loss"))
    assert set(lines) == set(columns)
    assert len({line.get_marker() for line in lines.values()}) == 5
    styles = {name: look(line)[1] for name, line in lines.items()}
    assert styles[columns[3]] == styles[columns[4]] != styles[columns[2]]


# The same look for the same thing


def test_colours_and_line_styles_mean_the_same_in_every_figure():
    logs = make_grid(ACTIVATIONS, OPTIMIZERS)
    looks, other = (
        {name: look(line) for name, line in legend_of(curves(logs, metric)).items()}
        for metric in ("train_loss", "val_accuracy")
    )
    assert looks == other and len(looks) == len(set(looks.values())) == 30
    for log in logs[::6]:  # each activation and each optimizer
        c = log["config"]
        line = run.loss_accuracy(log).axes[0].lines[0]
        assert look(line) == looks[f"{c['activation']} + {c['optimizer']}"]
    for a in ACTIVATIONS:
        assert len({looks[f"{a} + {o}"][0] for o in OPTIMIZERS}) == 1
    for o in OPTIMIZERS:
        assert len({looks[f"{a} + {o}"][1] for a in ACTIVATIONS}) == 1
    for a, ax in zip(ACTIVATIONS, activations().axes, strict=True):
        assert {line.get_color() for line in ax.lines} == {looks[f"{a} + adam"][0]}
    # A part of the grid looks like that part of the whole.
    part = legend_of(curves(logs[8:9], "train_loss"))
    assert [look(line) for line in part.values()] == [looks["tanh + adam"]]


def test_the_order_of_the_logs_does_not_matter(drawn_grid):
    one, other = drawn_grid["loss_curves"], curves(make_grid()[::-1], "train_loss")
    assert list(map(look, one.axes[0].lines)) == list(map(look, other.axes[0].lines))
    assert list(legend_of(one)) == list(legend_of(other))


@pytest.mark.parametrize("names", [["gelu"], ["relu", "tanh"], [*ACTIVATIONS][:5], ACTIVATIONS])
def test_the_figure_of_activations_has_those_of_the_sweep(names):
    panels = [ax for ax in activations(names).axes if ax.axison]
    assert [ax.get_title("left") for ax in panels] == [n for n in ACTIVATIONS if n in names]
    below = [ax for n, ax in enumerate(panels) if n + 3 >= len(panels)]
    assert all(ax.get_xlabel() == "z" for ax in below) and len(below) == min(3, len(panels))
    assert all(ax.xaxis.get_tick_params()["labelbottom"] for ax in below)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_long_names_of_activations_fit(monkeypatch, count):
    names = [f"{letter}_long_name_that_a_student_thought_up" for letter in "xyz"[:count]]
    for name in names:
        monkeypatch.setitem(ACTIVATIONS, name, ACTIVATIONS["gelu"])
    check_layout(activations(names), "activations")


def test_a_new_activation_is_in_the_figure_of_activations(monkeypatch):
    monkeypatch.setitem(ACTIVATIONS, "swish", ACTIVATIONS["gelu"])
    assert "swish" in [ax.get_title("left") for ax in activations().axes]


# Seeds


@pytest.mark.parametrize("metric", METRICS)
def test_seeds_are_a_mean_in_a_band(metric):
    logs = make_grid(["relu"], ["adam"], seeds=(0, 7, 20))
    figure = curves(logs, metric)
    (ax,) = figure.axes
    (line,), (band,) = ax.lines, ax.collections
    values = np.array([log[metric] for log in logs])
    half = stats.t.ppf(0.975, df=2) * values.std(axis=0, ddof=1) / np.sqrt(3)
    assert line.get_ydata() == pytest.approx(values.mean(axis=0))
    for epoch, mean, h in zip(logs[0]["epoch"], values.mean(axis=0), half, strict=True):
        at = [y for x, y in band.get_paths()[0].vertices if x == epoch]
        assert (min(at), max(at)) == pytest.approx((mean - h, mean + h))
    assert "mean of 3 seeds, 95 % t-interval" in texts(figure)


def test_one_seed_has_neither_band_nor_interval(drawn_grid):
    for name, figure in drawn_grid.items():
        assert "seeds" not in texts(figure)
        if name != "comparison_grid":
            assert not figure.findobj(PolyCollection)


def test_the_comparison_grid_shows_mean_and_interval():
    logs = make_grid(["relu"], ["adam"], seeds=(0, 7, 20))
    figure = comparison_grid(logs)
    losses = np.array([log["train_loss"][-1] for log in logs])
    half = stats.t.ppf(0.975, df=2) * losses.std(ddof=1) / np.sqrt(3)
    loss, *_ = cell_texts(figure)
    assert loss[0, 0] == f"{losses.mean():.3f}\n± {half:.3f}"
    assert "mean of 3 seeds, 95 % t-interval" in texts(figure)


def test_the_band_of_two_seeds_does_not_squash_the_curves():
    logs = make_grid(["relu"], ["adam"], seeds=(0, 20))  # t = 12.7
    for metric in METRICS:
        (ax,) = curves(logs, metric).axes
        bottom, top = ax.transData.inverted().transform(ax.transAxes.transform([(0, 0), (0, 1)]))
        seen = np.ptp(ax.transData.transform([(1, v) for log in logs for v in log[metric]])[:, 1])
        assert bottom[1] < top[1] and seen > 0.8 * ax.get_window_extent().height


def test_a_gradient_of_zero_counts_in_the_mean():
    logs = [make_log(seed=seed) for seed in (0, 1)]
    logs[1]["gradient_stats"]["fc1.weight"]["mean_abs"] = [0.0] * 4
    line = gradient_flow(logs).axes[0].lines[0]
    half = np.array(logs[0]["gradient_stats"]["fc1.weight"]["mean_abs"]) / 2
    assert line.get_ydata() == pytest.approx(half, abs=0)


def test_cells_with_different_numbers_of_seeds():
    logs = [*make_grid(["relu"], ["adam", "sgd"], seeds=(0, 1, 2)), make_log("tanh")]
    figure = comparison_grid(logs)
    assert "mean of 1 to 3 seeds" in texts(figure)
    loss, *_ = cell_texts(figure)
    assert "±" in loss[1, 0] and "±" not in loss[0, 1]


# Divergence


@pytest.mark.parametrize("epoch", [1, 3])
def test_divergence_is_shown_in_every_figure(epoch):
    said = f"diverged at epoch {epoch}"
    bad = make_log("relu", "sgd", diverged=epoch)
    logs = [make_log("relu", "adam"), bad]
    for metric in METRICS:
        assert list(legend_of(curves(logs, metric)))[-1] == f"sgd\n✖ {said}"
    for cells in cell_texts(comparison_grid(logs)):
        assert cells[0, 0].replace("\n", " ") == said
    assert said in texts(gradient_flow(logs)).replace("\n", " ")


def test_divergence_is_marked_at_the_last_number_there_is():
    bad = make_log("relu", "sgd", diverged=3)
    for metric in METRICS:
        (ax,) = curves([bad], metric).axes
        curve, mark = ax.lines
        assert mark.get_marker() == "X" and mark.get_color() == curve.get_color()
        assert (mark.get_xdata(), mark.get_ydata()) == ([2], [bad[metric][1]])


def test_divergence_in_the_first_epoch_is_marked_at_the_bad_end():
    logs = [make_log(), make_log(optimizer="sgd", diverged=1)]
    for metric, end in zip(METRICS, (1, 0), strict=True):
        (ax,) = curves(logs, metric).axes
        (mark,) = (line for line in ax.lines if line.get_marker() == "X")
        assert mark.get_xdata() == [1]
        assert mark.get_ydata() == pytest.approx([ax.get_ylim()[end]])


def test_a_run_that_diverged_in_a_last_step_is_not_ranked_by_the_loss_before_it():
    last_step = make_log("relu", "sgd", diverged=3, level=0.1)
    last_step["train_loss"][-1] = 0.01
    figure = curves([make_log(), last_step], "train_loss")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "0.250  adam",
        "–  sgd\n✖ diverged at epoch 3",
    ]
    mark = figure.axes[0].lines[1]
    assert (mark.get_xdata(), mark.get_ydata()) == ([3], [0.01])


def test_some_seeds_diverged():
    logs = [make_log(seed=0), make_log(seed=1), make_log(seed=2, diverged=2)]
    figure, said = curves(logs, "train_loss"), "1 of 3 seeds diverged at epoch 2"
    assert said in texts(figure)
    loss, *_ = cell_texts(comparison_grid(logs))
    assert said in loss[0, 0].replace("\n", " ") and "0.251" in loss[0, 0]
    curve = figure.axes[0].lines[0].get_ydata()
    assert curve[-1] == pytest.approx(np.mean([log["train_loss"][-1] for log in logs[:2]]))


def test_an_accident_does_not_squash_the_other_losses():
    wild = make_log("tanh")
    wild["train_loss"][0] = wild["val_loss"][0] = 1e30
    assert curves([make_log(), wild], "train_loss").axes[0].get_ylim()[1] < 5
    assert run.loss_accuracy(wild).axes[0].get_ylim()[1] < 5


# Nothing is covered, nothing is cut off, nothing breaks


CASES = {
    "six runs": make_grid(["sigmoid", "tanh", "relu"], ["sgd", "adam"]),
    "long names": [make_log("leaky_relu", "sgd_momentum", 0.00015, "exponential", 123456)],
    "names of forty characters and more": [
        make_log("leaky_relu", optimizer, 0.00015, scheduler, batch_size=size, hidden=(64,) * 5)
        for optimizer in ("sgd_momentum", "rmsprop")
        for scheduler in ("none", "exponential")
        for size in (128, 1024)
    ],
    "depths": [
        make_log(a, "sgd_momentum", init=init, hidden=(8,) * depth, diverged=3 * (depth > 9))
        for a in ("sigmoid", "relu")
        for init in ("uniform", "xavier")
        for depth in (1, 5, 10)
    ],
    "a large grid": make_grid(ACTIVATIONS, ["sgd_momentum", "adam", "adamw"])[1:],
    "rates and seeds": [
        make_log("gelu", "sgd", rate, seed=seed, diverged=rate > 5 and 2)
        for rate, seed in product([0.001, 0.01, 0.1, 10.0], [1, 2])
    ],
    "nothing but divergence": [make_log(optimizer="sgd", diverged=1)],
    "sixty layers": [
        make_log(a, "sgd_momentum", hidden=hidden, dataset=LONG_NAMES)
        for a in ("leaky_relu", "tanh")
        for hidden in [(8,) * 60, tuple(range(100, 160))]
    ],
    "deep": make_grid(["elu"], ["sgd"], hidden=(8,) * 8),
}


@pytest.mark.parametrize("case", CASES)
def test_legends_cover_nothing_and_nothing_is_cut_off(case):
    logs = CASES[case]
    drawn = {metric: curves(logs, metric) for metric in METRICS}
    drawn |= {"comparison": comparison_grid(logs), "flow": gradient_flow(logs)}
    drawn |= {"activations": activations()} if case == "six runs" else {}
    for name, figure in drawn.items():
        check_layout(figure, name)


def test_odd_numbers_neither_break_nor_warn(tmp_path, coarse):
    zero = make_log(scheduler="step", learning_rate=1e-9)
    for history in zero["gradient_stats"].values():
        history["mean_abs"] = history["pct_zero"] = [0.0] * 4
    gaps = make_log("elu", epochs=6, test_accuracy=None)
    for series in (gaps["val_accuracy"], gaps["val_loss"], gaps["gradient_stats"]["fc1.weight"]):
        if isinstance(series, dict):
            series = series["mean_abs"]
        series[2] = None
    perfect = make_log("tanh", train_loss=[1.0, 0.5, 0.0, 0.0], val_accuracy=[50.0] + [100.0] * 3)
    huge = make_log("gelu", seed=1, train_loss=[3e38, 1.0, 3e38, 0.1], val_accuracy=[0.0] * 4)
    short = make_log("gelu", epochs=1)
    save(grid.grid_figures(Sweep.of([zero, gaps, perfect, huge, short])), tmp_path)
    save({"flow": gradient_flow([zero])}, tmp_path)
    for log in (zero, gaps, huge):
        for draw in (run.loss_accuracy, run.learning_rate, run.gradient_flow, run.zero_gradients):
            if figure := draw(log):
                save({"figure": figure}, tmp_path)


# The activation functions


def test_derivatives_are_the_slopes_of_the_functions():
    figure = activations()
    for name, ax in zip(ACTIVATIONS, figure.axes, strict=True):
        function, derivative = ax.lines
        assert ax.get_title("left") == name
        assert function.get_linestyle() == "-" and derivative.get_linestyle() == "--"
        z, a = function.get_data()
        smooth = np.abs((z[1:] + z[:-1]) / 2) > 0.02  # away from the kink of relu
        slopes = np.diff(a) / np.diff(z)
        between = (derivative.get_ydata()[1:] + derivative.get_ydata()[:-1]) / 2
        assert slopes[smooth] == pytest.approx(between[smooth], abs=1e-4), name


def test_the_legend_of_layers_is_that_of_the_deepest_network():
    deep, shallow = (
        make_log(activation, hidden=(8,) * n) for activation, n in [("tanh", 5), ("relu", 1)]
    )
    figure = gradient_flow([deep, shallow])
    assert list(legend_of(figure)) == [f"fc{k}" for k in range(1, 7)]
    colors = [[tuple(line.get_color()) for line in ax.lines] for ax in figure.axes]
    assert len(colors[1]) == 6 and colors[2] == colors[1][:2]


@pytest.mark.parametrize("cells", [28, 50, 500])
def test_of_too_many_cells_the_best_are_shown_and_it_is_said(cells):
    rates = range(1, cells + 1)  # the higher, the better
    logs = [make_log(learning_rate=float(k), level=(cells + 1 - k) / cells) for k in rates]
    drawn = grid.grid_figures(Sweep.of(logs))
    shown = {"loss_curves": 30, "accuracy_curves": 30, "comparison_grid": 28, "gradient_flow": 14}
    for name, most in shown.items():
        assert max(drawn[name].get_size_inches()) * style.DPI <= style.MOST_PIXELS
        what = "columns" if name in ("comparison_grid", "gradient_flow") else "cells"
        said = f"the best {most} of {cells} {what} by test accuracy"
        assert (said in texts(drawn[name])) == (cells > most), name
        if most <= cells:
            assert f"lr {cells}" in texts(drawn[name])
            assert f"lr {cells - most + 1}" in texts(drawn[name])
            assert f"lr {cells - most}\n" not in texts(drawn[name]) + "\n"


def test_the_curves_show_the_logged_numbers():
    log = make_log()
    for metric in METRICS:
        (line,) = curves([log], metric).axes[0].lines
        assert line.get_xdata().tolist() == log["epoch"]
        assert line.get_ydata() == pytest.approx(log[metric], abs=0)
