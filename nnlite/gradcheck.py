"""Gradient checking: does backward() return the derivative of forward()?

    python -m nnlite.gradcheck

checks every layer, every activation, the loss and the whole network, prints a table, and exits
with 1 if one is wrong. A derivative is the limit of (L(x + h) - L(x - h)) / 2h. With a small h this
quotient needs only `forward`, and must agree with `backward`. The check needs one number L, but a
layer has many outputs y: take L = sum of y * r, with a random r of y's shape. Then dL/dy = r is
what `backward` is given. With r = 1 a mistake could hide (there, softmax has gradient 0).
"""

import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .activations import ACTIVATIONS
from .layers import Layer, Linear
from .losses import SoftmaxCrossEntropy
from .network import MLP

H = 1e-5  # errors of the quotient: about h^2 = 1e-10 by curvature, 1e-16 / h = 1e-11 by rounding
TOLERANCE = 1e-6


class Check(NamedTuple):
    """One comparison: which subject, with respect to what, and where the two differ most."""

    subject: str
    wrt: str
    relative_error: float
    where: tuple[int, ...]
    analytic: float
    numeric: float

    @property
    def column(self) -> str:
        """The column of the table: x, W or b."""
        return {"weight": "W", "bias": "b"}.get(self.wrt.split(".")[-1], self.wrt)

    @property
    def ok(self) -> bool:
        return self.relative_error <= TOLERANCE  # False for NaN too


def numeric_gradient(L: Callable[[], float], x: np.ndarray) -> np.ndarray:
    """Return dL/dx by centred differences: (L(x + h) - L(x - h)) / 2h for one number at a time.

    L() computes the loss from the current contents of x, which is float64. Each number of x is
    changed in place, and put back.
    """
    gradient = np.empty_like(x)
    for index in np.ndindex(x.shape):
        value = x[index]
        x[index] = value + H
        above = L()
        x[index] = value - H
        below = L()
        x[index] = value
        gradient[index] = (above - below) / (2 * H)
    return gradient


def compare(subject: str, wrt: str, analytic: np.ndarray, numeric: np.ndarray) -> Check:
    """Return the Check of two gradients; its error is max |analytic - numeric| / max |either|."""
    difference = np.abs(analytic - numeric)
    where = np.unravel_index(np.argmax(difference), difference.shape)
    scale = max(np.abs(analytic).max(), np.abs(numeric).max(), np.finfo(float).tiny)
    return Check(
        subject,
        wrt,
        float(difference[where] / scale),
        tuple(int(i) for i in where),
        float(analytic[where]),
        float(numeric[where]),
    )


def check_layer(subject: str, layer: Layer, x: np.ndarray, rng: np.random.Generator) -> list[Check]:
    """Check a layer's backward for input x: dx, and for a Linear also dweight and dbias."""
    r = rng.normal(size=layer.forward(x).shape)

    def L() -> float:
        return float(np.sum(layer.forward(x) * r))

    dx = layer.backward(r)
    checks = [compare(subject, "x", dx, numeric_gradient(L, x))]
    if isinstance(layer, Linear):
        checks += [
            compare(subject, "W", layer.dweight, numeric_gradient(L, layer.weight)),
            compare(subject, "b", layer.dbias, numeric_gradient(L, layer.bias)),
        ]
    return checks


def check_loss(subject: str, logits: np.ndarray, labels: np.ndarray) -> Check:
    """Check the gradient of softmax cross-entropy with respect to the logits."""
    loss = SoftmaxCrossEntropy()
    loss.forward(logits, labels)
    analytic = loss.backward()
    numeric = numeric_gradient(lambda: float(np.sum(loss.forward(logits, labels))), logits)
    return compare(subject, "x", analytic, numeric)


def check_network(subject: str, model: MLP, x: np.ndarray, labels: np.ndarray) -> list[Check]:
    """Check a whole network under softmax cross-entropy: its input and each of its parameters."""
    loss = SoftmaxCrossEntropy()

    def L() -> float:
        return float(np.sum(loss.forward(model.forward(x), labels)))

    L()
    model.layers["fc1"].input_gradient = True
    dx = model.backward(loss.backward())
    model.layers["fc1"].input_gradient = False
    checks = [compare(subject, "x", dx, numeric_gradient(L, x))]
    analytic = {name: gradient.copy() for name, gradient in model.gradients().items()}
    for name, parameter in model.parameters().items():
        numeric = numeric_gradient(L, parameter)
        checks.append(compare(subject, name, analytic[name], numeric))
    return checks


def away_from_kinks(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return random numbers with 0.1 <= |z| <= 3: at 0, ReLU has no derivative to compare with."""
    return rng.uniform(0.1, 3, shape) * rng.choice([-1.0, 1.0], shape)


def nearest_kink(model: MLP, x: np.ndarray) -> float:
    """Return the smallest |z| of any Linear for input x: how close to 0, where kinks are."""
    model.forward(x)
    return min(np.abs(z).min() for name, z in model.outputs().items() if name.startswith("fc"))


def check_all() -> list[Check]:
    """Check everything, all registered activations too, for one network and for a stack of two."""
    rng = np.random.default_rng(0)
    checks = []
    for stack, lead in (("", ()), (" (stack of 2)", (2,))):
        linear = Linear(rng.normal(size=(*lead, 4, 3)), rng.normal(size=(*lead, 3)))
        checks += check_layer("Linear" + stack, linear, rng.normal(size=(*lead, 5, 4)), rng)
        for activation in ACTIVATIONS.values():
            z = away_from_kinks(rng, (*lead, 5, 4))
            checks += check_layer(activation.__name__ + stack, activation(), z, rng)
        logits, labels = 3 * rng.normal(size=(*lead, 5, 4)), rng.integers(4, size=(*lead, 5))
        checks.append(check_loss("SoftmaxCrossEntropy" + stack, logits, labels))
        for name in ACTIVATIONS:
            model = MLP([6, 5, 4, 3], name, seed=[1, 2] if lead else 1, dtype="float64")
            labels = rng.integers(3, size=(*lead, 8))
            x = rng.normal(size=(*lead, 8, 6))
            while nearest_kink(model, x) < 100 * H:
                x = rng.normal(size=(*lead, 8, 6))
            checks += check_network(f"MLP with {name}{stack}", model, x, labels)
    return checks


def table(checks: list[Check]) -> str:
    """Return as text the largest relative error of x, W and b for each subject, and what failed."""
    lines = [f"{'relative error of':<36}{'x':>9}{'W':>9}{'b':>9}"]
    for subject in dict.fromkeys(check.subject for check in checks):
        line = f"{subject:<36}"
        for column in "xWb":
            cell = [c for c in checks if (c.subject, c.column) == (subject, column)]
            errors = [c.relative_error for c in cell]
            # Python's max would ignore a NaN that does not come first; NumPy's does not.
            line += f"{np.max(errors):>9.0e}" if errors else f"{'-':>9}"
        lines.append(line)
    failed = [check for check in checks if not check.ok]
    for c in failed:
        index = ", ".join(map(str, c.where))
        lines.append(
            f"FAILED  {c.subject}, gradient of {c.wrt}: relative error {c.relative_error:.1e}; "
            f"at [{index}] backward gives {c.analytic:.9g}, finite differences {c.numeric:.9g}"
        )
    lines.append(
        f"{len(checks) - len(failed)} of {len(checks)} gradients agree with finite differences "
        f"(float64, tolerance {TOLERANCE:g})"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    results = check_all()
    print(table(results))
    sys.exit(0 if all(check.ok for check in results) else 1)
