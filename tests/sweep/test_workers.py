"""experiments/sweep.py: whatever happens to a sweep, nothing finished is lost or changed.

Some tests train in this process, some in workers, some kill, interrupt and starve real sweeps.
"""

import csv
import errno
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest

import exp3
from nnlite import Config, datasets
from nnlite.backend import Device, select_device
from nnlite.files import read_arrays
from nnlite.optimizers import OPTIMIZERS
from nnlite.training import Training, train
from sweep import results
from sweep import workers as sweep

ROOT = Path(__file__).resolve().parents[2]
CPU = select_device("cpu")
posix = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")


def same(log):
    """What is the same whenever and wherever a run is repeated."""
    return {key: value for key, value in json.loads(json.dumps(log)).items() if key != "epoch_time"}


def logs_in(out):
    """The logs in a directory, by run id."""
    return {log["experiment_id"]: same(log) for log in results.load_logs(out)}


def undisturbed(configs, data):
    """What the logs of a sweep should be, without a sweep."""
    return {config.run_id: same(train([config], data, CPU)[0]) for config in configs}


# ---- sweeps of tiny runs in this process, without figures

SMALL = Config(hidden=(6, 5), epochs=4, batch_size=64)
GRID = [replace(SMALL, activation=a, seed=s) for a in ("relu", "tanh") for s in (1, 2)]
FIRST, SECOND, THIRD, FOURTH = (config.run_id for config in GRID)


@pytest.fixture
def lab(tmp_path, tiny, monkeypatch):
    """Call it to run the sweep of GRID; it returns the exit code. lab.out is where to."""
    monkeypatch.setattr(exp3, "load", lambda *args, **kwargs: tiny)
    monkeypatch.setattr(exp3, "draw", lambda *args: 0)

    def run(*options):
        return exp3.main(
            ["--activation", "relu", "tanh", "--optimizer", "adam", "--seed", "1", "2",
             "--hidden", "6", "5", "--batch-size", "64", "--epochs", "4", "--device", "cpu",
             "--jobs", "1", "--out", str(tmp_path / "out"), *map(str, options)]
        )  # fmt: skip

    run.out = tmp_path / "out"
    return run


@pytest.fixture(scope="module")
def expected(tiny):
    return undisturbed(GRID, tiny)


@pytest.fixture
def epochs_run(monkeypatch):
    """Every epoch that is trained in this process, as (run id, epoch), before it begins."""
    epochs, run_epoch = [], Training.run_epoch

    def spy(training):
        epochs.extend((log["experiment_id"], training.epoch + 1) for log in training.logs)
        run_epoch(training)

    monkeypatch.setattr(Training, "run_epoch", spy)
    return epochs


def at_epoch(monkeypatch, run_id, epoch, action):
    """Call action() when a run in this process is about to begin an epoch."""
    run_epoch = Training.run_epoch

    def spy(training):
        if (training.logs[0]["experiment_id"], training.epoch + 1) == (run_id, epoch):
            action()
        run_epoch(training)

    monkeypatch.setattr(Training, "run_epoch", spy)


def interrupt():
    raise KeyboardInterrupt


def full(*args):
    raise OSError(errno.ENOSPC, "No space left on device")


def temporary_files(out):
    return [path for path in out.rglob("*.tmp")]


def test_finished_runs_are_skipped_and_it_says_so(lab, expected, epochs_run, capsys):
    assert lab() == 0 and logs_in(lab.out) == expected
    assert len(epochs_run) == 16 and "finished already" not in capsys.readouterr().out
    shutil.rmtree(lab.out / THIRD)
    epochs_run.clear()
    assert lab() == 0 and logs_in(lab.out) == expected
    assert {run_id for run_id, _ in epochs_run} == {THIRD}
    assert "3 of 4 are finished already (--restart runs them again)" in capsys.readouterr().out
    epochs_run.clear()
    assert lab() == 0 and epochs_run == []
    table = capsys.readouterr().out.split("test acc")[1]
    assert all(run_id in table for run_id in expected)


def test_restart_runs_everything_again(lab, expected, epochs_run, monkeypatch):
    with monkeypatch.context() as patch:  # leaves two finished, and a checkpoint of the third
        at_epoch(patch, THIRD, 3, interrupt)
        assert lab("--checkpoint-every", 1) == 130
    epochs_run.clear()
    assert lab("--restart") == 0 and len(epochs_run) == 16
    assert logs_in(lab.out) == expected


def test_other_settings_run_again_and_the_old_ones_are_kept(lab, expected, tiny, capsys):
    assert lab() == 0
    assert lab("--epochs", 2) == 0
    assert capsys.readouterr().out.count("moved to") == 4
    assert logs_in(lab.out) == undisturbed([replace(c, epochs=2) for c in GRID], tiny)
    for run_id, log in expected.items():
        old = lab.out / f"{run_id}.old1" / "training_log.json"
        assert same(json.loads(old.read_text())) == log
    assert len([path for path in lab.out.iterdir() if path.is_dir()]) == 8


@pytest.mark.parametrize("every, first_epoch", [(1, 4), (2, 3), (5, 1)])
def test_an_interrupted_run_goes_on_from_its_checkpoint(
    lab, expected, epochs_run, monkeypatch, capsys, every, first_epoch
):
    with monkeypatch.context() as patch:
        at_epoch(patch, SECOND, 4, interrupt)
        assert lab("--checkpoint-every", every) == 130
    out = capsys.readouterr().out
    assert "interrupted with 1 of 4 runs finished; the same command goes on from here" in out
    assert logs_in(lab.out) == {FIRST: expected[FIRST]}
    epochs_run.clear()
    assert lab("--checkpoint-every", every) == 0
    assert [e for r, e in epochs_run if r == SECOND] == list(range(first_epoch, 5))
    assert logs_in(lab.out) == expected
    assert not list(lab.out.rglob("checkpoint.npz")) and not temporary_files(lab.out)


def test_a_stack_goes_on_too(lab, epochs_run, monkeypatch):
    for moment in (3, 4, 99):
        with monkeypatch.context() as patch:
            at_epoch(patch, FIRST, moment, interrupt)
            lab("--stack", 2, "--checkpoint-every", 1)
    assert [epoch for run_id, epoch in epochs_run if run_id == SECOND] == [1, 2, 3, 4]
    whole = lab.out.with_name("whole")
    assert lab("--stack", 2, "--out", whole) == 0
    assert logs_in(lab.out) == logs_in(whole)


def test_a_stack_of_which_one_run_is_saved_goes_on_too(lab, epochs_run, monkeypatch):
    """Interrupted between the first run's log and the second's."""
    save_run, saved = results.save_run, []

    def save_one(log, out):
        if saved:
            interrupt()
        saved.append(save_run(log, out))

    with monkeypatch.context() as patch:
        patch.setattr(results, "save_run", save_one)
        assert lab("--stack", 2, "--checkpoint-every", 1) == 130
    lab("--stack", 2, "--checkpoint-every", 1)
    assert [epoch for run_id, epoch in epochs_run if run_id == SECOND].count(1) == 1


@pytest.mark.parametrize("damage", [b"", b"PK", None])
def test_a_bad_checkpoint_costs_only_time(lab, expected, monkeypatch, damage):
    with monkeypatch.context() as patch:
        at_epoch(patch, FIRST, 3, interrupt)
        lab("--checkpoint-every", 1)
    checkpoint = lab.out / FIRST / "checkpoint.npz"
    data = checkpoint.read_bytes()
    checkpoint.write_bytes(data[:-1000] if damage is None else damage)
    assert lab() == 0 and logs_in(lab.out) == expected


def test_a_checkpoint_that_cannot_be_written_costs_only_safety(lab, expected, monkeypatch):
    monkeypatch.setattr(Training, "save", full)
    assert lab("--checkpoint-every", 1) == 0 and logs_in(lab.out) == expected


# ---- disks


@pytest.mark.parametrize("place", ["replace", "write"])
def test_a_full_disk_is_a_clear_error_and_what_is_finished_stays(
    lab, expected, epochs_run, monkeypatch, capsys, place
):
    with monkeypatch.context() as patch:
        target = (os, "replace") if place == "replace" else (results, "write_text")
        at_epoch(patch, THIRD, 2, lambda: patch.setattr(*target, full))
        assert lab() == 1
    error = capsys.readouterr().err
    assert "No space left on device" in error and str(lab.out) in error
    assert "goes on from what is saved" in error and "Traceback" not in error
    assert logs_in(lab.out) == {run_id: expected[run_id] for run_id in (FIRST, SECOND)}
    assert not temporary_files(lab.out)
    epochs_run.clear()
    assert lab() == 0 and logs_in(lab.out) == expected
    assert not {run_id for run_id, _ in epochs_run} & {FIRST, SECOND}


def test_a_file_in_place_of_a_run_s_folder_is_a_clear_error(lab, expected, capsys):
    lab.out.mkdir()
    (lab.out / THIRD).write_text("precious")
    assert lab() == 1
    error = capsys.readouterr().err
    assert THIRD in error and "Traceback" not in error
    assert (lab.out / THIRD).read_text() == "precious"
    (lab.out / THIRD).unlink()
    assert lab() == 0 and logs_in(lab.out) == expected


def test_a_directory_removed_during_the_sweep(lab, expected, monkeypatch):
    """All logs are in memory still: they are saved again, or else the exit code tells."""
    at_epoch(monkeypatch, THIRD, 2, lambda: shutil.rmtree(lab.out))
    code = lab()
    assert code == 1 or (code == 0 and logs_in(lab.out) == expected)


def test_a_damaged_log_of_another_run_is_no_traceback_in_the_end(lab, expected, capsys):
    (lab.out / "another").mkdir(parents=True)
    (lab.out / "another" / "training_log.json").write_text("{")
    assert lab() != 0
    assert str(lab.out / "another") in capsys.readouterr().err


def test_a_restart_with_other_settings_keeps_the_old_runs(lab, expected):
    lab()
    lab("--restart", "--epochs", 2)
    for run_id, log in expected.items():
        old = lab.out / f"{run_id}.old1" / "training_log.json"
        assert same(json.loads(old.read_text())) == log


def test_an_interrupted_restart_with_other_settings_goes_on(lab, epochs_run, monkeypatch):
    lab()
    epochs_run.clear()
    with monkeypatch.context() as patch:
        at_epoch(patch, FIRST, 3, interrupt)
        lab("--restart", "--epochs", 5, "--checkpoint-every", 1)
    lab("--epochs", 5)
    assert [epoch for run_id, epoch in epochs_run if run_id == FIRST] == [1, 2, 3, 4, 5]


def test_rates_that_hardly_differ_are_two_runs_or_refused(lab):
    code = lab("--lr", "0.1", "0.10000000000001")
    assert code == 2 or len(logs_in(lab.out)) == 8


def test_ctrl_c_while_the_data_is_loaded(lab, monkeypatch):
    monkeypatch.setattr(exp3, "load", lambda *args, **kwargs: interrupt())
    with suppress(KeyboardInterrupt):
        assert lab() == 130
        return
    pytest.fail("a traceback")


# ---- divergence


def test_a_run_that_diverges_ends_itself_and_not_the_sweep(lab, tiny, capsys):
    cells = [("sgd", 0.01), ("sgd_momentum", 0.01), ("sgd", 100), ("sgd_momentum", 10)]
    runs = [Config(optimizer=o, learning_rate=r, epochs=2, batch_size=16) for o, r in cells]
    axes = ["--activation", "relu", "--seed", 42, "--optimizer", "sgd", "sgd_momentum"]
    settings = ["--hidden", 256, 128, "--epochs", 2, "--batch-size", 16]
    assert lab(*axes, *settings, "--lr", 0.01, 10, 100) == 0
    logs, table = logs_in(lab.out), capsys.readouterr().out.split("test acc")[1]
    assert len(logs) == 6
    for config in runs[:2]:
        assert logs[config.run_id]["diverged"] is None and logs[config.run_id]["test_accuracy"] > 0
    with (lab.out / "summary.csv").open(newline="") as file:
        summary = {row["experiment_id"]: row for row in csv.DictReader(file)}
    for config in runs[2:]:
        run_id = config.run_id
        assert logs[run_id] == undisturbed([config], tiny)[run_id]
        epoch, step = logs[run_id]["diverged"].values()
        assert re.search(rf"^{run_id} +diverged in epoch {epoch}, step {step}$", table, re.M)
        assert summary[run_id]["diverged"] == f"epoch {epoch} step {step}"
    for path in lab.out.rglob("*.json"):
        assert "NaN" not in path.read_text() and "Infinity" not in path.read_text()


# ---- workers that die


def poison(monkeypatch, marks, run_id, times, early=False, memory=False):
    """Make the worker that trains `run_id` die, so many times: in epoch 3, or at once.

    It dies as the kernel kills, or runs out of memory. The folder `marks` counts the attempts.
    """
    run_stack = sweep.run_stack

    def poisoned(configs, *args):  # nested, so that it travels to the workers as it is
        from nnlite.training import Training

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
    monkeypatch.setattr(sweep, "run_stack", poisoned)


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
    assert SECOND in capsys.readouterr().out.splitlines()[-1]


# ---- progress


def test_a_report_may_go_while_progress_is_reading(tmp_path, monkeypatch):
    """One thread forgets a run, another has just listed its report."""
    progress, report = sweep.Progress([SMALL], tmp_path), tmp_path / SMALL.run_id
    report.touch()
    reading, gone, problems = threading.Event(), threading.Event(), []
    read_text, unlink = Path.read_text, Path.unlink

    def poll():
        try:
            progress.poll()
        except OSError as error:
            problems.append(error)

    def slow_read(path):
        reading.set()
        gone.wait(0.3)
        return read_text(path)

    def late_unlink(path, **options):
        monkeypatch.setattr(Path, "read_text", slow_read)
        other.start()
        reading.wait(0.3)
        unlink(path, **options)
        gone.set()

    monkeypatch.setattr(Path, "unlink", late_unlink)
    other = threading.Thread(target=poll)
    progress.forget([SMALL.run_id])
    other.join()
    assert not report.exists() and not problems


# ---- real sweeps, as they are started in a shell

DIGITS = Config(epochs=30, batch_size=16, hidden=(64, 32))


def start(out, optimizer, jobs, activations=("relu", "tanh"), epochs=30):
    """Start a sweep of DIGITS in a process group of its own."""
    command = [
        sys.executable, ROOT / "experiments" / "exp3.py", "--dataset", "digits", "--device", "cpu",
        "--activation", *activations, "--optimizer", optimizer, "--hidden", 64, 32, "--epochs",
        epochs, "--batch-size", 16, "--checkpoint-every", 1, "--jobs", jobs, "--out", out,
    ]  # fmt: skip
    return subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        start_new_session=True,
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
        assert not temporary_files(out)
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


def test_stack_size_is_what_half_the_free_memory_holds(tiny):
    """Bytes by hand for the lab's network: 4 (6 P + 4 * 1000 * (784 + 256 + 128 + 10)) + order."""
    each = 4 * (6 * 235_146 + 4 * 1000 * 1178) + 8 * len(tiny.x_train)

    def gpu(free):
        runtime = SimpleNamespace(memGetInfo=lambda: (free, 80 * 2**30))
        return Device("gpu", SimpleNamespace(cuda=SimpleNamespace(runtime=runtime)), "")

    assert sweep.stack_size(gpu(2 * 64 * each), Config(), tiny) == 64
    assert sweep.stack_size(gpu(2 * 64 * each - 2), Config(), tiny) == 63
    assert sweep.stack_size(gpu(0), Config(), tiny) == 1
    assert sweep.stack_size(select_device("cpu"), Config(), tiny) == 1


def test_stacks_hold_what_differs_in_seed_and_rate_only():
    a, b, c = Config(seed=1), Config(seed=2, learning_rate=0.1), Config(seed=1, activation="tanh")
    assert sweep.stacks([a, c, b], 8) == [[a, b], [c]]
    assert sweep.stacks([a, c, b], 1) == [[a], [b], [c]]
