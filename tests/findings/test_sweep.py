"""experiments/findings/sweep.py: labels and order, cells and what their seeds measured, tuning."""

import numpy as np
import pytest

from builders import cell, fake, tuned_logs
from findings.sweep import (
    MARKERS,
    Sweep,
    color_of,
    interval,
    label,
    place,
    t_interval,
    table,
    varying,
)
from nnlite.activations import ACTIVATIONS
from nnlite.optimizers import OPTIMIZERS
from nnlite.training.config import Config
from sweep.studies import STUDIES

# Labels


@pytest.mark.parametrize(
    ("a", "b", "labels"),
    [
        ({"optimizer": "adam"}, {"optimizer": "sgd"}, ["sgd", "adam"]),  # each at its own rate
        ({"learning_rate": 0.01}, {"learning_rate": 1.0}, ["lr 0.01", "lr 1"]),
        ({"scheduler": "none"}, {"scheduler": "cosine"}, ["no schedule", "cosine"]),
        ({"batch_size": 8}, {"batch_size": 1}, ["batch 1", "batch 8"]),
        ({"hidden": [128]}, {"hidden": [128] * 3}, ["1 hidden layer", "3 hidden layers"]),
        ({"hidden": [9]}, {"hidden": [9] * 3}, ["1 hidden layer of 9", "3 hidden layers of 9"]),
        ({"hidden": [64]}, {"hidden": [128]}, ["1 hidden layer of 64", "1 hidden layer"]),
        ({"hidden": [9, 9]}, {"hidden": [8, 8]}, ["2 hidden layers of 8", "2 hidden layers of 9"]),
        ({"hidden": []}, {"hidden": [9, 8]}, ["no hidden layers", "hidden 9-8"]),
        (
            {"activation": "sigmoid", "hidden": [9] * 5, "init": "xavier"},
            {"activation": "relu", "hidden": [9] * 5, "init": "uniform"},
            ["sigmoid, xavier", "relu, uniform"],
        ),
        (
            {"activation": "tanh", "learning_rate": 0.1},
            {"activation": "relu", "optimizer": "sgd", "learning_rate": 0.1},
            ["tanh + adam", "relu + sgd"],
        ),
    ],
)
def test_a_label_names_what_varies_and_only_that(a, b, labels):
    sweep = Sweep.of([fake(**a, seed=1), fake(**b), fake(**b, seed=1), fake(**a)])
    assert [cell.label for cell in sweep.cells] == labels
    assert all(cell.seeds == [1, 42] for cell in sweep.cells) and sweep.seeds == [1, 42]


def test_a_single_cell_is_called_after_activation_and_optimizer():
    (only,) = Sweep.of(cell([80, 81])).cells
    assert (only.label, only.column) == ("relu + adam", "adam")


def test_a_stranger_comes_last_and_looks_like_no_other(monkeypatch):
    monkeypatch.setitem(ACTIVATIONS, "swish", ACTIVATIONS["gelu"])
    monkeypatch.setitem(OPTIMIZERS, "lion", OPTIMIZERS["sgd"])
    sweep = Sweep.of([fake("swish"), fake("swish", "lion"), fake("gelu"), fake("gelu", "lion")])
    assert (sweep.rows, sweep.columns) == (["gelu", "swish"], ["adam", "lion"])
    assert len({color_of(name) for name in ACTIVATIONS}) == len(ACTIVATIONS) == 7
    assert len({cell.marker or str(cell.dashes) for cell in sweep.cells}) == 2


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="swish"):
        Sweep.of([fake("swish")])


def test_seeds_of_the_tuning_are_in_no_cell():
    logs = [fake(seed=1, learning_rate=0.5), fake(seed=42)]
    assert [c.label for c in Sweep.of(logs, tune_seeds=[1]).cells] == ["relu + adam"]
    assert len(Sweep.of(logs).cells) == 2 and len(Sweep.of(logs, tune_seeds=[1]).logs) == 2


def test_no_two_networks_share_a_label():
    layers = [[], [64], [128], [64, 64], [128, 128], [64, 128], [128, 64], [64, 64, 64]]
    sweep = Sweep.of([fake(hidden=hidden) for hidden in layers])
    assert len({cell.label for cell in sweep.cells}) == len(set(sweep.columns)) == len(layers)
    grid = Sweep.of([fake(a, hidden=[n]) for a in ("relu", "tanh") for n in (8, 9)])
    assert all(grid.at(cell.config.activation, cell.column) is cell for cell in grid.cells)


def test_a_label_names_settings_in_one_order_whatever_it_is_asked():
    config = Config("tanh", "sgd", scheduler="step", batch_size=8, hidden=(9, 9), init="he")
    text = label(
        config, ["init", "hidden", "batch_size", "scheduler", "learning_rate", "optimizer"]
    )
    assert text == "sgd, lr 0.01, step, batch 8, 2 hidden layers of 9, he"
    assert label(config, ["epochs"]) == "30 epochs" and label(config, []) == ""


def test_a_rate_varies_only_where_one_optimizer_has_several():
    adam, sgd, fast = Config(optimizer="adam"), Config(optimizer="sgd"), Config(learning_rate=0.1)
    assert varying([adam, sgd]) == ["optimizer"] and varying([adam, adam]) == varying([]) == []
    assert varying([adam, fast]) == ["learning_rate"]
    assert varying([Config(init="he"), sgd, fast]) == ["optimizer", "learning_rate", "init"]


def test_order_is_that_of_the_command_line_and_of_numbers():
    ordered = [
        Config("sigmoid", "rmsprop"),
        Config("relu", "sgd", 0.01),
        Config("relu", "sgd", 0.1, batch_size=8),
        Config("relu", "sgd", 0.1, batch_size=16, hidden=(9, 9)),
        Config("relu", "sgd", 0.1, batch_size=16, hidden=(1, 1, 1), init="he"),
        Config("relu", "sgd", 0.1, batch_size=16, hidden=(1, 1, 1), init="he", seed=43),
        Config("relu", "adam"),
        Config("relu", "adam", scheduler="cosine"),
    ]
    assert sorted(ordered[::-1], key=place) == ordered


# Cells and the grid


def test_rows_and_columns_of_a_grid():
    logs = [fake("tanh", "sgd"), fake("relu", "adam"), fake("relu", "sgd"), fake("gelu", "adam")]
    sweep = Sweep.of(logs, command="a command")
    assert (sweep.rows, sweep.columns) == (["tanh", "relu", "gelu"], ["sgd", "adam"])
    assert sweep.at("relu", "sgd").label == "relu + sgd" and sweep.at("gelu", "sgd") is None
    assert sweep.varies == ["activation", "optimizer"] and sweep.command == "a command"
    assert sweep.dataset["name"] == "fashion-mnist" and sweep.epochs == 4


def test_columns_are_in_order_even_if_the_first_row_lacks_some():
    logs = [fake("sigmoid", batch_size=16), fake(batch_size=4), fake(batch_size=16)]
    sweep = Sweep.of(logs)
    assert sweep.columns == ["batch 4", "batch 16"] and sweep.at("sigmoid", "batch 4") is None


def test_peers_differ_in_nothing_but_the_settings_asked_for():
    logs = [fake(a, o) for a in ("relu", "tanh") for o in ("sgd", "adam")]
    sweep = Sweep.of(logs + [fake("relu", "sgd", 0.5)])

    def peers(*keys):
        return [[c.label for c in group] for group in sweep.peers(*keys)]

    assert peers("activation")[0] == ["tanh + sgd, lr 0.01", "relu + sgd, lr 0.01"]
    assert peers("learning_rate")[2] == ["relu + sgd, lr 0.01", "relu + sgd, lr 0.5"]
    assert [len(group) for group in peers("optimizer")] == [1, 1, 1, 1, 1]
    assert [len(group) for group in peers("optimizer", "learning_rate")] == [2, 3]
    assert len(peers()) == 5


def test_markers_tell_apart_what_dashes_do_not():
    def markers(logs):
        return [cell.marker for cell in Sweep.of(logs).cells]

    assert markers([fake("relu", "sgd"), fake("tanh", "adam")]) == ["", ""]
    assert markers([fake(learning_rate=0.1), fake(learning_rate=0.2)]) == [*MARKERS[:2]]
    assert markers([fake("relu", "sgd", epochs=2), fake("tanh", "adam", epochs=2)]) == ["s", "o"]
    rates = [fake(a, learning_rate=r) for a in ("relu", "tanh") for r in (0.1, 0.2)]
    assert markers(rates) == ["o", "s", "o", "s"]  # one a column


def test_values_by_seed_leave_out_what_diverged():
    logs = [fake(seed=s, test=80 + s, diverged=s == 2) for s in (3, 2, 1)]
    (only,) = Sweep.of(logs).cells
    assert only.values("test_accuracy") == {1: 81, 2: None, 3: 83}
    assert only.values("best_val_accuracy") == {1: 82, 2: None, 3: 84}  # of three epochs, for 2
    assert only.diverged == 1 and only.seeds == [1, 2, 3] and only.depth == 2
    mean, half = only.mean("test_accuracy")
    assert mean == 82 and half == pytest.approx(12.706205)  # t(0.975, 1) * sqrt 2 / sqrt 2
    assert [s["test_accuracy"] for s in only.summaries] == [81, None, 83]


def test_curves_have_a_row_a_seed_and_gaps():
    logs = [fake(seed=1, loss=1.0), fake(seed=2, loss=1.0, diverged=True)]
    (only,) = Sweep.of(logs).cells
    curves = only.curves("train_loss")
    assert curves.shape == (2, 4) and curves[0] == pytest.approx([3, 7 / 3, 5 / 3, 1])
    assert np.isnan(curves).tolist() == [[False] * 4, [False, False, False, True]]


# The question


def test_the_question_is_the_study_s_or_what_varies():
    def question(*configs, study=None):
        return Sweep.of([fake(**config) for config in configs], study).question

    assert question({}, study="depth") == STUDIES["depth"].question
    assert question({}) == "How does relu + adam learn?"
    assert question({}, {"init": "he"}) == "What difference does initialization make?"
    three = question({}, {"batch_size": 8, "hidden": [9]}, {"activation": "tanh"})
    assert three == "What difference do activation, batch size and depth make?"


# Intervals


def test_interval_of_few_numbers():
    assert interval([]) == interval([None]) == (None, None)
    assert interval([None, 3.0]) == (3.0, None)
    mean, half = interval([1.0, None, 3.0])
    assert mean == 2 and half == pytest.approx(12.706205)  # t(0.975, 1) * sqrt 2 / sqrt 2


def test_intervals_of_columns_leave_gaps_out():
    rows = table([[1, 5, None], [3, None], [5, 5, None]])
    assert rows.shape == (3, 3) and np.isnan(rows[1, 1:]).all()
    mean, half = t_interval(rows)
    assert mean[:2].tolist() == [3, 5] and np.isnan([mean[2], half[2]]).all()
    assert half[:2] == pytest.approx([4.302653 * 2 / np.sqrt(3), 0])


# Tuning


def test_tuning_is_read_from_the_tuning_seeds_alone():
    sweep = Sweep.of(tuned_logs("sgd", 0.1) + tuned_logs("adam", 0.001), tune_seeds=[1, 2])
    sgd, adam = sweep.tunings
    assert [sgd.label, adam.label] == ["sgd", "adam"] and sweep.tune_seeds == (1, 2)
    assert (sgd.best, sgd.usual, adam.best, adam.usual) == (0.1, 0.01, 0.001, 0.001)
    assert sgd.scores[0.1] == pytest.approx(81.5) and list(sgd.scores) == sorted(sgd.scores)
    assert [len(c.logs) for c in (sgd.at_best, sgd.at_usual, sgd.trials[0.1])] == [5, 5, 2]
    gained = (cell.values("test_accuracy")[42] for cell in (sgd.at_usual, sgd.at_best))
    assert [*gained] == [80, 85]
    assert sgd.trials[0.1].seeds == [1, 2] and sgd.trials[0.1].config.learning_rate == 0.1
    assert adam.at_best is adam.at_usual and {sgd.at_best, sgd.at_usual} < set(sweep.cells)


def test_an_unfinished_tuning_chooses_nothing_by_half_a_rate():
    logs = tuned_logs("sgd", 0.1)
    half = [
        log for log in logs if (log["config"]["learning_rate"], log["config"]["seed"]) != (0.1, 2)
    ]
    (tuning,) = Sweep.of(half, tune_seeds=[1, 2]).tunings
    assert tuning.label == "relu + sgd" and tuning.best in (0.0316, 0.316)
    one_seed = [log for log in logs if log["config"]["seed"] != 2]
    assert Sweep.of(one_seed, tune_seeds=[1, 2]).tunings == []


def test_a_sweep_that_only_tuned_shows_its_trials():
    logs = tuned_logs("sgd", 0.1) + tuned_logs("adam", 0.001)
    assert not Sweep.of(logs, tune_seeds=[1, 2]).only_tuned and not Sweep.of(logs).only_tuned
    trials = [log for log in logs if log["config"]["seed"] in (1, 2)]
    sweep = Sweep.of(trials, tune_seeds=[1, 2])
    assert sweep.only_tuned and sweep.seeds == [1, 2] and len(sweep.cells) == 14
    assert [(t.best, t.at_usual, t.at_best) for t in sweep.tunings] == [
        (0.1, None, None),
        (0.001, None, None),
    ]
