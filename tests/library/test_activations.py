"""nnlite.activations: values, derivatives and limits of every registered activation.

The tests run over ACTIVATIONS itself. Finite differences need nothing else, so they check a new
activation without being told of it; its value is checked against the table FORMULAS, its limits
against LIMITS, and a name that is missing there fails.
"""

import math

import numpy as np
import pytest

from nnlite.activations import ACTIVATIONS
from test_layers import assert_close, numeric_gradient

# name -> f in plain Python, one number at a time, written as in the textbooks
FORMULAS = {
    "sigmoid": lambda z: 1 / (1 + math.exp(-z)),
    "tanh": lambda z: (math.exp(z) - math.exp(-z)) / (math.exp(z) + math.exp(-z)),
    "relu": lambda z: z if z > 0 else 0.0,
    "leaky_relu": lambda z: z if z > 0 else 0.1 * z,
    "elu": lambda z: z if z > 0 else math.exp(z) - 1,
    "gelu": lambda z: z * math.erfc(-z / math.sqrt(2)) / 2,
}
# name -> f(-10^4), f'(-10^4), f(10^4), f'(10^4)
LIMITS = {
    "sigmoid": (0, 0, 1, 0),
    "tanh": (-1, 0, 1, 0),
    "relu": (0, 0, 1e4, 1),
    "leaky_relu": (-1e3, 0.1, 1e4, 1),
    "elu": (-1, 0, 1e4, 1),
    "gelu": (0, 0, 1e4, 1),
}
# name -> f'(0), from the left where left and right differ
AT_ZERO = {"sigmoid": 0.25, "tanh": 1, "relu": 0, "leaky_relu": 0.1, "elu": 1, "gelu": 0.5}
# name -> the same function in torch
TORCH = {
    "sigmoid": lambda torch: torch.sigmoid,
    "tanh": lambda torch: torch.tanh,
    "relu": lambda torch: torch.relu,
    "leaky_relu": lambda torch: lambda z: torch.nn.functional.leaky_relu(z, 0.1),
    "elu": lambda torch: torch.nn.functional.elu,
    "gelu": lambda torch: torch.nn.functional.gelu,
}

every_activation = pytest.mark.parametrize("name", ACTIVATIONS)
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def off_zero(rng, shape):
    """Random numbers with 0.05 <= |z| <= 4, away from the kink of ReLU and its kin."""
    return rng.choice([-1.0, 1.0], shape) * rng.uniform(0.05, 4, shape)


@every_activation
def test_value(name):
    z = off_zero(np.random.default_rng(0), 100)
    expected = np.array([FORMULAS[name](number) for number in z.tolist()])
    assert_close(ACTIVATIONS[name]().forward(z), expected, 1e-14)


@every_activation
@pytest.mark.parametrize("shape", [(7, 5), (2, 4, 3), (6,), ()], ids=str)
def test_finite_differences(name, shape):
    rng = np.random.default_rng(1)
    layer, z, da = ACTIVATIONS[name](), off_zero(rng, shape), rng.normal(size=shape)
    z, da = np.asarray(z), np.asarray(da)
    assert layer.forward(z).shape == shape
    dz = layer.backward(da)
    assert_close(dz, numeric_gradient(lambda: np.sum(layer.forward(z) * da), z), 1e-8)


@every_activation
def test_against_torch(name):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(2)
    z, da = np.append(rng.normal(0, 3, 200), 0.0), rng.normal(size=201)
    layer = ACTIVATIONS[name]()
    z_torch = torch.tensor(z, requires_grad=True)
    a_torch = TORCH[name](torch)(z_torch)
    a_torch.backward(torch.tensor(da))
    assert_close(layer.forward(z), a_torch.detach().numpy(), 1e-14)
    assert_close(layer.backward(da), z_torch.grad.numpy(), 1e-14)


@every_activation
@every_dtype
@pytest.mark.filterwarnings("error")
def test_far_out(name, dtype):
    layer, z = ACTIVATIONS[name](), np.array([-1e4, 1e4], dtype)
    a, derivative = layer.forward(z), layer.backward(np.ones(2, dtype))
    left, left_slope, right, right_slope = LIMITS[name]
    np.testing.assert_allclose(a, [left, right], rtol=1e-6, atol=1e-30)
    np.testing.assert_allclose(derivative, [left_slope, right_slope], rtol=1e-6, atol=1e-30)


@every_activation
@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_derivative_at_zero(name, zero):
    layer = ACTIVATIONS[name]()
    assert layer.forward(np.array([zero])) == pytest.approx([FORMULAS[name](0.0)])
    assert layer.backward(np.array([3.0])) == pytest.approx([3 * AT_ZERO[name]])


@pytest.mark.parametrize("z", [-1e-12, 1e-12])
def test_elu_is_exact_near_zero(z):
    assert ACTIVATIONS["elu"]().forward(np.array([z])) == pytest.approx([z], rel=1e-10, abs=0)


@every_activation
@every_dtype
def test_dtype_is_kept(name, dtype):
    layer = ACTIVATIONS[name]()
    z = np.linspace(-2, 2, 12, dtype=dtype).reshape(3, 4)
    assert layer.forward(z).dtype == dtype
    assert layer.backward(z).dtype == dtype


@every_activation
def test_inputs_stay_as_they_were(name):
    rng = np.random.default_rng(3)
    layer, z, da = ACTIVATIONS[name](), rng.normal(size=(5, 4)), rng.normal(size=(5, 4))
    before = z.copy(), da.copy()
    z.flags.writeable = da.flags.writeable = False  # writing to them would raise
    a = layer.forward(z)
    a_before = a.copy()
    layer.backward(da)
    np.testing.assert_array_equal((z, da), before)
    np.testing.assert_array_equal(a, a_before)  # the output is the next layer's input: same rule


@every_activation
@pytest.mark.parametrize("shape", [(0,), (0, 4), (3, 0)], ids=str)
def test_empty_arrays(name, shape):
    layer = ACTIVATIONS[name]()
    assert layer.forward(np.empty(shape)).shape == shape
    assert layer.backward(np.empty(shape)).shape == shape


@every_activation
def test_printed_it_is_its_name(name):
    """And the one number that one of them has."""
    text = str(ACTIVATIONS[name]())
    assert text == ("LeakyReLU(slope=0.1)" if name == "leaky_relu" else f"{text[:-2]}()")
    assert text.partition("(")[0] == ACTIVATIONS[name].__name__


@every_activation
@pytest.mark.parametrize(
    "z, words",
    [
        (-2.0, "a float is not an array"),
        ([-2.0], "a list is not an array"),
        ("text", "a str is not an array"),
        (None, "a NoneType is not an array"),
        (np.array([1, 2]), "an array of int64: convert it"),
        (np.array([1, 2], "uint8"), "an array of uint8: convert it"),  # -z would be 255, 254
        (np.array([True]), "an array of bool: convert it"),
        (np.array([None]), "an array of object: convert it"),
    ],
    ids=str,
)
def test_what_is_no_array_of_floats_is_refused(name, z, words):
    with pytest.raises(ValueError, match=words):
        ACTIVATIONS[name]().forward(z)
