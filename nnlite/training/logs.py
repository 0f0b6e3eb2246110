"""The log of a run: what is recorded, epoch by epoch, and the summary in the end.

A log is made of dicts, lists, numbers and texts only, so that it can be saved as JSON. What could
not be measured, as the network diverged, is None.
"""

import hashlib
import json
import math
import platform
from collections.abc import Callable
from dataclasses import asdict
from types import ModuleType

import numpy as np

from .. import __version__
from ..backend import Device, array_module, to_host
from ..datasets import Dataset
from .config import Config, hidden_name


def new_log(config: Config, data: Dataset, device: Device, stack: int) -> dict:
    """Return the log of a run that has not begun: the lab sheet's keys, and what we add."""
    versions = {"nnlite": __version__, "python": platform.python_version(), "numpy": np.__version__}
    if device.xp is not np:
        versions["cupy"] = device.xp.__version__
    dataset = {"name": data.name, "checksum": data.checksum, "source": data.source}
    dataset["classes"] = list(data.classes)
    return {
        "experiment_id": config.run_id,
        "config": {**asdict(config), "hidden": list(config.hidden)},
        "dataset": {**dataset, "note": data.note},
        "device": device.description,
        "versions": versions,
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


def content_hash(log: dict) -> str:
    """Return the SHA-256 over all of a log but its "sha256"."""
    content = {key: value for key, value in log.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(content, allow_nan=False).encode()).hexdigest()


def seal(log: dict) -> None:
    """Write the SHA-256 of a finished log into it, so that any later change is noticed."""
    log["sha256"] = content_hash(log)


def verify(log: dict) -> None:
    """Raise ValueError unless the log is as it was when it was sealed."""
    if not isinstance(log, dict) or "versions" not in log:
        raise ValueError("it is not a log")
    if "sha256" not in log:
        raise ValueError(f"nnlite {log['versions']['nnlite']} made it, which sealed no logs")
    if content_hash(log) != log["sha256"]:
        raise ValueError("it was changed after its training had finished")


def identity(log: dict) -> dict:
    """Return what decides the outcome of a run: two runs with the same identity are the same."""
    dataset = {key: log["dataset"][key] for key in ("name", "checksum")}
    return {"config": log["config"], "dataset": dataset, "nnlite": log["versions"]["nnlite"]}


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
    append(log, record)


def append(history: dict, record: dict) -> None:
    """Append each number of nested dicts to the list of its name in dicts nested alike."""
    for name, value in record.items():
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


def to_host_together(tree: dict, runs: int) -> list[dict]:
    """Copy nested dicts of numbers and of matrices of counts to the host; return one tree per run.

    In one copy instead of fifty, because each copy from a GPU waits for all work before it. Numbers
    that are not finite become None, which JSON can hold.
    """
    measured = leaves(tree)
    xp: ModuleType = array_module(measured[0])
    columns = [leaf.reshape(runs, -1).astype("float64") for leaf in measured]
    values = to_host(xp.concatenate(columns, axis=1))

    def tree_of(k: int) -> dict:
        row = iter(values[k])  # nested_map meets the leaves in the order in which they were joined

        def take(leaf):
            shape = leaf.shape if runs == 1 else leaf.shape[1:]
            if not shape:
                number = next(row)
                return float(number) if math.isfinite(number) else None
            return np.reshape([int(next(row)) for _ in range(math.prod(shape))], shape).tolist()

        return nested_map(take, tree)

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
        **{key: config[key] for key in ("batch_size", "init")},
        "hidden": hidden_name(config["hidden"]),
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
