"""Activation functions a = f(z), applied to each number on its own, and their derivatives.

The chain rule is the same for all: dL/dz = dL/da * f'(z). Each `backward` comes right after its
`forward`, which keeps z or a, whichever makes the derivative cheaper. z may have any shape. a,
da = dL/da and the dz = dL/dz that `backward` returns have the same shape and dtype as z.
"""

import math

from .backend import Array, array_module, erf
from .layers import Layer


class Sigmoid(Layer):
    """a = 1 / (1 + exp(-z)), between 0 and 1.   f'(z) = a (1 - a), at most 1/4."""

    bounds = (0, 1)

    def forward(self, z: Array) -> Array:
        xp = array_module(z)
        # The same function written with tanh, because exp(-z) overflows for very negative z.
        self.a = 0.5 * xp.tanh(0.5 * z) + 0.5
        return self.a

    def backward(self, da: Array) -> Array:
        return da * (self.a * (1 - self.a))


class Tanh(Layer):
    """a = tanh(z), between -1 and 1, centred on 0.   f'(z) = 1 - a^2, at most 1."""

    bounds = (-1, 1)

    def forward(self, z: Array) -> Array:
        self.a = array_module(z).tanh(z)
        return self.a

    def backward(self, da: Array) -> Array:
        return da * (1 - self.a * self.a)


class ReLU(Layer):
    """a = max(0, z).   f'(z) = 1 where z > 0, else 0 (at z = 0 any value in [0, 1] would do).

    Nair & Hinton (2010), "Rectified linear units improve restricted Boltzmann machines".
    """

    def forward(self, z: Array) -> Array:
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
        self.z = z
        return array_module(z).where(z > 0, z, self.slope * z)

    def backward(self, da: Array) -> Array:
        return array_module(da).where(self.z > 0, da, self.slope * da)

    def __repr__(self) -> str:
        return f"LeakyReLU(slope={self.slope})"


class ELU(Layer):
    """a = z where z > 0, else exp(z) - 1.   f'(z) = 1 where z > 0, else exp(z) = a + 1.

    Clevert, Unterthiner & Hochreiter (2016), "Fast and accurate deep network learning by
    exponential linear units (ELUs)", with alpha = 1.
    """

    def forward(self, z: Array) -> Array:
        xp = array_module(z)
        # expm1(z) is exp(z) - 1 without the rounding error near 0. On the positive side its value
        # is not used, and min(z, 0) keeps it from overflowing there.
        self.a = xp.where(z > 0, z, xp.expm1(xp.minimum(z, 0)))
        return self.a

    def backward(self, da: Array) -> Array:
        # a has the sign of z, so here too a > 0 exactly where z > 0.
        return array_module(da).where(self.a > 0, da, da * (self.a + 1))


class GELU(Layer):
    """a = z Phi(z), where Phi is the normal distribution function, (1 + erf(z / sqrt 2)) / 2.

    f'(z) = Phi(z) + z phi(z), where phi(z) = exp(-z^2 / 2) / sqrt(2 pi) is the normal density.
    Hendrycks & Gimpel (2016), "Gaussian error linear units (GELUs)": the exact form, not the
    approximation by tanh.
    """

    def forward(self, z: Array) -> Array:
        self.z = z
        self.Phi = 0.5 * erf(z * math.sqrt(0.5)) + 0.5
        return z * self.Phi

    def backward(self, da: Array) -> Array:
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
