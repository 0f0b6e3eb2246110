"""Check your own backpropagation: which exercises are right, and where and why one is wrong.

    python check.py                      all of them, in a good order to write them
    python check.py --only linear adam   some of them
    python check.py --watch              again whenever you save a file
    python check.py --hint 1             say less: only where it differs, or stops

Each exercise is checked with all other functions as the library has them, and with one network:
what is right here for (N, D) may still fail in `python -m nnlite.gradcheck`, which also checks
stacks of networks, (..., N, D). Behind each right number you read where it comes from: "the
formula" is the library's own function, "finite differences" is (L(x + h) - L(x - h)) / 2h, which
needs only `forward`.

answers.zip beside this file holds the library as it is, and the list of known mistakes: THE ANSWERS
ARE IN IT. Your code runs in a process of its own with limits for time and memory, but not in a
sandbox: like any program that you start, it can read and delete your files, and use the network.
"""

import argparse
import ast
import contextlib
import faulthandler
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
from importlib.resources import files
from pathlib import Path
from types import ModuleType

import numpy as np

# The library as it is: two folders up in the lab, in the archive in a student's folder.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().with_name("answers.zip")))

import nnlite
from blanks import EXERCISES, Exercise, chosen, places
from mistakes import MISTAKES
from probes import Seen, probe

HERE = Path(__file__).resolve().parent
SECONDS = 10  # for one exercise, which takes milliseconds
MEMORY = 2 << 30  # bytes of address space, where the system can limit it
TRAINING = """
import sys
sys.path.insert(0, sys.argv[1])
from nnlite import Config, train
from nnlite.datasets import load
config = Config("gelu", "adamw", scheduler="cosine", hidden=(64, 32), epochs=5)
print(train(config, load("digits"))[0]["test_accuracy"])
"""


# In a process of its own: grade the exercises


def work(folder: Path, names: list[str]) -> None:
    """Grade, and write each result as a line of JSON. What the code prints goes to stderr.

    If an exercise does not end in time, Python's faulthandler writes where it is, and ends all.
    """
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    with contextlib.suppress(ImportError, ValueError, OSError):  # some systems have no such limits
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (MEMORY >> 5, MEMORY >> 5))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for exercise in chosen(names):
        faulthandler.dump_traceback_later(SECONDS, exit=True, file=out)
        result = grade(exercise, folder)
        faulthandler.cancel_dump_traceback_later()
        print(json.dumps(result), file=out, flush=True)


def grade(exercise: Exercise, folder: Path) -> dict[str, str]:
    """Return the status of one exercise: right, to do, or wrong and then where and why."""
    name = f"nnlite/{exercise.module}.py"
    source = (files("nnlite") / f"{exercise.module}.py").read_text(encoding="utf-8")
    true = build(exercise.module, ast.parse(source), "the library")
    try:
        tree = ast.parse((folder / name).read_text(encoding="utf-8"), name)
        theirs, library = places(tree), places(ast.parse(source))
        for function in [f for e in EXERCISES if e.name != exercise.name for f in e.write]:
            if function in theirs and function in library:
                (body, k), (right, i) = theirs[function], library[function]
                body[k] = right[i]
        seen = look(exercise, build(exercise.module, tree, name), true)
    except (Exception, SystemExit) as error:  # not even the module can be read
        seen = [error]
    first = next((k for k, s in enumerate(seen) if not (isinstance(s, Seen) and is_right(s))), None)
    if first is None:
        return {"exercise": exercise.name, "status": "right"}
    if isinstance(seen[first], NotImplementedError):
        function = str(seen[first]).removesuffix(" is to do")
        what = f"{function}: {exercise.write.get(function, 'it is missing')}"
        return {"exercise": exercise.name, "status": "to do", "where": what}
    result = {"exercise": exercise.name, "status": "wrong"} | describe(seen[first], name)
    for mistake in MISTAKES:
        if mistake.module == exercise.module and mistake.function in exercise.write:
            tree = ast.parse(mistake.plant(source))
            if alike(seen, look(exercise, build(exercise.module, tree, "a mistake"), true), first):
                return result | {"mistake": mistake.name, "hint": mistake.hint}
    return result


def build(module: str, tree: ast.Module, path: str) -> ModuleType:
    """Return this module of nnlite, made from a syntax tree; what it imports is the library's."""
    made = ModuleType(f"nnlite.{module}")
    made.__package__, made.__file__ = "nnlite", path
    exec(compile(tree, path, "exec"), vars(made))
    return made


@np.errstate(all="ignore")
def look(exercise: Exercise, own: ModuleType, true: ModuleType) -> list[Seen | BaseException]:
    """Return all that there is to see, up to the exception that ended it, if there was one."""
    seen = []
    try:
        for s in probe(exercise.name, own, true):
            seen.append(s._replace(yours=numbers(s.yours), right=numbers(s.right)))
    except (Exception, SystemExit) as error:
        seen.append(error)
    return seen


def numbers(value) -> np.ndarray | str:
    """Return the value as a new array; if it is no array of numbers, say what it is."""
    with contextlib.suppress(Exception):
        if value is not None:
            array = np.array(value)
            return array if array.dtype == "float32" else array.astype("float64")
    return "nothing (None)" if value is None else f"a {type(value).__name__}"


def close(a: np.ndarray | str, b: np.ndarray | str) -> bool:
    """Are they the same, but for a millionth of the largest number? NaN is the same as NaN."""
    if isinstance(a, str) or isinstance(b, str):
        return isinstance(a, str) and isinstance(b, str) and a == b
    scale = np.max(np.abs(b), initial=1e-12, where=np.isfinite(b))
    same = a.shape == b.shape and a.dtype == b.dtype
    return same and np.allclose(a, b, rtol=0, atol=1e-6 * scale, equal_nan=True)


def is_right(seen: Seen) -> bool:
    return close(seen.yours, seen.right)


def alike(seen: list, wrong: list, first: int) -> bool:
    """Does a known mistake give what was seen, of the thing that differs first and before it?

    What else differs may be another mistake's, and so may be a later NaN or infinity. But if the
    thing that differs first is NaN, which says little, all must be alike.
    """

    def thing(s: Seen | BaseException) -> tuple:
        return s[:2] if isinstance(s, Seen) else (repr(s),)  # function and what

    def finite(s: Seen | BaseException) -> bool:
        number = s.yours if isinstance(s, Seen) else ""
        return isinstance(number, str) or bool(np.isfinite(number).all())

    every = not finite(seen[first])
    later = [
        k
        for k in range(first, len(seen))
        if every or (thing(seen[k]) == thing(seen[first]) and finite(seen[k]))
    ]
    both = [(seen[k], wrong[k]) for k in [*range(first), *later] if k < len(wrong)]
    return len(wrong) > first and all(
        thing(a) == thing(b) and (not isinstance(a, Seen) or close(a.yours, b.yours))
        for a, b in both
    )


def describe(seen: Seen | BaseException, name: str) -> dict[str, str]:
    """Return where it is wrong, the student's number, the right one, and what differs."""
    if not isinstance(seen, Seen):
        frames = [f for f in traceback.extract_tb(seen.__traceback__) if f.filename == name]
        line = frames[-1].lineno if frames else getattr(seen, "lineno", None)
        text = " ".join(str(getattr(seen, "msg", seen)).split())
        kind = f"{type(seen).__name__}: {text}" if text else type(seen).__name__
        return {"where": f"{name}, line {line}" if line else name, "kind": kind}
    yours, right = seen.yours, seen.right
    place = f"{seen.function}{seen.when and f', {seen.when}'}: {seen.what}"
    if seen.what in ("dweight", "dbias") and not isinstance(yours, str) and not yours.any():
        return {"where": place, "kind": f"self.{seen.what} was not written: it is 0 as before"}
    if isinstance(yours, str) or isinstance(right, str):
        shown = [
            v if isinstance(v, str) else f"an array of shape {v.shape}" for v in (yours, right)
        ]
        shown.append("the type")
    elif yours.shape != right.shape:
        shown = f"of shape {yours.shape}", f"of shape {right.shape}", "the shape"
    elif yours.dtype != right.dtype:
        shown = f"{yours.dtype}", f"{right.dtype}", "the dtype: a NumPy float64 took part"
    else:
        apart = ~np.isclose(yours, right, rtol=0, atol=1e-6 * np.abs(right).max(initial=1e-12))
        where = tuple(int(i) for i in np.argwhere(apart)[0])
        place += f"[{', '.join(map(str, where))}]" if where else ""
        shown = f"{yours[where]:.9g}", f"{right[where]:.9g}", what_differs(seen, apart)
    return {"where": place} | dict(zip(("yours", "right", "kind"), shown)) | {"by": seen.by}


def what_differs(seen: Seen, apart: np.ndarray) -> str:
    """Say what kind of difference there is between two arrays of one shape."""
    yours, right = seen.yours, seen.right
    if not np.isfinite(yours).all():
        return "NaN or infinity came up"
    if close(-yours, right):
        return "the sign"
    factor = np.sum(yours * right) / max(np.sum(right * right), 1e-300)
    times = f"it is {factor:.6g} times that"
    if yours.size == 1:
        n = int(seen.when.removesuffix(" samples")) if seen.when.endswith(" samples") else 1
        is_n = n > 1 and (close(yours, n * right) or close(n * yours, right))
        known = f"; there are {seen.when}" if is_n else ""
        return f"this number: {times}{known}" if factor else "this number"
    if factor and close(yours, factor * right):
        return f"a factor: {times}"
    return f"{apart.sum()} of {apart.size} numbers"


# In the process that was started by hand


def results(folder: Path, names: list[str], stderr=None) -> list[dict[str, str]]:
    """Return the result of each exercise, whatever the student's code does."""
    found: dict[str, dict] = {}
    while left := [e.name for e in chosen(names) if e.name not in found]:
        text = run_worker(folder, left, stderr)
        for line in text.splitlines():
            with contextlib.suppress(ValueError, TypeError, KeyError):
                result = json.loads(line)
                found[result["exercise"]] = result
        if left := [name for name in left if name not in found]:  # the first of them ended it
            late = text.rpartition("Timeout (")[2] if "Timeout (" in text else ""
            line = re.search(r'File "(nnlite/\w+\.py)", (line \d+)', late)
            where = ", ".join(line.groups()) if line else "somewhere in your code"
            kind = f"it does not end within {SECONDS} seconds" if late else "it ended the process"
            ended = {"status": "wrong", "where": where, "kind": kind}
            found[left[0]] = {"exercise": left[0]} | ended
    return [found[e.name] for e in chosen(names)]


def run_worker(folder: Path, names: list[str], stderr) -> str:
    """Run `work` in a process of its own; return what it wrote, and leave no process behind."""
    command = [sys.executable, __file__, "--folder", str(folder), "--worker", "--only", *names]
    one_thread = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with tempfile.TemporaryFile() as out:  # no pipe: what the code has started could keep it open
        streams = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": stderr}
        place = {"cwd": folder, "env": os.environ | one_thread, "start_new_session": True}
        process = subprocess.Popen(command, **streams, **place)
        try:
            process.wait(SECONDS * len(names) + 30)
        except subprocess.TimeoutExpired:
            pass  # the student's code has switched off what limits it
        finally:
            with contextlib.suppress(OSError, AttributeError):  # Windows has no killpg
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            process.wait()
        out.seek(0)
        return out.read().decode(errors="replace")


def as_text(found: list[dict[str, str]], hint: int) -> str:
    """Lay the results out as a table, and say what comes next."""
    lines = []
    for r in found:
        said = [r.get("where", "")]
        if "yours" in r:
            said[0] += f" is {r['yours']}, but should be {r['right']} ({r['by']})"
        if "kind" in r and (hint >= 2 or "yours" not in r):
            said.append(f"What differs: {r['kind']}" if "yours" in r else r["kind"])
        if "mistake" in r and hint >= 3:
            said.append(f"The mistake: {r['mistake']}. {r['hint']}")
        lines.append(f"{r['exercise']:<16} {r['status']:<6} {said[0]}".rstrip())
        lines += [" " * 24 + line for line in said[1:]]
    left = [r["exercise"] for r in found if r["status"] != "right"]
    lines.append(f"\n{len(found) - len(left)} of {len(found)} are right.")
    if left:
        (next_one,) = (e for e in EXERCISES if e.name == left[0])
        lines[-1] += f" Next: {left[0]}, in nnlite/{next_one.module}.py."
    return "\n".join(lines)


def saved(folder: Path) -> list[int]:
    """Return when each of the student's files was saved."""
    with contextlib.suppress(OSError):  # an editor may be about to put it there
        return [path.stat().st_mtime_ns for path in sorted(folder.glob("nnlite/*.py"))]
    return []


def accuracy(path: Path) -> str:
    """Train the digits with the nnlite in this folder or archive; return the test accuracy."""
    command = [sys.executable, "-c", TRAINING, str(path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600)
    last = (run.stdout if run.returncode == 0 else run.stderr).strip().splitlines()[-1:]
    return f"{float(last[0]):.2f} %" if run.returncode == 0 else f"stopped ({''.join(last)})"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="check.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these exercises")
    parser.add_argument("--watch", action="store_true", help="check again at each save")
    steps = "how much it says: 1 where it differs, 2 also how, 3 also the mistake's name"
    parser.add_argument("--hint", type=int, choices=(1, 2, 3), default=3, help=steps)
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--folder", type=Path, default=HERE, help=argparse.SUPPRESS)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    folder = options.folder.resolve()
    try:
        chosen(options.only)
        if not (folder / "nnlite").is_dir():
            raise ValueError(f"there is no folder nnlite in {folder}")
    except ValueError as error:
        parser.exit(2, f"check.py: error: {error}\n")
    if options.worker:
        work(folder, options.only)
        return 0
    names = options.only
    answers = HERE / "answers.zip"
    if not names and answers.is_file():
        names = zipfile.ZipFile(answers).read("exercises.txt").decode().split()
    while True:
        before = saved(folder)
        found = results(folder, names)
        all_right = all(r["status"] == "right" for r in found)
        print(json.dumps(found, indent=1) if options.json else as_text(found, options.hint))
        if all_right or not options.watch:
            break
        print("\nwaiting until you save a file (Ctrl-C ends this)", flush=True)
        while saved(folder) == before:
            time.sleep(0.3)
    if all_right and not options.only and not options.json:
        print("\nTraining the digits for 5 epochs ...", flush=True)
        yours, library = accuracy(folder), accuracy(Path(nnlite.__file__).parents[1])
        print(f"test accuracy with your code: {yours}, with the library: {library}")
    return 0 if all_right else 1


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
