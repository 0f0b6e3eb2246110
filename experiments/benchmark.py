"""How long one epoch takes: nnlite, its own matrix products, scikit-learn, PyTorch and JAX.

    python experiments/benchmark.py --help

All train the same network, relu + adam, on the same rows, from the same initial weights, on the
same cores. They take turns, epoch by epoch, so a disturbance of the machine hits all of them.
"""

import argparse
import contextlib
import io
import math
import multiprocessing
import os
import platform
import re
import sys
import time
import tracemalloc
import warnings
from collections import defaultdict
from collections.abc import Callable
from dataclasses import InitVar, dataclass
from functools import cached_property, partial
from importlib import metadata
from pathlib import Path

import joblib
import numpy as np
import results
from exp3 import Parser, check_writable, positive_int, shout
from sweep import run_all
from threadpoolctl import threadpool_info, threadpool_limits
from tqdm import tqdm

from nnlite import MLP, OPTIMIZERS, Config, SoftmaxCrossEntropy, select_device
from nnlite.backend import DEVICES, to_host
from nnlite.datasets import DATASETS, Dataset, load
from nnlite.seeding import streams
from nnlite.training import VALIDATION_SHARE, scaled, train_epoch

SEED = 42
TOLERANCE = 0.05  # how far losses of the first epoch may lie apart: batch orders and rounding differ
CELLS = [(a, o) for a in ("relu", "sigmoid", "tanh") for o in ("sgd", "adam")]
NOTEBOOK, FLOOR = "PyTorch, the notebook's way", "its matrix products"
MIB = 2**20

# ---------------------------------------------------------------------------------- the task


@dataclass
class Task:
    """What a contestant is given: training rows, network, batches. rows: take the first so many."""

    data: InitVar[Dataset]
    batch_size: int = 128
    threads: int = 1
    hidden: tuple[int, ...] = (256, 128)
    rows: int | None = None

    def __post_init__(self, data: Dataset):
        shuffled = streams(SEED)["split"].permutation(len(data.x_train))
        n_train = int((1 - VALIDATION_SHARE) * len(shuffled))
        train, validation = shuffled[:n_train][: self.rows], shuffled[n_train:]
        self.images, self.labels = data.x_train[train], data.y_train[train]
        self.validation = data.x_train[validation], data.y_train[validation]
        self.sizes = [self.images.shape[1], *self.hidden, len(data.classes)]
        self.batches = streams(SEED)["batches"]

    @cached_property
    def x(self) -> np.ndarray:
        """The images as the frameworks want them, float32 from -1 to 1, converted beforehand."""
        return scaled(self.images, np.dtype("float32"))

    def initial(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The initial weight (D_in, D_out) and bias of each layer, uniform in +-1/sqrt(D_in)."""
        p = MLP(self.sizes, seed=SEED).parameters()
        layers = range(1, len(self.sizes))
        return [(p[f"fc{i}.weight"].copy(), p[f"fc{i}.bias"].copy()) for i in layers]

    def next_order(self) -> np.ndarray:
        """The order of the training rows in the next epoch."""
        return self.batches.permutation(len(self.images))


# ---------------------------------------------------------------------------- the contestants
# Each is made from a task, raises ImportError or RuntimeError if it cannot take part, and has
# epoch(order) -> mean training loss, which returns when the work is done, on a GPU too.


class NNLite:
    """nnlite, as training.py runs it: from uint8 images; a stack if there is more than one run."""

    def __init__(self, task: Task, device: str = "cpu", runs: int = 1):
        self.device, self.runs, self.batch_size = device, runs, task.batch_size
        xp = self.xp = select_device(device).xp
        self.model = MLP(task.sizes, seed=SEED if runs == 1 else [SEED] * runs, xp=xp)
        self.loss, self.optimizer = SoftmaxCrossEntropy(), OPTIMIZERS["adam"](self.model)
        self.images, self.labels = xp.asarray(task.images), xp.asarray(task.labels)

    def epoch(self, order: np.ndarray) -> float:
        select_device(self.device)  # anew, as another contestant may have selected its own
        if self.runs > 1:
            order = np.tile(order, (self.runs, 1))
        losses = train_epoch(
            self.model, self.loss, self.optimizer, self.images, self.labels,
            self.xp.asarray(order), self.batch_size,
        )  # fmt: skip
        # As in the logs, the mean over batches. Copying it to the host waits for the GPU.
        return float(to_host(losses.mean()))


class Floor:
    """The matrix products of nnlite's epoch and nothing else, on float32 batches ready to use."""

    def __init__(self, task: Task, device: str = "cpu", runs: int = 1):
        self.xp, self.batch_size = select_device(device).xp, task.batch_size
        lead = (runs,) if runs > 1 else ()
        self.x = self.xp.broadcast_to(self.xp.asarray(task.x), (*lead, *task.x.shape))
        self.weights = [
            self.xp.broadcast_to(self.xp.asarray(weight), (*lead, *weight.shape)).copy()
            for weight, _ in task.initial()
        ]
        self.dweights = [self.xp.empty_like(weight) for weight in self.weights]

    def epoch(self, order: np.ndarray) -> None:
        for start in range(0, len(order), self.batch_size):
            inputs = [self.x[..., start : start + self.batch_size, :]]
            for weight in self.weights:
                inputs.append(inputs[-1] @ weight)
            gradient = inputs.pop()  # any numbers of that shape will do
            for i in reversed(range(len(self.weights))):
                self.xp.matmul(inputs[i].mT, gradient, out=self.dweights[i])
                if i > 0:
                    gradient = gradient @ self.weights[i].mT
        to_host(self.dweights[0][..., 0, 0])  # waits for the GPU


class ScikitLearn:
    """MLPClassifier. partial_fit is one epoch, in an order of its own, that keeps Adam's state."""

    def __init__(self, task: Task):
        from sklearn.neural_network import MLPClassifier

        self.x, self.y = task.x, task.labels
        self.model = MLPClassifier(
            task.hidden, activation="relu", solver="adam", alpha=0, batch_size=task.batch_size,
            learning_rate_init=0.001, random_state=SEED,
        )  # fmt: skip
        initial = iter(task.initial())
        self.model._init_coef = lambda *_: next(initial)  # there is no public way to set weights

    def epoch(self, order: np.ndarray) -> float:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "Training interrupted")  # it would hide a Ctrl-C
            try:
                self.model.partial_fit(self.x, self.y, classes=np.unique(self.y))
            except UserWarning:
                raise KeyboardInterrupt from None
        return self.model.loss_


class Torch:
    """PyTorch at its best: data resident, fused optimizer, no number read before the end."""

    fused: bool | None = True

    def __init__(
        self, task: Task, activation: str = "relu", optimizer: str = "adam", device: str = "cpu"
    ):
        import torch
        from torch import nn

        if device == "cuda" and not torch.cuda.is_available():
            raise RuntimeError("PyTorch sees no GPU")
        torch.set_num_threads(task.threads)
        make = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}[activation]
        modules = []
        for weight, bias in task.initial():
            linear = nn.Linear(*weight.shape)
            linear.weight.data = torch.from_numpy(weight.T.copy())
            linear.bias.data = torch.from_numpy(bias)
            modules += [linear, make()]
        self.torch, self.batch_size = torch, task.batch_size
        self.model = nn.Sequential(*modules[:-1]).to(device)
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[optimizer](
            self.model.parameters(), OPTIMIZERS[optimizer].default_learning_rate, fused=self.fused
        )
        self.prepare(task, device)

    def prepare(self, task: Task, device: str) -> None:
        self.x = self.torch.from_numpy(task.x).to(device)
        self.y = self.torch.from_numpy(task.labels.astype("int64")).to(device)
        validation = scaled(task.validation[0], np.dtype("float32"))
        self.x_validation = self.torch.from_numpy(validation).to(device)
        self.y_validation = self.torch.from_numpy(task.validation[1].astype("int64")).to(device)

    def epoch(self, order: np.ndarray) -> float:
        order = self.torch.from_numpy(order).to(self.x.device)
        total = self.torch.zeros((), device=self.x.device)
        for batch in order.split(self.batch_size):
            logits = self.model(self.x.index_select(0, batch))
            loss = self.criterion(logits, self.y.index_select(0, batch))
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            total += loss.detach() * len(batch)
        return total.item() / len(order)  # waits for the GPU

    def accuracy(self) -> float:
        with self.torch.no_grad():
            hits = self.model(self.x_validation).argmax(1) == self.y_validation
        return hits.float().mean().item()


class OneByOne:
    """A dataset that does for each image what torchvision does in the lab sheet's notebook.

    torchvision itself is not asked for: this is its FashionMNIST with ToTensor and Normalize(0.5,
    0.5), step by step in plain PyTorch: a PIL image, an array, a float tensor, minus mean by std.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray):
        self.side = math.isqrt(images.shape[1])
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> tuple:
        import torch
        from PIL import Image

        image = Image.fromarray(self.images[i].reshape(self.side, self.side))
        pixels = torch.from_numpy(np.array(image)).unsqueeze(0).to(torch.float32).div(255)
        mean, std = torch.as_tensor([0.5]).view(-1, 1, 1), torch.as_tensor([0.5]).view(-1, 1, 1)
        return pixels.clone().sub_(mean).div_(std), int(self.labels[i])


class TorchNotebook(Torch):
    """PyTorch as the lab sheet's notebook has it: a DataLoader, plain Adam, loss.item() per step.

    It shuffles by itself, so its batches are others.
    """

    fused = None

    def prepare(self, task: Task, device: str) -> None:
        loader = partial(self.torch.utils.data.DataLoader, batch_size=self.batch_size)
        self.training = loader(OneByOne(task.images, task.labels), shuffle=True)
        self.validating = loader(OneByOne(*task.validation))

    def epoch(self, order: np.ndarray) -> float:
        total = 0.0
        for x, y in self.training:
            self.optimizer.zero_grad()
            loss = self.criterion(self.model(x.flatten(1)), y)
            loss.backward()
            self.optimizer.step()
            total += loss.item()
        return total / len(self.training)

    def accuracy(self) -> float:
        with self.torch.no_grad():
            hits = [(self.model(x.flatten(1)).argmax(1) == y).sum() for x, y in self.validating]
        return sum(hits).item() / len(self.validating.dataset)


class Jax:
    """JAX at its best: a whole epoch compiled into one loop, its state updated in place."""

    def __init__(self, task: Task):
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
        if task.threads == 1:  # for systems that cannot hold a process to its cores
            os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
        import jax
        import jax.numpy as jnp

        def mean_loss(params, x, y):
            *hidden, (weight, bias) = params
            for w, b in hidden:
                x = jax.nn.relu(x @ w + b)
            log_p = jax.nn.log_softmax(x @ weight + bias)
            return -jnp.take_along_axis(log_p, y[:, None], axis=1).mean()

        def step(state, x, y):
            params, m, v, t = state
            loss, g = jax.value_and_grad(mean_loss)(params, x, y)
            t = t + 1
            m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
            v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
            rate, scale = 0.001 / (1 - 0.9**t), 1 / (1 - 0.999**t)

            def update(p, m, v):
                return p - rate * m / (jnp.sqrt(scale * v) + 1e-8)

            return (jax.tree.map(update, params, m, v), m, v, t), loss

        def epoch(state, x, y, order):
            full = len(order) // size * size
            batches, rest = order[:full].reshape(-1, size), order[full:]
            state, losses = jax.lax.scan(lambda s, rows: step(s, x[rows], y[rows]), state, batches)
            total = losses.sum() * size
            if len(rest):
                state, loss = step(state, x[rest], y[rest])
                total = total + loss * len(rest)
            return state, total / len(order)

        size = task.batch_size
        self.compiled = jax.jit(epoch, donate_argnums=0)
        self.x, self.y = jnp.asarray(task.x), jnp.asarray(task.labels.astype("int32"))
        params = jax.tree.map(jnp.asarray, task.initial())
        m, v = (jax.tree.map(jnp.zeros_like, params) for _ in range(2))
        self.state = (params, m, v, jnp.float32(0))

    def epoch(self, order: np.ndarray) -> float:
        self.state, loss = self.compiled(self.state, self.x, self.y, order.astype("int32"))
        self.state[0][0][0].block_until_ready()
        return float(loss)


CONTESTANTS = {
    "nnlite": NNLite,
    "nnlite, numba": partial(NNLite, device="numba"),
    FLOOR: Floor,
    "scikit-learn": ScikitLearn,
    "PyTorch": Torch,
    NOTEBOOK: TorchNotebook,
    "JAX": Jax,
}

# ------------------------------------------------------------------------------- one epoch


@contextlib.contextmanager
def hold_to_cores(threads: int):
    """Keep this process on `threads` cores, where the system can: nobody's hidden threads help."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[-threads:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def race(makers: dict[str, Callable], task: Task, rounds: int, progress: bool = True) -> list[dict]:
    """Let the contestants run one epoch each in turns; return a row of results for each.

    The first epoch compiles and warms up. It gives the loss that is compared, and no time.
    seconds: wall clock of each further epoch; cpu_seconds: what the process computed in that time.
    """
    rows, running = [], {}
    for name, make in makers.items():
        rows.append({"name": name, "note": "", "loss": None, "seconds": [], "cpu_seconds": []})
        try:
            running[name] = make(task)
        except (ImportError, RuntimeError) as error:
            missing = isinstance(error, ModuleNotFoundError)
            rows[-1]["note"] = "not installed" if missing else str(error)
    # Only now, as it finds the thread pools of libraries that have been imported.
    with threadpool_limits(task.threads):
        for epoch in tqdm(range(rounds + 1), unit="round", disable=None if progress else True):
            order = task.next_order()
            for row in rows:
                if row["note"]:
                    continue
                wall, cpu = time.perf_counter(), time.process_time()
                loss = running[row["name"]].epoch(order)
                wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
                if epoch == 0:
                    row["loss"] = loss
                else:
                    row["seconds"].append(wall)
                    row["cpu_seconds"].append(cpu)
    for row in rows:
        row["median"] = float(np.median(row["seconds"])) if row["seconds"] else None
    return rows


def disagreements(losses: dict[str, float | None]) -> list[str]:
    """Say which losses are not, within the tolerance, the first one; None stands for no loss."""
    (first, expected), *others = losses.items()
    return [
        f"{name}'s loss after the first epoch is {loss:.4f}, {first}'s {expected:.4f}: "
        f"more than {TOLERANCE:.0%} apart, so they do not do the same work"
        for name, loss in others
        if loss is not None and not abs(loss / expected - 1) <= TOLERANCE
    ]


def target(text: str, value: float | None, limit: float, at_most: bool = True) -> dict | None:
    """A target held against what was measured; None if it could not be measured."""
    if value is None:
        return None
    met = value <= limit if at_most else value >= limit
    return {"target": text, "measured": value, "limit": limit, "at_most": at_most, "met": met}

def run_epochs(args: argparse.Namespace, data: Dataset) -> dict:
    """One training epoch, all contestants in turns."""
    if args.device == "gpu":
        makers = {
            "nnlite": partial(NNLite, device="gpu"),
            **{f"nnlite, stack of {k}": partial(NNLite, device="gpu", runs=k) for k in (1, 8, 64)},
            FLOOR: partial(Floor, device="gpu"),
            "PyTorch": partial(Torch, device="cuda"),
        }
    else:
        makers = CONTESTANTS
    task = Task(data, args.batch_size, args.threads)
    rows = race(makers, task, args.rounds)
    for row in rows:
        row["runs"] = getattr(makers[row["name"]], "keywords", {}).get("runs", 1)
        row["ratio"] = row["median"] and row["median"] / row["runs"] / rows[0]["median"]
    seconds = {row["name"]: row["median"] / row["runs"] for row in rows if row["median"]}
    name = min((n for n in seconds if n.startswith("nnlite")), key=seconds.get)

    def times(other: str) -> float | None:
        return seconds[other] / seconds[name] if other in seconds else None

    targets = [
        target(f"{name}: its time over that of {FLOOR}", 1 / times(FLOOR), 1.25),
        target(f"JAX's time over that of {name}", times("JAX"), 1, at_most=False),
        target(f"PyTorch's time over that of {name}", times("PyTorch"), 1.3, at_most=False),
    ]
    if args.device == "gpu":
        name = "nnlite, stack of 64"
        stack = 64 * seconds[name] / seconds["nnlite, stack of 1"]
        targets = [
            target("time of a stack of 64 over that of 1", stack, 4),
            target(f"runs an hour, {name} over PyTorch", times("PyTorch"), 10, at_most=False),
        ]
    print_table([{
        "": row["name"],
        "s/epoch": number(row["median"]),
        "min": number(min(row["seconds"], default=None)),
        "max": number(max(row["seconds"], default=None)),
        "CPU s": number(np.median(row["cpu_seconds"]) if row["seconds"] else None),
        "runs": str(row["runs"]),
        "x nnlite": number(row["ratio"], 2),
        "loss": number(row["loss"], 4),
        "note": row["note"],
    } for row in rows])  # fmt: skip
    problems = disagreements({row["name"]: row["loss"] for row in rows})
    return {"rows": rows, "targets": targets, "problems": problems}
