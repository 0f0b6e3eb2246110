"""The training loop, and around it one run of the lab: train, measure, record.

Read from top to bottom. `train_epoch` is the training loop, `evaluate` says how good a network is,
and a `Training` repeats both, epoch by epoch, and keeps everything that can be observed in a log.

Several configurations that differ only in seed and learning rate can train side by side as one
stack (see MLP), each with its own log. Then arrays have one more axis in front, `...`.
"""

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import ModuleType

import numpy as np

from ..backend import Array, Device, array_module, select_device, to_host, use
from ..datasets import Dataset
from ..losses import SoftmaxCrossEntropy
from ..network import MLP, is_count
from ..optimizers import OPTIMIZERS, Optimizer
from ..schedulers import SCHEDULERS
from ..seeding import streams
from . import checkpoint
from .config import Config
from .diagnostics import (
    confusion_matrix,
    gradient_statistics,
    histograms,
    most_wrong,
    probe_statistics,
    update_ratios,
    weights,
)
from .logs import append_epoch, new_log, seal, to_host_together

VALIDATION_SHARE = 0.1
EVALUATION_ROWS = 1000  # rows per forward pass outside training: they fit in the cache
PROBE_ROWS = 1000  # how many validation images, always the same ones, the layers are watched on


def train_epoch(
    model: MLP,
    loss: SoftmaxCrossEntropy,
    optimizer: Optimizer,
    images: Array,
    labels: Array,
    order: Array,
    batch_size: int,
) -> Array:
    """Train on each sample once, in the given order; return the loss of each batch, (..., steps).

    order is (..., N): row numbers of images and labels. The last batch may be shorter.
    """
    if not is_count(batch_size):
        raise ValueError(f"batch_size is {batch_size!r}: it must be an integer above 0")
    N = order.shape[-1]
    steps = math.ceil(N / batch_size)
    losses = array_module(images).empty((*order.shape[:-1], steps), dtype=model.dtype)
    for step in range(steps):
        batch = order[..., step * batch_size : (step + 1) * batch_size]
        logits = model.forward(scaled(images.take(batch, axis=0), model.dtype))
        losses[..., step] = loss.forward(logits, labels[batch])
        model.backward(loss.backward())
        optimizer.step()
    return losses


def evaluate(
    model: MLP, loss: SoftmaxCrossEntropy, images: Array, labels: Array, rows: Array
) -> tuple[dict[str, Array], Array]:
    """Measure the network on the given rows, (..., N): mean loss, accuracy in percent, confusion.

    Returns these by name, and the logits (..., N, C). Raises ValueError if there are no rows.
    """
    N, C = rows.shape[-1], model.sizes[-1]
    logits = []
    for start in range(0, max(N, 1), EVALUATION_ROWS):
        part = rows[..., start : start + EVALUATION_ROWS]
        logits.append(model.forward(scaled(images.take(part, axis=0), model.dtype)))
    logits = array_module(images).concatenate(logits, axis=-2)
    confusion = confusion_matrix(labels[rows], logits.argmax(axis=-1), C)
    measured = {
        "loss": loss.forward(logits, labels[rows]),
        "accuracy": 100 * confusion.diagonal(0, -2, -1).sum(axis=-1) / N,
        "confusion": confusion,
    }
    return measured, logits


def scaled(images: Array, dtype: np.dtype) -> Array:
    """Return uint8 pixels 0..255 as numbers from -1 to 1. Raises ValueError for another dtype."""
    array_module(images)  # raises for a list
    if images.dtype != np.uint8:
        raise ValueError(f"images have dtype {images.dtype}: give pixels 0 to 255 as uint8")
    x = images.astype(dtype)
    x *= 2 / 255
    x -= 1
    return x


class Training:
    """One network in training, or a stack of them: `run_epoch` until `done`, then `finish`.

    `logs` has the log of each run (logs.py explains it). A run whose loss or gradient is no longer
    finite has diverged: its log ends there, says so under "diverged", and has None for what could
    not be measured.

    Raises ValueError if the configurations differ in more than seed and learning rate.
    """

    def __init__(self, configs: Sequence[Config], data: Dataset, device: Device):
        configs = [configs] if isinstance(configs, Config) else list(configs or ())
        if not configs or not all(isinstance(c, Config) for c in configs):
            raise ValueError("training needs a configuration: give a list of one Config or more")
        if not (isinstance(data, Dataset) and isinstance(device, Device)):
            given = f"a {type(data).__name__} and a {type(device).__name__}"
            raise ValueError(
                f"training got {given}: give a Dataset, and what select_device returns"
            )
        if len(data.x_train) < 2:
            raise ValueError("training needs at least two images")
        config = configs[0]
        if any(replace(config, seed=c.seed, learning_rate=c.learning_rate) != c for c in configs):
            raise ValueError("runs of a stack may differ in seed and learning rate only")
        self.config, self.runs, self.data = config, len(configs), data
        self.device = device

        # The same seed gives the same split, weights, batches and probe images in every run.
        self.random = [streams(c.seed) for c in configs]
        shuffled = [run["split"].permutation(len(data.x_train)) for run in self.random]
        n_train = int((1 - VALIDATION_SHARE) * len(data.x_train))
        self.train_rows = [rows[:n_train] for rows in shuffled]
        self.validation_rows = self.on_device([rows[n_train:] for rows in shuffled])
        self.probe_rows = self.validation_rows[..., :PROBE_ROWS]
        self.images, self.labels = self.xp.asarray(data.x_train), self.xp.asarray(data.y_train)

        sizes = [data.x_train.shape[1], *config.hidden, len(data.classes)]
        seeds = [c.seed for c in configs] if self.runs > 1 else config.seed
        self.model = MLP(sizes, config.activation, config.init, seeds, xp=self.xp)
        self.loss = SoftmaxCrossEntropy()
        self.optimizer = OPTIMIZERS[config.optimizer](self.model)
        self.schedules = [SCHEDULERS[c.scheduler](c.learning_rate, c.epochs) for c in configs]

        self.logs = [new_log(c, data, device, self.runs) for c in configs]
        self.steps = math.ceil(n_train / config.batch_size)  # in each epoch
        for log in self.logs:
            log["steps_per_epoch"] = self.steps
        self.epoch = 0  # how many are finished

    @property
    def xp(self) -> ModuleType:
        return self.device.xp

    @property
    def done(self) -> bool:
        return self.epoch == self.config.epochs or all(log["diverged"] for log in self.logs)

    @np.errstate(all="ignore")  # a network that diverges overflows; its losses show it
    def run_epoch(self) -> None:
        """Train for one epoch, measure what it has done, and record it all in the logs."""
        if self.epoch == 0:
            self.look_at_start()
        started = time.perf_counter()
        use(self.device)  # another device may have been selected since
        losses, update_ratio = self.train()
        measured, counted = self.measure()
        self.record(losses, measured | {"update_ratio": update_ratio}, counted, started)
        self.epoch += 1

    def train(self) -> tuple[Array, dict[str, Array]]:
        """Train for an epoch; return each batch's loss, and how far the last step moved weights."""
        rates = self.learning_rates()  # one for each run
        self.optimizer.learning_rate = rates if self.runs > 1 else rates[0]
        order = self.on_device(
            [run["batches"].permutation(rows) for run, rows in zip(self.random, self.train_rows)]
        )
        # The last batch is trained on apart from the others, because update_ratios compares the
        # weights before and after one step.
        last = (self.steps - 1) * self.config.batch_size
        losses = self.train_on(order[..., :last])
        before = weights(self.model)
        last_loss = self.train_on(order[..., last:])
        update_ratio = update_ratios(before, weights(self.model))
        return self.xp.concatenate([losses, last_loss], axis=-1), update_ratio

    def measure(self) -> tuple[dict, list[dict]]:
        """Measure the network as it is after the epoch.

        Returns all measures under their names in the log, and the histograms of each run, which
        only the first and the last epoch have.
        """
        validation, _ = evaluate(
            self.model, self.loss, self.images, self.labels, self.validation_rows
        )
        measured = {f"val_{name}": value for name, value in validation.items()}

        self.backpropagate(self.probe_rows)
        measured["probe"] = probe_statistics(self.model)
        epochs = {"first": 0, "last": self.config.epochs - 1}
        names = [name for name, epoch in epochs.items() if epoch == self.epoch]
        counted = histograms(self.model) if names else [{}] * self.runs

        # As in the original sheet, gradients are looked at on one more training batch. Those of the
        # epoch's last batch would not do: it may be shorter, and its step has changed the weights.
        self.backpropagate(self.fresh_batch())
        measured["gradient_stats"] = gradient_statistics(self.model)
        return measured, [dict.fromkeys(names, of_run) for of_run in counted]  # {"first": {...}}

    def record(self, losses: Array, measured: dict, counted: list[dict], started: float) -> None:
        """Add the epoch, which `started` at that time, to the log of each run still going."""
        # A copy from a GPU waits for it, so there are only these two an epoch (and histograms).
        losses = np.atleast_2d(to_host(losses))
        measured = to_host_together(measured, self.runs)
        seconds = (time.perf_counter() - started) / self.runs
        for k, (log, rate) in enumerate(zip(self.logs, self.learning_rates())):
            if not log["diverged"]:
                append_epoch(log, rate, losses[k], measured[k], counted[k], seconds)

    def look_at_start(self) -> None:
        """Record gradients and layers on the probe images before the first step."""
        self.backpropagate(self.probe_rows)
        measured = {
            "gradient_stats": gradient_statistics(self.model),
            "probe": probe_statistics(self.model),
        }
        for log, initial in zip(self.logs, to_host_together(measured, self.runs)):
            log["initial"] = initial

    @np.errstate(all="ignore")
    def finish(self) -> list[dict]:
        """Measure the network on the test set, for the only time; seal and return the logs."""
        images, labels = self.xp.asarray(self.data.x_test), self.xp.asarray(self.data.y_test)
        rows = self.xp.arange(len(images))
        test, logits = evaluate(self.model, self.loss, images, labels, rows)
        logits = to_host(logits).reshape(self.runs, len(rows), -1)
        for k, measured in enumerate(to_host_together(test, self.runs)):
            log = self.logs[k]
            if not log["diverged"]:
                log |= {f"test_{name}": value for name, value in measured.items()}
                log["most_wrong"] = most_wrong(logits[k], self.data.y_test, self.data.x_test)
            seal(log)
        return self.logs

    def save(self, path: str | os.PathLike) -> None:
        """Write a checkpoint, from which `resume` can go on."""
        checkpoint.save(self, path)

    def resume(self, path: str | os.PathLike) -> None:
        """Go on from a checkpoint. If that raises ValueError, discard this Training."""
        checkpoint.resume(self, path)

    # The small parts of the above.

    def learning_rates(self) -> list[float]:
        """The rate of each run in this epoch."""
        return [schedule(self.epoch) for schedule in self.schedules]

    def train_on(self, order: Array) -> Array:
        """One `train_epoch` of these rows."""
        data = (self.images, self.labels, order, self.config.batch_size)
        return train_epoch(self.model, self.loss, self.optimizer, *data)

    def backpropagate(self, rows: Array) -> None:
        """Compute all gradients on the given rows, without a step."""
        logits = self.model.forward(scaled(self.images.take(rows, axis=0), self.model.dtype))
        self.loss.forward(logits, self.labels[rows])
        self.model.backward(self.loss.backward())

    def fresh_batch(self) -> Array:
        """Draw the rows of a training batch, from each seed's own stream."""
        size = min(self.config.batch_size, len(self.train_rows[0]))
        draws = [
            run["probe"].choice(rows, size, replace=False)
            for run, rows in zip(self.random, self.train_rows)
        ]
        return self.on_device(draws)

    def on_device(self, rows: list[np.ndarray]) -> Array:
        """Put the rows of each run on the device: (K, N), or (N,) for a single network."""
        return self.xp.asarray(np.stack(rows) if self.runs > 1 else rows[0])


def train(
    configs: Sequence[Config],
    data: Dataset,
    device: Device | None = None,
    on_epoch: Callable[[int, list[dict]], None] | None = None,
) -> list[dict]:
    """Run `configs` on `data`, side by side on the CPU or `device`, and return the log of each.

    After each epoch `on_epoch(epoch, logs)` is called; epoch counts from 1. See Training.
    """
    if not (on_epoch is None or callable(on_epoch)):
        raise ValueError(f"on_epoch is {on_epoch!r}: give a function of epoch and logs")
    training = Training(configs, data, device or select_device("cpu"))
    while not training.done:
        training.run_epoch()
        if on_epoch:
            on_epoch(training.epoch, training.logs)
    return training.finish()
