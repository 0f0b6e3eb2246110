"""nnlite.losses: softmax cross-entropy against paper, scikit-learn, torch, finite differences."""

import math

import numpy as np
import pytest
from sklearn.metrics import log_loss

from nnlite.losses import SoftmaxCrossEntropy
from nnlite.network import MLP
from test_layers import assert_close, numeric_gradient


def loss_and_gradient(logits, labels):
    loss = SoftmaxCrossEntropy()
    return loss.forward(logits, np.asarray(labels)), loss.backward()


def random_batch(seed=0, lead=(), N=6, C=4):
    rng = np.random.default_rng(seed)
    return 3 * rng.normal(size=(*lead, N, C)), rng.integers(C, size=(*lead, N))


def test_worked_by_hand():
    # Scores log 1, log 2, log 5 have probabilities 1/8, 2/8, 5/8; equal scores have 1/3 each.
    logits = np.array([[0, math.log(2), math.log(5)], [7, 7, 7]])
    value, gradient = loss_and_gradient(logits, [1, 2])
    assert value == pytest.approx((math.log(4) + math.log(3)) / 2)
    assert_close(gradient, np.array([[1 / 8, -6 / 8, 5 / 8], [1 / 3, 1 / 3, -2 / 3]]) / 2, 1e-14)


def test_a_single_sample():
    value, gradient = loss_and_gradient(np.array([[0.0, math.log(3)]]), [0])
    assert value == pytest.approx(math.log(4))
    assert_close(gradient, np.array([[-0.75, 0.75]]), 1e-14)


def test_value_against_scikit_learn():
    logits, labels = random_batch(N=50, C=10)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert loss_and_gradient(logits, labels)[0] == pytest.approx(log_loss(labels, p))


def test_against_torch():
    torch = pytest.importorskip("torch")
    logits, labels = random_batch(N=50, C=10)
    z = torch.tensor(logits, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(z, torch.tensor(labels))
    expected.backward()
    value, gradient = loss_and_gradient(logits, labels)
    assert value == pytest.approx(expected.item(), rel=1e-14)
    assert_close(gradient, z.grad.numpy(), 1e-14)


@pytest.mark.parametrize("lead", [(), (3,)])
def test_finite_differences(lead):
    logits, labels = random_batch(1, lead)
    loss = SoftmaxCrossEntropy()
    _, gradient = loss_and_gradient(logits, labels)
    expected = numeric_gradient(lambda: loss.forward(logits, labels).sum(), logits)
    assert_close(gradient, expected)


def test_probabilities():
    loss = SoftmaxCrossEntropy()
    logits, labels = random_batch(2)
    loss.forward(logits, labels)
    assert (loss.probabilities > 0).all()
    assert_close(loss.probabilities.sum(axis=-1), np.ones(6), 1e-14)
    # So a step moves scores between the classes: each row of the gradient adds up to 0.
    np.testing.assert_allclose(loss.backward().sum(axis=-1), 0, atol=1e-15)


def test_an_untrained_network_has_loss_log_10():
    rng = np.random.default_rng(3)
    x, labels = rng.uniform(-1, 1, (200, 784)).astype("float32"), rng.integers(10, size=200)
    logits = MLP([784, 256, 128, 10]).forward(x)
    assert loss_and_gradient(logits, labels)[0] == pytest.approx(math.log(10), abs=0.05)


def test_a_constant_added_to_a_row_changes_nothing():
    logits, labels = random_batch(4)
    shift = np.array([[0], [1], [-20], [500], [-900], [3e3]])
    value, gradient = loss_and_gradient(logits, labels)
    shifted_value, shifted_gradient = loss_and_gradient(logits + shift, labels)
    assert shifted_value == pytest.approx(value, rel=1e-11)
    assert_close(shifted_gradient, gradient, 1e-11)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("big", [1e2, 1e4, 1e8, 1e30])
@pytest.mark.filterwarnings("error")
def test_extreme_logits(big, dtype):
    logits = np.array([[big, -big, 0], [big, -big, 0]], dtype)
    value, gradient = loss_and_gradient(logits, [0, 1])
    assert value == pytest.approx(big)  # the mean of 0 and 2 big
    np.testing.assert_allclose(gradient, [[0, 0, 0], [0.5, -0.5, 0]], atol=1e-30)
    assert value.dtype == gradient.dtype == dtype


def test_a_stack_has_one_loss_per_network():
    logits, labels = random_batch(5, (3,))
    values, gradients = loss_and_gradient(logits, labels)
    assert values.shape == (3,)
    for k in range(3):
        value, gradient = loss_and_gradient(logits[k], labels[k])
        assert values[k] == pytest.approx(value, rel=1e-14)
        assert_close(gradients[k], gradient, 1e-14)


def test_a_stack_may_share_its_labels():
    logits, labels = random_batch(6, (3,))
    shared, each = labels[0], np.stack([labels[0]] * 3)
    values, gradients = loss_and_gradient(logits, shared)
    expected_values, expected_gradients = loss_and_gradient(logits, each)
    np.testing.assert_array_equal(values, expected_values)
    np.testing.assert_array_equal(gradients, expected_gradients)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_is_kept_and_inputs_stay_as_they_were(dtype):
    logits, labels = random_batch(7)
    logits = logits.astype(dtype)
    before = logits.copy(), labels.copy()
    logits.flags.writeable = labels.flags.writeable = False  # writing to them would raise
    value, gradient = loss_and_gradient(logits, labels)
    assert value.dtype == gradient.dtype == dtype
    np.testing.assert_array_equal(logits, before[0])
    np.testing.assert_array_equal(labels, before[1])


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32", "uint64"])
def test_any_integer_labels_do(dtype):
    logits, labels = random_batch(8)
    expected_value, expected_gradient = loss_and_gradient(logits, labels)
    value, gradient = loss_and_gradient(logits, labels.astype(dtype))
    assert value == expected_value
    np.testing.assert_array_equal(gradient, expected_gradient)


@pytest.mark.parametrize(
    "labels, words",
    [
        ([0, 1, 4], "range from 0 to 4, but the network knows the classes 0 to 3"),
        ([0, -1, 3], "range from -1 to 3, but the network knows the classes 0 to 3"),
        ([0.0, 1.0, 2.0], "dtype float64: give integer"),
        ([True, False, True], "dtype bool: give integer"),
        ([0, 1], r"shape \(2,\), but there are 3 rows of logits: give one integer"),
        ([[0], [1], [2]], r"shape \(3, 1\), but there are 3 rows"),
        ([[0, 1, 2], [0, 1, 2]], r"shape \(2, 3\), but"),
        (1, r"shape \(\), but there are 3 rows"),
    ],
)
def test_bad_labels_are_refused(labels, words):
    with pytest.raises(ValueError, match=words):
        SoftmaxCrossEntropy().forward(np.zeros((3, 4)), np.array(labels))


def test_labels_of_another_stack_are_refused():
    with pytest.raises(ValueError, match=r"labels have shape \(3, 4\), but"):
        SoftmaxCrossEntropy().forward(np.zeros((2, 4, 5)), np.zeros((3, 4), int))


def test_an_empty_batch_is_refused():
    with pytest.raises(ValueError, match="batch is empty: .* at least one sample"):
        SoftmaxCrossEntropy().forward(np.zeros((0, 4)), np.zeros(0, int))


@pytest.mark.parametrize(
    "logits, labels, words",
    [
        (np.zeros((2, 3)), [0, 1], "a list is not an array"),
        ([[0.0, 1.0]], np.array([0]), "a list is not an array"),
        (np.zeros((2, 3), "uint8"), np.array([0, 1]), "an array of uint8: convert it"),
        (np.zeros(3), np.array([0]), "give a row of scores for each sample"),
        (np.zeros((2, 3)), np.array(["a", "b"]), "give integer class numbers"),
        (np.zeros((2, 3)), np.eye(2, 3), r"labels have shape \(2, 3\)"),  # one-hot
    ],
    ids=str,
)
def test_what_is_no_array_of_scores_or_labels_is_refused(logits, labels, words):
    with pytest.raises(ValueError, match=words):
        SoftmaxCrossEntropy().forward(logits, labels)


def test_backward_before_forward_is_refused():
    with pytest.raises(ValueError, match="call forward first"):
        SoftmaxCrossEntropy().backward()
