"""The files of a sweep: OUT/<run id>/training_log.json and summary.json, and OUT/summary.csv.

Every file is written under a temporary name and then renamed, so that none is ever half-written.
"""

import csv
import io
import json
from pathlib import Path

from nnlite.files import write_text
from nnlite.logs import summarize

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


def load_logs(out: Path) -> list[dict]:
    """Return the logs of all runs saved in OUT, sorted by run id.

    Raises ValueError if OUT has none, or if one of them cannot be read.
    """
    logs = []
    for path in sorted(out.glob(f"*/{LOG}")):
        try:
            log = json.loads(path.read_text(encoding="utf-8"))
            log["experiment_id"], log["config"]["activation"], log["epoch"], log["gradient_stats"]
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise ValueError(
                f"{path} is not a readable training log ({type(error).__name__}: {error}): "
                "delete its folder, and run that cell again"
            ) from None
        logs.append(log)
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
