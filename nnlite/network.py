"""MLP: layers in a row, all their parameters in one vector, every gradient readable by name."""

import math
from collections.abc import Callable, Sequence
from numbers import Integral
from types import ModuleType

import numpy as np

from .activations import ACTIVATIONS
from .backend import Array
from .layers import Layer, Linear
from .seeding import streams

# Initial weights are uniform in +-bound; only the bound differs, so with the same seed two
# initializations draw the same random numbers on two scales.
INITIALIZERS: dict[str, Callable[[int, int], float]] = {
    # PyTorch's default for Linear, and so the lab sheet's; its biases have this bound too.
    "uniform": lambda D_in, D_out: 1 / math.sqrt(D_in),
    # Glorot & Bengio (2010): keeps the variance of activations and gradients through tanh layers.
    "xavier": lambda D_in, D_out: math.sqrt(6 / (D_in + D_out)),
    # He, Zhang, Ren & Sun (2015): variance 2 / D_in, twice what keeps a signal's size through a
    # Linear alone, as ReLU zeroes half of it.
    "he": lambda D_in, D_out: math.sqrt(6 / D_in),
}


class MLP:
    """A multilayer perceptron: Linear, activation, Linear, activation, ..., Linear.

    `sizes` lists the widths: [784, 256, 128, 10] makes the layers fc1, act1, fc2, act2, fc3, where
    fc3 gives the logits. `seed` may be a list: then the model is a stack of K networks, one per
    seed, and every array has one more axis of length K in front.

    theta and dtheta, of shape (P,) or (K, P), hold ALL parameters and ALL their gradients, and each
    Linear works on views into them. So an optimizer is one formula on one vector, and looking at a
    single layer's gradient copies nothing. 784-256-128-10 has P = 235,146.

    Raises ValueError for sizes that are not two or more positive integers and for unknown names.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: str = "relu",
        init: str = "uniform",
        seed: int | Sequence[int] = 0,
        dtype: str = "float32",
        xp: ModuleType = np,
    ):
        if np.ndim(sizes) != 1 or len(sizes) < 2 or not all(map(is_count, sizes)):
            raise ValueError(f"sizes is {sizes!r}: give a list of two or more positive integers")
        make_activation = lookup("activation", activation, ACTIVATIONS)
        lookup("initialization", init, INITIALIZERS)
        if dtype not in ("float32", "float64", np.float32, np.float64):
            raise ValueError(f"dtype is {dtype!r}: choose float32 or float64")
        if np.ndim(seed) > 1 or np.size(seed) == 0:
            raise ValueError(f"seed is {seed!r}: give an integer, or a list of them for a stack")
        self.sizes, self.activation, self.init = list(sizes), activation, init
        self.dtype = np.dtype(dtype)

        # Drawn on the host in float64 whatever the device and dtype, so all see the same numbers.
        if np.ndim(seed) == 0:
            theta = initial_theta(sizes, init, seed)
        else:
            theta = np.stack([initial_theta(sizes, init, s) for s in seed])
        self.theta = xp.asarray(theta.astype(dtype))
        self.dtheta = xp.zeros_like(self.theta)

        self.layers: dict[str, Layer] = {}
        start = 0
        for i, (D_in, D_out) in enumerate(zip(sizes, sizes[1:]), start=1):
            if i > 1:
                self.layers[f"act{i - 1}"] = make_activation()
            middle, stop = start + D_in * D_out, start + D_in * D_out + D_out
            lead = self.theta.shape[:-1]
            self.layers[f"fc{i}"] = Linear(
                weight=self.theta[..., start:middle].reshape(*lead, D_in, D_out),
                bias=self.theta[..., middle:stop],
                dweight=self.dtheta[..., start:middle].reshape(*lead, D_in, D_out),
                dbias=self.dtheta[..., middle:stop],
            )
            start = stop
        self.layers["fc1"].input_gradient = False
        self._outputs: dict[str, Array] = {}
        self._output_gradients: dict[str, Array] = {}

    def forward(self, x: Array) -> Array:
        """Return the logits: (N, sizes[0]) -> (N, sizes[-1]).

        For a stack x may be (K, N, sizes[0]), or (N, sizes[0]) shown to all K networks, and the
        logits are (K, N, sizes[-1]). Raises ValueError for another shape, another dtype than the
        model's, or, on the CPU, NaN.
        """
        lead, D_in = self.theta.shape[:-1], self.sizes[0]
        if x.ndim < 2 or x.shape[-1] != D_in or x.shape[:-2] not in ((), lead):
            raise ValueError(
                f"x has shape {x.shape}: give N rows of {D_in} numbers, (N, {D_in})"
                + (f", or {(*lead, 'N', D_in)}".replace("'", "") if lead else "")
            )
        if x.dtype != self.dtype:
            raise ValueError(f"x has dtype {x.dtype}: convert it to the model's, {self.dtype}")
        y = x
        for name, layer in self.layers.items():
            y = layer.forward(y)
            self._outputs[name] = y
        # The few logits tell whether x is worth looking at. On a GPU that would mean to wait for
        # them, at each step.
        if isinstance(y, np.ndarray) and np.isnan(y).any() and np.isnan(x).any():
            raise ValueError("x holds NaN, which is not a number: remove or replace it")
        return y

    def backward(self, dlogits: Array) -> Array | None:
        """Backpropagate dL/dlogits: fill dtheta, record each layer's output gradient.

        Uses what the latest `forward` kept. Returns dL/dx only if fc1's `input_gradient` is on.
        """
        gradient = dlogits
        for name, layer in reversed(self.layers.items()):
            self._output_gradients[name] = gradient
            gradient = layer.backward(gradient)
        return gradient

    def parameters(self) -> dict[str, Array]:
        """Every parameter by name, fc1.weight, fc1.bias, fc2.weight, ...: views into theta."""
        return self._of_linears("")

    def gradients(self) -> dict[str, Array]:
        """dL/dparameter under the parameter's name: views, overwritten by the next `backward`."""
        return self._of_linears("d")

    def _of_linears(self, prefix: str) -> dict[str, Array]:
        return {
            f"{name}.{kind}": getattr(layer, prefix + kind)
            for name, layer in self.layers.items()
            if isinstance(layer, Linear)
            for kind in ("weight", "bias")
        }

    def outputs(self) -> dict[str, Array]:
        """Each layer's output in the latest `forward`, by layer: z under fc1, a under act1, ..."""
        return dict(self._outputs)

    def output_gradients(self) -> dict[str, Array]:
        """dL/doutput of each layer in the latest `backward`: dL/dz under fc1, dL/da under act1."""
        return dict(self._output_gradients)


def initial_theta(sizes: Sequence[int], init: str, seed: int) -> np.ndarray:
    """Return initial parameters (P,) in float64: weight then bias of each layer, in order."""
    rng = streams(seed)["weights"]
    parts = []
    for D_in, D_out in zip(sizes, sizes[1:]):
        bound = INITIALIZERS[init](D_in, D_out)
        # He's and Glorot's papers start biases at zero. They are drawn all the same, so that the
        # next layer's weights come from the same random numbers under every initialization.
        bias_bound = bound if init == "uniform" else 0.0
        parts += [bound * rng.uniform(-1, 1, D_in * D_out), bias_bound * rng.uniform(-1, 1, D_out)]
    return np.concatenate(parts)


def is_count(value: object) -> bool:
    """Is it an integer above 0?"""
    return isinstance(value, Integral) and not isinstance(value, bool) and value > 0


def lookup(kind: str, name: str, registry: dict):
    """Return registry[name]; raise a ValueError that lists the known names if there is none."""
    if not isinstance(name, str) or name not in registry:
        raise ValueError(f"unknown {kind} {name!r}: choose one of {', '.join(registry)}")
    return registry[name]
