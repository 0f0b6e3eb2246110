"""What a sweep comes to, and its files.

    OUT/<run id>/training_log.json   all that was recorded of one run, sealed by a SHA-256
    OUT/<run id>/summary.json        the few numbers that sum it up
    OUT/<run id>/checkpoint.npz      a run that has not finished yet
    OUT/sweep.json                   the latest command in OUT, and the runs that it made
    OUT/summary.csv                  one row for each run in OUT

Every file is written under a temporary name and then renamed, so that none is ever half-written.
"""

import csv
import io
import itertools
import json
import os
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from nnlite import Config, Dataset
from nnlite.backend import Device
from nnlite.files import sync_folder, write_text
from nnlite.training.logs import difference, new_log, summarize, verify
from sweep.locks import alone
from words import plural

LOG = "training_log.json"
CHECKPOINT = "checkpoint.npz"
SWEEP = "sweep.json"
FORMULA = ("=", "+", "-", "@", "\t")  # text that begins so, a spreadsheet would compute


class Outcome(NamedTuple):
    """What training came to: the logs of finished runs, and why others have none."""

    logs: list[dict]
    missing: dict[str, str]  # run id -> reason
    interrupted: bool
    drawn: frozenset[str] = frozenset()  # ids of runs whose figures were drawn as they ended

    @property
    def complete(self) -> bool:
        """Has every run finished?"""
        return not (self.missing or self.interrupted)


# One run


def write_json(path: Path, content: dict) -> None:
    """Write standard JSON: a NaN is a mistake here, not a value."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def save_run(log: dict, out: Path) -> None:
    """Save a finished run under OUT/<run id>/; it is safe on the disk once this returns."""
    same_run(log, out)  # another run that is there by now is moved aside
    folder = out / log["experiment_id"]
    folder.mkdir(parents=True, exist_ok=True)
    sync_folder(out)
    write_json(folder / "summary.json", summarize(log))
    write_json(folder / LOG, log)


def finished_log(
    config: Config, data: Dataset, device: Device, out: Path, restart: bool = False
) -> dict | None:
    """Return the log of this very run if OUT has it, finished; otherwise None. See same_run."""
    return same_run(new_log(config, data, device, 1), out, restart)


def same_run(wanted: dict, out: Path, restart: bool = False) -> dict | None:
    """Return the finished log in OUT of the run that `wanted` is of; None if there is none.

    It has to be equal in all that decides the outcome: configuration, dataset, nnlite's code.
    Another run in its place is moved aside, to <run id>.old1 or the next number that is free;
    restart: even the same.
    """
    run_id = wanted["experiment_id"]
    folder = out / run_id

    def look() -> tuple[dict | None, str]:
        """Return the log that is there, and why it is not wanted, "" if it is."""
        if not (folder / LOG).exists():
            return None, ""
        if restart:
            return None, "from before --restart"
        try:
            log = read_log(folder / LOG)
            return log, difference(log, wanted)
        except ValueError:
            return None, "its log cannot be read"

    log, reason = look()
    if not reason:
        return log
    with alone(out / "moving"):
        log, reason = look()  # once more: another command may just have moved it
        if not reason:
            return log
        numbers = itertools.count(1)
        aside = next(p for n in numbers if not (p := out / f"{run_id}.old{n}").exists())
        os.replace(folder, aside)
    print(f"{run_id}: another run is there ({reason}); moved to {aside}")
    return None


def read_log(path: Path) -> dict:
    """Return a training log; ValueError unless it is as it was written, and of its folder's run."""
    try:
        log = json.loads(path.read_text(encoding="utf-8"))
        verify(log)
        if not Config(**log["config"]).run_id == log["experiment_id"] == path.parent.name:
            raise ValueError(f"it is of the run {log['experiment_id']!r:.99}")
        return log
    except (ValueError, LookupError, TypeError, RecursionError, OSError) as error:
        raise ValueError(
            f"{path} is not a readable training log ({error!s:.200}): "
            "move its folder elsewhere or delete it, and run the same command again"
        ) from None


# All runs in OUT


def log_paths(out: Path) -> list[Path]:
    """Return the logs' files in OUT, but not of runs that were moved aside."""
    paths = sorted(out.glob(f"*/{LOG}"))
    return [path for path in paths if not path.parent.suffix.startswith(".old")]


def check_folders(run_ids: set[str], out: Path) -> None:
    """Raise ValueError if a run's folder cannot be made, or OUT has other logs that are not read.

    An unreadable log of one of these runs is moved aside later.
    """
    for run_id in run_ids:
        folder = out / run_id
        try:
            # Of all names the longest: a temporary file of a run that is moved aside.
            (out / f"{run_id}.old99" / ".nnlite.01234567.tmp").lstat()
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            raise ValueError(
                f"no folder can be called {run_id:.60}... ({error.strerror}): "
                "give --hidden fewer layers, or layers of equal width"
            ) from None
        if folder.exists() and not (folder.is_dir() and os.access(folder, os.W_OK)):
            why = "is a folder that cannot be written" if folder.is_dir() else "is a file"
            raise ValueError(f"{folder} {why}, but a run's results belong there: move it elsewhere")
    for path in log_paths(out):
        if path.parent.name not in run_ids:
            read_log(path)


def load_logs(out: Path) -> list[dict]:
    """Return the logs of all runs saved in OUT, sorted by run id.

    Raises ValueError if OUT has none, or if one of them cannot be read.
    """
    logs = [read_log(path) for path in log_paths(out)]
    if not logs:
        raise ValueError(f"{out} holds no runs (no */{LOG}): run the experiment there first")
    return logs


def load(out: Path) -> tuple[list[dict], dict]:
    """Return the logs of the sweep in OUT, and the content of sweep.json.

    They are the logs of the runs that sweep.json names; all that are comparable if it names none.
    Raises ValueError as load_logs and read_sweep do.
    """
    logs, about = load_logs(out), read_sweep(out)
    named = [log for log in logs if log["experiment_id"] in about["runs"]]
    return comparable(named or logs), about


def comparable(logs: list[dict]) -> list[dict]:
    """Return the logs that share data, epochs and nnlite's code with the largest group of them.

    A directory may hold runs of several sweeps; digits must not be compared with fashion, nor a
    formula with what it was before somebody mended it.
    """

    def setting(log: dict) -> tuple:
        code = log["versions"].get("code")
        return log["dataset"]["checksum"], log["dataset"]["name"], log["config"]["epochs"], code

    groups = Counter(map(setting, logs)).most_common()
    for (_, name, epochs, _), count in groups[1:]:
        length = plural(epochs, "epoch")
        print(f"left out, as most have other data, epochs or code: {count} of {name}, {length}")
    return [log for log in logs if setting(log) == groups[0][0]]


def read_sweep(out: Path) -> dict:
    """Return OUT/sweep.json: {"study", "command", "tune_seeds", "runs"}.

    Without such a file it says nothing. Raises ValueError if it is damaged.
    """
    path = out / SWEEP
    if not path.exists():
        return {"study": None, "command": "", "tune_seeds": [], "runs": []}
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        runs, seeds = about["runs"], about["tune_seeds"]
        texts = [about["command"], *runs] + [about["study"]] * (about["study"] is not None)
        "".join(texts).encode()  # raises if one is no text
        if type(runs) is not list or type(seeds) is not list or {*map(type, seeds)} - {int}:
            raise ValueError("runs or tune_seeds")
    except (ValueError, LookupError, TypeError, RecursionError, OSError) as error:
        raise ValueError(
            f"{path} cannot be read ({type(error).__name__}: {error!s:.200}): delete it"
        ) from None
    return about


def write_summary_csv(out: Path) -> None:
    """Write OUT/summary.csv: a row for every run in OUT, even those of other commands."""
    rows = [summarize(log) for log in load_logs(out)]
    for row in rows:
        if row["diverged"]:
            row["diverged"] = "epoch {epoch} step {step}".format(**row["diverged"])
        row["versions"] = " ".join(f"{name} {number}" for name, number in row["versions"].items())
    write_text(out / "summary.csv", csv_text(rows))


def csv_text(rows: list[dict]) -> str:
    """Return rows, all with the same keys, as CSV with a header; None is empty."""

    def safe(value):
        if not isinstance(value, str):
            return value
        quote = "'" if value.startswith(FORMULA) else ""
        return quote + value.replace("\r", " ")  # which would end the row

    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: safe(value) for name, value in row.items()} for row in rows)
    return text.getvalue()
