"""What check.py asks of each exercise: small inputs, the student's numbers, and the right ones.

A probe runs the student's module (`own`) and the library's (`true`) on the same inputs. It yields
what it sees in the order in which it makes sense to look. Where a worked example exists, it comes
first: the numbers of the 2-3-2 network in section 3.6 of the lab sheet.
"""

from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from nnlite import SoftmaxCrossEntropy
from nnlite.gradcheck import numeric_gradient

QUOTIENT = "finite differences"
# Four samples, of which the first is the lab sheet's, and the weights of its fc1.
X = np.array([[1.0, 2.0], [-1.5, 0.5], [0.3, -2.0], [2.5, 1.0]])
W, B = np.array([[0.5, -0.3, 0.8], [0.2, 0.4, -0.6]]), np.array([0.1, -0.2, 0.0])
Z = X @ W + B
DZ = np.array([[0.7, -0.6, 0.1], [-0.2, 0.5, 0.3], [0.4, 0.2, -0.9], [-1.0, 0.8, 0.6]])
LOGITS = np.array([[0.402358, 0.059399, -1.0], [2.0, 0.5, 1.0], [-1.0, 3.0, 0.0], [0.0, 0.2, 0.4]])
LABELS = np.array([1, 0, 2, 2])


class Seen(NamedTuple):
    """One look: in which function, at what, the student's value, the right one, by what, when."""

    function: str
    what: str
    yours: Any
    right: Any
    by: str = "the formula"
    when: str = ""


def kept(function: str, what: str, now: np.ndarray, before: np.ndarray) -> Seen:
    return Seen(function, what, now, before, "it must not change", "afterwards")


def probe(name: str, own: ModuleType, true: ModuleType) -> Iterator[Seen]:
    """Yield what there is to see in the exercise of that name."""
    if name in ACTIVATIONS:
        return activation(ACTIVATIONS[name], own, true)
    if name in OPTIMIZERS:
        return optimizer(OPTIMIZERS[name], own, true)
    return globals()[name](own, true)


ACTIVATIONS = {"sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "ReLU", "gelu": "GELU"}


def activation(name: str, own: ModuleType, true: ModuleType) -> Iterator[Seen]:
    layer, library = getattr(own, name)(), getattr(true, name)()
    forward, backward = f"{name}.forward", f"{name}.backward"
    z, da = Z.copy(), DZ.copy()
    yield Seen(forward, "a", layer.forward(z), library.forward(Z))
    yield kept(forward, "z", z, Z)
    far, z32 = np.array([[-800.0, 800.0]]), Z.astype("float32")
    for when, given in (("z = (-800, 800)", far), ("z in float32", z32)):
        yield Seen(forward, "a", layer.forward(given), library.forward(given), when=when)
    layer.forward(Z.copy())
    right = numeric_gradient(lambda: np.sum(library.forward(z) * DZ), z := Z.copy())
    yield Seen(backward, "dz", layer.backward(da), right, QUOTIENT)
    yield kept(backward, "da", da, DZ)


def linear_forward(own: ModuleType, true: ModuleType) -> Iterator[Seen]:
    layer, x = own.Linear(W.copy(), B.copy()), X.copy()
    yield Seen("Linear.forward", "z", layer.forward(x), Z)
    yield Seen("Linear.forward", "self.x", getattr(layer, "x", None), X)
    for name, now, before in (("x", x, X), ("weight", layer.weight, W), ("bias", layer.bias, B)):
        yield kept("Linear.forward", name, now, before)


def linear_backward(own: ModuleType, true: ModuleType) -> Iterator[Seen]:
    layer, dz, x = own.Linear(W.copy(), B.copy()), DZ.copy(), X.copy()
    library = true.Linear(W.copy(), B.copy())

    def loss() -> float:
        return np.sum(library.forward(x) * DZ)

    layer.forward(x)
    dx = layer.backward(dz)
    for when in ("", "when it is called a second time"):
        for name in ("weight", "bias"):
            right = numeric_gradient(loss, getattr(library, name))
            yield Seen(
                "Linear.backward", f"d{name}", getattr(layer, f"d{name}"), right, QUOTIENT, when
            )
        if not when:
            yield Seen("Linear.backward", "dx", dx, numeric_gradient(loss, x), QUOTIENT)
            layer.backward(dz)
    yield kept("Linear.backward", "dz", dz, DZ)
    layer.input_gradient = False
    switch = "it would cost time", "input_gradient off"
    yield Seen("Linear.backward", "dx", layer.backward(dz), None, *switch)


def loss_forward(own: ModuleType, true: ModuleType) -> Iterator[Seen]:
    loss, library = own.SoftmaxCrossEntropy(), true.SoftmaxCrossEntropy()
    apart = np.array([[1000.0, 998.0, 997.0], [-1000.0, -1001.0, -1003.0], [2000.0, 0.0, 1.0]])
    for when, logits, labels in (
        ("one sample", LOGITS[:1], LABELS[:1]),
        ("4 samples", LOGITS, LABELS),
        ("logits (1000, 998, 997), (-1000, -1001, -1003), (2000, 0, 1)", apart, LABELS[:3]),
    ):
        given, function = logits.copy(), "SoftmaxCrossEntropy.forward"
        right = library.forward(logits, labels)
        yield Seen(function, "L", loss.forward(given, labels), right, when=when)
        for name in ("probabilities", "one_hot"):
            seen = getattr(loss, name, None), getattr(library, name)
            yield Seen(function, f"self.{name}", *seen, when=when)
        yield kept(function, "the logits", given, logits)


def loss_backward(own: ModuleType, true: ModuleType) -> Iterator[Seen]:
    loss, library, logits = own.SoftmaxCrossEntropy(), true.SoftmaxCrossEntropy(), LOGITS.copy()
    loss.forward(LOGITS, LABELS)
    right = numeric_gradient(lambda: library.forward(logits, LABELS), logits)
    for when in ("", "when it is called a second time"):
        yield Seen("SoftmaxCrossEntropy.backward", "dL/dz", loss.backward(), right, QUOTIENT, when)


def mlp_backward(own: ModuleType, true: ModuleType) -> Iterator[Seen]:
    model, library = (module.MLP([2, 3, 3], "sigmoid", dtype="float64") for module in (own, true))
    for network in (model, library):
        network.layers["fc1"].weight, network.layers["fc1"].bias = W, B
        network.layers["fc1"].input_gradient = True
    loss, x = SoftmaxCrossEntropy(), X.copy()

    def value() -> float:
        return loss.forward(library.forward(x), LABELS)

    model.forward(x)
    value()
    dlogits = loss.backward()
    dx, _ = model.backward(dlogits), library.backward(dlogits)
    for name, parameter in reversed(library.parameters().items()):
        right = numeric_gradient(value, parameter)
        yield Seen("MLP.backward", f"d({name})", model.gradients()[name], right, QUOTIENT)
    yield Seen("MLP.backward", "dx", dx, numeric_gradient(value, x), QUOTIENT)
    recorded = model.output_gradients()
    for name, right in library.output_gradients().items():
        yield Seen("MLP.backward", f"_output_gradients[{name!r}]", recorded.get(name), right)


OPTIMIZERS = {
    "sgd": "SGD",
    "momentum": "SGDMomentum",
    "rmsprop": "RMSprop",
    "adam": "Adam",
    "adamw": "AdamW",
}


def optimizer(name: str, own: ModuleType, true: ModuleType) -> Iterator[Seen]:
    """Three steps; the third at half the rate. A tiny gradient shows what eps does."""
    start = np.array([1.0, -2.0, 3.0, 0.0])
    models = [SimpleNamespace(theta=start.copy(), dtheta=np.zeros(4)) for _ in range(2)]
    yours, right = (getattr(m, name)(model, 0.1) for m, model in zip((own, true), models))
    function = {"Adam": "Adam", "AdamW": "AdamW.step"}.get(name, f"{name}.formula")
    steps = ([0.5, -1.0, 1e-8, 0.0], [1.0, 1.0, 2e-8, 0.0], [-0.2, 0.4, 1e-8, 1.0])
    for k, g in enumerate(steps, start=1):
        yours.learning_rate = right.learning_rate = 0.05 if k == 3 else 0.1
        for model, rule in zip(models, (yours, right)):
            model.dtheta[:] = g
            rule.step()
        when = f"step {k} with g = {g} and rate {right.learning_rate}"
        for what in right.state:
            yield Seen(function, what, getattr(yours, what, None), getattr(right, what), when=when)
        yield Seen(function, "theta", models[0].theta, models[1].theta, when=when)
        yield kept(function, "g", models[0].dtheta, np.array(g))


def cosine(own: ModuleType, true: ModuleType) -> Iterator[Seen]:
    yours, right = own.Cosine(0.1, 20), true.Cosine(0.1, 20)
    for epoch in (0, 5, 10, 15, 19, 20, 30):
        when = f"epoch {epoch} of 20, from 0.1 on"
        yield Seen("Cosine.__call__", "the rate", yours(epoch), right(epoch), when=when)
