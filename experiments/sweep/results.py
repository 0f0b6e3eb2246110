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
from dataclasses import asdict
from pathlib import Path

from nnlite import ACTIVATIONS, Config, Dataset
from nnlite.backend import Device
from nnlite.files import write_text
from nnlite.training.diagnostics import BINS, MOST_WRONG
from nnlite.training.logs import identity, new_log, summarize
from nnlite.training.loop import PROBE_ROWS

LOG = "training_log.json"
CHECKPOINT = "checkpoint.npz"
SWEEP = "sweep.json"
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

    So nobody after this has to check: numbers are finite, None stands only where a run has
    diverged, and counts add up.
    """
    version = log["versions"]["nnlite"]
    if version.startswith("0.1."):
        raise ValueError(f"nnlite {version} made it, which measured less than is shown now")
    config, diverged = Config(**log["config"]), log["diverged"]
    if not config.run_id == log["experiment_id"] == folder:  # where its figures are drawn
        raise ValueError(f"it is of the run {log['experiment_id']!r:.99}")
    check_shape(log, shape_of_log(log, config), "log")

    epochs = len(log["epoch"])
    require(epochs == (diverged["epoch"] if diverged else config.epochs), "epoch")
    require(log["epoch"] == list(range(1, epochs + 1)), "epoch")
    require(not diverged or 1 <= diverged["step"] <= log["steps_per_epoch"], "diverged")
    validations = zip(log["val_confusion"], log["val_accuracy"])
    samples = {count_samples(*validation) for validation in validations if None not in validation}
    require(len(samples) <= 1, "val_confusion")

    widths = [*config.hidden, len(log["dataset"]["classes"])]
    require(widths[-1] > 0, "classes")
    for histograms in log["histograms"].values():
        for name, h in histograms.items():
            values = min(PROBE_ROWS, *samples) * widths[int(name.strip("fcat")) - 1]
            require(h["low"] < h["high"] and sum(h["counts"]) == values, f"{name}'s histogram")

    if not diverged:
        matrix, wrong = log["test_confusion"], log["most_wrong"]
        tested = count_samples(matrix, log["test_accuracy"])
        mistakes = tested - sum(row[i] for i, row in enumerate(matrix))
        probabilities = [1, *(w["probability"] for w in wrong), 0]
        images = [base64.b64decode(w["image"], validate=True) for w in wrong]
        require(
            len(wrong) == min(MOST_WRONG, mistakes) == len({w["row"] for w in wrong})
            and all(w["row"] < tested for w in wrong)
            and all(w["label"] != w["predicted"] for w in wrong)
            and all(matrix[w["label"]][w["predicted"]] > 0 for w in wrong)
            and probabilities == sorted(probabilities, reverse=True)
            and all(0 < len(image) == len(images[0]) for image in images),
            "most_wrong",
        )


def count_samples(confusion: list[list[int]], accuracy: float) -> int:
    """Return how many samples a confusion matrix counts; it has to agree with the accuracy."""
    N, correct = sum(map(sum, confusion)), sum(row[i] for i, row in enumerate(confusion))
    require(N > 0 and abs(accuracy - 100 * correct / N) < 1e-9, "a confusion matrix")
    return N


def require(fits: bool, what: str) -> None:
    if not fits:
        raise ValueError(f"{what} does not fit the rest")


def shape_of_log(log: dict, config: Config) -> dict:
    """Return a log as `train` makes it, but in place of each value a function that recognizes one.

    Read from `log` are its length, how many classes there are, and whether the run has diverged.
    """
    diverged, epochs, C = log["diverged"], len(log["epoch"]), len(log["dataset"]["classes"])
    linears = [f"fc{i + 1}" for i in range(len(config.hidden) + 1)]
    layers = [name for fc in linears for name in (fc, fc.replace("fc", "act"))][:-1]
    parameters = [f"{fc}.{kind}" for fc in linears for kind in ("weight", "bias")]
    of_activation = ["gradient_norm", "dead"]
    if ACTIVATIONS[config.activation].bounds:
        of_activation.append("saturated")
    metrics = {name: of_activation if "act" in name else ["gradient_norm"] for name in layers}

    def each_epoch(kind: object) -> list:
        return [kind] * (epochs - 1) + [nothing if diverged else kind]

    def gradient_stats(kind: object) -> dict:
        return {name: dict.fromkeys(GRADIENT_METRICS, kind) for name in parameters}

    def probe(kind: object) -> dict:
        return {name: dict.fromkeys(metrics[name], kind) for name in layers}

    def histograms(measured: bool) -> dict:
        one = {"low": number, "high": number, "counts": [count] * BINS}
        return dict.fromkeys(layers, one) if measured else {}

    confusion = [[count] * C] * C
    mistake = dict.fromkeys(("row", "label", "predicted"), count)
    mistake |= {"probability": number, "image": text}
    texts = dict.fromkeys(("name", "checksum", "source"), text)
    versions = ("nnlite", "python", "numpy", "cupy")[: 4 if "cupy" in log["versions"] else 3]
    in_the_end = nothing if diverged else number
    return {
        "experiment_id": text,
        "config": dict.fromkeys(asdict(config), anything) | {"learning_rate": decimal},
        "dataset": texts | {"classes": [text] * C, "note": text},
        "device": text,
        "versions": dict.fromkeys(versions, text),
        "stack": count,
        "steps_per_epoch": count,
        "initial": {"gradient_stats": gradient_stats(number), "probe": probe(number)},
        "diverged": {"epoch": count, "step": count} if diverged else nothing,
        "epoch": [count] * epochs,
        "train_loss": each_epoch(number)[:-1] + [number_or_nothing if diverged else number],
        "val_loss": each_epoch(number),
        "val_accuracy": each_epoch(number),
        "val_confusion": each_epoch(confusion),
        "learning_rate": [decimal] * epochs,
        "epoch_time": [number] * epochs,
        "gradient_stats": gradient_stats(each_epoch(number)),
        "update_ratio": dict.fromkeys(linears, each_epoch(number)),
        "probe": probe(each_epoch(number)),
        "histograms": {
            "first": histograms(not diverged or epochs > 1),
            "last": histograms(not diverged),
        },
        "test_loss": in_the_end,
        "test_accuracy": in_the_end,
        "test_confusion": nothing if diverged else confusion,
        "most_wrong": [] if diverged else [mistake] * len(log["most_wrong"]),
    }


def check_shape(value: object, shape: object, place: str) -> None:
    """Raise ValueError unless value is made like shape, and its functions accept the leaves.

    Dicts have the same keys in the same order (figures draw layers in that order), lists are
    equally long.
    """
    if isinstance(shape, dict):
        fits, parts = type(value) is dict and list(value) == list(shape), shape
    elif isinstance(shape, list):
        fits, parts = type(value) is list and len(value) == len(shape), range(len(shape))
    else:
        fits, parts = shape(value), ()
    if not fits:
        raise ValueError(f"{place} is {value!r:.60}")
    for part in parts:
        check_shape(value[part], shape[part], f"{place}/{part}")


def number(value: object) -> bool:
    """Can float32 numbers have this norm?"""
    return type(value) in (int, float) and abs(value) < 1e45


def decimal(value: object) -> bool:
    return type(value) is float and math.isfinite(value)


def count(value: object) -> bool:
    return type(value) is int and value >= 0


def text(value: object) -> bool:
    return isinstance(value, str) and value.encode(errors="replace").decode() == value


def nothing(value: object) -> bool:
    return value is None


def number_or_nothing(value: object) -> bool:
    return number(value) or nothing(value)


def anything(value: object) -> bool:
    return True


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
