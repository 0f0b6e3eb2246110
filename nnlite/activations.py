"""Activation functions a = f(z), applied to each number on its own, and their derivatives.

The chain rule is the same for all: dL/dz = dL/da * f'(z). Each `backward` comes right after its
`forward`, which keeps what `backward` needs. z may have any shape. a, da = dL/da and the
dz = dL/dz that `backward` returns have the same shape and dtype as z.

A small f' matters: it decides whether a gradient is tiny or exactly 0. So f and f' are right to a
few units of their own last digit, however small they are. That rules out a difference of two nearly
equal numbers, such as 1 - a where a is almost 1: there most digits cancel.
"""

import math

import numpy as np

from .backend import Array, array_module, check_floats, normal_cdf
from .layers import Layer


def sigmoid(z: Array) -> Array:
    """Return 1 / (1 + exp(-z)). Far left exp(-z) overflows to inf, and 1 / inf = 0 is right."""
    with np.errstate(over="ignore"):
        return 1 / (1 + array_module(z).exp(-z))


class Sigmoid(Layer):
    """a = 1 / (1 + exp(-z)), between 0 and 1.   f'(z) = a (1 - a), at most 1/4."""

    bounds = (0, 1)

    def forward(self, z: Array) -> Array:
        check_floats(z)
        self.z, self.a = z, sigmoid(z)
        return self.a

    def backward(self, da: Array) -> Array:
        return da * (self.a * sigmoid(-self.z))  # 1 - a = sigmoid(-z)


class Tanh(Layer):
    """a = tanh(z), between -1 and 1, centred on 0.   f'(z) = 1 - a^2, at most 1."""

    bounds = (-1, 1)

    def forward(self, z: Array) -> Array:
        check_floats(z)
        self.z = z
        return array_module(z).tanh(z)

    def backward(self, da: Array) -> Array:
        # 1 - a^2 with all its digits: put a = (1 - e) / (1 + e), where e = exp(-2z), and simplify.
        # The result is the same for z and -z, and |z| keeps exp from overflowing.
        xp = array_module(da)
        e = xp.exp(-2 * xp.abs(self.z))
        return da * (4 * e / (1 + e) ** 2)


class ReLU(Layer):
    """a = max(0, z).   f'(z) = 1 where z > 0, else 0 (at z = 0 any value in [0, 1] would do).

    Nair & Hinton (2010), "Rectified linear units improve restricted Boltzmann machines".
    """

    def forward(self, z: Array) -> Array:
        check_floats(z)
        self.a = array_module(z).maximum(z, 0)
        return self.a

    def backward(self, da: Array) -> Array:
        # a > 0 exactly where z > 0, so z need not be kept.
        return da * (self.a > 0)


class LeakyReLU(Layer):
    """a = z where z > 0, else slope * z.   f'(z) = 1 where z > 0, else slope.

    Maas, Hannun & Ng (2013), "Rectifier nonlinearities improve neural network acoustic models".
    The slope 0.1 is the original sheet's.
    """

    slope = 0.1

    def forward(self, z: Array) -> Array:
        check_floats(z)
        self.z = z
        return array_module(z).where(z > 0, z, self.slope * z)

    def backward(self, da: Array) -> Array:
        return array_module(da).where(self.z > 0, da, self.slope * da)

    def __repr__(self) -> str:
        return f"LeakyReLU(slope={self.slope})"


class ELU(Layer):
    """a = z where z > 0, else exp(z) - 1.   f'(z) = 1 where z > 0, else exp(z).

    Clevert, Unterthiner & Hochreiter (2016), "Fast and accurate deep network learning by
    exponential linear units (ELUs)", with alpha = 1.
    """

    def forward(self, z: Array) -> Array:
        check_floats(z)
        xp = array_module(z)
        self.z = z
        # expm1(z) is exp(z) - 1 without the rounding error near 0. On the positive side its value
        # is not used, and min(z, 0) keeps it from overflowing there.
        return xp.where(z > 0, z, xp.expm1(xp.minimum(z, 0)))

    def backward(self, da: Array) -> Array:
        xp = array_module(da)
        return da * xp.exp(xp.minimum(self.z, 0))  # exp(0) = 1


class GELU(Layer):
    """a = z Phi(z), where Phi is the normal distribution function, (1 + erf(z / sqrt 2)) / 2.

    f'(z) = Phi(z) + z phi(z), where phi(z) = exp(-z^2 / 2) / sqrt(2 pi) is the normal density.
    Hendrycks & Gimpel (2016), "Gaussian error linear units (GELUs)": the exact form, not the
    approximation by tanh.
    """

    def forward(self, z: Array) -> Array:
        check_floats(z)
        self.z, self.Phi = z, normal_cdf(z)
        return z * self.Phi

    def backward(self, da: Array) -> Array:
        # More than the last few digits can be wrong in two places. Far left, rounding z^2 costs phi
        # and Phi up to z^2 units of the last digit: 169 at z = -13, where phi is 1e-38. And f' is 0
        # at z = -0.75, so near there it is only as right as its two terms.
        phi = array_module(da).exp(-0.5 * self.z * self.z) * (1 / math.sqrt(2 * math.pi))
        return da * (self.Phi + self.z * phi)


ACTIVATIONS: dict[str, type[Layer]] = {
    "sigmoid": Sigmoid,
    "tanh": Tanh,
    "relu": ReLU,
    "leaky_relu": LeakyReLU,
    "elu": ELU,
    "gelu": GELU,
}
