"""sweep/results.py: what counts as finished, what is kept, which logs are believed."""

import csv
import errno
import json
import os
import re
from dataclasses import replace

import pytest

from nnlite import Config
from nnlite.activations import ACTIVATIONS
from nnlite.backend import select_device
from nnlite.training import train
from nnlite.training.logs import seal, summarize
from sweep import results
from test_files import damaged, little_memory

CPU = select_device("cpu")
CONFIG = Config(hidden=(6, 5), epochs=3, batch_size=64)
RUN = CONFIG.run_id
WILD = replace(CONFIG, optimizer="sgd", learning_rate=1e6)
LATER = replace(WILD, activation="leaky_relu", learning_rate=10)


@pytest.fixture(scope="module")
def text(tiny):
    """The log of CONFIG, as a text."""
    (log,) = train([CONFIG], tiny)
    return json.dumps(log)


@pytest.fixture
def log(text):
    return json.loads(text)


@pytest.fixture(scope="module")
def diverged_text(tiny):
    (log,) = train([WILD], tiny)
    assert log["diverged"]
    return json.dumps(log)


@pytest.fixture
def saved(log, tmp_path):
    """A directory with the log of CONFIG."""
    results.save_run(log, tmp_path)
    return tmp_path


def read(path):
    """What is in a JSON file, which has no NaN."""

    def refuse(number):
        raise AssertionError(f"{path} holds {number}")

    return json.loads(path.read_text(), parse_constant=refuse)


# ---- saving


def test_a_saved_run_is_two_files_of_plain_json(saved, log):
    names = {path.relative_to(saved).as_posix() for path in saved.rglob("*")}
    assert names == {RUN, f"{RUN}/summary.json", f"{RUN}/training_log.json"}
    assert read(saved / RUN / "training_log.json") == log
    assert read(saved / RUN / "summary.json") == summarize(log)


def test_a_diverged_run_is_saved_without_nan(diverged_text, tmp_path):
    log = json.loads(diverged_text)
    results.save_run(log, tmp_path)
    assert read(tmp_path / WILD.run_id / "training_log.json") == log
    assert read(tmp_path / WILD.run_id / "summary.json")["diverged"] == log["diverged"]


def test_nan_is_refused_and_the_old_file_stays(tmp_path):
    results.write_json(tmp_path / "file.json", {"loss": None})
    for number in (float("nan"), float("inf")):
        with pytest.raises(ValueError):
            results.write_json(tmp_path / "file.json", {"loss": number})
    assert read(tmp_path / "file.json") == {"loss": None}


def no_space(*args):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_leaves_finished_results_as_they_are(saved, log, monkeypatch):
    before = {path: path.read_bytes() for path in saved.rglob("*.json")}
    again = log | {"test_loss": 7.0}
    seal(again)
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", no_space)
        with pytest.raises(OSError):
            results.save_run(again, saved)
        with pytest.raises(OSError):
            results.save_run(again | {"experiment_id": "another"}, saved)
        with pytest.raises(OSError):
            results.write_summary_csv(saved)
    assert {path: path.read_bytes() for path in saved.rglob("*.json")} == before


# ---- what counts as finished


def finished(config, data, out):
    return results.finished_log(config, data, CPU, out)


def test_the_same_run_is_finished(tiny, saved, log):
    assert finished(CONFIG, tiny, saved) == log
    moved = replace(tiny, source="another place", note="another note")
    assert finished(CONFIG, moved, saved) == log  # the same data
    assert [path.name for path in saved.iterdir()] == [RUN]


def test_what_is_not_there_or_not_finished_is_not(tiny, tmp_path):
    assert finished(CONFIG, tiny, tmp_path) is finished(CONFIG, tiny, tmp_path / "none") is None
    (tmp_path / RUN).mkdir()
    (tmp_path / RUN / "checkpoint.npz").touch()
    assert finished(CONFIG, tiny, tmp_path) is None
    assert (tmp_path / RUN / "checkpoint.npz").exists()


@pytest.mark.parametrize(
    "changes", [{"batch_size": 32}, {"init": "he"}, {"hidden": (5, 6)}, {"seed": 1}], ids=str
)
def test_runs_of_other_names_leave_each_other_alone(tiny, saved, log, changes):
    assert finished(replace(CONFIG, **changes), tiny, saved) is None
    assert [path.name for path in saved.iterdir()] == [RUN]
    assert finished(CONFIG, tiny, saved) == log


def test_more_epochs_are_another_run_of_the_same_name(tiny, saved, capsys):
    before = (saved / RUN / "training_log.json").read_bytes()
    assert finished(replace(CONFIG, epochs=4), tiny, saved) is None
    assert [path.name for path in saved.iterdir()] == [f"{RUN}.old1"]
    assert (saved / f"{RUN}.old1" / "training_log.json").read_bytes() == before
    assert f"moved to {saved / RUN}.old1" in capsys.readouterr().out


def test_other_data_and_another_version_are_another_run(tiny, saved, log, monkeypatch):
    pixel = tiny.x_train.copy()
    pixel[0, 0] ^= 1
    assert finished(CONFIG, replace(tiny, x_train=pixel), saved) is None
    results.save_run(log, saved)
    monkeypatch.setattr("nnlite.training.identity.__version__", "9.9")
    assert finished(CONFIG, tiny, saved) is None
    assert sorted(path.name for path in saved.iterdir()) == [f"{RUN}.old1", f"{RUN}.old2"]
    monkeypatch.undo()
    results.save_run(log, saved)
    assert finished(CONFIG, tiny, saved) == log


def test_a_run_of_other_code_is_another_run_and_it_says_so(tiny, saved, log, monkeypatch, capsys):
    monkeypatch.setattr("nnlite.training.identity.code_hash", lambda: "0123456789abcdef")
    assert finished(CONFIG, tiny, saved) is None
    assert read(saved / f"{RUN}.old1" / "training_log.json") == log
    out = capsys.readouterr().out
    assert out.count("\n") == 1 and f"{RUN}: " in out and "nnlite's code has changed since" in out


def test_a_run_is_safe_on_the_disk_once_it_is_saved(log, tmp_path, monkeypatch):
    """So the checkpoint, which goes next, is not needed any more, even if the power fails."""
    calls, rename = [], os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: calls.append(os.stat(fd).st_ino))
    monkeypatch.setattr(os, "replace", lambda *paths: (calls.append("rename"), rename(*paths)))
    results.save_run(log, tmp_path)
    folder, file = ((tmp_path / name).stat().st_ino for name in (RUN, f"{RUN}/training_log.json"))
    assert calls[0] == tmp_path.stat().st_ino and calls[-3:] == [file, "rename", folder]


def test_a_damaged_log_is_another_run(tiny, saved, text):
    (saved / RUN / "training_log.json").write_text(text[:1000])
    assert finished(CONFIG, tiny, saved) is None
    assert (saved / f"{RUN}.old1" / "training_log.json").read_text() == text[:1000]


def test_a_finished_run_is_not_overwritten_by_another(saved, log):
    """As happens when two sweeps with other data share a directory."""
    other = log | {"dataset": log["dataset"] | {"checksum": "another"}}
    seal(other)
    results.save_run(other, saved)
    assert read(saved / RUN / "training_log.json") == other
    assert read(saved / f"{RUN}.old1" / "training_log.json") == log
    results.save_run(other | {"epoch_time": [1.0, 2.0, 3.0]}, saved)  # the same: takes its place
    assert len(list(saved.iterdir())) == 2


# ---- reading


def test_logs_are_sorted_and_what_was_moved_aside_is_left_out(saved, log, tiny):
    first = json.loads(json.dumps(log))
    first["experiment_id"], first["config"]["seed"] = RUN.replace("seed42", "seed41"), 41
    seal(first)
    results.save_run(first, saved)
    (saved / RUN).rename(saved / f"{RUN}.old1")
    results.save_run(log, saved)
    (saved / "figures").mkdir()
    assert results.load_logs(saved) == [first, log]


def test_a_directory_without_logs_is_refused(tmp_path):
    for out in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ValueError, match=f"^{out} holds no runs"):
            results.load_logs(out)


def test_a_single_changed_digit_is_refused(saved, log):
    path = saved / RUN / "training_log.json"
    assert results.read_log(path) == log
    sound = path.read_text()
    for key in ("val_loss", "epoch_time", "most_wrong", "versions"):
        digit = re.compile(r"\d").search(sound, sound.index(f'"{key}"') + 60)
        other = str((int(digit[0]) + 1) % 10)
        path.write_text(sound[: digit.start()] + other + sound[digit.end() :])
        assert_refused(path, key)


def test_a_log_in_another_folder_is_refused(saved, log):
    """Where the figures of its own run would be overwritten."""
    (saved / RUN).rename(saved / WILD.run_id)
    assert_refused(saved / WILD.run_id / "training_log.json")


def test_a_log_whose_name_is_not_that_of_its_settings_is_refused(saved, log):
    for name in ("../escaped", "/tmp/escaped", "", WILD.run_id):
        log["experiment_id"] = name
        seal(log)
        path = saved / RUN / "training_log.json"
        path.write_text(json.dumps(log))
        assert_refused(path, name)


def test_settings_that_no_run_can_have_are_refused(saved, log):
    for change in ({"activation": "swish"}, {"epochs": 0}, {"dropout": 0.5}, {"hidden": None}):
        changed = log | {"config": log["config"] | change}
        seal(changed)
        path = saved / RUN / "training_log.json"
        path.write_text(json.dumps(changed))
        assert_refused(path, change)


def test_a_log_of_an_earlier_version_is_refused_in_plain_words(log, tmp_path):
    log["versions"]["nnlite"] = "0.2.0"
    del log["sha256"]
    path = tmp_path / RUN / "training_log.json"
    path.parent.mkdir()
    path.write_text(json.dumps(log))
    with pytest.raises(
        ValueError, match=re.escape(f"{path} is not a readable training log")
    ) as error:
        results.load_logs(tmp_path)
    assert "nnlite 0.2.0" in str(error.value)


def assert_refused(path, what=None):
    try:
        results.read_log(path)
    except ValueError as error:
        message = str(error)
        assert str(path) in message and "\n" not in message and len(message) < 1000, what
    else:
        pytest.fail(f"believed: {what}")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"7",
        b'"text"',
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"NaN",
        b"\xff\xfe{\0}\0",
        b"1" * 10_000,
        bytes(1000),
        b"\x80\x04\x95pickle",
    ],
    ids=lambda data: repr(data[:8]),
)
def test_what_is_no_log_is_refused(saved, data):
    path = saved / RUN / "training_log.json"
    path.write_bytes(data)
    with little_memory():
        assert_refused(path)
    path.unlink()
    path.mkdir()
    assert_refused(path)


def test_damaged_logs_are_refused_or_say_the_same(text, diverged_text, tmp_path):
    """Nothing but white space can be damaged without being noticed."""
    for sound, run in ((text, RUN), (diverged_text, WILD.run_id)):
        path = tmp_path / run / "training_log.json"
        path.parent.mkdir()
        refused = 0
        for data in damaged(sound.encode(), 150):
            path.write_bytes(data)
            with little_memory():
                try:
                    assert results.read_log(path) == json.loads(sound)
                except ValueError as error:
                    refused += 1
                    assert str(path) in str(error) and "\n" not in str(error)
        assert refused > 140


SOUND = [
    *[replace(CONFIG, activation=activation, epochs=1) for activation in ACTIVATIONS],
    replace(CONFIG, hidden=(), init="he"),
    replace(CONFIG, hidden=(7,) * 6, batch_size=1000, scheduler="cosine"),
    replace(CONFIG, epochs=30),  # without a mistake
    WILD,
    LATER,
    replace(WILD, learning_rate=1e38, epochs=1, batch_size=1000),  # by the last step
]


@pytest.mark.parametrize("config", SOUND, ids=lambda config: config.run_id)
def test_whatever_training_makes_is_read(tiny, tmp_path, config):
    logs = train([config, replace(config, seed=1)], tiny)
    for log in logs:
        results.save_run(log, tmp_path)
    assert results.load_logs(tmp_path) == sorted(logs, key=lambda log: log["experiment_id"])


def test_a_run_on_a_gpu_is_read(strict_cupy, tiny, tmp_path):
    (log,) = train([CONFIG], tiny, select_device("gpu"))
    results.save_run(log, tmp_path)
    assert results.load_logs(tmp_path) == [log]
    assert log["versions"]["cupy"]


# ---- sweep.json


@pytest.fixture
def two(saved, tiny):
    """A directory with the logs of CONFIG and WILD."""
    results.save_run(train([WILD], tiny)[0], saved)
    return saved


def about(runs):
    return {"study": None, "command": "a command", "tune_seeds": [1], "runs": runs}


def test_a_sweep_has_the_runs_that_sweep_json_names(two, log):
    results.write_json(two / "sweep.json", about([RUN]))
    assert results.load(two) == ([log], about([RUN]))


def test_without_sweep_json_it_has_all_runs(two, log):
    nothing = {"study": None, "command": "", "tune_seeds": [], "runs": []}
    logs, about_it = results.load(two)
    assert [log["experiment_id"] for log in logs] == [RUN, WILD.run_id] and about_it == nothing


def test_a_sweep_of_which_no_run_is_left_has_what_is_there(two):
    results.write_json(two / "sweep.json", about(["gone"]))
    assert len(results.load(two)[0]) == 2


def test_only_runs_with_the_same_data_epochs_and_code_are_comparable(log, capsys):
    other_data = log | {"dataset": log["dataset"] | {"name": "mine", "checksum": "another"}}
    longer = log | {"config": log["config"] | {"epochs": 1}}
    edited = log | {"versions": log["versions"] | {"code": "another"}}
    assert results.comparable([other_data, log, longer, edited, log]) == [log, log]
    out = capsys.readouterr().out.splitlines()
    assert out == [
        "left out, as most have other data, epochs or code: 1 of mine, 3 epochs",
        "left out, as most have other data, epochs or code: 1 of tiny, 1 epoch",
        "left out, as most have other data, epochs or code: 1 of tiny, 3 epochs",
    ]


@pytest.mark.parametrize(
    "change",
    [
        *({"study": study} for study in (1, 0, False, [], {}, ["depth"], "\udcfc")),
        *({"command": command} for command in (None, 0, False, [], ["a"], {})),
        *({"runs": runs} for runs in (None, 0, "", RUN, {}, {RUN: 1}, [7], [None], [[RUN]])),
        *({"tune_seeds": seeds} for seeds in (None, 0, "", {}, {"1": 1}, ["1"], [True], [1.0])),
    ],
    ids=str,
)
def test_a_damaged_sweep_json_is_refused(two, change):
    results.write_json(two / "sweep.json", about([RUN]) | change)
    with pytest.raises(ValueError, match="sweep.json cannot be read"):
        results.load(two)


# ---- summary.csv


def rows(out):
    with (out / "summary.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_summary_csv_has_a_row_a_run_whatever_is_in_it(log, diverged_text, tmp_path):
    name = 'größer, "besser"\n=1+1'
    log["dataset"]["name"] = name
    seal(log)
    wild = json.loads(diverged_text)
    for one in (log, wild):
        results.save_run(one, tmp_path)
    results.write_summary_csv(tmp_path)
    first, second = rows(tmp_path)
    assert first["dataset"] == name and first["diverged"] == ""
    assert float(first["test_accuracy"]) == log["test_accuracy"]
    assert second["diverged"] == "epoch {epoch} step {step}".format(**wild["diverged"])
    assert second["final_loss"] == second["test_accuracy"] == ""
    assert "nan" not in (tmp_path / "summary.csv").read_text().lower()


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t"])
def test_no_spreadsheet_computes_a_cell_of_summary_csv(log, tmp_path, start):
    """But numbers stay numbers, even if they are negative."""
    log["dataset"]["name"] = name = start + "1+1\r2"
    log["train_loss"][-1] = -0.5
    seal(log)
    results.save_run(log, tmp_path)
    results.write_summary_csv(tmp_path)
    (row,) = rows(tmp_path)
    assert row["dataset"] == "'" + name.replace("\r", " ") and row["final_loss"] == "-0.5"


# ---- the table
