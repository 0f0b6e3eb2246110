"""One run of the lab: train epoch by epoch, and log everything that can be observed.

`train` takes a list of configurations. Usually it has one; several that differ only in seed and
learning rate train side by side as one stack (see MLP), each with its own log.
"""

import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ..backend import Array, Device, array_module, select_device, to_host, use
from ..datasets import Dataset
from ..files import read_arrays, write_arrays
from ..losses import SoftmaxCrossEntropy
from ..network import MLP
from ..optimizers import OPTIMIZERS, Optimizer
from ..schedulers import SCHEDULERS
from ..seeding import streams
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
from .logs import append_epoch, identity, new_log, seal, to_host_together

VALIDATION_SHARE = 0.1
EVALUATION_ROWS = 1000  # rows per forward pass outside training: fits in the cache
PROBE_ROWS = 1000  # of the validation set, always the same, on which the layers are looked at


def scaled(images: Array, dtype: np.dtype) -> Array:
    """Return uint8 pixels 0..255 as numbers from -1 to 1."""
    x = images.astype(dtype)
    x *= 2 / 255
    x -= 1
    return x


def train_epoch(
    model: MLP,
    loss: SoftmaxCrossEntropy,
    optimizer: Optimizer,
    images: Array,
    labels: Array,
    order: Array,
    batch_size: int,
) -> Array:
    """Train on each sample once, in the given order; return the loss of every batch, (..., steps).

    order is (..., N): row numbers of images and labels. The last batch may be shorter.
    """
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

    Returns these by name, and the logits (..., N, C).
    """
    N, C = rows.shape[-1], model.sizes[-1]
    logits = []
    for start in range(0, N, EVALUATION_ROWS):
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


class Training:
    """A stack of networks in training: `run_epoch` again and again until `done`, then `finish`.

    `logs` has the log of each. A run whose loss or gradient is no longer finite has diverged: its
    log ends there, says so under "diverged", and has None for what could not be measured.

    Raises ValueError when the configurations differ in more than seed and learning rate.
    """

    def __init__(self, configs: Sequence[Config], data: Dataset, device: Device):
        if not configs or len(data.x_train) < 2:
            raise ValueError("training needs a configuration, and at least two images")
        config = configs[0]
        if any(replace(config, seed=c.seed, learning_rate=c.learning_rate) != c for c in configs):
            raise ValueError("runs of a stack may differ in seed and learning rate only")
        self.config, self.runs, self.data = config, len(configs), data
        self.device, self.xp = device, device.xp

        # The same seed gives the same split, weights, batches and probe batches in every run.
        self.random = [streams(c.seed) for c in configs]
        shuffled = [r["split"].permutation(len(data.x_train)) for r in self.random]
        n_train = int((1 - VALIDATION_SHARE) * len(data.x_train))
        self.train_rows = [rows[:n_train] for rows in shuffled]
        self.validation_rows = self.per_run([rows[n_train:] for rows in shuffled])
        self.probe_rows = self.validation_rows[..., :PROBE_ROWS]
        self.images, self.labels = self.xp.asarray(data.x_train), self.xp.asarray(data.y_train)

        sizes = [data.x_train.shape[1], *config.hidden, len(data.classes)]
        seeds = [c.seed for c in configs] if self.runs > 1 else config.seed
        self.model = MLP(sizes, config.activation, config.init, seeds, xp=self.xp)
        self.loss = SoftmaxCrossEntropy()
        self.optimizer = OPTIMIZERS[config.optimizer](self.model)
        self.schedules = [SCHEDULERS[c.scheduler](c.learning_rate, c.epochs) for c in configs]
        self.logs = [new_log(c, data, device, self.runs) for c in configs]
        steps = math.ceil(n_train / config.batch_size)
        for log in self.logs:
            log["steps_per_epoch"] = steps
        self.epoch = 0  # how many are finished

    def per_run(self, rows: list[np.ndarray]) -> Array:
        """Rows of each run, on the device: (K, N), or (N,) for a single network."""
        return self.xp.asarray(np.stack(rows) if self.runs > 1 else rows[0])

    @property
    def done(self) -> bool:
        return self.epoch == self.config.epochs or all(log["diverged"] for log in self.logs)

    def run_epoch(self) -> None:
        """Train for one epoch, validate, look at gradients and layers, and log it all."""
        if self.epoch == 0:
            self.look_at_start()
        started = time.perf_counter()
        use(self.device)
        rates = [schedule(self.epoch) for schedule in self.schedules]
        self.optimizer.learning_rate = rates if self.runs > 1 else rates[0]
        order = self.per_run(
            [r["batches"].permutation(n) for r, n in zip(self.random, self.train_rows)]
        )
        last_batch = (self.logs[0]["steps_per_epoch"] - 1) * self.config.batch_size
        # Diverging networks overflow; the losses show it, so NumPy need not warn of it too.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            losses = [self.train_on(order[..., :last_batch])]
            before = weights(self.model)
            losses += [self.train_on(order[..., last_batch:])]
            after = weights(self.model)
            validation, _ = evaluate(
                self.model, self.loss, self.images, self.labels, self.validation_rows
            )
            record = {f"val_{name}": value for name, value in validation.items()}
            record["update_ratio"] = update_ratios(before, after)
            self.backpropagate(self.probe_rows)
            record["probe"] = probe_statistics(self.model)
            ends = (("first", 0), ("last", self.config.epochs - 1))
            ends = [end for end, epoch in ends if epoch == self.epoch]
            counted = histograms(self.model) if ends else []
            self.backpropagate(self.fresh_batch())
            record["gradient_stats"] = gradient_statistics(self.model)
            # The only copies from the device: two for each epoch (and histograms), none within.
            losses = np.atleast_2d(to_host(self.xp.concatenate(losses, axis=-1)))
            records = to_host_together(record, self.runs)
        self.epoch += 1
        seconds = (time.perf_counter() - started) / self.runs
        for k, log in enumerate(self.logs):
            if not log["diverged"]:
                append_epoch(log, rates[k], losses[k], records[k], seconds)
            if not log["diverged"]:
                log["histograms"] |= {end: counted[k] for end in ends}

    def train_on(self, order: Array) -> Array:
        return train_epoch(
            self.model, self.loss, self.optimizer,
            self.images, self.labels, order, self.config.batch_size,
        )  # fmt: skip

    def look_at_start(self) -> None:
        """Log gradients and layers on the probe set before the first step."""
        self.backpropagate(self.probe_rows)
        statistics = gradient_statistics(self.model), probe_statistics(self.model)
        record = dict(zip(("gradient_stats", "probe"), statistics))
        for log, initial in zip(self.logs, to_host_together(record, self.runs)):
            log["initial"] = initial

    def fresh_batch(self) -> Array:
        """Draw the rows of a training batch, from each seed's own stream."""
        size = min(self.config.batch_size, len(self.train_rows[0]))
        draws = [
            r["probe"].choice(n, size, replace=False) for r, n in zip(self.random, self.train_rows)
        ]
        return self.per_run(draws)

    def backpropagate(self, rows: Array) -> None:
        """Fill in all gradients on the given rows, without a step."""
        logits = self.model.forward(scaled(self.images.take(rows, axis=0), self.model.dtype))
        self.loss.forward(logits, self.labels[rows])
        self.model.backward(self.loss.backward())

    def arrays(self) -> dict[str, Array]:
        """All numbers that a step changes, by name: the parameters, and the optimizer's state."""
        arrays = {"theta": self.model.theta}
        for name in self.optimizer.state:
            value = getattr(self.optimizer, name)
            arrays[f"optimizer.{name}"] = np.array(value) if isinstance(value, int) else value
        return arrays

    def save(self, path: str | os.PathLike) -> None:
        """Write a checkpoint: all that `resume` needs to go on as if nothing had happened."""
        about = {
            "epoch": self.epoch,
            "random": [{n: g.bit_generator.state for n, g in r.items()} for r in self.random],
            "logs": self.logs,
        }
        arrays = {name: to_host(array) for name, array in self.arrays().items()}
        write_arrays(path, arrays | {"about": np.array(json.dumps(about))})

    def resume(self, path: str | os.PathLike) -> None:
        """Go on from the checkpoint that `save` wrote.

        Raises ValueError if it is damaged or of other runs, OSError if it cannot be opened; this
        Training is of no use then.
        """
        arrays = read_arrays(path)
        try:
            about = json.loads(str(arrays["about"]))
            epoch, logs = about["epoch"], about["logs"]
            for mine, saved in zip(self.logs, logs, strict=True):
                if (identity(mine), mine["device"]) != (identity(saved), saved["device"]):
                    raise ValueError("it is of another run")
            if type(epoch) is not int or epoch != max(len(log["epoch"]) for log in logs):
                raise ValueError(f"its epoch is {epoch!r}")
            for name, mine in self.arrays().items():
                saved = arrays[name]
                if (saved.shape, saved.dtype) != (mine.shape, mine.dtype):
                    raise ValueError(f"{name} is {saved.dtype} of shape {saved.shape}")
            for generators, states in zip(self.random, about["random"], strict=True):
                for name, generator in generators.items():
                    generator.bit_generator.state = states[name]
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise ValueError(f"{path} is not a checkpoint of this run ({error!s:.200})") from None
        self.epoch, self.logs = epoch, logs
        for name, mine in self.arrays().items():
            if mine.ndim:
                mine[...] = self.xp.asarray(arrays[name])
            else:  # a count of steps, which is a Python number
                setattr(self.optimizer, name.removeprefix("optimizer."), arrays[name].item())

    def finish(self) -> list[dict]:
        """Measure loss and accuracy on the test set, the only time it is used; return the logs."""
        images, labels = self.xp.asarray(self.data.x_test), self.xp.asarray(self.data.y_test)
        rows = self.xp.arange(len(images))
        with np.errstate(over="ignore", invalid="ignore"):
            test, logits = evaluate(self.model, self.loss, images, labels, rows)
        logits = to_host(logits).reshape(self.runs, len(rows), -1)
        for k, measured in enumerate(to_host_together(test, self.runs)):
            log = self.logs[k]
            if not log["diverged"]:
                log |= {f"test_{name}": value for name, value in measured.items()}
                log["most_wrong"] = most_wrong(logits[k], self.data.y_test, self.data.x_test)
            seal(log)
        return self.logs


def train(
    configs: Sequence[Config],
    data: Dataset,
    device: Device | None = None,
    on_epoch: Callable[[int, list[dict]], None] | None = None,
) -> list[dict]:
    """Run `configs` on `data`, side by side on the CPU or `device`, and return the log of each.

    After each epoch `on_epoch(epoch, logs)` is called, epoch counting from 1. See Training.
    """
    training = Training(configs, data, device or select_device("cpu"))
    while not training.done:
        training.run_epoch()
        if on_epoch:
            on_epoch(training.epoch, training.logs)
    return training.finish()
