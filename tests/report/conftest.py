"""Logs for tests of the report: real ones, of small networks on the tiny data."""

from itertools import product

import pytest

from nnlite import ACTIVATIONS, Config
from nnlite.training import train
from pages import EVIL, page_of, renamed
from report import page as report


@pytest.fixture(scope="session")
def cells(tiny):
    """Two activations by two optimizers by three seeds."""
    settings = {"epochs": 4, "batch_size": 50, "hidden": (12, 8)}
    logs = []
    for activation, optimizer in product(("relu", "sigmoid"), ("sgd", "adam")):
        configs = [Config(activation, optimizer, seed=seed, **settings) for seed in (0, 1, 2)]
        logs += train(configs, tiny)
    return logs


@pytest.fixture(scope="session")
def diverged(tiny):
    """One seed of relu + sgd, at a learning rate at which nothing can be learned."""
    (log,) = train([Config("relu", "sgd", 1e20, seed=0, epochs=4, hidden=(12, 8))], tiny)
    assert log["diverged"]
    return log


@pytest.fixture(scope="session")
def page(cells):
    """The report of these cells, parsed."""
    return page_of(cells)


@pytest.fixture(scope="session")
def evil(cells):
    """The cells, with names that would be markup if they were not escaped."""
    return renamed(cells)


@pytest.fixture
def evil_activation(monkeypatch):
    """An activation with such a name."""
    monkeypatch.setitem(ACTIVATIONS, EVIL, ACTIVATIONS["relu"])


@pytest.fixture
def no_pictures(monkeypatch):
    """Leave out what takes longest and does not matter here."""
    monkeypatch.setattr(report, "figures_of", lambda _: ({}, {}))
