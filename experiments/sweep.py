"""Run many configurations, side by side in worker processes, and show how far they are."""

import contextlib
import json
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from nnlite import Config, Dataset, select_device, train
from nnlite.backend import Device
from nnlite.training import EVALUATION_ROWS

POLL_SECONDS = 0.2


def stacks(configs: list[Config], size: int) -> list[list[Config]]:
    """Divide configurations into lists of at most `size` that can train as one stack.

    Such differ in seed and learning rate only. With size 1 every run is on its own.
    """
    alike: dict[Config, list[Config]] = {}
    for config in configs:
        alike.setdefault(replace(config, seed=0, learning_rate=1.0), []).append(config)
    return [group[i : i + size] for group in alike.values() for i in range(0, len(group), size)]


def stack_size(device: Device, config: Config, data: Dataset) -> int:
    """How many runs to train as one stack: on a GPU what half its free memory holds, else 1.

    A large GPU has room for many small networks at once, and is idle most of the time with one. A
    CPU core is busy with one, and its cache is best used by one.
    """
    if device.name != "gpu":
        return 1
    widths = [data.x_train.shape[1], *config.hidden, len(data.classes)]
    parameters = sum((D_in + 1) * D_out for D_in, D_out in zip(widths, widths[1:]))
    # float32: parameters, gradient, two vectors of an optimizer and copies that cuBLAS asks for;
    # rows of each layer's output and gradient; and the order of the samples, 8 bytes each.
    rows = max(EVALUATION_ROWS, config.batch_size)
    bytes_each = 4 * (6 * parameters + 4 * rows * sum(widths)) + 8 * len(data.x_train)
    free, _ = device.xp.cuda.runtime.memGetInfo()
    return max(1, free // 2 // bytes_each)


def run_stack(configs: list[Config], data: Dataset, device: str, progress_folder: str) -> list:
    """Train one stack of configurations, in whatever process this is, and return its logs.

    One BLAS thread each: with as many processes as cores that is fastest, and it makes a result
    independent of how many run at once.
    """

    def on_epoch(epoch: int, logs: list[dict]) -> None:
        for log in logs:
            if len(log["epoch"]) < epoch:
                continue  # diverged before
            row = {
                "epoch": epoch,
                "loss": log["train_loss"][-1],
                "accuracy": log["val_accuracy"][-1],
                "learning_rate": log["learning_rate"][-1],
                "seconds": log["epoch_time"][-1],
            }
            with Path(progress_folder, log["experiment_id"]).open("a") as file:
                file.write(json.dumps(row) + "\n")

    with threadpool_limits(1):
        return train(configs, data, select_device(device), on_epoch)


def run_all(
    groups: list[list[Config]], data: Dataset, device: str, jobs: int
) -> Iterator[list[dict]]:
    """Train all stacks, `jobs` at a time; yield the logs of each as soon as it has ended."""
    configs = [config for group in groups for config in group]
    with tempfile.TemporaryDirectory(prefix="nnlite-") as folder, Progress(configs, Path(folder)):
        # Large arrays are handed to workers as memory maps, not copies: all share one dataset.
        parallel = Parallel(n_jobs=jobs, return_as="generator_unordered", max_nbytes="1M")
        yield from parallel(delayed(run_stack)(group, data, device, folder) for group in groups)


class Progress(contextlib.AbstractContextManager):
    """Shows the epochs that runs report, each in a file of its own in `folder`, as they come.

    Files, because they work alike for runs in this process and in others. On a terminal there is a
    bar for the whole and one for each run in progress, otherwise a line for each epoch.
    """

    def __init__(self, configs: list[Config], folder: Path):
        self.configs = {config.run_id: config for config in configs}
        self.folder = folder
        self.seen = dict.fromkeys(self.configs, 0)
        total = sum(config.epochs for config in configs)
        self.total = tqdm(total=total, unit="epoch", desc="all runs", disable=None)
        self.bars: dict[str, tqdm] = {}
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exception):
        self.stopped.set()
        self.thread.join()
        self.poll()
        for bar in (*self.bars.values(), self.total):
            bar.close()

    def watch(self) -> None:
        while not self.stopped.wait(POLL_SECONDS):
            self.poll()

    def poll(self) -> None:
        for run_id in self.configs:
            report = self.folder / run_id
            text = report.read_text() if report.exists() else ""
            lines = text[: text.rfind("\n") + 1].splitlines()  # the last may still be in writing
            for line in lines[self.seen[run_id] :]:
                self.show(run_id, json.loads(line))
            self.seen[run_id] = len(lines)

    def show(self, run_id: str, row: dict) -> None:
        epochs = self.configs[run_id].epochs
        diverged = row["loss"] is None
        loss = "diverged" if diverged else f"{row['loss']:.4f}"
        accuracy = "-" if row["accuracy"] is None else f"{row['accuracy']:.2f}%"
        if self.total.disable:
            print(
                f"{run_id} | Epoch {row['epoch']:2d}/{epochs} | Loss: {loss} | Val Acc: {accuracy}"
                f" | LR: {row['learning_rate']:.6f} | Time: {row['seconds']:.2f}s",
                flush=True,
            )
            return
        if run_id not in self.bars:
            self.bars[run_id] = tqdm(total=epochs, desc=run_id, unit="epoch", leave=False)
        bar = self.bars[run_id]
        bar.set_postfix_str(f"loss {loss}, val acc {accuracy}", refresh=False)
        bar.update(1)
        # A diverged run ends early: its remaining epochs are done with.
        self.total.update(1 if not diverged else epochs - row["epoch"] + 1)
        if diverged or row["epoch"] == epochs:
            self.bars.pop(run_id).close()
