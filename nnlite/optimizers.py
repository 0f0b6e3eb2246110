"""Optimizers: how a gradient becomes a step.

Each class holds one formula, below the text that explains it. It works on the vector theta that
holds all parameters of a network (see MLP), with the gradient g = dL/dtheta beside it. Formulas
work in place, `m *= b` for m <- b m, because the vectors are long and moving them through memory is
what takes the time. `step` calls the formula with what the optimizer remembers and with numbers
that are the same for the whole vector.

The rules of @elementwise (kernels.py) explain two habits. A formula returns what it has changed,
because compilers need it. And numbers are combined in `step`, before the formula sees them (that is
why it is given one_minus_beta1), because a GPU kernel would compute 1 - beta1 in float16.
"""

import numpy as np

from .backend import Array, WrittenInto, array_module, to_host
from .kernels import elementwise, sqrt
from .network import MLP, in_range


class Optimizer:
    """What all optimizers share: theta, its gradient g, and the learning rate.

    `learning_rate` is a number, or one number for each of the K networks of a stack; None means the
    usual rate of the class. It may be set between steps, which is what a scheduler does.

    Raises ValueError for a learning rate that is negative or not finite, for a wrong number of
    rates, and for a hyperparameter outside its range.
    """

    default_learning_rate: float
    state: tuple[str, ...] = ()  # names of what one step hands to the next, besides theta
    theta, g = WrittenInto(), WrittenInto()

    def __init__(self, model: MLP, learning_rate: float | Array | None = None):
        if not hasattr(model, "dtheta"):
            raise ValueError(f"the model is a {type(model).__name__}: give the network itself")
        self.model, self.theta, self.g = model, model.theta, model.dtheta
        self.learning_rate = self.default_learning_rate if learning_rate is None else learning_rate

    @property
    def learning_rate(self) -> float | Array:
        """The size of a step: a float, or for a stack an array (K, 1) beside theta's (K, P)."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float | Array) -> None:
        value = value.get() if hasattr(value, "get") else value  # CuPy's way to copy to the host
        rates = np.array(value)
        numbers = rates.dtype.kind in "iuf"
        if not (numbers and np.isfinite(rates).all() and (rates >= 0).all()):
            raise ValueError(f"learning rate is {value}: it must be a finite number, 0 or more")
        if rates.ndim == 0:
            # A Python float: NumPy's own float64 would turn float32 arrays into float64.
            self._learning_rate = float(rates)
        else:
            if (rates.size,) != self.theta.shape[:-1]:
                raise ValueError(
                    f"{rates.size} learning rates for theta of shape {self.theta.shape}: give one "
                    "for all networks, or one for each network of a stack"
                )
            rates = rates.reshape(-1, 1).astype(self.theta.dtype)
            self._learning_rate = array_module(self.theta).asarray(rates)

    def __setstate__(self, state: dict) -> None:
        """Finish a copy: it trains the copy of the network, so it needs that one's vectors."""
        vars(self).update(state, theta=state["model"].theta, g=state["model"].dtheta)

    def zeros(self) -> Array:
        """Return a new vector like theta, all zero, for what an optimizer remembers."""
        return array_module(self.theta).zeros_like(self.theta)

    def step(self) -> None:
        """Change theta by one step, using the gradient g that `model.backward` has filled in."""
        raise NotImplementedError

    def __repr__(self) -> str:
        """Adam(learning_rate=0.001, betas=(0.9, 0.999), eps=1e-08): all its hyperparameters."""
        rate = self.learning_rate
        if not isinstance(rate, float):
            rate = [float(f"{r:.6g}") for r in to_host(rate).ravel()]  # 0.1, not 0.10000000149
        hidden = ("model", "theta", "g", "_learning_rate", *self.state)
        others = {name: value for name, value in vars(self).items() if name not in hidden}
        values = {"learning_rate": rate} | others
        return f"{type(self).__name__}({', '.join(f'{n}={v!r}' for n, v in values.items())})"


class SGD(Optimizer):
    """Stochastic gradient descent: theta <- theta - learning_rate g.

    Robbins & Monro (1951), "A stochastic approximation method".
    """

    @staticmethod
    @elementwise
    def formula(theta, g, learning_rate):
        theta -= learning_rate * g
        return theta

    default_learning_rate = 0.01

    def step(self) -> None:
        self.formula(self.theta, self.g, self.learning_rate)


class SGDMomentum(Optimizer):
    """SGD that gathers speed: the velocity remembers earlier gradients.

        velocity <- momentum velocity + g
        theta    <- theta - learning_rate velocity

    A steady gradient is amplified 1 / (1 - momentum) times; one that flips its sign at each step is
    damped 1 / (1 + momentum) times.
    Polyak (1964); Sutskever, Martens, Dahl & Hinton (2013), who put the rate inside the velocity,
    which is the same until a schedule changes the rate.
    """

    @staticmethod
    @elementwise
    def formula(theta, g, velocity, learning_rate, momentum):
        velocity *= momentum
        velocity += g
        theta -= learning_rate * velocity
        return theta, velocity

    default_learning_rate = 0.01
    state = ("velocity",)

    def __init__(self, model: MLP, learning_rate: float | Array | None = None, momentum=0.9):
        super().__init__(model, learning_rate)
        self.momentum = in_range("momentum", momentum, below=1)
        self.velocity = self.zeros()

    def step(self) -> None:
        self.formula(self.theta, self.g, self.velocity, self.learning_rate, self.momentum)


class RMSprop(Optimizer):
    """Divide each gradient by its own running root mean square.

        v     <- alpha v + (1 - alpha) g^2
        theta <- theta - learning_rate g / (sqrt(v) + eps)

    Because v starts at zero, the first step has v = 0.01 g^2, and so is 10 times the rate.
    Tieleman & Hinton (2012), lecture 6.5 of "Neural networks for machine learning".
    """

    @staticmethod
    @elementwise
    def formula(theta, g, v, learning_rate, alpha, one_minus_alpha, eps):
        v *= alpha
        v += one_minus_alpha * (g * g)
        theta -= learning_rate * g / (sqrt(v) + eps)
        return theta, v

    default_learning_rate = 0.001
    state = ("v",)

    def __init__(
        self, model: MLP, learning_rate: float | Array | None = None, alpha=0.99, eps=1e-8
    ):
        super().__init__(model, learning_rate)
        self.alpha, self.eps = in_range("alpha", alpha, below=1), in_range("eps", eps)
        self.v = self.zeros()

    def step(self) -> None:
        numbers = (self.learning_rate, self.alpha, 1 - self.alpha, self.eps)
        self.formula(self.theta, self.g, self.v, *numbers)


class Adam(Optimizer):
    """Momentum and RMSprop together, both corrected for having started at zero.

        m     <- beta1 m + (1 - beta1) g           running mean of the gradient
        v     <- beta2 v + (1 - beta2) g^2         running mean of its square
        m_hat  = m / (1 - beta1^t)                 a mean again, see below
        v_hat  = v / (1 - beta2^t)
        theta <- theta - learning_rate m_hat / (sqrt(v_hat) + eps)

    After t steps m is a sum of gradients whose shares add up to only 1 - beta1^t, because it
    started at 0. Dividing by that makes it a mean; v likewise. `step` does these divisions, on
    numbers: in the formula step_size m is learning_rate m_hat, and v_scale v is v_hat.

    Kingma & Ba (2015), "Adam: a method for stochastic optimization", algorithm 1. There, as here,
    eps is outside the square root; some texts print it inside.
    """

    @staticmethod
    @elementwise
    def formula(
        theta, g, m, v, beta1, one_minus_beta1, beta2, one_minus_beta2, step_size, v_scale, eps
    ):
        m *= beta1
        m += one_minus_beta1 * g
        v *= beta2
        v += one_minus_beta2 * (g * g)
        theta -= step_size * m / (sqrt(v_scale * v) + eps)
        return theta, m, v

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
        if np.ndim(betas) != 1 or len(betas) != 2:
            raise ValueError(f"betas is {betas!r}: give two numbers, such as (0.9, 0.999)")
        self.betas = tuple(in_range("each of betas", beta, below=1) for beta in betas)
        self.eps = in_range("eps", eps)
        self.m, self.v, self.t = self.zeros(), self.zeros(), 0

    def step(self) -> None:
        self.t += 1
        beta1, beta2 = self.betas
        step_size, v_scale = self.learning_rate / (1 - beta1**self.t), 1 / (1 - beta2**self.t)
        numbers = (beta1, 1 - beta1, beta2, 1 - beta2, step_size, v_scale, self.eps)
        self.formula(self.theta, self.g, self.m, self.v, *numbers)


class AdamW(Adam):
    """Adam, and every weight also shrinks by a fixed share at each step.

        theta <- theta - learning_rate weight_decay theta,  then Adam's step

    The decay is decoupled: it does not pass through m and v, as an L2 penalty in the loss would.
    It acts on every parameter, biases too.
    Loshchilov & Hutter (2019), "Decoupled weight decay regularization". There only the schedule
    scales the decay; here the learning rate does too, as in the common frameworks.
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
        self.weight_decay = in_range("weight_decay", weight_decay)

    @np.errstate(under="ignore")  # as in kernels.py
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
