"""The files of a sweep: OUT/<run id>/training_log.json and summary.json, and OUT/summary.csv.

Every file is written under a temporary name and then renamed, so that none is ever half-written.
"""

import base64
import contextlib
import csv
import io
import itertools
import json
import math
import os
from pathlib import Path

from nnlite import Config, Dataset
from nnlite.backend import Device
from nnlite.diagnostics import BINS
from nnlite.files import write_text
from nnlite.logs import identity, leaves, nested_map, new_log, summarize

LOG = "training_log.json"
CHECKPOINT = "checkpoint.npz"
SWEEP = "sweep.json"
SERIES = ("train_loss", "val_loss", "val_accuracy", "epoch_time")
GRADIENT_METRICS = ("mean_abs", "std", "pct_zero", "norm")


def write_json(path: Path, content: dict) -> None:
    """Write standard JSON: a NaN is a mistake here, not a value."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def save_run(log: dict, out: Path) -> None:
    """Save a finished run under OUT/<run id>/."""
    same_run(log, out)  # another run that is there by now is moved aside
    folder = out / log["experiment_id"]
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "summary.json", summarize(log))
    write_json(folder / LOG, log)


def finished_log(config: Config, data: Dataset, device: Device, out: Path) -> dict | None:
    """Return the log of this very run if OUT has it, finished; otherwise None. See same_run."""
    return same_run(new_log(config, data, device, 1), out)


def same_run(wanted: dict, out: Path) -> dict | None:
    """Return the finished log in OUT of the run that `wanted` is of; None if there is none.

    It has to be equal in all that decides the outcome: configuration, dataset, nnlite's version.
    Another run in its place is moved aside, to <run id>.old1 or the next number that is free.
    """
    run_id = wanted["experiment_id"]
    folder = out / run_id
    if not (folder / LOG).exists():
        return None
    with contextlib.suppress(ValueError):
        log = read_log(folder / LOG)
        if identity(log) == identity(wanted):
            return log
    numbers = itertools.count(1)
    aside = next(p for n in numbers if not (p := out / f"{run_id}.old{n}").exists())
    os.replace(folder, aside)
    if (aside / CHECKPOINT).exists():  # of the run that is wanted, begun by --restart
        folder.mkdir()
        os.replace(aside / CHECKPOINT, folder / CHECKPOINT)
    print(f"{run_id}: another run (settings, data or version) is there; moved to {aside}")
    return None


def read_log(path: Path) -> dict:
    """Return a training log; ValueError if it cannot be read."""
    try:
        log = json.loads(path.read_text(encoding="utf-8"))
        check_log(log, path.parent.name)
        summarize(log)
        return log
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OSError) as error:
        raise ValueError(
            f"{path} is not a readable training log ({type(error).__name__}: {error!s:.200}): "
            "delete its folder, and run that cell again"
        ) from None


def check_log(log: dict, folder: str) -> None:
    """Raise some exception unless the log is complete, as `train` makes it, and of this folder.

    So nobody after this has to check: numbers are finite, and None only where a run has diverged.
    """
    if log["experiment_id"] != folder:  # figures are drawn into the folder of that name
        raise ValueError(f"it is of the run {log['experiment_id']!r:.99}")
    config, epochs, diverged = log["config"], log["epoch"], log["diverged"]
    classes = log["dataset"]["classes"]
    depth = len(config["hidden"]) + 1
    linears = [f"fc{i + 1}" for i in range(depth)]
    layers = [f"{kind}{i + 1}" for i in range(depth) for kind in ("fc", "act")][:-1]
    names = [f"{name}.{kind}" for name in linears for kind in ("weight", "bias")]
    gradients = {name: log["gradient_stats"][name] for name in names}
    probe = {name: log["probe"][name] for name in layers}
    series = [log[key] for key in SERIES] + [log["update_ratio"][name] for name in linears]
    series += [values[metric] for values in gradients.values() for metric in GRADIENT_METRICS]
    series += [values for name in layers for values in probe[name].values()]
    shapes = [nested_map(len, tree) for tree in (log["gradient_stats"], log["probe"])]

    integers = [config["seed"], config["epochs"], *config["hidden"], config["batch_size"]]
    integers += [log["steps_per_epoch"], *epochs]
    integers += [diverged["epoch"], diverged["step"]] if diverged else []
    ends = [log["test_loss"], log["test_accuracy"], *(values[-1] for values in series)]
    ends += leaves({key: log["initial"][key] for key in ("gradient_stats", "probe")})
    numbers = [value for values in series for value in values[:-1]]
    numbers += [value for value in ends if not (diverged and value is None)]
    rates = [config["learning_rate"], *log["learning_rate"]]
    texts = [config[key] for key in ("activation", "optimizer", "scheduler", "init")]
    texts += [log["dataset"][key] for key in ("name", "checksum", "source", "note")] + classes
    "".join([*texts, log["device"], *log["versions"].values()]).encode()  # raises if one is no text

    confusions = [*log["val_confusion"], log["test_confusion"]]
    confusions = [m for m in confusions if not (diverged and m is None)]
    integers += [count for matrix in confusions for row in matrix for count in row]
    counted = [h for end in ("first", "last") for h in log["histograms"][end].items()]
    integers += [count for _, h in counted for count in h["counts"]]
    numbers += [h[side] for _, h in counted for side in ("low", "high")]
    integers += [wrong[key] for wrong in log["most_wrong"] for key in ("row", "label", "predicted")]
    numbers += [wrong["probability"] for wrong in log["most_wrong"]]
    pixels = [base64.b64decode(wrong["image"], validate=True) for wrong in log["most_wrong"]]
    if not (
        all(type(value) is int for value in integers)
        and all(type(value) in (int, float) and abs(value) < 1e39 for value in numbers)  # float32
        and all(type(value) is float and math.isfinite(value) for value in rates)
        and all(len(values) == len(epochs) for values in (*series, rates[1:], log["val_confusion"]))
        and list(log["gradient_stats"]) == names
        and list(log["probe"]) == layers
        and shapes == [nested_map(lambda _: len(epochs), tree) for tree in shapes]
        and nested_map(lambda _: 0, log["initial"])
        == {key: nested_map(lambda _: 0, log[key]) for key in ("gradient_stats", "probe")}
        and all(len(m) == len(classes) == len(row) for m in confusions for row in m)
        and all(name in layers and len(h["counts"]) == BINS for name, h in counted)
        and all(h["low"] < h["high"] for _, h in counted)
        and all(0 <= w[k] < len(classes) for w in log["most_wrong"] for k in ("label", "predicted"))
        and all(0 <= w["probability"] <= 1 for w in log["most_wrong"])
        and all(len(image) == len(pixels[0]) for image in pixels)
        and epochs == list(range(1, len(epochs) + 1))
        and len(epochs) == (diverged["epoch"] if diverged else config["epochs"])
    ):
        raise ValueError("a number is missing, or something else is in its place")


def load_logs(out: Path) -> list[dict]:
    """Return the logs of all runs saved in OUT, sorted by run id.

    Raises ValueError if OUT has none, or if one of them cannot be read.
    """
    paths = sorted(out.glob(f"*/{LOG}"))
    logs = [read_log(path) for path in paths if not path.parent.suffix.startswith(".old")]
    if not logs:
        raise ValueError(f"{out} holds no runs (no */{LOG}): run the experiment there first")
    return logs


def read_sweep(out: Path) -> dict:
    """Return OUT/sweep.json, what the latest command there was, and which runs it made.

    Without such a file it says nothing. Raises ValueError if it is damaged.
    """
    path = out / SWEEP
    if not path.exists():
        return {"study": None, "command": "", "tune_seeds": [], "runs": []}
    try:
        sweep = json.loads(path.read_text(encoding="utf-8"))
        texts = [sweep["study"] or "", sweep["command"], *sweep["runs"]]
        "".join(texts).encode()  # raises if one is no text
        if not all(type(seed) is int for seed in sweep["tune_seeds"]):
            raise ValueError("tune_seeds")
    except (ValueError, LookupError, TypeError, RecursionError, OSError) as error:
        raise ValueError(
            f"{path} cannot be read ({type(error).__name__}: {error!s:.200}): delete it"
        ) from None
    return sweep


def write_summary_csv(logs: list[dict], out: Path) -> None:
    """Write OUT/summary.csv, one row a run."""
    rows = [summarize(log) for log in logs]
    for row in rows:
        if row["diverged"]:
            row["diverged"] = "epoch {epoch} step {step}".format(**row["diverged"])
        row["versions"] = " ".join(f"{name} {number}" for name, number in row["versions"].items())
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(out / "summary.csv", text.getvalue())
