"""Sweeps of tiny runs that several test files start, and what should come of them."""

import errno
import json
from dataclasses import replace

from nnlite import Config
from nnlite.backend import select_device
from nnlite.training import Training, train
from sweep import results

CPU = select_device("cpu")
SMALL = Config(hidden=(6, 5), epochs=4, batch_size=64)
GRID = [replace(SMALL, activation=a, seed=s) for s in (1, 2) for a in ("relu", "tanh")]
FIRST, SECOND, THIRD, FOURTH = (config.run_id for config in GRID)


def same(log):
    """What is the same whenever and wherever a run is repeated."""
    varies = ("epoch_time", "sha256")
    return {key: value for key, value in json.loads(json.dumps(log)).items() if key not in varies}


def logs_in(out):
    """The logs in a directory, by run id."""
    return {log["experiment_id"]: same(log) for log in results.load_logs(out)}


def undisturbed(configs, data):
    """What the logs of a sweep should be, without a sweep."""
    return {config.run_id: same(train([config], data, CPU)[0]) for config in configs}


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


def full(*args, **options):
    raise OSError(errno.ENOSPC, "No space left on device")


def temporary_files(out):
    return [path for path in out.rglob("*.tmp")]
