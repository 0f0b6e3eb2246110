"""nnlite.training: one run of the lab, or several side by side, from the split to the test set."""

import base64
import json
import math
from dataclasses import replace

import numpy as np
import pytest

from nnlite import backend
from nnlite.activations import ACTIVATIONS
from nnlite.backend import select_device, to_host
from nnlite.datasets import Dataset
from nnlite.losses import SoftmaxCrossEntropy
from nnlite.network import MLP
from nnlite.optimizers import OPTIMIZERS, Optimizer
from nnlite.schedulers import SCHEDULERS
from nnlite.seeding import streams
from nnlite.training import Training, evaluate, scaled, train, train_epoch
from nnlite.training import loop as training
from nnlite.training.config import Config
from nnlite.training.diagnostics import gradient_statistics, histograms, probe_statistics
from nnlite.training.logs import leaves, summarize, verify

SMALL = Config(hidden=(16, 8), epochs=2, batch_size=64)
EVERY_EPOCH = ("epoch", "train_loss", "val_loss", "val_accuracy", "learning_rate", "epoch_time")


def run(config, data, **options):
    (log,) = train([config], data, **options)
    return log


def without_time(log):
    return {key: value for key, value in log.items() if key not in ("epoch_time", "sha256")}


def numbers(log):
    """Every measured number, by name, None as nan; of images, only how badly they are mistaken."""
    about = ["experiment_id", "config", "dataset", "device", "versions", "stack", "epoch_time"]
    about += ["sha256", "most_wrong"]
    found = {}

    def add(name, value):
        if isinstance(value, dict):
            for key in value:
                add(f"{name} {key}", value[key])
        else:
            found[name] = np.array(value, dtype="float64")

    add("", {key: value for key, value in log.items() if key not in about})
    add("most_wrong", [mistake["probability"] for mistake in log["most_wrong"]])
    return found


def assert_close(log, expected):
    """As far as float32 and another order of summation allow; one image may change sides."""
    assert (log["experiment_id"], log["config"]) == (expected["experiment_id"], expected["config"])
    found, wanted = numbers(log), numbers(expected)
    assert list(found) == list(wanted)
    for name in wanted:
        slack = (
            3.4
            if "accuracy" in name
            else 1.0
            if "pct" in name or "confusion" in name or "saturated" in name
            else 2.0
            if "counts" in name  # a number may lie on the other side of an edge
            else 1e-7
        )
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
    epochs, training_now = [], []
    run_epoch, train_on, forward = (
        Training.run_epoch,
        Training.train_on,
        SoftmaxCrossEntropy.forward,
    )

    def spy_on_epoch(self):
        epochs.append([])
        run_epoch(self)

    def spy_on_steps(self, order):
        training_now.append(True)
        losses = train_on(self, order)
        training_now.pop()
        return losses

    def spy_on_loss(self, logits, labels):
        if training_now:
            z = logits.astype("float64")
            picked = z[np.arange(len(z)), labels]
            epochs[-1].append(np.mean(np.logaddexp.reduce(z, axis=-1) - picked))
        return forward(self, logits, labels)

    monkeypatch.setattr(Training, "run_epoch", spy_on_epoch)
    monkeypatch.setattr(Training, "train_on", spy_on_steps)
    monkeypatch.setattr(SoftmaxCrossEntropy, "forward", spy_on_loss)
    return epochs


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


def test_every_image_is_used_as_it_should(numbered, fed, monkeypatch):
    monkeypatch.setattr(training, "PROBE_ROWS", 20)
    run(SMALL, numbered)
    is_test = [bool(np.all(x[:, 2] > -1)) for x in fed]
    assert is_test == [False] * (len(fed) - 1) + [True]  # the test set once, at the very end
    assert rows_in(fed.pop()) == list(range(50))

    initial, *rest = map(rows_in, fed)
    steps = 5  # 270 = 4 * 64 + 14
    epochs = [rest[: steps + 3], rest[steps + 3 :]]
    train_rows, validation_rows, fresh_batches = [], [], []
    for *batches, validation, probe, fresh in epochs:
        assert [len(x) for x in batches] == [64, 64, 64, 64, 14]
        train_rows.append([row for x in batches for row in x])
        validation_rows.append(validation)
        fresh_batches.append(fresh)
        assert probe == initial == validation[:20]  # always the same, and never trained on
        assert len(set(fresh)) == 64 and set(fresh) <= set(train_rows[0])
    assert validation_rows[0] == validation_rows[1]
    assert sorted(train_rows[0] + validation_rows[0]) == list(range(300))
    assert sorted(train_rows[1]) == sorted(train_rows[0]) and train_rows[1] != train_rows[0]
    assert len(validation_rows[0]) == 30
    assert fresh_batches[0] != fresh_batches[1]


def test_a_batch_larger_than_the_data_is_all_of_it(tiny, fed):
    log = run(replace(SMALL, batch_size=1000), tiny)
    assert [len(x) for x in fed] == [30] + [270, 30, 30, 270] * 2 + [50]
    assert log["epoch"] == [1, 2] and log["steps_per_epoch"] == 1


@pytest.mark.parametrize("batch_size, steps", [(1, 270), (89, 4), (90, 3), (269, 2), (270, 1)])
def test_steps_per_epoch(tiny, batch_size, steps):
    """270 of the 300 images are trained on."""
    training = Training([replace(SMALL, batch_size=batch_size)], tiny, select_device("cpu"))
    assert training.logs[0]["steps_per_epoch"] == steps


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


def confusion_by_hand(logits, labels):
    counts = [[0] * 10 for _ in range(10)]
    for label, row in zip(labels.tolist(), logits.tolist(), strict=True):
        counts[label][row.index(max(row))] += 1
    return counts


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
    assert log["test_confusion"] == confusion_by_hand(logits, labels)

    fed_for_validation = fed[6:11]  # after the probe and 5 steps, 30 rows 7 at a time
    rows = np.concatenate([rows_in(x) for x in fed_for_validation])
    assert len(set(rows)) == 30
    logits = models[0].forward(np.concatenate(fed_for_validation)).astype("float64")
    labels = numbered.y_train[rows]
    loss = np.mean(np.logaddexp.reduce(logits, axis=-1) - logits[np.arange(30), labels])
    assert log["val_loss"][0] == pytest.approx(loss, rel=1e-5)
    assert log["val_accuracy"][0] == pytest.approx(100 * np.mean(np.argmax(logits, -1) == labels))
    assert log["val_confusion"] == [confusion_by_hand(logits, labels)]


def test_the_test_images_most_confidently_mistaken(numbered, models):
    """Here most images are mistaken; all but the worst sixteen are left out."""
    log = run(replace(SMALL, epochs=1), numbered)
    logits = models[0].forward(scaled(numbered.x_test, np.dtype("float32"))).astype("float64")
    mistakes = []
    for row, (z, label) in enumerate(zip(logits, numbered.y_test)):
        if z.argmax() != label:
            mistakes.append((-np.exp(z.max() - np.logaddexp.reduce(z)), row))
    assert len(mistakes) > 16
    assert len(log["most_wrong"]) == 16
    for (minus_p, row), found in zip(sorted(mistakes)[:16], log["most_wrong"], strict=True):
        assert found["probability"] == pytest.approx(-minus_p, rel=1e-5)
        assert (found["row"], found["label"]) == (row, numbered.y_test[row])
        assert found["predicted"] == logits[row].argmax()
        assert base64.b64decode(found["image"]) == bytes(numbered.x_test[row].tolist())


# What is looked at


def backpropagated(model, fed_rows, data):
    loss = SoftmaxCrossEntropy()
    loss.forward(model.forward(fed_rows), data.y_train[rows_in(fed_rows)])
    model.backward(loss.backward())
    return model


def test_gradient_stats_are_those_of_the_fresh_batch(numbered, models, fed):
    """In the end the weights are still those that the last fresh batch has met."""
    log = run(SMALL, numbered)
    model = backpropagated(models[0], fed[-2], numbered)
    assert list(log["gradient_stats"]) == list(model.gradients())
    for name, g in model.gradients().items():
        statistics = log["gradient_stats"][name]
        assert statistics["mean_abs"][-1] == pytest.approx(np.abs(g).mean(), rel=1e-5)
        assert statistics["std"][-1] == pytest.approx(g.std(), rel=1e-5)
        assert statistics["pct_zero"][-1] == pytest.approx(100 * np.mean(g == 0), rel=1e-5)
        assert statistics["norm"][-1] == pytest.approx(np.linalg.norm(g), rel=1e-5)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_layers_are_looked_at_on_the_probe_set_after_the_epoch(numbered, models, fed, activation):
    log = run(replace(SMALL, activation=activation), numbered)
    probe = fed[-3]  # before the fresh batch and the test set
    assert len(probe) == 30
    model = backpropagated(models[0], probe, numbered)
    expected = probe_statistics(model)
    assert list(log["probe"]) == list(expected) == ["fc1", "act1", "fc2", "act2", "fc3"]
    for layer, values in expected.items():
        assert {k: series[-1] for k, series in log["probe"][layer].items()} == values
    assert log["histograms"]["last"] == histograms(model)[0]
    assert log["histograms"]["first"] != log["histograms"]["last"]
    counted = {name: sum(h["counts"]) for name, h in log["histograms"]["first"].items()}
    assert counted == {"fc1": 480, "act1": 480, "fc2": 240, "act2": 240, "fc3": 300}


def test_what_there_is_before_the_first_step(numbered, fed):
    log = run(replace(SMALL, activation="sigmoid"), numbered)
    model = backpropagated(MLP([784, 16, 8, 10], "sigmoid", seed=42), fed[0], numbered)
    assert log["initial"] == {
        "gradient_stats": gradient_statistics(model),
        "probe": probe_statistics(model),
    }
    series = {key: log[key] for key in ("gradient_stats", "probe")}
    assert len(leaves(series)) == len(leaves(log["initial"])) == 6 * 4 + 3 + 2 * 3


def test_histograms_are_of_the_first_and_the_last_epoch(tiny):
    one, two, three = (run(replace(SMALL, epochs=epochs), tiny) for epochs in (1, 2, 3))
    firsts, lasts = zip(*(log["histograms"].values() for log in (one, two, three)))
    assert firsts[0] == firsts[1] == firsts[2] == lasts[0]
    assert lasts[0] != lasts[1] != lasts[2] != lasts[0]
    assert all(list(counted) == list(one["probe"]) for counted in (*firsts, *lasts))


@pytest.mark.parametrize("batch_size", [64, 270, 1000], ids="{} a batch".format)
def test_the_update_ratio_is_that_of_the_last_step(tiny, batch_size):
    """One step of SGD: the weight changes by its gradient times the rate."""
    config = replace(SMALL, optimizer="sgd", learning_rate=0.1, batch_size=batch_size, epochs=2)
    log = run(config, tiny)
    random = streams(config.seed)
    rows = random["split"].permutation(300)[:270]
    model, loss = MLP([784, 16, 8, 10], seed=42), SoftmaxCrossEntropy()
    for epoch in range(2):
        order = random["batches"].permutation(rows)
        before, last = np.split(order, [(270 - 1) // batch_size * batch_size])
        optimizer = OPTIMIZERS["sgd"](model, 0.1)
        train_epoch(model, loss, optimizer, tiny.x_train, tiny.y_train, before, batch_size)
        loss.forward(model.forward(scaled(tiny.x_train[last], model.dtype)), tiny.y_train[last])
        model.backward(loss.backward())
        for name in ("fc1", "fc2", "fc3"):
            W, g = model.parameters()[f"{name}.weight"], model.gradients()[f"{name}.weight"]
            ratio = 0.1 * np.linalg.norm(g) / np.linalg.norm(W)
            assert log["update_ratio"][name][epoch] == pytest.approx(ratio, rel=1e-4)
        optimizer.step()
    assert list(log["update_ratio"]) == ["fc1", "fc2", "fc3"]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_looking_does_not_change_the_training(tiny, models, optimizer):
    """A loop of nothing but steps, with the same random numbers, ends with the same weights."""
    config = replace(SMALL, optimizer=optimizer, scheduler="cosine", epochs=3)
    log = run(config, tiny)
    random = streams(config.seed)
    rows = random["split"].permutation(300)[:270]
    model = MLP([784, 16, 8, 10], seed=config.seed)
    stepper = OPTIMIZERS[optimizer](model)
    for epoch in range(3):
        stepper.learning_rate = SCHEDULERS["cosine"](config.learning_rate, 3)(epoch)
        losses = train_epoch(
            model,
            SoftmaxCrossEntropy(),
            stepper,
            tiny.x_train,
            tiny.y_train,
            random["batches"].permutation(rows),
            64,
        )
        assert log["train_loss"][epoch] == pytest.approx(losses.mean(), rel=1e-6)
    np.testing.assert_array_equal(models[0].theta, model.theta)


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


# Epoch by epoch


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
    bad = [
        (e, s)
        for e, losses in enumerate(batch_losses, 1)
        for s, x in enumerate(losses, 1)
        if not np.isfinite(x)
    ]
    assert log["diverged"] == {"epoch": bad[0][0], "step": bad[0][1]}
    assert log["epoch"] == calls == list(range(1, bad[0][0] + 1)) and len(calls) < WILD.epochs
    assert all(len(log[key]) == len(log["epoch"]) for key in EVERY_EPOCH)
    assert log["train_loss"][-1] is log["val_loss"][-1] is log["val_accuracy"][-1] is None
    assert log["test_loss"] is log["test_accuracy"] is None
    for key in ("gradient_stats", "probe", "update_ratio"):
        assert all(values[-1] is None for values in leaves(log[key])), key
        assert all(len(values) == len(calls) for values in leaves(log[key])), key
    assert log["val_confusion"][-1] is log["test_confusion"] is None
    assert log["histograms"]["last"] == {} and log["most_wrong"] == []
    assert None not in leaves(log["initial"])
    json.dumps(log, allow_nan=False)
    summary = summarize(log)
    json.dumps(summary, allow_nan=False)
    assert summary["diverged"] == log["diverged"]
    assert summary["final_loss"] is summary["training_stability_score"] is None


def test_the_first_histograms_stay_if_the_run_diverges_later(tiny):
    """Here the rate that follows on the first epoch's is wild."""
    training = Training([replace(WILD, learning_rate=0.01)], tiny, select_device("cpu"))
    training.run_epoch()
    training.schedules = [lambda epoch: 1e9]
    while not training.done:
        training.run_epoch()
    (log,) = training.finish()
    assert log["diverged"]["epoch"] > 1
    tame = run(replace(WILD, learning_rate=0.01, epochs=1), tiny)
    assert log["histograms"] == {"first": tame["histograms"]["first"], "last": {}}
    for key in ("gradient_stats", "probe", "update_ratio"):
        assert all(None not in values[:-1] for values in leaves(log[key])), key
    assert log["val_confusion"][0] == tame["val_confusion"][0]


LAST_STEP = replace(WILD, learning_rate=1e38, epochs=1, batch_size=1000)


def test_after_a_last_step_that_diverges_there_is_no_nan(tiny):
    log = run(LAST_STEP, tiny)
    assert log["val_loss"] == [None] and log["test_loss"] is None
    json.dumps([log, summarize(log)], allow_nan=False)


def test_a_run_whose_last_step_diverges_has_diverged(tiny):
    log = run(LAST_STEP, tiny)
    assert log["diverged"] == {"epoch": 1, "step": 1}
    assert log["val_accuracy"] == [None] and log["test_accuracy"] is None
    assert log["val_confusion"] == [None] and log["test_confusion"] is None
    assert log["histograms"] == {"first": {}, "last": {}} and log["most_wrong"] == []
    assert all(values == [None] for values in leaves(log["update_ratio"]))


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


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_compiled_formulas_give_the_same_run_to_the_bit(tiny, optimizer, numba_at_once):
    config = replace(SMALL, optimizer=optimizer)
    log = run(config, tiny, device=select_device("numba"))
    assert "numba" in log["device"] and log["versions"]["numba"] in log["device"]
    on_numpy = run(config, tiny, device=select_device("cpu"))
    assert "numba" not in on_numpy["versions"]
    for key in without_time(log).keys() - {"device", "versions"}:
        assert log[key] == on_numpy[key]


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
    copies = {}
    for batch_size, epochs in ((16, 3), (64, 3), (64, 4)):
        strict_cupy.transfers.reset()
        config = replace(SMALL, optimizer="sgd", batch_size=batch_size, epochs=epochs)
        run(config, tiny, device=select_device("gpu"))
        transfers = strict_cupy.transfers
        copies[batch_size, epochs] = transfers.to_host, transfers.to_device
    assert copies[16, 3] == copies[64, 3]
    # losses and record of each epoch; before, one record; in the end the test set's and its logits
    histograms = 2 * 5  # in the first and the last epoch, of 5 layers
    assert copies[64, 3][0] == 3 * 2 + 1 + 2 + histograms
    assert copies[64, 4][0] == 4 * 2 + 1 + 2 + histograms


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
        OPTIMIZERS["sgd"], "step", lambda self: (seen.append(backend.selected.name), step(self))
    )
    config = Config(optimizer="sgd", epochs=1, batch_size=1000)
    train([config], tiny, cpu)
    train([config], tiny, compiled)
    train([config], tiny)
    assert seen == ["cpu", "numba", "cpu"]


@pytest.mark.parametrize("epochs", [1, 2])
def test_every_log_is_sealed_when_its_run_is_finished(tiny, epochs):
    """Those of a stack one by one, diverged or not."""
    tame = replace(WILD, learning_rate=0.05, epochs=epochs)
    for log in train([tame, replace(tame, learning_rate=1e6)], tiny):
        verify(log)
        log["train_loss"][0] = 1.0
        with pytest.raises(ValueError):
            verify(log)


@pytest.mark.parametrize("configs", [[], None])
def test_training_needs_a_configuration(configs, tiny):
    with pytest.raises(ValueError, match="needs a configuration"):
        train(configs, tiny)


def test_one_configuration_or_an_iterator_of_them_will_do(tiny):
    config = Config(epochs=1, hidden=(4,))
    (alone,) = train(config, tiny)
    (listed,) = train(iter([config]), tiny)
    assert alone["train_loss"] == listed["train_loss"]


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"configs": [{}]}, "give a list of one Config or more"),
        ({"data": (1, 2)}, "training got a tuple and a Device: give a Dataset"),
        ({"device": "cpu"}, "training got a Dataset and a str: .* what select_device returns"),
        ({"on_epoch": 3}, "on_epoch is 3: give a function"),
    ],
    ids=str,
)
def test_what_cannot_be_trained_is_refused_before_training(changes, words, tiny):
    arguments = {"configs": [Config(epochs=1)], "data": tiny, "device": None, "on_epoch": None}
    with pytest.raises(ValueError, match=words):
        train(**(arguments | changes))


def test_pixels_are_uint8():
    """Of 0..1, as other libraries have them, scaled would make -1 to -0.99."""
    for dtype in ("float32", "float64", "int64", "bool"):
        with pytest.raises(ValueError, match="give pixels 0 to 255 as uint8"):
            scaled(np.ones((2, 3), dtype), np.dtype("float32"))


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, "2", True])
def test_a_bad_batch_size_is_refused(batch_size, tiny):
    model = MLP([784, 10])
    data = (tiny.x_train, tiny.y_train, np.arange(4))
    with pytest.raises(ValueError, match="batch_size is .*: it must be an integer above 0"):
        train_epoch(model, SoftmaxCrossEntropy(), OPTIMIZERS["sgd"](model), *data, batch_size)


def test_there_must_be_something_to_evaluate(tiny):
    with pytest.raises(ValueError, match="the batch is empty"):
        evaluate(MLP([784, 10]), SoftmaxCrossEntropy(), tiny.x_test, tiny.y_test, np.arange(0))
