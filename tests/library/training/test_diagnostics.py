"""nnlite.diagnostics: against plain NumPy, other libraries, and by hand."""

import base64
import math

import numpy as np
import pytest
from sklearn.metrics import accuracy_score
from sklearn.metrics import confusion_matrix as sklearn_confusion_matrix

from nnlite.activations import ACTIVATIONS
from nnlite.losses import SoftmaxCrossEntropy
from nnlite.network import MLP
from nnlite.training import diagnostics
from nnlite.training.diagnostics import (
    BINS,
    confusion_matrix,
    gradient_statistics,
    histogram,
    histograms,
    most_wrong,
    probe_statistics,
    update_ratios,
    weights,
)

ONE_OR_STACK = pytest.mark.parametrize("seed", [1, [1], [1, 2, 3]], ids=str)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def back_and_forth(model, N=20):
    """Fill in outputs and gradients on N random samples; return these and their labels."""
    lead, D, C = model.theta.shape[:-1], model.sizes[0], model.sizes[-1]
    x, labels = normal(*lead, N, D).astype(model.dtype), np.arange(N) % C
    loss = SoftmaxCrossEntropy()
    loss.forward(model.forward(x), labels)
    model.backward(loss.backward())
    return x, labels


# ---- gradients of the parameters


def test_gradient_statistics_by_hand():
    model = MLP([2, 2])
    model.dtheta[:] = [3, -1, 0, 2, 0, -4]  # fc1.weight is [[3, -1], [0, 2]], fc1.bias [0, -4]
    statistics = gradient_statistics(model)
    assert list(statistics) == ["fc1.weight", "fc1.bias"]
    # The weight's mean is 1, so the variance is (4 + 4 + 1 + 1) / 4; the bias' mean is -2.
    weight = {"mean_abs": 1.5, "std": 2.5**0.5, "pct_zero": 25, "norm": 14**0.5}
    assert statistics["fc1.weight"] == pytest.approx(weight)
    bias = {"mean_abs": 2, "std": 2, "pct_zero": 50, "norm": 4}
    assert statistics["fc1.bias"] == pytest.approx(bias)


@ONE_OR_STACK
def test_gradient_statistics_against_plain_numpy(seed):
    rng = np.random.default_rng(0)
    model = MLP([7, 5, 3], seed=seed)
    model.dtheta[:] = rng.normal(size=model.dtheta.shape) * (rng.random(model.dtheta.shape) < 0.7)
    before = model.dtheta.copy()
    statistics = gradient_statistics(model)
    assert list(statistics) == list(model.parameters())
    for name, gradient in model.gradients().items():
        values = statistics[name]
        assert list(values) == ["mean_abs", "std", "pct_zero", "norm"]
        for metric in values.values():
            assert metric.shape == model.theta.shape[:-1]
        rows = gradient.reshape(np.size(seed), -1)  # one row for each network
        for k, g in enumerate(rows):
            zero = 100 * np.count_nonzero(g == 0) / g.size
            expected = [np.abs(g).mean(), g.std(), zero, np.linalg.norm(g)]
            assert [np.ravel(metric)[k] for metric in values.values()] == pytest.approx(expected)
    np.testing.assert_array_equal(model.dtheta, before)


def test_gradients_that_have_vanished_are_small_not_zero():
    """Their squares are less than the smallest number that float32 has."""
    model = MLP([2, 2])
    model.dtheta[:] = np.array([3, -1, 0, 2, 0, -4]) * 1e-25
    expected = {"mean_abs": 1.5e-25, "std": 2.5**0.5 * 1e-25, "norm": 14**0.5 * 1e-25}
    found = gradient_statistics(model)["fc1.weight"]
    assert found == pytest.approx(expected | {"pct_zero": 25}, rel=1e-6, abs=0)


# ---- updates


def test_update_ratios_by_hand():
    before = {"fc1": np.array([[3.0, 0.0], [0.0, 4.0]]), "fc2": np.array([[1.0]])}
    after = {"fc1": np.array([[3.0, 0.3], [0.4, 4.0]]), "fc2": np.array([[1.0]])}
    assert update_ratios(before, after) == pytest.approx({"fc1": 0.1, "fc2": 0})


def test_update_ratios_of_a_stack_are_those_of_its_networks():
    before, after = normal(3, 4, 5), normal(3, 4, 5, seed=1)
    ratios = update_ratios({"fc1": before}, {"fc1": after})["fc1"]
    expected = [np.linalg.norm(b - a) / np.linalg.norm(a) for a, b in zip(before, after)]
    np.testing.assert_allclose(ratios, expected)


def test_an_update_that_float32_cannot_square_is_not_zero():
    before, after = np.ones((2, 2), "float32"), np.ones((2, 2), "float32")
    before[0, 0], after[0, 0] = 1e-25, 3e-25
    assert update_ratios({"fc1": before}, {"fc1": after})["fc1"] == pytest.approx(2e-25 / 3**0.5)


@ONE_OR_STACK
def test_weights_are_copies_without_biases(seed):
    model = MLP([4, 3, 2], seed=seed)
    kept = weights(model)
    assert list(kept) == ["fc1", "fc2"]
    for name, weight in kept.items():
        np.testing.assert_array_equal(weight, model.parameters()[f"{name}.weight"])
    model.theta += 1
    for name, weight in kept.items():
        assert (weight != model.parameters()[f"{name}.weight"]).all()


# ---- layers on the probe set


def test_dead_units_of_a_network_made_by_hand():
    """Of five ReLU units one is dead, one sleeps in all rows but the last, one in all but two."""
    model = MLP([1, 5, 2], "relu")
    parameters = model.parameters()
    parameters["fc1.weight"][...] = [[1, 1, 1, 1, -1]]
    parameters["fc1.bias"][...] = [-10, -4.5, -3.5, 1, 0]  # alive for x > 10, 4.5, 3.5, -1; x < 0
    x = np.arange(1, 6, dtype="float32")[:, None]
    loss = SoftmaxCrossEntropy()

    def dead(x):
        loss.forward(model.forward(x), np.zeros(len(x), int))
        model.backward(loss.backward())
        return probe_statistics(model)["act1"]["dead"]

    assert dead(x) == pytest.approx(40)  # the first and the last unit
    assert dead(x[:4]) == pytest.approx(60)  # without x = 5
    assert dead(np.vstack([x, [[-3]]]).astype("float32")) == pytest.approx(20)


def units_always_zero(a):
    """The share of dead units in percent, counted in a loop."""
    dead = 0
    for unit in range(a.shape[1]):
        dead += not any(a[row, unit] != 0 for row in range(a.shape[0]))
    return 100 * dead / a.shape[1]


@ONE_OR_STACK
def test_dead_units_against_a_loop(seed):
    model = MLP([6, 9, 8, 4], "relu", seed=seed)
    for name, bias in model.parameters().items():
        if name.endswith("bias"):
            bias[...] = np.linspace(-3, 0.5, bias.shape[-1])
    back_and_forth(model)
    statistics = probe_statistics(model)
    seen = set()
    for name in ("act1", "act2"):
        outputs = model.outputs()[name].reshape(np.size(seed), 20, -1)
        expected = [units_always_zero(a) for a in outputs]
        np.testing.assert_allclose(np.ravel(statistics[name]["dead"]), expected, rtol=1e-6)
        seen |= set(expected)
    assert len(seen - {0, 100}) > 1  # some dead and some not


BOUNDS = {"sigmoid": (0, 1), "tanh": (-1, 1)}


def test_saturated_outputs_by_hand():
    """Of 4 rows and 2 units, with outputs on both sides of the margin at both ends."""
    z = {
        # a = 0.0502, 0.0498 | 0.9498, 0.9502; below 0.05 and above 0.95 is saturated
        "sigmoid": [[-2.94, -2.95], [2.94, 2.95], [0, 9], [-9, 1]],
        # a = -0.8995, -0.9004 | 0.8995, 0.9004
        "tanh": [[-1.47, -1.474], [1.47, 1.474], [0, 9], [-9, 1]],
    }
    for activation, values in z.items():
        model = MLP([2, 2, 2], activation)
        model.parameters()["fc1.weight"][...] = np.eye(2)
        model.parameters()["fc1.bias"][...] = 0
        loss = SoftmaxCrossEntropy()
        loss.forward(model.forward(np.array(values, "float32")), np.zeros(4, int))
        model.backward(loss.backward())
        assert probe_statistics(model)["act1"]["saturated"] == pytest.approx(50), activation


@ONE_OR_STACK
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_what_is_measured_of_which_layer(activation, seed):
    model = MLP([6, 9, 8, 4], activation, seed=seed)
    model.theta *= 8  # so that something saturates
    back_and_forth(model)
    statistics = probe_statistics(model)
    assert list(statistics) == ["fc1", "act1", "fc2", "act2", "fc3"]
    of_act = ["gradient_norm", "dead"] + ["saturated"] * (activation in BOUNDS)
    for name, values in statistics.items():
        assert list(values) == (of_act if name.startswith("act") else ["gradient_norm"])
        assert all(value.shape == model.theta.shape[:-1] for value in values.values())
        if "saturated" in values:
            low, high = BOUNDS[activation]
            outputs = model.outputs()[name].astype("float64").reshape(np.size(seed), -1)
            near = [
                [min(a - low, high - a) < 0.05 * (high - low) for a in row.tolist()]
                for row in outputs
            ]
            expected = 100 * np.mean(near, axis=1)
            np.testing.assert_allclose(np.ravel(values["saturated"]), expected, rtol=1e-6)
            assert (expected > 5).all() and (expected < 95).all()


@pytest.mark.parametrize("activation", ["tanh", "gelu"])  # smooth, so that differences tell
def test_gradient_norms_against_finite_differences(activation):
    """dL/dz of fc<i> is the slope of the loss when z of one row and unit is nudged."""
    model = MLP([5, 4, 3, 3], activation, seed=1, dtype="float64")
    x, labels = back_and_forth(model, N=6)
    statistics = probe_statistics(model)
    names, outputs = list(model.layers), model.outputs()

    def loss_after(name, output):
        for later in names[names.index(name) + 1 :]:
            output = model.layers[later].forward(output)
        return SoftmaxCrossEntropy().forward(output, labels)

    for name in names:
        slopes = []
        for place in np.ndindex(outputs[name].shape):
            nudge = np.zeros(outputs[name].shape)
            nudge[place] = 1e-5
            above, below = outputs[name] + nudge, outputs[name] - nudge
            slopes.append((loss_after(name, above) - loss_after(name, below)) / 2e-5)
        expected = math.sqrt(sum(slope**2 for slope in slopes))
        assert statistics[name]["gradient_norm"] == pytest.approx(expected, rel=1e-6), name


@pytest.mark.parametrize("scale", [1, 1e-25])
def test_gradient_norms_of_a_stack_however_small(scale):
    model = MLP([6, 5, 4], "tanh", seed=[1, 2])
    model.forward(normal(2, 7, 6).astype("float32"))
    model.backward(scale * normal(2, 7, 4).astype("float32"))
    for name, values in probe_statistics(model).items():
        gradients = model.output_gradients()[name].astype("float64")
        expected = [np.linalg.norm(g) for g in gradients]
        np.testing.assert_allclose(values["gradient_norm"], expected, rtol=1e-12)
        assert (np.array(expected) > 0.01 * scale).all()


# ---- histograms


def test_histogram_by_hand():
    """0, 1, ..., 39 have one bin each; what lies between two bins is in the upper one."""
    assert histogram(np.arange(40)) == {"low": 0, "high": 39, "counts": [1] * 40}
    three = histogram(np.array([0.0, 10.0, 5.0]))
    assert three == {"low": 0, "high": 10, "counts": [1] + [0] * 19 + [1] + [0] * 18 + [1]}


def test_all_values_are_counted_and_outliers_at_the_ends():
    values = normal(50, 40).astype("float32")  # 2000, of which 10 lie beyond either quantile
    values[0, :5], values[1, :3] = 1e6, -1e6
    found = histogram(values)
    ordered = np.sort(values, axis=None)
    assert found["low"] == pytest.approx(ordered[10], abs=0.05) and found["low"] > -4
    assert found["high"] == pytest.approx(ordered[-11], abs=0.05) and found["high"] < 4
    assert all(type(n) is int for n in found["counts"]) and sum(found["counts"]) == 2000
    edges = np.linspace(found["low"], found["high"], BINS + 1)
    edges[0], edges[-1] = -np.inf, np.inf
    expected = [np.sum((values >= a) & (values < b)) for a, b in zip(edges, edges[1:])]
    assert np.abs(np.subtract(found["counts"], expected)).sum() <= 2  # edges are rounded
    assert found["counts"][0] >= 10 and found["counts"][-1] >= 10


@pytest.mark.parametrize("value", [0, -3, 1e-30, 1e17, -1e30, 3e38])
def test_a_histogram_of_one_value(value):
    found = histogram(np.full((5, 4), value, "float32"))
    assert found["low"] < value < found["high"]
    assert sum(found["counts"]) == max(found["counts"]) == 20


@pytest.mark.parametrize("low, high", [(0, 1e-45), (1, 1 + 2**-23), (1e30, 1.0000001e30)])
def test_a_histogram_of_a_range_as_small_as_float32_has(low, high):
    values = np.array([low, high, high], "float32")
    assert values[0] < values[1]
    found = histogram(values)
    assert (found["low"], found["high"]) == (values[0], values[1])
    assert found["counts"] == [1] + [0] * 38 + [2]


@ONE_OR_STACK
def test_histograms_are_of_outputs_and_of_gradients(seed):
    model = MLP([6, 9, 8, 4], "tanh", seed=seed)
    back_and_forth(model)
    found = histograms(model)
    assert len(found) == np.size(seed)
    outputs, gradients = model.outputs(), model.output_gradients()
    for k, counted in enumerate(found):
        assert list(counted) == ["fc1", "act1", "fc2", "act2", "fc3"]
        for name, units in zip(counted, (9, 9, 8, 8, 4)):
            values = (outputs if name.startswith("act") else gradients)[name]
            values = values.reshape(np.size(seed), -1)[k]
            assert counted[name] == histogram(values)
            assert sum(counted[name]["counts"]) == 20 * units


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_layer_that_is_not_finite_is_left_out_for_its_network_alone(bad):
    model = MLP([6, 5, 4], "tanh", seed=[1, 2])
    back_and_forth(model)
    expected = histograms(model)
    model.outputs()["act1"][1, 3, 2] = bad
    first, second = histograms(model)
    assert first == expected[0]
    assert second == {name: expected[1][name] for name in ("fc1", "fc2")}
    model.output_gradients()["fc2"][0, 0, 0] = bad
    first, second = histograms(model)
    assert list(first) == ["fc1", "act1"] and list(second) == ["fc1", "fc2"]


# ---- mistakes


def test_confusion_matrix_by_hand():
    labels, predicted = np.array([0, 0, 2, 2, 2]), np.array([0, 1, 1, 1, 2])
    found = confusion_matrix(labels, predicted, 4)
    assert found.tolist() == [[1, 1, 0, 0], [0, 0, 0, 0], [0, 2, 1, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize("label_dtype", ["uint8", "int64"])
@pytest.mark.parametrize("lead", [(), (1,), (3,)], ids=str)
def test_confusion_matrix_against_another_library(lead, label_dtype):
    random = np.random.default_rng(0)
    labels = random.integers(0, 7, (*lead, 200)).astype(label_dtype)
    predicted = np.where(random.random((*lead, 200)) < 0.5, labels, random.integers(0, 9, 200))
    found = confusion_matrix(labels, predicted, 9)  # two classes are not there
    assert found.shape == (*lead, 9, 9)
    for matrix, y, p in zip(
        found.reshape(-1, 9, 9), labels.reshape(-1, 200), predicted.reshape(-1, 200), strict=True
    ):
        np.testing.assert_array_equal(matrix, sklearn_confusion_matrix(y, p, labels=range(9)))
        assert np.trace(matrix) / 200 == pytest.approx(accuracy_score(y, p))


def test_networks_of_a_stack_may_share_their_labels():
    labels, predicted = np.array([0, 1, 1]), np.array([[0, 1, 1], [1, 1, 0]])
    shared = confusion_matrix(labels, predicted, 2)
    assert shared.tolist() == [[[1, 0], [0, 2]], [[0, 1], [1, 1]]]


IMAGES = np.arange(6 * 4, dtype=np.uint8).reshape(6, 4) + 230  # the last rows have wrapped round


def test_most_wrong_by_hand():
    """Rows 1, 2, 3 and 5 are wrong, with odds of 3 : 1, 9 : 1, 3 : 1 and 1 : 1 : 1."""
    odds = [[9, 1, 1e-99], [3, 1, 1e-99], [1, 9, 1e-99], [1, 1e-99, 3], [1, 9, 1e-99], [1, 1, 1]]
    labels = np.array([0, 1, 0, 0, 1, 2])
    found = most_wrong(np.log(odds).astype("float32"), labels, IMAGES)
    assert [(w["row"], w["label"], w["predicted"]) for w in found] == [
        (2, 0, 1),
        (1, 1, 0),
        (3, 0, 2),
        (5, 2, 0),  # equal odds in the order of rows
    ]
    probabilities = [w["probability"] for w in found]
    assert probabilities == pytest.approx([0.9, 0.75, 0.75, 1 / 3], rel=1e-6)
    for w in found:
        pixels = np.frombuffer(base64.b64decode(w["image"]), np.uint8)
        np.testing.assert_array_equal(pixels, IMAGES[w["row"]])
        assert list(w) == ["row", "label", "predicted", "probability", "image"]


def test_no_mistake_is_no_entry():
    assert most_wrong(np.eye(6, dtype="float32"), np.arange(6), IMAGES) == []


@pytest.mark.parametrize("wrong, expected", [(15, 15), (16, 16), (40, 16)])
def test_at_most_sixteen_and_those_the_worst(wrong, expected):
    assert diagnostics.MOST_WRONG == 16
    logits = np.zeros((50, 3), "float32")
    logits[:, 1] = np.random.default_rng(0).permutation(np.linspace(0.1, 5, 50))
    labels = np.where(np.arange(50) < wrong, 2, 1)
    found = most_wrong(logits, labels, np.zeros((50, 4), np.uint8))
    order = sorted(range(wrong), key=lambda row: -logits[row, 1])
    assert [w["row"] for w in found] == order[:expected]
    for w in found:
        odds = math.exp(logits[w["row"], 1])
        assert w["probability"] == pytest.approx(odds / (odds + 2), rel=1e-6)


def test_huge_and_tiny_logits():
    """Nothing overflows, and the prediction is the largest logit even if no probability tells."""
    logits = np.array([[0, 3e38, -3e38], [1e-30, 2e-30, 0]], "float32")
    first, second = most_wrong(logits, np.array([0, 0]), IMAGES)
    assert (first["row"], first["predicted"], first["probability"]) == (0, 1, 1.0)
    assert (second["predicted"], second["probability"]) == (1, pytest.approx(1 / 3))


@pytest.mark.parametrize("look", [probe_statistics, histograms])
def test_there_is_nothing_to_see_before_the_first_passes(look):
    with pytest.raises(ValueError, match="call forward and backward first"):
        look(MLP([3, 2]))
