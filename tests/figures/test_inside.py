"""experiments/figures/inside.py: what a reader sees in the figures of all cells."""

from itertools import product

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PolyCollection
from scipy import stats

from builders import make_grid, make_log
from figures import inside
from findings.sweep import Sweep
from nnlite import ACTIVATIONS
from seen import check_layout, curves, legend_of, texts


def grid_diagnostics(logs):
    return inside.grid_diagnostics(Sweep.of(logs))


def test_divergence_is_told_in_the_figures_of_the_grid():
    logs = [make_log(), make_log("tanh", seed=1, diverged=2), make_log("tanh", seed=2)]
    for figure in grid_diagnostics(logs).values():
        assert "1 of 2 seeds diverged at epoch 2" in texts(figure).replace("\n", " ")
    bad = make_log("elu", dead=0, zero=0, diverged=1)
    bad["initial"]["probe"] = {n: dict.fromkeys(h, 0.0) for n, h in bad["probe"].items()}
    assert grid_diagnostics([bad]) == {}


def test_update_ratios_of_seeds_are_a_mean_in_a_band():
    logs = [make_log(seed=seed, ratio=level) for seed, level in enumerate((1.0, 3.0, 0.1))]
    logs += [make_log("tanh", "sgd", ratio=2.0)]
    figure = grid_diagnostics(logs)["update_ratio"]
    assert [ax.get_title() for ax in figure.axes] == ["tanh + sgd", "relu + adam"]
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
    assert rows == ["tanh", "relu"]
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


@pytest.mark.parametrize(
    ("cells", "names"),
    [
        (1, set()),
        (15, set()),
        (16, {"update_ratio"}),
        (41, {"update_ratio", "units"}),
    ],
)
def test_of_too_many_cells_the_best_are_drawn_and_it_is_said(cells, names):
    logs = [make_log(learning_rate=0.001 * (k + 1)) for k in range(cells)]
    drawn = grid_diagnostics(logs)
    assert set(drawn) == {"update_ratio", "units"}
    for name, figure in drawn.items():
        assert max(figure.get_size_inches()) < 21
        assert ("the best" in texts(figure)) == (name in names)
        rows = figure.axes[0].get_yticks() if name == "units" else figure.axes
        assert min(cells, 16) - 1 <= len(rows) <= 40


def test_of_many_layers_some_are_drawn_and_it_is_said():
    for figure in grid_diagnostics([make_log(hidden=(8,) * n) for n in (60, 2)]).values():
        assert "16 of 61 layers" in texts(figure)
        assert [len(ax.lines) for ax in figure.axes] in ([1 + 1, 16 + 1], [15] * 2, [15, 16])
        assert figure.get_figheight() < 7


def test_the_order_of_the_logs_does_not_matter():
    logs = [make_log("relu", seed=1), make_log("tanh"), make_log("relu", "sgd"), make_log("relu")]
    for one, other in zip(*(grid_diagnostics(order).values() for order in (logs, logs[::-1]))):
        assert texts(one) == texts(other)
        for ax, same in zip(one.axes, other.axes, strict=True):
            assert curves(ax) == [pytest.approx(values) for values in curves(same)]


# Nothing is covered, nothing is cut off


OPTIMIZERS = ["sgd_momentum", "rmsprop", "adam"]
CASES = {
    "usual": [make_log()],
    "one hidden layer": [make_log("tanh", hidden=(8,))],
    "ten hidden layers": [make_log("sigmoid", hidden=(8,) * 10)],
    "very deep": [make_log("tanh", hidden=(8,) * 16, diverged=2)],
    "depths": [make_log("elu", hidden=(8,) * depth) for depth in (1, 5, 10)],
    "long names": [
        make_log("leaky_relu", "sgd_momentum", rate, "exponential", 123456, hidden=hidden)
        for rate in (0.00015, 0.1)
        for hidden in [(8, 6), (128, 64, 32)]
    ],
    "names of forty characters and more": [
        make_log("leaky_relu", optimizer, 0.00015, schedule, batch_size=size, hidden=(64,) * 5)
        for optimizer in ("sgd_momentum", "rmsprop")
        for schedule in ("none", "exponential")
        for size in (128, 1024)
    ],
    "fifteen": [make_log(a, o) for a, o in product(list(ACTIVATIONS)[:5], OPTIMIZERS)],
    "seeds that diverged": [make_log("gelu", seed=s, diverged=2 * (s > 1)) for s in range(4)],
    "one epoch": [make_log(epochs=1)],
}


@pytest.mark.parametrize("case", CASES)
def test_legends_cover_nothing_and_nothing_is_cut_off(case):
    for name, figure in grid_diagnostics(CASES[case]).items():
        check_layout(figure, name)


def test_the_legend_of_layers_is_that_of_the_deepest_network():
    figure = grid_diagnostics([make_log(hidden=(8,) * n) for n in (1, 3, 2)])["update_ratio"]
    assert list(legend_of(figure))[:-1] == ["fc1", "fc2", "fc3", "fc4"]
    colors = [[tuple(line.get_color()) for line in ax.lines[:-1]] for ax in figure.axes[:3]]
    assert colors[0] == colors[2][:2] and colors[1] == colors[2][:3]


def test_the_title_names_the_measures_that_are_shown():
    logs = make_grid(["tanh", "sigmoid"], ["adam"], dead=0, zero=0)
    figure = grid_diagnostics(logs)["units"]
    assert figure.get_suptitle() == "Saturation at the end of training" and len(figure.axes) == 1
