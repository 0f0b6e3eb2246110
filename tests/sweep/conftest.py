"""What the tests of this room share: a sweep of tiny runs, in this process, without figures."""

import pytest

import exp3
from nnlite.training import Training
from sweeps import GRID, undisturbed


@pytest.fixture
def lab(tmp_path, tiny, monkeypatch):
    """Call it to run the sweep of GRID; it returns the exit code. lab.out is where to."""
    monkeypatch.setattr(exp3, "load", lambda *args, **kwargs: tiny)
    monkeypatch.setattr(exp3, "draw", lambda *args: 0)
    monkeypatch.setattr(exp3, "draw_run", None)

    usual = {
        "--activation": "relu tanh",
        "--optimizer": "adam",
        "--seed": "1 2",
        "--hidden": "6 5",
        "--batch-size": "64",
        "--epochs": "4",
        "--device": "cpu",
        "--jobs": "1",
    }

    def run(*options):
        """What is usual here, unless options say otherwise."""
        words = [f"{flag} {value}" for flag, value in usual.items() if flag not in options]
        words = [*" ".join(words).split(), "--out", str(tmp_path / "out"), *map(str, options)]
        try:
            return exp3.main(words)
        except SystemExit as stop:
            return stop.code

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
