"""One run of the lab: prepare the data, train epoch by epoch, log everything that can be observed.

`train` takes a list of configurations. Usually it has one; several that differ only in seed and
learning rate train side by side as one stack (see MLP), each with its own log.
"""

import math
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from numbers import Integral, Real
from types import ModuleType

import numpy as np

from . import __version__
from .activations import ACTIVATIONS
from .backend import Array, Device, array_module, select_device, to_host
from .datasets import Dataset
from .diagnostics import gradient_statistics
from .losses import SoftmaxCrossEntropy
from .network import INITIALIZERS, MLP, lookup
from .optimizers import OPTIMIZERS, Optimizer
from .schedulers import SCHEDULERS
from .seeding import streams

VALIDATION_SHARE = 0.1
EVALUATION_ROWS = 1000  # rows per forward pass outside training: any number gives the same result


@dataclass(frozen=True)
class Config:
    """Everything that decides the outcome of a run, apart from the data.

    The defaults are the lab sheet's. learning_rate None takes the optimizer's customary rate.
    Raises ValueError, with one sentence, for anything out of range.
    """

    activation: str = "relu"
    optimizer: str = "adam"
    learning_rate: float | None = None
    scheduler: str = "none"
    seed: int = 42
    epochs: int = 30
    batch_size: int = 128
    init: str = "uniform"
    hidden: tuple[int, ...] = (256, 128)

    def __post_init__(self):
        lookup("activation", self.activation, ACTIVATIONS)
        lookup("scheduler", self.scheduler, SCHEDULERS)
        lookup("initialization", self.init, INITIALIZERS)
        optimizer = lookup("optimizer", self.optimizer, OPTIMIZERS)
        rate = optimizer.default_learning_rate if self.learning_rate is None else self.learning_rate
        if not isinstance(rate, Real) or not (math.isfinite(rate) and rate > 0):
            raise ValueError(f"learning_rate is {rate!r}: it must be a number above 0")
        for name in ("epochs", "batch_size"):
            if not is_count(getattr(self, name)):
                value = getattr(self, name)
                raise ValueError(f"{name} is {value!r}: it must be an integer above 0")
        if not (isinstance(self.hidden, Iterable) and all(map(is_count, self.hidden))):
            raise ValueError(f"hidden is {self.hidden!r}: give a list of integers above 0")
        streams(self.seed)  # raises ValueError for a bad seed
        # Python's own numbers, as JSON knows no others; the dataclass is frozen to everyone else.
        for name, value in (
            ("learning_rate", float(rate)),
            ("hidden", tuple(map(int, self.hidden))),
            *((name, int(getattr(self, name))) for name in ("seed", "epochs", "batch_size")),
        ):
            object.__setattr__(self, name, value)

    @property
    def run_id(self) -> str:
        """Name of the run, and of its directory, such as relu_adam_none_lr0.001_seed42."""
        return (
            f"{self.activation}_{self.optimizer}_{self.scheduler}"
            f"_lr{self.learning_rate:.10g}_seed{self.seed}"
        )


def is_count(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and value > 0


def scaled(images: Array, dtype: np.dtype) -> Array:
    """Return uint8 pixels 0..255 as numbers from -1 to 1."""
    x = array_module(images).multiply(images, 2 / 255, dtype=dtype)
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
) -> dict[str, Array]:
    """Return the mean loss and the accuracy in percent on the given rows, (..., N)."""
    N = rows.shape[-1]
    total_loss = total_correct = 0.0
    for start in range(0, N, EVALUATION_ROWS):
        batch = rows[..., start : start + EVALUATION_ROWS]
        logits = model.forward(scaled(images.take(batch, axis=0), model.dtype))
        total_loss = total_loss + loss.forward(logits, labels[batch]) * batch.shape[-1]
        total_correct = total_correct + (logits.argmax(axis=-1) == labels[batch]).sum(axis=-1)
    return {"loss": total_loss / N, "accuracy": 100 * total_correct / N}


def train(
    configs: Sequence[Config],
    data: Dataset,
    device: Device | None = None,
    on_epoch: Callable[[int, list[dict]], None] | None = None,
) -> list[dict]:
    """Run `configs` on `data`, side by side, and return the log of each.

    After each epoch `on_epoch(epoch, logs)` is called, epoch counting from 1. A run whose loss or
    gradient is no longer finite has diverged: its log ends there, says so under "diverged", and has
    None for what could not be measured.

    Raises ValueError when the configurations differ in more than seed and learning rate.
    """
    device = device or select_device("cpu")
    xp = device.xp
    config = configs[0]
    shared = [{**asdict(c), "seed": 0, "learning_rate": 0} for c in configs]
    if any(s != shared[0] for s in shared):
        raise ValueError("runs of a stack may differ in seed and learning rate only")

    def per_run(values: list) -> np.ndarray:
        """An array with one entry per network of a stack; a single network has no such axis."""
        return np.array(values if len(configs) > 1 else values[0])

    # The same seed gives the same split, weights, batches and probe batches in every run.
    random = [streams(c.seed) for c in configs]
    shuffled = [r["split"].permutation(len(data.x_train)) for r in random]
    n_train = int((1 - VALIDATION_SHARE) * len(data.x_train))
    train_rows = [rows[:n_train] for rows in shuffled]
    validation_rows = xp.asarray(per_run([rows[n_train:] for rows in shuffled]))
    test_rows = xp.arange(len(data.x_test))
    images, labels = xp.asarray(data.x_train), xp.asarray(data.y_train)

    sizes = [data.x_train.shape[1], *config.hidden, len(data.classes)]
    seeds = per_run([c.seed for c in configs])
    model = MLP(sizes, config.activation, config.init, seeds.tolist(), xp=xp)
    loss = SoftmaxCrossEntropy()
    optimizer = OPTIMIZERS[config.optimizer](model)
    schedules = [SCHEDULERS[c.scheduler](c.learning_rate, c.epochs) for c in configs]
    logs = [new_log(c, data, device, len(configs)) for c in configs]

    # Diverging networks overflow; that is found in the losses, so NumPy need not warn of it too.
    with np.errstate(over="ignore", invalid="ignore"):
        for epoch in range(config.epochs):
            started = time.perf_counter()
            rates = [schedule(epoch) for schedule in schedules]
            optimizer.learning_rate = per_run(rates)
            order = [r["batches"].permutation(rows) for r, rows in zip(random, train_rows)]
            order = xp.asarray(per_run(order))
            losses = train_epoch(model, loss, optimizer, images, labels, order, config.batch_size)
            validation = evaluate(model, loss, images, labels, validation_rows)

            probe = [
                r["probe"].choice(rows, min(config.batch_size, n_train), replace=False)
                for r, rows in zip(random, train_rows)
            ]
            probe = xp.asarray(per_run(probe))
            logits = model.forward(scaled(images.take(probe, axis=0), model.dtype))
            loss.forward(logits, labels[probe])
            model.backward(loss.backward())
            record = {
                "val_loss": validation["loss"],
                "val_accuracy": validation["accuracy"],
                "gradient_stats": gradient_statistics(model),
            }

            losses = np.atleast_2d(to_host(losses))
            record = to_host_together(record, len(configs))
            seconds = (time.perf_counter() - started) / len(configs)
            for k, log in enumerate(logs):
                if not log["diverged"]:
                    append_epoch(log, rates[k], losses[k], record[k], seconds)
            if on_epoch:
                on_epoch(epoch + 1, logs)
            if all(log["diverged"] for log in logs):
                break

        images, labels = xp.asarray(data.x_test), xp.asarray(data.y_test)
        test = evaluate(model, loss, images, labels, test_rows)
        for log, measured in zip(logs, to_host_together(test, len(configs))):
            if not log["diverged"]:
                log["test_loss"], log["test_accuracy"] = measured["loss"], measured["accuracy"]
    return logs


def new_log(config: Config, data: Dataset, device: Device, stack: int) -> dict:
    """Return the log of a run that has not begun: the lab sheet's keys, and what we add."""
    versions = {"nnlite": __version__, "python": platform.python_version(), "numpy": np.__version__}
    if device.xp is not np:
        versions["cupy"] = device.xp.__version__
    dataset = {"name": data.name, "checksum": data.checksum, "source": data.source}
    return {
        "experiment_id": config.run_id,
        "config": {**asdict(config), "hidden": list(config.hidden)},
        "dataset": {**dataset, "note": data.note},
        "device": device.description,
        "versions": versions,
        "stack": stack,
        "diverged": None,
        "epoch": [],
        "train_loss": [],
        "val_loss": [],
        "val_accuracy": [],
        "learning_rate": [],
        "epoch_time": [],
        "gradient_stats": {},
        "test_loss": None,
        "test_accuracy": None,
    }


def append_epoch(
    log: dict, learning_rate: float, losses: np.ndarray, record: dict, seconds: float
) -> None:
    """Add one epoch to a run's log; mark it as diverged if a loss or gradient is not finite."""
    log["epoch"].append(len(log["epoch"]) + 1)
    log["learning_rate"].append(learning_rate)
    log["epoch_time"].append(seconds)
    bad_steps = np.flatnonzero(~np.isfinite(losses))
    if len(bad_steps):
        log["diverged"] = {"epoch": log["epoch"][-1], "step": int(bad_steps[0]) + 1}
    elif None in leaves(record):  # it was the last step that went too far
        log["diverged"] = {"epoch": log["epoch"][-1], "step": len(losses)}
    if log["diverged"]:
        record = nested_map(lambda _: None, record)
    log["train_loss"].append(None if len(bad_steps) else float(losses.mean(dtype="float64")))
    log["val_loss"].append(record["val_loss"])
    log["val_accuracy"].append(record["val_accuracy"])
    for name, statistics in record["gradient_stats"].items():
        history = log["gradient_stats"].setdefault(name, {metric: [] for metric in statistics})
        for metric, value in statistics.items():
            history[metric].append(value)


def nested_map(function: Callable, tree):
    """Apply function to every leaf of nested dicts."""
    if isinstance(tree, dict):
        return {key: nested_map(function, value) for key, value in tree.items()}
    return function(tree)


def leaves(tree: dict) -> list:
    """Return the leaves of nested dicts, in order."""
    found: list = []
    nested_map(found.append, tree)
    return found


def to_host_together(tree: dict, runs: int) -> list[dict]:
    """Copy nested dicts of numbers (one per run) to the host in one go; return one tree per run.

    One copy instead of twenty, because each copy from a GPU waits for all work before it. Numbers
    that are not finite become None, which JSON can hold.
    """
    measured = leaves(tree)
    xp: ModuleType = array_module(measured[0])
    values = to_host(xp.stack([leaf.astype("float64") for leaf in measured])).reshape(-1, runs)

    def tree_of(k: int) -> dict:
        column = iter(values[:, k].tolist())
        return nested_map(lambda _: x if math.isfinite(x := next(column)) else None, tree)

    return [tree_of(k) for k in range(runs)]


def summarize(log: dict) -> dict:
    """Return the lab sheet's summary of a run, and what we add; None where there is no such number.

    Three of its measures:

        epoch_to_90pct_best         first epoch with 90 % of the best validation accuracy
        mean_gradient_early_layers  mean over the epochs of mean |gradient| of fc1 and fc2's weights
        training_stability_score    1 / (1 + variance of the training loss over the epochs)
    """
    config, accuracies, losses = log["config"], log["val_accuracy"], log["train_loss"]
    diverged = log["diverged"]
    measured = [a for a in accuracies if a is not None]
    best = max(measured, default=None)
    early = [
        value
        for name in ("fc1.weight", "fc2.weight")
        for value in log["gradient_stats"].get(name, {}).get("mean_abs", [])
        if value is not None
    ]
    return {
        "experiment_id": log["experiment_id"],
        **{key: config[key] for key in ("activation", "optimizer", "scheduler", "learning_rate")},
        "seed": config["seed"],
        "epochs": len(log["epoch"]),
        "diverged": diverged,
        "final_loss": losses[-1],
        "final_val_loss": log["val_loss"][-1],
        "best_val_accuracy": best,
        "best_epoch": None if best is None else accuracies.index(best) + 1,
        "epoch_to_90pct_best": None if best is None else
        next(e for e, a in enumerate(measured, start=1) if a >= 0.9 * best),
        "test_accuracy": log["test_accuracy"],
        "mean_gradient_early_layers": float(np.mean(early)) if early else None,
        "training_stability_score": None if diverged else float(1 / (1 + np.var(losses))),
        "avg_epoch_time": float(np.mean(log["epoch_time"])),
        "dataset": log["dataset"]["name"],
        "device": log["device"],
        "versions": log["versions"],
    }  # fmt: skip
