"""A table of a whole class: each submission checked on its own, on a copy of its files."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import check
from blanks import chosen


def table(folders: list[Path], only: list[str], as_json: bool) -> str:
    """Return a row for each submission, as text or as JSON with all that check.py says.

    The library, the probes and the limits are those of this lab, not of the submission: of that
    only the modules with exercises are used. Raises ValueError if there is no nnlite in a folder.
    """
    exercises = chosen(only)
    for folder in folders:
        if not (folder / "nnlite").is_dir():
            raise ValueError(f"there is no folder nnlite in {folder}")
    found = {str(folder): graded(folder, only) for folder in folders}
    if as_json:
        return json.dumps(found, indent=1)
    width = max(map(len, found))
    lines = [f"{k:>2} {e.name}" for k, e in enumerate(exercises, start=1)] + [""]
    lines.append(
        " " * width + "".join(f" {k:>2}" for k in range(1, len(exercises) + 1)) + "  right"
    )
    for name, results in found.items():
        marks = "".join(f"  {r['status'][0].replace('t', '.')}" for r in results)
        right = sum(r["status"] == "right" for r in results)
        lines.append(f"{name:<{width}}{marks}  {right:>2} of {len(results)}")
    return "\n".join([*lines, "", "r right, w wrong, . to do"])


def graded(folder: Path, only: list[str]) -> list[dict[str, str]]:
    """Return what check.py says of a submission. It works on a copy, and deletes at most that."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as copy:
        (Path(copy) / "nnlite").mkdir()
        for module in {e.module for e in chosen(only)}:
            path = folder / "nnlite" / f"{module}.py"
            if path.is_file():
                shutil.copy(path, Path(copy) / "nnlite")
        return check.results(Path(copy), only, subprocess.DEVNULL)
