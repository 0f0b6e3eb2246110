"""Optimizers: how a gradient becomes a step.

Each is its formula, once, on the vector theta that holds all parameters of a network (see MLP),
with g = dL/dtheta beside it. The formulas are written in place, `m *= b` for m <- b m, because the
vectors are long and moving them through memory is what costs time. Each class calls its formula
with what it carries from step to step; what does not depend on the position in the vector, such as
1 - beta1, it works out beforehand. Only numba needs what a formula returns (see compiled.py).
"""

import numpy as np

from .backend import Array, array_module, elementwise, sqrt
from .network import MLP


class Optimizer:
    """What all optimizers share: theta, its gradient g, and the learning rate.

    `learning_rate` is a number, or one number for each of the K networks of a stack. It may be set
    between steps, which is what a scheduler does. None takes the customary rate of the class.

    Raises ValueError for a learning rate that is negative or not finite, and for a number of
    rates that is not the number of networks.
    """

    default_learning_rate: float
    state: tuple[str, ...] = ()  # names of what a step carries to the next, besides theta

    def __init__(self, model: MLP, learning_rate: float | Array | None = None):
        self.theta, self.g = model.theta, model.dtheta
        self.learning_rate = self.default_learning_rate if learning_rate is None else learning_rate

    @property
    def learning_rate(self) -> float | Array:
        """The size of a step: a float, or for a stack an array (K, 1) beside theta's (K, P)."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float | Array) -> None:
        value = value.get() if hasattr(value, "get") else value  # from a GPU
        rates = np.asarray(value, dtype="float64")
        if not (np.isfinite(rates).all() and (rates >= 0).all()):
            raise ValueError(f"learning rate is {value}: it must be a finite number, 0 or more")
        if rates.ndim == 0:
            # A Python float does not turn float32 arrays into float64, as one of NumPy's would.
            self._learning_rate = float(rates)
        else:
            if (rates.size,) != self.theta.shape[:-1]:
                raise ValueError(
                    f"{rates.size} learning rates for theta of shape {self.theta.shape}: give one "
                    "for all networks, or one for each of a stack"
                )
            rates = rates.reshape(-1, 1).astype(self.theta.dtype)
            self._learning_rate = array_module(self.theta).asarray(rates)

    def zeros(self) -> Array:
        """A new vector like theta, all zero, for what an optimizer remembers."""
        return array_module(self.theta).zeros_like(self.theta)

    def step(self) -> None:
        """Change theta by one step, using the gradient g that `model.backward` has filled in."""
        raise NotImplementedError


@elementwise
def sgd(theta, g, learning_rate):
    theta -= learning_rate * g
    return (theta,)


class SGD(Optimizer):
    """Stochastic gradient descent: theta <- theta - learning_rate g.

    Robbins & Monro (1951), "A stochastic approximation method".
    """

    default_learning_rate = 0.01

    def step(self) -> None:
        sgd(self.theta, self.g, self.learning_rate)


@elementwise
def sgd_momentum(theta, g, velocity, learning_rate, momentum):
    velocity *= momentum
    velocity += g
    theta -= learning_rate * velocity
    return theta, velocity


class SGDMomentum(Optimizer):
    """SGD that gathers speed.

        velocity <- momentum velocity + g
        theta    <- theta - learning_rate velocity

    A steady gradient is amplified 1 / (1 - momentum) times, one that flips its sign at each step is
    damped 1 / (1 + momentum) times.
    Polyak (1964); Sutskever, Martens, Dahl & Hinton (2013), where the rate stands inside the
    velocity: the same, until a schedule changes the rate.
    """

    default_learning_rate = 0.01
    state = ("velocity",)

    def __init__(self, model: MLP, learning_rate: float | Array | None = None, momentum=0.9):
        super().__init__(model, learning_rate)
        self.momentum = momentum
        self.velocity = self.zeros()

    def step(self) -> None:
        sgd_momentum(self.theta, self.g, self.velocity, self.learning_rate, self.momentum)


@elementwise
def rmsprop(theta, g, v, learning_rate, alpha, one_minus_alpha, eps):
    v *= alpha
    v += one_minus_alpha * (g * g)
    theta -= learning_rate * g / (sqrt(v) + eps)
    return theta, v


class RMSprop(Optimizer):
    """Divide each gradient by its own running root mean square.

        v     <- alpha v + (1 - alpha) g^2
        theta <- theta - learning_rate g / (sqrt(v) + eps)

    As v starts at zero, the first step is 1 / sqrt(1 - alpha) = 10 times the rate for each number.
    Tieleman & Hinton (2012), lecture 6.5 of "Neural networks for machine learning".
    """

    default_learning_rate = 0.001
    state = ("v",)

    def __init__(
        self, model: MLP, learning_rate: float | Array | None = None, alpha=0.99, eps=1e-8
    ):
        super().__init__(model, learning_rate)
        self.alpha, self.eps = alpha, eps
        self.v = self.zeros()

    def step(self) -> None:
        alpha = self.alpha
        rmsprop(self.theta, self.g, self.v, self.learning_rate, alpha, 1 - alpha, self.eps)


# One step of Adam, explained in the class below.
@elementwise
def adam(theta, g, m, v, beta1, one_minus_beta1, beta2, one_minus_beta2, step_size, v_scale, eps):
    m *= beta1
    m += one_minus_beta1 * g
    v *= beta2
    v += one_minus_beta2 * (g * g)
    theta -= step_size * m / (sqrt(v_scale * v) + eps)
    return theta, m, v


class Adam(Optimizer):
    """Momentum and RMSprop together, both corrected for having started at zero.

        m     <- beta1 m + (1 - beta1) g           running mean of the gradient
        v     <- beta2 v + (1 - beta2) g^2         running mean of its square
        m_hat  = m / (1 - beta1^t)                 after t steps the weights that built m add up
        v_hat  = v / (1 - beta2^t)                 to 1 - beta1^t only: divide by that
        theta <- theta - learning_rate m_hat / (sqrt(v_hat) + eps)

    Kingma & Ba (2015), "Adam: a method for stochastic optimization", algorithm 1. eps stands
    outside the square root there, as here; some texts print it inside.
    """

    default_learning_rate = 0.001
    state = ("m", "v", "t")

    def __init__(
        self,
        model: MLP,
        learning_rate: float | Array | None = None,
        betas: tuple[float, float] = (0.9, 0.999),
        eps=1e-8,
    ):
        super().__init__(model, learning_rate)
        self.betas, self.eps = betas, eps
        self.m, self.v, self.t = self.zeros(), self.zeros(), 0

    def step(self) -> None:
        self.t += 1
        beta1, beta2 = self.betas
        # So that step_size * m = learning_rate * m_hat, and v_scale * v = v_hat:
        step_size = self.learning_rate / (1 - beta1**self.t)
        v_scale = 1 / (1 - beta2**self.t)
        adam(
            self.theta, self.g, self.m, self.v,
            beta1, 1 - beta1, beta2, 1 - beta2, step_size, v_scale, self.eps,
        )  # fmt: skip


class AdamW(Adam):
    """Adam, with weights that also shrink by a fixed share at each step.

        theta <- theta - learning_rate weight_decay theta,  then Adam's step

    The decay is decoupled: it does not pass through m and v, as an L2 penalty in the loss would.
    It acts on every parameter, biases too, as in the common frameworks.
    Loshchilov & Hutter (2019), "Decoupled weight decay regularization", where the decay is scaled
    by the schedule alone, not by the learning rate.
    """

    def __init__(
        self,
        model: MLP,
        learning_rate: float | Array | None = None,
        betas: tuple[float, float] = (0.9, 0.999),
        eps=1e-8,
        weight_decay=0.01,
    ):
        super().__init__(model, learning_rate, betas, eps)
        self.weight_decay = weight_decay

    def step(self) -> None:
        self.theta *= 1 - self.learning_rate * self.weight_decay
        super().step()


OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": SGD,
    "sgd_momentum": SGDMomentum,
    "rmsprop": RMSprop,
    "adam": Adam,
    "adamw": AdamW,
}
