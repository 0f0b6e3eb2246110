"""The runs of a sweep on the workers of a Dask cluster."""

import signal
from collections.abc import Iterator

from threadpoolctl import threadpool_limits

from nnlite import Config, Dataset, __version__, select_device, train
from nnlite.datasets import in_time
from sweep.progress import Progress, latest_epoch


def connect(address: str, jobs: int):
    """Return a client of the Dask scheduler at an address; "local" starts one with `jobs` workers.

    Raises RuntimeError if there is none, or if a worker has another version of nnlite.
    """
    try:
        from distributed import Client
    except ImportError:
        raise RuntimeError("--cluster needs Dask: pip install 'nnlite[cluster]'") from None
    try:
        if address == "local":
            client = Client(n_workers=jobs, threads_per_worker=1, dashboard_address=None)
            # Ctrl-C reaches all processes, but the parent alone decides.
            client.register_worker_callbacks(lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
        else:  # Dask itself waits forever for a server that accepts the connection and is silent
            client = in_time(lambda: Client(address))
    except Exception as error:  # a server of another kind at this port can cause nearly any
        raise RuntimeError(f"no Dask scheduler at {address} ({error})") from None
    versions = client.run(lambda: __import__("nnlite").__version__, on_error="return")
    for worker, version in versions.items():
        if version != __version__:
            client.close()
            raise RuntimeError(f"nnlite on {worker}: {version}; here: {__version__}")
    return client


def run_on_cluster(
    stacks: list[list[Config]], data: Dataset, device: str, client, missing: dict[str, str]
) -> Iterator[list[dict]]:
    """Do what workers.run_all does, on the workers of a Dask cluster.

    No files are shared with them: logs come back when runs have ended. If a worker is lost, Dask
    gives its runs to others; workers that join get work. (joblib's Dask backend would be shorter,
    but it waits forever for a task that Dask has given up.)
    """
    import dask
    from distributed import KilledWorker, as_completed

    # Nested, because workers do not have this file: so Dask sends them the function itself.
    def run(stack: list[Config], data: Dataset) -> list[dict]:
        threadpool_limits(1)  # for good: another thread of this worker may be training as well
        return train(stack, data, select_device(device))

    with Progress([config for stack in stacks for config in stack]) as progress:
        # The result of a task, not scattered: Dask sends both to each worker once, but can make
        # only this one again if all workers that have it are lost.
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 GB"}):
            shared = client.submit(lambda data: data, data, pure=False)
        tasks = dict(zip(client.map(run, stacks, data=shared, pure=False), stacks))
        for task, outcome in as_completed(tasks, with_results=True, raise_errors=False):
            stack = tasks.pop(task)
            if isinstance(outcome, list):
                yield outcome  # saved, before anything is shown
                for log in outcome:
                    progress.show(log["experiment_id"], latest_epoch(log))
                progress.forget([log["experiment_id"] for log in outcome])
            else:  # (type, error, traceback), or an error alone if it was cancelled
                error = outcome[1] if isinstance(outcome, tuple) else outcome
                reason = " ".join(f"{type(error).__name__}: {error}".split())  # in one line
                if isinstance(error, KilledWorker):
                    reason = "all workers that tried it died"
                missing.update((config.run_id, reason) for config in stack)
