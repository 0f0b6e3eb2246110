"""What defines a run: Config."""

import math
from collections.abc import Iterable, Sequence
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

    The defaults are the lab sheet's. learning_rate None takes the optimizer's customary rate.
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
        if not isinstance(rate, Real) or not (math.isfinite(rate) and rate > 0):
            raise ValueError(f"learning_rate is {rate!r}: it must be a number above 0")
        for name in ("epochs", "batch_size"):
            if not is_count(getattr(self, name)):
                value = getattr(self, name)
                raise ValueError(f"{name} is {value!r}: it must be an integer above 0")
        if not (isinstance(self.hidden, Iterable) and all(map(is_count, self.hidden))):
            raise ValueError(f"hidden is {self.hidden!r}: give a list of integers above 0")
        streams(self.seed)  # raises ValueError for a bad seed
        # Python's own numbers, as JSON knows no others; the dataclass is frozen to everyone else.
        for name, value in (
            ("learning_rate", float(rate)),
            ("hidden", tuple(map(int, self.hidden))),
            *((name, int(getattr(self, name))) for name in ("seed", "epochs", "batch_size")),
        ):
            object.__setattr__(self, name, value)

    @property
    def run_id(self) -> str:
        """Name of the run, and of its directory, such as relu_adam_none_lr0.001_seed42.

        Batch size, initialization and hidden layers are part of it where they are not the lab
        sheet's: relu_adam_none_lr0.001_batch32_init-he_hidden128x5_seed42 has 5 layers of 128.
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
