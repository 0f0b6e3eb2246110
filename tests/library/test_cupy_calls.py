"""How many calls of CuPy a training step takes, counted by the stand-in.

On a GPU a step of a small network takes as long as its calls from Python do, so each one counts.
experiments/speed.md has this table, and what it may mean in time.
"""

import re
from collections import Counter

import numpy as np
import pytest

from conftest import ROOT
from nnlite import MLP, OPTIMIZERS, SoftmaxCrossEntropy
from nnlite.activations import ACTIVATIONS
from nnlite.training import train_epoch

# In a step of the lab's network: calls that compute something, each at least one kernel.
COMPUTING = {"sigmoid": 58, "tanh": 54, "relu": 42, "leaky_relu": 48, "elu": 50, "gelu": 54}
VIEWS = 10  # calls that only make a view of an array
MORE = {"adamw": 1}  # every other optimizer is one fused kernel, which is in the numbers above


def calls(stand_in, activation, optimizer, seed, steps):
    """What an epoch of so many steps calls, in the network of the lab, only narrower."""
    xp, lead = stand_in.cupy, np.shape(seed)
    model = MLP([6, 5, 4, 3], activation, seed=seed, xp=xp)
    images, labels = xp.zeros((8, 6), "uint8"), xp.zeros(8, "uint8")
    rule, loss = OPTIMIZERS[optimizer](model), SoftmaxCrossEntropy()
    order = xp.zeros((*lead, 8 * steps), "int64")
    stand_in.transfers.reset()
    train_epoch(model, loss, rule, images, labels, order, 8)
    return Counter(stand_in.transfers.calls)


@pytest.mark.parametrize("seed", [1, [1, 2]], ids=["one", "stack"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_calls_in_a_step(strict_cupy, activation, optimizer, seed):
    """As many for a stack as for one network: that is why stacks pay on a GPU."""
    two, one = (calls(strict_cupy, activation, optimizer, seed, steps) for steps in (2, 1))
    step = two - one
    views = sum(step[name] for name in strict_cupy.VIEWS)
    assert step.total() - views == COMPUTING[activation] + MORE.get(optimizer, 0)
    assert views == VIEWS
    assert step["kernel"] == 1 and step["matmul"] == 8


def test_speed_md_has_these_numbers():
    text = (ROOT / "experiments" / "speed.md").read_text(encoding="utf-8")
    table = dict(re.findall(r"^\| (\w+) \| (\d+) \|", text.partition("### Calls of CuPy")[2], re.M))
    assert {name: int(number) for name, number in table.items()} == COMPUTING
