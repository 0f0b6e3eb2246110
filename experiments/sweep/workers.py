"""Train many runs side by side in worker processes, and lose none when a worker dies."""

import contextlib
import os
import pickle
import signal
import threading
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from joblib.externals.loky.backend import resource_tracker
from joblib.externals.loky.process_executor import BrokenProcessPool
from threadpoolctl import threadpool_limits

from nnlite import Config, Dataset, select_device
from nnlite.backend import Device
from nnlite.files import LEFTOVERS
from nnlite.training import Training
from nnlite.training.logs import difference, new_log
from nnlite.training.loop import EVALUATION_ROWS
from sweep import results
from sweep.environment import settle
from sweep.locks import alone, hold
from sweep.memory import count_parameters
from sweep.progress import Progress, report
from sweep.results import CHECKPOINT

# Job schedulers, editors and closed terminals end a program with others than Ctrl-C's SIGINT.
STOP_SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGXCPU")
    if hasattr(signal, name)  # Windows has the first two
]


def processes(jobs: int, **settings) -> Parallel:
    """Return joblib's Parallel with worker processes that obey this one; jobs 1: without any.

    Nothing is handed over in memory-mapped files, whose folder joblib names in ASCII only: with
    max_nbytes None it makes none, so that any will do.
    """
    if jobs > 1 and os.name == "posix":
        # loky's helper, which clears up after workers, is to outlive a terminal that is closed.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
        resource_tracker.ensure_running()  # it inherits what is blocked
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    obedience = {"initializer": obey, "initargs": (os.getpid(),)}
    pool = partial(Parallel, jobs, max_nbytes=None, temp_folder=os.sep, **obedience)
    if jobs > 1:
        # The first task starts them all. They inherit that they ignore Ctrl-C: otherwise one that
        # comes before they can obey makes each of them print a traceback.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        first = pool(return_as="generator")([delayed(int)()])
        signal.signal(signal.SIGINT, before)
        with contextlib.suppress(BrokenProcessPool):  # the next task says so as well
            list(first)
    return pool(**settings)


def obey(parent: int) -> None:
    """Let the parent alone decide when this worker stops; but stop when the parent is gone.

    Ctrl-C, for example, reaches all processes. An orphan would train on, and then wait for ever.
    """
    settle()
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)  # checkpoints stay

    threading.Thread(target=watch, daemon=True).start()


class Shared:
    """A value whose arrays lie in files, which all workers map into memory and none copies."""

    def __init__(self, value: object, folder: Path):
        arrays: list[pickle.PickleBuffer] = []
        self.pickled = pickle.dumps(value, protocol=5, buffer_callback=arrays.append)
        self.paths = [folder / f"array{k}" for k in range(len(arrays))]
        for path, array in zip(self.paths, arrays):
            try:
                path.write_bytes(array.raw())
            except OSError as error:  # it names no file if there is no space
                raise OSError(error.errno, error.strerror, str(path)) from None

    def get(self):
        arrays = [np.memmap(path, mode="r") for path in self.paths]
        return pickle.loads(self.pickled, buffers=arrays)


def stacks(configs: list[Config], size: int) -> list[list[Config]]:
    """Divide configurations into lists of at most `size` that can train as one stack.

    The runs of a stack differ in seed and learning rate only. With size 1 every run is on its own.
    Stacks are in the order of their first runs.
    """
    at = {config: k for k, config in enumerate(configs)}
    alike: dict[Config, list[Config]] = {}
    for config in configs:
        alike.setdefault(replace(config, seed=0, learning_rate=1.0), []).append(config)
    divided = [group[i : i + size] for group in alike.values() for i in range(0, len(group), size)]
    return sorted(divided, key=lambda stack: at[stack[0]])


def stack_size(device: Device, config: Config, data: Dataset) -> int:
    """Return how many runs to train as one stack: on a GPU what half its free memory holds, else 1.

    A large GPU has room for many small networks at once, and is idle most of the time with one. A
    CPU core is busy with one, and its cache is best used by one.
    """
    if device.name != "gpu":
        return 1
    widths = [data.x_train.shape[1], *config.hidden, len(data.classes)]
    parameters = count_parameters(config, data)
    # float32: parameters, gradient, two vectors of an optimizer and copies that cuBLAS asks for;
    # rows of each layer's output and gradient; and the order of the samples, 8 bytes each.
    rows = max(EVALUATION_ROWS, config.batch_size)
    bytes_each = 4 * (6 * parameters + 4 * rows * sum(widths)) + 8 * len(data.x_train)
    free, _ = device.xp.cuda.runtime.memGetInfo()
    return max(1, free // 2 // bytes_each)


def checkpoint_path(stack: list[Config], out: Path) -> Path:
    """Return where a stack keeps its checkpoint: in the folder of its first run."""
    return out / stack[0].run_id / CHECKPOINT


def clear_up(stack: list[Config], out: Path) -> None:
    """Delete what a worker that was killed left in its run's folder, if nobody trains there now."""
    lock = out / stack[0].run_id / "lock"
    with contextlib.suppress(OSError):
        if lock.exists() and (file := hold(lock)):
            for left in (*lock.parent.glob(LEFTOVERS), lock):
                left.unlink()
            file.close()


def run_stack(
    stack: list[Config],
    wanted: list[dict],
    data: Dataset | Shared,
    device: str,
    options: Namespace,
    progress: Path,
    draw: Callable | None,
) -> tuple[str, list[dict]]:
    """Train and save one stack, in whatever process this is; return its first run id and its logs.

    Goes on from the stack's checkpoint if there is one. No logs: it did not fit into memory. If
    another command trains the same run at this moment, its logs are waited for, and returned.
    wanted: new logs as the parent makes them. Logs of other runs (as somebody has edited nnlite
    meanwhile) are returned, but not saved. draw: see train_runs.
    """
    first, out = stack[0].run_id, options.out
    data = data.get() if isinstance(data, Shared) else data

    def waiting() -> None:
        with contextlib.suppress(OSError):
            print(f"{first}: another command is training it; waiting for that", flush=True)

    try:
        with alone(out / first / "lock", waiting):
            logs = [results.same_run(log, out) for log in wanted]
            if not all(logs):
                logs = train_stack(stack, data, device, options, progress)
                if not any(map(difference, logs, wanted)):
                    for log in logs:
                        results.save_run(log, out)
            checkpoint_path(stack, out).unlink(missing_ok=True)
        for log in logs:
            if draw and is_drawn(log, options):
                draw(log, out)
        return first, logs
    except MemoryError:
        return first, []


def is_drawn(log: dict, options: Namespace) -> bool:
    """Does the run get figures of its own? The first seed does, in every cell."""
    return log["config"]["seed"] == options.seed[0]


def train_stack(
    stack: list[Config], data: Dataset, device: str, options: Namespace, progress: Path
) -> list[dict]:
    """Train one stack, from its checkpoint if there is one; return its logs.

    It uses one BLAS thread: with as many processes as cores that is fastest, and the results do not
    depend on how many run at once.
    """
    checkpoint = checkpoint_path(stack, options.out)
    with threadpool_limits(1):
        training = begin(stack, data, device, checkpoint)
        report(training, progress)
        while not training.done:
            training.run_epoch()
            report(training, progress)
            if training.epoch % options.checkpoint_every == 0 and not training.done:
                # A disk that is full now may have room at the end: the run goes on.
                with contextlib.suppress(OSError):
                    checkpoint.parent.mkdir(exist_ok=True)
                    training.save(checkpoint)
        return training.finish()


def begin(stack: list[Config], data: Dataset, device: str, checkpoint: Path) -> Training:
    """Return a Training that goes on from the checkpoint, or from the start if there is none."""
    training = Training(stack, data, select_device(device))
    try:
        training.resume(checkpoint)
    except OSError:  # there is none
        pass
    except ValueError:  # damaged, or of other runs: discard this Training after the error
        training = Training(stack, data, select_device(device))
    return training


def run_all(
    stacks: list[list[Config]],
    data: Dataset,
    device: str,
    jobs: int,
    options: Namespace,
    missing: dict[str, str],
    drawn: set[str],
    draw: Callable | None,
) -> Iterator[list[dict]]:
    """Train all stacks, `jobs` at a time; yield the logs of each as soon as it has ended.

    If a worker dies, all workers must be started again, and nobody knows which run was at fault.
    Runs that had begun are retried last, one stack at a time. Those that fail again are entered
    into `missing`, as run id -> reason. draw: see train_runs; ids of runs that it has drawn are
    entered into `drawn`. What is retried is not drawn: that may have been the cause.
    """
    waiting = {stack[0].run_id: stack for stack in stacks}
    here = select_device(device)
    wanted = {f: [new_log(c, data, here, 1) for c in stack] for f, stack in waiting.items()}
    suspects: list[str] = []  # first run ids of stacks that had begun when a worker died
    with Progress([config for stack in stacks for config in stack]) as progress:
        # One process trains with the arrays as they are.
        shared = Shared(data, progress.directory) if jobs > 1 else data
        while waiting:
            todo = [first for first in waiting if first not in suspects] or suspects[:1]
            is_retry = todo[0] in suspects
            n_jobs = 2 if is_retry else jobs  # 2: with 1 it would run in this very process
            parallel = processes(n_jobs, return_as="generator_unordered")
            common = (shared, device, options, progress.folder, None if is_retry else draw)
            tasks = [delayed(run_stack)(waiting[f], wanted[f], *common) for f in todo]
            try:
                for first, logs in parallel(tasks):
                    if logs:  # else it ran out of memory, and is still waiting
                        del waiting[first]
                        if draw and not is_retry:
                            drawn |= {x["experiment_id"] for x in logs if is_drawn(x, options)}
                        yield logs
                        progress.forget([log["experiment_id"] for log in logs])
            except BrokenProcessPool:
                pass  # what has not finished is still waiting
            left = [first for first in todo if first in waiting]
            if is_retry:
                suspects = suspects[1:]
                reason = "its process died, or ran out of memory, twice"
                for first in left:
                    missing.update((config.run_id, reason) for config in waiting.pop(first))
            else:
                begun = [first for first in left if progress.has_begun(first)]
                # If none has, it failed before it could say which run it had begun.
                suspects += todo if left == todo and not begun else begun
