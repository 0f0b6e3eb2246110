"""Exercises: write backpropagation yourself, or hunt a mistake.

    python experiments/exercises new DIR [--only NAME ...]   nnlite with holes, and check.py
    python experiments/exercises bug DIR [--level 1]         the lab with ONE mistake in it
    python experiments/exercises reveal DIR                  which one it was
    python experiments/exercises grade DIR ...               a table of a whole class

`grade` runs what others wrote, each submission in a process of its own and on a copy of its files,
with limits for time and memory. It is no sandbox: a submission can read and delete whatever you
can, and use the network. Grade strangers' work in a container, or as a user who owns nothing.
"""

import argparse
import base64
import json
import os
import random
import shutil
import sys
import zipfile
import zlib
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent), str(ROOT)]  # with -P Python does not add its folder

from blanks import EXERCISES, chosen, cut  # noqa: E402
from mistakes import MISTAKES  # noqa: E402

SECRET = ".which"
HIDDEN = shutil.ignore_patterns("__pycache__", ".*", "results", "reference", "exercises", "test_*")
HUNT = """One mistake is in {folder}. To find it, go there, and compare, draw and test:

    python -m nnlite.gradcheck
    python experiments/exp3.py --dataset digits --epochs 5
    python -m pytest -x tests/library

When you have found it, or want to know: python experiments/exercises reveal {folder}"""


def new(folder: Path, only: list[str]) -> str:
    """Write the student's copy: nnlite with holes, check.py, and the answers in an archive."""
    exercises = chosen(only)
    shutil.copytree(ROOT / "nnlite", folder / "nnlite", ignore=HIDDEN)
    shutil.copy(HERE / "check.py", folder)
    with zipfile.ZipFile(folder / "answers.zip", "w", zipfile.ZIP_DEFLATED) as answers:
        for path in (ROOT / "nnlite").rglob("*.py"):
            answers.write(path, path.relative_to(ROOT))
        for path in HERE.glob("[bmp]*.py"):  # blanks, mistakes, probes
            answers.write(path, path.name)
        answers.writestr("exercises.txt", " ".join(e.name for e in exercises))
    for module in dict.fromkeys(e.module for e in exercises):
        path = folder / "nnlite" / f"{module}.py"
        own = [e for e in exercises if e.module == module]
        path.write_text(cut(path.read_text("utf-8"), own), "utf-8")
    return (
        f"{len(exercises)} exercises are in {folder / 'nnlite'}: look for TO DO. The first is "
        f"{exercises[0].name}, in {exercises[0].module}.py.\n"
        f"cd {folder}; python check.py --watch   # tells which are right, and why one is wrong"
    )


def copy_lab(folder: Path) -> None:
    """Copy what a hunt needs: the library, its tests, and the lab."""
    for part in ("nnlite", "experiments", "tests/library"):
        shutil.copytree(ROOT / part, folder / part, ignore=None if "tests" in part else HIDDEN)
    for path in [*(ROOT / "tests").glob("*.py"), ROOT / "setup.cfg"]:
        if not path.name.startswith("test_"):
            shutil.copy(path, folder / path.relative_to(ROOT))


def bug(folder: Path, seed: int | None, level: int) -> str:
    """Copy the lab with one mistake of that level in it; which one is in a file that hides it."""
    mistake = random.Random(seed).choice([m for m in MISTAKES if m.level == level])
    copy_lab(folder)
    path = folder / "nnlite" / f"{mistake.module}.py"
    right = path.read_text("utf-8")
    wrong = mistake.plant(right)
    path.write_text(wrong, "utf-8")
    line = os.path.commonprefix([right, wrong]).count("\n") + 1
    told = [mistake.name, f"nnlite/{mistake.module}.py, line {line}, in {mistake.function}",
            mistake.old, mistake.new, mistake.hint]  # fmt: skip
    secret = base64.b64encode(zlib.compress(json.dumps(told).encode()))
    (folder / SECRET).write_bytes(secret)
    return HUNT.format(folder=folder)


def reveal(folder: Path) -> str:
    """Tell which mistake is in a hunted copy."""
    try:
        secret = zlib.decompress(base64.b64decode((folder / SECRET).read_bytes()))
        name, place, old, new, hint = json.loads(secret)
    except (OSError, ValueError, zlib.error):
        raise ValueError(f"{folder} is not a folder that `bug` has made") from None
    return f"{name}\n{place}\n\n  right:\n{old}\n\n  planted:\n{new}\n\n{hint}"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="exercises", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    only = {"nargs": "+", "default": [], "metavar": "NAME",
            "help": f"of {', '.join(e.name for e in EXERCISES)}; linear means both"}  # fmt: skip
    for name in ("new", "bug", "reveal", "grade"):
        command = commands.add_parser(name)
        command.add_argument("folder", type=Path, metavar="DIR", nargs="+" if name == "grade" else 1)
        if name in ("new", "grade"):
            command.add_argument("--only", **only)
    commands.choices["bug"].add_argument("--seed", type=int, help="always the same mistake")
    commands.choices["bug"].add_argument("--level", type=int, choices=(1, 2, 3), default=1,
                                         help="gradcheck shows 1 and 2, but not 3")  # fmt: skip
    commands.choices["grade"].add_argument("--json", action="store_true", help="all results as JSON")
    options = parser.parse_args(argv)
    (folder, *_) = folders = options.folder
    try:
        if options.command in ("new", "bug") and folder.exists():
            raise ValueError(f"{folder} exists already: name a new folder")
        if options.command == "new":
            print(new(folder, options.only))
        elif options.command == "bug":
            print(bug(folder, options.seed, options.level))
        elif options.command == "reveal":
            print(reveal(folder))
        else:
            from grade import table  # here, because it imports NumPy

            print(table(folders, options.only, options.json))
    except (ValueError, OSError) as error:
        parser.exit(2, f"exercises: error: {error}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
