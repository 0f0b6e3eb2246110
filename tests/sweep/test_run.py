"""sweep/run.py: whatever happens to a sweep, nothing finished is lost or changed."""

import csv
import errno
import io
import json
import math
import os
import re
import shutil
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout, suppress
from dataclasses import replace
from pathlib import Path

import pytest

import exp3
from conftest import posix
from nnlite import Config
from nnlite.training import Training, loop, train
from sweep import results
from sweep.locks import hold
from sweep.memory import free_memory
from sweep.options import check_writable
from sweep.progress import Progress
from sweeps import (
    CPU,
    FIRST,
    FOURTH,
    GRID,
    SECOND,
    THIRD,
    at_epoch,
    full,
    interrupt,
    logs_in,
    same,
    temporary_files,
    undisturbed,
)


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
    assert "4 logs, " in capsys.readouterr().out


def test_an_interrupted_sweep_has_whole_grids(lab, epochs_run, monkeypatch):
    with monkeypatch.context() as patch:
        at_epoch(patch, THIRD, 2, interrupt)
        assert lab() == 130
    ends = [(run_id.split("_")[0], run_id[-5:]) for run_id in logs_in(lab.out)]
    assert ends == [("relu", "seed1"), ("tanh", "seed1")]
    assert lab() == 0
    assert list(dict.fromkeys(run_id for run_id, _ in epochs_run)) == [FIRST, SECOND, THIRD, FOURTH]


def test_restart_runs_everything_again(lab, expected, epochs_run, monkeypatch):
    with monkeypatch.context() as patch:  # leaves two finished, and a checkpoint of the third
        at_epoch(patch, THIRD, 3, interrupt)
        assert lab("--checkpoint-every", 1) == 130
    epochs_run.clear()
    assert lab("--restart") == 0 and len(epochs_run) == 16
    assert logs_in(lab.out) == expected


def test_an_interrupted_restart_says_how_it_goes_on_and_does(
    lab, expected, epochs_run, monkeypatch, capsys
):
    lab()
    before = {path: path.read_bytes() for path in lab.out.glob("*/training_log.json")}
    epochs_run.clear()
    with monkeypatch.context() as patch:
        at_epoch(patch, SECOND, 3, interrupt)
        assert lab("--restart", "--checkpoint-every", 1) == 130
    assert "the same command without --restart goes on from here" in capsys.readouterr().out
    assert logs_in(lab.out) == {FIRST: expected[FIRST]}
    assert lab() == 0 and logs_in(lab.out) == expected
    assert epochs_run == [(run_id, epoch) for run_id in expected for epoch in range(1, 5)]
    for path, text in before.items():
        assert (lab.out / f"{path.parent.name}.old1" / path.name).read_bytes() == text


def test_other_settings_run_again_and_the_old_ones_are_kept(lab, expected, tiny, capsys):
    assert lab() == 0
    assert lab("--epochs", 2) == 0
    assert capsys.readouterr().out.count("moved to") == 4
    assert logs_in(lab.out) == undisturbed([replace(c, epochs=2) for c in GRID], tiny)
    for run_id, log in expected.items():
        old = lab.out / f"{run_id}.old1" / "training_log.json"
        assert same(json.loads(old.read_text())) == log
    assert len([path for path in lab.out.iterdir() if path.is_dir()]) == 8


def test_edited_code_runs_again_and_the_old_runs_are_kept(
    lab, expected, epochs_run, monkeypatch, capsys
):
    """An edit is a new start of Python, which is what the patch stands for here."""
    with monkeypatch.context() as patch:  # leaves two finished, and a checkpoint of the third
        at_epoch(patch, THIRD, 3, interrupt)
        assert lab("--checkpoint-every", 1) == 130
    epochs_run.clear()
    capsys.readouterr()
    monkeypatch.setattr("nnlite.training.identity.code_hash", lambda: "0123456789abcdef")
    assert lab() == 0 and len(epochs_run) == 16  # not from the old checkpoint either
    out = capsys.readouterr().out
    assert "finished already" not in out and out.count("nnlite's code has changed since") == 2
    for run_id in (FIRST, SECOND):
        old = lab.out / f"{run_id}.old1" / "training_log.json"
        assert same(json.loads(old.read_text())) == expected[run_id]
    logs = logs_in(lab.out)
    assert {log["versions"].pop("code") for log in logs.values()} == {"0123456789abcdef"}


def test_a_run_that_other_code_has_computed_meanwhile_is_missing(lab, monkeypatch, capsys):
    """As when somebody edits nnlite during a sweep, and a worker starts after that."""
    new_log = loop.new_log

    def edited(config, *others):
        log = new_log(config, *others)
        log["versions"]["code"] = "edited" if config == GRID[1] else log["versions"]["code"]
        return log

    with monkeypatch.context() as patch:
        patch.setattr(loop, "new_log", edited)
        assert lab() == 1
    assert set(logs_in(lab.out)) == {FIRST, THIRD, FOURTH}
    error = capsys.readouterr().err
    assert f"MISSING {SECOND}: " in error and "nnlite's code has changed since" in error
    assert lab() == 0 and len(logs_in(lab.out)) == 4


def test_a_checkpoint_goes_only_after_its_log_is_on_the_disk(lab, expected, monkeypatch):
    """If the power fails in between, the run goes on from its last checkpoint."""
    calls, fsync, rename, unlink = [], os.fsync, os.replace, Path.unlink

    def spy_on_unlink(path, **options):
        if path.name == results.CHECKPOINT and path.exists():
            assert (path.parent / results.LOG).exists()
            calls.append("delete checkpoint")
        unlink(path, **options)

    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append("sync"), fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append(Path(b).name), rename(a, b)))
    monkeypatch.setattr(Path, "unlink", spy_on_unlink)
    assert lab("--checkpoint-every", 1) == 0 and logs_in(lab.out) == expected
    assert calls.count("delete checkpoint") == 4
    for k, call in enumerate(calls):
        if call == "delete checkpoint":
            assert calls[k - 3 : k] == ["sync", results.LOG, "sync"]  # content, name, folder


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
    assert [epoch for run_id, epoch in epochs_run if run_id == THIRD] == [1, 2, 3, 4]
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
    assert [epoch for run_id, epoch in epochs_run if run_id == THIRD].count(1) == 1


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


def test_a_directory_removed_during_the_sweep(lab, expected, monkeypatch):
    """All logs are in memory still: they are saved again, or else the exit code tells."""
    at_epoch(monkeypatch, THIRD, 2, lambda: shutil.rmtree(lab.out))
    code = lab()
    assert code == 1 or (code == 0 and logs_in(lab.out) == expected)


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


# ---- what is known before any work


def refused(lab, capsys, epochs_run, *options):
    """Return the one sentence; nothing was trained."""
    assert lab(*options) == 2 and epochs_run == []
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "goes on" not in error
    return error


def test_a_file_in_place_of_a_run_s_folder(lab, expected, capsys, epochs_run):
    lab.out.mkdir()
    (lab.out / THIRD).write_text("precious")
    assert f"{lab.out / THIRD} is a file" in refused(lab, capsys, epochs_run)
    assert (lab.out / THIRD).read_text() == "precious"
    (lab.out / THIRD).unlink()
    assert lab() == 0 and logs_in(lab.out) == expected


@pytest.mark.parametrize("text", ["{", '{"epoch": [1], "train_loss": [0.5]}', "[]"])
def test_a_foreign_log_in_out(lab, capsys, epochs_run, text):
    path = lab.out / "notebook" / "training_log.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    error = refused(lab, capsys, epochs_run)
    assert str(path) in error and "move its folder elsewhere or delete it" in error
    assert path.read_text() == text


def test_a_foreign_log_that_appears_meanwhile_is_no_reason_to_go_on(lab, monkeypatch, capsys):
    def appear():
        (lab.out / "notebook").mkdir()
        (lab.out / "notebook" / "training_log.json").write_text("{")

    at_epoch(monkeypatch, THIRD, 2, appear)
    assert lab() == 1
    error = capsys.readouterr().err
    assert "move its folder elsewhere" in error and "goes on" not in error


def test_a_single_image(lab, tiny, monkeypatch, capsys, epochs_run):
    one = replace(tiny, x_train=tiny.x_train[:1], y_train=tiny.y_train[:1])
    monkeypatch.setattr(exp3, "load", lambda *args, **kwargs: one)
    assert "1 training image: give at least two" in refused(lab, capsys, epochs_run)


def test_a_network_larger_than_memory(lab, capsys, epochs_run):
    error = refused(lab, capsys, epochs_run, "--hidden", 10_000_000, 10_000_000)
    assert "--hidden" in error and "GB of memory" in error
    refused(lab, capsys, epochs_run, "--hidden", 10**30)


@posix
def test_limits_of_memory_are_seen(monkeypatch):
    import resource

    assert 2**20 < free_memory() < math.inf
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2**20, -1))
    assert free_memory() == 2**20


@posix
def test_names_longer_than_a_file_s(lab, capsys, epochs_run):
    error = refused(lab, capsys, epochs_run, "--hidden", *range(100, 170))
    assert "File name too long" in error and "--hidden" in error


# ---- nobody listens


class Broken(io.StringIO):
    """A stream that breaks after some lines; `errors` counts how often."""

    errors = 0

    def __init__(self, lines):
        super().__init__()
        self.lines = lines

    def write(self, text):
        self.lines -= text.count("\n")
        if self.lines < 0:
            self.errors += 1
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")
        return super().write(text)


@pytest.mark.parametrize("lines", [0, 3, 14, 20, 30])
def test_a_broken_pipe_ends_the_talking_only(lab, expected, monkeypatch, capsys, lines):
    with redirect_stdout(Broken(lines)) as stream:
        assert lab() == 1
    assert stream.errors == 1 and logs_in(lab.out) == expected
    assert (lab.out / "conclusions.txt").exists()
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "Broken pipe" in error and str(lab.out) not in error


def test_without_any_stream_it_works(lab, expected, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert lab() == 0 and logs_in(lab.out) == expected


def test_a_run_is_saved_before_its_end_is_told(lab, expected, monkeypatch):
    forget = Progress.forget

    def saved(progress, run_ids):
        for run_id in run_ids:
            assert (lab.out / run_id / "training_log.json").exists()
        forget(progress, run_ids)

    monkeypatch.setattr(Progress, "forget", saved)
    assert lab() == 0


# ---- two commands at once


def test_a_run_that_another_command_trains_is_waited_for(lab, expected, epochs_run, capfd, tiny):
    (lab.out / FIRST).mkdir(parents=True)
    lock = hold(lab.out / FIRST / "lock")

    def end():
        said, patience = "", time.monotonic() + 60
        while f"{FIRST}: another command is training it" not in said:
            said += capfd.readouterr().out
            assert time.monotonic() < patience
            time.sleep(0.05)
        results.save_run(train([GRID[0]], tiny)[0], lab.out)

    with ThreadPoolExecutor() as pool:
        other = pool.submit(end)
        other.add_done_callback(lambda _: lock.close())
        assert lab() == 0
        other.result()
    assert logs_in(lab.out) == expected
    assert sum(run_id == FIRST for run_id, _ in epochs_run) == 4  # the other's
    assert not list(lab.out.glob("*/lock"))


def test_a_lock_that_a_dead_process_left_is_nobody_s(lab, expected, capsys):
    (lab.out / FIRST).mkdir(parents=True)
    (lab.out / FIRST / "lock").touch()
    assert lab() == 0 and logs_in(lab.out) == expected
    assert "another command" not in capsys.readouterr().out


def test_many_probes_of_one_directory_at_once(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        assert not any(pool.map(check_writable, [tmp_path] * 800))
    assert list(tmp_path.iterdir()) == []


def test_old_runs_are_moved_aside_once(lab, expected, tiny):
    """By eight commands with other settings at once."""
    longer = replace(GRID[0], epochs=5)
    for turn in range(1, 11):
        results.save_run(train([GRID[0]], tiny)[0], lab.out)
        barrier = threading.Barrier(8)

        def look(_, barrier=barrier):
            barrier.wait()
            return results.finished_log(longer, tiny, CPU, lab.out)

        with ThreadPoolExecutor(8) as pool:
            assert not any(pool.map(look, range(8)))
        names = {f"{FIRST}.old{n}" for n in range(1, turn + 1)}
        assert {path.name for path in lab.out.iterdir()} == names


# ---- divergence


def test_a_run_that_diverges_ends_itself_and_not_the_sweep(lab, tiny, capsys):
    cells = [("sgd", 0.01), ("sgd_momentum", 0.01), ("sgd", 100), ("sgd_momentum", 10)]
    runs = [Config(optimizer=o, learning_rate=r, epochs=2, batch_size=16) for o, r in cells]
    axes = ["--activation", "relu", "--seed", 42, "--optimizer", "sgd", "sgd_momentum"]
    settings = ["--hidden", 256, 128, "--epochs", 2, "--batch-size", 16]
    assert lab(*axes, *settings, "--lr", 0.01, 10, 100) == 0
    logs, table = logs_in(lab.out), capsys.readouterr().out.split("best val")[1]
    assert len(logs) == 6
    for config in runs[:2]:
        assert logs[config.run_id]["diverged"] is None and logs[config.run_id]["test_accuracy"] > 0
    with (lab.out / "summary.csv").open(newline="") as file:
        summary = {row["experiment_id"]: row for row in csv.DictReader(file)}
    for config in runs[2:]:
        run_id = config.run_id
        assert logs[run_id] == undisturbed([config], tiny)[run_id]
        epoch, step = logs[run_id]["diverged"].values()
        cell = rf"^{config.optimizer}, lr {config.learning_rate:g} +1 \(1 diverged\)"
        assert re.search(cell, table, re.M)
        assert summary[run_id]["diverged"] == f"epoch {epoch} step {step}"
    for path in lab.out.rglob("*.json"):
        assert "NaN" not in path.read_text() and "Infinity" not in path.read_text()
