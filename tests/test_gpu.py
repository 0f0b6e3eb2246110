"""NumPy and CuPy agree, on a real GPU where there is one.

Each test also runs on the stand-in for CuPy, which shows on any machine that the test itself works.
"""

from dataclasses import replace

import numpy as np
import pytest

from nnlite.activations import ACTIVATIONS
from nnlite.backend import normal_cdf, select_device, to_host
from nnlite.layers import Linear
from nnlite.losses import SoftmaxCrossEntropy
from nnlite.network import MLP
from nnlite.optimizers import OPTIMIZERS
from nnlite.training import evaluate, train, train_epoch
from nnlite.training.config import Config
from nnlite.training.diagnostics import (
    confusion_matrix,
    gradient_statistics,
    histograms,
    probe_statistics,
    update_ratios,
    weights,
)
from nnlite.training.logs import leaves

CLOSE = {"rtol": 2e-5, "atol": 2e-5}  # float32, and sums in another order


@pytest.fixture(params=["stand-in", "gpu"])
def gpu(request):
    """The device to compare with NumPy."""
    if request.param == "stand-in":
        request.getfixturevalue("strict_cupy")
        return select_device("gpu")
    try:
        return select_device("gpu")
    except RuntimeError as error:
        pytest.skip(str(error))


@pytest.fixture
def copies_to_host(gpu, monkeypatch):
    """A list that grows with each copy from the device: all of them go through ndarray.get."""
    copies, get = [], gpu.xp.ndarray.get

    def spy(array, *args, **kwargs):
        copies.append(array.shape)
        return get(array, *args, **kwargs)

    monkeypatch.setattr(gpu.xp.ndarray, "get", spy)
    return copies


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(0, 2, shape).astype("float32")


def on_both(gpu, compute, *arrays):
    """compute(xp, *arrays) on NumPy and on the device; what it returns, as host arrays."""
    on_host = compute(np, *(a.copy() for a in arrays))
    on_device = compute(gpu.xp, *(gpu.xp.asarray(a) for a in arrays))
    for a in on_device:
        assert isinstance(a, gpu.xp.ndarray)
    return list(zip([to_host(a) for a in on_device], on_host, strict=True))


def assert_agree(pairs, **tolerance):
    for on_device, on_host in pairs:
        assert on_device.dtype == on_host.dtype
        np.testing.assert_allclose(on_device, on_host, **(tolerance or CLOSE))


def test_copies_are_noticed(gpu, copies_to_host):
    a = gpu.xp.ones((3, 3))
    for fetch in (gpu.xp.asnumpy, to_host, lambda a: float(a.sum()), lambda a: a.max().item()):
        fetch(a)
    assert len(copies_to_host) == 4


def test_normal_cdf(gpu):
    z = np.linspace(-13, 4, 1001, dtype="float32")
    assert_agree(on_both(gpu, lambda xp, z: [normal_cdf(z)], z), rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(gpu, name):
    def compute(xp, z, da):
        layer = ACTIVATIONS[name]()
        return layer.forward(z), layer.backward(da)

    z = normal(40, 50)
    z[0, :4] = 0, -0.0, 100, -100
    assert_agree(on_both(gpu, compute, z, normal(40, 50, seed=1)))
    # The small numbers far out too, relative to themselves. (GELU's f' is 0 at -0.75, not here.)
    z = np.linspace(3, 12, 200, dtype="float32") * np.array([[-1], [1]], "float32")
    assert_agree(on_both(gpu, compute, z, np.ones_like(z)), rtol=2e-5, atol=0)


@pytest.mark.parametrize("lead", [(), (3,)], ids=["single", "stack"])
def test_linear(gpu, lead):
    def compute(xp, x, weight, bias, dz):
        layer = Linear(weight, bias)
        return layer.forward(x), layer.backward(dz), layer.dweight, layer.dbias

    shapes = [(*lead, 33, 20), (*lead, 20, 7), (*lead, 7), (*lead, 33, 7)]
    arrays = [normal(*shape, seed=i) for i, shape in enumerate(shapes)]
    assert_agree(on_both(gpu, compute, *arrays))


@pytest.mark.parametrize("lead", [(), (3,)], ids=["single", "stack"])
@pytest.mark.parametrize("label_dtype", ["uint8", "int64"])
def test_loss(gpu, lead, label_dtype):
    def compute(xp, logits, labels):
        loss = SoftmaxCrossEntropy()
        return loss.forward(logits, labels), loss.backward()

    labels = np.random.default_rng(0).integers(0, 10, (*lead, 33)).astype(label_dtype)
    logits = normal(*lead, 33, 10)
    logits[..., 0, :2] = 500, -500
    assert_agree(on_both(gpu, compute, logits, labels))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("seed", [1, [1, 2]], ids=["single", "stack"])
def test_network(gpu, activation, seed):
    """Here the layers' arrays are views into theta and dtheta, in a stack with gaps between."""

    def compute(xp, x, dlogits):
        model = MLP([20, 9, 8, 5], activation, seed=seed, xp=xp)
        logits = model.forward(x)
        model.backward(dlogits)
        return logits, model.dtheta, model.theta

    lead = () if seed == 1 else (2,)
    assert_agree(on_both(gpu, compute, normal(*lead, 33, 20), normal(*lead, 33, 5, seed=1)))


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("seed", [1, [1, 2]], ids=["single", "stack"])
def test_optimizer(gpu, name, seed):
    """Compared is how far theta moved: a wrong decay would hide behind theta itself."""

    def compute(xp, *gradients):
        model = MLP([12, 5], seed=seed, xp=xp)
        before = model.theta.copy()
        optimizer = OPTIMIZERS[name](model, 0.05 if seed == 1 else [0.05, 0.01])
        moves = []
        for g in gradients:
            model.dtheta[...] = g
            optimizer.step()
            moves.append(model.theta - before)
        return moves

    shape = MLP([12, 5], seed=seed).theta.shape
    gradients = [normal(*shape, seed=i) for i in range(5)]
    for g in gradients:
        g[..., :20] = 0  # here AdamW does nothing but decay
    assert_agree(on_both(gpu, compute, *gradients), rtol=1e-3, atol=2e-7)


@pytest.mark.parametrize("scale", [1, 1e-25])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("seed", [1, [1, 2]], ids=["single", "stack"])
def test_diagnostics(gpu, seed, activation, scale):
    """Of gradients of usual size, and of such as have vanished: no square of theirs is 0."""

    def compute(xp, x, dlogits):
        model = MLP([20, 9, 8, 5], activation, seed=seed, xp=xp)
        model.theta[...] *= 3
        model.forward(x)
        model.backward(dlogits)
        before = weights(model)
        model.theta[...] += model.dtheta
        tree = {
            "gradients": gradient_statistics(model),
            "ratios": update_ratios(before, weights(model)),
            "probe": probe_statistics(model),
        }
        counted.append(histograms(model))
        return leaves(tree)

    counted, lead = [], () if seed == 1 else (2,)
    dlogits = scale * normal(*lead, 33, 5, seed=1)
    pairs = on_both(gpu, compute, normal(*lead, 33, 20), dlogits.astype("float32"))
    assert_agree(pairs, rtol=1e-4, atol=1e-6 * scale)
    assert all(np.isfinite(on_device).all() for on_device, _ in pairs)
    on_host, on_device = counted
    for found, wanted in zip(on_device, on_host, strict=True):
        assert list(found) == list(wanted) == ["fc1", "act1", "fc2", "act2", "fc3"]
        for name, h in wanted.items():
            ends = [found[name]["low"], found[name]["high"]]
            np.testing.assert_allclose(ends, [h["low"], h["high"]], rtol=1e-4, atol=1e-6 * scale)
            # a number next to an edge may fall to either side
            assert np.abs(np.subtract(found[name]["counts"], h["counts"])).sum() <= 8


@pytest.mark.parametrize("label_dtype", ["uint8", "int64"])
@pytest.mark.parametrize("lead", [(), (3,)], ids=["single", "stack"])
def test_confusion_matrix(gpu, lead, label_dtype):
    random = np.random.default_rng(0)
    labels = random.integers(0, 10, (*lead, 500)).astype(label_dtype)
    predicted = random.integers(0, 10, (*lead, 500))
    compute = lambda xp, y, p: [confusion_matrix(y, p, 10)]  # noqa: E731
    ((on_device, on_host),) = on_both(gpu, compute, labels, predicted)
    np.testing.assert_array_equal(on_device, on_host)
    assert on_device.sum() == labels.size


CONFIG = Config(epochs=2, batch_size=64)


def assert_same_run(on_device, on_host):
    """Small differences of single steps grow from step to step, so only so close."""
    assert on_device["epoch"] == on_host["epoch"]
    for key in ("train_loss", "val_loss", "test_loss"):
        np.testing.assert_allclose(on_device[key], on_host[key], rtol=5e-3, err_msg=key)
    for key in ("val_accuracy", "test_accuracy"):
        np.testing.assert_allclose(on_device[key], on_host[key], atol=4, err_msg=key)
    for name, statistics in on_host["gradient_stats"].items():
        for metric in ("mean_abs", "std", "norm"):
            found, wanted = on_device["gradient_stats"][name][metric], statistics[metric]
            np.testing.assert_allclose(found, wanted, rtol=2e-2, err_msg=f"{name} {metric}")
    for name, values in on_host["probe"].items():
        assert list(on_device["probe"][name]) == list(values)
        found, wanted = on_device["probe"][name]["gradient_norm"], values["gradient_norm"]
        np.testing.assert_allclose(found, wanted, rtol=2e-2, err_msg=name)
    for name, wanted in on_host["update_ratio"].items():
        np.testing.assert_allclose(on_device["update_ratio"][name], wanted, rtol=2e-2)
    for found, wanted in zip(on_device["val_confusion"], on_host["val_confusion"], strict=True):
        assert np.abs(np.subtract(found, wanted)).sum() <= 2  # one image
    for kind, metric in (("gradient_stats", "norm"), ("probe", "gradient_norm")):
        found, wanted = (
            [values[metric] for values in log["initial"][kind].values()]
            for log in (on_device, on_host)
        )
        np.testing.assert_allclose(found, wanted, rtol=1e-3, err_msg=f"initial {kind}")
    for end in ("first", "last"):
        counted = [sum(h["counts"]) for h in on_host["histograms"][end].values()]
        assert [sum(h["counts"]) for h in on_device["histograms"][end].values()] == counted


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_run_by_activation(gpu, tiny, activation):
    config = replace(CONFIG, activation=activation)
    assert_same_run(*train([config], tiny, gpu), *train([config], tiny))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_run_by_optimizer(gpu, tiny, optimizer):
    config = replace(CONFIG, optimizer=optimizer, learning_rate=None)
    (log,) = train([config], tiny, gpu)
    assert log["device"].startswith("GPU") and log["versions"]["cupy"]
    assert_same_run(log, *train([config], tiny))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_stack_is_its_runs_side_by_side(gpu, tiny, optimizer):
    base = replace(CONFIG, optimizer=optimizer)
    configs = [replace(base, seed=7), base, replace(base, learning_rate=base.learning_rate / 2)]
    for config, log in zip(configs, train(configs, tiny, gpu), strict=True):
        assert_same_run(log, *train([config], tiny, gpu))


def test_a_diverging_run_ends_alike(gpu, tiny):
    config = replace(CONFIG, optimizer="sgd", learning_rate=1e6, epochs=3)
    (on_device,), (on_host,) = train([config], tiny, gpu), train([config], tiny)
    assert on_device["diverged"]["epoch"] == on_host["diverged"]["epoch"]
    assert on_device["train_loss"][-1] is on_device["test_loss"] is None


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("seeds", [1, [1, 2]], ids=["single", "stack"])
def test_nothing_is_copied_to_the_host_within_an_epoch(gpu, tiny, copies_to_host, optimizer, seeds):
    """Each such copy waits until the GPU has done all it was asked to do, and leaves it idle."""
    xp = gpu.xp
    order = xp.arange(300) if seeds == 1 else xp.arange(300).reshape(2, 150)
    images, labels = xp.asarray(tiny.x_train), xp.asarray(tiny.y_train)
    for activation in ACTIVATIONS:
        model = MLP([784, 16, 10], activation, seed=seeds, xp=xp)
        stepper, loss = OPTIMIZERS[optimizer](model), SoftmaxCrossEntropy()
        train_epoch(model, loss, stepper, images, labels, order, 32)
        evaluate(model, loss, images, labels, order)
    assert copies_to_host == []
