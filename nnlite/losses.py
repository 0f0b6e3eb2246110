"""The loss: how wrong the network's scores are, and the gradient with which backpropagation begins.

The scores, one for each class, are called logits. They may be any numbers.
"""

import numpy as np

from .backend import Array, array_module, check_floats


class SoftmaxCrossEntropy:
    """Softmax and cross-entropy in one, because together both the loss and its gradient are simple.

    With logits z (..., N, C), the scores of N samples for C classes, and integer labels y (..., N):

        p[n, c] = exp(z[n, c]) / sum_k exp(z[n, k])      softmax: scores become probabilities
        L       = -(1/N) sum_n log p[n, y[n]]            mean cross-entropy, in nats (natural log)
        dL/dz   = (p - one_hot(y)) / N                   prediction minus truth

    To an untrained network all C classes are about equally likely, so its loss is about log C.
    (Bridle, 1990; Goodfellow, Bengio & Courville, Deep Learning, 2016, section 6.2.2.3.)
    """

    @np.errstate(under="ignore")  # exp of a very negative number is 0, whatever np.seterr says
    def forward(self, logits: Array, labels: Array) -> Array:
        """Return the mean loss over the N samples; one number for each network of a stack, (...).

        Raises ValueError if shapes or label type do not fit, or if a label is not one of 0..C-1.
        """
        xp = array_module(logits)
        check_floats(logits)
        check_labels(labels, logits.shape)
        N, classes = logits.shape[-2:]
        # exp overflows above 88 in float32. Subtracting the row's largest score makes the largest
        # exponent 0, and changes nothing, because softmax(z) = softmax(z - constant).
        shifted = logits - logits.max(axis=-1, keepdims=True)
        exponentials = xp.exp(shifted)
        total = exponentials.sum(axis=-1, keepdims=True)
        self.probabilities = exponentials / total
        self.one_hot = labels[..., None] == xp.arange(classes)  # True counts as 1
        # -log p = log(total) - shifted, and never log(p): a p rounded to 0 has no logarithm.
        # A sample's loss is rounded like a number near 1: where the network is so sure that total
        # is 1 + 1e-10, it is 0 in float32. That is nothing beside the other samples of the mean.
        # Two sums over the samples are faster than computing a loss for each sample.
        picked = xp.where(self.one_hot, shifted, 0)
        return (xp.log(total).sum(axis=(-2, -1)) - picked.sum(axis=(-2, -1))) / N

    @np.errstate(under="ignore")
    def backward(self) -> Array:
        """Return dL/dlogits = (p - one_hot) / N, with the shape of the logits."""
        if not vars(self):
            raise ValueError("backward needs what forward keeps: call forward first")
        N = self.probabilities.shape[-2]
        # Times 1 / N: one division, instead of a slower division for each number.
        # Where p is almost 1, most digits of p - 1 cancel, and 0 may be left. Unlike an f' of 0,
        # this stops no gradient: the other numbers of the row keep all their digits.
        return (self.probabilities - self.one_hot) * (1 / N)


def check_labels(labels: Array, logits_shape: tuple[int, ...]) -> None:
    """Raise ValueError unless `labels` holds an integer 0..C-1 for each row of logits.

    A stack of networks may share one set of labels, (N,). On a GPU only shape and dtype are
    checked: reading the values would mean waiting for the GPU at each step. Training uses a
    Dataset, which has checked all labels beforehand.
    """
    if len(logits_shape) < 2:
        raise ValueError(f"logits have shape {logits_shape}: give a row of scores for each sample")
    array_module(labels)  # raises for a list
    *lead, samples, classes = logits_shape
    if labels.shape not in ((*lead, samples), (samples,)):
        raise ValueError(
            f"labels have shape {labels.shape}, but there are {samples} rows of logits: "
            f"give one integer for each, shape {(*lead, samples)}"
        )
    if labels.dtype.kind not in "iu":
        raise ValueError(f"labels have dtype {labels.dtype}: give integer class numbers")
    if samples == 0:
        raise ValueError("the batch is empty: a mean loss needs at least one sample")
    host = isinstance(labels, np.ndarray)
    if host and (labels.max() >= classes or (labels.dtype.kind == "i" and labels.min() < 0)):
        raise ValueError(
            f"labels range from {labels.min()} to {labels.max()}, but the network knows the "
            f"classes 0 to {classes - 1}"
        )
