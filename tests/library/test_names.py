"""The names that programs import from nnlite, wherever the files have moved to."""

import importlib
import inspect

import pytest

import nnlite
from nnlite import datasets, gradcheck, training
from nnlite.training import diagnostics, logs, loop

NAMES = """
    ACTIVATIONS Adam AdamW Config Constant Cosine DataError Dataset ELU Exponential GELU
    INITIALIZERS Layer LeakyReLU Linear MLP OPTIMIZERS Optimizer RMSprop ReLU SCHEDULERS SGD
    SGDMomentum Scheduler Sigmoid SoftmaxCrossEntropy Step Tanh load save select_device train
""".split()


def test_nnlite_exports_these():
    assert sorted(nnlite.__all__) == sorted(NAMES)
    for name in NAMES:
        assert hasattr(nnlite, name)


def test_submodules_are_found_under_their_names():
    assert callable(datasets.load) and callable(gradcheck.check_all)
    for name in ("Training", "train", "train_epoch", "evaluate", "scaled"):
        assert getattr(training, name) is getattr(loop, name)


@pytest.mark.parametrize("module", [logs, diagnostics], ids=["logs", "diagnostics"])
def test_the_short_address_has_what_the_module_defines_and_nothing_it_imports(module):
    short = importlib.import_module(f"nnlite.{module.__name__.rpartition('.')[2]}")
    homes = (module.__name__, "nnlite.training.identity")  # which logs lets through
    defined = [
        name
        for name, value in vars(module).items()
        if isinstance(value, (int, float))  # a constant
        or (inspect.isfunction(value) and value.__module__ in homes)
    ]
    assert sorted(short.__all__) == sorted(module.__all__) == sorted(defined)
    for name in defined:
        assert getattr(short, name) is getattr(module, name)
    assert not hasattr(short, "np")
