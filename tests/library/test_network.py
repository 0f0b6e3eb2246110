"""nnlite.network: the vectors and their views, initial weights, gradients of the whole network."""

import math

import numpy as np
import pytest

from nnlite.activations import ACTIVATIONS
from nnlite.losses import SoftmaxCrossEntropy
from nnlite.network import INITIALIZERS, MLP
from nnlite.optimizers import OPTIMIZERS
from test_activations import TORCH
from test_layers import assert_close, numeric_gradient

NAMES = ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias", "fc3.weight", "fc3.bias"]
# name -> the standard deviation that the papers ask of the weights
STD = {
    "uniform": lambda D_in, D_out: math.sqrt(1 / (3 * D_in)),  # +-1/sqrt(D_in)
    "xavier": lambda D_in, D_out: math.sqrt(2 / (D_in + D_out)),
    "he": lambda D_in, D_out: math.sqrt(2 / D_in),
}

every_activation = pytest.mark.parametrize("activation", ACTIVATIONS)


def small(activation="tanh", seed=1, **options):
    """A small float64 network, and a batch for it."""
    model = MLP([6, 5, 4, 3], activation, seed=seed, dtype="float64", **options)
    rng = np.random.default_rng(0)
    lead = model.theta.shape[:-1]
    return model, rng.normal(size=(*lead, 8, 6)), rng.integers(3, size=(*lead, 8))


def backpropagate(model, x, labels):
    """One forward and backward pass; returns the loss."""
    loss = SoftmaxCrossEntropy()
    value = loss.forward(model.forward(x), labels)
    model.backward(loss.backward())
    return value


# ---- parameters and their vectors


def test_the_lab_s_network():
    model = MLP([784, 256, 128, 10])
    assert model.theta.shape == model.dtheta.shape == (235_146,)
    assert model.theta.dtype == model.dtheta.dtype == "float32"
    assert list(model.layers) == ["fc1", "act1", "fc2", "act2", "fc3"]
    shapes = [(784, 256), (256,), (256, 128), (128,), (128, 10), (10,)]
    for arrays in (model.parameters(), model.gradients()):
        assert list(arrays) == NAMES
        assert [array.shape for array in arrays.values()] == shapes


@pytest.mark.parametrize("seed", [1, [1, 2]], ids=str)
def test_parameters_are_views(seed):
    model, x, labels = small(seed=seed)
    pairs = [(model.theta, model.parameters()), (model.dtheta, model.gradients())]
    for vector, views in pairs:
        vector[...] = np.arange(vector.size).reshape(vector.shape)
        flat = [view.reshape(*vector.shape[:-1], -1) for view in views.values()]
        np.testing.assert_array_equal(np.concatenate(flat, axis=-1), vector)  # in order, no gaps
        for view in views.values():
            assert np.shares_memory(view, vector)
            view[...] = -1
        assert (vector == -1).all()
    backpropagate(model, x, labels)
    assert (model.dtheta != -1).all()
    model.layers["fc2"].weight[...] = 7
    assert (model.parameters()["fc2.weight"] == 7).all()


def test_changing_theta_changes_the_network():
    model, x, _ = small()
    model.theta[:] = 0
    model.parameters()["fc3.bias"][:] = [1, 2, 3]
    np.testing.assert_array_equal(model.forward(x), np.tile([1, 2, 3], (8, 1)))


# ---- initial weights


@pytest.mark.parametrize("init", INITIALIZERS)
def test_initial_weights(init):
    model = MLP([50, 400, 300], init=init)
    for i, (D_in, D_out) in enumerate([(50, 400), (400, 300)], start=1):
        weight, bias = model.layers[f"fc{i}"].weight, model.layers[f"fc{i}"].bias
        std = STD[init](D_in, D_out)
        bound = std * math.sqrt(3)  # that of a uniform distribution with this deviation
        assert weight.std() == pytest.approx(std, rel=0.02)
        assert abs(weight.mean()) < 0.02 * bound
        assert 0.999 * bound < np.abs(weight).max() <= 1.000001 * bound
        if init == "uniform":
            assert 0.98 * bound < np.abs(bias).max() <= 1.000001 * bound
        else:
            assert not bias.any()


def test_the_seed_decides():
    first, again, other = (MLP([6, 5, 3], seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.theta, again.theta)
    assert not np.isin(other.theta, first.theta).any()


@pytest.mark.parametrize("init", INITIALIZERS)
def test_initializations_rescale_the_same_draws(init):
    ours, uniform = (MLP([6, 5, 4, 3], init=name, dtype="float64") for name in (init, "uniform"))
    for name in ("fc1.weight", "fc2.weight", "fc3.weight"):
        ratio = ours.parameters()[name] / uniform.parameters()[name]
        np.testing.assert_allclose(ratio, ratio[0, 0])


def test_activation_and_dtype_leave_the_draws_alone():
    theta = MLP([6, 5, 3], "relu", dtype="float64").theta
    np.testing.assert_array_equal(MLP([6, 5, 3], "gelu", dtype="float64").theta, theta)
    np.testing.assert_array_equal(MLP([6, 5, 3]).theta, theta.astype("float32"))


# ---- gradients


@every_activation
@pytest.mark.parametrize("seed", [1, [1, 2]], ids=str)
def test_finite_differences(activation, seed):
    model, x, labels = small(activation, seed)
    loss = SoftmaxCrossEntropy()

    def L():
        return loss.forward(model.forward(x), labels).sum()

    L()
    # A step of 1e-5 in one number changes no z by this much, so none crosses the kink at 0.
    assert min(np.abs(model.outputs()[name]).min() for name in ("fc1", "fc2")) > 1e-4
    assert model.backward(loss.backward()) is None
    dtheta = model.dtheta.copy()
    assert_close(dtheta, numeric_gradient(L, model.theta))

    model.layers["fc1"].input_gradient = True
    L()
    assert_close(model.backward(loss.backward()), numeric_gradient(L, x))
    np.testing.assert_array_equal(model.dtheta, dtheta)  # the same, and not added up


@every_activation
def test_gradients_inside_the_network(activation):
    """dL/doutput of each layer: change that output, and let the layers after it go on."""
    model, x, labels = small(activation)
    backpropagate(model, x, labels)
    layers, outputs, gradients = list(model.layers), model.outputs(), model.output_gradients()
    assert list(outputs) == layers and set(gradients) == set(layers)
    for i, name in enumerate(layers):

        def L(i=i, name=name):
            y = outputs[name]
            for later in layers[i + 1 :]:
                y = model.layers[later].forward(y)
            return SoftmaxCrossEntropy().forward(y, labels)

        assert_close(gradients[name], numeric_gradient(L, outputs[name]))


def test_outputs_are_what_the_layers_compute():
    model, x, _ = small("relu")
    logits = model.forward(x)
    outputs, p = model.outputs(), model.parameters()
    assert_close(outputs["fc1"], x @ p["fc1.weight"] + p["fc1.bias"], 1e-14)
    np.testing.assert_array_equal(outputs["act1"], np.maximum(outputs["fc1"], 0))
    np.testing.assert_array_equal(outputs["fc3"], logits)


@every_activation
def test_against_torch(activation):
    torch = pytest.importorskip("torch")
    model, x, labels = small(activation)
    value = backpropagate(model, x, labels)

    expected, y = {}, torch.tensor(x)
    for i in (1, 2, 3):
        for kind in ("weight", "bias"):
            parameter = model.parameters()[f"fc{i}.{kind}"]
            expected[f"fc{i}.{kind}"] = torch.tensor(parameter, requires_grad=True)
        y = expected[f"fc{i}"] = y @ expected[f"fc{i}.weight"] + expected[f"fc{i}.bias"]
        y.retain_grad()
        if i < 3:
            y = expected[f"act{i}"] = TORCH[activation](torch)(y)
            y.retain_grad()
    loss = torch.nn.functional.cross_entropy(y, torch.tensor(labels))
    loss.backward()

    assert value == pytest.approx(loss.item(), rel=1e-13)
    for name, output in model.outputs().items():
        assert_close(output, expected[name].detach().numpy(), 1e-13)
    for name, gradient in (model.gradients() | model.output_gradients()).items():
        assert_close(gradient, expected[name].grad.numpy(), 1e-13)


@every_activation
def test_a_record_is_not_written_over(activation):
    model, x, labels = small(activation)
    backpropagate(model, x, labels)
    outputs, gradients = model.outputs(), model.output_gradients()
    records = [*outputs.values(), *gradients.values(), x]
    before = [array.copy() for array in records]
    for optimizer in OPTIMIZERS.values():
        optimizer(model, 0.1).step()
    model.forward(x + 1)
    for name in model.layers:  # a forward replaces the outputs, only a backward the gradients
        assert model.outputs()[name] is not outputs[name]
        assert model.output_gradients()[name] is gradients[name]
    backpropagate(model, x - 1, labels)
    for array, copy in zip(records, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_no_hidden_layer_is_logistic_regression():
    model = MLP([784, 10], dtype="float64")
    assert list(model.layers) == ["fc1"]
    rng = np.random.default_rng(0)
    x, labels = rng.uniform(-1, 1, (20, 784)), rng.integers(10, size=20)
    backpropagate(model, x, labels)
    scores = np.exp(x @ model.parameters()["fc1.weight"] + model.parameters()["fc1.bias"])
    error = scores / scores.sum(axis=1, keepdims=True) - np.eye(10)[labels]
    assert_close(model.gradients()["fc1.weight"], x.T @ error / 20, 1e-12)
    assert_close(model.gradients()["fc1.bias"], error.mean(axis=0), 1e-12)


@every_activation
def test_float32_stays_float32(activation):
    model = MLP([6, 5, 3], activation)
    x, labels = np.ones((4, 6), np.float32), np.zeros(4, np.uint8)
    value = backpropagate(model, x, labels)
    arrays = [value, model.theta, model.dtheta]
    arrays += [*model.outputs().values(), *model.output_gradients().values()]
    assert {array.dtype for array in arrays} == {np.dtype("float32")}


# ---- stacks


@every_activation
@pytest.mark.parametrize("shared_x", [False, True])
def test_a_stack_is_separate_networks(activation, shared_x):
    stack, x, labels = small(activation, seed=[5, 2, 9])
    x = x[0] if shared_x else x
    values = backpropagate(stack, x, labels)
    assert values.shape == (3,)
    for k, seed in enumerate([5, 2, 9]):
        one = small(activation, seed)[0]
        np.testing.assert_array_equal(stack.theta[k], one.theta)
        value = backpropagate(one, x if shared_x else x[k], labels[k])
        assert values[k] == pytest.approx(value, rel=1e-13)
        assert_close(stack.dtheta[k], one.dtheta, 1e-13)
        for name, gradient in one.output_gradients().items():
            assert_close(stack.output_gradients()[name][k], gradient, 1e-13)


def test_a_list_with_one_seed_is_a_stack_of_one():
    assert MLP([6, 5, 3], seed=[4]).theta.shape == (1, 53)


# ---- what is refused


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"sizes": []}, ["[]", "two or more positive integers"]),
        ({"sizes": [784]}, ["[784]", "two or more positive integers"]),
        ({"sizes": 5}, ["sizes is 5", "two or more positive integers"]),
        ({"sizes": [True, 2]}, ["[True, 2]", "two or more positive integers"]),
        ({"seed": []}, ["seed is []", "a list of them for a stack"]),
        ({"seed": 1.5}, ["seed is 1.5", "integer >= 0"]),
        ({"seed": None}, ["seed is None", "integer >= 0"]),
        ({"sizes": [784, 0, 10]}, ["[784, 0, 10]", "two or more positive integers"]),
        ({"sizes": [784, -5, 10]}, ["-5", "two or more positive integers"]),
        ({"sizes": [784, 2.5, 10]}, ["2.5", "two or more positive integers"]),
        ({"activation": "relus"}, ["'relus'", *ACTIVATIONS]),
        ({"init": "hee"}, ["'hee'", *INITIALIZERS]),
        ({"dtype": "float16"}, ["'float16'", "float32 or float64"]),
        ({"seed": -1}, ["-1", "integer >= 0"]),
        ({"seed": [1, -2]}, ["-2", "integer >= 0"]),
        ({"seed": [1, 2.0]}, ["2.0", "integer >= 0"]),
        ({"seed": True}, ["True", "integer >= 0"]),
        ({"seed": "1"}, ["'1'", "integer >= 0"]),
        ({"seed": math.nan}, ["nan", "integer >= 0"]),
        ({"sizes": {6, 3}}, ["two or more positive integers"]),
        ({"sizes": ["6", "3"]}, ["two or more positive integers"]),
        ({"xp": "numpy"}, ["xp is 'numpy'", "give the module"]),
    ],
    ids=str,
)
def test_bad_arguments_are_refused(arguments, words):
    with pytest.raises(ValueError) as error:
        MLP(**{"sizes": [6, 3], **arguments})
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    "x, words",
    [
        (np.zeros((8, 5), "float32"), ["(8, 5)", "N rows of 6 numbers"]),
        (np.zeros(6, "float32"), ["(6,)", "N rows of 6 numbers"]),
        (np.zeros((8, 6), "float64"), ["float64", "convert it to the model's, float32"]),
        (np.zeros((8, 6), "uint8"), ["uint8", "convert it to the model's, float32"]),
        (np.zeros((2, 8, 6), "float32"), ["(2, 8, 6)", "(N, 6)"]),
        (np.array([[0, 0, 0, np.nan, 0, 0]], "float32"), ["x holds NaN"]),
        (np.array([[0, 0, 0, np.inf, 0, 0]], "float32"), ["x holds NaN or infinity"]),
        ([[0.0] * 6], ["a list is not an array"]),
        (0.0, ["a float is not an array"]),
    ],
    ids=["features", "one row", "float64", "uint8", "stack", "NaN", "inf", "list", "float"],
)
def test_bad_x_is_refused(x, words):
    with np.errstate(invalid="ignore"), pytest.raises(ValueError) as error:  # inf times 0
        MLP([6, 3]).forward(x)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("name", ["sizes", "seed"])
def test_an_iterator_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} is <map object"):
        MLP(**({"sizes": [6, 3]} | {name: map(int, "63")}))


def test_x_on_another_device_is_refused(strict_cupy):
    with pytest.raises(ValueError, match="on different devices"):
        MLP([6, 3]).forward(strict_cupy.cupy.zeros((2, 6), "float32"))


def test_backward_wants_the_gradient_of_the_logits():
    model = MLP([6, 3])
    with pytest.raises(ValueError, match="call forward first"):
        model.backward(np.zeros((8, 3), "float32"))
    model.forward(np.zeros((8, 6), "float32"))
    for shape in ((8, 1), (3,), (1, 3), (3, 8), (2, 8, 3)):  # most of them would broadcast
        dlogits = np.zeros(shape, "float32")
        with pytest.raises(ValueError, match="dlogits has shape"):
            model.backward(dlogits)


# ---- how one is printed


def test_printed_it_shows_layers_shapes_and_the_number_of_parameters():
    model = MLP([784, 256, 128, 10], "tanh")
    assert (
        str(model)
        == repr(model)
        == (
            "MLP 784-256-128-10, 235,146 parameters\n"
            "  fc1   Linear(784 -> 256)\n"
            "  act1  Tanh()\n"
            "  fc2   Linear(256 -> 128)\n"
            "  act2  Tanh()\n"
            "  fc3   Linear(128 -> 10)"
        )
    )


def test_printed_a_stack_says_so():
    assert str(MLP([3, 2], seed=[1, 2, 3])) == (
        "MLP 3-2, 8 parameters in each of 3 networks\n  fc1   Linear(3 -> 2)"
    )
