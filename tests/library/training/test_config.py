"""nnlite.training.config: which configurations there are, and what they are called."""

import itertools
import math
import re
from dataclasses import replace

import numpy as np
import pytest

from nnlite.activations import ACTIVATIONS
from nnlite.network import INITIALIZERS
from nnlite.optimizers import OPTIMIZERS
from nnlite.schedulers import SCHEDULERS
from nnlite.training.config import Config, hidden_name


def test_defaults_are_the_original_sheet_s():
    config = Config()
    assert (config.epochs, config.batch_size, config.hidden) == (30, 128, (256, 128))
    assert (config.init, config.scheduler) == ("uniform", "none")


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_usual_learning_rates(optimizer):
    usual = 0.01 if "sgd" in optimizer else 0.001
    assert Config(optimizer=optimizer).learning_rate == usual
    assert Config(optimizer=optimizer, learning_rate=0.5).learning_rate == 0.5


# ---- names


@pytest.mark.parametrize(
    "changes, name",
    [
        ({}, "relu_adam_none_lr0.001_seed42"),
        (
            {"batch_size": 128, "init": "uniform", "hidden": [256, 128], "epochs": 5},
            "relu_adam_none_lr0.001_seed42",
        ),
        (
            {
                "activation": "leaky_relu",
                "optimizer": "sgd_momentum",
                "scheduler": "cosine",
                "learning_rate": 0.05,
                "seed": 7,
            },
            "leaky_relu_sgd_momentum_cosine_lr0.05_seed7",
        ),
        ({"learning_rate": 1}, "relu_adam_none_lr1_seed42"),
        ({"learning_rate": 10**-3.5}, "relu_adam_none_lr0.00031622776601683794_seed42"),
        ({"batch_size": 32}, "relu_adam_none_lr0.001_batch32_seed42"),
        ({"init": "xavier"}, "relu_adam_none_lr0.001_init-xavier_seed42"),
        ({"hidden": (128,) * 5}, "relu_adam_none_lr0.001_hidden128x5_seed42"),
        ({"hidden": (256, 64)}, "relu_adam_none_lr0.001_hidden256-64_seed42"),
        ({"hidden": (128, 256)}, "relu_adam_none_lr0.001_hidden128-256_seed42"),
        (
            {"batch_size": 16, "init": "he", "hidden": [8, 8], "seed": 0},
            "relu_adam_none_lr0.001_batch16_init-he_hidden8x2_seed0",
        ),
    ],
    ids=str,
)
def test_run_id(changes, name):
    assert Config(**changes).run_id == name


@pytest.mark.parametrize(
    "hidden, name",
    [((), "0"), ((128,), "128"), ((128, 128), "128x2"), ([5] * 10, "5x10"), ((3, 3, 4), "3-3-4")],
    ids=str,
)
def test_hidden_name(hidden, name):
    assert hidden_name(hidden) == name


def test_every_configuration_has_a_plain_name_of_its_own():
    """Of letters that every file system takes, and not one that results are moved aside under."""
    hidden = [(), (256,), (256, 128), (128, 256), (256, 256), (256,) * 3, (25, 6), (2, 56)]
    cells = [
        *itertools.product(
            ACTIVATIONS, OPTIMIZERS, [1e-300, 0.1, 1 / 3, 7, 1e300], SCHEDULERS, [0, 2**64]
        ),
        *itertools.product(
            ["relu"],
            ["sgd"],
            [0.1],
            ["none"],
            [1, 11],
            [30],
            [1, 12, 128, 1281],
            INITIALIZERS,
            hidden,
        ),
    ]
    ids = [Config(*cell).run_id for cell in cells]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z0-9_.+-]+", name) for name in ids)
    assert not any(name.endswith(".") or ".old" in name for name in ids)


# ---- what is refused


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
        ("learning_rate", True),
        ("batch_size", np.True_),
        ("hidden", {16, 8}),
        ("hidden", {16: 8}),
        ("hidden", None),
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


# ---- what it is made of


def test_numpy_s_numbers_and_lists_are_python_s_and_tuples():
    config = Config(
        learning_rate=np.float32(0.5),
        seed=np.int64(3),
        epochs=np.int32(2),
        batch_size=np.uint8(64),
        hidden=np.array([8, 4]),
    )
    assert config == Config(learning_rate=0.5, seed=3, epochs=2, batch_size=64, hidden=(8, 4))
    values = [config.learning_rate, config.seed, config.epochs, config.batch_size, *config.hidden]
    assert [type(value) for value in values] == [float] + [int] * 5
    assert type(config.hidden) is tuple


@pytest.mark.parametrize("make", [iter, lambda h: map(int, h), lambda h: reversed(h[::-1])])
def test_an_iterator_of_widths_is_not_used_up_by_its_check(make):
    assert Config(hidden=make([8, 4])) == Config(hidden=(8, 4))


def test_a_configuration_does_not_change():
    with pytest.raises(AttributeError):
        Config().seed = 1
    assert replace(Config(), seed=1).learning_rate == 0.001
