"""experiments/results.py: what counts as finished, what is kept, which logs are believed."""

import csv
import errno
import itertools
import json
from dataclasses import replace

import pytest

from figures import style as figures
from nnlite import Config
from nnlite.activations import ACTIVATIONS
from nnlite.backend import select_device
from nnlite.training import loop as training
from nnlite.training import train
from nnlite.training.logs import summarize
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


@pytest.fixture(scope="module")
def later_text(tiny):
    """The log of a run that has diverged after a first epoch in which it had not."""
    (log,) = train([LATER], tiny)
    assert log["diverged"]["epoch"] > 1
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
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", no_space)
        with pytest.raises(OSError):
            results.save_run(again, saved)
        with pytest.raises(OSError):
            results.save_run(again | {"experiment_id": "another"}, saved)
        with pytest.raises(OSError):
            results.write_summary_csv([again], saved)
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
    monkeypatch.setattr("nnlite.training.logs.__version__", "9.9")
    assert finished(CONFIG, tiny, saved) is None
    assert sorted(path.name for path in saved.iterdir()) == [f"{RUN}.old1", f"{RUN}.old2"]
    monkeypatch.undo()
    results.save_run(log, saved)
    assert finished(CONFIG, tiny, saved) == log


def test_a_damaged_log_is_another_run(tiny, saved, text):
    (saved / RUN / "training_log.json").write_text(text[:1000])
    assert finished(CONFIG, tiny, saved) is None
    assert (saved / f"{RUN}.old1" / "training_log.json").read_text() == text[:1000]


def test_a_finished_run_is_not_overwritten_by_another(saved, log):
    """As happens when two sweeps with other data share a directory."""
    other = log | {"dataset": log["dataset"] | {"checksum": "another"}}
    results.save_run(other, saved)
    assert read(saved / RUN / "training_log.json") == other
    assert read(saved / f"{RUN}.old1" / "training_log.json") == log
    results.save_run(other | {"epoch_time": [1.0, 2.0, 3.0]}, saved)  # the same: takes its place
    assert len(list(saved.iterdir())) == 2


# ---- reading


def test_logs_are_sorted_and_what_was_moved_aside_is_left_out(saved, log, tiny):
    first = json.loads(json.dumps(log))
    first["experiment_id"], first["config"]["seed"] = RUN.replace("seed42", "seed41"), 41
    results.save_run(first, saved)
    (saved / RUN).rename(saved / f"{RUN}.old1")
    results.save_run(log, saved)
    (saved / "figures").mkdir()
    assert results.load_logs(saved) == [first, log]


def test_a_directory_without_logs_is_refused(tmp_path):
    for out in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ValueError, match=f"^{out} holds no runs"):
            results.load_logs(out)


def edited(log, path, value):
    """The log with another value at a path such as "config.seed" or "epoch.0"; ... takes it out."""
    *parents, key = [int(part) if part.isdecimal() else part for part in path.split("/")]
    for part in parents:
        log = log[part]
    if value is ...:
        del log[key]
    else:
        log[key] = value


ANYWHERE = ["text", [], {}, True, ..., 10**400, [[]]]
NUMBERS = ["train_loss/1", "val_accuracy/0", "epoch_time/2", "test_loss", "test_accuracy",
           "gradient_stats/fc2.weight/std/1", "learning_rate/1"]  # fmt: skip
INTEGERS = ["config/epochs", "epoch/2"]
TEXTS = ["config/activation", "config/scheduler", "dataset/name", "dataset/note", "device"]
LISTS = ["train_loss", "epoch", "gradient_stats/fc1.bias/pct_zero", "gradient_stats/fc3.weight",
         "gradient_stats", "config", "dataset", "versions"]  # fmt: skip
BAD_LOGS = [
    *itertools.product(NUMBERS, [*ANYWHERE, None, float("nan"), float("inf"), "1"]),
    *itertools.product(INTEGERS, [*ANYWHERE, None, 1e300, -7.5, 10**12]),
    *itertools.product(TEXTS, [[], {}, True, ..., None, 7, "\ud800"]),
    *itertools.product(LISTS, ["text", ..., None, 7, [1, 2], [None] * 3, ["1", "2", "3"]]),
    *[("config/hidden", value) for value in ["text", ..., None, 7, [], [6], [6, 5, 4]]],
    *[("config/seed", value) for value in ["text", [], {}, True, ..., None, 7.5]],
    *[("diverged", value) for value in ["text", [1], True, 3, {"epoch": 3}, {"step": 1}]],
    *[("diverged", {"epoch": epoch, "step": 1}) for epoch in (2, 4, 10**12, "3", None)],
    *[("experiment_id", name) for name in ("../escaped", "/tmp/escaped", "", None, 7, RUN * 99)],
]


def test_logs_that_are_not_whole_are_refused(text, saved):
    path = saved / RUN / "training_log.json"
    assert len(BAD_LOGS) > 200
    for place, value in BAD_LOGS:
        log = json.loads(text)
        edited(log, place, value)
        path.write_text(json.dumps(log))
        assert_refused(path, (place, value))


def places(tree, path=""):
    """The path of everything in a log; of each list only the first and the last entry."""
    if isinstance(tree, list) and tree:
        keys = sorted({0, len(tree) - 1})
    else:
        keys = tree if isinstance(tree, dict) else ()
    for key in keys:
        yield (place := f"{path}{key}")
        yield from places(tree[key], f"{place}/")


@pytest.mark.parametrize("value", [..., None, [], {}, True, float("nan")], ids=repr)
@pytest.mark.parametrize("which", ["whole", "diverged"])
def test_nothing_can_be_missing_or_of_another_kind(text, later_text, tmp_path, which, value):
    sound = text if which == "whole" else later_text
    unchanged = json.loads(sound)
    path = tmp_path / unchanged["experiment_id"] / "training_log.json"
    path.parent.mkdir()
    tried = 0
    for place in places(unchanged):
        log = json.loads(sound)
        edited(log, place, value)
        if log != unchanged:  # None and {} have their place in a run that has diverged
            path.write_text(json.dumps(log))
            assert_refused(path, (place, value))
            tried += 1
    assert tried > (300 if which == "whole" else 200)


def changed(log, path, change):
    *parents, key = [int(part) if part.isdecimal() else part for part in path.split("/")]
    for part in parents:
        log = log[part]
    log[key] = change(log[key])


CHANGES = {
    "one image more": ("val_confusion/1/3/4", lambda count: count + 1),
    "one image more in the test": ("test_confusion/3/4", lambda count: count + 1),
    "one image right instead of wrong": ("test_confusion/0", lambda row: [sum(row)] + [0] * 9),
    "one epoch with other images": (
        "val_confusion/0", lambda rows: [[2 * count for count in row] for row in rows]),
    "no images": ("val_confusion/2", lambda rows: [[0] * 10 for _ in rows]),
    "fewer than none": ("test_confusion/0", lambda row: [row[0], -1, sum(row[1:]) + 1] + [0] * 7),
    "counts with a point": ("val_confusion/0/0/0", float),
    "nine true classes": ("val_confusion/0", lambda rows: rows[:9]),
    "nine predicted classes": ("test_confusion/9", lambda row: row[:9]),
    "eleven classes": ("dataset/classes", lambda names: [*names, "coat"]),
    "another accuracy": ("val_accuracy/1", lambda accuracy: accuracy + 0.1),
    "another test accuracy": ("test_accuracy", lambda accuracy: accuracy - 2),
    "39 bins": ("histograms/first/act1/counts", lambda counts: counts[1:]),
    "41 bins": ("histograms/last/fc3/counts", lambda counts: [*counts, 0]),
    "a number not counted": (
        "histograms/first/fc2/counts", lambda counts: [sum(counts) - 1] + [0] * 39),
    "a number counted twice": (
        "histograms/last/act2/counts", lambda counts: [sum(counts) + 1] + [0] * 39),
    "a negative count": (
        "histograms/last/act2/counts", lambda counts: [-1, sum(counts) + 1] + [0] * 38),
    "a range from high to low": ("histograms/first/act1/low", lambda low: low + 1e9),
    "a range of nothing": ("histograms/first/fc1", lambda h: h | {"low": h["high"]}),
    "a histogram less": ("histograms/first", lambda h: {"fc1": h["fc1"]}),
    "a histogram of another layer": ("histograms/last", lambda h: h | {"act3": h["act2"]}),
    "a layer more": ("probe", lambda probe: probe | {"act3": probe["act2"]}),
    "a layer too much at the start": ("initial/probe", lambda probe: probe | {"fc4": {}}),
    "layers in another order": ("probe", lambda probe: dict(reversed(probe.items()))),
    "relu saturated": ("probe/act1", lambda values: values | {"saturated": values["dead"]}),
    "a parameter more": ("gradient_stats", lambda g: g | {"fc4.bias": g["fc3.bias"]}),
    "one epoch more": ("update_ratio/fc2", lambda values: [*values, 0.1]),
    "one epoch less": ("probe/fc1/gradient_norm", lambda values: values[1:]),
    "a series at the start": ("initial/probe/fc1/gradient_norm", lambda value: [value]),
    "epochs from 0": ("epoch", lambda epochs: [epoch - 1 for epoch in epochs]),
    "a mistake less": ("most_wrong", lambda wrong: wrong[:-1]),
    "a mistake twice": ("most_wrong", lambda wrong: [wrong[0], *wrong[:-1]]),
    "the worst in the end": ("most_wrong", lambda wrong: wrong[::-1]),
    "a mistake that nobody counted": (
        "most_wrong/0", lambda wrong: wrong | {"label": wrong["predicted"], "predicted": 0}),
    "a row beyond the last": ("most_wrong/0/row", lambda _: 50),
    "a row before the first": ("most_wrong/0/row", lambda _: -1),
    "an eleventh class": ("most_wrong/0/label", lambda _: 10),
    "more than certain": ("most_wrong/0/probability", lambda _: 1.5),
    "less than possible": ("most_wrong/15/probability", lambda _: -0.5),
    "no base64": ("most_wrong/3/image", lambda image: "****" + image),
    "a smaller image": ("most_wrong/3/image", lambda image: image[4:]),
    "no image": ("most_wrong/3/image", lambda _: ""),
    "a key more": ("config", lambda config: config | {"dropout": 0.5}),
    "another run": ("config/batch_size", lambda size: size + 1),
    "more epochs to come": ("config/epochs", lambda epochs: epochs + 1),
    "an unknown activation": ("config/activation", lambda _: "swish"),
}  # fmt: skip


@pytest.mark.parametrize("place, change", CHANGES.values(), ids=CHANGES)
def test_what_does_not_fit_together_is_refused(log, tmp_path, place, change):
    path = tmp_path / RUN / "training_log.json"
    results.save_run(log, tmp_path)
    assert results.read_log(path) == log  # but for the change
    changed(log, place, change)
    path.write_text(json.dumps(log))
    assert_refused(path, place)


def test_a_correct_prediction_is_no_mistake(log, tmp_path):
    label = next(i for i, row in enumerate(log["test_confusion"]) if row[i])
    log["most_wrong"][0] |= {"label": label, "predicted": label}
    results.save_run(log, tmp_path)
    assert_refused(tmp_path / RUN / "training_log.json")


@pytest.mark.parametrize(
    "place, change",
    [
        ("dataset/classes", lambda _: []),
        ("diverged/step", lambda _: 6),  # an epoch has 5
        ("diverged/step", lambda _: 0),
        ("diverged/epoch", lambda epoch: epoch + 1),
        ("val_loss", lambda values: [*values[:-1], 0.5]),
        ("val_confusion", lambda values: [*values[:-1], [[0] * 10] * 10]),
        ("probe/act1/dead", lambda values: [*values[:-1], 0.0]),
        ("histograms/last", lambda _: {"act1": {"low": 0, "high": 1, "counts": [8] * 40}}),
        ("test_accuracy", lambda _: 10.0),
        ("most_wrong", lambda _: [{}]),
    ],
)
def test_a_diverged_run_has_nothing_that_cannot_be(diverged_text, tmp_path, place, change):
    log = json.loads(diverged_text)
    changed(log, place, change)
    path = tmp_path / WILD.run_id / "training_log.json"
    path.parent.mkdir()
    path.write_text(json.dumps(log))
    assert_refused(path, place)


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


def test_all_of_a_large_validation_set_is_counted_but_not_probed(tiny, tmp_path, monkeypatch):
    """The histograms are of 1000 images at most; here, of 20."""
    for module in (training, results):
        monkeypatch.setattr(module, "PROBE_ROWS", 20)
    (log,) = train([CONFIG], tiny)
    results.save_run(log, tmp_path)
    assert results.load_logs(tmp_path) == [log]
    assert sum(log["histograms"]["first"]["fc1"]["counts"]) == 20 * 6


def test_a_log_of_the_first_version_is_refused_in_plain_words(log, tmp_path):
    log["versions"]["nnlite"] = "0.1.0"
    for key in ("steps_per_epoch", "initial", "val_confusion", "update_ratio", "probe",
                "histograms", "test_confusion", "most_wrong"):  # fmt: skip
        del log[key]
    del log["dataset"]["classes"]
    path = tmp_path / RUN / "training_log.json"
    path.parent.mkdir()
    path.write_text(json.dumps(log))
    with pytest.raises(ValueError) as error:
        results.load_logs(tmp_path)
    assert str(error.value) == (
        f"{path} is not a readable training log (ValueError: nnlite 0.1.0 made it, which measured "
        "less than is shown now): delete its folder, and run that cell again"
    )


def test_the_message_names_the_place(log, tmp_path):
    log["probe"]["act1"]["dead"][1] = "none"
    path = tmp_path / RUN / "training_log.json"
    path.parent.mkdir()
    path.write_text(json.dumps(log))
    with pytest.raises(ValueError, match="log/probe/act1/dead/1 is 'none'"):
        results.read_log(path)


def test_divergence_excuses_only_what_cannot_be_measured(diverged_text, tmp_path):
    path = tmp_path / WILD.run_id / "training_log.json"
    results.save_run(json.loads(diverged_text), tmp_path)
    assert results.read_log(path)["val_loss"][-1] is None
    for name in ("epoch_time", "learning_rate", "epoch"):
        log = json.loads(diverged_text)
        log[name][-1] = None
        path.write_text(json.dumps(log))
        assert_refused(path, name)


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
    [b"", b"null", b"7", b'"text"', b"[]", b"{}", b"[" * 100_000, b'{"a":' * 100_000, b"NaN",
     b"\xff\xfe{\0}\0", b"1" * 10_000, bytes(1000), b"\x80\x04\x95pickle"],
    ids=lambda data: repr(data[:8]),
)  # fmt: skip
def test_what_is_no_log_is_refused(saved, data):
    path = saved / RUN / "training_log.json"
    path.write_bytes(data)
    with little_memory():
        assert_refused(path)
    path.unlink()
    path.mkdir()
    assert_refused(path)


def test_damaged_logs_are_refused_or_can_be_drawn(text, diverged_text, tmp_path):
    """A damaged digit can leave a number that nobody can tell from a measured one."""
    refused = 0
    for sound, run in ((text, RUN), (diverged_text, WILD.run_id)):
        path = tmp_path / run / "training_log.json"
        path.parent.mkdir()
        for data in damaged(sound.encode(), 150):
            path.write_bytes(data)
            with little_memory():
                try:
                    log = results.read_log(path)
                except ValueError as error:
                    refused += 1
                    assert str(path) in str(error) and "\n" not in str(error)
                    continue
            results.write_summary_csv([log], tmp_path)
        figures.save(figures.run_figures(log) | figures.grid_figures([log]), tmp_path)  # the last
    assert refused > 250


@pytest.mark.parametrize("place", ["config/activation", "config/optimizer", "dataset/name"])
def test_text_is_drawn_as_it_is(log, tmp_path, place):
    edited(log, place, "$x_{$")
    figures.save(figures.run_figures(log) | figures.grid_figures([log]), tmp_path)


# ---- summary.csv


def rows(out):
    with (out / "summary.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_summary_csv_has_a_row_a_run_whatever_is_in_it(log, diverged_text, tmp_path):
    name = 'größer, "besser"\n=1+1'
    log["dataset"]["name"] = name
    wild = json.loads(diverged_text)
    results.write_summary_csv([log, wild], tmp_path)
    first, second = rows(tmp_path)
    assert first["dataset"] == name and first["diverged"] == ""
    assert float(first["test_accuracy"]) == log["test_accuracy"]
    assert second["diverged"] == "epoch {epoch} step {step}".format(**wild["diverged"])
    assert second["final_loss"] == second["test_accuracy"] == ""
    assert "nan" not in (tmp_path / "summary.csv").read_text().lower()
