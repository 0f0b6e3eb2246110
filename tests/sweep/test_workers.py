"""sweep/workers.py: a worker that dies costs one run at most, and a killed sweep nothing.

Some tests train in workers, some kill, interrupt and starve real sweeps.
"""

import csv
import json
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

import exp3
from conftest import posix
from nnlite import Config, datasets
from nnlite.backend import Device, select_device
from nnlite.files import read_arrays
from nnlite.optimizers import OPTIMIZERS
from nnlite.training import Training
from sweep import console, workers
from sweep.locks import hold
from sweeps import SECOND, logs_in, temporary_files, undisturbed

ROOT = Path(__file__).resolve().parents[2]

with suppress(ImportError):  # Windows
    import resource

DRAW = exp3.draw

# ---- workers that die


def poison(monkeypatch, marks, run_id, times, early=False, memory=False):
    """Make the worker that trains `run_id` die, so many times: in epoch 3, or at once.

    It dies as the kernel kills, or runs out of memory. The folder `marks` counts the attempts.
    """
    run_stack = workers.run_stack

    def poisoned(configs, *args):  # nested, so that it travels to the workers as it is

        def die(training):
            (marks / str(len(list(marks.iterdir())))).touch()
            if memory:
                raise MemoryError
            os.kill(os.getpid(), signal.SIGKILL)

        def run_epoch(training):
            if training.epoch == 2:
                die(training)
            sound_epoch(training)

        sound_epoch, sound_init = Training.run_epoch, Training.__init__
        try:
            if configs[0].run_id == run_id and len(list(marks.iterdir())) < times:
                Training.run_epoch = run_epoch
                if early:
                    Training.__init__ = lambda self, *args: die(self)
            return run_stack(configs, *args)
        finally:
            Training.run_epoch, Training.__init__ = sound_epoch, sound_init

    marks.mkdir()
    monkeypatch.setattr(workers, "run_stack", poisoned)


@posix
@pytest.mark.parametrize("memory, jobs", [(False, 2), (True, 2), (True, 1)])
@pytest.mark.parametrize("times", [1, 99])
def test_a_worker_that_dies_costs_one_run_at_most(
    lab, expected, monkeypatch, capsys, memory, jobs, times
):
    marks = lab.out.with_name("marks")
    poison(monkeypatch, marks, SECOND, times, memory=memory)
    code = lab("--jobs", jobs, "--checkpoint-every", 1)
    error, logs = capsys.readouterr().err, logs_in(lab.out)
    if times == 1:
        assert code == 0 and logs == expected
    else:
        assert len(list(marks.iterdir())) == 2  # tried again once
        assert code == 1
        assert logs == {run_id: log for run_id, log in expected.items() if run_id != SECOND}
        assert [line for line in error.splitlines() if "MISSING" in line] == [
            f"MISSING {SECOND}: its process died, or ran out of memory, twice"
        ]


@posix
@pytest.mark.parametrize("memory, jobs", [(False, 2), (True, 1)])
def test_a_worker_that_dies_at_once_is_not_tried_for_ever(lab, expected, monkeypatch, memory, jobs):
    marks = lab.out.with_name("marks")
    poison(monkeypatch, marks, SECOND, 99, early=True, memory=memory)
    assert lab("--jobs", jobs) == 1
    assert len(list(marks.iterdir())) <= 2 * len(expected)  # each time another run may finish
    assert logs_in(lab.out) == {r: log for r, log in expected.items() if r != SECOND}


def test_the_last_lines_name_what_is_missing(lab, monkeypatch, capsys):
    poison(monkeypatch, lab.out.with_name("marks"), SECOND, 99, memory=True)
    with redirect_stderr(sys.stdout):  # as on a terminal
        assert lab() == 1
    missing, page = capsys.readouterr().out.splitlines()[-2:]
    assert missing.startswith(f"MISSING {SECOND}: ") and page == f"see {lab.out / 'report.html'}"


# ---- real sweeps, as they are started in a shell

DIGITS = Config(epochs=30, batch_size=16, hidden=(64, 32))


def start(out, optimizer, jobs, activations=("relu", "tanh"), epochs=30, **settings):
    """Start a sweep of DIGITS in a process group of its own."""
    command = [
        sys.executable,
        ROOT / "experiments" / "exp3.py",
        "--dataset",
        "digits",
        "--device",
        "cpu",
        "--activation",
        *activations,
        "--optimizer",
        optimizer,
        "--hidden",
        64,
        32,
        "--epochs",
        epochs,
        "--batch-size",
        16,
        "--checkpoint-every",
        1,
        "--seed",
        42,
        "--jobs",
        jobs,
        "--out",
        out,
    ]
    return subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        start_new_session=True,
        **settings,
    )


def kill_group(process):
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def check_whole(out):
    """No file is half-written, but for temporary ones."""
    for path in out.rglob("*.*"):
        if path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".npz":
            with suppress(FileNotFoundError):  # a worker that lives on has finished
                read_arrays(path)
        elif path.suffix == ".png":
            assert path.read_bytes()[-8:-4] == b"IEND"
        elif path.suffix == ".csv":
            with path.open(newline="") as file:
                assert None not in list(csv.DictReader(file))[-1].values()
        elif path.suffix == ".html":
            assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")
        elif path.suffix == ".md":
            assert path.read_text(encoding="utf-8").endswith("|\n")
        elif path.suffix == ".txt":
            assert "What it does not show" in path.read_text(encoding="utf-8")
        else:
            assert path.suffix == ".tmp" or path.is_dir(), path


def saved_epochs(out, finished=30):
    """How far each run is saved, by run id."""
    epochs = {}
    for path in out.glob("*/checkpoint.npz"):
        with suppress(FileNotFoundError):  # it has just finished
            epochs[path.parent.name] = json.loads(str(read_arrays(path)["about"]))["epoch"]
    return epochs | {path.parent.name: finished for path in out.glob("*/training_log.json")}


def wait_until(process, condition):
    """Return whether the condition came true before the process ended."""
    while not condition():
        if process.poll() is not None:
            return False
        time.sleep(0.02)
    return True


def killed_again_and_again(out, optimizer, jobs, kills):
    """Kill a sweep so many times, resume it each time, let it end; return how often it went on.

    The moments are some epochs further on, or while figures are drawn, or just any. Every third
    time only the parent is killed, and its workers find themselves alone.
    """
    rng, went_on, drawings, processes = random.Random(jobs), 0, 0, []
    while len(processes) < kills:
        before = saved_epochs(out)
        trained = sum(before.values()) == 60
        drawings += trained
        if drawings == 3:  # enough of that
            shutil.rmtree(out, ignore_errors=True)
            drawings, trained, before = 0, False, saved_epochs(out)
        process = start(out, optimizer, jobs)
        if len(processes) % 5 == 1 or trained:
            time.sleep(rng.uniform(0, 2))
        else:
            goal = min(60, sum(before.values()) + rng.randint(1, 8))
            wait_until(process, lambda goal=goal: sum(saved_epochs(out).values()) >= goal)
            time.sleep(rng.uniform(0, 0.02))
        if process.poll() is not None:  # it was quicker: that was no kill
            assert process.returncode == 0
            shutil.rmtree(out)
            continue
        if len(processes) % 3 == 2:
            process.kill()
            process.wait()
        else:
            kill_group(process)
        processes.append(process)
        check_whole(out)
        after = saved_epochs(out)
        assert all(after[run_id] >= epoch for run_id, epoch in before.items()), "it began again"
        went_on += any(after[run_id] > epoch for run_id, epoch in before.items())
    last = start(out, optimizer, jobs)
    output, _ = last.communicate()
    for process in processes:
        kill_group(process)  # workers that live on
        process.stdout.close()
    assert last.returncode == 0, output
    return went_on


@cache
def digits_logs(optimizer):
    rate = OPTIMIZERS[optimizer].default_learning_rate
    options = {"optimizer": optimizer, "learning_rate": rate}
    configs = [replace(DIGITS, activation=a, **options) for a in ("relu", "tanh")]
    return undisturbed(configs, datasets.load("digits"))


@posix
def test_killed_at_20_random_moments_the_logs_are_the_undisturbed_ones(tmp_path):
    lanes = [(tmp_path / "1", "adam", 1, 14), (tmp_path / "2", "sgd_momentum", 2, 6)]
    with ThreadPoolExecutor() as pool:
        went_on = list(pool.map(lambda lane: killed_again_and_again(*lane), lanes))
    for out, optimizer, *_ in lanes:
        assert logs_in(out) == digits_logs(optimizer)
        check_whole(out)
    assert min(went_on) >= 1 and sum(went_on) >= 5


@pytest.fixture
def ctrl_c_works():
    """In sweeps that are started, even if whoever runs these tests ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupted(out, jobs, moment):
    """Interrupt a sweep in the run called `moment`; return exit code, output, is a worker left."""
    process = start(out, "adam", jobs, epochs=60)
    run_id = replace(DIGITS, activation=moment).run_id
    wait_until(process, lambda: saved_epochs(out).get(run_id, 0) > 2)
    os.killpg(process.pid, signal.SIGINT)  # a terminal tells all processes
    output, _ = process.communicate()
    for _ in range(100):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return process.returncode, output, False
        time.sleep(0.05)
    return process.returncode, output, True


@posix
def test_ctrl_c_once(tmp_path, ctrl_c_works):
    """After the first of two runs it draws what is there; within both of them there is nothing."""
    outs = tmp_path / "1", tmp_path / "2"
    with ThreadPoolExecutor() as pool:
        ends = list(pool.map(interrupted, outs, (1, 2), ("tanh", "relu")))
    for out, finished, (code, output, left) in zip(outs, (1, 0), ends, strict=True):
        assert code == 130 and not left, output
        assert f"interrupted with {finished} of 2 runs finished" in output
        assert "the same command goes on from here" in output and "Traceback" not in output
        check_whole(out)
        assert not temporary_files(out) and not list(out.glob("*/lock"))
        assert (out / "loss_curves.png").exists() == bool(finished)
        assert len(list(out.glob("*/training_log.json"))) == finished
        assert min(saved_epochs(out).values()) > 0


@posix
def test_two_sweeps_into_one_directory_at_once(tmp_path):
    processes = [start(tmp_path, "adam", 1, ["relu"]) for _ in range(2)]
    for process in processes:
        output, _ = process.communicate()
        assert process.returncode == 0, output
    (run_id,) = [path.name for path in tmp_path.iterdir() if path.is_dir()]
    assert logs_in(tmp_path) == {run_id: digits_logs("adam")[run_id]}
    check_whole(tmp_path)
    assert not temporary_files(tmp_path)


def workers_of(process):
    """The processes that a sweep has started."""
    return psutil.Process(process.pid).children(recursive=True)


def all_gone(processes, seconds=30):
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return not alive


@posix
def test_workers_end_with_their_parent_and_the_next_start_clears_up(tmp_path, monkeypatch):
    """Nothing holds the output open; checkpoints stay; no copies of the data do."""
    temporary, out = tmp_path / "tmp", tmp_path / "out"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    process = start(out, "adam", 2, epochs=400)
    assert wait_until(process, lambda: len(saved_epochs(out)) == 2)
    children = workers_of(process)
    process.kill()
    process.communicate(timeout=60)  # to the end of its output, which workers share
    assert all_gone(children)
    assert len(saved_epochs(out)) == 2 and list(temporary.glob("nnlite-*/array*"))

    (left,) = temporary.glob("nnlite-*")
    last = start(out, "adam", 2, epochs=400)
    assert wait_until(last, lambda: set(temporary.glob("nnlite-*")) - {left})
    assert not left.exists()
    kill_group(last)
    last.stdout.close()


@posix
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])  # Windows lacks the second
@pytest.mark.parametrize("all_processes", [False, True], ids=["parent", "group"])
def test_other_signals_are_like_ctrl_c(tmp_path, name, all_processes):
    """Sent to the parent alone, as an editor's stop button does, or to all, as job schedulers."""
    process = start(tmp_path, "adam", 2, epochs=400)
    assert wait_until(process, lambda: len(saved_epochs(tmp_path)) == 2)
    children = workers_of(process)
    number = getattr(signal, name)
    if all_processes:
        os.killpg(process.pid, number)
    else:
        os.kill(process.pid, number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in output
    assert "interrupted with 0 of 2 runs finished; the same command goes on from here" in output
    assert all_gone(children) and len(saved_epochs(tmp_path)) == 2


@posix
def test_signals_that_are_ignored_stay_so(monkeypatch):
    """nohup lets a program live on when its terminal is closed."""
    before = {n: signal.getsignal(n) for n in workers.STOP_SIGNALS}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        console.treat_as_ctrl_c()
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) == signal.default_int_handler
    finally:
        for n, handler in before.items():
            signal.signal(n, handler)


@posix
def test_a_worker_that_dies_while_it_draws_is_one_sentence(lab, expected, monkeypatch, capsys):
    def die(*args):  # nested, so that it travels to the workers as it is
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(exp3, "draw", DRAW)
    monkeypatch.setattr(exp3, "draw_part", die)
    monkeypatch.setattr(exp3, "draw_run", die)
    assert lab("--jobs", 2) == 1
    error = capsys.readouterr().err
    assert error.splitlines()[-1] == (
        "exp3.py: error: a process that drew figures died, or ran out of memory; "
        "the same command goes on from what is saved"
    )
    assert logs_in(lab.out) == expected


def test_too_little_memory_after_training_is_one_sentence(lab, expected, monkeypatch, capsys):
    def no_memory(*args):
        raise MemoryError

    monkeypatch.setattr(exp3, "draw", no_memory)
    assert lab() == 1 and logs_in(lab.out) == expected
    assert "there is not enough memory; the same command" in capsys.readouterr().err


@posix
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_limit_of_file_sizes_is_one_sentence(tmp_path, jobs):
    """As ulimit -f sets it; here no log fits."""
    limit = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))}
    process = start(tmp_path, "adam", jobs, epochs=2, **limit)
    output, _ = process.communicate(timeout=120)
    assert process.returncode in (1, 2) and "Traceback" not in output
    assert "(File too large)" in output.splitlines()[-1]
    assert not temporary_files(tmp_path)


def test_what_a_killed_worker_left_in_a_run_s_folder_goes_unless_it_is_in_use(tmp_path):
    folder = tmp_path / DIGITS.run_id
    folder.mkdir()
    lock = hold(folder / "lock")
    for name in (".nnlite.01234567.tmp", "checkpoint.npz"):
        (folder / name).touch()
    workers.clear_up([DIGITS], tmp_path)
    assert len(list(folder.iterdir())) == 3
    lock.close()
    workers.clear_up([DIGITS], tmp_path)
    assert [path.name for path in folder.iterdir()] == ["checkpoint.npz"]


def test_arrays_are_shared_not_copied(tiny, tmp_path):
    shared = pickle.dumps(workers.Shared(tiny, tmp_path))
    assert len(shared) < 10_000
    again = pickle.loads(shared).get()
    assert again.checksum == tiny.checksum and again.classes == tiny.classes
    assert not again.x_train.flags.owndata and not again.x_train.flags.writeable


def test_stack_size_is_what_half_the_free_memory_holds(tiny):
    """Bytes by hand for the lab's network: 4 (6 P + 4 * 1000 * (784 + 256 + 128 + 10)) + order."""
    each = 4 * (6 * 235_146 + 4 * 1000 * 1178) + 8 * len(tiny.x_train)

    def gpu(free):
        runtime = SimpleNamespace(memGetInfo=lambda: (free, 80 * 2**30))
        return Device("gpu", SimpleNamespace(cuda=SimpleNamespace(runtime=runtime)), "")

    assert workers.stack_size(gpu(2 * 64 * each), Config(), tiny) == 64
    assert workers.stack_size(gpu(2 * 64 * each - 2), Config(), tiny) == 63
    assert workers.stack_size(gpu(0), Config(), tiny) == 1
    assert workers.stack_size(select_device("cpu"), Config(), tiny) == 1


def test_stacks_hold_what_differs_in_seed_and_rate_only():
    a, b, c = Config(seed=1), Config(seed=2, learning_rate=0.1), Config(seed=1, activation="tanh")
    assert workers.stacks([a, c, b], 8) == [[a, b], [c]]
    assert workers.stacks([c, a, b], 8) == [[c], [a, b]]


def test_stacks_keep_the_order_of_the_grid_seed_by_seed():
    configs = [Config(a, seed=seed) for seed in (1, 2) for a in ("relu", "tanh")]
    assert workers.stacks(configs, 1) == [[config] for config in configs]
