"""What check.py asks of each exercise: small inputs, the student's numbers, and the right ones.

A probe runs the student's module (`own`) and the library's (`true`) on the same inputs. It yields
what it sees in the order in which it makes sense to look. Where a worked example exists, it comes
first: the numbers of the 2-3-2 network in section 3.6 of the lab sheet.
"""

from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from nnlite import MLP, SoftmaxCrossEntropy
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
    """One thing that was looked at: in which function, what, the student's value, the right one."""

    function: str
    what: str
    yours: Any
    right: Any
    by: str = "the library"


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
    yield Seen(forward, "z, which must not change,", z, Z)
    far, z32 = np.array([[-800.0, 800.0]]), Z.astype("float32")
    yield Seen(forward, "a for z = (-800, 800)", layer.forward(far), library.forward(far))
    yield Seen(forward, "a for z in float32", layer.forward(z32), library.forward(z32))
    layer.forward(Z.copy())
    right = numeric_gradient(lambda: np.sum(library.forward(z) * DZ), z := Z.copy())
    yield Seen(backward, "dz", layer.backward(da), right, QUOTIENT)
    yield Seen(backward, "da, which must not change,", da, DZ)


def linear_forward(own: ModuleType, true: ModuleType) -> Iterator[Seen]:
    layer, x = own.Linear(W.copy(), B.copy()), X.copy()
    yield Seen("Linear.forward", "z", layer.forward(x), Z, "sum over i of x[i] weight[i, j], + b[j]")
    yield Seen("Linear.forward", "self.x", getattr(layer, "x", None), X)
    yield Seen("Linear.forward", "x, which must not change,", x, X)
    yield Seen("Linear.forward", "weight, which must not change,", layer.weight, W)
    yield Seen("Linear.forward", "bias, which must not change,", layer.bias, B)


def linear_backward(own: ModuleType, true: ModuleType) -> Iterator[Seen]:
    layer, dz, x = own.Linear(W.copy(), B.copy()), DZ.copy(), X.copy()
    library = true.Linear(W.copy(), B.copy())

    def loss() -> float:
        return np.sum(library.forward(x) * DZ)

    layer.forward(x)
    dx = layer.backward(dz)
    for call in ("", " in a second call, which replaces the first,"):
        right = numeric_gradient(loss, library.weight)
        yield Seen("Linear.backward", f"dweight{call}", layer.dweight, right, QUOTIENT)
        right = numeric_gradient(loss, library.bias)
        yield Seen("Linear.backward", f"dbias{call}", layer.dbias, right, QUOTIENT)
        if not call:
            yield Seen("Linear.backward", "dx", dx, numeric_gradient(loss, x), QUOTIENT)
            layer.backward(dz)
    yield Seen("Linear.backward", "dz, which must not change,", dz, DZ)
    layer.input_gradient = False
    nothing = layer.backward(dz) is None
    yield Seen("Linear.backward", "dx is None if input_gradient is off: this", nothing, True)


def loss_forward(own: ModuleType, true: ModuleType) -> Iterator[Seen]:
    loss, library = own.SoftmaxCrossEntropy(), true.SoftmaxCrossEntropy()
    apart = np.array([[1000.0, 998.0, 997.0], [-1000.0, -1001.0, -1003.0], [2000.0, 0.0, 1.0]])
    for what, logits, labels in (
        ("L of one sample", LOGITS[:1], LABELS[:1]),
        ("L of four samples", LOGITS, LABELS),
        ("L of logits (1000, 998, 997), (-1000, -1001, -1003), (2000, 0, 1)", apart, LABELS[:3]),
    ):
        given = logits.copy()
        value, right = loss.forward(given, labels), library.forward(logits, labels)
        yield Seen("SoftmaxCrossEntropy.forward", what, value, right)
        for kept in ("probabilities", "one_hot"):
            seen = f"self.{kept}, with {what},", getattr(loss, kept, None), getattr(library, kept)
            yield Seen("SoftmaxCrossEntropy.forward", *seen)
        yield Seen("SoftmaxCrossEntropy.forward", "the logits, unchanged,", given, logits)


def loss_backward(own: ModuleType, true: ModuleType) -> Iterator[Seen]:
    loss, library, logits = own.SoftmaxCrossEntropy(), true.SoftmaxCrossEntropy(), LOGITS.copy()
    loss.forward(LOGITS, LABELS)
    right = numeric_gradient(lambda: library.forward(logits, LABELS), logits)
    for call in ("", " when called once more"):
        yield Seen("SoftmaxCrossEntropy.backward", f"dL/dz{call}", loss.backward(), right, QUOTIENT)


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
        yield Seen("MLP.backward", f"the gradient of {name}", model.gradients()[name], right, QUOTIENT)
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
        after = f"after step {k} with g = {g}, learning_rate = {right.learning_rate}"
        for what in right.state:
            yield Seen(function, f"{what} {after}", getattr(yours, what, None), getattr(right, what))
        yield Seen(function, f"theta {after}", models[0].theta, models[1].theta)
        yield Seen(function, "g, which must not change,", models[0].dtheta, np.array(g))


def cosine(own: ModuleType, true: ModuleType) -> Iterator[Seen]:
    yours, right = own.Cosine(0.1, 20), true.Cosine(0.1, 20)
    for epoch in (0, 5, 10, 15, 19, 20, 30):
        what = f"the rate of epoch {epoch} of 20, from 0.1 on,"
        yield Seen("Cosine.__call__", what, yours(epoch), right(epoch))
