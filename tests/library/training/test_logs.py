"""nnlite.logs: what a log holds, how it grows, and its summary."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

import nnlite
from nnlite.activations import ACTIVATIONS
from nnlite.backend import select_device
from nnlite.training import logs, train
from nnlite.training.config import Config
from nnlite.training.logs import (
    append,
    append_epoch,
    leaves,
    like,
    nested_map,
    new_log,
    seal,
    summarize,
    to_host_together,
    verify,
)

SMALL = Config(hidden=(16, 8), epochs=2, batch_size=64)
EVERY_EPOCH = (
    "epoch",
    "train_loss",
    "val_loss",
    "val_accuracy",
    "val_confusion",
    "learning_rate",
    "epoch_time",
)


def run(config, data):
    (log,) = train([config], data)
    return log


# ---- what is in it

LINEARS = ["fc1", "fc2", "fc3"]
LAYERS = ["fc1", "act1", "fc2", "act2", "fc3"]


def test_log_has_the_original_sheet_s_keys_and_what_we_add(tiny):
    log = run(SMALL, tiny)
    assert list(log) == [*new_log(SMALL, tiny, select_device("cpu"), 1), "sha256"]
    assert log["experiment_id"] == SMALL.run_id
    assert log["config"] == {
        "activation": "relu",
        "optimizer": "adam",
        "learning_rate": 0.001,
        "scheduler": "none",
        "seed": 42,
        "epochs": 2,
        "batch_size": 64,
        "init": "uniform",
        "hidden": [16, 8],
    }
    assert log["dataset"] == {
        "name": "tiny",
        "checksum": tiny.checksum,
        "source": "conftest.py",
        "classes": list("0123456789"),
        "pixels": tiny.pixels,
        "note": "",
    }
    assert log["device"].startswith("CPU") and log["stack"] == 1
    assert list(log["versions"]) == ["nnlite", "code", "python", "numpy", "blas", "simd"]
    assert log["versions"]["nnlite"] == nnlite.__version__
    assert log["diverged"] is None and log["steps_per_epoch"] == 5
    assert log["epoch"] == [1, 2]
    assert all(len(log[key]) == 2 for key in EVERY_EPOCH)
    assert all(seconds > 0 for seconds in log["epoch_time"])


def test_each_layer_and_parameter_is_in_it(tiny):
    log = run(SMALL, tiny)
    parameters = [f"{layer}.{kind}" for layer in LINEARS for kind in ("weight", "bias")]
    for statistics in (log["gradient_stats"], log["initial"]["gradient_stats"]):
        assert list(statistics) == parameters
        for values in statistics.values():
            assert list(values) == ["mean_abs", "std", "pct_zero", "norm"]
    assert list(log["update_ratio"]) == LINEARS
    assert list(log["initial"]) == ["gradient_stats", "probe"]
    for end in ("first", "last"):
        assert list(log["histograms"][end]) == LAYERS
        for histogram in log["histograms"][end].values():
            assert list(histogram) == ["low", "high", "counts"] and len(histogram["counts"]) == 40
    series = [log[key] for key in ("gradient_stats", "update_ratio", "probe")]
    assert all(len(values) == 2 for tree in series for values in leaves(tree))
    assert all(type(value) is float for value in leaves(log["initial"]))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_saturation_is_that_of_activations_with_two_bounds(tiny, activation):
    log = run(replace(SMALL, activation=activation, epochs=1), tiny)
    saturates = activation in ("sigmoid", "tanh")
    of_act = ["gradient_norm", "dead"] + ["saturated"] * saturates
    for probe in (log["probe"], log["initial"]["probe"]):
        assert list(probe) == LAYERS
        for name, values in probe.items():
            assert list(values) == (of_act if "act" in name else ["gradient_norm"])


def test_confusion_agrees_with_accuracy(tiny):
    log = run(SMALL, tiny)
    matrices = [*log["val_confusion"], log["test_confusion"]]
    accuracies = [*log["val_accuracy"], log["test_accuracy"]]
    for matrix, accuracy, N in zip(matrices, accuracies, (30, 30, 50), strict=True):
        assert np.shape(matrix) == (10, 10) and np.sum(matrix) == N
        assert all(type(count) is int for row in matrix for count in row)
        assert 100 * np.trace(matrix) / N == accuracy
    truth = np.bincount(tiny.y_test)
    assert np.sum(log["test_confusion"], axis=1).tolist() == truth.tolist()


def test_a_network_without_hidden_layers_has_a_log_as_well(tiny):
    log = run(replace(SMALL, hidden=()), tiny)
    assert list(log["probe"]) == list(log["update_ratio"]) == ["fc1"]
    assert list(log["gradient_stats"]) == ["fc1.weight", "fc1.bias"]


def test_log_survives_json(tiny):
    log = run(SMALL, tiny)
    assert json.loads(json.dumps(log, allow_nan=False)) == log


@pytest.mark.parametrize(
    "field, value",
    [
        ("learning_rate", np.float64(0.1)),
        ("learning_rate", np.float32(0.1)),
        ("seed", np.int64(3)),
    ],
)
def test_log_survives_json_with_numpy_s_numbers_in_the_configuration(tiny, field, value):
    log = run(replace(SMALL, **{field: value}), tiny)
    assert json.loads(json.dumps(log, allow_nan=False)) == log


# ---- how it grows


def test_nested_dicts():
    tree = {"a": 1, "b": {"c": [2, 3], "d": {}}}
    assert nested_map(lambda leaf: str(leaf), tree) == {"a": "1", "b": {"c": "[2, 3]", "d": {}}}
    assert leaves(tree) == [1, [2, 3]]
    assert like(tree, ["x", "y"]) == {"a": "x", "b": {"c": "y", "d": {}}}
    history = {}
    append(history, tree)
    append(history, {"a": None, "b": {"c": [4], "d": {}}})
    assert history == {"a": [1, None], "b": {"c": [[2, 3], [4]], "d": {}}}


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_all_is_copied_to_the_host_at_once(strict_cupy, device):
    """Numbers as float or None, matrices of counts as lists of int, in one tree for each run."""
    xp = select_device(device).xp
    tree = {
        "loss": xp.asarray(np.array([0.5, np.nan], "float32")),
        "confusion": xp.asarray(np.array([[[1.0, 2], [3, 4]], [[5, 6], [7, 8]]])),
        "probe": {"fc1": {"gradient_norm": xp.asarray(np.array([1e-300, np.inf]))}},
    }
    strict_cupy.transfers.reset()
    first, second = to_host_together(tree, 2)
    assert strict_cupy.transfers.to_host == (device == "gpu")
    assert first == {
        "loss": 0.5,
        "confusion": [[1, 2], [3, 4]],
        "probe": {"fc1": {"gradient_norm": 1e-300}},
    }
    assert second == {
        "loss": None,
        "confusion": [[5, 6], [7, 8]],
        "probe": {"fc1": {"gradient_norm": None}},
    }
    assert type(first["confusion"][1][0]) is int

    one_run = {"loss": tree["loss"][0], "confusion": tree["confusion"][1]}
    assert to_host_together(one_run, 1) == [{"loss": 0.5, "confusion": [[5, 6], [7, 8]]}]


RECORD = {
    "val_loss": 0.5,
    "val_confusion": [[1, 2], [3, 4]],
    "update_ratio": {"fc1": 0.001},
    "probe": {"act1": {"dead": 0.0}},
}


def grown(log, losses, measured, histograms=None):
    append_epoch(log, 0.1, np.array(losses, "float32"), measured, histograms or {}, 2.0)
    return log


@pytest.fixture
def begun(tiny):
    return grown(new_log(SMALL, tiny, select_device("cpu"), 1), [3.0, 1.0], RECORD)


def test_an_epoch_is_added(begun):
    log = grown(begun, [0.25], RECORD | {"val_loss": 0.75})
    assert log["diverged"] is None
    assert log["epoch"] == [1, 2] and log["train_loss"] == [2.0, 0.25]
    assert log["val_loss"] == [0.5, 0.75] and log["epoch_time"] == [2.0, 2.0]
    assert log["val_confusion"] == [[[1, 2], [3, 4]]] * 2
    assert log["update_ratio"] == {"fc1": [0.001] * 2} and log["probe"]["act1"]["dead"] == [0, 0]


def test_histograms_belong_to_an_epoch_that_did_not_diverge(begun):
    assert begun["histograms"] == {"first": {}, "last": {}}
    counted = {"low": 0, "high": 1, "counts": [1]}
    log = grown(begun, [0.25], RECORD, {"last": {"fc1": counted}})
    assert log["histograms"] == {"first": {}, "last": {"fc1": counted}}
    log = grown(log, [np.nan], RECORD, {"first": {"fc1": counted}})
    assert log["histograms"]["first"] == {}


@pytest.mark.parametrize(
    "losses, unmeasured, step",
    [
        ([1.0, np.nan, np.inf], {}, 2),
        ([1.0, 2.0, 3.0], {"val_loss": None}, 3),
        ([1.0, 2.0], {"update_ratio": {"fc1": None}}, 2),
        ([1.0], {"probe": {"act1": {"dead": None}}}, 1),
    ],
    ids=["steps", "validation", "update", "probe"],
)
def test_whatever_is_not_finite_means_that_the_run_has_diverged(begun, losses, unmeasured, step):
    log = grown(begun, losses, RECORD | unmeasured)
    assert log["diverged"] == {"epoch": 2, "step": step}
    assert log["val_loss"] == [0.5, None] and log["val_confusion"] == [[[1, 2], [3, 4]], None]
    assert log["update_ratio"] == {"fc1": [0.001, None]}
    assert log["probe"] == {"act1": {"dead": [0.0, None]}}
    assert log["epoch"] == [1, 2] and log["learning_rate"] == [0.1, 0.1]
    expected = None if np.isnan(losses).any() else np.mean(losses)
    assert log["train_loss"] == [2.0, expected]


# ---- the summary


@pytest.fixture
def log():
    """As `train` would write it, with numbers to compute with in one's head."""
    metric = {"mean_abs": [0.1, 0.2, 0.3, 0.4], "std": [9.0] * 4, "pct_zero": [0.0] * 4}
    other = {"mean_abs": [0.3, 0.4, 0.5, 0.6], "std": [9.0] * 4, "pct_zero": [0.0] * 4}
    layers = ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias", "fc3.weight", "fc3.bias")
    return {
        "experiment_id": "relu_adam_none_lr0.001_seed42",
        "config": {
            "activation": "relu",
            "optimizer": "adam",
            "scheduler": "none",
            "seed": 42,
            "batch_size": 32,
            "init": "he",
            "hidden": [9, 9, 9],
            "learning_rate": 0.001,
        },
        "dataset": {"name": "tiny"},
        "device": "CPU",
        "versions": {},
        "diverged": None,
        "epoch": [1, 2, 3, 4],
        "train_loss": [4.0, 2.0, 2.0, 0.0],
        "val_loss": [3.0, 2.0, 1.0, 1.5],
        "val_accuracy": [70.0, 72.0, 80.0, 79.0],
        "learning_rate": [0.001] * 4,
        "epoch_time": [1.0, 2.0, 3.0, 2.0],
        "gradient_stats": {
            name: other
            if name == "fc2.weight"
            else metric
            if name == "fc1.weight"
            else {"mean_abs": [50.0] * 4, "std": [9.0] * 4, "pct_zero": [0.0] * 4}
            for name in layers
        },
        "test_loss": 1.6,
        "test_accuracy": 78.0,
    }


def test_summary_by_hand(log):
    summary = summarize(log)
    assert summary["best_val_accuracy"] == 80.0
    assert summary["best_epoch"] == 3
    assert summary["epoch_to_90pct_best"] == 2  # 90 % of 80 is 72
    assert summary["final_loss"] == 0.0
    assert summary["final_val_loss"] == 1.5
    assert summary["mean_gradient_early_layers"] == pytest.approx(0.35)
    assert summary["training_stability_score"] == pytest.approx(1 / 3)  # the variance is 2
    assert summary["avg_epoch_time"] == 2.0
    assert summary["test_accuracy"] == 78.0
    assert (summary["epochs"], summary["seed"], summary["learning_rate"]) == (4, 42, 0.001)
    assert (summary["batch_size"], summary["init"], summary["hidden"]) == (32, "he", "9x3")
    assert summary["diverged"] is None
    json.dumps(summary, allow_nan=False)


def test_summary_of_a_run_that_diverged(log):
    log["diverged"] = {"epoch": 4, "step": 2}
    for series in (log["train_loss"], log["val_loss"], log["val_accuracy"]):
        series[-1] = None
    log["gradient_stats"]["fc1.weight"]["mean_abs"][-1] = None
    log["gradient_stats"]["fc2.weight"]["mean_abs"][-1] = None
    summary = summarize(log)
    assert summary["best_val_accuracy"] == 80.0 and summary["epoch_to_90pct_best"] == 2
    assert summary["final_loss"] is summary["training_stability_score"] is None
    assert summary["mean_gradient_early_layers"] == pytest.approx(0.3)


def test_summary_of_a_run_that_diverged_at_once(log):
    log["diverged"] = {"epoch": 1, "step": 1}
    for key in (key for key in EVERY_EPOCH if key in log):
        log[key] = log[key][:1] if key in ("epoch", "learning_rate", "epoch_time") else [None]
    for statistics in log["gradient_stats"].values():
        statistics["mean_abs"] = [None]
    summary = summarize(log)
    for key in ("best_val_accuracy", "best_epoch", "epoch_to_90pct_best"):
        assert summary[key] is None
    assert summary["mean_gradient_early_layers"] is None


# ---- the checksum


@pytest.fixture(scope="module")
def sealed(tiny):
    """The text of a finished log, as it is saved."""
    return json.dumps(run(replace(SMALL, hidden=(4,)), tiny), indent=1)


def assert_refused(log, words="does not match its checksum"):
    with pytest.raises(ValueError, match=words) as error:
        verify(log)
    assert "\n" not in str(error.value) and ". " not in str(error.value)


def test_a_log_that_was_saved_and_read_is_accepted(sealed):
    verify(json.loads(sealed))
    verify(json.loads(json.dumps(json.loads(sealed))))  # without the indentation


def test_any_changed_digit_is_noticed(sealed):
    """In a number or a text. Some digits beyond float64's precision change no number."""
    random, content, refused = np.random.default_rng(0), json.loads(sealed), 0
    digits = [match.start() for match in re.finditer(r"\d", sealed)]
    for place in random.choice(digits, 500, replace=False):
        digit = str((int(sealed[place]) + random.integers(1, 10)) % 10)
        try:
            log = json.loads(sealed[:place] + digit + sealed[place + 1 :])
        except ValueError:  # a number that begins with 0, which is no JSON
            continue
        if log != content:
            refused += 1
            assert_refused(log, "checksum")  # even if the digit is one of "sha256"
    assert refused > 400


def swap_first_two(tree):
    """Put the first key of a dict behind the second."""
    first, second, *others = tree.items()
    return dict([second, first, *others])


CHANGES = {
    "reordered keys": swap_first_two,
    "reordered layers": lambda log: log | {"probe": swap_first_two(log["probe"])},
    "one more key": lambda log: log | {"more": 1},
    "one key less": lambda log: {key: log[key] for key in log if key != "stack"},
    "one epoch less": lambda log: log | {"val_loss": log["val_loss"][:-1]},
    "1.0 for 1": lambda log: log | {"stack": 1.0},
    "true for 1": lambda log: log | {"stack": True},
    "nothing": lambda log: log | {"test_loss": None},
    "another checksum": lambda log: log | {"sha256": "0" * 64},
    "no text as checksum": lambda log: log | {"sha256": None},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_log_is_refused(sealed, change):
    assert_refused(change(json.loads(sealed)))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_not_finite_are_refused(sealed, number):
    log = json.loads(re.sub(r'"test_loss": [^,]*', f'"test_loss": {number}', sealed))
    assert_refused(log, "what no log can hold")
    with pytest.raises(ValueError):
        seal(log)


def test_deep_nesting_is_refused(sealed):
    log = json.loads(sealed)
    for _ in range(100_000):
        log["initial"] = {"more": log["initial"]}
    with pytest.raises(ValueError):
        verify(log)
    while log := log.pop("initial", None) or log.pop("more", None):  # step by step, not recursively
        pass


@pytest.mark.parametrize("log", [None, [], "log", 7, {}, {"versions": "0.3.0"}], ids=str)
def test_what_is_no_log_is_refused(log):
    assert_refused(log, "not the log of a training")


def test_a_log_without_checksum_is_refused(sealed, tiny):
    log = json.loads(sealed)
    del log["sha256"]
    assert_refused(log, "has no checksum")
    assert_refused(new_log(SMALL, tiny, select_device("cpu"), 1), "has no checksum")


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0", "0.2.11"])
def test_a_log_of_an_older_version_is_told_apart(sealed, version):
    log = json.loads(sealed)
    del log["sha256"]
    log["versions"]["nnlite"] = version
    assert_refused(log, f"^nnlite {version} made it, ")


def test_sealing_twice_changes_nothing(sealed):
    log = json.loads(sealed)
    seal(log)
    assert log == json.loads(sealed) and list(log)[-1] == "sha256"


def test_every_key_is_explained(sealed):
    """In the table at the top of logs.py, in the order of the log."""
    table = re.findall(r"^    (\w+(?:, \w+)*)  +", logs.__doc__, re.M)
    assert ", ".join(table).split(", ") == list(json.loads(sealed))
