"""nnlite.training.checkpoint: a training that was interrupted goes on as if nothing had happened.

A checkpoint is a file of arrays, so much of what can be wrong with it is tested in test_files.py.
"""

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import nnlite
from nnlite import MLP, Config
from nnlite.backend import select_device
from nnlite.files import read_arrays
from nnlite.optimizers import OPTIMIZERS
from nnlite.schedulers import SCHEDULERS
from nnlite.training import Training, train
from nnlite.training.checkpoint import seal
from nnlite.training.logs import verify
from test_files import Trap, assert_refused, damaged, little_memory
from test_saving import edited

CPU = select_device("cpu")
SMALL = Config("tanh", "adam", hidden=(6, 5), epochs=4, batch_size=64)


def without_time(logs):
    differ = ("epoch_time", "sha256")
    return [{key: value for key, value in log.items() if key not in differ} for log in logs]


def interrupted(configs, data, path, epoch, device=CPU):
    """Train, and go on from a checkpoint in another Training after so many epochs."""
    first = Training(configs, data, device)
    while first.epoch < epoch:
        first.run_epoch()
    first.save(path)
    second = Training(configs, data, device)
    second.resume(path)
    assert second.epoch == epoch
    while not second.done:
        second.run_epoch()
    return second.finish()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_resumed_run_is_the_undisturbed_one_to_the_bit(tiny, tmp_path, optimizer, scheduler):
    config = replace(SMALL, optimizer=optimizer, scheduler=scheduler)
    logs = interrupted([config], tiny, tmp_path / "checkpoint", epoch=2)
    assert without_time(logs) == without_time(train([config], tiny))


@pytest.mark.parametrize("epoch", [0, 1, 2, 3, 4])
def test_at_any_epoch_and_in_a_stack(tiny, tmp_path, epoch):
    configs = [SMALL, replace(SMALL, seed=1), replace(SMALL, learning_rate=0.1)]
    logs = interrupted(configs, tiny, tmp_path / "checkpoint", epoch)
    assert without_time(logs) == without_time(train(configs, tiny))
    for log in logs:  # what is measured only at the start, the first epoch and the last
        verify(log)
        assert log["initial"]["probe"]["act1"]["dead"] == 0
        assert list(log["histograms"]["first"]) == list(log["histograms"]["last"]) != []
        assert log["histograms"]["first"] != log["histograms"]["last"]


def test_the_start_is_looked_at_once(tiny, tmp_path, monkeypatch):
    looks, look = [], Training.look_at_start
    monkeypatch.setattr(Training, "look_at_start", lambda self: (looks.append(1), look(self)))
    interrupted([SMALL], tiny, tmp_path / "checkpoint", 2)
    assert len(looks) == 1


def test_interrupted_after_every_epoch(tiny, tmp_path):
    for _ in range(SMALL.epochs):
        training = Training([SMALL], tiny, CPU)
        if (tmp_path / "checkpoint").exists():
            training.resume(tmp_path / "checkpoint")
        training.run_epoch()
        training.save(tmp_path / "checkpoint")
    assert without_time(training.finish()) == without_time(train([SMALL], tiny))
    assert len(training.logs[0]["epoch_time"]) == SMALL.epochs


@pytest.mark.filterwarnings("error")
def test_one_of_a_stack_that_has_diverged_by_then(tiny, tmp_path):
    tame = replace(SMALL, activation="relu", optimizer="sgd", learning_rate=0.05)
    configs = [tame, replace(tame, learning_rate=1e6)]
    logs = interrupted(configs, tiny, tmp_path / "checkpoint", 3)
    assert logs[1]["diverged"] and len(logs[1]["epoch"]) < 3
    assert without_time(logs) == without_time(train(configs, tiny))


def test_on_a_device(strict_cupy, tiny, tmp_path):
    gpu = select_device("gpu")
    configs = [SMALL, replace(SMALL, seed=1)]
    logs = interrupted(configs, tiny, tmp_path / "checkpoint", 2, gpu)
    assert without_time(logs) == without_time(train(configs, tiny, gpu))


@pytest.fixture
def checkpoint(tiny, tmp_path):
    """The path of a checkpoint of SMALL after two epochs."""
    training = Training([SMALL], tiny, CPU)
    training.run_epoch()
    training.run_epoch()
    training.save(tmp_path / "checkpoint.npz")
    return tmp_path / "checkpoint.npz"


@pytest.mark.parametrize(
    "changes",
    [
        {"activation": "relu"},
        {"optimizer": "adamw"},
        {"learning_rate": 0.002},
        {"scheduler": "cosine"},
        {"seed": 43},
        {"epochs": 5},
        {"batch_size": 32},
        {"init": "he"},
        {"hidden": (5, 6)},
    ],
    ids=str,
)
def test_checkpoints_of_other_runs_are_refused(tiny, checkpoint, changes):
    assert_refused(Training([replace(SMALL, **changes)], tiny, CPU).resume, checkpoint)


def test_checkpoints_of_other_stacks_data_devices_and_versions_are_refused(
    tiny, checkpoint, monkeypatch
):
    others = [
        Training([SMALL, replace(SMALL, seed=1)], tiny, CPU),
        Training([SMALL], replace(tiny, name="other"), CPU),
        Training([SMALL], replace(tiny, x_test=tiny.x_test + 1), CPU),
        Training([SMALL], tiny, CPU._replace(description="CPU (NumPy 0.1)")),
    ]
    monkeypatch.setattr("nnlite.training.identity.__version__", "0.0.1")
    others.append(Training([SMALL], tiny, CPU))
    for training in others:
        assert_refused(training.resume, checkpoint)


def test_a_checkpoint_that_other_code_made_is_refused_and_the_reason_given(
    tiny, checkpoint, monkeypatch
):
    monkeypatch.setattr("nnlite.training.identity.code_hash", lambda: "0123456789abcdef")
    with pytest.raises(ValueError, match="nnlite's code has changed since"):
        Training([SMALL], tiny, CPU).resume(checkpoint)


NAMES = ("theta", "optimizer__m", "optimizer__v")
BAD_CHECKPOINTS = {
    **{f"no {name}": {name: None} for name in (*NAMES, "optimizer__t", "about")},
    **{f"{name} float64": {name: np.zeros(4805, "float64")} for name in NAMES},
    **{f"{name} integers": {name: np.zeros(4805, "int32")} for name in NAMES},
    **{f"{name} complex": {name: np.zeros(4805, "complex64")} for name in NAMES},
    **{f"{name} of text": {name: np.zeros(4805, "U1")} for name in NAMES},
    **{f"{name} a number": {name: np.float32(1)} for name in NAMES},
    **{f"{name} too short": {name: np.zeros(4804, "float32")} for name in NAMES},
    **{f"{name} of a stack": {name: np.zeros((1, 4805), "float32")} for name in NAMES},
    "t a vector": {"optimizer__t": np.zeros(4805, "float32")},
    "t a fraction": {"optimizer__t": 2.5},
    "t text": {"optimizer__t": "two"},
    "not JSON": {"about": "{"},
    "deep JSON": {"about": "[" * 100_000},
    "a list": {"about": "[]"},
    "empty": {"about": "{}"},
    "no logs": {"about": {"logs": []}},
    "logs of another kind": {"about": {"logs": ["log"]}},
    "no epoch": {"about": {"epoch": None}},
    "another epoch": {"about": {"epoch": 3}},
    "epoch of text": {"about": {"epoch": "2"}},
    "epoch with a point": {"about": {"epoch": 2.0}},
    "no random states": {"about": {"random": []}},
    "random state of another kind": {"about": {"random": [7]}},
    "random state without streams": {"about": {"random": [{}]}},
}
PCG = {"bit_generator": "PCG64", "state": {"state": 1, "inc": 1}, "has_uint32": 0, "uinteger": 0}
STATES = {
    "another generator": PCG | {"bit_generator": "MT19937"},
    "without numbers": PCG | {"state": None},
    "with text": PCG | {"state": {"state": "one", "inc": 1}},
    "negative": PCG | {"state": {"state": -1, "inc": 1}},
    "too large": PCG | {"state": {"state": 2**200, "inc": 1}},
}
for name, state in STATES.items():
    streams = dict.fromkeys(("split", "weights", "batches", "probe"), state)
    BAD_CHECKPOINTS[f"random state {name}"] = {"about": {"random": [streams]}}


@pytest.mark.parametrize("changes", BAD_CHECKPOINTS.values(), ids=BAD_CHECKPOINTS)
def test_bad_checkpoints_are_refused(tiny, checkpoint, changes):
    assert read_arrays(checkpoint)["theta"].shape == (4805,)
    edited(checkpoint, **changes)
    assert_refused(Training([SMALL], tiny, CPU).resume, checkpoint)
    with suppress(Exception):  # there may be nothing to seal
        resealed(checkpoint)
    assert_refused(Training([SMALL], tiny, CPU).resume, checkpoint)


def resealed(path):
    """Make the checksums of a checkpoint fit again."""
    arrays = read_arrays(path)
    about = json.loads(str(arrays.pop("about")))
    seal(about, arrays)
    np.savez(path, **arrays, about=np.array(json.dumps(about)))


CHANGES = {
    "a loss": {"about": lambda about: about["logs"][0]["train_loss"].__setitem__(0, 0.5)},
    "a list for a number": {"about": lambda about: about["logs"][0].update(epoch_time=3)},
    "half a log": {"about": lambda about: about["logs"][0].pop("gradient_stats")},
    "a random state": {
        "about": lambda about: about["random"][0]["batches"]["state"].update(state=1)
    },
    "one more key": {"about": lambda about: about.update(more=1)},
    "no checksum": {"about": lambda about: about.pop("sha256")},
    "another checksum": {"about": lambda about: about.update(sha256="0" * 64)},
    "a weight": {"theta": lambda theta: theta.__setitem__(7, 0.5)},
    "what Adam remembers": {"optimizer.m": lambda m: m.__setitem__(7, 0.5)},
    "the number of steps": {"optimizer.t": lambda t: t.__setitem__((), 3)},
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_a_checkpoint_in_which_anything_was_changed_is_refused(tiny, checkpoint, changes):
    arrays = read_arrays(checkpoint)
    about = json.loads(str(arrays["about"]))
    for name, change in changes.items():
        change(about if name == "about" else arrays[name])
    np.savez(checkpoint, **arrays | {"about": np.array(json.dumps(about))})
    with pytest.raises(ValueError, match="checksum|sha256"):
        Training([SMALL], tiny, CPU).resume(checkpoint)


def test_logs_are_sealed_at_the_end_not_in_a_checkpoint(tiny, checkpoint):
    training = Training([SMALL], tiny, CPU)
    training.resume(checkpoint)
    assert "sha256" not in training.logs[0]
    verify(training.finish()[0])


def test_a_missing_checkpoint_is_an_os_error(tiny, tmp_path):
    with pytest.raises(OSError):
        Training([SMALL], tiny, CPU).resume(tmp_path / "missing.npz")


def test_a_saved_network_is_no_checkpoint_and_the_other_way_round(tiny, checkpoint, tmp_path):
    assert_refused(nnlite.load, checkpoint)
    nnlite.save(MLP([784, 6, 5, 10], "tanh"), tmp_path / "model")
    assert_refused(Training([SMALL], tiny, CPU).resume, tmp_path / "model")


def state_of(training):
    """All that the next epoch depends on."""
    optimizer = [np.copy(getattr(training.optimizer, name)) for name in training.optimizer.state]
    random = [g.bit_generator.state for streams in training.random for g in streams.values()]
    return training.epoch, training.logs, training.model.theta.tolist(), str(optimizer), random


def test_damaged_checkpoints_are_refused_or_read_as_they_were(tiny, checkpoint):
    sound = Training([SMALL], tiny, CPU)
    sound.resume(checkpoint)
    expected, refused = state_of(sound), 0
    for data in damaged(checkpoint.read_bytes(), 90):
        checkpoint.write_bytes(data)
        training = Training([SMALL], tiny, CPU)
        with little_memory():
            try:
                training.resume(checkpoint)
            except ValueError as error:
                refused += 1
                assert str(checkpoint) in str(error)
                continue
        assert state_of(training) == expected
    assert refused > 60


def test_a_checkpoint_holds_no_pickles(tiny, checkpoint):
    sprung = Path(f"{checkpoint}.sprung")
    arrays = read_arrays(checkpoint)
    np.savez(checkpoint, **{**arrays, "optimizer.m": np.array([Trap(sprung)])})
    assert_refused(Training([SMALL], tiny, CPU).resume, checkpoint)
    assert not sprung.exists()
