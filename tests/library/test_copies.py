"""Copies of networks, optimizers and trainings learn like the original; assigning reaches theta."""

import copy
import io
import pickle

import joblib
import numpy as np
import pytest

import nnlite
from nnlite import MLP, Config, Linear, SoftmaxCrossEntropy
from nnlite.backend import CPU
from nnlite.optimizers import OPTIMIZERS
from nnlite.training import Training


def through_joblib(thing):
    file = io.BytesIO()
    joblib.dump(thing, file)
    file.seek(0)
    return joblib.load(file)


COPIERS = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),
    "oldest pickle": lambda thing: pickle.loads(pickle.dumps(thing, 2)),
    "joblib": through_joblib,
}
every_copier = pytest.mark.parametrize("copier", COPIERS.values(), ids=COPIERS)
one_or_stack = pytest.mark.parametrize("seed", [1, [1, 2]], ids=["one", "stack"])

x = np.random.default_rng(0).normal(size=(16, 6)).astype("float32")
labels = np.arange(16) % 3


def train(model, optimizer, steps=30):
    """The loss at each step."""
    loss, losses = SoftmaxCrossEntropy(), []
    for _ in range(steps):
        losses.append(np.mean(loss.forward(model.forward(x), labels)))
        model.backward(loss.backward())
        optimizer.step()
    return losses


def assert_views(model):
    assert all(np.shares_memory(p, model.theta) for p in model.parameters().values())
    assert all(np.shares_memory(g, model.dtheta) for g in model.gradients().values())


@every_copier
@one_or_stack
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_network_and_optimizer_go_on_together(copier, seed, name):
    model = MLP([6, 5, 3], "tanh", seed=seed)
    optimizer = OPTIMIZERS[name](model, 0.05)
    train(model, optimizer, 3)
    theta = model.theta.copy()
    model_2, optimizer_2 = copier((model, optimizer))
    losses = train(model_2, optimizer_2)
    assert losses[-1] < losses[0] - 0.01
    np.testing.assert_array_equal(model.theta, theta)  # the original has not moved
    assert train(model, optimizer) == losses
    assert_views(model_2)


@every_copier
def test_a_network_alone(copier):
    model = copier(MLP([6, 5, 3]))
    losses = train(model, nnlite.Adam(model, 0.05))
    assert losses[-1] < losses[0] / 2
    assert_views(model)


@every_copier
def test_an_optimizer_alone_brings_a_copy_of_its_network(copier):
    optimizer = nnlite.Adam(MLP([6, 5, 3]), 0.05)
    train(optimizer.model, optimizer, 3)
    other = copier(optimizer)
    assert other.model is not optimizer.model
    assert train(other.model, other) == train(optimizer.model, optimizer)


@every_copier
def test_a_layer_copied_beside_its_network_stays_part_of_it(copier):
    model = MLP([6, 5, 3])
    layer, other = copier((model.layers["fc1"], model))
    assert other.layers["fc1"] is layer
    assert_views(other)


@every_copier
def test_backward_after_copying_between_the_passes(copier):
    model, loss = MLP([6, 5, 3], "gelu"), SoftmaxCrossEntropy()
    loss.forward(model.forward(x), labels)
    other, other_loss = copier((model, loss))
    model.backward(loss.backward())
    other.backward(other_loss.backward())
    np.testing.assert_array_equal(other.dtheta, model.dtheta)


def test_a_shallow_copy_shares_the_vectors_and_learns():
    model = MLP([6, 5, 3])
    other = copy.copy(model)
    assert other.theta is model.theta
    losses = train(other, nnlite.Adam(other, 0.05))
    assert losses[-1] < losses[0] / 2
    np.testing.assert_array_equal(model.forward(x), other.forward(x))
    assert_views(model)


@every_copier
def test_a_training_goes_on_from_where_it_was_copied(copier, tiny):
    training = Training([Config(epochs=3, hidden=(8,), batch_size=32)], tiny, CPU)
    training.run_epoch()
    (first,), (second,) = (finished(t) for t in (copier(training), training))
    for name in ("train_loss", "val_loss", "gradient_stats", "test_accuracy", "test_loss"):
        assert first[name] == second[name]


def finished(training):
    while not training.done:
        training.run_epoch()
    return training.finish()


@pytest.mark.parametrize("seed", [1, [1, 2]], ids=["one", "stack"])
def test_on_a_device(strict_cupy, seed):
    model = MLP([6, 5, 3], seed=seed, xp=strict_cupy.cupy)
    other = copy.deepcopy(model)
    other.layers["fc1"].weight[...] = 7
    assert (other.theta == 7).any() and not (model.theta == 7).any()
    model.layers["fc1"].bias = model.layers["fc1"].bias * 0 + 9
    assert (model.theta == 9).any()


# ---- assigning


def test_an_assigned_weight_is_what_is_computed_with_saved_and_trained(tmp_path):
    model = MLP([6, 5, 3])
    optimizer = nnlite.SGD(model, 0.1)
    weight = np.arange(30.0).reshape(6, 5)  # float64: its numbers are written into float32
    model.layers["fc1"].weight = weight
    model.layers["fc2"].bias = [1, 2, 3]
    assert_views(model)
    np.testing.assert_array_equal(model.theta[:30], weight.ravel())
    np.testing.assert_array_equal(model.theta[-3:], [1, 2, 3])
    nnlite.save(model, tmp_path / "model")
    np.testing.assert_array_equal(nnlite.load(tmp_path / "model").forward(x), model.forward(x))
    model.layers["fc1"].dweight = np.ones((6, 5))
    optimizer.step()
    np.testing.assert_allclose(model.layers["fc1"].weight, weight - 0.1, rtol=1e-6, atol=1e-6)
    model.layers["fc1"].weight *= 2
    assert_views(model)


def test_assigned_vectors_reach_the_layers():
    model = MLP([6, 5, 3])
    optimizer = nnlite.SGD(model, 1)
    model.theta = np.zeros(53)
    model.dtheta = np.ones(53)
    optimizer.step()
    assert (model.layers["fc1"].weight == -1).all()
    optimizer.theta = np.full(53, 5.0)
    optimizer.g = np.full(53, 2.0)
    optimizer.step()
    assert (model.layers["fc2"].bias == 3).all()


@pytest.mark.parametrize(
    "value",
    [np.ones((5, 6)), np.ones(5), 0.0, None, "text", np.ones((6, 5), complex), [["a"] * 5] * 6],
    ids=["transposed", "a row", "a number", "None", "text", "complex", "texts"],
)
def test_what_does_not_fit_is_refused(value):
    model = MLP([6, 5, 3])
    before = model.theta.copy()
    with pytest.raises(ValueError, match=r"weight is float32 of shape \(6, 5\), so .* cannot be"):
        model.layers["fc1"].weight = value
    np.testing.assert_array_equal(model.theta, before)


def test_a_layer_cannot_be_replaced():
    """Its weights would not be those that an optimizer trains and a file keeps."""
    model = MLP([6, 5, 3])
    with pytest.raises(TypeError):
        model.layers["fc1"] = Linear(np.ones((6, 5)), np.ones(5))
    with pytest.raises(AttributeError):
        model.layers = {}
