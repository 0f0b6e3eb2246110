"""Exercises: write backpropagation yourself, or hunt a mistake.

    python experiments/exercises new DIR                 nnlite with holes, and a check of its own
    python experiments/exercises new DIR --only linear   with these holes only
    python experiments/exercises bug DIR                 a copy of the lab with ONE mistake in it
    python experiments/exercises reveal DIR              which one it is
    python experiments/exercises grade DIR ...           a table of a whole class

`grade` runs what others wrote: each submission in a process of its own, on a copy of its files, and
with limits for time and memory. This is no sandbox: a submission can read and delete whatever you
can, and use the network. Grade strangers' work in a container, or as a user who owns nothing.
"""

import argparse
import base64
import os
import random
import shutil
import sys
import textwrap
import zipfile
import zlib
from pathlib import Path

from blanks import EXERCISES, chosen, cut
from mistakes import MISTAKES

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OTHER = shutil.ignore_patterns("__pycache__", ".*", "results", "reference", "exercises")
SECRET = ".which"  # in a hunted copy
RUN = (
    "python experiments/exp3.py --dataset digits --epochs 5 --seed 42 "
    "--activation relu leaky_relu tanh --optimizer sgd sgd_momentum rmsprop adam adamw"
)
MINE = """# Write backpropagation yourself

nnlite is here with holes: search its files for TO DO. Begin with {first}, in nnlite/{module}.py.
Each hole says what to write, and the docstring above it has the formula.

    python check.py --watch    check again whenever you save a file
    python check.py --hint 1   where an answer differs, and no more
    python check.py --hint 2   also how it differs
    python check.py --help     all that it can do

Without --hint it says as much as it can (3): also the name of a known mistake, and a hint.

check.py gives your code one network, (N, D). `python -m nnlite.gradcheck` also gives it stacks of
networks, (..., N, D): there, `x.T` and `axis=0` fail, although check.py calls them right.

To reveal an answer, open answers.zip: it holds nnlite without holes.
"""
HUNT = """# Find the mistake

One mistake of level {level} is somewhere in nnlite/. Start with

    python -m nnlite.gradcheck

which checks every `backward` against finite differences. It knows no optimizers, no schedules and
no data. What the level means:

1. A `backward` is wrong. The gradient check fails.
2. A `forward` is wrong, or the network. The gradient check fails too.
3. The gradient check sees nothing. Use the curves, and work steps out by hand.

This runs most of what may be wrong:

    {run}

Run the same in the original lab, and compare the two reports. To run the rest, add
`--scheduler step cosine` or `--init uniform he`, or name other activations.

You may read tests/library: it says what each part must do. Running it gives the answer away.

To reveal the mistake, from the folder of the original lab, with the path of this folder for DIR:

    python experiments/exercises reveal DIR
"""


def new(folder: Path, only: list[str]) -> str:
    """Write a student's folder: nnlite with holes, check.py, and the answers in an archive."""
    exercises = chosen(only)
    shutil.copytree(ROOT / "nnlite", folder / "nnlite", ignore=OTHER)
    shutil.copy(HERE / "check.py", folder)
    with zipfile.ZipFile(folder / "answers.zip", "w", zipfile.ZIP_DEFLATED) as answers:
        for path in (folder / "nnlite").rglob("*.py"):
            answers.write(path, path.relative_to(folder))
        for name in ("blanks.py", "mistakes.py", "probes.py"):
            answers.write(HERE / name, name)
        answers.writestr("exercises.txt", " ".join(e.name for e in exercises))
    for module in {e.module for e in exercises}:
        path = folder / "nnlite" / f"{module}.py"
        own = [e for e in exercises if e.module == module]
        path.write_text(cut(path.read_text("utf-8"), own), "utf-8")
    first = exercises[0]
    readme = MINE.format(first=first.name, module=first.module)
    (folder / "README.md").write_text(readme, "utf-8")
    return (
        f"{folder / 'nnlite'} has {len(exercises)} exercises to write: look for TO DO. "
        f"The first is {first.name}, in {first.module}.py.\n\n"
        f"    cd {folder}\n    python check.py --watch    which are right, and why one is wrong\n\n"
        "README.md there says more."
    )


def bug(folder: Path, seed: int | None, level: int) -> str:
    """Copy the lab with one mistake of that level in it."""
    mistake = random.Random(seed).choice([m for m in MISTAKES if m.level == level])
    copy_lab(folder)
    path = folder / "nnlite" / f"{mistake.module}.py"
    right = path.read_text("utf-8")
    wrong = mistake.plant(right)
    path.write_text(wrong, "utf-8")
    line = os.path.commonprefix([right, wrong]).count("\n") + 1
    place = f"nnlite/{mistake.module}.py, line {line}, in {mistake.function}"
    right, here = (textwrap.indent(text, "    ") for text in (mistake.old, mistake.new))
    told = f"{mistake.name}\n{place}\n\nright:\n{right}\nhere:\n{here}\n\n{mistake.hint}"
    (folder / "README.md").write_text(HUNT.format(level=level, run=RUN), "utf-8")
    (folder / SECRET).write_bytes(base64.b64encode(zlib.compress(told.encode())))
    return (
        f"One mistake of level {level} is in the copy of the lab in {folder}. To find it:\n\n"
        f"    cd {folder}\n    python -m nnlite.gradcheck\n    {RUN}\n\n"
        "Run the last command here too, in the original, and compare. See also README.md there.\n\n"
        f"    python experiments/exercises reveal {folder}    tells which mistake it is"
    )


def copy_lab(folder: Path) -> None:
    """Copy what a hunt needs: the library, the lab, and the library's tests."""
    for part in ("nnlite", "experiments", "tests/library"):
        shutil.copytree(ROOT / part, folder / part, ignore=OTHER)
    for path in [ROOT / "setup.cfg", *(ROOT / "tests").glob("*.py")]:
        if not path.name.startswith("test_"):
            shutil.copy(path, folder / path.relative_to(ROOT))


def reveal(folder: Path) -> str:
    """Tell which mistake is in a hunted copy."""
    try:
        return zlib.decompress(base64.b64decode((folder / SECRET).read_bytes())).decode()
    except (OSError, ValueError, zlib.error):
        raise ValueError(f"{folder} is no folder that `bug` has made") from None


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="exercises", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    known = f"of {', '.join(e.name for e in EXERCISES)}; linear means both of its kind"
    for name in ("new", "bug", "reveal", "grade"):
        command = commands.add_parser(name)
        many = "+" if name == "grade" else 1
        command.add_argument("folders", type=Path, metavar="DIR", nargs=many)
        if name in ("new", "grade"):
            command.add_argument("--only", nargs="+", default=[], metavar="NAME", help=known)
        if name == "bug":
            command.add_argument("--seed", type=int, help="the same seed plants the same mistake")
            levels = "1 and 2 show in gradcheck, 3 does not (default: 1)"
            command.add_argument("--level", type=int, choices=(1, 2, 3), default=1, help=levels)
        if name == "grade":
            command.add_argument("--json", action="store_true", help="all that check.py says")
    options = parser.parse_args(argv)
    folder = options.folders[0]
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
            from grade import table  # here, because it imports NumPy and nnlite

            print(table(options.folders, options.only, options.json))
    except (ValueError, OSError) as error:
        parser.exit(2, f"exercises: error: {error}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
