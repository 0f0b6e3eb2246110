"""experiments/figures.py: what a reader sees in each figure, drawn from small made-up logs."""

import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from scipy import stats

EXPERIMENTS = str(Path(__file__).resolve().parents[2] / "experiments")
if EXPERIMENTS not in sys.path:
    sys.path.insert(0, EXPERIMENTS)

from figures import style as figures  # noqa: E402

METRICS = ("train_loss", "val_accuracy")
NOTE = "This is NOT Fashion-MNIST but scikit-learn's handwritten digits, because ..."


pytestmark = pytest.mark.usefixtures("no_warnings")


def make_log(
    activation="relu", optimizer="adam", learning_rate=0.001, scheduler="none", seed=0,
    epochs=4, diverged=0, layers=3, level=1.0, **changes,
):  # fmt: skip
    """A log as nnlite.training writes it; diverged is the epoch of that, or 0.

    level: a factor of every loss and every error, by which curves can be told apart.
    """
    shown = diverged or epochs
    falling = level * (1 + 0.01 * (seed % 100)) / np.arange(1, shown + 1)
    rates = learning_rate * 0.5 ** np.arange(shown)

    def measured(values):
        return [*map(float, values[:-1]), None if diverged else float(values[-1])]

    log = {
        "experiment_id": f"{activation}_{optimizer}_{scheduler}_lr{learning_rate:g}_seed{seed}",
        "config": {"activation": activation, "optimizer": optimizer, "scheduler": scheduler,
                   "learning_rate": learning_rate, "seed": seed, "epochs": epochs,
                   "batch_size": 128, "init": "uniform", "hidden": [256, 128]},
        "dataset": {"name": "fashion-mnist", "checksum": "", "source": "a test", "note": ""},
        "device": "CPU", "versions": {},
        "diverged": {"epoch": diverged, "step": 7} if diverged else None,
        "epoch": list(range(1, shown + 1)),
        "train_loss": measured(falling), "val_loss": measured(1.2 * falling),
        "val_accuracy": measured(100 - 20 * falling),
        "learning_rate": rates.tolist() if scheduler != "none" else [learning_rate] * shown,
        "epoch_time": [1.0] * shown,
        "gradient_stats": {
            f"fc{k}.{part}": {"mean_abs": measured(1e-3 * k * falling),
                              "std": measured(falling), "pct_zero": measured(k + falling)}
            for k in range(1, layers + 1) for part in ("weight", "bias")
        },
        "test_loss": None if diverged else 1.0,
        "test_accuracy": None if diverged else 100 - 22 * float(falling[-1]),
    }  # fmt: skip
    return {**log, **changes}


def grid(activations=("sigmoid", "relu"), optimizers=("sgd", "adam"), seeds=(0,), **config):
    """The cells of a grid, the first being the best."""
    cells = list(product(activations, optimizers))
    return [
        make_log(a, o, seed=seed, level=level, **config)
        for level, (a, o) in zip(np.linspace(1, 4, len(cells)), cells, strict=True)
        for seed in seeds
    ]


def all_figures(logs):
    """Every figure that the experiment would draw from these logs, (name, figure)."""
    return [*figures.grid_figures(logs).items()] + [
        item for log in logs for item in figures.run_figures(log).items()
    ]


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


def cell_texts(figure):
    """The words in the cells of the three tables of the comparison grid: [{(i, j): text}, ...]."""
    return [
        {(int(t.get_position()[1]), int(t.get_position()[0])): t.get_text() for t in ax.texts}
        for ax in figure.axes
    ]


# Which figures there are, and their axes


@pytest.mark.parametrize(
    ("activation", "scheduler", "more"),
    [
        ("tanh", "none", set()),
        ("gelu", "step", {"learning_rate"}),
        ("relu", "none", {"zero_gradients"}),
        ("leaky_relu", "none", {"zero_gradients"}),
        ("elu", "cosine", {"zero_gradients", "learning_rate"}),
    ],
)
def test_a_run_has_its_figures(activation, scheduler, more):
    drawn = figures.run_figures(make_log(activation, scheduler=scheduler))
    assert set(drawn) == {"loss_accuracy", "gradient_flow"} | more


@pytest.fixture(scope="module")
def drawn_grid():
    return figures.grid_figures(grid())


def test_a_grid_has_its_figures(drawn_grid):
    names = ["loss_curves", "accuracy_curves", "comparison_grid", "gradient_flow", "activations"]
    assert list(drawn_grid) == names


def test_run_axes_are_labelled_with_units_and_scaled_as_promised():
    drawn = figures.run_figures(make_log(scheduler="cosine"))
    axes = {
        name: [(ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) for ax in figure.axes]
        for name, figure in drawn.items()
    }
    assert axes["loss_accuracy"] == [
        ("epoch", "cross-entropy (nats)", "linear"),
        ("epoch", "validation accuracy (%)", "linear"),
    ]
    assert axes["learning_rate"] == [("epoch", "learning rate (unitless)", "log")]
    assert axes["gradient_flow"] == [
        ("epoch", "mean |gradient| (nats)", "log"), ("layer", "", "log"),
    ]  # fmt: skip
    assert axes["zero_gradients"] == [("epoch", "share of zero gradients (%)", "linear")]


def test_grid_axes_are_labelled_with_units_and_scaled_as_promised(drawn_grid):
    drawn = drawn_grid
    (loss,), (accuracy,) = drawn["loss_curves"].axes, drawn["accuracy_curves"].axes
    assert loss.get_xlabel() == accuracy.get_xlabel() == "epoch"
    assert loss.get_ylabel() == "cross-entropy (nats), log scale" and loss.get_yscale() == "log"
    assert accuracy.get_ylabel() == "accuracy (%), errors on a log scale"
    titles = [ax.get_title("left").replace("\n", " ") for ax in drawn["comparison_grid"].axes]
    assert titles == [
        "final training loss (nats)", "best validation accuracy (%)", "test accuracy (%)",
    ]  # fmt: skip
    flow = drawn["gradient_flow"]
    assert "mean |gradient| (nats)" in texts(flow)
    assert {ax.get_yscale() for ax in flow.axes} == {"log"}
    assert len({(ax.get_xlim(), ax.get_ylim()) for ax in flow.axes}) == 1
    assert [ax.get_xlabel() for ax in drawn["activations"].axes[-3:]] == ["z"] * 3
    assert drawn["activations"].axes[0].get_ylabel() == "a, da/dz"


def test_epochs_are_whole_numbers():
    for epochs in (1, 2, 30):
        (ax,) = figures.curves([make_log(epochs=epochs)], "train_loss").axes
        ticks = ax.get_xticks()
        assert len(ticks) and (ticks == ticks.astype(int)).all()


@pytest.mark.parametrize("bottom", [3e-12, 0.0007, 0.21, 1.3, 9.5])
@pytest.mark.parametrize("factor", [1.2, 2, 4, 12, 90, 1e3, 1e9])
def test_a_log_axis_has_enough_ticks_but_not_too_many(bottom, factor):
    ticks = figures.log_ticks(bottom, bottom * factor)
    assert 2 <= len(ticks) <= 9
    assert (bottom < ticks).all() and (ticks < bottom * factor).all()


# What the curves show


def test_curves_show_the_logged_numbers():
    log = make_log(scheduler="step")
    run = figures.run_figures(log)
    training, validation = run["loss_accuracy"].axes[0].lines
    accuracy, best = run["loss_accuracy"].axes[1].lines
    (rate,) = run["learning_rate"].axes[0].lines
    (loss,) = figures.curves([log], "train_loss").axes[0].lines
    for line, key in [
        (training, "train_loss"), (validation, "val_loss"), (accuracy, "val_accuracy"),
        (rate, "learning_rate"), (loss, "train_loss"),
    ]:  # fmt: skip
        assert line.get_xdata().tolist() == log["epoch"]
        assert line.get_ydata() == pytest.approx(log[key], abs=0)
    assert (best.get_xdata(), best.get_ydata()) == ([4], [log["val_accuracy"][3]])
    assert "best: 95.00 % at epoch 4" in texts(run["loss_accuracy"])


def test_layers_are_weights_in_order_and_the_last_epoch_is_drawn_for_each():
    log = make_log(layers=5)
    run = figures.run_figures(log)
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


def test_one_epoch_is_visible():
    logs = grid(epochs=1, scheduler="step")
    drawn = [*figures.run_figures(logs[-1]).values(), figures.gradient_flow(logs)]
    for figure in [*drawn, *(figures.curves(logs, metric) for metric in METRICS)]:
        for line in (line for ax in figure.axes for line in ax.lines):
            assert len(line.get_xdata()) == 1 and line.get_marker() not in ("", "None", None)


def test_the_legend_ranks_the_curves(drawn_grid):
    loss, accuracy = drawn_grid["loss_curves"], drawn_grid["accuracy_curves"]
    expected = ["sigmoid + sgd", "sigmoid + adam", "relu + sgd", "relu + adam"]
    assert list(legend_of(loss)) == list(legend_of(accuracy)) == expected
    numbers = [text.get_text()[:5] for text in loss.legends[0].get_texts()]
    assert numbers == ["0.250", "0.500", "0.750", "1.000"]


def test_the_comparison_grid_shows_each_cell_in_its_place():
    figure = figures.comparison_grid(grid()[::-1])  # the order of the logs must not matter
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
    logs = grid()[:3]
    assert [cells[1, 1] for cells in cell_texts(figures.comparison_grid(logs))] == ["–"] * 3
    missing = figures.gradient_flow(logs).axes[3]
    assert texts(missing).count("–") == 1 and not missing.lines


def test_learning_rates_and_schedules_get_columns_and_markers_of_their_own():
    logs = [make_log(o, *rest) for o, *rest in [
        ("relu", "adam", 0.001, "none"), ("relu", "adam", 0.001, "cosine"),
        ("relu", "sgd", 0.1, "none"), ("relu", "sgd", 0.01, "none"), ("relu", "rmsprop"),
    ]]  # fmt: skip
    _, columns, _ = figures.arrange(logs)
    assert list(columns.values()) == ["sgd lr=0.01", "sgd lr=0.1", "rmsprop", "adam", "adam cosine"]
    lines = legend_of(figures.curves(logs, "train_loss"))
    assert set(lines) == {f"relu + {name}" for name in columns.values()}
    assert len({line.get_marker() for line in lines.values()}) == 5
    styles = {name: look(line)[1] for name, line in lines.items()}
    assert styles["relu + adam"] == styles["relu + adam cosine"] != styles["relu + rmsprop"]


# The same look for the same thing


def test_colours_and_line_styles_mean_the_same_in_every_figure():
    activations, optimizers = list(figures.ACTIVATIONS), list(figures.OPTIMIZERS)
    logs = grid(activations, optimizers)
    looks, other = (
        {name: look(line) for name, line in legend_of(figures.curves(logs, metric)).items()}
        for metric in ("train_loss", "val_accuracy")
    )
    assert looks == other and len(looks) == len(set(looks.values())) == 30
    for log in logs[::6]:  # each activation and each optimizer
        c = log["config"]
        line = figures.run_figures(log)["loss_accuracy"].axes[0].lines[0]
        assert look(line) == looks[f"{c['activation']} + {c['optimizer']}"]
    for a in activations:
        assert len({looks[f"{a} + {o}"][0] for o in optimizers}) == 1
    for o in optimizers:
        assert len({looks[f"{a} + {o}"][1] for a in activations}) == 1
    for a, ax in zip(activations, figures.activations(logs).axes, strict=True):
        assert {line.get_color() for line in ax.lines} == {looks[f"{a} + adam"][0]}
    # A part of the grid looks like that part of the whole.
    part = legend_of(figures.curves(logs[8:9], "train_loss"))
    assert [look(line) for line in part.values()] == [looks["tanh + adam"]]


def test_layers_wear_no_activation_s_colour():
    lines = figures.run_figures(make_log(layers=6))["gradient_flow"].axes[0].lines
    for red, green, blue, _ in (line.get_color() for line in lines):
        assert red == green == blue
    assert len({line.get_marker() for line in lines}) == 6


def test_the_order_of_the_logs_does_not_matter(drawn_grid):
    one, other = drawn_grid["loss_curves"], figures.curves(grid()[::-1], "train_loss")
    assert list(map(look, one.axes[0].lines)) == list(map(look, other.axes[0].lines))
    assert list(legend_of(one)) == list(legend_of(other))


def test_what_is_not_registered_is_drawn_too():
    logs = grid(["swish", "relu"], ["lion", "adam"])
    rows, columns, _ = figures.arrange(logs)
    assert (rows, [*columns.values()]) == (["relu", "swish"], ["adam", "lion"])
    lines = legend_of(figures.curves(logs, "train_loss"))
    assert len({look(line)[0] for line in lines.values()}) == 2


def test_a_new_activation_is_in_the_figure_of_activations(monkeypatch):
    monkeypatch.setitem(figures.ACTIVATIONS, "swish", figures.ACTIVATIONS["gelu"])
    titles = [ax.get_title("left") for ax in figures.activations([make_log()]).axes]
    assert titles[6] == "swish" and len(titles) == 9


# Seeds


def test_t_interval_by_hand():
    values = np.array([[1.0, 5.0, np.nan], [2.0, np.nan, np.nan], [6.0, np.nan, np.nan]])
    mean, half = figures.t_interval(values)
    deviation = np.sqrt(((1 - 3) ** 2 + (2 - 3) ** 2 + (6 - 3) ** 2) / 2)
    assert mean == pytest.approx([3, 5, np.nan], nan_ok=True)
    assert half[0] == pytest.approx(stats.t.ppf(0.975, df=2) * deviation / np.sqrt(3))
    assert np.isnan(half[1:]).all()
    column = values[:, 0]
    low, high = stats.t.interval(0.95, 2, column.mean(), stats.sem(column))
    assert (mean[0] - half[0], mean[0] + half[0]) == pytest.approx((low, high))


@pytest.mark.parametrize("metric", METRICS)
def test_seeds_are_a_mean_in_a_band(metric):
    logs = grid(["relu"], ["adam"], seeds=(0, 7, 20))
    figure = figures.curves(logs, metric)
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
    logs = grid(["relu"], ["adam"], seeds=(0, 7, 20))
    figure = figures.comparison_grid(logs)
    losses = np.array([log["train_loss"][-1] for log in logs])
    half = stats.t.ppf(0.975, df=2) * losses.std(ddof=1) / np.sqrt(3)
    loss, *_ = cell_texts(figure)
    assert loss[0, 0] == f"{losses.mean():.3f}\n± {half:.3f}"
    assert "mean of 3 seeds, 95 % t-interval" in texts(figure)


def test_the_band_of_two_seeds_does_not_squash_the_curves():
    logs = grid(["relu"], ["adam"], seeds=(0, 20))  # t = 12.7
    for metric in METRICS:
        (ax,) = figures.curves(logs, metric).axes
        bottom, top = ax.transData.inverted().transform(ax.transAxes.transform([(0, 0), (0, 1)]))
        seen = np.ptp(ax.transData.transform([(1, v) for log in logs for v in log[metric]])[:, 1])
        assert bottom[1] < top[1] and seen > 0.8 * ax.get_window_extent().height


def test_a_gradient_of_zero_counts_in_the_mean():
    logs = [make_log(seed=seed) for seed in (0, 1)]
    logs[1]["gradient_stats"]["fc1.weight"]["mean_abs"] = [0.0] * 4
    line = figures.gradient_flow(logs).axes[0].lines[0]
    half = np.array(logs[0]["gradient_stats"]["fc1.weight"]["mean_abs"]) / 2
    assert line.get_ydata() == pytest.approx(half, abs=0)


def test_cells_with_different_numbers_of_seeds():
    logs = [*grid(["relu"], ["adam", "sgd"], seeds=(0, 1, 2)), make_log("tanh")]
    figure = figures.comparison_grid(logs)
    assert "mean of 1 to 3 seeds" in texts(figure)
    loss, *_ = cell_texts(figure)
    assert "±" in loss[1, 0] and "±" not in loss[0, 1]


# Divergence


@pytest.mark.parametrize("epoch", [1, 3])
def test_divergence_is_shown_in_every_figure(epoch):
    said = f"diverged at epoch {epoch}"
    bad = make_log("relu", "sgd", diverged=epoch)
    for name, figure in figures.run_figures(bad).items():
        assert said in texts(figure), name
    logs = [make_log("relu", "adam"), bad]
    for metric in METRICS:
        assert list(legend_of(figures.curves(logs, metric)))[-1] == f"relu + sgd\n✖ {said}"
    for cells in cell_texts(figures.comparison_grid(logs)):
        assert cells[0, 0].replace("\n", " ") == said
    assert said in texts(figures.gradient_flow(logs)).replace("\n", " ")


def test_divergence_is_marked_at_the_last_number_there_is():
    bad = make_log("relu", "sgd", diverged=3)
    for metric in METRICS:
        (ax,) = figures.curves([bad], metric).axes
        curve, mark = ax.lines
        assert mark.get_marker() == "X" and mark.get_color() == curve.get_color()
        assert (mark.get_xdata(), mark.get_ydata()) == ([2], [bad[metric][1]])
    left, right = figures.run_figures(bad)["gradient_flow"].axes
    assert right.get_title("left") == "at epoch 2"
    assert all(np.isfinite(dot.get_ydata()).all() for dot in right.lines)


def test_divergence_in_the_first_epoch_is_marked_at_the_bad_end():
    logs = [make_log(), make_log(optimizer="sgd", diverged=1)]
    for metric, end in zip(METRICS, (1, 0), strict=True):
        (ax,) = figures.curves(logs, metric).axes
        (mark,) = (line for line in ax.lines if line.get_marker() == "X")
        assert mark.get_xdata() == [1]
        assert mark.get_ydata() == pytest.approx([ax.get_ylim()[end]])


def test_a_run_that_diverged_in_a_last_step_is_not_ranked_by_the_loss_before_it():
    last_step = make_log("relu", "sgd", diverged=3, level=0.1)
    last_step["train_loss"][-1] = 0.01
    figure = figures.curves([make_log(), last_step], "train_loss")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "0.250  relu + adam", "–  relu + sgd\n✖ diverged at epoch 3",
    ]  # fmt: skip
    mark = figure.axes[0].lines[1]
    assert (mark.get_xdata(), mark.get_ydata()) == ([3], [0.01])


def test_some_seeds_diverged():
    logs = [make_log(seed=0), make_log(seed=1), make_log(seed=2, diverged=2)]
    figure, said = figures.curves(logs, "train_loss"), "1 of 3 seeds diverged at epoch 2"
    assert said in texts(figure)
    loss, *_ = cell_texts(figures.comparison_grid(logs))
    assert said in loss[0, 0].replace("\n", " ") and "0.251" in loss[0, 0]
    curve = figure.axes[0].lines[0].get_ydata()
    assert curve[-1] == pytest.approx(np.mean([log["train_loss"][-1] for log in logs[:2]]))


def test_an_accident_does_not_squash_the_other_losses():
    wild = make_log("tanh")
    wild["train_loss"][0] = wild["val_loss"][0] = 1e30
    assert figures.curves([make_log(), wild], "train_loss").axes[0].get_ylim()[1] < 5
    assert figures.run_figures(wild)["loss_accuracy"].axes[0].get_ylim()[1] < 5


# Data


def test_every_figure_says_when_the_data_are_the_digits():
    dataset = {"name": "digits", "checksum": "", "source": "scikit-learn", "note": NOTE}
    for name, figure in all_figures(grid(["relu"], ["adam"], scheduler="step", dataset=dataset)):
        (said,) = (t for t in figure.texts if "digits, not Fashion-MNIST" in t.get_text())
        assert said.get_color() == figures.ALARM, name


@pytest.mark.parametrize(
    ("name", "note", "said", "color"),
    [
        ("fashion-mnist", "", "lab data: fashion-mnist", figures.GREY),
        ("digits", "", "lab data: digits, not Fashion-MNIST", figures.ALARM),
        ("mine", "only half of it", "lab data: only half of it", figures.ALARM),
    ],
)
def test_the_data_are_named(name, note, said, color):
    figure = figures.curves([make_log(dataset={"name": name, "note": note})], "train_loss")
    assert {(t.get_text(), t.get_color()) for t in figure.texts} >= {(said, color)}


# Nothing is covered, nothing is cut off, nothing breaks


CASES = {
    "six runs": grid(["sigmoid", "tanh", "relu"], ["sgd", "adam"]),
    "long names": [make_log("leaky_relu", "sgd_momentum", 0.00015, "exponential", 123456)],
    "a large grid": grid(figures.ACTIVATIONS, ["sgd_momentum", "adam", "adamw"])[1:],
    "rates and seeds": [
        make_log("gelu", "sgd", rate, seed=seed, diverged=rate > 5 and 2)
        for rate, seed in product([0.001, 0.01, 0.1, 10.0], [1, 2])
    ],
    "nothing but divergence": [make_log(optimizer="sgd", diverged=1)],
    "deep": grid(["elu"], ["sgd"], layers=9),
}


@pytest.mark.parametrize("case", CASES)
def test_legends_cover_nothing_and_nothing_is_cut_off(case):
    logs = CASES[case]
    drawn = figures.run_figures(logs[0])
    drawn |= {metric: figures.curves(logs, metric) for metric in METRICS}
    drawn |= {"comparison": figures.comparison_grid(logs), "flow": figures.gradient_flow(logs)}
    drawn |= {"activations": figures.activations(logs)} if case == "six runs" else {}
    for name, figure in drawn.items():
        (left, bottom), (right, top) = figure.get_tightbbox().get_points()  # around all, in inches
        width, height = figure.get_size_inches()
        assert min(left, bottom, width - right, height - top) > -0.01, name
        titles = [text.get_window_extent() for text in figure.texts if text.get_text()]
        axes = [ax.get_window_extent() for ax in figure.axes]
        legends = [*figure.legends, *(ax.get_legend() for ax in figure.axes if ax.get_legend())]
        for legend in (legend.get_window_extent() for legend in legends):
            assert not any(legend.overlaps(other) for other in [*titles, *axes]), name
        for i, title in enumerate(titles):
            assert not any(title.overlaps(other) for other in titles[:i]), name


def test_odd_numbers_neither_break_nor_warn(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "DPI", 30)  # small pictures are drawn sooner
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
    figures.save(figures.grid_figures([zero, gaps, perfect, huge, short]), tmp_path)
    figures.save({"flow": figures.gradient_flow([zero])}, tmp_path)
    for log in (zero, gaps, huge):
        figures.save(figures.run_figures(log), tmp_path)


# The activation functions


def test_derivatives_are_the_slopes_of_the_functions():
    figure = figures.activations([make_log()])
    for name, ax in zip(figures.ACTIVATIONS, figure.axes, strict=True):
        function, derivative = ax.lines
        assert ax.get_title("left") == name
        assert function.get_linestyle() == "-" and derivative.get_linestyle() == "--"
        z, a = function.get_data()
        smooth = np.abs((z[1:] + z[:-1]) / 2) > 0.02  # away from the kink of relu
        slopes = np.diff(a) / np.diff(z)
        between = (derivative.get_ydata()[1:] + derivative.get_ydata()[:-1]) / 2
        assert slopes[smooth] == pytest.approx(between[smooth], abs=1e-4), name


# Saving


def test_save_writes_readable_pictures_and_nothing_else(tmp_path):
    paths = figures.save(figures.run_figures(make_log()), tmp_path / "new" / "folder")
    assert sorted(path.name for path in paths) == [
        "gradient_flow.png", "loss_accuracy.png", "zero_gradients.png",
    ]  # fmt: skip
    assert sorted((tmp_path / "new" / "folder").iterdir()) == sorted(paths)
    assert all(path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" for path in paths)


def test_save_keeps_the_old_picture_until_the_new_one_is_whole(tmp_path, monkeypatch):
    old = tmp_path / "curve.png"
    old.write_bytes(b"old")

    def breaks_off(self, file, **options):
        file.write(b"half")
        file.flush()
        assert old.read_bytes() == b"old"
        raise OSError("disk full")

    monkeypatch.setattr(figures.Figure, "savefig", breaks_off)
    with pytest.raises(OSError, match="disk full"):
        figures.save({"curve": figures.Figure()}, tmp_path)
    assert old.read_bytes() == b"old" and list(tmp_path.iterdir()) == [old]


def test_pyplot_stays_out():
    code = f"import sys; sys.path.insert(0, {EXPERIMENTS!r}); import figures; "
    code += "sys.exit('matplotlib.pyplot' in sys.modules or 'scipy.stats' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
