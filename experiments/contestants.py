"""The contestants of the benchmark: nnlite, and others that train the very same network.

Each is a function that prepares all it needs and returns its epoch(order) -> mean loss of the
batches, which returns when the work is done, on a GPU too. ImportError, or RuntimeError here or in
the first epoch: it cannot take part. All are given the same Task. Those that train the whole grid
have, as epoch.validate(), what the lab does after each epoch: loss and accuracy on the validation
images.
"""

import math
import os
import warnings
from collections.abc import Callable
from dataclasses import InitVar, dataclass
from functools import cached_property, partial

import numpy as np

from nnlite import MLP, OPTIMIZERS, SoftmaxCrossEntropy, kernels, select_device
from nnlite.backend import to_host
from nnlite.datasets import Dataset
from nnlite.seeding import streams
from nnlite.training import scaled, train_epoch
from nnlite.training.loop import VALIDATION_SHARE

SEED = 42
FLOOR, NOTEBOOK = "its matrix products", "the notebook's PyTorch"


@dataclass
class Task:
    """What a contestant is given: training rows (the first `rows` of them), network, batches."""

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

    @cached_property
    def x_validation(self) -> np.ndarray:
        """The validation images likewise."""
        return scaled(self.validation[0], np.dtype("float32"))

    def initial(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The initial weight (D_in, D_out) and bias of each layer, uniform in +-1/sqrt(D_in)."""
        p = MLP(self.sizes, seed=SEED).parameters()
        return [(p[f"fc{i}.weight"], p[f"fc{i}.bias"]) for i in range(1, len(self.sizes))]

    def next_order(self) -> np.ndarray:
        """The order of the training rows in the next epoch."""
        return self.batches.permutation(len(self.images))


def nnlite(task: Task, device: str = "cpu", runs: int = 1) -> Callable:
    """nnlite as its training runs it, from uint8 images; more than one run make a stack."""
    kernels.COMPILE_AFTER = 0  # so that numba compiles in the first epoch, which is not timed
    xp = select_device(device).xp
    model = MLP(task.sizes, seed=SEED if runs == 1 else [SEED] * runs, xp=xp)
    loss, optimizer = SoftmaxCrossEntropy(), OPTIMIZERS["adam"](model)
    data = xp.asarray(task.images), xp.asarray(task.labels)

    def epoch(order: np.ndarray) -> np.ndarray:
        select_device(device)  # anew, as another contestant has selected its own since
        order = xp.asarray(order if runs == 1 else np.tile(order, (runs, 1)))
        losses = train_epoch(model, loss, optimizer, *data, order, task.batch_size)
        return to_host(losses.mean(axis=-1))  # waits for the GPU

    return epoch


def floor(task: Task, device: str = "cpu", runs: int = 1) -> Callable:
    """The matrix products of nnlite's epoch and nothing else, on float32 batches ready to use."""
    xp = select_device(device).xp
    lead = (runs,) if runs > 1 else ()
    x = xp.asarray(np.broadcast_to(task.x, (*lead, *task.x.shape)))
    weights = [xp.asarray(np.tile(weight, (*lead, 1, 1))) for weight, _ in task.initial()]
    dweights = [xp.empty_like(weight) for weight in weights]

    def epoch(order: np.ndarray) -> None:
        for start in range(0, len(order), task.batch_size):
            inputs = [x[..., start : start + task.batch_size, :]]
            for weight in weights:
                inputs.append(inputs[-1] @ weight)
            gradient = inputs.pop()  # any numbers of that shape will do
            for i in reversed(range(len(weights))):
                xp.matmul(inputs[i].mT, gradient, out=dweights[i])
                if i > 0:
                    gradient = gradient @ weights[i].mT
        to_host(dweights[0][..., 0, 0])  # waits for the GPU

    return epoch


def scikit_learn(task: Task) -> Callable:
    """MLPClassifier: partial_fit is one epoch, in an order of its own, and keeps Adam's state."""
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier(task.hidden, alpha=0, batch_size=task.batch_size, random_state=SEED)
    initial, classes = iter(task.initial()), range(task.sizes[-1])
    model._init_coef = lambda *_: next(initial)  # there is no public way to set weights

    def epoch(order: np.ndarray) -> float:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "Training interrupted")  # all it makes of a Ctrl-C
            try:
                model.partial_fit(task.x, task.labels, classes=classes)
            except UserWarning:
                raise KeyboardInterrupt from None
        return model.loss_

    return epoch


def torch_step(task: Task, activation: str, optimizer: str, device: str, fused) -> tuple:
    """The network in PyTorch, and its training step: step(x, y) -> loss, as a tensor."""
    import torch
    from torch import nn

    torch.set_num_threads(task.threads)
    layers = []
    for weight, bias in task.initial():
        layers.append(nn.Linear(*weight.shape))
        layers[-1].weight.data, layers[-1].bias.data = torch.tensor(weight.T), torch.tensor(bias)
        layers.append({"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}[activation]())
    model, criterion = nn.Sequential(*layers[:-1]).to(device), nn.CrossEntropyLoss()
    make = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[optimizer]
    rate = OPTIMIZERS[optimizer].default_learning_rate
    update = make(model.parameters(), rate, fused=fused)

    def step(x, y):
        update.zero_grad(set_to_none=True)
        loss = criterion(model(x), y)
        loss.backward()
        update.step()
        return loss.detach()

    return model, step


def pytorch(
    task: Task, activation="relu", optimizer="adam", device="cpu", compiled=False
) -> Callable:
    """PyTorch at its best: data resident, fused optimizer, no number read before the end.

    compiled: torch.compile makes kernels of each step and, on a GPU, replays them as a CUDA graph.
    """
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("PyTorch sees no GPU")
    model, step = torch_step(task, activation, optimizer, device, fused=True)
    if compiled:
        # A graph for each size of a batch. A dynamic size, for the shorter last batch, is slower.
        step = torch.compile(step, mode="reduce-overhead", dynamic=False)
    x = torch.from_numpy(task.x).to(device)
    y = torch.from_numpy(task.labels.astype("int64")).to(device)
    x_validation = torch.from_numpy(task.x_validation).to(device)
    y_validation = torch.from_numpy(task.validation[1].astype("int64")).to(device)

    def epoch(order: np.ndarray) -> float:
        total = torch.zeros((), device=device)
        batches = torch.from_numpy(order).to(device).split(task.batch_size)
        for rows in batches:
            total += step(x.index_select(0, rows), y.index_select(0, rows))
        return total.item() / len(batches)  # waits for the GPU

    def validate() -> tuple[float, float]:
        with torch.inference_mode():
            logits = model(x_validation)
            loss = torch.nn.functional.cross_entropy(logits, y_validation)
            return loss.item(), 100 * (logits.argmax(1) == y_validation).double().mean().item()

    epoch.validate = validate
    return epoch


def notebook(task: Task, activation="relu", optimizer="adam") -> Callable:
    """PyTorch as in the original sheet: a DataLoader, Adam as it comes, loss.item() per step.

    It shuffles by itself. The notebook has torchvision prepare each image; that is not asked for
    here, and OneByOne does the same: PIL image, array, ToTensor, Normalize(0.5, 0.5).
    """
    import torch
    from PIL import Image

    side = math.isqrt(task.images.shape[1])

    class OneByOne(torch.utils.data.Dataset):
        def __init__(self, images: np.ndarray, labels: np.ndarray):
            self.images, self.labels = images, labels

        def __len__(self) -> int:
            return len(self.images)

        def __getitem__(self, i: int) -> tuple:
            image = Image.fromarray(self.images[i].reshape(side, side))
            pixels = torch.from_numpy(np.array(image)).unsqueeze(0).to(torch.float32).div(255)
            mean, std = (torch.as_tensor([0.5]).view(-1, 1, 1) for _ in range(2))
            return pixels.clone().sub_(mean).div_(std), int(self.labels[i])

    model, step = torch_step(task, activation, optimizer, "cpu", fused=None)
    batches = partial(torch.utils.data.DataLoader, batch_size=task.batch_size)
    training = batches(OneByOne(task.images, task.labels), shuffle=True)
    validation = batches(OneByOne(*task.validation))

    def epoch(order: np.ndarray) -> float:
        return np.mean([step(x.flatten(1), y).item() for x, y in training])

    def validate() -> tuple[float, float]:
        total, right = 0.0, 0
        with torch.no_grad():
            for x, y in validation:
                logits = model(x.flatten(1))
                total += torch.nn.functional.cross_entropy(logits, y).item() * len(y)
                right += (logits.argmax(1) == y).sum().item()
        return total / len(validation.dataset), 100 * right / len(validation.dataset)

    epoch.validate = validate
    return epoch


def jax(task: Task, activation="relu", optimizer="adam") -> Callable:
    """JAX at its best: a whole epoch compiled into one loop, its state updated in place."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    os.environ.setdefault("NPROC", str(task.threads))  # the size of XLA's thread pool
    if task.threads == 1:  # matters where a process cannot be held to its cores
        os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
    import jax
    import jax.numpy as jnp

    size, tree_map = task.batch_size, jax.tree.map

    f = {"relu": jax.nn.relu, "sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh}[activation]
    rate = OPTIMIZERS[optimizer].default_learning_rate

    def logits(params, x):
        for weight, bias in params[:-1]:
            x = f(x @ weight + bias)
        return x @ params[-1][0] + params[-1][1]

    def mean_loss(params, x, y):
        log_p = jax.nn.log_softmax(logits(params, x))
        return -jnp.take_along_axis(log_p, y[:, None], axis=1).mean()

    def step(state, x, y):
        params, m, v, t = state
        loss, g = jax.value_and_grad(mean_loss)(params, x, y)
        if optimizer == "sgd":
            return (tree_map(lambda p, g: p - rate * g, params, g), m, v, t), loss
        t = t + 1
        m = tree_map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = tree_map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        m_step, v_scale = rate / (1 - 0.9**t), 1 / (1 - 0.999**t)
        move = tree_map(lambda m, v: m_step * m / (jnp.sqrt(v_scale * v) + 1e-8), m, v)
        return (tree_map(jnp.subtract, params, move), m, v, t), loss

    def whole_epoch(state, x, y, order):
        full = len(order) // size * size
        batches, rest = order[:full].reshape(-1, size), order[full:]
        state, losses = jax.lax.scan(lambda s, rows: step(s, x[rows], y[rows]), state, batches)
        if len(rest):
            state, loss = step(state, x[rest], y[rest])
            losses = jnp.append(losses, loss)
        return state, losses.mean()

    def measure(params, x, y):
        right = logits(params, x).argmax(axis=1) == y
        return mean_loss(params, x, y), 100 * right.mean()

    compiled, compiled_measure = jax.jit(whole_epoch, donate_argnums=0), jax.jit(measure)
    data = jnp.asarray(task.x), jnp.asarray(task.labels.astype("int32"))
    held_out = jnp.asarray(task.x_validation), jnp.asarray(task.validation[1].astype("int32"))
    params = tree_map(jnp.asarray, task.initial())
    zeros = tree_map(jnp.zeros_like, params)
    state = params, zeros, tree_map(jnp.copy, zeros), jnp.float32(0)

    def epoch(order: np.ndarray) -> float:
        nonlocal state
        state, loss = jax.block_until_ready(compiled(state, *data, order.astype("int32")))
        return float(loss)

    epoch.validate = lambda: tuple(map(float, compiled_measure(state[0], *held_out)))
    return epoch


ON_CPU = {
    "nnlite": nnlite,
    "nnlite, numba": partial(nnlite, device="numba"),
    FLOOR: floor,
    "scikit-learn": scikit_learn,
    "PyTorch": pytorch,
    NOTEBOOK: notebook,
    "JAX": jax,
}
ON_GPU = {
    "nnlite": partial(nnlite, device="gpu"),
    "nnlite, 8 runs": partial(nnlite, device="gpu", runs=8),
    "nnlite, 64 runs": partial(nnlite, device="gpu", runs=64),
    FLOOR: partial(floor, device="gpu"),
    "PyTorch": partial(pytorch, device="cuda"),
    "PyTorch, compiled": partial(pytorch, device="cuda", compiled=True),
}
