"""nnlite.training, config and logs: one run of the lab, from the configuration to the summary."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from nnlite import backend, training
from nnlite.activations import ACTIVATIONS
from nnlite.backend import select_device, to_host
from nnlite.config import Config
from nnlite.datasets import Dataset
from nnlite.logs import summarize
from nnlite.losses import SoftmaxCrossEntropy
from nnlite.network import MLP
from nnlite.optimizers import OPTIMIZERS, Optimizer
from nnlite.schedulers import SCHEDULERS
from nnlite.training import Training, scaled, train, train_epoch

SMALL = Config(hidden=(16, 8), epochs=2, batch_size=64)
EVERY_EPOCH = ("epoch", "train_loss", "val_loss", "val_accuracy", "learning_rate", "epoch_time")


def run(config, data, **options):
    (log,) = train([config], data, **options)
    return log


def without_time(log):
    return {key: value for key, value in log.items() if key != "epoch_time"}


def numbers(log):
    """Every measured number, by name, None as nan."""
    found = {key: log[key] for key in (*EVERY_EPOCH[:-1], "test_loss", "test_accuracy")}
    for name, statistics in log["gradient_stats"].items():
        found |= {f"{name} {metric}": values for metric, values in statistics.items()}
    return {name: np.array(values, dtype="float64") for name, values in found.items()}


def assert_close(log, expected):
    """As far as float32 and another order of summation allow; one image may change sides."""
    assert (log["experiment_id"], log["config"]) == (expected["experiment_id"], expected["config"])
    found, wanted = numbers(log), numbers(expected)
    assert found.keys() == wanted.keys()
    for name in wanted:
        slack = 3.4 if "accuracy" in name else 1.0 if "pct" in name else 1e-7
        np.testing.assert_allclose(found[name], wanted[name], 1e-3, slack, err_msg=name)


@pytest.fixture
def fed(monkeypatch):
    """What every forward pass of any model has been given, in order."""
    batches, forward = [], MLP.forward

    def spy(model, x):
        batches.append(np.copy(to_host(x)))
        return forward(model, x)

    monkeypatch.setattr(MLP, "forward", spy)
    return batches


@pytest.fixture
def models(monkeypatch):
    """Every model that `train` makes, with a copy of its first theta as `initial`."""
    made = []

    class Kept(MLP):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.initial = self.theta.copy()
            made.append(self)

    monkeypatch.setattr(training, "MLP", Kept)
    return made


@pytest.fixture
def batch_losses(monkeypatch):
    """The loss of each training batch, by epoch, in float64 and by another formula."""
    epochs, real_epoch, forward = [], training.train_epoch, SoftmaxCrossEntropy.forward
    training_now = []

    def spy_on_epoch(*args):
        epochs.append([])
        training_now.append(True)
        losses = real_epoch(*args)
        training_now.pop()
        return losses

    def spy_on_loss(self, logits, labels):
        if training_now:
            z = logits.astype("float64")
            picked = z[np.arange(len(z)), labels]
            epochs[-1].append(np.mean(np.logaddexp.reduce(z, axis=-1) - picked))
        return forward(self, logits, labels)

    monkeypatch.setattr(training, "train_epoch", spy_on_epoch)
    monkeypatch.setattr(SoftmaxCrossEntropy, "forward", spy_on_loss)
    return epochs


# Config


def test_run_id():
    assert Config().run_id == "relu_adam_none_lr0.001_seed42"
    config = Config("leaky_relu", "sgd_momentum", 0.05, "cosine", 7)
    assert config.run_id == "leaky_relu_sgd_momentum_cosine_lr0.05_seed7"


def test_defaults_are_the_lab_sheet_s():
    config = Config()
    assert (config.epochs, config.batch_size, config.hidden) == (30, 128, (256, 128))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_customary_learning_rates(optimizer):
    customary = 0.01 if "sgd" in optimizer else 0.001
    assert Config(optimizer=optimizer).learning_rate == customary
    assert Config(optimizer=optimizer, learning_rate=0.5).learning_rate == 0.5


@pytest.mark.parametrize(
    "field, value",
    [
        ("activation", "swish"),
        ("optimizer", "lion"),
        ("scheduler", "warm"),
        ("init", "orthogonal"),
        ("learning_rate", 0.0),
        ("learning_rate", -0.1),
        ("learning_rate", math.nan),
        ("learning_rate", math.inf),
        ("learning_rate", "fast"),
        ("epochs", 0),
        ("epochs", 2.5),
        ("epochs", True),
        ("batch_size", -1),
        ("batch_size", "64"),
        ("hidden", (16, 0)),
        ("hidden", (8.5,)),
        ("hidden", 16),
        ("seed", -1),
        ("seed", 1.5),
        ("seed", "one"),
        ("seed", True),
    ],
)
def test_a_bad_field_is_refused_in_one_sentence(field, value):
    with pytest.raises(ValueError) as error:
        Config(**{field: value})
    message = str(error.value)
    assert field[:4] in message and str(value) in message  # "init" in full: initialization
    assert "\n" not in message and ". " not in message


def test_unknown_names_come_with_the_known():
    with pytest.raises(ValueError, match="sgd, sgd_momentum, rmsprop, adam, adamw"):
        Config(optimizer="lion")


# Data


def test_pixels_are_scaled_to_exactly_plus_minus_1():
    x = scaled(np.array([[0, 255], [127, 128]], dtype=np.uint8), np.dtype("float32"))
    assert x.dtype == "float32"
    assert x[0].tolist() == [-1, 1]
    np.testing.assert_allclose(x[1], [-1 / 255, 1 / 255], atol=1e-7)


@pytest.fixture(scope="module")
def numbered():
    """Images that carry their row number, and whether they are for testing, in their pixels."""

    def images(rows, test):
        x = np.zeros((rows, 784), np.uint8)
        x[:, 0], x[:, 1], x[:, 2] = np.arange(rows) // 200, np.arange(rows) % 200, test
        return x

    y_train, y_test = np.arange(300) % 10, np.arange(50) % 10
    classes = tuple("0123456789")
    return Dataset("numbered", images(300, 0), y_train, images(50, 1), y_test, classes, "here")


def rows_in(batch):
    pixels = np.rint((batch + 1) * 127.5).astype(int)
    return (pixels[:, 0] * 200 + pixels[:, 1]).tolist()


def test_every_image_is_used_as_it_should(numbered, fed):
    run(SMALL, numbered)
    is_test = [bool(np.all(x[:, 2] > -1)) for x in fed]
    assert is_test == [False] * (len(fed) - 1) + [True]  # the test set once, at the very end
    assert rows_in(fed.pop()) == list(range(50))

    steps = 5  # 270 = 4 * 64 + 14
    epochs = [fed[: steps + 2], fed[steps + 2 :]]
    train_rows, validation_rows = [], []
    for *batches, validation, probe in epochs:
        assert [len(x) for x in batches] == [64, 64, 64, 64, 14]
        train_rows.append([row for x in batches for row in rows_in(x)])
        validation_rows.append(rows_in(validation))
        assert len(set(rows_in(probe))) == 64 and set(rows_in(probe)) <= set(train_rows[0])
    assert validation_rows[0] == validation_rows[1]
    assert sorted(train_rows[0] + validation_rows[0]) == list(range(300))
    assert sorted(train_rows[1]) == sorted(train_rows[0]) and train_rows[1] != train_rows[0]
    assert len(validation_rows[0]) == 30


def test_a_batch_larger_than_the_data_is_all_of_it(tiny, fed):
    log = run(replace(SMALL, batch_size=1000), tiny)
    assert [len(x) for x in fed] == [270, 30, 270] * 2 + [50]
    assert log["epoch"] == [1, 2]


@pytest.mark.parametrize(
    "change",
    [
        {"activation": "tanh"},
        {"activation": "gelu", "optimizer": "sgd"},
        {"optimizer": "rmsprop"},
        {"scheduler": "cosine"},
        {"learning_rate": 0.1},
    ],
    ids=str,
)
def test_one_variable_changes_at_a_time(tiny, fed, models, change):
    """Same seed: same split, initial weights and batches in every cell of a grid."""
    run(SMALL, tiny)
    count = len(fed)
    run(replace(SMALL, **change), tiny)
    np.testing.assert_array_equal(models[0].initial, models[1].initial)
    assert len(fed) == 2 * count
    for one, other in zip(fed[:count], fed[count:], strict=True):
        np.testing.assert_array_equal(one, other)
    assert (models[0].theta != models[1].theta).any()


def test_other_seeds_change_everything_random(tiny, fed, models):
    run(SMALL, tiny)
    count = len(fed)
    run(replace(SMALL, seed=43), tiny)
    assert (models[0].initial != models[1].initial).mean() > 0.99
    for one, other in zip(fed[: count - 1], fed[count:-1], strict=True):
        assert (one != other).any()  # all but the test set


# What is computed


def test_the_same_run_twice_is_the_same_to_the_bit(tiny):
    assert without_time(run(SMALL, tiny)) == without_time(run(SMALL, tiny))


def test_training_can_pause_between_epochs(tiny):
    """And something else can be trained meanwhile: no two runs share any random state."""
    training = Training([SMALL], tiny, select_device("cpu"))
    training.run_epoch()
    assert not training.done
    assert training.logs[0]["epoch"] == [1] and training.logs[0]["test_loss"] is None
    expected = run(SMALL, tiny)
    training.run_epoch()
    assert training.done
    assert without_time(training.finish()[0]) == without_time(expected)


def test_the_model_is_the_configured_one(tiny, models):
    run(replace(SMALL, activation="elu", init="he", hidden=(6, 5, 4), seed=9), tiny)
    expected = MLP([784, 6, 5, 4, 10], "elu", "he", seed=9)
    np.testing.assert_array_equal(models[0].initial, expected.theta)
    assert (models[0].sizes, models[0].activation) == (expected.sizes, expected.activation)
    assert models[0].dtype == "float32"


def test_learning_learns(tiny):
    log = run(Config(epochs=8, batch_size=32), tiny)
    assert log["train_loss"][0] < math.log(10) + 0.2
    assert log["train_loss"][-1] < 0.1
    assert log["val_accuracy"][-1] > 90 and log["test_accuracy"] > 90
    assert log["val_loss"][-1] < 1 and log["test_loss"] < 1


def test_train_loss_is_the_mean_of_the_batch_losses(tiny, batch_losses):
    log = run(SMALL, tiny)
    assert [len(losses) for losses in batch_losses] == [5, 5]
    np.testing.assert_allclose(log["train_loss"], np.mean(batch_losses, axis=1), rtol=1e-6)


def test_validation_and_test_numbers(numbered, models, fed, monkeypatch):
    """From the logits of the fed images, by another formula, however many rows go at a time."""
    monkeypatch.setattr(training, "EVALUATION_ROWS", 7)
    log = run(replace(SMALL, epochs=1, learning_rate=0.1), numbered)
    logits = models[0].forward(scaled(numbered.x_test, np.dtype("float32"))).astype("float64")
    labels = numbered.y_test
    picked = logits[np.arange(50), labels]
    loss = np.mean(np.logaddexp.reduce(logits, axis=-1) - picked)
    assert log["test_loss"] == pytest.approx(loss, rel=1e-5)
    assert log["test_accuracy"] == pytest.approx(100 * np.mean(np.argmax(logits, -1) == labels))

    fed_for_validation = fed[5:10]  # after 5 steps, 30 rows 7 at a time
    rows = np.concatenate([rows_in(x) for x in fed_for_validation])
    assert len(set(rows)) == 30
    logits = models[0].forward(np.concatenate(fed_for_validation)).astype("float64")
    labels = numbered.y_train[rows]
    loss = np.mean(np.logaddexp.reduce(logits, axis=-1) - logits[np.arange(30), labels])
    assert log["val_loss"][0] == pytest.approx(loss, rel=1e-5)
    assert log["val_accuracy"][0] == pytest.approx(100 * np.mean(np.argmax(logits, -1) == labels))


def test_gradient_stats_are_those_of_the_probe_batch(numbered, models, fed):
    """In the end the weights are still those that the last probe batch has met."""
    log = run(SMALL, numbered)
    (model,), probe, loss = models, fed[-2], SoftmaxCrossEntropy()
    loss.forward(model.forward(probe), numbered.y_train[rows_in(probe)])
    model.backward(loss.backward())
    assert list(log["gradient_stats"]) == list(model.gradients())
    for name, g in model.gradients().items():
        statistics = log["gradient_stats"][name]
        assert statistics["mean_abs"][-1] == pytest.approx(np.abs(g).mean(), rel=1e-5)
        assert statistics["std"][-1] == pytest.approx(g.std(), rel=1e-5)
        assert statistics["pct_zero"][-1] == pytest.approx(100 * np.mean(g == 0), rel=1e-5)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_the_scheduled_rate_is_the_one_used(tiny, monkeypatch, scheduler):
    used, step = [], OPTIMIZERS["sgd"].step
    monkeypatch.setattr(
        OPTIMIZERS["sgd"], "step", lambda self: (used.append(self.learning_rate), step(self))
    )
    config = replace(SMALL, optimizer="sgd", learning_rate=0.1, scheduler=scheduler, epochs=3)
    log = run(config, tiny)
    schedule = SCHEDULERS[scheduler](0.1, 3)
    assert log["learning_rate"] == [schedule(0), schedule(1), schedule(2)]
    assert used == np.repeat(log["learning_rate"], 5).tolist()


TORCH_ACTIVATIONS = {
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "relu": ("ReLU", {}),
    "leaky_relu": ("LeakyReLU", {"negative_slope": 0.1}),
    "elu": ("ELU", {}),
    "gelu": ("GELU", {}),
}
TORCH_OPTIMIZERS = {
    "sgd": ("SGD", {}),
    "sgd_momentum": ("SGD", {"momentum": 0.9}),
    "rmsprop": ("RMSprop", {}),
    "adam": ("Adam", {}),
    "adamw": ("AdamW", {}),
}


@pytest.mark.parametrize(
    "activation, optimizer",
    [*((name, "adam") for name in ACTIVATIONS), *(("tanh", name) for name in OPTIMIZERS)],
)
def test_steps_agree_with_another_framework(activation, optimizer):
    """Five steps in float64 from the same weights on the same batches, the last one shorter.

    Both list parameters as fc1.weight, fc1.bias, ..., but theirs are transposed.
    """
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(0)
    x, y = random.integers(0, 256, (36, 12), dtype=np.uint8), random.integers(0, 5, 36)

    model = MLP([12, 8, 7, 5], activation, seed=1, dtype="float64")
    name, options = TORCH_ACTIVATIONS[activation]
    act = getattr(torch.nn, name)(**options)
    fc1, fc2, fc3 = (torch.nn.Linear(*sizes).double() for sizes in ((12, 8), (8, 7), (7, 5)))
    network = torch.nn.Sequential(fc1, act, fc2, act, fc3)
    pairs = list(zip(network.parameters(), model.parameters().values(), strict=True))
    for theirs, ours in pairs:
        theirs.data = torch.tensor(ours.T.copy())
    name, options = TORCH_OPTIMIZERS[optimizer]
    stepper = getattr(torch.optim, name)(network.parameters(), lr=0.01, **options)

    our_losses = train_epoch(
        model, SoftmaxCrossEntropy(), OPTIMIZERS[optimizer](model, 0.01), x, y, np.arange(36), 8
    )
    their_losses = []
    for start in range(0, 36, 8):
        logits = network(torch.tensor(x[start : start + 8] / 127.5 - 1))
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(y[start : start + 8]))
        stepper.zero_grad()
        loss.backward()
        stepper.step()
        their_losses.append(loss.item())

    np.testing.assert_allclose(our_losses, their_losses, rtol=1e-10)
    for theirs, ours in pairs:
        np.testing.assert_allclose(ours, theirs.detach().numpy().T, rtol=1e-8, atol=1e-10)


# The log


def test_log_has_the_lab_sheet_s_keys(tiny):
    log = run(SMALL, tiny)
    assert log["experiment_id"] == SMALL.run_id
    assert log["config"]["activation"] == "relu" and log["config"]["hidden"] == [16, 8]
    assert log["epoch"] == [1, 2]
    assert all(len(log[key]) == 2 for key in EVERY_EPOCH)
    assert all(seconds > 0 for seconds in log["epoch_time"])
    layers = [f"fc{i}.{kind}" for i in (1, 2, 3) for kind in ("weight", "bias")]
    assert list(log["gradient_stats"]) == layers
    for statistics in log["gradient_stats"].values():
        assert list(statistics) == ["mean_abs", "std", "pct_zero"]
        assert all(len(values) == 2 for values in statistics.values())
    assert log["dataset"]["checksum"] == tiny.checksum
    assert log["diverged"] is None


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


def test_on_epoch_is_called_after_each(tiny):
    calls = []
    configs = [SMALL, replace(SMALL, seed=1)]
    logs = train(configs, tiny, on_epoch=lambda e, logs: calls.append((e, len(logs[1]["epoch"]))))
    assert calls == [(1, 1), (2, 2)]
    assert len(logs) == 2


WILD = Config(optimizer="sgd", learning_rate=1e6, hidden=(16, 8), epochs=4, batch_size=64)


@pytest.mark.filterwarnings("error")
def test_divergence_ends_the_log_and_is_no_nan(tiny, batch_losses):
    calls = []
    log = run(WILD, tiny, on_epoch=lambda epoch, _: calls.append(epoch))
    bad = [(e, s) for e, losses in enumerate(batch_losses, 1) for s, x in enumerate(losses, 1)
           if not np.isfinite(x)]  # fmt: skip
    assert log["diverged"] == {"epoch": bad[0][0], "step": bad[0][1]}
    assert log["epoch"] == calls == list(range(1, bad[0][0] + 1)) and len(calls) < WILD.epochs
    assert all(len(log[key]) == len(log["epoch"]) for key in EVERY_EPOCH)
    assert log["train_loss"][-1] is log["val_loss"][-1] is log["val_accuracy"][-1] is None
    assert log["test_loss"] is log["test_accuracy"] is None
    assert all(s[metric][-1] is None for s in log["gradient_stats"].values() for metric in s)
    json.dumps(log, allow_nan=False)
    summary = summarize(log)
    json.dumps(summary, allow_nan=False)
    assert summary["diverged"] == log["diverged"]
    assert summary["final_loss"] is summary["training_stability_score"] is None


LAST_STEP = replace(WILD, learning_rate=1e38, epochs=1, batch_size=1000)


def test_after_a_last_step_that_diverges_there_is_no_nan(tiny):
    log = run(LAST_STEP, tiny)
    assert log["val_loss"] == [None] and log["test_loss"] is None
    json.dumps([log, summarize(log)], allow_nan=False)


def test_a_run_whose_last_step_diverges_has_diverged(tiny):
    log = run(LAST_STEP, tiny)
    assert log["diverged"] == {"epoch": 1, "step": 1}
    assert log["val_accuracy"] == [None] and log["test_accuracy"] is None


# summarize


@pytest.fixture
def log():
    """As `train` would write it, with numbers to compute with in one's head."""
    metric = {"mean_abs": [0.1, 0.2, 0.3, 0.4], "std": [9.0] * 4, "pct_zero": [0.0] * 4}
    other = {"mean_abs": [0.3, 0.4, 0.5, 0.6], "std": [9.0] * 4, "pct_zero": [0.0] * 4}
    layers = ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias", "fc3.weight", "fc3.bias")
    return {
        "experiment_id": "relu_adam_none_lr0.001_seed42",
        "config": {"activation": "relu", "optimizer": "adam", "scheduler": "none", "seed": 42,
                   "learning_rate": 0.001},
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
            name: other if name == "fc2.weight" else metric if name == "fc1.weight" else
            {"mean_abs": [50.0] * 4, "std": [9.0] * 4, "pct_zero": [0.0] * 4}
            for name in layers
        },
        "test_loss": 1.6,
        "test_accuracy": 78.0,
    }  # fmt: skip


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
    for key in EVERY_EPOCH:
        log[key] = log[key][:1] if key in ("epoch", "learning_rate", "epoch_time") else [None]
    for statistics in log["gradient_stats"].values():
        statistics["mean_abs"] = [None]
    summary = summarize(log)
    for key in ("best_val_accuracy", "best_epoch", "epoch_to_90pct_best"):
        assert summary[key] is None
    assert summary["mean_gradient_early_layers"] is None


# Stacks

STACK = [
    replace(SMALL, optimizer="sgd_momentum", seed=1, learning_rate=0.02),
    replace(SMALL, optimizer="sgd_momentum", seed=2, learning_rate=0.02),
    replace(SMALL, optimizer="sgd_momentum", seed=1, learning_rate=0.1),
]


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_a_stack_is_its_runs_side_by_side(strict_cupy, tiny, device):
    stacked = train(STACK, tiny, select_device(device))
    for config, log in zip(STACK, stacked, strict=True):
        assert_close(log, run(config, tiny, device=select_device("cpu")))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("scheduler", ["none", "step"])
def test_stacks_under_every_optimizer(tiny, optimizer, scheduler):
    configs = [replace(c, optimizer=optimizer, scheduler=scheduler) for c in STACK[1:]]
    for config, log in zip(configs, train(configs, tiny), strict=True):
        assert_close(log, run(config, tiny))


@pytest.mark.filterwarnings("error")
def test_one_of_a_stack_may_diverge(tiny):
    tame = replace(WILD, learning_rate=0.05)
    first, second, third = train([tame, WILD, replace(tame, seed=1)], tiny)
    assert second["diverged"] == run(WILD, tiny)["diverged"]
    assert len(second["epoch"]) < 4 and second["test_loss"] is None
    assert_close(first, run(tame, tiny))
    assert_close(third, run(replace(tame, seed=1), tiny))


@pytest.mark.parametrize(
    "change",
    [{"activation": "tanh"}, {"epochs": 3}, {"batch_size": 32}, {"hidden": (16,)}, {"init": "he"}],
    ids=str,
)
def test_runs_that_differ_in_more_do_not_stack(tiny, change):
    with pytest.raises(ValueError, match="seed and learning rate only"):
        train([SMALL, replace(SMALL, **change)], tiny)


# On other devices


def test_compiled_formulas_give_the_same_run(tiny):
    """Under the optimizer with most in its formula; the others' are tested one by one."""
    pytest.importorskip("numba")
    config = replace(SMALL, optimizer="adamw")
    log = run(config, tiny, device=select_device("numba"))
    assert "numba" in log["device"]
    assert_close(log, run(config, tiny, device=select_device("cpu")))


def assert_same_on_device(config, tiny):
    on_device = run(config, tiny, device=select_device("gpu"))
    on_host = run(config, tiny)
    assert "stand-in" in on_device["device"] and "cupy" in on_device["versions"]
    for key in without_time(on_host).keys() - {"device", "versions"}:
        assert on_device[key] == on_host[key]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_device_arrays_give_the_same_log_to_the_bit(strict_cupy, tiny, activation):
    assert_same_on_device(replace(SMALL, optimizer="sgd", activation=activation), tiny)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_device_arrays_give_the_same_log_under_every_optimizer(strict_cupy, tiny, optimizer):
    assert_same_on_device(replace(SMALL, optimizer=optimizer), tiny)
    assert strict_cupy.transfers.fused >= 10


def test_copies_do_not_grow_with_the_number_of_steps(strict_cupy, tiny):
    copies = []
    for batch_size in (16, 64):
        strict_cupy.transfers.reset()
        config = replace(SMALL, optimizer="sgd", batch_size=batch_size, epochs=3)
        run(config, tiny, device=select_device("gpu"))
        copies.append((strict_cupy.transfers.to_host, strict_cupy.transfers.to_device))
    assert copies[0] == copies[1]
    assert copies[0][0] <= 3 * 2 + 1  # losses and record of each epoch, the test set's at the end


@pytest.mark.parametrize("seeds", [3, [3, 4]], ids=["single", "stack"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("dtype, unwanted", [("float32", "float64"), ("float64", "float32")])
def test_one_dtype_throughout(strict_cupy, tiny, optimizer, seeds, dtype, unwanted):
    """Every array that a step makes has passed through the stand-in, so it has seen all dtypes."""
    cupy = strict_cupy.cupy
    images, labels = cupy.asarray(tiny.x_train), cupy.asarray(tiny.y_train)
    order = np.arange(60) if seeds == 3 else np.arange(60).reshape(2, 30)
    for activation in ACTIVATIONS:
        model = MLP([784, 6, 5, 10], activation, seed=seeds, dtype=dtype, xp=cupy)
        stepper = OPTIMIZERS[optimizer](model, 0.01 if seeds == 3 else [0.01, 0.02])
        strict_cupy.transfers.reset()
        train_epoch(model, SoftmaxCrossEntropy(), stepper, images, labels, cupy.asarray(order), 16)
        floats = {name for name in strict_cupy.transfers.dtypes if name.startswith("float")}
        assert floats == {dtype}, activation
        assert {a.dtype.name for a in vars(stepper).values() if hasattr(a, "dtype")} == {dtype}
        assert strict_cupy.transfers.to_host == 0


def test_every_optimizer_is_tested():
    assert set(TORCH_OPTIMIZERS) == set(OPTIMIZERS) and set(TORCH_ACTIVATIONS) == set(ACTIVATIONS)
    assert all(issubclass(optimizer, Optimizer) for optimizer in OPTIMIZERS.values())


# The device of a training is its own, whatever has been selected since.


def test_a_training_keeps_to_its_device(tiny, monkeypatch):
    pytest.importorskip("numba")
    cpu, compiled = select_device("cpu"), select_device("numba")
    seen = []
    step = OPTIMIZERS["sgd"].step
    monkeypatch.setattr(
        OPTIMIZERS["sgd"], "step", lambda self: (seen.append(backend._compiled), step(self))
    )
    config = Config(optimizer="sgd", epochs=1, batch_size=1000)
    train([config], tiny, cpu)
    train([config], tiny, compiled)
    train([config], tiny)
    assert seen == [False, True, False]


@pytest.mark.parametrize("configs", [[], None])
def test_training_needs_a_configuration(configs, tiny):
    with pytest.raises(ValueError, match="needs a configuration"):
        train(configs, tiny)
