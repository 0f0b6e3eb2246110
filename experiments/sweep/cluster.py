"""The runs of a sweep on the workers of a Dask cluster.

Dask carries runs to the workers and their logs back; which worker gets which run is decided here.
Dask itself gives the next run to whoever is free, and a worker on which every run fails at once is
always free.
"""

import logging
import platform
import signal
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import fields
from functools import partial
from typing import Any

from threadpoolctl import threadpool_limits
from tqdm import tqdm

from nnlite import Config, Dataset, __version__, select_device, train
from nnlite.backend import CPU
from nnlite.training.logs import code_hash, difference, new_log, verify
from sweep.progress import Progress, latest_epoch
from sweep.workers import STOP_SIGNALS
from words import plural

SAME = "each machine needs the same Python, packages and nnlite as this one"
TRIES = 4  # a run that failed on this many workers, or was lost with them, is given up
POLL_SECONDS = 1.0  # how often to look for workers that have come or gone
ANSWER_SECONDS = 10.0  # without an answer after which a scheduler is given up
CLOSE_SECONDS = 20.0
RESULT_SECONDS = 30.0  # a log that takes longer to arrive was lost with its worker


def connect(address: str, jobs: int, device: str) -> "Cluster":
    """Return the cluster of the Dask scheduler at an address; "local" starts one of `jobs` workers.

    Raises RuntimeError if there is none, or if it has workers, but none that may compute.
    """
    try:
        import cloudpickle
        from distributed import Client
    except ImportError:
        raise RuntimeError("--cluster needs Dask: pip install 'nnlite[cluster]'") from None
    # Workers do not have this file: so Dask sends them what is in it.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    # All that matters here is said in a sentence; Dask would add pages of tracebacks.
    silent = logging.CRITICAL + 1
    for name in ("distributed", "distributed.client", "tornado.application", "asyncio"):
        logging.getLogger(name).setLevel(silent)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tables of versions, and which ports are in use
            if address == "local":
                client = start_here(jobs, silent)
            else:  # Dask itself waits forever for a server that accepts a connection in silence
                client = in_time(lambda: Client(address))
    except Exception as error:  # a server of another kind at this port can cause nearly any
        raise RuntimeError(f"no Dask scheduler at {address} ({error})") from None
    cluster = Cluster(client, device)
    try:
        cluster.check_scheduler()
        news = cluster.look()
        if cluster.refused and not cluster.threads:
            raise RuntimeError(
                f"no worker of {address} can compute this: {cluster.refusals()}; {SAME}"
            )
    except OSError as error:
        cluster.__exit__()
        raise RuntimeError(
            f"the scheduler at {address} does not answer any more ({error})"
        ) from None
    except BaseException:
        cluster.__exit__()
        raise
    say(news)
    return cluster


def start_here(jobs: int, log_level: int):
    """Return a client of a new cluster, all on this machine."""
    from distributed import Client

    # Ctrl-C reaches all processes, but the parent alone decides. Workers inherit that they ignore
    # it; those that are started in place of dead ones have to be told.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        options = {"threads_per_worker": 1, "dashboard_address": None, "silence_logs": log_level}
        client = Client(n_workers=jobs, **options)
        client.register_worker_callbacks(lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
        return client
    finally:
        signal.signal(signal.SIGINT, before)


# On the workers


def check(device: str, version: str, code: str) -> dict[str, str] | str:
    """Return what decides the rounding on this machine, or why it must not compute any run."""
    import nnlite

    if nnlite.__version__ != version:
        return f"nnlite {nnlite.__version__}; here: {version}"
    from nnlite.training.identity import code_hash, versions

    if code_hash() != code:
        return f"nnlite {version}, but with other code than here"
    chosen = nnlite.select_device(device)
    found = {"device": chosen.description, **versions(chosen)}
    return {key: found[key] for key in found if key not in ("nnlite", "code", "python")}


def compute(stack: list[Config], data: dict, device: str, *expected: str) -> list[dict] | str:
    """Train a stack; return its logs, or why this worker must not compute it, see `check`."""
    found = check(device, *expected)
    if isinstance(found, str):
        return found
    threadpool_limits(1)  # for good: another thread of this worker may be training as well
    return train(stack, Dataset(**data), select_device(device))


# Here


class Cluster(AbstractContextManager):
    """The workers of a Dask cluster, and which of them may compute."""

    def __init__(self, client, device: str):
        self.client = client
        self.address = client.scheduler.address
        self.check = (device, __version__, code_hash())  # arguments of `check`
        self.threads: dict[str, int] = {}  # worker that may compute -> how many runs at once
        self.refused: dict[str, str] = {}  # worker that must not -> why
        self.rounding: dict[str, dict[str, str]] = {}  # worker -> what decides it there
        self.kinds: set[tuple[str, str]] = set()  # what has decided it on any worker so far
        self.data = None  # Dask's future of the data, see `submit`

    def __exit__(self, *exception) -> None:
        """Close the connection. Ctrl-C counts afterwards: Dask would leave processes behind."""
        pressed: list[int] = []
        before = {
            number: signal.signal(number, lambda number, _: pressed.append(number))
            for number in STOP_SIGNALS
            if signal.getsignal(number) != signal.SIG_IGN
        }
        with suppress(TimeoutError):
            self.client.close(CLOSE_SECONDS)
        for number, handler in before.items():
            signal.signal(number, handler)
        if pressed:
            raise KeyboardInterrupt

    def check_scheduler(self) -> None:
        """Raise RuntimeError unless runs can pass through the scheduler, which unpacks them."""
        # A function that has a name there is sent by name. Others are sent as bytecode, which
        # would crash another version of Python.
        reason = python_differs(self.client.run_on_scheduler(platform.python_version))
        try:
            self.client.run_on_scheduler(code_hash)
        except (ImportError, AttributeError) as error:  # it has no nnlite, or an old one
            reason = reason or in_words(error)
        if reason:
            where = f"the scheduler at {self.address}"
            raise RuntimeError(f"{where} cannot pass runs on: {reason}; {SAME}")

    def look(self) -> list[str]:
        """See which workers have come and gone; check those that have come.

        Returns a sentence about each thing that the user should know. Raises OSError if the
        scheduler is gone.
        """
        if self.client.status != "running":  # Dask would try for half a minute to reach it
            raise ConnectionError
        there = self.client.nthreads()
        for known in (self.threads, self.refused, self.rounding):
            for worker in known.keys() - there.keys():
                del known[worker]
        new = there.keys() - self.threads.keys() - self.refused.keys()
        ask = partial(self.client.run, on_error="return")
        answers = ask(platform.python_version, workers=new) if new else {}  # by name, as above
        for worker, python in answers.items():
            if isinstance(python, str):
                answers[worker] = python_differs(python)
        same = [worker for worker, reason in answers.items() if reason == ""]
        answers |= ask(check, *self.check, workers=same) if same else {}
        for worker, answer in answers.items():
            if isinstance(answer, dict):
                self.threads[worker], self.rounding[worker] = there[worker], answer
            elif not isinstance(answer, OSError):  # else it is gone already, or asked again
                self.refused[worker] = answer if isinstance(answer, str) else in_words(answer)
        refused = self.refusals(new)
        return [*([f"no runs for {refused}"] if refused else []), *self.mixture()]

    def refusals(self, workers=None) -> str:
        """Return which workers must not compute, and why; workers: look only at these."""
        by_reason: dict[str, list[str]] = {}
        for worker, reason in self.refused.items():
            if workers is None or worker in workers:
                by_reason.setdefault(reason, []).append(worker)
        return "; ".join(f"{', '.join(who)} ({reason})" for reason, who in by_reason.items())

    def mixture(self) -> list[str]:
        """Return a sentence that workers may round differently, if that has become known now."""
        seen = {kind for found in self.rounding.values() for kind in found.items()}
        if seen <= self.kinds:
            return []
        self.kinds |= seen
        differ = []
        for key in sorted({key for key, _ in self.kinds}):
            values = sorted(value for other, value in self.kinds if other == key)
            if len(values) > 1:
                differ.append(f"{key} ({' or '.join(values)})")
        if not differ:
            return []
        words = "the last digits of a result depend on which worker computes it"
        return [f"the workers differ in {', '.join(differ)}: {words}, and these differences grow"]

    def submit(self, stack: list[Config], data: Dataset, worker: str):
        """Return Dask's future of a stack that one worker is to compute."""
        if self.data is None or self.data.status not in ("pending", "finished"):
            # The result of a task, not scattered: Dask sends both to each worker once, but can
            # make only this one again if all workers that have it are lost. Any worker may pass
            # the data on, even one with another nnlite: so they are sent as a dict.
            import dask

            with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 GB"}):
                arrays = {field.name: getattr(data, field.name) for field in fields(data)}
                self.data = self.client.submit(dict, arrays, pure=False)
        # A lambda, because Dask would send `compute` by name, which is of no use to a worker.
        return self.client.submit(
            lambda *args: compute(*args),
            stack,
            self.data,
            *self.check,
            workers=[worker],
            pure=False,
        )

    def outcome(
        self, future, stack: list[Config], worker: str, data: Dataset
    ) -> tuple[list[dict], str]:
        """Return the logs of a stack that has ended, or [] and what went wrong on that worker.

        That is "" if the stack may as well be tried once more: the worker has been refused, or
        somebody has restarted the cluster.
        """
        from distributed import CancelledError, KilledWorker

        died = "the worker died, or its connection"
        if worker not in self.threads:
            return [], "" if worker in self.refused else died
        try:
            logs = future.result(RESULT_SECONDS)
        except CancelledError:
            return [], ""
        except (KilledWorker, TimeoutError):
            return [], died
        except Exception as error:
            return [], in_words(error)
        reason = logs if isinstance(logs, str) else not_asked_for(logs, stack, data)
        if not reason:
            return logs, ""
        self.refused[worker] = reason
        del self.threads[worker]
        say([f"no runs for {self.refusals([worker])}"])
        return [], ""

    def how_to_start_one(self) -> str:
        """Return what to do if there is no worker that may compute."""
        refused = f" that can compute this: {self.refusals()}" if self.refused else ""
        start = f"dask worker {self.address} --nthreads 1"
        return f"waiting, because {self.address} has no worker{refused}; start one with: {start}"


def run_on_cluster(
    stacks: list[list[Config]], data: Dataset, cluster: Cluster, missing: dict[str, str]
) -> Iterator[list[dict]]:
    """Do what workers.run_all does, on the workers of a Dask cluster.

    No files are shared with them: logs come back when runs have ended. Workers that join get work.
    A run that fails on a worker, or is lost with it, is tried on others, up to TRIES in all.
    """
    waiting = list(stacks)
    running: dict = {}  # Dask's future -> (stack, worker)
    tried: dict[str, dict[str, str]] = {stack[0].run_id: {} for stack in stacks}  # worker -> why
    woken = threading.Event()  # set when a run has ended
    waits = False  # for a worker

    def give_up(stack: list[Config], reason: str) -> None:
        missing.update((config.run_id, reason) for config in stack)

    with Progress([config for stack in stacks for config in stack]) as progress:
        while waiting or running:
            try:
                say(cluster.look())
            except OSError:
                for stack in [*waiting, *(stack for stack, _ in running.values())]:
                    give_up(stack, f"the scheduler at {cluster.address} is gone")
                return

            for future, (stack, worker) in list(running.items()):
                if worker in cluster.threads and not future.done():
                    continue
                del running[future]
                logs, reason = cluster.outcome(future, stack, worker, data)
                if logs:
                    yield logs  # saved, before anything is shown
                    for log in logs:
                        progress.show(log["experiment_id"], latest_epoch(log))
                    progress.forget([log["experiment_id"] for log in logs])
                    continue
                failures = tried[stack[0].run_id]
                if reason:
                    failures[worker] = reason
                if not reason:
                    waiting.insert(0, stack)  # its turn stays what it was
                elif len(failures) < TRIES:
                    waiting.append(stack)
                else:
                    give_up(stack, all_reasons(failures))

            busy = Counter(worker for _, worker in running.values())
            free = {worker: n - busy[worker] for worker, n in cluster.threads.items()}
            for worker in [worker for worker, n in free.items() for _ in range(n)]:
                others = (s for s in waiting if worker not in tried[s[0].run_id])
                if stack := next(others, None):
                    waiting.remove(stack)
                    future = cluster.submit(stack, data, worker)
                    future.add_done_callback(lambda _: woken.set())
                    running[future] = stack, worker

            if waiting and cluster.threads and not running:  # all of them have tried all of these
                for stack in waiting:
                    give_up(stack, all_reasons(tried[stack[0].run_id]))
                return
            if not cluster.threads and not waits:
                say([cluster.how_to_start_one()])
            waits = not cluster.threads
            woken.wait(POLL_SECONDS)
            woken.clear()


def say(sentences: list[str]) -> None:
    """Print sentences about the cluster, above the bars of the progress if there are any."""
    for sentence in sentences:
        tqdm.write(sentence, file=sys.stderr)


def in_words(error: BaseException) -> str:
    """Return an error as one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def all_reasons(failures: dict[str, str]) -> str:
    """Return why a run is given up; failures: what went wrong, by worker."""
    reasons = "; ".join(dict.fromkeys(failures.values()))
    return f"{reasons} (tried on {plural(len(failures), 'worker')})"


def python_differs(python: str) -> str:
    """Return why a machine with this version of Python cannot read what is sent; "" if it can."""
    here = platform.python_version()
    same = python.split(".")[:2] == here.split(".")[:2]
    return "" if same else f"Python {python}; here: {here}"


def not_asked_for(logs: list[dict], stack: list[Config], data: Dataset) -> str:
    """Return what shows that these are not the logs of a stack, on these data; "" if they are."""
    try:
        for log, config in zip(logs, stack, strict=True):
            verify(log)
            if reason := difference(log, new_log(config, data, CPU, len(stack))):
                return reason
    except (ValueError, LookupError, TypeError) as error:
        return in_words(error)
    return ""


def in_time(function: Callable[[], Any]) -> Any:
    """Return function(), or raise TimeoutError after ANSWER_SECONDS."""
    outcome = []

    def work() -> None:
        try:
            outcome.append((function(), None))
        except Exception as error:
            outcome.append((None, error))

    # A thread, because no socket's timeout covers looking up the name of the host.
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(ANSWER_SECONDS)
    if not outcome:
        raise TimeoutError(f"no answer within {ANSWER_SECONDS:g} s")
    result, error = outcome[0]
    if error:
        raise error
    return result
