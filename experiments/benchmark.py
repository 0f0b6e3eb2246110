"""How long training takes: nnlite, its own matrix products, scikit-learn, PyTorch and JAX.

    python experiments/benchmark.py --help

All train the lab's network with relu + adam, on the same rows, from the same initial weights, on
the same cores. They take turns, epoch by epoch, so a disturbance of the machine hits all of them.
"""

import argparse
import contextlib
import functools
import importlib.util
import io
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path

import joblib
import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits
from tqdm import tqdm

from contestants import (
    FLOOR,
    NOTEBOOK,
    ON_CPU,
    ON_GPU,
    Task,
    floor,
    jax,
    nnlite,
    notebook,
    pytorch,
)
from nnlite import __version__, select_device
from nnlite.datasets import DATASETS, Dataset, load
from nnlite.training import loop
from sweep import options, results, workers
from sweep.options import Parser, check_writable, positive_int
from sweep.run import train_runs
from words import plural

TOLERANCE = 0.05  # of the loss of the first epoch: orders of batches and rounding differ
CELLS = [(a, o) for a in ("relu", "sigmoid", "tanh") for o in ("sgd", "adam")]
SCALE_ROWS = 12_800  # images in an epoch of --scale: 100 steps of 128
Row = dict  # what is measured of one contestant; these go into the table, the JSON and the figure


# -------------------------------------------------------------------------------- one epoch


@contextlib.contextmanager
def held_to_cores(threads: int):
    """Keep this process on so many cores, where the system can: nobody's hidden threads help."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    if allowed:
        os.sched_setaffinity(0, sorted(allowed)[-threads:])
    try:
        yield
    finally:
        if allowed:
            os.sched_setaffinity(0, allowed)


def race(makers: dict[str, Callable], task: Task, rounds: int, quiet: bool | None = None):
    """Let the contestants run one epoch each in turns; return the Row of each.

    The first epoch compiles and warms up: it gives the loss that is compared, and no time. Of each
    other, seconds are wall clock and cpu_seconds what all threads of the process computed: less
    than seconds x threads where the machine was busy with something else. A median, min, max and
    cpu (a median too) are per run of a stack.
    """
    rows, epochs = [], []
    for name, make in makers.items():
        row = {"name": name, "note": "", "runs": 1, "loss": None, "seconds": [], "cpu_seconds": []}
        rows.append(row)
        try:
            epochs.append((row, make(task)))
        except (ImportError, RuntimeError) as error:
            if name == "nnlite":
                raise
            missing = isinstance(error, ModuleNotFoundError)
            row["note"] = "not installed" if missing else str(error)
    # Only now, because it limits the thread pools of what has been imported.
    with threadpool_limits(task.threads):
        for turn in tqdm(range(rounds + 1), unit="round", disable=quiet):
            order = task.next_order()
            for row, epoch in [*epochs]:
                wall, cpu = time.perf_counter(), time.process_time()
                try:
                    loss = epoch(order)
                except RuntimeError as error:  # torch.compile looks for its compiler only now
                    if turn > 0 or row is rows[0]:
                        raise
                    row["note"] = str(error).strip().partition("\n")[0]
                    epochs.remove((row, epoch))
                    continue
                wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
                if turn > 0:
                    row["seconds"].append(wall)
                    row["cpu_seconds"].append(cpu)
                elif loss is not None:
                    row["loss"], row["runs"] = float(np.mean(loss)), np.size(loss)
    for row, _ in epochs:
        seconds = np.divide(row["seconds"], row["runs"])
        row["median"], row["min"], row["max"] = map(float, np.quantile(seconds, [0.5, 0, 1]))
        row["cpu"] = float(np.median(row["cpu_seconds"])) / row["runs"]
        row["ratio"] = quotient(row, rows[0])
    return rows


def fastest(rows: list[Row], name: str) -> Row | None:
    """Of the rows whose name begins like that, the one with the least time; None without any."""
    timed = [row for row in rows if row["name"].startswith(name) and "median" in row]
    return min(timed, key=lambda row: row["median"], default=None)


def quotient(over: Row | None, under: Row | None) -> float | None:
    """How many times as long the one takes as the other, per run; None where one is missing."""
    return over["median"] / under["median"] if over and under else None


# What a mode returns: the rows, the columns of its table, and its targets.
Outcome = tuple[list[Row], dict[str, str], list[tuple[str, float | None, str, float]]]


def epoch_mode(args: argparse.Namespace, data: Dataset) -> Outcome:
    """Time one training epoch of everybody."""
    gpu = args.device == "gpu"
    rows = race(ON_GPU if gpu else ON_CPU, Task(data, args.batch_size, args.threads), args.rounds)
    ours, torch = fastest(rows, "nnlite"), fastest(rows, "PyTorch")
    name = ours["name"]
    if gpu:
        stack = fastest(rows, "nnlite, 64")
        eager = next((row for row in rows if row["name"] == "PyTorch" and "median" in row), None)
        targets = [
            ("time of 64 runs as a stack / of one run", 64 * quotient(stack, rows[0]), "<=", 4.0),
            (f"runs an hour, {name} / PyTorch", quotient(eager, ours), ">=", 10.0),
            (f"runs an hour, {name} / PyTorch's best", quotient(torch, ours), ">=", 2.0),
        ]
        if data.name == "fashion-mnist":
            targets.append(("seconds of an epoch of nnlite", rows[0]["median"], "<=", 0.3))
    else:
        targets = [
            (f"time of {name} / of {FLOOR}", quotient(ours, fastest(rows, FLOOR)), "<=", 1.25),
            (f"time of JAX / of {name}", quotient(fastest(rows, "JAX"), ours), ">=", 1.0),
            (f"time of PyTorch / of {name}", quotient(torch, ours), ">=", 1.3),
        ]
    columns = {
        "s/run" if gpu else "s/epoch": "median:.4f",
        "min": "min:.4f",
        "max": "max:.4f",
        "CPU s": "cpu:.4f",
        "x nnlite": "ratio:.2f",
        "loss": "loss:.4f",
    }
    return rows, columns, targets


# ---------------------------------------------------------------------- the whole default grid
# Each way has a process of its own, whose start and imports count. It returns the first epoch's
# loss of each cell, the last epoch's validation accuracy, and the seconds that it trained.
# All validate after each epoch, as the lab does.


def nnlite_grid(args: argparse.Namespace, device: str) -> tuple[dict, dict, float]:
    """nnlite as the lab runs it, up to the saved logs: with validation, statistics, checkpoints."""
    with contextlib.redirect_stdout(io.StringIO()), tempfile.TemporaryDirectory() as out:
        flags = [f"--epochs={args.epochs}", f"--batch-size={args.batch_size}", "--seed=42"]
        lab = options.parse([*flags, f"--jobs={args.threads}", f"--out={out}"])
        data, started = load(args.dataset, args.data_dir), time.perf_counter()
        logs = train_runs(options.grid(lab), data, select_device(device), lab).logs
    configs = [log["config"] for log in logs]
    names = [f"{config['activation']} + {config['optimizer']}" for config in configs]
    losses = {name: log["train_loss"][0] for name, log in zip(names, logs)}
    accuracies = {name: log["val_accuracy"][-1] for name, log in zip(names, logs)}
    return losses, accuracies, time.perf_counter() - started


def train_cell(make: Callable, task: Task, cell: tuple[str, str], epochs: int) -> tuple:
    """Train one cell of the grid; return the first epoch's loss, the last validation accuracy."""
    epoch = make(task, *cell)
    measured = [(epoch(task.next_order()), epoch.validate()[1]) for _ in range(epochs)]
    return measured[0][0], measured[-1][1]


def others_grid(args: argparse.Namespace, make: Callable, jobs: int) -> tuple[dict, dict, float]:
    """PyTorch or JAX in `jobs` processes that share the cores. It only trains and validates."""
    task = Task(load(args.dataset, args.data_dir), args.batch_size, max(1, args.threads // jobs))
    epochs = 1 if make is notebook else args.epochs
    if make is not notebook:
        _ = task.x, task.x_validation  # made here, to be shared among the processes
    started = time.perf_counter()
    work = [joblib.delayed(train_cell)(make, task, cell, epochs) for cell in CELLS]
    losses, accuracies = zip(*joblib.Parallel(jobs, max_nbytes="1M", mmap_mode="c")(work))
    names = [f"{activation} + {optimizer}" for activation, optimizer in CELLS]
    seconds = time.perf_counter() - started
    return dict(zip(names, losses)), dict(zip(names, accuracies)), seconds


def family(root: int) -> list[int]:
    """The process and all its descendants; only itself where there is no /proc."""
    children = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it may have ended meanwhile
            parent = stat.read_text().rpartition(")")[2].split()[1]
            children[int(parent)].append(int(stat.parent.name))
    members = [root]
    for member in members:
        members += children[member]
    return members


def memory_mib(processes: list[int]) -> float:
    """Their memory together, pages they share counted once (Pss); 0 where nobody tells."""
    kib = 0
    for process in processes:
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{process}/smaps_rollup").read_text()
            kib += int(re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)[1])
    return kib / 1024


def timed_process(command: list[str]) -> tuple:
    """Run this file with --way: what it prints, wall-clock seconds, peak MiB or None.

    Raises RuntimeError when it fails.
    """
    started, peak = time.perf_counter(), 0.0
    command = [sys.executable, __file__, *command]
    # In a session of its own, so that Ctrl-C reaches this process only.
    process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    try:
        while True:
            try:
                output, _ = process.communicate(timeout=0.2)
                break
            except subprocess.TimeoutExpired:
                peak = max(peak, memory_mib(family(process.pid)))
    finally:
        if process.poll() is None:  # let it end its workers and clean up
            process.send_signal(signal.SIGINT)
            process.wait()
    if process.returncode:
        raise RuntimeError("its process failed")
    return json.loads(output), time.perf_counter() - started, peak or None


def ways(args: argparse.Namespace) -> dict[str, Callable]:
    """How to train the six cells."""
    several = f"{args.threads} process" + "es" * (args.threads > 1)
    return {
        "nnlite": partial(nnlite_grid, args, "cpu"),
        "nnlite, numba": partial(nnlite_grid, args, "numba"),
        "PyTorch, 1 process": partial(others_grid, args, pytorch, 1),
        f"PyTorch, {several}": partial(others_grid, args, pytorch, args.threads),
        f"JAX, {several}": partial(others_grid, args, jax, args.threads),
        NOTEBOOK: partial(others_grid, args, notebook, 1),
    }


def grid_mode(args: argparse.Namespace, data: Dataset) -> Outcome:
    """Time the lab's six default runs, from the start of a process to its end."""
    rows = []
    for name in tqdm(ways(args), unit="way", disable=None):
        rows.append(row := {"name": name, "note": ""})
        try:
            select_device("numba" if "numba" in name else "cpu")
            for framework, package in (("PyTorch", "torch"), ("JAX", "jax")):
                if framework in name and importlib.util.find_spec(package) is None:
                    raise RuntimeError("not installed")
            result, seconds, row["peak_mib"] = timed_process([*args.command, "--way", name])
        except RuntimeError as error:
            if name == "nnlite":
                raise
            row["note"] = str(error)
            continue
        row["losses"], row["val_accuracy"], training = result
        row["seconds"] = [seconds]
        if name == NOTEBOOK and args.epochs > 1:
            row["note"] = f"1 epoch took {seconds:.1f} s, scaled to {args.epochs}"
            seconds += training * (args.epochs - 1)
        row["median"] = row["min"] = row["max"] = seconds
        row["ratio"] = quotient(row, rows[0])
    ours, torch = fastest(rows, "nnlite"), fastest(rows, "PyTorch")
    sheet, name = fastest(rows, NOTEBOOK), ours["name"]
    targets = [
        (f"time of JAX / of {name}", quotient(fastest(rows, "JAX"), ours), ">=", 1.0),
        (f"time of {torch and torch['name']} / of {name}", quotient(torch, ours), ">=", 1.25),
        (f"time of {NOTEBOOK} / of {name}", quotient(sheet, ours), ">=", 8.0),
        (f"peak memory of {name} (MiB)", ours["peak_mib"], "<=", 1024.0),
    ]
    columns = {"seconds": "median:.1f", "x nnlite": "ratio:.2f", "peak MiB": "peak_mib:.0f"}
    return rows, columns, targets


# ------------------------------------------------------------------- where the lab's time goes
# The default sweep from its start to its page. Functions are timed from outside, in each worker.


class Clock:
    """Seconds by part of the work. What a timed function calls counts for that one's part alone."""

    def __init__(self):
        self.seconds: dict[str, float] = defaultdict(float)
        self.inside = [0.0]  # for each timed function that is running, how long its callees took

    def time(self, part: str, function: Callable) -> Callable:
        """Return a function that does the same and is timed."""

        @functools.wraps(function)
        def timed(*args, **kwargs):
            started = time.perf_counter()
            self.inside.append(0.0)
            try:
                return function(*args, **kwargs)
            finally:
                spent = time.perf_counter() - started
                self.seconds[part] += spent - self.inside.pop()
                self.inside[-1] += spent

        return timed


LAB = {  # part: what is timed for it, an attribute of an object
    "training": [(loop.Training, "train")],
    "validation and test": [(loop, "evaluate"), (loop.Training, "finish")],
    "diagnostics": [(loop.Training, "run_epoch")],  # but training and validation
    "saving": [(workers, "run_stack"), (workers, "report")],  # without the parts that these call
    "start-up": [(loop.Training, "__init__")],
    "drawing": [],  # workers draw figures of single runs; the others come at the end
}
CLOCK = Clock()  # of this process


def timed_stack(folder: Path, *args):
    """run_stack, which leaves the seconds of this process so far in the folder."""
    if not CLOCK.seconds:
        for part, places in LAB.items():
            for owner, name in places:
                setattr(owner, name, CLOCK.time(part, getattr(owner, name)))
    *args, draw = args
    result = workers.run_stack(*args, draw and CLOCK.time("drawing", draw))
    (folder / f"{os.getpid()}.json").write_text(json.dumps(CLOCK.seconds))
    return result


def lab(args: argparse.Namespace) -> dict[str, float]:
    """Run exp3.py with the default grid; return the wall-clock seconds of each part.

    While workers train, a part has the mean of what they report, and the rest is "waiting": their
    start, and the time when a core has no run left.
    """
    import exp3

    started, marks = time.perf_counter(), []

    def train_runs(*positional, **named):
        marks.append(time.perf_counter())
        outcome = exp3_train_runs(*positional, **named)
        marks.append(time.perf_counter())
        return outcome

    exp3_train_runs, exp3.train_runs = exp3.train_runs, train_runs
    with tempfile.TemporaryDirectory() as out, tempfile.TemporaryDirectory() as folder:
        flags = [f"--epochs={args.epochs}", f"--batch-size={args.batch_size}"]
        flags += [f"--jobs={args.threads}", f"--dataset={args.dataset}", f"--out={out}"]
        flags += [f"--data-dir={args.data_dir}"] if args.data_dir else []
        stack = partial(timed_stack, Path(folder))
        workers.delayed = lambda f: joblib.delayed(stack if f.__name__ == "run_stack" else f)
        with contextlib.redirect_stdout(io.StringIO()):
            if exp3.main(flags):
                raise RuntimeError("the sweep failed")
        reports = [json.loads(path.read_text()) for path in Path(folder).iterdir()]
    parts = {part: sum(report.get(part, 0) for report in reports) / args.threads for part in LAB}
    parts["waiting"] = marks[1] - marks[0] - sum(parts.values())
    parts["start-up"] += marks[0] - started
    parts["drawing"] += time.perf_counter() - marks[1]
    return parts


def lab_mode(args: argparse.Namespace, data: Dataset) -> Outcome:
    """Time the parts of the lab's default sweep, from the start of the process to its end."""
    parts, total, _ = timed_process([*args.command, "--way", "lab"])
    parts["start-up"] += total - sum(parts.values())  # of Python, and its imports
    rows = [
        {"name": part, "note": "", "median": seconds, "share": 100 * seconds / total}
        for part, seconds in sorted(parts.items(), key=lambda item: -item[1])
    ]
    rows.append({"name": "all", "note": "", "median": total, "share": 100.0})
    targets = [("all but training (%)", 100 * (1 - parts["training"] / total), "<=", 20.0)]
    return rows, {"seconds": "median:.1f", "%": "share:.1f"}, targets


# --------------------------------------------------------------------------- how costs grow

AXES = {  # what grows: its values, and what they set; all else is as in the lab
    "width of both hidden layers": ([64, 128, 256, 512, 1024], lambda n: {"hidden": (n, n)}),
    "hidden layers of width 128": ([1, 2, 4, 8], lambda n: {"hidden": (128,) * n}),
    "batch size": ([16, 64, 256, 1024], lambda n: {"batch_size": n}),
    "runs in a stack": ([1, 2, 4, 8], lambda n: {"runs": n}),
}


def peak_mib(make: Callable, task: Task) -> float:
    """Peak memory of the arrays while training; the dataset, there before, does not count."""
    order = task.next_order()[: 3 * task.batch_size]
    tracemalloc.start()
    try:
        epoch = make(task)
        tracemalloc.reset_peak()
        epoch(order)
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


def scale_mode(args: argparse.Namespace, data: Dataset) -> Outcome:
    """Seconds for SCALE_ROWS images (of each run), and memory, of nnlite and of its floor."""
    rows = []
    points = [(axis, n, setting(n)) for axis, (values, setting) in AXES.items() for n in values]
    for axis, n, setting in tqdm(points, unit="point", disable=None):
        runs = setting.pop("runs", 1)
        setting = {"batch_size": args.batch_size, "threads": args.threads, **setting}
        task = Task(data, rows=SCALE_ROWS, **setting)
        makers = {"nnlite": partial(nnlite, runs=runs), FLOOR: partial(floor, runs=runs)}
        row = {"name": f"{axis}: {n}", "note": "", "axis": axis, "value": n}
        row["images"] = len(task.images)
        for key, raw in zip(("ours", "floor"), race(makers, task, args.rounds, quiet=True)):
            row[key], row[f"{key}_seconds"] = float(np.median(raw["seconds"])), raw["seconds"]
            row[f"{key}_mib"] = peak_mib(makers[raw["name"]], task)
        rows.append({**row, "ratio": row["ours"] / row["floor"]})
    columns = {
        "seconds": "ours:.3f",
        "its floor": "floor:.3f",
        "x floor": "ratio:.2f",
        "MiB": "ours_mib:.1f",
        "floor MiB": "floor_mib:.1f",
    }
    return rows, columns, []


# ------------------------------------------------------------------------------ what is shown


def print_table(rows: list[Row], columns: dict[str, str]) -> None:
    """One line a row: its name, a column for each heading -> "key:format", and its note."""
    width = max(len(row["name"]) for row in rows)
    head = " " * width + "".join(f"  {heading:>9}" for heading in columns)
    print(f"{head}\n{'-' * len(head)}")
    for row in rows:
        line = f"{row['name']:<{width}}"
        for key, form in (column.split(":") for column in columns.values()):
            line += f"  {'-' if row.get(key) is None else format(row[key], form):>9}"
        print(f"{line}  {row['note']}".rstrip())


def disagreements(rows: list[Row]) -> list[str]:
    """Say whose loss in the first epoch is not, within the tolerance, that of the first row."""

    def losses(row: Row) -> dict[str, float | None]:
        return row.get("losses") or {"relu + adam": row.get("loss")}

    return [
        f"in the first epoch of {cell} the mean loss of {row['name']} is {loss:.4f}, that of "
        f"{rows[0]['name']} {losses(rows[0])[cell]:.4f}: they do not do the same work"
        for row in rows
        for cell, loss in losses(row).items()
        if loss is not None and not abs(loss / losses(rows[0])[cell] - 1) <= TOLERANCE
    ]


def judge(text: str, value: float | None, relation: str, limit: float) -> dict:
    """Print a target beside what was measured, and return both."""
    met = None if value is None else value <= limit if relation == "<=" else value >= limit
    verdict = {None: "unknown", True: "met", False: "MISSED"}[met]
    shown = "not measured" if value is None else f"{value:.3g}"
    print(f"{verdict:<8} {text}: {shown}, to be {relation} {limit:g}")
    return {"target": text, "measured": value, "relation": relation, "limit": limit, "met": met}


def machine(threads: int) -> dict:
    """Where this was measured, and with which versions of what."""
    cpuinfo = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.*)", cpuinfo.read_text() if cpuinfo.exists() else "")
    versions = {"nnlite": __version__, "python": platform.python_version()}
    for name in "numpy scikit-learn torch jax numba cupy-cuda12x cupy-cuda13x".split():
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return {
        "platform": platform.platform(),
        "processor": model[1] if model else platform.processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "blas": sorted({f"{p['internal_api']} {p['version']}" for p in threadpool_info()}),
        "versions": versions,
    }


def draw_bars(rows: list[Row], title: str):
    """A figure: a bar of seconds for each contestant, with its spread; far longer ones are cut."""
    # Imported here and below, as worker processes import this file but draw nothing.
    from figures.style import DPI, Figure
    from findings.sweep import PALETTE

    base, ours = fastest(rows, FLOOR), fastest(rows, "nnlite")["median"]
    rows = [row for row in rows if "median" in row and row is not base][::-1]
    limit = 1.3 * max(row["max"] for row in rows if row["median"] <= 4 * ours)
    top = 0.9 if base else 0.6
    height = top + 0.75 + 0.45 * len(rows)
    figure = Figure((9, height), dpi=DPI)
    ax = figure.add_axes((0.28, 0.75 / height, 0.69, 1 - (top + 0.75) / height), xlim=(0, limit))
    ax.grid(axis="y", visible=False)
    for y, row in enumerate(rows):
        ax.barh(y, row["median"], color=PALETTE[2 if "nnlite" in row["name"] else 3])
        if row["max"] > row["min"]:
            ax.plot([row["min"], row["max"]], [y, y], "|-", color="black", markersize=10)
        cut = row["max"] > limit
        label = f" {row['median']:.3g} s" + " (bar cut off) " * cut
        ax.text(limit if cut else row["max"], y, label, ha="right" if cut else "left", va="center")
    if base:
        label = f"nnlite's matrix products, {base['median']:.3g} s"
        ax.axvline(base["median"], color=PALETTE[5], linestyle="--", label=label)
        figure.legend(loc="upper right", bbox_to_anchor=(0.99, 1 - 0.4 / height))
    ax.set_yticks(range(len(rows)), [row["name"] for row in rows])
    ax.set_xlabel("seconds" + " (median, fastest and slowest round)" * bool(base))
    figure.suptitle(title, x=0.02, y=1 - 0.12 / height, ha="left", va="top")
    return figure


def draw_scale(rows: list[Row], title: str):
    """A figure: a column for each thing that grows, time above and memory below."""
    from figures.style import DPI, Figure
    from findings.sweep import PALETTE

    figure = Figure((13, 6.5), dpi=DPI)
    axes = figure.subplots(2, len(AXES), sharex="col", sharey="row")
    figure.subplots_adjust(0.07, 0.11, 0.98, 0.88, wspace=0.1, hspace=0.12)
    looks = {
        "ours": ("nnlite", "o-", PALETTE[2]),
        "floor": (FLOOR, "s--", PALETTE[5]),
    }
    for (above, below), axis in zip(axes.T, AXES):
        points = [row for row in rows if row["axis"] == axis]
        x = [row["value"] for row in points]
        for key, (label, style, color) in looks.items():
            above.plot(x, [row[key] for row in points], style, color=color, label=label)
            below.plot(x, [row[f"{key}_mib"] for row in points], style, color=color)
        below.set(xscale="log", xlabel=axis)
        below.set_xticks(x, x)
        below.minorticks_off()
        for ax in (above, below):
            ax.set_yscale("log")
            ax.yaxis.set_major_formatter("{x:g}")
    axes[0, 0].set_ylabel(f"seconds for {rows[0]['images']:,} images")
    axes[1, 0].set_ylabel("MiB of arrays at the peak")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="upper right", ncols=2)
    figure.suptitle(title, x=0.02, y=0.98, ha="left", va="top")
    return figure


# ------------------------------------------------------------------------------- the command


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(prog="benchmark.py", description=__doc__.splitlines()[0], allow_abbrev=False)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--grid", action="store_true", help="time the lab's whole default grid instead of an epoch"
    )
    mode.add_argument(
        "--lab",
        action="store_true",
        help="show where the time of the default sweep goes, from its start to its page",
    )
    mode.add_argument(
        "--scale",
        action="store_true",
        help="show how time and memory grow with width, depth, batch size and runs",
    )
    parser.add_argument(
        "--device",
        choices=("cpu", "gpu"),
        default="cpu",
        help="gpu: one run, stacks of runs, and PyTorch, on the GPU (default: cpu)",
    )
    parser.add_argument(
        "--rounds",
        type=positive_int,
        default=5,
        metavar="N",
        help="timed epochs of each, after one to warm up (default: 5)",
    )
    parser.add_argument(
        "--threads",
        "--jobs",
        type=positive_int,
        metavar="N",
        help="cores that each may use (default: 1; with --grid and --lab, all there are)",
    )
    parser.add_argument(
        "--batch-size",
        type=positive_int,
        default=128,
        metavar="N",
        help="samples per step (default: 128)",
    )
    parser.add_argument(
        "--epochs",
        type=positive_int,
        default=3,
        metavar="N",
        help="epochs of each run of --grid and --lab; the lab has 30 (default: 3)",
    )
    parser.add_argument(
        "--dataset",
        choices=DATASETS,
        default="auto",
        help="auto: Fashion-MNIST if available, else the digits",
    )
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        help="folder with the Fashion-MNIST files; NNLITE_DATA does the same",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("results/benchmark"),
        metavar="DIR",
        help="for the numbers and the figure (default: results/benchmark)",
    )
    parser.add_argument("--way", help=argparse.SUPPRESS)  # what --grid runs in a process of its own
    args = parser.parse_args(argv)
    args.command = sys.argv[1:] if argv is None else argv
    cores = joblib.cpu_count()
    args.threads = args.threads or (cores if args.grid or args.lab else 1)
    if args.threads > cores:
        parser.error(f"argument --threads: {args.threads} is more than the {cores} cores there are")
    if args.device == "gpu" and (args.grid or args.lab or args.scale):
        parser.error("argument --device: --grid, --lab and --scale are for the CPU")
    return args


def run(args: argparse.Namespace) -> int:
    """Measure, print, write the numbers and the figure; 1 if not all learn alike, else 0."""
    try:
        device = select_device(args.device)
        data = load(args.dataset, args.data_dir, progress=True)
        check_writable(args.out)
    except (ValueError, RuntimeError) as error:
        print(f"benchmark.py: error: {error}", file=sys.stderr)
        return 2
    if data.note:
        print(f"note: {data.note}")
    where = plural(args.threads, "core")
    if args.grid:
        length = plural(args.epochs, "epoch")
        name, measure, title = "grid", grid_mode, f"Six runs of {length}, {where}"
    elif args.lab:
        length = plural(args.epochs, "epoch")
        name, measure, title = "lab", lab_mode, f"The lab, start to page, {length}, {where}"
    elif args.scale:
        name, measure, title = "scale", scale_mode, f"How costs grow, {where}"
    else:
        where = device.description if args.device == "gpu" else where
        name, measure, title = "benchmark", epoch_mode, f"One training epoch of a run, {where}"
    about = machine(args.threads)
    print(f"{title}: {data.name}, batches of {args.batch_size}, {about['processor']}\n", flush=True)
    with held_to_cores(args.threads):
        rows, columns, targets = measure(args, data)

    print_table(rows, columns)
    print()
    verdicts = [judge(*target) for target in targets]
    problems = disagreements(rows)
    for problem in problems:
        print(f"PROBLEM  {problem}")
    settings = {**vars(args), "out": str(args.out), "dataset": data.name}
    content = {
        "mode": name,
        "settings": settings,
        "machine": about,
        "rows": rows,
        "targets": verdicts,
        "problems": problems,
    }
    content = json.loads(json.dumps(content), parse_constant=lambda _: None)  # JSON has no NaN
    results.write_json(args.out / f"{name}.json", content)

    if args.lab:
        print(f"\nlab.json is in {args.out}")
        return 0
    from figures import style

    draw = draw_scale if args.scale else draw_bars
    with style.settings():
        figure = draw(rows, f"{title} ({data.name})")
    style.save({name: figure}, args.out)
    print(f"\n{name}.json and {name}.png are in {args.out}")
    return 1 if problems else 0


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    try:
        if not args.way:
            return run(args)
        print(json.dumps(lab(args) if args.lab else ways(args)[args.way]()))
        return 0
    except KeyboardInterrupt:
        if not args.way:
            print("\nbenchmark.py: interrupted, nothing is written", file=sys.stderr)
        return 130
    except RuntimeError as error:
        print(f"benchmark.py: error: nnlite itself: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    import benchmark  # by its name, so that worker processes can import what they shall run

    sys.exit(benchmark.main())
