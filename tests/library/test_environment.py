"""What a user has set up for something else leaves the library alone: np.seterr, python -OO."""

import subprocess
import sys

import numpy as np
import pytest

from nnlite import MLP, Config, SoftmaxCrossEntropy, train
from nnlite.activations import ACTIVATIONS
from nnlite.backend import select_device
from nnlite.optimizers import OPTIMIZERS
from nnlite.training.diagnostics import gradient_statistics, histograms, probe_statistics


@pytest.fixture(autouse=True)
def every_floating_point_error_raises():
    with np.errstate(all="raise"):
        yield


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_activation_far_out(name, dtype):
    z, layer = np.linspace(-1e4, 1e4, 40_001).astype(dtype), ACTIVATIONS[name]()
    with np.errstate(under="ignore"):  # which is the network's part
        layer.forward(z)
        layer.backward(np.ones_like(z))


def test_a_network_that_is_certain():
    logits = np.array([[0, -1e4], [-90, 0], [1e4, 0]], "float32")
    loss = SoftmaxCrossEntropy()
    loss.forward(logits, np.array([0, 1, 1]))
    loss.backward()


@pytest.mark.parametrize("seed", [0, [0, 1]], ids=["one", "stack"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_gradients_that_vanish(optimizer, seed):
    model = MLP([6, *[8] * 40, 3], "sigmoid", seed=seed)
    model.theta[...] /= 8
    rule, loss = OPTIMIZERS[optimizer](model), SoftmaxCrossEntropy()
    for _ in range(3):
        loss.forward(model.forward(np.ones((5, 6), "float32")), np.zeros(5, int))
        model.backward(loss.backward())
        rule.step()
    assert np.abs(model.gradients()["fc1.weight"]).max() < 1e-30
    gradient_statistics(model), probe_statistics(model), histograms(model)
    model.theta = np.full_like(model.theta, 1.5e-38)  # nearly the smallest normal number
    rule.step()


@pytest.mark.parametrize("device", ["cpu", "numba"])
def test_a_run_and_one_that_diverges(device, tiny, request):
    if device == "numba":
        request.getfixturevalue("numba_at_once")
    rates = (0.01, 1e10)
    configs = [Config("relu", "sgd", rate, epochs=2, hidden=(16,)) for rate in rates]
    logs = train(configs, tiny, select_device(device))
    assert [bool(log["diverged"]) for log in logs] == [False, True]


def test_without_docstrings_and_asserts():
    """python -OO takes them away, so nothing may need them."""
    code = """if True:
        import nnlite
        from nnlite import gradcheck
        from nnlite.datasets import load
        (log,) = nnlite.train([nnlite.Config(epochs=1, hidden=(8,))], load("digits"))
        print(log["test_accuracy"] > 0 and all(check.ok for check in gradcheck.check_all()))
    """
    done = subprocess.run([sys.executable, "-OO", "-c", code], capture_output=True, text=True)
    assert done.stdout == "True\n", done.stderr
