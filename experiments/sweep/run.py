"""Train the runs of a sweep: skip what is finished, train the rest, save each run as it ends."""

import math
import shutil
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from textwrap import fill

import joblib

from nnlite import Config, Dataset
from nnlite.backend import Device
from nnlite.training.config import hidden_name
from nnlite.training.logs import difference, new_log
from sweep import results
from sweep.cluster import run_on_cluster
from sweep.memory import free_memory, least_memory
from sweep.results import Outcome
from sweep.workers import checkpoint_path, clear_up, run_all, stack_size, stacks
from words import plural


def train_runs(
    configs: list[Config],
    data: Dataset,
    device: Device,
    options: Namespace,
    client=None,
    draw: Callable | None = None,
) -> Outcome:
    """Train each configuration that is not finished in options.out; return the logs of all.

    client: that of a Dask cluster; without one, worker processes of this machine train, and call
    draw(log, OUT) as soon as a run of the first seed has ended. Ctrl-C ends the training, and the
    outcome then has what is finished by that time.
    """
    out = options.out
    groups = stacks(configs, options.stack or min(stack_size(device, c, data) for c in configs))
    found = [results.finished_log(c, data, device, out, options.restart) for c in configs]
    logs = {log["experiment_id"]: log for log in found if log}
    if options.restart:
        for stack in groups:
            checkpoint_path(stack, out).unlink(missing_ok=True)
    todo = unfinished(groups, logs, out)

    jobs = options.jobs or (1 if device.name == "gpu" else joblib.cpu_count())
    jobs = max(1, min(len(todo), jobs))
    where = f"in {jobs} process{'es' if jobs > 1 else ''}"
    if client:
        where = f"on {client.address} (workers so far: {len(client.threads)})"
    announce(configs, data, device.description, where, out)
    if logs:
        print(f"{len(logs)} of {len(configs)} are finished already (--restart runs them again)")

    missing: dict[str, str] = {}
    drawn: set[str] = set()
    if client:
        ending = run_on_cluster(todo, data, client, missing)
    else:
        ending = run_all(todo, data, device.name, jobs, options, missing, drawn, draw)
    wanted = {config.run_id: new_log(config, data, device, 1) for config in configs}
    interrupted = False
    try:
        for ended in ending:  # the logs of a stack, as soon as it has ended
            for log in ended:
                run_id = log["experiment_id"]
                if reason := difference(log, wanted[run_id]):  # somebody edits while it runs
                    missing[run_id] = f"a worker computed another run ({reason})"
                else:
                    logs[run_id] = log
                    if client:  # processes of this machine have saved it themselves
                        results.save_run(log, out)
    except KeyboardInterrupt:
        interrupted = True
        print(
            f"\ninterrupted with {len(logs)} of {len(configs)} runs finished; "
            f"{same_command(options)} goes on from here",
            flush=True,
        )
        if logs:
            print("drawing what there is (press Ctrl-C again to skip that)", flush=True)
    finally:
        for stack in todo:
            clear_up(stack, out)
    for log in logs.values():  # in case somebody has removed it meanwhile
        if not (out / log["experiment_id"] / results.LOG).exists():
            results.save_run(log, out)
    finished = [logs[config.run_id] for config in configs if config.run_id in logs]
    return Outcome(finished, missing, interrupted, frozenset(drawn))


def same_command(options: Namespace) -> str:
    """Return how to call the command that goes on with this one."""
    return "the same command" + " without --restart" * options.restart


def unfinished(groups: list[list[Config]], logs: dict[str, dict], out: Path) -> list[list[Config]]:
    """Return the stacks that are to be trained; logs: those of the finished runs.

    A stack that has a checkpoint goes on from it as a whole, even if some of its runs are saved.
    """
    todo = []
    for stack in groups:
        rest = [config for config in stack if config.run_id not in logs]
        if rest and checkpoint_path(stack, out).exists():
            rest = stack
        if rest:
            todo.append(rest)
    return todo


def check_runs(
    configs: list[Config], data: Dataset, device: Device, out: Path, client=None
) -> None:
    """Raise ValueError if these runs cannot be trained, or not be saved in OUT.

    With the client of a cluster, memory is that of other machines, and not looked at.
    """
    if len(data.x_train) < 2:
        raise ValueError(
            f"{data.source} has {plural(len(data.x_train), 'training image')}: "
            "give at least two, one to train and one to validate on"
        )
    free = device.xp.cuda.runtime.memGetInfo()[0] if device.name == "gpu" else free_memory()
    free = math.inf if client else free
    needed = max(least_memory(config, data) for config in configs)
    if needed > free:
        raise ValueError(
            f"a network of these --hidden layers needs {needed / 1e9:,.1f} GB of memory at least, "
            f"but {free / 1e9:,.1f} GB are free: give fewer or narrower layers"
        )
    results.check_folders({config.run_id for config in configs}, out)


def announce(configs: list[Config], data: Dataset, device: str, where: str, out: Path) -> None:
    """Say what is about to run."""

    def each(name: str, text: Callable = str) -> str:
        return ", ".join(dict.fromkeys(text(getattr(config, name)) for config in configs))

    def network(hidden: tuple[int, ...]) -> str:
        layers = hidden_name(hidden).replace("-", " - ")
        return f"{data.x_train.shape[1]} - {layers} - {len(data.classes)}"

    rates: dict[str, dict] = {}
    for config in configs:
        rates.setdefault(config.optimizer, {})[f"{config.learning_rate:g}"] = None
    lines = {
        "Dataset": f"{data.name} ({len(data.x_train):,} images to train and validate on, "
        f"{len(data.x_test):,} to test on; from {data.source})",
        "Pixels": data.pixels,
        "Network": f"{each('hidden', network)}; initial weights: {each('init')}",
        "Activations": each("activation"),
        "Optimizers": "; ".join(f"{name} at {', '.join(r)}" for name, r in rates.items()),
        "Schedules": each("scheduler"),
        "Seeds": each("seed"),
        "Training": f"{plural(configs[0].epochs, 'epoch')}, batches of {each('batch_size')}",
        "Device": device,
        "Runs": f"{len(configs)}, {where}, into {out}",
    }
    width = min(98, shutil.get_terminal_size().columns)
    whole = {"break_long_words": False, "break_on_hyphens": False}
    for name, text in lines.items():
        print(fill(f"{name + ':':<13}{text}", width, subsequent_indent=13 * " ", **whole))
    print(flush=True)
