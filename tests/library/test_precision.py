"""How many digits of f, f' and the loss are right: against Python's decimal, with 400 of them.

Errors are measured in units of the last digit (eps) of the TRUE value, however small that is, as
long as it is a normal number of the dtype. So a value that is exactly 0 where it should be 1e-30 is
as wrong as 1 in place of 2.
"""

import decimal
import math
from decimal import Decimal

import numpy as np
import pytest

from nnlite.activations import ACTIVATIONS
from nnlite.losses import SoftmaxCrossEntropy
from nnlite.training.diagnostics import norm

UNITS = 6  # that may be lost: a handful of roundings, in exp and after it
# Enough for 1 + x, where x is the smallest normal float64, and for the series of Phi at -38.
CONTEXT = decimal.Context(prec=400, Emax=10**6, Emin=-(10**6))

every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


@pytest.fixture(autouse=True)
def many_digits():
    with decimal.localcontext(CONTEXT):
        yield


# ---- the true values, of decimals and without a thought for rounding


def sigmoid(z):
    e = (-z).exp()
    return 1 / (1 + e), e / (1 + e) ** 2


def tanh(z):
    a = ((2 * z).exp() - 1) / ((2 * z).exp() + 1)
    return a, 1 - a * a


def relu(z):
    return max(z, Decimal(0)), Decimal(z > 0)


def leaky_relu(z):
    return (z, Decimal(1)) if z > 0 else (z / 10, Decimal("0.1"))


def elu(z):
    return (z, Decimal(1)) if z > 0 else (z.exp() - 1, z.exp())


def pi():
    """The recipe of Python's documentation of decimal."""
    before, t, total, n, na, d, da = 0, Decimal(3), Decimal(3), 1, 0, 0, 24
    while total != before:
        before, n, na, d, da = total, n + na, na + 8, d + da, da + 32
        t = t * n / d
        total += t
    return total


def gelu(z):
    if abs(z) > 40:  # phi and the smaller one of Phi(z) and Phi(-z) are below 1e-340
        return max(z, Decimal(0)), Decimal(z > 0)
    # Phi(z) = 1/2 + phi(z) (z + z^3 / 3 + z^5 / (3 * 5) + ...), Abramowitz & Stegun 26.2.11
    phi = (-z * z / 2).exp() / (2 * pi()).sqrt()
    Phi, before, term, k = Decimal("0.5"), None, phi * z, 1
    while Phi != before:
        before, Phi, term, k = Phi, Phi + term, term * z * z / (k + 2), k + 2
    return z * Phi, Phi + z * phi


TRUTHS = {
    "sigmoid": sigmoid,
    "tanh": tanh,
    "relu": relu,
    "leaky_relu": leaky_relu,
    "elu": elu,
    "gelu": gelu,
}
# From numbers that are subnormal in float32 (below 1e-38) and in float64 (1e-308) to those far out;
# in between, where exp(-z), 1 - a and phi leave the range of each dtype.
SIZES = """
    5e-324 1e-310 1e-300 1e-45 1e-40 1e-20 1e-8 1e-5 1e-3 0.01 0.1 0.3 0.5 1 1.5 2 2.5 3 4 5 6 7 8 9
    10 12 13 14 15 16.5 17 18 20 25 30 35 37 37.5 38 39 40 43 44 45 50 60 70 80 86 87 88 89 90 100
    103 104 105 200 300 340 353 355 360 500 700 708 709 710 740 745 746 1000 3000 10000
""".split()
POINTS = [sign * float(size) for size in SIZES for sign in (-1, 1)] + [0.0, -0.0]


def wrong_units(found, truth):
    """How far each number is from the true value, in units of the last digit of the true value.

    0 where the true value is too small to be a normal number, and `found` is too.
    """
    info = np.finfo(found.dtype)
    eps, tiny = Decimal(float(info.eps)), Decimal(float(info.tiny))  # tiny: the smallest normal one
    units = []
    for number, exact in zip((Decimal(float(number)) for number in found), truth, strict=True):
        both_tiny = abs(exact) < tiny and abs(number) <= tiny
        units.append(0 if both_tiny else float(abs(number - exact) / (max(abs(exact), tiny) * eps)))
    return np.array(units)


@pytest.mark.parametrize("name", TRUTHS)
@every_dtype
@pytest.mark.filterwarnings("error")
def test_f_and_its_derivative_are_right_to_a_few_units_of_the_last_digit(name, dtype):
    z = np.unique(np.array(POINTS, dtype))
    layer = ACTIVATIONS[name]()
    a, slope = layer.forward(z), layer.backward(np.ones_like(z))
    f, derivative = zip(*(TRUTHS[name](Decimal(float(number))) for number in z), strict=True)
    # Only GELU is allowed more: phi and Phi go down like exp(-z^2 / 2), and z^2 was rounded.
    allowed = UNITS + (z * z if name == "gelu" else 0)
    for what, found, truth in (("f", a, f), ("f'", slope, derivative)):
        units = wrong_units(found, truth)
        worst = np.argmax(units / allowed)
        assert (units <= allowed).all(), (
            f"{what}({z[worst]}) is {found[worst]}, {units[worst]:.3g} units off "
            f"{float(truth[worst]):.9g}"
        )


@every_dtype
def test_near_its_zero_gelu_s_derivative_is_as_right_as_its_two_terms(dtype):
    z = np.linspace(-0.76, -0.74, 41, dtype=dtype)
    layer = ACTIVATIONS["gelu"]()
    layer.forward(z)
    slope = layer.backward(np.ones_like(z))
    truth = [gelu(Decimal(float(number)))[1] for number in z]
    assert min(truth) < 0 < max(truth)
    errors = [abs(Decimal(float(a)) - b) for a, b in zip(slope, truth, strict=True)]
    assert max(errors) <= UNITS * Decimal(float(np.finfo(dtype).eps)) / 4  # terms of about 0.23


@pytest.mark.parametrize("name, z", [("sigmoid", -20), ("sigmoid", 20), ("tanh", 12), ("elu", -20)])
def test_a_unit_far_out_passes_on_a_little_not_nothing(name, z):
    """Where 1 - a or a + 1 would be exactly 0 in float32, and count as a gradient that is 0."""
    layer = ACTIVATIONS[name]()
    layer.forward(np.array([z], "float32"))
    assert 0 < layer.backward(np.ones(1, "float32"))[0] < 1e-8


# ---- the loss


def cross_entropy(row, label):
    """The loss of one sample, and its gradient, as decimals."""
    exponentials = [z.exp() for z in row]
    total = sum(exponentials)
    gradient = [e / total - (k == label) for k, e in enumerate(exponentials)]
    return total.ln() - row[label], gradient


@every_dtype
@pytest.mark.filterwarnings("error")
def test_the_loss_and_its_gradient(dtype):
    """Right to a few units of the last digit of 1, or of the loss if that is more.

    More is not promised: see the comments in losses.py. A probability is also right relative to
    itself, but for the rounding of the difference of two logits.
    """
    sizes = [0, 1e-3, 0.5, 1, 3, 10, 16, 17, 30, 36, 40, 80, 87, 100, 300, 700, 708, 1e3, 1e4]
    rows = [[z, 0.0, -z / 2] for z in sizes] + [[z, z, -1.0] for z in sizes] + [[1e-40, 0.0, 0.1]]
    logits = np.array(rows, dtype)
    eps, tiny = (Decimal(float(getattr(np.finfo(dtype), name))) for name in ("eps", "tiny"))
    decimal.getcontext().prec = 60
    for label in range(3):
        for row in logits:
            loss = SoftmaxCrossEntropy()
            value = Decimal(float(loss.forward(row[None], np.array([label]))))
            exact = [Decimal(float(z)) for z in row]
            truth, slopes = cross_entropy(exact, label)
            assert abs(value - truth) <= UNITS * eps * max(truth, 1)
            for k, (found, slope) in enumerate(zip(loss.backward()[0], slopes, strict=True)):
                assert abs(Decimal(float(found)) - slope) <= UNITS * eps
                if k != label:  # then the slope is the probability
                    units = UNITS + max(exact) - exact[k]
                    assert abs(Decimal(float(found)) - slope) <= units * eps * max(slope, tiny)


# ---- norms


@every_dtype
@pytest.mark.parametrize("size", [1e-37, 1e-25, 1e-10, 1.0, 1e10, 1e30])
def test_norms(dtype, size):
    x = (size * np.random.default_rng(0).normal(size=(20, 30))).astype(dtype)
    truth = sum(Decimal(float(number)) ** 2 for number in x.ravel()).sqrt()
    assert float(abs(Decimal(float(norm(x, (0, 1)))) / truth - 1)) < 1e-15 * math.sqrt(x.size)
