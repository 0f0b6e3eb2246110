"""experiments/findings/comparisons.py: paired differences by hand and by scipy, fits, tuning."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from builders import SEEDS, cell, fake, tuned_logs
from findings import comparisons
from findings.comparisons import (
    best_first,
    closed_by_tuning,
    differences,
    finished,
    measured_factor,
    ranked,
    theoretical_factor,
)
from findings.sweep import Cell, Sweep
from nnlite.activations import ACTIVATIONS
from nnlite.network import MLP
from nnlite.training.config import Config

# Differences


def only_difference(logs, measure="test_accuracy"):
    """The difference of the two cells of these logs, relu and gelu."""
    ((a, b, difference),) = differences(Sweep.of(logs), measure)
    assert (a.label, b.label) == ("relu", "gelu")
    return difference


def difference(a, b):
    """The difference of two cells with these test accuracies."""
    return only_difference(cell(a, activation="relu") + cell(b, activation="gelu"))


def test_difference_and_interval_worked_out_by_hand():
    """Differences 1, 2, 3: mean 2, s = 1, t(0.975, 2) = 4.302653, half-width 4.302653 / sqrt 3."""
    found = difference([81, 84, 86], [80, 82, 83])
    assert found.mean == pytest.approx(2)
    assert found.half == pytest.approx(2.4841377)
    assert (found.n, found.left_out, found.verdict) == (3, 0, "not decided")
    found = difference(
        [83, 85, 85, 87, 85], [80, 82, 83, 84, 81]
    )  # 3 3 2 3 4; t(0.975, 4) = 2.776445
    assert found.mean == pytest.approx(3)
    assert found.half == pytest.approx(2.776445 * math.sqrt(0.5 / 5))
    assert found.verdict == "a is better"


numbers = st.lists(st.floats(10, 99), min_size=2, max_size=5)


@settings(deadline=None)
@given(numbers, st.data())
def test_differences_agree_with_scipy_s_paired_t_test(a, data):
    b = data.draw(st.lists(st.floats(10, 99), min_size=len(a), max_size=len(a)))
    found = difference(a, b)
    paired = np.subtract(a, b)
    if np.ptp(paired) < 1e-6:
        return  # the test divides by the spread
    test = stats.ttest_rel(a, b)
    low, high = test.confidence_interval(0.95)
    assert found.mean - found.half == pytest.approx(low, abs=1e-6)
    assert found.mean + found.half == pytest.approx(high, abs=1e-6)
    if abs(test.pvalue - 0.05) > 1e-6:
        assert (found.verdict == "not decided") == (test.pvalue > 0.05)


@settings(deadline=None)
@given(numbers, st.data())
def test_luck_that_a_seed_gives_to_both_cells_changes_nothing(a, data):
    b, luck = (
        data.draw(st.lists(st.floats(1, 40), min_size=len(a), max_size=len(a))) for _ in range(2)
    )
    before, after = difference(a, b), difference(np.add(a, luck), np.add(b, luck))
    assert after.mean == pytest.approx(before.mean, abs=1e-9)
    assert after.half == pytest.approx(before.half, abs=1e-6)


@settings(deadline=None)
@given(numbers, st.data())
def test_exchanging_the_cells_exchanges_the_verdict(a, data):
    b = data.draw(st.lists(st.floats(10, 99), min_size=len(a), max_size=len(a)))
    one, other = difference(a, b), difference(b, a)
    assert one.mean == -other.mean and one.half == other.half
    swap = {"a is better": "b is better", "b is better": "a is better"}
    assert other.verdict == swap.get(one.verdict, one.verdict)


def test_pairing_sees_what_two_intervals_do_not():
    """Seeds differ by far more than the cells do: only their common luck being gone decides."""
    luck = np.array([0.0, 4, -3, 2, -5])
    found = difference(85.2 + luck + [0.02, -0.02, 0, 0.01, -0.01], 85 + luck)
    assert found.verdict == "a is better" and found.half < 0.03
    assert stats.ttest_ind(85.2 + luck, 85 + luck).pvalue > 0.5


def test_lower_loss_is_better():
    low = [fake("relu", seed=s, loss=0.1 + s / 1e5) for s in SEEDS]
    high = [fake("gelu", seed=s, loss=0.2) for s in SEEDS]
    found = only_difference(low + high, "final_loss")
    assert found.mean < 0 and found.verdict == "a is better"


def test_only_seeds_that_both_cells_finished_are_compared():
    a, b = cell([81, 84, 86, 99], activation="relu"), cell([80, 82, 83], activation="gelu")
    b.append(fake("gelu", seed=45, diverged=True))
    a.append(fake("relu", seed=7, test=10))
    found = only_difference(a + b)
    assert found.mean == pytest.approx(2) and (found.n, found.left_out) == (3, 1)


def test_one_seed_decides_nothing_and_no_seed_even_less():
    found = difference([90], [10])
    assert (found.mean, found.half, found.n) == (80, None, 1)
    assert found.verdict == "one seed: not decided"
    found = only_difference([fake("relu", seed=1), fake("gelu", seed=2)])
    assert (found.mean, found.half, found.n) == (None, None, 0)
    assert found.verdict == "not decided"


def test_equal_cells_are_not_decided():
    assert difference([80, 81, 82], [80, 81, 82]).verdict == "not decided"


def test_differences_that_are_all_the_same_decide_nothing():
    """88.1 - 88.0 and 87.1 - 87.0 differ only in how they are rounded."""
    for a, b in (([81, 82], [80, 81]), ([88.1, 87.1, 86.3], [88.0, 87.0, 86.2])):
        found = difference(a, b)
        assert found.half < 1e-9 and found.verdict == "not decided"
    assert difference([88.11, 87.11, 86.32], [88.0, 87.0, 86.2]).verdict == "a is better"


def test_verdicts_of_a_family_are_adjusted_by_holm_s_method():
    """p is 0.049, 0.012, 0.012 and 0.0001, worked out by scipy; 0.05 / 4, / 3, / 2 and / 1."""

    def with_p(p, n=5):
        t = stats.t.isf(p / 2, n - 1)
        half = stats.t.ppf(0.975, n - 1) / t
        return comparisons.Difference(
            1.0, half, n, 0, "a is better" if p < 0.05 else "not decided", p
        )

    def supported(*ps):
        return [d.supported for d in comparisons.together(map(with_p, ps))]

    assert supported(0.049) == [True]
    assert supported(0.049, 0.012, 0.013, 0.0001) == [True, True, True, True]
    assert supported(0.049, 0.012, 0.03, 0.0001) == [False, True, False, True]
    assert supported(0.0126, 0.3, 0.4, 0.5) == [False] * 4
    assert supported(0.0124, 0.3, 0.4, 0.5) == [True, False, False, False]
    assert supported() == []
    one, *_ = comparisons.together([with_p(0.02), with_p(0.9), with_p(0.9)])
    assert (one.mean, one.half, one.verdict) == (1.0, with_p(0.02).half, "not decided")


@settings(deadline=None)
@given(numbers, st.data())
def test_p_is_that_of_scipy_s_paired_t_test(a, data):
    b = data.draw(st.lists(st.floats(10, 99), min_size=len(a), max_size=len(a)))
    if np.ptp(np.subtract(a, b)) > 1e-6:
        assert difference(a, b).p == pytest.approx(
            stats.ttest_rel(a, b).pvalue, rel=1e-5, abs=1e-12
        )


def test_every_pair_has_a_row():
    logs = [log for name in ACTIVATIONS for log in cell([80, 81], activation=name)]
    pairs = {(a, b) for a, b, _ in differences(Sweep.of(logs))}
    assert len(pairs) == 15 and not any((b, a) in pairs for a, b in pairs)


@pytest.fixture
def uneven():
    """Cells of two seeds, in some of which a seed diverged; the loss is the accuracy."""
    numbers = {"a": [90, None], "b": [70, 72], "c": [80, 82], "d": [None, None], "e": [None, 95]}
    return [
        Cell(
            name,
            name,
            Config(),
            [
                fake(seed=s, test=v, val=90, loss=v or 0, diverged=v is None)
                for s, v in enumerate(values)
            ],
        )
        for name, values in numbers.items()
    ]


def labels(cells):
    return [cell.label for cell in cells]


def test_cells_that_diverged_in_a_seed_are_ranked_after_all_others(uneven):
    assert labels(ranked(uneven)) == ["c", "b", "e", "a"]
    assert labels(ranked(uneven, "final_loss")) == ["b", "c", "a", "e"]
    assert labels(best_first(uneven)) == ["c", "b", "e", "a", "d"]  # whatever they validated
    assert labels(finished(uneven)) == ["b", "c"] and ranked([]) == finished([]) == []
    notes = [comparisons.seeds_diverged(cell) for cell in uneven]
    assert notes[:2] == [" (1 of 2 seeds diverged)", ""] and "(2 of 2 seeds" in notes[3]


def test_schedules_are_compared_with_none_all_else_equal():
    """relu gains 1 by step, and 2 with sgd; tanh has no run without a schedule."""
    logs = [
        fake(a, o, scheduler=schedule, seed=s, test=80 + gain * (schedule == "step") + s % 3)
        for a, o, gain, schedules in (
            ("relu", "adam", 1, ("none", "step")),
            ("relu", "sgd", 2, ("none", "step")),
            ("tanh", "adam", 3, ("step", "cosine")),
        )
        for schedule in schedules
        for s in SEEDS
    ]
    rows = comparisons.against_no_schedule(Sweep.of(logs), "test_accuracy")
    assert [(a.label, b.label, found.mean) for a, b, found in rows] == [
        ("relu + sgd, step", "relu + sgd, no schedule", 2),
        ("relu + adam, step", "relu + adam, no schedule", 1),
    ]


# How soon


def test_steps_are_counted_to_the_first_epoch_that_reaches_the_target():
    log = fake(epochs=4, val=90, steps=375)  # 63, 72, 81, 90 %
    assert comparisons.steps_to(log, 72) == 2 * 375
    assert comparisons.steps_to(log, 72.1) == 3 * 375
    assert comparisons.steps_to(log, 90.1) is None
    assert comparisons.steps_to(fake(epochs=2, diverged=True), 99) is None


def test_target_is_what_three_quarters_of_the_cells_reach():
    cells = [
        Cell("", "", Config(), [fake(val=v), fake(val=99, seed=1)])
        for v in (10.0, 86.0, 88.0, 89.0)
    ]
    assert comparisons.target_accuracy(cells) == 85
    assert comparisons.target_accuracy(cells[:1]) is None
    assert comparisons.target_accuracy([]) is None


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


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_theory_holds_for_the_lab_s_own_network(activation):
    model = MLP([784, 256, 128, 10], activation, "uniform", seed=3, dtype="float64")
    random = np.random.default_rng(0)
    model.forward(random.uniform(-1, 1, (300, 784)))
    model.backward(random.normal(0, 1, (300, 10)))
    norms = [float(np.linalg.norm(model.output_gradients()[f"fc{k}"])) for k in (1, 2, 3)]
    found = comparisons.first_to_last(fake(activation, norms=norms), "initial")
    theory = comparisons.theoretical_ratio(activation, "uniform", (256, 128, 10))
    if activation == "relu":
        assert found == pytest.approx(theory, rel=0.15)
    else:
        assert 0.7 * theory < found < 1.02 * theory


def test_theory_of_unequal_layers_is_the_product_of_its_factors():
    """In 784-256-128-10 as the original sheet starts it, D_k Var(w) is 1/3, whatever the width."""
    widths, ratio = (256, 128, 10), comparisons.theoretical_ratio
    assert ratio("sigmoid", "uniform", widths) == pytest.approx(1 / 48)  # (1/4)^2 / 3
    assert ratio("tanh", "uniform", widths) == pytest.approx(1 / 3)
    assert ratio("relu", "uniform", widths) == pytest.approx(1 / 6)
    assert ratio("relu", "he", widths) == pytest.approx(1)
    # Xavier: D_k Var(w) = 2 D_k / (D_k + D_k+1), here 4/3 and 256/138
    assert ratio("tanh", "xavier", widths) == pytest.approx(math.sqrt(4 / 3 * 256 / 138))
    assert ratio("gelu", "he", widths) is None


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
    log = fake(hidden=[50] * 6, norms=[*[7 * 0.5**k for k in range(5, -1, -1)], 1000.0])
    assert measured_factor(log) == pytest.approx(0.5)
    assert comparisons.initial_norms(log) == [7 * 0.5**k for k in range(5, -1, -1)]
    assert measured_factor(fake(hidden=[50, 50], norms=[1, 2])) is None
    assert measured_factor(fake(hidden=[50] * 3, norms=[0.0, 1, 2])) is None
    assert measured_factor(fake(hidden=[50] * 3)) is None


# Tuning


def test_what_tuning_closes_is_paired_by_seed():
    """adam is 5 ahead of sgd (and a bit more or less); tuning gives sgd 3 in every seed."""
    logs = tuned_logs("sgd", 0.1, test=80, gain=3) + tuned_logs("adam", 0.001, test=85)
    sgd, adam = Sweep.of(logs, tune_seeds=[1, 2]).tunings
    found = closed_by_tuning(adam, sgd)
    assert found.mean == pytest.approx(3) and found.n == 5 and found.supported
    assert found.half == pytest.approx(0.001 * 2.776445 * math.sqrt(2.5 / 5))  # of -2 ... 2
    assert closed_by_tuning(sgd, adam).mean == pytest.approx(-3)
