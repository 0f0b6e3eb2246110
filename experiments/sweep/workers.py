"""Run many configurations side by side, in worker processes or on a cluster; lose nothing."""

import contextlib
import json
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import BrokenProcessPool
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from nnlite import Config, Dataset, __version__, select_device, train
from nnlite.backend import Device
from nnlite.datasets import in_time
from nnlite.training import Training
from nnlite.training.loop import EVALUATION_ROWS
from sweep.results import CHECKPOINT

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


def checkpoint_path(configs: list[Config], out: Path) -> Path:
    """Where a stack of runs keeps its checkpoint: in the folder of the first of them."""
    return out / configs[0].run_id / CHECKPOINT


def run_stack(
    configs: list[Config],
    data: Dataset,
    device: str,
    out: Path,
    checkpoint_every: int,
    progress: Path,
    parent: int,
) -> tuple[str, list[dict]]:
    """Train one stack, in whatever process this is; return its first run id, and its logs.

    Goes on from the stack's checkpoint if there is one. No logs: it did not fit into memory. One
    BLAS thread each: with as many processes as cores that is fastest, and it makes a result
    independent of how many run at once.
    """
    if os.getpid() != parent:  # Ctrl-C reaches all processes, but the parent alone decides
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    checkpoint = checkpoint_path(configs, out)
    try:
        with threadpool_limits(1):
            training = Training(configs, data, select_device(device))
            with contextlib.suppress(OSError):  # no checkpoint: begin at the beginning
                try:
                    training.resume(checkpoint)
                except ValueError:  # damaged, or of other runs: likewise
                    training = Training(configs, data, select_device(device))
            report(training, progress)
            while not training.done:
                training.run_epoch()
                report(training, progress)
                if training.epoch % checkpoint_every == 0 and not training.done:
                    # A disk that is full now need not be full in the end: the run goes on.
                    with contextlib.suppress(OSError):
                        checkpoint.parent.mkdir(exist_ok=True)
                        training.save(checkpoint)
            return configs[0].run_id, training.finish()
    except MemoryError:
        return configs[0].run_id, []


def report(training: Training, progress: Path) -> None:
    """Tell Progress that the runs have begun, and what their latest epoch was, if there was one."""
    for log in training.logs:
        with (progress / log["experiment_id"]).open("a") as file:
            if training.epoch and len(log["epoch"]) == training.epoch:  # else diverged before
                file.write(json.dumps(latest_epoch(log)) + "\n")


def latest_epoch(log: dict) -> dict:
    """What Progress shows of a log."""
    keys = ("epoch", "train_loss", "val_accuracy", "learning_rate", "epoch_time")
    return {key: log[key][-1] for key in keys}


def run_all(
    groups: list[list[Config]],
    data: Dataset,
    device: str,
    jobs: int,
    out: Path,
    checkpoint_every: int,
    missing: dict[str, str],
) -> Iterator[list[dict]]:
    """Train all stacks, `jobs` at a time; yield the logs of each as soon as it has ended.

    If a worker dies, all have to be started anew, and nobody knows which run was at fault. What had
    begun by then is tried once more, after all else and one stack at a time. What fails again is
    entered into `missing`, run id -> reason.
    """
    configs = [config for group in groups for config in group]
    waiting = {group[0].run_id: group for group in groups}
    suspects: dict[str, list[Config]] = {}
    folder = tempfile.TemporaryDirectory(prefix="nnlite-", ignore_cleanup_errors=True)
    with folder, Progress(configs, Path(folder.name)) as progress:

        def attempt(todo: dict[str, list[Config]], jobs: int) -> Iterator[list[dict]]:
            # Large arrays are handed to workers as memory maps, not copies: all share one dataset.
            parallel = Parallel(n_jobs=jobs, return_as="generator_unordered", max_nbytes="1M")
            common = (data, device, out, checkpoint_every, progress.folder, os.getpid())
            tasks = [delayed(run_stack)(group, *common) for group in todo.values()]
            try:
                for first, logs in parallel(tasks):
                    if not logs:
                        suspects[first] = waiting[first]
                    else:
                        progress.forget([log["experiment_id"] for log in logs])
                        del waiting[first]
                        yield logs
            except BrokenProcessPool:
                pass  # what it has cost is still waiting, and has begun

        while todo := {first: group for first, group in waiting.items() if first not in suspects}:
            before = len(suspects)
            yield from attempt(todo, jobs)
            suspects |= {first: g for first, g in waiting.items() if progress.has_begun(first)}
            if todo.keys() <= waiting.keys() and len(suspects) == before:
                suspects |= waiting  # it died before it could say which run it had begun
        for first, group in suspects.items():
            yield from attempt({first: group}, 2)  # 2: with 1 it would run in this very process
            if first in waiting:
                reason = "its process died, or ran out of memory, twice"
                missing.update((config.run_id, reason) for config in group)


def connect(cluster: str, jobs: int):
    """Return a client of the Dask scheduler at an address, or of `jobs` workers of our own.

    Raises RuntimeError if it cannot be had, or has a worker whose results would not be ours.
    """
    try:
        from distributed import Client
    except ImportError:
        raise RuntimeError("--cluster needs Dask: pip install 'nnlite[cluster]'") from None
    try:
        if cluster == "local":
            client = Client(n_workers=jobs, threads_per_worker=1, dashboard_address=None)
            # Ctrl-C reaches all processes, but the parent alone decides.
            client.register_worker_callbacks(lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
        else:  # Dask itself waits forever for a server that accepts the connection and is silent
            client = in_time(lambda: Client(cluster))
    except Exception as error:  # another kind of server at this port can cause nearly any
        raise RuntimeError(f"no Dask scheduler at {cluster} ({error})") from None
    versions = client.run(lambda: __import__("nnlite").__version__, on_error="return")
    for worker, version in versions.items():
        if version != __version__:
            client.close()
            raise RuntimeError(f"nnlite on {worker}: {version}; here: {__version__}")
    return client


def run_on_cluster(
    groups: list[list[Config]], data: Dataset, device: str, client, missing: dict[str, str]
) -> Iterator[list[dict]]:
    """Do what run_all does on the workers of a Dask cluster.

    Nothing is shared with them: logs come back when runs have ended. What a lost worker was at,
    Dask gives to others, and workers that join get work. (joblib's Dask backend would do, but waits
    forever for a task that Dask has given up.)
    """
    import dask
    from distributed import KilledWorker, as_completed

    # Nested, because workers lack this file: so Dask sends them the function itself.
    def run(group: list[Config], data: Dataset) -> list[dict]:
        threadpool_limits(1)  # for good: another thread of this worker may be training as well
        return train(group, data, select_device(device))

    configs = [config for group in groups for config in group]
    folder = tempfile.TemporaryDirectory(prefix="nnlite-", ignore_cleanup_errors=True)
    with folder, Progress(configs, Path(folder.name)) as progress:
        # The outcome of a task, not scattered: Dask sends both to each worker once, but can make
        # only this anew when all workers that have it are lost.
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 GB"}):
            shared = client.submit(lambda data: data, data, pure=False)
        tasks = dict(zip(client.map(run, groups, data=shared, pure=False), groups))
        for task, outcome in as_completed(tasks, with_results=True, raise_errors=False):
            group = tasks.pop(task)
            if isinstance(outcome, list):
                for log in outcome:
                    progress.show(log["experiment_id"], latest_epoch(log))
                progress.forget([log["experiment_id"] for log in outcome])
                yield outcome
            else:  # (type, error, traceback), or an error alone if it was cancelled
                error = outcome[1] if isinstance(outcome, tuple) else outcome
                reason = " ".join(f"{type(error).__name__}: {error}".split())  # in one line
                if isinstance(error, KilledWorker):
                    reason = "all workers that tried it died"
                missing.update((config.run_id, reason) for config in group)


class Progress(contextlib.AbstractContextManager):
    """Shows the epochs that runs report, each in a file of its own in `folder`, as they come.

    Files, because they work alike for runs in this process and in others. On a terminal there is a
    bar for the whole and one for each run in progress, otherwise a line for each epoch.
    """

    def __init__(self, configs: list[Config], folder: Path):
        self.folder = folder
        self.epochs = {config.run_id: config.epochs for config in configs}
        self.lines_seen: dict[str, int] = {}
        self.epochs_done: dict[str, int] = {}
        self.bars: dict[str, tqdm] = {}
        total = sum(self.epochs.values())
        self.total = tqdm(total=total, unit="epoch", desc="all runs", disable=None)
        self.lock = threading.RLock()
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def __enter__(self) -> "Progress":
        self.thread.start()
        return self

    def __exit__(self, *exception) -> None:
        self.stopped.set()
        self.thread.join()
        self.poll()
        for bar in (*self.bars.values(), self.total):
            bar.close()

    def has_begun(self, run_id: str) -> bool:
        return (self.folder / run_id).exists()

    def forget(self, run_ids: list[str]) -> None:
        """Close the files of runs that have ended, so that a long sweep has few to look at."""
        with self.lock:  # Windows deletes no file that is being read
            self.poll()
            for run_id in run_ids:
                (self.folder / run_id).unlink(missing_ok=True)
                self.epochs_done[run_id] = self.epochs[run_id]  # also of one that diverged early
                if run_id in self.bars:
                    self.bars.pop(run_id).close()

    def watch(self) -> None:
        while not self.stopped.wait(POLL_SECONDS):
            self.poll()

    def poll(self) -> None:
        with self.lock:
            for report in sorted(self.folder.iterdir()):
                try:
                    text = report.read_text()
                except FileNotFoundError:  # the run has just been forgotten
                    continue
                lines = text[: text.rfind("\n") + 1].splitlines()  # the last may be half-written
                for line in lines[self.lines_seen.get(report.name, 0) :]:
                    self.show(report.name, json.loads(line))
                self.lines_seen[report.name] = len(lines)

    def show(self, run_id: str, row: dict) -> None:
        epoch, epochs, accuracy = row["epoch"], self.epochs[run_id], row["val_accuracy"]
        diverged = accuracy is None
        loss = "diverged" if diverged else f"{row['train_loss']:.4f}"
        accuracy = "-" if diverged else f"{accuracy:.2f}%"
        self.epochs_done[run_id] = epoch
        if self.total.disable:
            print(
                f"{run_id} | Epoch {epoch:2d}/{epochs} | Loss: {loss} | Val Acc: {accuracy}"
                f" | LR: {row['learning_rate']:.6f} | Time: {row['epoch_time']:.2f}s",
                flush=True,
            )
            return
        if run_id not in self.bars:
            self.bars[run_id] = tqdm(total=epochs, desc=run_id, unit="epoch", leave=False)
        for bar, done in ((self.bars[run_id], epoch), (self.total, sum(self.epochs_done.values()))):
            bar.update(done - bar.n)
        self.bars[run_id].set_postfix_str(f"loss {loss}, val acc {accuracy}")
