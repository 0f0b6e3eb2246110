"""Nothing goes by a name on the command line that the tests do not know.

The tests of activations, optimizers, schedules and initial weights run over the registries and
look up what they expect in tables. A name that is new has to get an entry in each table.
"""

import pytest

import test_activations
import test_network
import test_optimizers
import test_schedulers
from nnlite import activations, optimizers, schedulers
from nnlite.activations import ACTIVATIONS
from nnlite.layers import Layer
from nnlite.network import INITIALIZERS, MLP, lookup
from nnlite.optimizers import OPTIMIZERS, Optimizer
from nnlite.schedulers import SCHEDULERS, Scheduler

TABLES = [
    (ACTIVATIONS, test_activations.FORMULAS),
    (ACTIVATIONS, test_activations.LIMITS),
    (ACTIVATIONS, test_activations.AT_ZERO),
    (ACTIVATIONS, test_activations.TORCH),
    (OPTIMIZERS, test_optimizers.BY_HAND),
    (OPTIMIZERS, test_optimizers.TORCH),
    (OPTIMIZERS, test_optimizers.RATES),
    (SCHEDULERS, test_schedulers.BY_HAND),
    (SCHEDULERS, test_schedulers.TORCH),
    (INITIALIZERS, test_network.STD),
]


def where_is(table: dict) -> str:
    """The module and name of a table of expectations."""
    modules = (test_activations, test_optimizers, test_schedulers, test_network)
    return next(f"{m.__name__}.{k}" for m in modules for k, v in vars(m).items() if v is table)


@pytest.mark.parametrize("registry, table", TABLES)
def test_every_name_has_an_expectation(registry, table):
    missing = set(registry) - set(table)
    assert list(table) == list(registry), f"give {missing} an entry in {where_is(table)}"


@pytest.mark.parametrize("registry, table", TABLES)
def test_a_name_without_one_is_noticed(registry, table, monkeypatch):
    monkeypatch.setitem(registry, "new", registry[next(iter(registry))])
    with pytest.raises(AssertionError):
        test_every_name_has_an_expectation(registry, table)


@pytest.mark.parametrize(
    "module, base, registry",
    [
        (activations, Layer, ACTIVATIONS),
        (optimizers, Optimizer, OPTIMIZERS),
        (schedulers, Scheduler, SCHEDULERS),
    ],
    ids=["activations", "optimizers", "schedulers"],
)
def test_every_class_has_a_name(module, base, registry):
    classes = [c for c in vars(module).values() if isinstance(c, type) and issubclass(c, base)]
    assert set(classes) - {base} == set(registry.values())


@pytest.mark.parametrize("registry", [ACTIVATIONS, OPTIMIZERS, SCHEDULERS, INITIALIZERS])
def test_an_unknown_name_is_answered_with_the_known_ones(registry):
    with pytest.raises(ValueError) as error:
        lookup("thing", "no such name", registry)
    for word in ("thing", "'no such name'", *registry):
        assert word in str(error.value)
    assert lookup("thing", next(iter(registry)), registry) in registry.values()


def test_a_new_activation_needs_no_more_than_its_name(monkeypatch):
    monkeypatch.setitem(ACTIVATIONS, "new", ACTIVATIONS["tanh"])
    assert isinstance(MLP([3, 2, 2], "new").layers["act1"], ACTIVATIONS["tanh"])
