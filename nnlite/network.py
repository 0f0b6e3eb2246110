"""MLP: layers in a row, all their parameters in one vector, every gradient available by name."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Integral, Real
from types import MappingProxyType, ModuleType

import numpy as np

from .activations import ACTIVATIONS
from .backend import Array, WrittenInto, array_module
from .layers import Layer, Linear
from .seeding import streams

# Initial weights are uniform in +-bound; only the bound differs, so with the same seed, two
# initializations have the same random numbers on two scales. A uniform number in +-bound has
# variance bound^2 / 3, so a variance of 2 / D_in, say, takes the bound sqrt(6 / D_in).
INITIALIZERS: dict[str, Callable[[int, int], float]] = {
    # PyTorch's default for Linear, and so the original sheet's; its biases have this bound too.
    "uniform": lambda D_in, D_out: 1 / math.sqrt(D_in),
    # Glorot & Bengio (2010): variance 2 / (D_in + D_out). It keeps the variance of activations and
    # of gradients about the same from one tanh layer to the next.
    "xavier": lambda D_in, D_out: math.sqrt(6 / (D_in + D_out)),
    # He, Zhang, Ren & Sun (2015): variance 2 / D_in. 1 / D_in would keep the size of a signal
    # through a Linear; ReLU sets half of it to zero, so twice that is needed.
    "he": lambda D_in, D_out: math.sqrt(6 / D_in),
}


class MLP:
    """A multilayer perceptron: Linear, activation, Linear, activation, ..., Linear.

    `sizes` lists the widths: [784, 256, 128, 10] makes the layers fc1, act1, fc2, act2, fc3, and
    fc3 outputs the logits. If `seed` is a list, the model is a stack of K networks, one per seed,
    and every array has one more axis of length K in front.

    theta and dtheta, of shape (P,) or (K, P), hold ALL parameters and ALL their gradients. Each
    Linear works on views into them: parts of the vector in the shape of a matrix, sharing its
    memory. So an optimizer is one formula on one vector, and looking at a single layer's gradient
    copies nothing. 784-256-128-10 has P = 235,146. Assigning to theta, or to a layer's weight,
    writes into that memory. A copy (copy.deepcopy, pickle) has vectors of its own.

    Raises ValueError unless sizes are two or more positive integers and the names are known.
    """

    theta, dtheta = WrittenInto(), WrittenInto()

    def __init__(
        self,
        sizes: Sequence[int],
        activation: str = "relu",
        init: str = "uniform",
        seed: int | Sequence[int] = 0,
        dtype: str = "float32",
        xp: ModuleType = np,
    ):
        check_arguments(sizes, activation, init, seed, dtype, xp)
        self.sizes, self.activation, self.init = list(sizes), activation, init
        self.dtype = np.dtype(dtype)

        # Drawn on the host in float64, so that every device and dtype gets the same numbers.
        if np.ndim(seed) == 0:
            theta = initial_theta(sizes, init, seed)
        else:
            theta = np.stack([initial_theta(sizes, init, s) for s in seed])
        self.theta = xp.asarray(theta.astype(dtype))
        self.dtheta = xp.zeros_like(self.theta)

        self._layers: dict[str, Layer] = {}
        for i, views in enumerate(self._views(), start=1):
            if i > 1:
                self._layers[f"act{i - 1}"] = ACTIVATIONS[activation]()
            self._layers[f"fc{i}"] = Linear(**views)
        self.layers["fc1"].input_gradient = False
        self._outputs: dict[str, Array] = {}
        self._output_gradients: dict[str, Array] = {}

    def _views(self) -> Iterator[dict[str, Array]]:
        """The four arrays of each Linear in turn, as views into theta and dtheta."""
        start, lead = 0, self.theta.shape[:-1]
        for D_in, D_out in zip(self.sizes, self.sizes[1:]):
            middle = start + D_in * D_out  # in the vectors, a layer's weight ends here,
            stop = middle + D_out  # and its bias here
            yield {
                "weight": self.theta[..., start:middle].reshape(*lead, D_in, D_out),
                "bias": self.theta[..., middle:stop],
                "dweight": self.dtheta[..., start:middle].reshape(*lead, D_in, D_out),
                "dbias": self.dtheta[..., middle:stop],
            }
            start = stop

    def __setstate__(self, state: dict) -> None:
        """Finish a copy: its layers come with arrays of their own, so make them views again."""
        vars(self).update(state)
        for i, views in enumerate(self._views(), start=1):
            vars(self.layers[f"fc{i}"]).update(views)

    @property
    def layers(self) -> Mapping[str, Layer]:
        """The layers by name, in order. None can be replaced: another would not work on theta."""
        return MappingProxyType(self._layers)

    @np.errstate(under="ignore")  # a number so small that it becomes 0 is right as 0
    def forward(self, x: Array) -> Array:
        """Return the logits: (N, sizes[0]) -> (N, sizes[-1]).

        For a stack x may be (K, N, sizes[0]), or (N, sizes[0]) shown to all K networks, and the
        logits are (K, N, sizes[-1]). Raises ValueError if the shape is wrong, if the dtype is not
        the model's, or, on the CPU, if x holds NaN or infinity.
        """
        if array_module(x) is not array_module(self.theta):
            raise ValueError("x and the network are on different devices: create both with one xp")
        lead, D_in = self.theta.shape[:-1], self.sizes[0]
        if x.ndim < 2 or x.shape[-1] != D_in or x.shape[:-2] not in ((), lead):
            shapes = f"(N, {D_in})" + (f", or ({lead[0]}, N, {D_in})" if lead else "")
            raise ValueError(f"x has shape {x.shape}: give N rows of {D_in} numbers, {shapes}")
        if x.dtype != self.dtype:
            raise ValueError(f"x has dtype {x.dtype}: convert it to the model's, {self.dtype}")
        y = x
        for name, layer in self.layers.items():
            y = layer.forward(y)
            self._outputs[name] = y
        # Check the logits first: there are few of them, and NaN in x makes NaN in them. Not on a
        # GPU, where looking would mean waiting for them at each step.
        if isinstance(y, np.ndarray) and not np.isfinite(y).all() and not np.isfinite(x).all():
            raise ValueError("x holds NaN or infinity: remove or replace these numbers")
        return y

    @np.errstate(under="ignore")
    def backward(self, dlogits: Array) -> Array | None:
        """Backpropagate dL/dlogits: fill dtheta, and record each layer's output gradient.

        Uses what the latest `forward` kept. Returns dL/dx if fc1's `input_gradient` is on. Raises
        ValueError if there was no `forward`, or if dlogits does not have the shape of its logits.
        """
        logits = self._outputs.get(f"fc{len(self.sizes) - 1}")
        if logits is None:
            raise ValueError("backward needs what forward keeps: call forward first")
        array_module(dlogits)  # raises for a list
        if dlogits.shape != logits.shape:
            raise ValueError(f"dlogits has shape {dlogits.shape}, the logits {logits.shape}")
        gradient = dlogits
        for name, layer in reversed(self.layers.items()):
            self._output_gradients[name] = gradient
            gradient = layer.backward(gradient)
        return gradient

    def parameters(self) -> dict[str, Array]:
        """Every parameter by name, fc1.weight, fc1.bias, fc2.weight, ...: views into theta."""
        return self._by_name("weight", "bias")

    def gradients(self) -> dict[str, Array]:
        """dL/dparameter under the parameter's name: views, overwritten by the next `backward`."""
        return self._by_name("dweight", "dbias")

    def _by_name(self, *attributes: str) -> dict[str, Array]:
        """These two attributes of each Linear, as fc1.weight, fc1.bias, fc2.weight, ..."""
        arrays = {}
        for name, layer in self.layers.items():
            if isinstance(layer, Linear):
                for kind, attribute in zip(("weight", "bias"), attributes):
                    arrays[f"{name}.{kind}"] = getattr(layer, attribute)
        return arrays

    def outputs(self) -> dict[str, Array]:
        """Each layer's output in the latest `forward`, by layer: z under fc1, a under act1, ..."""
        return dict(self._outputs)

    def output_gradients(self) -> dict[str, Array]:
        """dL/doutput of each layer in the latest `backward`: dL/dz under fc1, dL/da under act1."""
        return dict(self._output_gradients)

    def __repr__(self) -> str:
        """The layers with their shapes, and how many parameters there are."""
        *stack, P = self.theta.shape
        title = f"MLP {'-'.join(map(str, self.sizes))}, {P:,} parameters"
        title += f" in each of {stack[0]} networks" if stack else ""
        return "\n".join([title, *(f"  {n:<5} {layer!r}" for n, layer in self.layers.items())])


def check_arguments(sizes, activation, init, seed, dtype, xp) -> None:
    """Raise ValueError, in one sentence, unless an MLP can be made from these."""
    if np.ndim(sizes) != 1 or len(sizes) < 2 or not all(map(is_count, sizes)):
        raise ValueError(f"sizes is {sizes!r}: give a list of two or more positive integers")
    lookup("activation", activation, ACTIVATIONS)
    lookup("initialization", init, INITIALIZERS)
    if dtype not in ("float32", "float64", np.float32, np.float64):
        raise ValueError(f"dtype is {dtype!r}: choose float32 or float64")
    if np.ndim(seed) > 1 or np.size(seed) == 0:
        raise ValueError(f"seed is {seed!r}: give an integer, or a list of them for a stack")
    if not isinstance(xp, ModuleType):
        raise ValueError(f"xp is {xp!r}: give the module, numpy or cupy")


def initial_theta(sizes: Sequence[int], init: str, seed: int) -> np.ndarray:
    """Return initial parameters (P,) in float64: weight then bias of each layer, in order."""
    rng = streams(seed)["weights"]
    parts = []
    for D_in, D_out in zip(sizes, sizes[1:]):
        bound = INITIALIZERS[init](D_in, D_out)
        # He's and Glorot's papers start biases at zero. They are drawn anyway, so that the next
        # layer's weights are made from the same random numbers in every initialization.
        bias_bound = bound if init == "uniform" else 0.0
        parts += [bound * rng.uniform(-1, 1, D_in * D_out), bias_bound * rng.uniform(-1, 1, D_out)]
    return np.concatenate(parts)


def is_count(value: object) -> bool:
    """Return whether value is an integer above 0."""
    return isinstance(value, Integral) and not isinstance(value, bool) and value > 0


def in_range(name: str, value: float, below: float = math.inf) -> float:
    """Return a hyperparameter as a Python float; raise ValueError unless 0 <= value < below."""
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 <= value < below:
        limit = f" and less than {below}" if below < math.inf else " and finite"
        raise ValueError(f"{name} is {value!r}: it must be a number, 0 or more{limit}")
    return float(value)  # NumPy's own float64 would turn float32 arrays into float64


def lookup(kind: str, name: str, registry: dict):
    """Return registry[name]; raise a ValueError that lists the known names for an unknown one."""
    if not isinstance(name, str) or name not in registry:
        raise ValueError(f"unknown {kind} {name!r}: choose one of {', '.join(registry)}")
    return registry[name]
