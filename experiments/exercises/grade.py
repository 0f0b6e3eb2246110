"""A table of a whole class: each submission checked on its own, on a copy of its files."""

import json
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

import check
from blanks import chosen


def table(folders: list[Path], only: list[str], as_json: bool) -> str:
    """Return a row for each submission, as text or as JSON with all that check.py says.

    The library, the probes and the limits are those of this lab, not of the submission: of that
    only the modules with exercises are used. Raises ValueError for an unknown name, and for a
    folder without nnlite.
    """
    chosen(only)  # raises
    for folder in folders:
        if not (folder / "nnlite").is_dir():
            raise ValueError(f"there is no folder nnlite in {folder}")
    found = {str(folder): graded(folder, only) for folder in folders}
    if as_json:
        return json.dumps(found, indent=1)
    lines = []
    for name, results in found.items():
        parts = [f"{sum(r['status'] == 'right' for r in results)} of {len(results)} right"]
        for status in ("wrong", "to do"):
            own = [r for r in results if r["status"] == status]
            named = [r["exercise"] + (f" ({r['mistake']})" if "mistake" in r else "") for r in own]
            parts += [f"{status}: {', '.join(named)}"] if named else []
        lines.append(f"{name:<{max(map(len, found))}}  {'; '.join(parts)}")
    if not find_spec("resource"):
        lines.append("This system has no limits for memory: a submission may have used all of it.")
    return "\n".join(lines)


def graded(folder: Path, only: list[str]) -> list[dict[str, str]]:
    """Return what check.py says of a submission. It works on a copy, and deletes at most that."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as copy:
        (Path(copy) / "nnlite").mkdir()
        for module in {e.module for e in chosen(only)}:
            path = folder / "nnlite" / f"{module}.py"
            if path.is_file():
                shutil.copy(path, Path(copy) / "nnlite")
        return check.results(Path(copy), only, subprocess.DEVNULL)
