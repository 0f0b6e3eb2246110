"""Made-up logs for tests of findings, figures and the page."""

import base64
import math
from itertools import product

import numpy as np

from nnlite import OPTIMIZERS
from sweep.tuning import first_rates

SEEDS = (42, 43, 44, 45, 46)


def fake(
    activation="relu", optimizer="adam", learning_rate=None, scheduler="none", seed=42, epochs=4,
    batch_size=128, init="uniform", hidden=(256, 128), test=80.0, val=None, loss=0.3,
    diverged=None, norms=None, seconds=1.0, steps=400, name="fashion-mnist",
):  # fmt: skip
    """A log with the keys that conclusions read: numbers per epoch rise to val and fall to loss.

    val, by default test + 1, is the best validation accuracy, reached at the last epoch. norms are
    |dL/dz| of the hidden layers before training.
    """
    if learning_rate is None:
        learning_rate = OPTIMIZERS[optimizer].default_learning_rate
    val = test + 1 if val is None else val
    rise = np.linspace(0.7, 1, epochs)
    if norms and len(norms) == len(hidden):
        norms = [*norms, 1.0]  # of the logits
    layers = {f"fc{k + 1}": {"gradient_norm": norm} for k, norm in enumerate(norms or [])}
    return {
        "experiment_id": "a run",
        "config": {"activation": activation, "optimizer": optimizer, "learning_rate": learning_rate,
                   "scheduler": scheduler, "seed": seed, "epochs": epochs, "batch_size": batch_size,
                   "init": init, "hidden": list(hidden)},
        "dataset": {"name": name, "checksum": "", "source": "a test", "note": "", "pixels": "as is",
                    "classes": [str(k) for k in range(10)]},
        "device": "CPU", "versions": {}, "stack": 1,
        "diverged": {"epoch": epochs, "step": 3} if diverged else None,
        "epoch": list(range(1, epochs + 1)),
        "train_loss": [*(loss * np.linspace(3, 1, epochs))[:-1], None if diverged else loss],
        "val_loss": [*(loss * np.linspace(3, 1, epochs))[:-1], None if diverged else loss],
        "val_accuracy": [*(val * rise)[:-1], None if diverged else val],
        "learning_rate": [learning_rate] * epochs, "epoch_time": [seconds] * epochs,
        "steps_per_epoch": steps, "gradient_stats": {},
        "initial": {"gradient_stats": {}, "probe": layers}, "probe": {}, "update_ratio": {},
        "test_loss": None if diverged else 0.4, "test_accuracy": None if diverged else test,
        "test_confusion": None if diverged else (np.eye(10, dtype=int) * 1000).tolist(),
    }  # fmt: skip


def cell(tests, seeds=SEEDS, **config):
    """One log per seed with these test accuracies."""
    return [fake(seed=seed, test=test, **config) for seed, test in zip(seeds, tests)]


def tuned_logs(optimizer, best, activation="relu", test=80.0, gain=5.0):
    """Logs of a tuning of which `best` comes out, and of the fresh seeds at both rates."""
    usual = OPTIMIZERS[optimizer].default_learning_rate
    rates = sorted({*first_rates(usual), best})
    config = {"activation": activation, "optimizer": optimizer}
    logs = [
        fake(**config, learning_rate=rate, seed=seed, test=50,
             val=80 - 4 * abs(math.log10(rate / best)) + seed)
        for rate in rates for seed in (1, 2)
    ]  # fmt: skip
    for rate in {usual, best}:
        level = test + (gain if rate == best != usual else 0)
        noise = 0 if optimizer != "sgd" else 0.002 if rate == best else 0.001
        logs += [
            fake(**config, learning_rate=rate, seed=s, test=level + s % 3 + noise * (s % 5 - 2))
            for s in SEEDS
        ]
    return logs


# Logs with all that is drawn

CLASSES = ["T-shirt/top", "Trouser", "Ankle boot"]
CONFUSION = [[90, 6, 4], [0, 0, 7], [0, 0, 0]]  # one never right, one without images


def make_histogram(low=-1.0, high=3.0, spike=0, seed=0):
    """As in a log; spike is how many numbers are in the first bin beside the others."""
    counts = np.random.default_rng(seed).integers(20, 400, 40)
    counts[0] += spike
    counts[[0, -1]] += counts.sum() // 198  # what lies beyond: 0.5 % on each side
    return {"low": low, "high": high, "counts": counts.tolist()}


def make_image(k):
    return np.random.default_rng(k).integers(0, 256, (6, 6), dtype="uint8")


def make_log(
    activation="relu", optimizer="adam", learning_rate=0.001, scheduler="none", seed=0,
    epochs=4, diverged=0, hidden=(256, 128), batch_size=128, init="uniform", level=1.0, ratio=1.0,
    dead=5.0, zero=9.0, saturated=20.0, **changes,
):  # fmt: skip
    """A log as nnlite.training writes it; diverged is the epoch of that, or 0.

    level: a factor of every loss and every error, by which curves can be told apart; ratio: one of
    all update ratios. dead, zero, saturated: percentages of the first layer.
    """
    shown, layers = diverged or epochs, range(1, len(hidden) + 2)
    falling = (1 + 0.01 * (seed % 100)) / np.arange(1, shown + 1)
    losses = level * falling
    rates = learning_rate * 0.5 ** np.arange(shown)

    def measured(values):
        return [*map(float, values[:-1]), None if diverged else float(values[-1])]

    probe = {f"fc{k}": {"gradient_norm": measured(0.01 * 4**k * falling)} for k in layers}
    for k in layers[:-1]:
        probe[f"act{k}"] = {
            "gradient_norm": measured(falling), "dead": measured(dead / falling / k)
        }  # fmt: skip
        if activation in ("sigmoid", "tanh"):
            probe[f"act{k}"]["saturated"] = measured(saturated * k * falling)
    initial = {name: dict.fromkeys(history, 1.5) for name, history in probe.items()}
    for k in layers[:-1]:
        initial[f"act{k}"]["dead"] = 1.0 if dead else 0.0
    gradients = {
        f"fc{k}.{part}": {"mean_abs": measured(1e-3 * k * falling), "std": measured(falling),
                          "pct_zero": measured(zero * share / falling / k)}
        for k in layers for part, share in (("weight", 1), ("bias", 0.5))
    }  # fmt: skip
    first = {name: make_histogram(seed=i) for i, name in enumerate(probe)}
    last = {name: make_histogram(-2, 2, seed=100 + i) for i, name in enumerate(probe)}
    wrong = [
        {"row": k, "label": 2, "predicted": 0, "probability": 0.9999 - 0.02 * k,
         "image": base64.b64encode(make_image(k).tobytes()).decode()}
        for k in range(16)
    ]  # fmt: skip
    log = {
        "experiment_id": f"{activation}_{optimizer}_{scheduler}_lr{learning_rate:g}_seed{seed}",
        "config": {"activation": activation, "optimizer": optimizer, "scheduler": scheduler,
                   "learning_rate": learning_rate, "seed": seed, "epochs": epochs,
                   "batch_size": batch_size, "init": init, "hidden": list(hidden)},
        "dataset": {"name": "fashion-mnist", "checksum": "", "source": "a test", "note": "",
                    "pixels": "as is", "classes": CLASSES},
        "device": "CPU", "versions": {},
        "diverged": {"epoch": diverged, "step": 7} if diverged else None,
        "epoch": list(range(1, shown + 1)),
        "train_loss": measured(losses), "val_loss": measured(1.2 * losses),
        "val_accuracy": measured(100 - 20 * losses),
        "learning_rate": rates.tolist() if scheduler != "none" else [learning_rate] * shown,
        "epoch_time": [1.0] * shown, "steps_per_epoch": 400,
        "initial": {"probe": initial,
                    "gradient_stats": {n: dict.fromkeys(h, 2.5 if zero else 0.0)
                                       for n, h in gradients.items()}},
        "gradient_stats": gradients, "probe": probe,
        "update_ratio": {f"fc{k}": measured(ratio * 0.002 * k * falling) for k in layers},
        "histograms": {"first": {} if diverged == 1 else first, "last": {} if diverged else last},
        "test_loss": None if diverged else 1.0,
        "test_accuracy": None if diverged else 100 - 22 * float(losses[-1]),
        "test_confusion": None if diverged else CONFUSION,
        "val_confusion": [CONFUSION] * shown,
        "most_wrong": [] if diverged else wrong,
    }  # fmt: skip
    return {**log, **changes}


LONG_NAMES = {
    "name": "a_data_file_with_a_name_of_40_characters",
    "note": "",
    "classes": [f"a_class_whose_name_has_40_characters_in_{k}" for k in range(3)],
}


def many_classes(count, **config):
    """A log of so many classes, with long names and an error here and there."""
    log = make_log(**config)
    errors = np.random.default_rng(0).poisson(0.02, (count, count))
    names = [f"a_class_whose_name_has_{k:06}_characters_x" for k in range(count)]
    log["dataset"] = {**log["dataset"], "name": "mine", "classes": names}
    log["test_confusion"] = (errors + 50 * np.eye(count, dtype=int)).tolist()
    return log


def make_grid(activations=("sigmoid", "relu"), optimizers=("sgd", "adam"), seeds=(0,), **config):
    """Logs of the cells of a grid, the first cell being the best."""
    cells = list(product(activations, optimizers))
    return [
        make_log(a, o, seed=seed, level=level, **config)
        for level, (a, o) in zip(np.linspace(1, 4, len(cells)), cells, strict=True)
        for seed in seeds
    ]
