"""What defines a run: Config."""

import functools
import math
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from numbers import Real

from ..activations import ACTIVATIONS
from ..network import INITIALIZERS, is_count, lookup
from ..optimizers import OPTIMIZERS
from ..schedulers import SCHEDULERS
from ..seeding import streams


@dataclass(frozen=True)
class Config:
    """Everything that decides the outcome of a run, apart from the data.

    The defaults are the original sheet's. learning_rate None means the optimizer's usual rate.
    Raises ValueError, with one sentence, for anything out of range.
    """

    activation: str = "relu"
    optimizer: str = "adam"
    learning_rate: float | None = None
    scheduler: str = "none"
    seed: int = 42
    epochs: int = 30
    batch_size: int = 128
    init: str = "uniform"
    hidden: tuple[int, ...] = (256, 128)

    def __post_init__(self):
        lookup("activation", self.activation, ACTIVATIONS)
        lookup("scheduler", self.scheduler, SCHEDULERS)
        lookup("initialization", self.init, INITIALIZERS)
        optimizer = lookup("optimizer", self.optimizer, OPTIMIZERS)
        rate = optimizer.default_learning_rate if self.learning_rate is None else self.learning_rate
        if not isinstance(rate, Real) or isinstance(rate, bool) or not 0 < rate < math.inf:
            raise ValueError(f"learning_rate is {rate!r}: it must be a number above 0")
        for name, value in (("epochs", self.epochs), ("batch_size", self.batch_size)):
            if not is_count(value):
                raise ValueError(f"{name} is {value!r}: it must be an integer above 0")
        hidden = self.hidden
        if isinstance(hidden, Iterable) and not isinstance(hidden, (Set, Mapping)):
            hidden = tuple(hidden)  # before the check: an iterator can be read only once
        if not isinstance(hidden, tuple) or not all(map(is_count, hidden)):
            raise ValueError(f"hidden is {hidden!r}: give a list of integers above 0")
        streams(self.seed)  # raises ValueError for a bad seed
        # JSON knows Python's own numbers only, so NumPy's are converted. The dataclass is frozen;
        # this is how it sets its own fields.
        set_field = functools.partial(object.__setattr__, self)
        set_field("learning_rate", float(rate))
        set_field("seed", int(self.seed))
        set_field("epochs", int(self.epochs))
        set_field("batch_size", int(self.batch_size))
        set_field("hidden", tuple(map(int, hidden)))

    @property
    def run_id(self) -> str:
        """Name of the run, and of its folder, such as relu_adam_none_lr0.001_seed42.

        Batch size, initialization and hidden layers are part of it if they are not the defaults:
        relu_adam_none_lr0.001_batch32_init-he_hidden128x5_seed42 has 5 layers of 128.
        """
        parts = [self.activation, self.optimizer, self.scheduler]
        parts += [f"lr{repr(self.learning_rate).removesuffix('.0')}"]
        if self.batch_size != Config.batch_size:
            parts += [f"batch{self.batch_size}"]
        if self.init != Config.init:
            parts += [f"init-{self.init}"]
        if self.hidden != Config.hidden:
            parts += [f"hidden{hidden_name(self.hidden)}"]
        return "_".join([*parts, f"seed{self.seed}"])


def hidden_name(hidden: Sequence[int]) -> str:
    """Return 128x5 for five hidden layers of 128 units each, 256-128 for unequal ones."""
    if len(hidden) > 1 and len(set(hidden)) == 1:
        return f"{hidden[0]}x{len(hidden)}"
    return "-".join(map(str, hidden)) or "0"
