"""experiments/figures/study.py: what a reader sees, drawn from made-up logs."""

import io

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.text import Text

from builders import SEEDS, cell, fake, tuned_logs
from figures import study as drawn
from figures import style
from findings.sweep import Sweep, color_of, dashes_of
from nnlite import ACTIVATIONS, OPTIMIZERS, SCHEDULERS
from seen import check_layout
from sweep.tuning import first_rates


def study_figures(study, logs, tune_seeds=()):
    return drawn.study_figures(Sweep.of(logs, study, "", tune_seeds))


def sweep(study, seeds=SEEDS, **changes):
    """Logs of a small sweep as the study makes them; the tuning seeds of it."""
    if study == "learning-rate":
        logs = [
            log
            for a in ("relu", "sigmoid")
            for log in tuned_logs("sgd", 0.1, a, 70) + tuned_logs("adam", 0.01, a, 80)
        ]
        return logs, (1, 2)
    variables = {
        "activations": [{"activation": name} for name in ACTIVATIONS],
        "optimizers": [{"optimizer": name} for name in OPTIMIZERS],
        "schedulers": [{"scheduler": name} for name in SCHEDULERS],
        "batch-size": [{"batch_size": n, "steps": 8000 // n} for n in (1, 8, 64)],
        "depth": [
            {
                "activation": name,
                "init": init,
                "hidden": [64] * n,
                "optimizer": "sgd_momentum",
                "norms": [0.01 * factor ** (n - k) for k in range(n)],
            }
            for name, factor in (("sigmoid", 0.14), ("relu", 0.4))
            for init in ("uniform", "he")
            for n in (1, 2, 5)
        ],
        None: [{"activation": a, "optimizer": o} for a in ("relu", "elu") for o in ("sgd", "adam")],
    }[study]
    random = np.random.default_rng(0)
    logs = [
        fake(
            seed=seed,
            test=80 + k + random.normal(0, 0.3),
            **{"norms": [0.1, 0.2], **variable, **changes},
        )
        for k, variable in enumerate(variables)
        for seed in seeds
    ]
    return logs, ()


OWN = {
    "activations": ["gradients_by_layer"],
    "optimizers": ["gradients_by_layer"],
    None: ["gradients_by_layer"],
    "schedulers": ["gradients_by_layer", "schedule_gains"],
    "learning-rate": ["sensitivity", "tuned", "steps_to_target"],
    "depth": ["gradients_by_layer", "accuracy_by_depth"],
    "batch-size": ["gradients_by_layer", "batch_sizes"],
}


def curves(ax):
    """The lines of more than one point in an axes."""
    return [
        line for line in ax.lines if len(line.get_xdata()) > 1 and line.get_linestyle() != "None"
    ]


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text)]


@pytest.mark.parametrize("study", OWN)
def test_each_study_has_its_figures_with_every_text_inside_and_none_on_another(study):
    found = study_figures(study, *sweep(study))
    assert list(found) == [*OWN[study], "differences"]
    for name, figure in found.items():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        renderer, (width, height) = canvas.get_renderer(), figure.get_size_inches() * figure.dpi
        for text in figure.findobj(Text):
            box = text.get_window_extent(renderer)
            inside = -1 < box.x0 and box.x1 < width + 1 and -1 < box.y0 and box.y1 < height + 1
            assert inside or not text.get_text() or not text.get_visible(), (name, text)
        for ax in figure.axes:
            labels = [text for text in ax.get_xticklabels() if text.get_text()]
            spans = sorted(tuple(text.get_window_extent(renderer).intervalx) for text in labels)
            assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:])), name


@pytest.mark.parametrize("study", OWN)
def test_one_run_or_seed_or_none_and_divergence_are_no_obstacles(study):
    logs, tune_seeds = sweep(study)
    study_figures(study, logs[:1], tune_seeds)
    study_figures(study, [log for log in logs if log["config"]["seed"] in (1, 2)], tune_seeds)
    one_seed = [log for log in logs if log["config"]["seed"] in (1, 2, 42)]
    assert list(study_figures(study, one_seed, tune_seeds)) == [
        name
        for name in OWN[study]
        if name != "schedule_gains"  # which is made of intervals
    ]
    gone = [{**fake(diverged=True), "config": log["config"]} for log in logs]
    study_figures(study, gone, tune_seeds)
    mixed = [log if k % 3 else other for k, (log, other) in enumerate(zip(logs, gone))]
    for figure in study_figures(study, mixed, tune_seeds).values():
        figure.savefig(io.BytesIO(), format="png", dpi=20)  # without a warning


def test_colors_and_line_styles_are_those_of_the_other_figures():
    (ax,) = study_figures("depth", *sweep("depth"))["accuracy_by_depth"].axes[:1]
    colors = {to_hex(line.get_color()).upper() for line in curves(ax)}
    assert colors == {color_of(name) for name in ("sigmoid", "relu")}
    ax = study_figures("learning-rate", *sweep("learning-rate"))["sensitivity"].axes[0]
    expected = [dashes_of(name) for name in ("sgd", "adam")]
    assert [line._unscaled_dash_pattern for line in curves(ax)] == [
        matplotlib.lines._get_dash_pattern(style) for style in expected
    ]


# Differences


def test_the_forest_has_the_numbers_and_fills_what_is_decided():
    base = [80, 81, 82]
    logs = cell(base, activation="gelu") + cell([79, 80.1, 80.9], activation="relu")
    logs += cell([79, 82, 81.9], activation="tanh")
    figure = study_figures(None, logs)["differences"]
    assert "Test accuracy against the best cell, gelu" in texts(figure)
    (ax,) = figure.axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["tanh", "relu"]
    assert "−1.00 ± 0.25" in texts(figure)  # 1, 0.9, 1.1: t(0.975, 2) 0.1 / sqrt 3
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert [dot.get_xdata()[0] for dot in dots] == pytest.approx([-0.1 / 3, -1])
    assert [dot.get_markerfacecolor() for dot in dots] == ["white", color_of("relu")]
    interval = ax.lines[2].get_xdata()
    assert interval[1] - interval[0] == pytest.approx(2 * 4.302653 * 0.1 / 3**0.5)
    assert ax.get_xscale() == "linear"


def test_the_forest_has_what_diverged_at_its_end_and_says_so():
    gone = [fake("tanh", seed=s, test=99 + s % 2, diverged=s == 44) for s in SEEDS]
    logs = gone + cell([80, 81, 82, 80, 81], activation="gelu") + cell([70, 72, 71, 70, 72])
    figure = study_figures(None, logs)["differences"]
    assert "Test accuracy against the best cell, gelu" in texts(figure)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        "relu",
        "tanh (1 of 5 seeds diverged)",
    ]


def test_the_forest_shows_twenty_and_says_how_many_it_does_not():
    logs = [
        fake(learning_rate=k / 100, seed=s, test=80 - k + 0.01 * s % 3)
        for k in range(1, 31)
        for s in (1, 2, 3)
    ]
    figure = study_figures(None, logs)["differences"]
    (ax,) = figure.axes
    assert len(ax.get_yticklabels()) == 20
    assert any("9 cells below are not shown" in text for text in texts(figure))
    assert ax.get_xscale() == "symlog"  # differences of 1 and of 20


def test_a_schedule_s_gain_is_against_none_in_loss_and_in_accuracy():
    logs = [
        fake(scheduler=name, seed=s, test=80 + test + s % 2, loss=loss + s / 1e6)
        for name, test, loss in (("none", 0, 0.3), ("step", 2, 0.2), ("cosine", -1, 0.1))
        for s in SEEDS
    ]
    losses, accuracies = study_figures("schedulers", logs)["schedule_gains"].axes
    for ax, expected in ((losses, [-0.1, -0.2]), (accuracies, [2, -1])):
        assert [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "o"] == (
            pytest.approx(expected)
        )
    assert [label.get_text() for label in losses.get_yticklabels()] == ["step", "cosine"]


# Learning rates


def test_sensitivity_is_the_mean_over_the_tuning_seeds_with_the_chosen_rate_marked():
    logs, tune_seeds = sweep("learning-rate")
    figure = study_figures("learning-rate", logs, tune_seeds)["sensitivity"]
    panels = {ax.get_title(): ax for ax in figure.axes}
    assert set(panels) == {"sigmoid", "relu"}
    sgd, adam = curves(panels["relu"])
    assert list(sgd.get_xdata()) == first_rates(0.01)
    best = dict(zip(sgd.get_xdata(), sgd.get_ydata()))
    assert best[0.1] == pytest.approx(81.5) and best[0.01] == pytest.approx(77.5)
    stars = {tuple(line.get_xdata()) for line in panels["relu"].lines if line.get_marker() == "*"}
    assert stars == {(0.1,), (0.01,)}
    hollow = [
        line.get_xdata()[0]
        for line in panels["relu"].lines
        if line.get_marker() == "o" and line.get_markerfacecolor() == "white"
    ]
    assert hollow == [0.01, 0.001]
    assert "diverged" not in texts(figure)


def test_a_rate_that_diverged_is_crossed_and_not_joined():
    logs, tune_seeds = sweep("learning-rate")
    for log in logs:
        if log["config"]["learning_rate"] == 0.316 and log["config"]["seed"] == 2:
            log["diverged"], log["val_accuracy"][-1] = {"epoch": 4, "step": 1}, None
    figure = study_figures("learning-rate", logs, tune_seeds)["sensitivity"]
    ax = figure.axes[0]
    assert [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "X"] == [0.316]
    assert np.isnan(curves(ax)[0].get_ydata()[-1])
    assert "diverged" in texts(figure)


def test_tuned_beside_usual_on_the_fresh_seeds():
    logs, tune_seeds = sweep("learning-rate")
    ax = study_figures("learning-rate", logs, tune_seeds)["tuned"].axes[1]
    assert ax.get_title() == "relu"
    assert [label.get_text() for label in ax.get_xticklabels()] == ["sgd", "adam"]
    heights = {
        marker: [line.get_ydata()[0] for line in ax.lines if line.get_marker() == marker]
        for marker in "o*"
    }
    fresh = np.mean([s % 3 for s in SEEDS])
    assert heights["o"] == pytest.approx([70 + fresh, 80 + fresh])
    assert heights["*"] == pytest.approx([75 + fresh, 85 + fresh])


def test_steps_to_a_target_cross_what_a_seed_never_reached():
    logs, tune_seeds = sweep("learning-rate")
    figure = study_figures("learning-rate", logs, tune_seeds)["steps_to_target"]
    assert "Steps to 75 % validation accuracy (in whole epochs)" in texts(figure)
    ax = figure.axes[1]
    crosses = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "X"]
    assert crosses == pytest.approx([-0.15])  # sgd at its usual rate
    stars = [line.get_ydata()[0] for line in ax.lines if line.get_marker() == "*"]
    assert stars == pytest.approx([1600, 1200])  # 400 an epoch; 90 % of 86 are above 75


# Depth


def test_gradients_fall_on_straight_lines_beside_those_of_theory():
    figure = study_figures("depth", *sweep("depth"))["gradients_by_layer"]
    panels = {ax.get_title(): ax for ax in figure.axes}
    assert list(panels) == ["uniform initialization", "he initialization"]
    ax = panels["uniform initialization"]
    assert ax.get_yscale() == "log"
    sigmoid, theory, relu, _ = curves(ax)
    # 1 is that of fc6, the output layer, in these logs.
    assert sigmoid.get_ydata() == pytest.approx([*(0.01 * 0.14**k for k in (5, 4, 3, 2, 1)), 1])
    assert relu.get_ydata() == pytest.approx([*(0.01 * 0.4**k for k in (5, 4, 3, 2, 1)), 1])
    bound = 0.25 * 3**-0.5
    assert theory.get_ydata() == pytest.approx([bound**k for k in (5, 4, 3, 2, 1, 0)])
    assert any("5 hidden layers" in text for text in texts(figure))


def test_gradients_of_any_sweep_are_drawn_once_for_all_that_start_alike():
    logs = [
        fake(a, o, seed=s, norms=[n, 0.25])
        for a, n in (("relu", 0.125), ("tanh", 0.0625))
        for o in ("sgd", "adam")
        for s in SEEDS
    ]
    figure = study_figures(None, logs)["gradients_by_layer"]
    (ax,) = figure.axes
    tanh, bound, relu, theory = curves(ax)  # in the order of the command line
    assert list(relu.get_xdata()) == [1, 2, 3]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["fc1", "fc2", "fc3"]
    assert relu.get_ydata() == pytest.approx([0.125, 0.25, 1])
    assert tanh.get_ydata() == pytest.approx([0.0625, 0.25, 1])
    # Weights uniform in +-1/sqrt(D_in): D_in Var = 1/3. relu's f' is 1 in half of its units.
    assert theory.get_ydata() == pytest.approx([1 / 6, 6**-0.5, 1])
    assert bound.get_ydata() == pytest.approx([1 / 3, 3**-0.5, 1])


def test_the_legend_of_gradients_knows_no_optimizer():
    some = [("sigmoid", "sgd"), ("sigmoid", "adam"), ("tanh", "adam")]  # of an interrupted grid
    logs = [fake(a, o, seed=s, norms=[0.1, 0.2]) for a, o in some for s in SEEDS]
    figure = study_figures(None, logs)["gradients_by_layer"]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["sigmoid", "tanh", "theory (sigmoid,\ntanh: bound)"]
    figure = study_figures(None, [log for log in logs if log["config"]["activation"] == "tanh"])
    assert figure["gradients_by_layer"].legends[0].get_texts()[-1].get_text() == (
        "theory (tanh: bound)"
    )


def test_gradients_are_those_of_one_network_and_its_last_layer_has_a_name():
    logs = [fake(hidden=[8] * 7, seed=s, norms=[0.1] * 7) for s in SEEDS]
    logs += [fake(hidden=[9] * 7, seed=s, norms=[0.2] * 7) for s in SEEDS]
    logs += [fake(hidden=[8] * 2, seed=s, norms=[0.3] * 2) for s in SEEDS]
    (ax,) = study_figures(None, logs)["gradients_by_layer"].axes
    assert len(curves(ax)) == 2  # and its theory
    assert [label.get_text() for label in ax.get_xticklabels()][-1] == "fc8"


def test_a_tuned_study_of_depths_has_its_gradients():
    logs = [
        {**log, "config": {**log["config"], "hidden": [64] * 2}, "initial": norms["initial"]}
        for norms in [fake(hidden=[64] * 2, norms=[0.1, 0.2])]
        for log in tuned_logs("sgd", 0.1)
    ]
    assert "gradients_by_layer" in study_figures("depth", logs, (1, 2))


def test_a_single_run_has_its_gradients_in_a_figure_of_its_own():
    assert "gradients_by_layer" not in study_figures(None, [fake(norms=[0.1, 0.2])])


def test_no_line_of_theory_where_there_is_none():
    logs, _ = sweep("depth", activation="gelu")
    figure = study_figures("depth", logs)["gradients_by_layer"]
    black = [line for ax in figure.axes for line in curves(ax) if line.get_color() == "black"]
    assert not black
    assert not any("theory" in text for text in texts(figure))


def test_accuracy_by_depth_is_the_mean_over_seeds():
    logs = [
        log
        for n, t in ((1, 80), (2, 85), (4, 60))
        for log in cell([t, t + 1, t + 2], hidden=[64] * n, optimizer="sgd")
    ]
    (ax,) = study_figures("depth", logs)["accuracy_by_depth"].axes
    (curve,) = curves(ax)
    assert list(curve.get_xdata()) == [1, 2, 4]
    assert curve.get_ydata() == pytest.approx([81, 86, 61])


# Batch size


def test_of_many_batch_sizes_some_are_drawn_and_it_is_said():
    figure = study_figures("batch-size", [fake(batch_size=n) for n in range(1, 51)])["batch_sizes"]
    assert len(figure.axes[1].lines) == 16
    assert figure.legends[0].get_title().get_text() == "batch size\n(16 of 50)"
    assert all(len(ax.get_xticks()) <= 8 for ax in figure.axes)
    check_layout(figure, "batch_sizes")


def test_of_many_tuned_combinations_the_best_are_drawn_and_it_is_said():
    logs = []
    for size in range(1, 61):
        for activation in ("relu", "tanh"):
            for log in tuned_logs("adam", 0.001, activation, test=30 + size):
                log["config"]["batch_size"] = size
                logs.append(log)
    figure = study_figures("learning-rate", logs, (1, 2))["tuned"]
    assert any("the best 20 of 60 combinations by test accuracy" in text for text in texts(figure))
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == [
        f"batch {size}" for size in range(41, 61)
    ]
    assert max(figure.get_size_inches()) * figure.dpi <= style.MOST_PIXELS


def test_batch_sizes_over_steps_and_seconds():
    logs, _ = sweep("batch-size", seconds=3.0)
    left, middle, right = study_figures("batch-size", logs)["batch_sizes"].axes
    assert [text.get_text() for text in left.get_xticklabels()] == ["1", "8", "64"]
    (accuracy,) = curves(left)
    assert list(accuracy.get_xdata()) == [1, 8, 64]
    one, eight, many = curves(middle)
    assert list(one.get_xdata()) == [8000, 16000, 24000, 32000]
    assert list(many.get_xdata()) == [125, 250, 375, 500]
    assert len({line.get_marker() for line in (one, eight, many)}) == 3
    assert list(curves(right)[0].get_xdata()) == [3, 6, 9, 12]
    assert left.get_xscale() == middle.get_xscale() == right.get_xscale() == "log"
