"""The files of a sweep: OUT/<run id>/training_log.json and summary.json, and OUT/summary.csv.

Every file is written under a temporary name and then renamed, so that none is ever half-written.
"""

import contextlib
import csv
import io
import itertools
import json
import os
from pathlib import Path

from nnlite import Config, Dataset
from nnlite.backend import Device
from nnlite.files import write_text
from nnlite.logs import identity, new_log, summarize

LOG = "training_log.json"


def write_json(path: Path, content: dict) -> None:
    """Write standard JSON: a NaN is a mistake here, not a value."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def save_run(log: dict, out: Path) -> None:
    """Save a finished run under OUT/<run id>/."""
    folder = out / log["experiment_id"]
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "summary.json", summarize(log))
    write_json(folder / LOG, log)
    (folder / "checkpoint.npz").unlink(missing_ok=True)


def finished_log(config: Config, data: Dataset, device: Device, out: Path) -> dict | None:
    """Return the log of this very run if OUT has it, finished; otherwise None.

    "This very" is all that decides the outcome: configuration, dataset, nnlite's version. Another
    run in its place is moved aside, to <run id>.old1 or the next number that is free.
    """
    folder = out / config.run_id
    if not (folder / LOG).exists():
        return None
    with contextlib.suppress(ValueError):
        log = read_log(folder / LOG)
        if identity(log) == identity(new_log(config, data, device, 1)):
            return log
    numbers = itertools.count(1)
    aside = next(p for n in numbers if not (p := out / f"{config.run_id}.old{n}").exists())
    os.replace(folder, aside)
    print(f"{config.run_id}: another run (settings, data or version) is there; moved to {aside}")
    return None


def forget_checkpoint(config: Config, out: Path) -> None:
    """Remove what a run would go on from."""
    (out / config.run_id / "checkpoint.npz").unlink(missing_ok=True)


def read_log(path: Path) -> dict:
    """Return a training log; ValueError if it cannot be read."""
    try:
        log = json.loads(path.read_text(encoding="utf-8"))
        summarize(log)
        identity(log)
        return log
    except (ValueError, LookupError, TypeError, AttributeError, OSError) as error:
        raise ValueError(
            f"{path} is not a readable training log ({type(error).__name__}: {error}): "
            "delete its folder, and run that cell again"
        ) from None


def load_logs(out: Path) -> list[dict]:
    """Return the logs of all runs saved in OUT, sorted by run id.

    Raises ValueError if OUT has none, or if one of them cannot be read.
    """
    paths = sorted(out.glob(f"*/{LOG}"))
    logs = [read_log(path) for path in paths if not path.parent.suffix.startswith(".old")]
    if not logs:
        raise ValueError(f"{out} holds no runs (no */{LOG}): run the experiment there first")
    return logs


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
