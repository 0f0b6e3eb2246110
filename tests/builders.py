"""Made-up logs for tests of findings, figures and the page."""

import math

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

    val, by default test + 1, is the best validation accuracy, reached at the last epoch.
    """
    if learning_rate is None:
        learning_rate = OPTIMIZERS[optimizer].default_learning_rate
    val = test + 1 if val is None else val
    rise = np.linspace(0.7, 1, epochs)
    layers = {f"fc{k + 1}": {"gradient_norm": norm} for k, norm in enumerate(norms or [])}
    return {
        "experiment_id": "a run",
        "config": {"activation": activation, "optimizer": optimizer, "learning_rate": learning_rate,
                   "scheduler": scheduler, "seed": seed, "epochs": epochs, "batch_size": batch_size,
                   "init": init, "hidden": list(hidden)},
        "dataset": {"name": name, "checksum": "", "source": "a test", "note": "",
                    "classes": [str(k) for k in range(10)]},
        "device": "CPU", "versions": {}, "stack": 1,
        "diverged": {"epoch": epochs, "step": 3} if diverged else None,
        "epoch": list(range(1, epochs + 1)),
        "train_loss": [*(loss * np.linspace(3, 1, epochs))[:-1], None if diverged else loss],
        "val_loss": [*(loss * np.linspace(3, 1, epochs))[:-1], None if diverged else loss],
        "val_accuracy": [*(val * rise)[:-1], None if diverged else val],
        "learning_rate": [learning_rate] * epochs, "epoch_time": [seconds] * epochs,
        "steps_per_epoch": steps, "gradient_stats": {},
        "initial": {"gradient_stats": {}, "probe": layers},
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
