"""Studies: questions, each with the flags of the command line that answer it.

A study changes one variable, or compares two with each other, with the same five seeds for every
cell. Its flags are ordinary ones that anyone could type.
"""

import math
from dataclasses import dataclass

from nnlite.activations import ACTIVATIONS
from nnlite.network import INITIALIZERS
from nnlite.optimizers import OPTIMIZERS
from nnlite.schedulers import SCHEDULERS
from sweep.tuning import FIRST_RATES

SEEDS = "--seed 42 43 44 45 46"
AXES = ("activation", "optimizer", "lr", "scheduler", "seed", "batch-size", "init", "depth")


@dataclass(frozen=True)
class Study:
    """A question, the words of a command line that answers it, and how long that takes.

    minutes: on two cores, with Fashion-MNIST, from experiments/reference/README.md.
    """

    question: str
    flags: list[str]
    minutes: int

    def values(self, flag: str) -> list[str]:
        """Return the words after --flag; [] if it is not among the flags."""
        if f"--{flag}" not in self.flags:
            return []
        after = self.flags[self.flags.index(f"--{flag}") + 1 :]
        ends = [i for i, word in enumerate(after) if word.startswith("--")]
        return after[: ends[0]] if ends else after

    @property
    def runs(self) -> int:
        """The number of runs; of a tuning, if all best rates are other than usual, and inside."""
        cells = math.prod(max(1, len(self.values(axis))) for axis in AXES if axis != "seed")
        seeds, tuning = (len(self.values(flag)) for flag in ("seed", "tune-seed"))
        return cells * (FIRST_RATES * tuning + 2 * seeds if tuning else seeds)


def study(minutes: int, question: str, flags: str) -> Study:
    return Study(question, f"{flags} {SEEDS}".split(), minutes)


STUDIES = {
    "activations": study(
        14,
        "Which activation function learns best, all else equal?",
        f"--activation {' '.join(ACTIVATIONS)} --optimizer adam --epochs 30",
    ),
    "optimizers": study(
        10,
        "Which optimizer learns best, each at its usual learning rate?",
        f"--activation relu --optimizer {' '.join(OPTIMIZERS)} --epochs 30",
    ),
    "schedulers": study(
        7,
        "What does lowering the learning rate during training gain?",
        f"--activation relu --optimizer adam --scheduler {' '.join(SCHEDULERS)} --epochs 30",
    ),
    "learning-rate": study(
        22,
        "How much of the difference between optimizers is the learning rate?",
        f"--activation relu sigmoid tanh --optimizer {' '.join(OPTIMIZERS)} "
        "--tune-seed 1 2 --epochs 5",
    ),
    "depth": study(
        9,
        "How do gradients change on their way through many layers, and what does it cost?",
        "--activation relu sigmoid tanh --optimizer sgd_momentum --hidden 128 "
        f"--depth 1 2 3 5 7 10 --init {' '.join(INITIALIZERS)} --epochs 3",
    ),
    "batch-size": study(
        11,
        "What does the batch size change, down to one sample a step?",
        "--activation relu --optimizer sgd --batch-size 1 8 32 128 512 --epochs 5",
    ),
}


def listing() -> str:
    """Return what `--study list` prints: of each study name, question, runs, time and flags."""
    texts = []
    for name, s in STUDIES.items():
        about = "about " if s.values("tune-seed") else ""
        time = f"{about}{s.runs} runs, about {s.minutes} minutes on two cores"
        texts.append(f"{name}: {s.question}\n    {time}\n    {' '.join(s.flags)}")
    return "\n\n".join(texts)
