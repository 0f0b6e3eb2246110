"""The lab on a Dask cluster: a scheduler and workers as processes of their own, on this machine.

They start in an empty folder and can import nnlite, but nothing in experiments/.
"""

import json
import os
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

import exp3
from conftest import ROOT
from nnlite import datasets
from sweep import cluster as cluster_module
from sweep import results

SWEEP = ["--dataset", "digits", "--epochs", "6", "--lr", "0.01", "0.02"]  # 12 runs


def logs(out):
    """All logs in a folder, without what depends on the machine."""
    found = [json.loads(path.read_text()) for path in sorted(out.glob("*/training_log.json"))]
    vary = ("epoch_time", "sha256")
    return [{key: value for key, value in log.items() if key not in vary} for log in found]


def soon(condition, seconds=20):
    """Wait until the condition holds, and return what it returned."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return result


@pytest.fixture
def run(monkeypatch):
    """The command, without its figures, which are tested elsewhere. on_save: after each run."""

    def run(*arguments, on_save=lambda: None):
        save = results.save_run
        with monkeypatch.context() as patch:
            patch.setattr(exp3, "draw", lambda *_: 0)
            patch.setattr(results, "save_run", lambda *args: (save(*args), on_save()))
            try:
                return exp3.main([str(a) for a in arguments])
            except SystemExit as stop:
                return stop.code

    return run


@pytest.fixture(scope="module")
def distributed():
    return pytest.importorskip("distributed", reason="the extra `cluster` is not installed")


@pytest.fixture(scope="module")
def local_logs(tmp_path_factory):
    """The logs of SWEEP, run by processes of this machine."""
    out = tmp_path_factory.mktemp("local")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exp3, "draw", lambda *_: 0)
        assert exp3.main([*SWEEP, "--out", str(out)]) == 0
    return logs(out)


@pytest.fixture
def cluster(distributed, tmp_path):
    """A scheduler without workers: its address, a client to look into it, a function worker()."""
    processes = []

    def start(*command, path=ROOT):
        folder = tmp_path / f"process {len(processes)}"
        folder.mkdir()
        with (tmp_path / f"process {len(processes)}.txt").open("w") as output:
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "dask", *command, "--host=127.0.0.1", "--no-dashboard"],
                    cwd=folder,
                    env=os.environ | {"PYTHONPATH": str(path)},
                    stdout=output,
                    stderr=output,
                )
            )
        return processes[-1]

    def worker(**options):
        return start("worker", address, "--nthreads=1", "--no-nanny", **options)

    try:
        about = tmp_path / "scheduler.json"
        start("scheduler", "--port=0", f"--scheduler-file={about}")
        soon(lambda: about.exists() and about.read_text().endswith("}"))
        address = json.loads(about.read_text())["address"]
        with distributed.Client(address, set_as_default=False) as client:
            yield SimpleNamespace(address=address, client=client, worker=worker)
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


def forgotten(cluster):
    """Whether the scheduler holds nothing of a sweep any more."""
    return cluster.client.run_on_scheduler(lambda dask_scheduler: not dask_scheduler.tasks)


def test_one_worker_killed_and_one_joining_midway_change_nothing(
    cluster, run, local_logs, tmp_path, capsys
):
    workers = [cluster.worker(), cluster.worker()]
    cluster.client.wait_for_workers(2)
    saved = []

    def on_save():
        saved.append(logs(tmp_path / "out"))
        if len(saved) == 2:
            workers[0].kill()
            cluster.worker()

    there = ["--cluster", cluster.address, "--out", tmp_path / "out"]
    assert run(*SWEEP, *there, on_save=on_save) == 0
    assert [len(found) for found in saved] == list(range(1, 13))  # each saved as it came
    assert logs(tmp_path / "out") == local_logs
    out = capsys.readouterr().out
    assert f"Runs:        12, on {cluster.address} (workers so far: 2), into" in out
    assert out.count("| Epoch  6/6 |") == out.count("| Epoch") == 12

    assert len(cluster.client.nthreads()) == 2
    trained = cluster.client.run(lambda dask_worker: dask_worker.state.executed_count)
    assert all(trained.values())
    received = cluster.client.run(lambda dask_worker: len(dask_worker.transfer_incoming_log))
    assert max(received.values()) <= 1  # the data: from another worker, once; or from the scheduler
    soon(lambda: forgotten(cluster))


def test_all_workers_may_be_lost_if_others_join(cluster, run, local_logs, tmp_path):
    """Then nobody has the data any more, and it has to be sent again."""
    worker = cluster.worker()

    def on_save():
        if worker.poll() is None:
            worker.kill()
            cluster.worker()

    only = ["--activation", "relu", "--cluster", cluster.address, "--out", tmp_path]
    assert run(*SWEEP, *only, on_save=on_save) == 0
    assert logs(tmp_path) == [log for log in local_logs if log["config"]["activation"] == "relu"]


def test_ctrl_c_takes_the_remaining_runs_off_the_cluster(cluster, run, tmp_path):
    cluster.worker()

    def on_save():
        raise KeyboardInterrupt

    code = run(*SWEEP, "--cluster", cluster.address, "--out", tmp_path, on_save=on_save)
    assert code == 130 and len(logs(tmp_path)) == 1
    soon(lambda: forgotten(cluster))


def test_a_worker_with_another_nnlite_is_refused(cluster, run, tmp_path, capfd):
    (tmp_path / "old" / "nnlite").mkdir(parents=True)
    (tmp_path / "old" / "nnlite" / "__init__.py").write_text("__version__ = '0.0.1'")
    cluster.worker(path=tmp_path / "old")
    cluster.client.wait_for_workers(1)
    assert run(*SWEEP, "--cluster", cluster.address, "--out", tmp_path / "out") == 2
    error = capfd.readouterr().err
    assert ": 0.0.1; here: " in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_cluster_of_our_own_and_a_run_that_kills_its_workers(
    distributed, run, local_logs, tmp_path, monkeypatch, capfd
):
    import dask

    # One death is enough for Dask to give up a run; and none waits in line behind it at a worker,
    # as that would be given up as well.
    strict = {
        "distributed.scheduler.allowed-failures": 0,
        "distributed.scheduler.worker-saturation": 1.0,
    }
    real = cluster_module.train

    def train(configs, data, device):
        if configs[0].activation == "sigmoid":
            os.kill(os.getpid(), 9)
        return real(configs, data, device)

    monkeypatch.setattr(cluster_module, "train", train)
    there = ["--optimizer", "sgd", "--cluster", "local", "--jobs", 2, "--out", tmp_path]
    with dask.config.set(strict):
        assert run(*SWEEP, *there) == 1
    assert logs(tmp_path) == [
        log
        for log in local_logs
        if log["config"]["optimizer"] == "sgd" and log["config"]["activation"] != "sigmoid"
    ]
    error = capfd.readouterr().err
    for rate in ("0.01", "0.02"):
        assert f"MISSING sigmoid_sgd_none_lr{rate}_seed42: all workers that tried it died" in error


def test_a_scheduler_that_does_not_answer(distributed, run, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(datasets, "TIMEOUT", 1.0)
    with socket.socket() as silent:  # accepts connections, and says nothing
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        assert run(*SWEEP, "--cluster", address, "--out", tmp_path / "out") == 2
    error = capfd.readouterr().err
    assert error == f"exp3.py: error: no Dask scheduler at {address} (no answer within 1 s)\n"
    assert not (tmp_path / "out").exists()


def test_without_dask_the_extra_is_named(run, tmp_path, monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "distributed", None)  # makes `import distributed` fail
    assert run(*SWEEP, "--cluster", "local", "--out", tmp_path / "out") == 2
    error = capfd.readouterr().err
    assert "pip install 'nnlite[cluster]'" in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "address", ["", "dask", "host:8786", "tcp://host", "tcp://host:99999", "http://host:8786"]
)
def test_what_is_no_address_is_refused(address, run, tmp_path, capfd):
    assert run("--cluster", address, "--out", tmp_path / "out") == 2
    error = capfd.readouterr().err
    assert error.startswith("exp3.py: error: argument --cluster: ") and error.count("\n") == 1
    assert not (tmp_path / "out").exists()
