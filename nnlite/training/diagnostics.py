"""What the lab watches while a network trains, computed from the arrays that a network offers.

Unless it says otherwise, a function returns a number for one network and an array (K,) for a stack.
On a GPU these stay there, so that all can be copied to the host together. np.errstate: a number so
small that it becomes 0 is no error, whatever np.seterr says.
"""

import base64

import numpy as np

from ..backend import Array, array_module, to_host
from ..network import MLP

__all__ = [
    "BINS", "MOST_WRONG", "SATURATION_MARGIN", "confusion_matrix", "gradient_statistics",
    "histogram", "histograms", "most_wrong", "norm", "probe_statistics", "recorded",
    "update_ratios", "weights",
]  # fmt: skip

BINS = 40  # of a histogram
MOST_WRONG = 16  # how many misclassified test images a log keeps
SATURATION_MARGIN = 0.05  # as a share of the range between an activation's bounds


def norm(x: Array, axes: int | tuple[int, ...]) -> Array:
    """Return the Euclidean norm sqrt(sum of x^2) over the given axes, in float64.

    In float32 the squares of vanished gradients, those below 1e-23, would be zero.
    """
    xp = array_module(x)
    return xp.sqrt(xp.sum(xp.square(x, dtype="float64"), axis=axes))


@np.errstate(under="ignore")
def gradient_statistics(model: MLP) -> dict[str, dict[str, Array]]:
    """Summarize the gradient g of each parameter, {"fc1.weight": {"mean_abs": ..., ...}, ...}.

        mean_abs   mean of |g| over the parameter's numbers
        std        standard deviation of g
        pct_zero   how many of them are exactly 0, in percent
        norm       sqrt(sum of g^2)

    The first three come from the original sheet.
    """
    statistics = {}
    for name, g in model.gradients().items():
        xp = array_module(g)
        own_axes = (-2, -1) if name.endswith("weight") else -1
        statistics[name] = {
            "mean_abs": xp.mean(xp.abs(g), axis=own_axes),
            "std": xp.std(g.astype("float64"), axis=own_axes),  # it squares too, see norm
            "pct_zero": 100 * xp.mean(g == 0, axis=own_axes, dtype=g.dtype),
            "norm": norm(g, own_axes),
        }
    return statistics


def weights(model: MLP) -> dict[str, Array]:
    """Return a copy of the weight of each Linear layer, {"fc1": ..., ...}."""
    parameters = model.parameters().items()
    return {n.removesuffix(".weight"): p.copy() for n, p in parameters if n.endswith(".weight")}


@np.errstate(under="ignore")
def update_ratios(before: dict[str, Array], after: dict[str, Array]) -> dict[str, Array]:
    """Return how far a step moved each layer's weight: |after - before| / |before|.

    The lab looks at the last step of each epoch, whose batch may be shorter than the others.
    A rule of thumb for a healthy step is about 1/1000 (A. Karpathy, CS231n lecture notes, "Ratio of
    weights:updates"). Far above, steps are too large to follow the gradient; far below, training is
    slow.
    """
    axes = (-2, -1)
    return {name: norm(after[name] - w, axes) / norm(w, axes) for name, w in before.items()}


def recorded(model: MLP) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return the outputs and output gradients of a network that has been run back and forth."""
    outputs, gradients = model.outputs(), model.output_gradients()
    if not gradients:
        raise ValueError("there is nothing to measure yet: call forward and backward first")
    return outputs, gradients


@np.errstate(under="ignore")
def probe_statistics(model: MLP) -> dict[str, dict[str, Array]]:
    """Look at each layer during the latest `forward` and `backward`: {"fc1": {...}, "act1": ...}.

        gradient_norm   |dL/dz| of a Linear, |dL/da| of an activation, over all rows and units
        dead            only activations: units whose output is 0 for every row, in percent
        saturated       only activations with bounds: outputs closer to a bound than 5 % of the
                        range, in percent; there f' is below a fifth of its maximum

    A unit that is 0 for all inputs gets no gradient and cannot recover by itself (Lu, Shin, Su &
    Karniadakis 2020, "Dying ReLU and initialization"), so `dead` needs many rows, and always the
    same ones. A saturated unit passes hardly any gradient on (Glorot & Bengio 2010).
    """
    statistics = {}
    outputs, gradients = recorded(model)
    for name, layer in model.layers.items():
        xp = array_module(outputs[name])
        statistics[name] = {"gradient_norm": norm(gradients[name], (-2, -1))}
        if name.startswith("act"):
            a = outputs[name]
            dead = xp.all(a == 0, axis=-2)
            statistics[name]["dead"] = 100 * xp.mean(dead, axis=-1, dtype=a.dtype)
            if layer.bounds:
                low, high = layer.bounds
                margin = SATURATION_MARGIN * (high - low)
                saturated = (a < low + margin) | (a > high - margin)
                percent = 100 * xp.mean(saturated, axis=(-2, -1), dtype=a.dtype)
                statistics[name]["saturated"] = percent
    return statistics


def histograms(model: MLP) -> list[dict[str, dict]]:
    """Count the outputs of each activation and the dL/dz of each Linear, for each network.

    Returns {"fc1": {"low": ..., "high": ..., "counts": [BINS numbers]}, "act1": ...} per network,
    on the host. A layer is left out if not all its numbers are finite. The figures of Glorot &
    Bengio (2010), "Understanding the difficulty of training deep feedforward neural networks", are
    such histograms.
    """
    stacked = model.theta.ndim > 1
    found: list[dict] = [{} for _ in range(len(model.theta) if stacked else 1)]
    outputs, gradients = recorded(model)
    for name in model.layers:
        values = to_host(outputs[name] if name.startswith("act") else gradients[name])
        for counted, own in zip(found, values if stacked else [values]):
            if np.isfinite(own).all():
                counted[name] = histogram(own)
    return found


def histogram(values: np.ndarray) -> dict:
    """Count values in BINS bins of equal width, between their 0.5 % and 99.5 % quantiles.

    What lies beyond is counted in the first and the last bin. Otherwise a few outliers could make
    all other values share one bin.
    """
    values = values.ravel().astype("float64")
    low, high = np.quantile(values, [0.005, 0.995], method="nearest")
    values = values.clip(low, high)
    if low == high:  # bins need a width that is not lost in rounding, however large the value
        low, high = low - max(abs(low), 1) / 2, high + max(abs(low), 1) / 2
    counts, edges = np.histogram(values, bins=BINS, range=(low, high))
    return {"low": float(edges[0]), "high": float(edges[-1]), "counts": counts.tolist()}


def confusion_matrix(labels: Array, predicted: Array, classes: int) -> Array:
    """Return counts (..., C, C): [i, j] says how many samples of class i were taken for class j.

    labels and predicted are (..., N). A product of their one-hot rows counts the pairs.
    """
    one_hot = array_module(labels).eye(classes)
    return one_hot[labels].mT @ one_hot[predicted]


def most_wrong(logits: np.ndarray, labels: np.ndarray, images: np.ndarray) -> list[dict]:
    """Return the samples that are most confidently taken for a wrong class, the worst first.

    logits (N, C) of one network, labels (N,) and images (N, D) uint8 are on the host. Each of the
    up to MOST_WRONG entries has `row`, `label`, `predicted`, the softmax `probability` of that
    prediction, and the pixels of the `image` in base64.
    """
    predicted = logits.argmax(axis=-1)
    shifted = logits.astype("float64") - logits.max(axis=-1, keepdims=True)
    confidence = 1 / np.exp(shifted).sum(axis=-1)  # softmax of the largest logit, now 0
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:MOST_WRONG]
    return [
        {
            "row": int(row),
            "label": int(labels[row]),
            "predicted": int(predicted[row]),
            "probability": float(confidence[row]),
            "image": base64.b64encode(images[row].tobytes()).decode(),
        }
        for row in worst
    ]
