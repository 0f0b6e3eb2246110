"""The log of a run: what is recorded epoch by epoch, its summary, and its checksum.

A log consists of dicts, lists, numbers and texts only, so it can be saved as JSON. E is the number
of epochs that were run, C the number of classes. What could not be measured because the network
diverged is None. Accuracies and shares are in percent, losses in nats (natural logarithms).

    experiment_id     name of the run, see Config.run_id
    config            its Config: activation, optimizer, learning_rate, scheduler, seed, epochs,
                      batch_size, init, hidden
    dataset           name, checksum (MD5), source, the names of the classes, what was done to the
                      pixels, and a note, which is "" unless something is wrong or doubtful
    device            what computed it
    versions          of nnlite, its code (a hash, see identity.code_hash), python, numpy, and of
                      what decides the rounding: on the CPU blas and simd, which kernels NumPy's
                      BLAS and NumPy itself use on this processor, on a GPU cupy; and of numba,
                      where the device is numba (it does not change the numbers)
    stack             how many runs were trained side by side, this one included
    steps_per_epoch   optimizer steps in an epoch
    initial           before the first step: gradient_stats and probe as below, but each measure is
                      one number; both on the probe images
    diverged          {"epoch", "step"}, counted from 1, of the first loss that was not finite, else
                      None; if the losses are finite but what is measured after the epoch is not,
                      the step is the epoch's last
    epoch             [1, ..., E]
    train_loss        [E] mean loss of the epoch's batches, each measured before its step
    val_loss          [E] mean loss on the validation images
    val_accuracy      [E] accuracy on them
    val_confusion     [E][C][C] how many images of class i (row) were taken for class j (column)
    learning_rate     [E] the rate used in the epoch
    epoch_time        [E] seconds; for a stack the time of all divided by the number of runs
    gradient_stats    {"fc1.weight": {measure: [E]}, ...} of the gradient of each parameter on one
                      more training batch, see diagnostics.gradient_statistics
    update_ratio      {"fc1": [E], ...} how far the epoch's last step moved each weight, relative to
                      its size, see diagnostics.update_ratios
    probe             {"fc1": {measure: [E]}, "act1": ...} of each layer on up to 1000 validation
                      images, always the same, see diagnostics.probe_statistics
    histograms        {"first": {"fc1": {"low", "high", "counts"}, ...}, "last": ...} after the
                      first and the last epoch, on the probe images; {} if there is none
    test_loss, test_accuracy, test_confusion    as for validation, once, after the last epoch
    most_wrong        up to 16 test images, see diagnostics.most_wrong
    sha256            checksum of all the above, once the run is finished, see `seal`
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict
from types import ModuleType

import numpy as np

from ..backend import Device, array_module, to_host
from ..datasets import Dataset
from .config import Config, hidden_name
from .identity import code_hash, difference, identity, versions

__all__ = [
    "append", "append_epoch", "checksum", "code_hash", "difference", "identity", "leaves", "like",
    "nested_map", "new_log", "seal", "summarize", "to_host_together", "verify", "versions",
]  # fmt: skip


def new_log(config: Config, data: Dataset, device: Device, stack: int) -> dict:
    """Return the log of a run that has not begun, with all its keys but sha256."""
    dataset = {"name": data.name, "checksum": data.checksum, "source": data.source}
    dataset["classes"] = list(data.classes)
    return {
        "experiment_id": config.run_id,
        "config": {**asdict(config), "hidden": list(config.hidden)},
        "dataset": {**dataset, "pixels": data.pixels, "note": data.note},
        "device": device.description,
        "versions": versions(device),
        "stack": stack,
        "steps_per_epoch": None,
        "initial": {},
        "diverged": None,
        "epoch": [],
        "train_loss": [],
        "val_loss": [],
        "val_accuracy": [],
        "val_confusion": [],
        "learning_rate": [],
        "epoch_time": [],
        "gradient_stats": {},
        "update_ratio": {},
        "probe": {},
        "histograms": {"first": {}, "last": {}},
        "test_loss": None,
        "test_accuracy": None,
        "test_confusion": None,
        "most_wrong": [],
    }


# Growing


def append_epoch(
    log: dict,
    learning_rate: float,
    losses: np.ndarray,
    measured: dict,
    histograms: dict,
    seconds: float,
) -> None:
    """Add one epoch to a run's log, or mark it as diverged if a loss or measure is not finite.

    losses are those of the epoch's batches; measured is what is appended under its own names;
    histograms may have the keys "first" and "last".
    """
    log["epoch"].append(len(log["epoch"]) + 1)
    log["learning_rate"].append(learning_rate)
    log["epoch_time"].append(seconds)
    bad_steps = np.flatnonzero(~np.isfinite(losses))
    if len(bad_steps):
        log["diverged"] = {"epoch": log["epoch"][-1], "step": int(bad_steps[0]) + 1}
    elif None in leaves(measured):  # it was the last step that went too far
        log["diverged"] = {"epoch": log["epoch"][-1], "step": len(losses)}
    if log["diverged"]:
        measured, histograms = nested_map(lambda _: None, measured), {}
    log["train_loss"].append(None if len(bad_steps) else float(losses.mean(dtype="float64")))
    append(log, measured)
    log["histograms"] |= histograms


def append(history: dict, measured: dict) -> None:
    """Append each leaf of nested dicts to a list in the same place of `history`."""
    for name, value in measured.items():
        if isinstance(value, dict):
            append(history.setdefault(name, {}), value)
        else:
            history.setdefault(name, []).append(value)


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


def like(tree: dict, values: Iterable) -> dict:
    """Return nested dicts like `tree` with these values as leaves, in order."""
    values = iter(values)
    return nested_map(lambda _: next(values), tree)


def to_host_together(tree: dict, runs: int) -> list[dict]:
    """Copy nested dicts of numbers and of matrices of counts to the host; return one for each run.

    One copy instead of fifty, because each copy from a GPU waits for it. Numbers that are not
    finite become None, which JSON can hold.
    """
    arrays = leaves(tree)
    xp: ModuleType = array_module(arrays[0])
    columns = [array.reshape(runs, -1).astype("float64") for array in arrays]
    table = to_host(xp.concatenate(columns, axis=1))  # one row for each run
    ends = np.cumsum([column.shape[1] for column in columns])
    shapes = [array.shape if runs == 1 else array.shape[1:] for array in arrays]

    def python_values(row: np.ndarray) -> list:
        """Numbers as float or None, matrices as lists of lists of int."""
        parts = zip(np.split(row, ends[:-1]), shapes)
        return [
            part.reshape(shape).astype(int).tolist() if shape
            else float(part[0]) if math.isfinite(part[0]) else None
            for part, shape in parts
        ]  # fmt: skip

    return [like(tree, python_values(row)) for row in table]


# The summary


def summarize(log: dict) -> dict:
    """Return the original sheet's summary of a run, and more; None where there is no such number.

    Three of its measures:

        epoch_to_90pct_best         first epoch with 90 % of the best validation accuracy
        mean_gradient_early_layers  mean over the epochs of mean |gradient| of fc1 and fc2's weights
        training_stability_score    1 / (1 + variance of the training loss over the epochs)
    """
    config, accuracies, losses = log["config"], log["val_accuracy"], log["train_loss"]
    diverged = log["diverged"]
    measured = [a for a in accuracies if a is not None]
    best = max(measured, default=None)
    best_epoch = to_90pct = None
    if best is not None:
        best_epoch = accuracies.index(best) + 1
        to_90pct = next(epoch for epoch, a in enumerate(measured, start=1) if a >= 0.9 * best)
    early = [
        value
        for name in ("fc1.weight", "fc2.weight")
        for value in log["gradient_stats"].get(name, {}).get("mean_abs", [])
        if value is not None
    ]
    return {
        "experiment_id": log["experiment_id"],
        **{key: config[key] for key in ("activation", "optimizer", "scheduler", "learning_rate")},
        **{key: config[key] for key in ("batch_size", "init")},
        "hidden": hidden_name(config["hidden"]),
        "seed": config["seed"],
        "epochs": len(log["epoch"]),
        "diverged": diverged,
        "final_loss": losses[-1],
        "final_val_loss": log["val_loss"][-1],
        "best_val_accuracy": best,
        "best_epoch": best_epoch,
        "epoch_to_90pct_best": to_90pct,
        "test_accuracy": log["test_accuracy"],
        "mean_gradient_early_layers": float(np.mean(early)) if early else None,
        "training_stability_score": None if diverged else float(1 / (1 + np.var(losses))),
        "avg_epoch_time": float(np.mean(log["epoch_time"])),
        "dataset": log["dataset"]["name"],
        "device": log["device"],
        "versions": log["versions"],
    }


# The checksum


def seal(log: dict) -> None:
    """Set log["sha256"], the checksum of everything else in the log, in its order.

    Raises ValueError if the log holds a number that is not finite.
    """
    log["sha256"] = checksum(log)


def verify(log: dict) -> None:
    """Raise ValueError unless the log is as `seal` left it, a round trip through JSON apart."""
    if not isinstance(log, dict) or not isinstance(log.get("versions"), dict):
        raise ValueError("this is not the log of a training")
    if "sha256" not in log:
        version = str(log["versions"].get("nnlite"))
        if version.startswith(("0.0.", "0.1.", "0.2.")):
            raise ValueError(f"nnlite {version:.20} made it, which gave its logs no checksum yet")
        raise ValueError("it has no checksum (sha256), so its training was not finished")
    try:
        fits = log["sha256"] == checksum(log)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"it holds what no log can hold ({error!s:.100})") from None
    if not fits:
        raise ValueError("its content does not match its checksum (sha256): it has been changed")


def checksum(log: dict) -> str:
    """Return the SHA-256 of the log without its sha256, in hex."""
    content = {key: value for key, value in log.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(content, allow_nan=False).encode()).hexdigest()
