"""Learning rate schedules: which rate is used in which epoch.

A schedule is a function of the epoch alone. It has no state, so it cannot get out of step with the
training, and a resumed run needs only its epoch number.
"""

import math

from .network import in_range, is_count


class Scheduler:
    """scheduler(epoch) is the learning rate of epoch 0, 1, ..., epochs - 1.

    `learning_rate` is the rate of the first epoch, `epochs` the length of the run.
    Raises ValueError unless they are a finite number, 0 or more, and an integer above 0.
    """

    def __init__(self, learning_rate: float, epochs: int):
        learning_rate = in_range("learning_rate", learning_rate)
        if not is_count(epochs):
            raise ValueError(f"epochs is {epochs!r}: it must be an integer above 0")
        self.learning_rate, self.epochs = learning_rate, epochs

    def __call__(self, epoch: int) -> float:
        raise NotImplementedError


class Constant(Scheduler):
    """rate(epoch) = learning_rate."""

    def __call__(self, epoch: int) -> float:
        return self.learning_rate


class Step(Scheduler):
    """rate(epoch) = learning_rate * 0.1^(epoch // step_size): falls to a tenth after each third.

    step_size = epochs // 3, but at least 1, so that a run of 1 or 2 epochs has a schedule too. This
    is the original sheet's rule. If 3 does not divide epochs, the rate goes on falling every
    step_size epochs in those left over: 5 epochs have step_size 1, and the last rate is 1/10,000.
    """

    def __call__(self, epoch: int) -> float:
        step_size = max(1, self.epochs // 3)
        return self.learning_rate * 0.1 ** (epoch // step_size)


class Cosine(Scheduler):
    """rate(epoch) = learning_rate * (1 + cos(pi epoch / epochs)) / 2.

    Half a cosine, from the full rate down to 0, which it reaches one epoch after the last. There it
    stays, whereas the cosine itself would rise again.
    Loshchilov & Hutter (2017), "SGDR: stochastic gradient descent with warm restarts".
    """

    def __call__(self, epoch: int) -> float:
        epoch = min(epoch, self.epochs)
        return self.learning_rate * (1 + math.cos(math.pi * epoch / self.epochs)) / 2


class Exponential(Scheduler):
    """rate(epoch) = learning_rate * 0.9^epoch."""

    def __call__(self, epoch: int) -> float:
        return self.learning_rate * 0.9**epoch


SCHEDULERS: dict[str, type[Scheduler]] = {
    "none": Constant,
    "step": Step,
    "cosine": Cosine,
    "exponential": Exponential,
}
