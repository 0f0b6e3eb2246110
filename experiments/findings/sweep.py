"""A Sweep: the runs of one command, arranged once, for all that concludes, draws and reports.

One training is a run, and its log is what it recorded (nnlite/training/logs.py has the keys). The
runs that differ in nothing but the seed are a cell. A sweep is a list of cells. What a cell is
called, where it comes in the order, how it looks, and what its seeds measured is decided here and
nowhere else, so that every figure, sentence and table agrees.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import cycle

import numpy as np
from scipy.special import stdtrit  # what scipy.stats.t.ppf calls; scipy.stats takes 1 s to import

from nnlite.activations import ACTIVATIONS
from nnlite.network import INITIALIZERS
from nnlite.optimizers import OPTIMIZERS
from nnlite.schedulers import SCHEDULERS
from nnlite.training.config import Config, hidden_name
from nnlite.training.logs import summarize
from sweep.studies import STUDIES
from sweep.tuning import best_rate, score
from words import and_list, plural, printable

# How cells look. Okabe & Ito's palette, which colour-blind readers can tell apart too: purple,
# orange, blue, sky blue, green and vermilion for nnlite's own activations, black and brown for the
# next ones. Optimizers are dashed, dash-dotted, dotted, solid, and solid but for small gaps.
PALETTE = "#CC79A7 #E69F00 #0072B2 #56B4E9 #009E73 #D55E00 #000000 #8C510A".split()
DASHES = [(0, (2.5, 1.5)), (0, (6, 1.5, 1.2, 1.5)), (0, (1, 1.2)), "-", (0, (9, 1.2))]
MARKERS = "os^Dv*Pph<>d"


def color_of(activation: str) -> str:
    """Return the colour of everything that belongs to an activation, as #rrggbb."""
    return PALETTE[list(ACTIVATIONS).index(activation) % len(PALETTE)]


def dashes_of(optimizer: str):
    """Return the line style of an optimizer, as matplotlib takes it: "-", or (0, dashes)."""
    return DASHES[list(OPTIMIZERS).index(optimizer) % len(DASHES)]


# Names and order

DEPTH_WIDTH = int(*STUDIES["depth"].values("hidden"))


def dataset_of(log: dict) -> dict:
    """Return what the log says of its data, with names that can be printed."""
    dataset = log["dataset"]
    names = {key: printable(dataset[key]) for key in ("name", "note")}
    return {**dataset, **names, "classes": [printable(name) for name in dataset["classes"]]}


def layers_text(hidden: tuple[int, ...]) -> str:
    """'5 hidden layers' of the depth study's 128 units, '5 hidden layers of 64', 'hidden 256-128'.

    Different layers have different texts, or two cells of a sweep could have the same label.
    """
    if len(set(hidden)) > 1:
        return f"hidden {hidden_name(hidden)}"
    if not hidden:
        return "no hidden layers"
    width = "" if hidden[0] == DEPTH_WIDTH else f" of {hidden[0]}"
    return plural(len(hidden), "hidden layer") + width


# Setting -> what a label says of its value. Labels name settings in this order.
NAMES: dict[str, Callable] = {
    "activation": str,
    "optimizer": str,
    "learning_rate": lambda rate: f"lr {repr(rate).removesuffix('.0')}",
    "scheduler": lambda name: "no schedule" if name == "none" else name,
    "batch_size": lambda size: f"batch {size}",
    "hidden": layers_text,
    "init": str,
    "epochs": lambda epochs: plural(epochs, "epoch"),
}
# Settings in a sentence, where that is not their name.
WORDS = {
    "learning_rate": "learning rate",
    "batch_size": "batch size",
    "hidden": "depth",
    "init": "initialization",
}
REGISTRIES = {  # settings that are names, in the order of the command line
    "activation": ACTIVATIONS,
    "optimizer": OPTIMIZERS,
    "scheduler": SCHEDULERS,
    "init": INITIALIZERS,
}


def label(config: Config, keys: Collection[str]) -> str:
    """Name a cell by these settings: 'relu + adam', 'lr 0.01', '5 hidden layers, xavier'."""
    parts = {key: name(getattr(config, key)) for key, name in NAMES.items() if key in keys}
    both = [parts.pop(key) for key in ("activation", "optimizer") if key in parts]
    return ", ".join([" + ".join(both)] * bool(both) + [*parts.values()])


def varying(configs: Iterable[Config]) -> list[str]:
    """Return the settings that vary between configurations, in the order of a label.

    The learning rate varies only if one and the same optimizer has several: that each optimizer has
    a usual rate of its own belongs to the optimizer.
    """
    configs = list(configs)
    values = {key: {getattr(c, key) for c in configs} for key in NAMES}
    rates = {(c.optimizer, c.learning_rate) for c in configs}
    if len(rates) == len(values["optimizer"]):
        del values["learning_rate"]
    return [key for key, several in values.items() if len(several) > 1]


def place(config: Config) -> tuple:
    """Return what sorts configurations: by the settings of a label, in its order, then by seed.

    Names come in the order of the command line, numbers in ascending order.
    """

    def rank(key: str):
        value = getattr(config, key)
        if key in REGISTRIES:
            return list(REGISTRIES[key]).index(value)
        return (len(value), value) if key == "hidden" else value

    return (*map(rank, NAMES), config.seed)


def without(config: Config, *keys: str) -> tuple:
    """Return all settings but the seed and these: the same for peers."""
    return tuple(value for name, value in vars(config).items() if name not in ("seed", *keys))


# Intervals


def t_interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean over axis 0 and the half-width of its 95 % t-interval, leaving NaNs out.

    half-width = t(0.975, n - 1) s / sqrt(n), and NaN where n < 2.
    """
    n = np.isfinite(values).sum(axis=0)
    mean = np.nansum(values, axis=0) / np.where(n > 0, n, np.nan)
    freedom = np.where(n > 1, n - 1, np.nan)
    variance = np.nansum((values - mean) ** 2, axis=0) / freedom
    return mean, stdtrit(freedom, 0.975) * np.sqrt(variance / n)


def interval(numbers: Iterable[float | None]) -> tuple[float | None, float | None]:
    """Return the mean and the half-width of its 95 % t-interval, leaving out None.

    None for the mean of no number, and for the half-width of fewer than two.
    """
    known = [number for number in numbers if number is not None]
    if not known:
        return None, None
    mean, half = t_interval(np.array(known))
    return float(mean), float(half) if len(known) > 1 else None


def table(rows: Iterable[list]) -> np.ndarray:
    """Lists of numbers, of any lengths, as one array; NaN where a number is None or missing."""
    rows = list(rows)
    longest = max(map(len, rows))
    return np.array([[*row, *[None] * (longest - len(row))] for row in rows], dtype=float)


# Cells


@dataclass(frozen=True, eq=False)
class Cell:
    """One configuration with all its seeds.

    label names only what varies in the sweep ('relu + adam'; 'lr 0.01'), column is the same without
    the activation. config is that of the first run. logs has one log for each seed, in the order of
    seeds. marker is "" where colour and dashes already tell all cells apart.
    """

    label: str
    column: str
    config: Config
    logs: list[dict]
    marker: str = ""

    @property
    def color(self) -> str:
        return color_of(self.config.activation)

    @property
    def dashes(self):
        return dashes_of(self.config.optimizer)

    @property
    def seeds(self) -> list[int]:
        return [log["config"]["seed"] for log in self.logs]

    @cached_property
    def summaries(self) -> list[dict]:
        """The summary of each seed's run, see nnlite.training.logs.summarize."""
        return [summarize(log) for log in self.logs]

    def values(self, measure: str) -> dict[int, float | None]:
        """Return a measure of the summary by seed; None where the run diverged."""
        return {s["seed"]: None if s["diverged"] else s[measure] for s in self.summaries}

    def mean(self, measure: str) -> tuple[float | None, float | None]:
        """Return mean and half-width of a measure, over the seeds that did not diverge."""
        return interval(self.values(measure).values())

    def curves(self, key: str) -> np.ndarray:
        """Return what the logs have under key by epoch, (seeds, epochs); NaN where nothing is."""
        return table(log[key] for log in self.logs)

    @property
    def diverged(self) -> int:
        """How many of the seeds diverged."""
        return sum(log["diverged"] is not None for log in self.logs)

    @property
    def depth(self) -> int:
        """The number of hidden layers."""
        return len(self.config.hidden)


@dataclass(frozen=True, eq=False)
class Tuning:
    """A combination of settings of which the learning rate was tuned.

    trials has the cell of the tuning seeds at each rate, in ascending order, and scores what
    sweep.tuning.score says of them. best is the rate that was chosen, usual the optimizer's own
    default. at_usual and at_best are the cells of the fresh seeds; None if they have not run.
    """

    label: str
    config: Config
    trials: dict[float, Cell]
    scores: dict[float, float | None]
    usual: float
    best: float
    at_usual: Cell | None
    at_best: Cell | None


@dataclass(frozen=True, eq=False)
class Sweep:
    """All that one command ran: make it with Sweep.of(logs).

    logs has every run; cells leave out the runs that only served to choose a learning rate, unless
    there is nothing else yet. varies lists the settings that differ between cells.
    """

    logs: list[dict]
    cells: list[Cell]
    tunings: list[Tuning]
    varies: list[str]
    study: str | None = None
    command: str = ""
    tune_seeds: tuple[int, ...] = ()

    @classmethod
    def of(
        cls,
        logs: list[dict],
        study: str | None = None,
        command: str = "",
        tune_seeds: Collection[int] = (),
    ) -> "Sweep":
        """Arrange logs. study: a name of STUDIES; tune_seeds: those that chose learning rates."""
        fresh = [log for log in logs if log["config"]["seed"] not in tune_seeds]
        cells, varies = _cells(fresh or logs)
        tunings = _tunings(logs, cells if fresh else [], tune_seeds)
        return cls(logs, cells, tunings, varies, study, command, tuple(tune_seeds))

    @property
    def only_tuned(self) -> bool:
        """Did the sweep get no further than choosing learning rates?"""
        return all(log["config"]["seed"] in self.tune_seeds for log in self.logs)

    @property
    def question(self) -> str:
        """The question that the sweep asks."""
        if self.study in STUDIES:
            return STUDIES[self.study].question
        names = [WORDS.get(key, key) for key in self.varies]
        if not names:
            return f"How does {self.cells[0].label} learn?"
        return f"What difference {'do' if len(names) > 1 else 'does'} {and_list(names)} make?"

    @cached_property
    def dataset(self) -> dict:
        """What the logs say of the data, which all runs share."""
        return dataset_of(self.logs[0])

    @property
    def seeds(self) -> list[int]:
        """The seeds of the cells, each once, in order."""
        return sorted({seed for cell in self.cells for seed in cell.seeds})

    @property
    def epochs(self) -> int:
        """The most epochs that a run of the cells has."""
        return max(len(log["epoch"]) for cell in self.cells for log in cell.logs)

    @property
    def rows(self) -> list[str]:
        """The activations, which are the rows of a grid."""
        return list(dict.fromkeys(cell.config.activation for cell in self.cells))

    @property
    def columns(self) -> list[str]:
        """The columns of a grid: what cells of one activation differ in."""
        ordered = sorted(self.cells, key=lambda cell: place(cell.config)[1:])
        return list(dict.fromkeys(cell.column for cell in ordered))

    def at(self, row: str, column: str) -> Cell | None:
        """Return the cell in that row and column of the grid; None if there is none."""
        for cell in self.cells:
            if (cell.config.activation, cell.column) == (row, column):
                return cell
        return None

    def only(self, cells: Collection[Cell]) -> "Sweep":
        """Return the sweep with these of its cells alone."""
        wanted = set(cells)
        return replace(self, cells=[cell for cell in self.cells if cell in wanted])

    def peers(self, *keys: str) -> list[list[Cell]]:
        """Return groups of cells that differ in nothing but these settings."""
        groups: dict[tuple, list[Cell]] = {}
        for cell in self.cells:
            groups.setdefault(without(cell.config, *keys), []).append(cell)
        return list(groups.values())


def _config(log: dict) -> Config:
    return Config(**log["config"])


def _grouped(logs: Iterable[dict], *keys: str) -> list[list[dict]]:
    """Return the logs, in order, in groups that share all but the seed and these settings."""
    groups: dict[tuple, list[dict]] = {}
    configs = [(_config(log), log) for log in logs]
    for config, log in sorted(configs, key=lambda pair: place(pair[0])):
        groups.setdefault(without(config, *keys), []).append(log)
    return list(groups.values())


def _cells(logs: list[dict]) -> tuple[list[Cell], list[str]]:
    """Return the cells of these logs, in order, and the settings that vary between them."""
    groups = _grouped(logs)
    configs = [_config(group[0]) for group in groups]
    varies = varying(configs)
    keys = varies or ["activation", "optimizer"]
    beside = [key for key in keys if key != "activation"] or ["optimizer"]
    columns = {label(c, beside): c.optimizer for c in sorted(configs, key=lambda c: place(c)[1:])}
    # Dashes do not tell two learning rates of an optimizer apart, nor curves of one or two points.
    marked = len(columns) > len(set(columns.values())) or any(c.epochs < 3 for c in configs)
    markers = dict(zip(columns, cycle(MARKERS if marked else [""])))
    cells = [
        Cell(label(config, keys), column := label(config, beside), config, group, markers[column])
        for config, group in zip(configs, groups)
    ]
    return cells, varies


def _tunings(logs: list[dict], fresh: list[Cell], tune_seeds: Collection[int]) -> list[Tuning]:
    """Return what was tuned.

    Rates of which a tuning seed is missing are left out, and combinations of which no rate is left.
    """
    tried = [log for log in logs if log["config"]["seed"] in tune_seeds]
    groups = _grouped(tried, "learning_rate")
    keys = varying(_config(group[0]) for group in groups)
    keys = [key for key in keys if key != "learning_rate"] or ["activation", "optimizer"]
    fresh_cells = {without(cell.config): cell for cell in fresh}
    found = []
    for group in groups:
        config = _config(group[0])
        name = label(config, keys)
        seeds_by_rate = [s for s in _grouped(group) if len(s) == len(tune_seeds)]
        cells = [Cell(name, name, _config(seeds[0]), seeds) for seeds in seeds_by_rate]
        trials = {cell.config.learning_rate: cell for cell in cells}
        scores = {rate: score(cell.logs) for rate, cell in trials.items()}
        best, usual = best_rate(scores), OPTIMIZERS[config.optimizer].default_learning_rate
        if best is None:
            continue
        at_usual, at_best = (
            fresh_cells.get(without(replace(config, learning_rate=rate))) for rate in (usual, best)
        )
        found.append(Tuning(name, config, trials, scores, usual, best, at_usual, at_best))
    return found
