"""experiments/comparisons.py: labels, paired differences by hand and by scipy, fits and tuning."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from builders import SEEDS, cell, fake, tuned_logs
from findings import comparisons
from findings.comparisons import (
    cells,
    differences,
    interval,
    measured_factor,
    theoretical_factor,
    tunings,
)
from nnlite.activations import ACTIVATIONS
from nnlite.network import MLP

# Labels


@pytest.mark.parametrize(
    ("a", "b", "labels"),
    [
        ({"optimizer": "adam"}, {"optimizer": "sgd"}, ["sgd", "adam"]),  # each at its own rate
        ({"learning_rate": 0.01}, {"learning_rate": 1.0}, ["lr 0.01", "lr 1"]),
        ({"scheduler": "none"}, {"scheduler": "cosine"}, ["no schedule", "cosine"]),
        ({"batch_size": 8}, {"batch_size": 1}, ["batch 1", "batch 8"]),
        ({"hidden": [9]}, {"hidden": [9, 9, 9]}, ["1 hidden layer", "3 hidden layers"]),
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
        ({"activation": "swish"}, {"activation": "gelu"}, ["gelu", "swish"]),  # a stranger is last
    ],
)
def test_a_label_names_what_varies_and_only_that(a, b, labels):
    found = cells([fake(**a, seed=1), fake(**b), fake(**b, seed=1), fake(**a)])
    assert list(found) == labels
    assert all([log["config"]["seed"] for log in of] == [1, 42] for of in found.values())


def test_a_single_cell_is_called_after_activation_and_optimizer():
    assert list(cells(cell([80, 81]))) == ["relu + adam"]


def test_seeds_of_the_tuning_are_in_no_cell():
    logs = [fake(seed=1, learning_rate=0.5), fake(seed=42)]
    assert list(cells(logs, [1])) == ["relu + adam"] and len(cells(logs)) == 2


# Differences


def row(a, b, metric="test_accuracy", **config):
    """The only row of two cells, relu and gelu, with these test accuracies."""
    logs = cell(a, activation="relu", **config) + cell(b, activation="gelu", **config)
    (only,) = differences(logs, metric)
    assert (only["a"], only["b"]) == ("relu", "gelu")
    return only


def test_difference_and_interval_worked_out_by_hand():
    """Differences 1, 2, 3: mean 2, s = 1, t(0.975, 2) = 4.302653, half-width 4.302653 / sqrt 3."""
    found = row([81, 84, 86], [80, 82, 83])
    assert found["mean"] == pytest.approx(2)
    assert found["half"] == pytest.approx(2.4841377)
    assert (found["n"], found["left_out"], found["verdict"]) == (3, 0, "not decided")
    found = row([83, 85, 85, 87, 85], [80, 82, 83, 84, 81])  # 3 3 2 3 4; t(0.975, 4) = 2.776445
    assert found["mean"] == pytest.approx(3)
    assert found["half"] == pytest.approx(2.776445 * math.sqrt(0.5 / 5))
    assert found["verdict"] == "a is better"


numbers = st.lists(st.floats(10, 99), min_size=2, max_size=5)


@settings(deadline=None)
@given(numbers, st.data())
def test_differences_agree_with_scipy_s_paired_t_test(a, data):
    b = data.draw(st.lists(st.floats(10, 99), min_size=len(a), max_size=len(a)))
    found = row(a, b)
    paired = np.subtract(a, b)
    if np.ptp(paired) < 1e-6:
        return  # the test divides by the spread
    test = stats.ttest_rel(a, b)
    low, high = test.confidence_interval(0.95)
    assert found["mean"] - found["half"] == pytest.approx(low, abs=1e-6)
    assert found["mean"] + found["half"] == pytest.approx(high, abs=1e-6)
    if abs(test.pvalue - 0.05) > 1e-6:
        assert (found["verdict"] == "not decided") == (test.pvalue > 0.05)


@settings(deadline=None)
@given(numbers, st.data())
def test_luck_that_a_seed_gives_to_both_cells_changes_nothing(a, data):
    b, luck = (data.draw(st.lists(st.floats(1, 40), min_size=len(a), max_size=len(a)))
               for _ in range(2))  # fmt: skip
    before, after = row(a, b), row(np.add(a, luck), np.add(b, luck))
    assert after["mean"] == pytest.approx(before["mean"], abs=1e-9)
    assert after["half"] == pytest.approx(before["half"], abs=1e-6)


@settings(deadline=None)
@given(numbers, st.data())
def test_exchanging_the_cells_exchanges_the_verdict(a, data):
    b = data.draw(st.lists(st.floats(10, 99), min_size=len(a), max_size=len(a)))
    one, other = row(a, b), row(b, a)
    assert one["mean"] == -other["mean"] and one["half"] == other["half"]
    swap = {"a is better": "b is better", "b is better": "a is better"}
    assert other["verdict"] == swap.get(one["verdict"], one["verdict"])


def test_pairing_sees_what_two_intervals_do_not():
    """Seeds differ by far more than the cells do: only their common luck being gone decides."""
    luck = np.array([0.0, 4, -3, 2, -5])
    found = row(85.2 + luck + [0.02, -0.02, 0, 0.01, -0.01], 85 + luck)
    assert found["verdict"] == "a is better" and found["half"] < 0.03
    assert stats.ttest_ind(85.2 + luck, 85 + luck).pvalue > 0.5


def test_lower_loss_is_better():
    low = [fake("relu", seed=s, loss=0.1 + s / 1e5) for s in SEEDS]
    high = [fake("gelu", seed=s, loss=0.2) for s in SEEDS]
    (found,) = differences(low + high, "final_loss")
    assert found["mean"] < 0 and found["verdict"] == "a is better"


def test_only_seeds_that_both_cells_finished_are_compared():
    a, b = cell([81, 84, 86, 99], activation="relu"), cell([80, 82, 83], activation="gelu")
    b.append(fake("gelu", seed=45, diverged=True))
    a.append(fake("relu", seed=7, test=10))
    (found,) = differences(a + b)
    assert found["mean"] == pytest.approx(2) and (found["n"], found["left_out"]) == (3, 1)


def test_one_seed_decides_nothing_and_no_seed_even_less():
    found = row([90], [10])
    assert (found["mean"], found["half"], found["n"]) == (80, None, 1)
    assert found["verdict"] == "one seed: not decided"
    (found,) = differences([fake("relu", seed=1), fake("gelu", seed=2)])
    assert (found["mean"], found["half"], found["n"]) == (None, None, 0)
    assert found["verdict"] == "not decided"


def test_equal_cells_are_not_decided():
    assert row([80, 81, 82], [80, 81, 82])["verdict"] == "not decided"


def test_differences_that_are_all_the_same_decide_nothing():
    """88.1 - 88.0 and 87.1 - 87.0 differ only in how they are rounded."""
    for a, b in (([81, 82], [80, 81]), ([88.1, 87.1, 86.3], [88.0, 87.0, 86.2])):
        found = row(a, b)
        assert found["half"] < 1e-9 and found["verdict"] == "not decided"
    assert row([88.11, 87.11, 86.32], [88.0, 87.0, 86.2])["verdict"] == "a is better"


def test_every_pair_has_a_row():
    logs = [log for name in ACTIVATIONS for log in cell([80, 81], activation=name)]
    pairs = {(found["a"], found["b"]) for found in differences(logs)}
    assert len(pairs) == 15 and not any((b, a) in pairs for a, b in pairs)


def test_cells_that_diverged_in_a_seed_are_ranked_after_all_others():
    by_cell = {
        "a": {1: 90.0, 2: None}, "b": {1: 70.0, 2: 72.0}, "c": {1: 80.0, 2: 82.0},
        "d": {1: None, 2: None}, "e": {1: None, 2: 95.0}, "f": {},
    }  # fmt: skip
    assert list(comparisons.ranked(by_cell).items()) == [("c", 81), ("b", 71), ("e", 95), ("a", 90)]
    assert list(comparisons.ranked(by_cell, "final_loss")) == ["b", "c", "a", "e"]
    assert list(comparisons.finished(by_cell)) == ["b", "c"]
    notes = [comparisons.seeds_diverged(by_cell[name]) for name in "abd"]
    assert notes == [" (1 of 2 seeds diverged)", "", " (2 of 2 seeds diverged)"]


def test_interval_of_few_numbers():
    assert interval([]) == interval([None]) == (None, None)
    assert interval([None, 3.0]) == (3.0, None)
    mean, half = interval([1.0, None, 3.0])
    assert mean == 2 and half == pytest.approx(12.706205)  # t(0.975, 1) * sqrt 2 / sqrt 2


# How soon


def test_steps_are_counted_to_the_first_epoch_that_reaches_the_target():
    log = fake(epochs=4, val=90, steps=375)  # 63, 72, 81, 90 %
    assert comparisons.steps_to(log, 72) == 2 * 375
    assert comparisons.steps_to(log, 72.1) == 3 * 375
    assert comparisons.steps_to(log, 90.1) is None
    assert comparisons.steps_to(fake(epochs=2, diverged=True), 99) is None


def test_target_is_what_three_quarters_of_the_cells_reach():
    by_cell = {v: [fake(val=v), fake(val=99, seed=1)] for v in (10.0, 86.0, 88.0, 89.0)}
    assert comparisons.target_accuracy(by_cell) == 85
    assert comparisons.target_accuracy({10.0: by_cell[10.0]}) is None
    assert comparisons.target_accuracy({}) is None


# Depth


def test_theoretical_factors_worked_out_by_hand():
    third, half = math.sqrt(1 / 3), math.sqrt(1 / 2)
    expected = {
        "sigmoid": (0.25 * third, 0.25, 0.25 * math.sqrt(2)),
        "tanh": (third, 1, math.sqrt(2)),
        "relu": (half * third, half, 1),
    }
    for name, factors in expected.items():
        for init, factor in zip(("uniform", "xavier", "he"), factors):
            assert theoretical_factor(name, init) == pytest.approx(factor)
    assert theoretical_factor("gelu", "he") is theoretical_factor("relu", "orthogonal") is None


@pytest.mark.parametrize("init", ["uniform", "xavier", "he"])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_theory_holds_for_real_networks(activation, init):
    """|dL/dz| by backpropagation through eight layers of 128, before any training."""
    model = MLP([64, *[128] * 8, 10], activation, init, seed=3, dtype="float64")
    random = np.random.default_rng(0)
    model.forward(random.uniform(0, 1, (200, 64)))
    model.backward(random.normal(0, 1, (200, 10)))
    norms = [float(np.linalg.norm(model.output_gradients()[f"fc{k}"])) for k in range(1, 9)]
    log = fake(activation, init=init, hidden=[128] * 8, norms=norms)
    ratio = measured_factor(log) / theoretical_factor(activation, init)
    if activation == "relu":
        assert ratio == pytest.approx(1, abs=0.12)
    else:
        assert 0.7 < ratio < 1.02  # a bound


def test_measured_factor_is_that_of_a_straight_line_and_leaves_out_the_logits():
    log = fake(hidden=[50] * 6, norms=[7 * 0.5**k for k in range(5, -1, -1)] + [1000.0])
    assert measured_factor(log) == pytest.approx(0.5)
    assert comparisons.initial_norms(log) == [7 * 0.5**k for k in range(5, -1, -1)]
    assert measured_factor(fake(hidden=[50, 50], norms=[1, 2])) is None
    assert measured_factor(fake(hidden=[50] * 3, norms=[0.0, 1, 2])) is None
    assert measured_factor(fake(hidden=[50] * 3)) is None


# Tuning


def test_tuning_is_read_from_the_tuning_seeds_alone():
    found = tunings(tuned_logs("sgd", 0.1) + tuned_logs("adam", 0.001), [1, 2])
    assert list(found) == ["sgd", "adam"]
    sgd, adam = found["sgd"], found["adam"]
    assert (sgd.best, sgd.customary, adam.best, adam.customary) == (0.1, 0.01, 0.001, 0.001)
    assert sgd.scores[0.1] == pytest.approx(81.5) and list(sgd.scores) == sorted(sgd.scores)
    assert [len(sgd.at_best), len(sgd.at_customary), len(sgd.trials[0.1])] == [5, 5, 2]
    assert sgd.at_best[0]["test_accuracy"] - sgd.at_customary[0]["test_accuracy"] == 5
    assert adam.at_best == adam.at_customary


def test_an_unfinished_tuning_chooses_nothing_by_half_a_rate():
    logs = tuned_logs("sgd", 0.1)
    logs = [log for log in logs
            if (log["config"]["learning_rate"], log["config"]["seed"]) != (0.1, 2)]  # fmt: skip
    assert tunings(logs, [1, 2])["relu + sgd"].best in (0.0316, 0.316)
    assert tunings([log for log in logs if log["config"]["seed"] != 2], [1, 2]) == {}
