"""The lab on a Dask cluster: a scheduler and workers as processes of their own, on this machine.

They start in an empty folder and can import nnlite, but nothing in experiments/.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import exp3
import nnlite
from conftest import ROOT, posix
from nnlite import Config, datasets, train
from nnlite.training import logs as training_logs
from sweep import cluster as cluster_module
from sweep import results

SWEEP = "--dataset digits --epochs 6 --lr 0.01 0.02 --seed 42".split()  # 12 runs


def logs(out):
    """All logs in a folder, without what depends on the machine."""
    found = [json.loads(path.read_text()) for path in sorted(out.glob("*/training_log.json"))]
    vary = ("epoch_time", "sha256")
    return [{key: value for key, value in log.items() if key not in vary} for log in found]


def soon(condition, seconds=60):
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

    def start(*command, path=()):
        folder = tmp_path / f"process {len(processes)}"
        folder.mkdir()
        with (tmp_path / f"process {len(processes)}.txt").open("w") as output:
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "dask", *command, "--host=127.0.0.1", "--no-dashboard"],
                    cwd=folder,
                    env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, [*path, ROOT]))},
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
            yield SimpleNamespace(
                address=address, client=client, worker=worker, scheduler=processes[0]
            )
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


def test_runs_go_seed_by_seed(cluster, run, tmp_path):
    cluster.worker()
    ended = []

    def on_save():
        new = {log["experiment_id"] for log in logs(tmp_path)} - set(ended)
        ended.extend(new)

    flags = "--dataset digits --epochs 1 --activation relu tanh --optimizer adam --seed 2 1"
    assert (
        run(*flags.split(), "--cluster", cluster.address, "--out", tmp_path, on_save=on_save) == 0
    )
    assert [run_id[-1] for run_id in ended] == ["2", "2", "1", "1"]


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


def test_the_only_worker_is_lost_before_it_has_the_data(
    cluster, run, local_logs, tmp_path, monkeypatch
):
    worker = cluster.worker()
    cluster.client.wait_for_workers(1)
    submit = cluster_module.Cluster.submit

    def submit_and_kill(*arguments):
        future = submit(*arguments)
        if worker.poll() is None:
            worker.kill()
            worker.wait()
            soon(lambda: not cluster.client.nthreads())
            cluster.worker()
        return future

    monkeypatch.setattr(cluster_module.Cluster, "submit", submit_and_kill)
    only = ["--activation", "relu", "--cluster", cluster.address, "--out", tmp_path / "out"]
    assert run(*SWEEP, *only) == 0
    assert len(logs(tmp_path / "out")) == 4


def test_ctrl_c_takes_the_remaining_runs_off_the_cluster(cluster, run, tmp_path):
    cluster.worker()

    def on_save():
        raise KeyboardInterrupt

    code = run(*SWEEP, "--cluster", cluster.address, "--out", tmp_path, on_save=on_save)
    assert code == 130 and len(logs(tmp_path)) == 1
    soon(lambda: forgotten(cluster))


@pytest.fixture
def edited(tmp_path):
    """A folder with a copy of nnlite in which one number has been edited."""
    shutil.copytree(ROOT / "nnlite", tmp_path / "edited" / "nnlite")
    file = tmp_path / "edited" / "nnlite" / "activations.py"
    text = file.read_text()
    file.write_text(text.replace("slope = 0.1", "slope = 0.2"))
    assert file.read_text() != text
    return tmp_path / "edited"


def folder_with(tmp_path, name, text):
    """A folder with one file of Python, to be put first on a worker's path."""
    folder = tmp_path / name.replace("/", " ")
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text(text)
    return folder


def test_if_no_worker_may_compute_one_sentence_names_them_all(
    cluster, edited, run, tmp_path, capfd
):
    pytest.importorskip("numba", reason="the extra `fast` is not installed")
    old = folder_with(tmp_path, "nnlite/__init__.py", "__version__ = '0.0.1'")
    python = "import platform; platform.python_version = lambda: '3.8.20'"
    other_python = folder_with(tmp_path / "a", "sitecustomize.py", python)
    no_numba = "import sys; sys.modules['numba'] = None"
    no_numba = folder_with(tmp_path / "b", "sitecustomize.py", no_numba)
    for folder in (old, edited, other_python, no_numba):
        cluster.worker(path=[folder])
    cluster.client.wait_for_workers(4)
    there = ["--device", "numba", "--cluster", cluster.address, "--out", tmp_path / "out"]
    assert run(*SWEEP, *there) == 2
    error = capfd.readouterr().err
    for reason in (
        "(nnlite 0.0.1; here: ",
        f"(nnlite {nnlite.__version__}, but with other code than here)",
        "(Python 3.8.20; here: ",
        "(RuntimeError: numba is not installed",
    ):
        assert reason in error
    assert error.count("\n") == 1 and error.count("tcp://127.0.0.1:") == 5
    assert "each machine needs the same Python" in error
    assert not (tmp_path / "out").exists()


def test_workers_with_other_code_that_join_midway_compute_nothing(
    cluster, edited, run, local_logs, tmp_path, capfd
):
    """Nor do workers that were fine at first: a scheduler may know a new one by an old address."""
    old = folder_with(tmp_path, "nnlite/__init__.py", "__version__ = '0.0.1'")
    for _ in range(3):
        cluster.worker()
    cluster.client.wait_for_workers(3)
    _, changed, liar = sorted(cluster.client.nthreads())

    def lie():
        from nnlite.training import loop

        def seal(log):
            log["config"]["seed"] = 1
            log["sha256"] = training_logs.checksum(log)

        loop.seal = seal

    def other_version():
        import nnlite

        nnlite.__version__ = "0.0.2"

    def on_save():
        if len(logs(tmp_path / "out")) == 1:
            cluster.client.run(other_version, workers=[changed])
            cluster.client.run(lie, workers=[liar])
            cluster.worker(path=[edited])
            cluster.worker(path=[old])
            cluster.client.wait_for_workers(5)

    there = ["--cluster", cluster.address, "--out", tmp_path / "out"]
    assert run(*SWEEP, *there, on_save=on_save) == 0
    assert logs(tmp_path / "out") == local_logs
    error = capfd.readouterr().err
    assert f"no runs for {changed} (nnlite 0.0.2; here: " in error
    assert f"no runs for {liar} (other settings)" in error
    assert "(nnlite 0.0.1; here: " in error and ", but with other code than here)" in error
    trained = cluster.client.run(lambda dask_worker: dask_worker.state.executed_count)
    assert sorted(map(bool, trained.values())) == [False, False, True, True, True]


def test_a_run_that_fails_on_a_worker_is_tried_on_others(
    cluster, run, local_logs, tmp_path, monkeypatch, capfd
):
    """A worker on which every run fails is always free, but must not swallow the sweep."""
    for _ in range(2):
        cluster.worker()
    cluster.client.wait_for_workers(2)

    def train_or_fail(configs, data, device):
        if Path.cwd().name == "process 1":
            raise MemoryError("this worker is full")
        if configs[0].activation == "sigmoid":
            raise ArithmeticError("no worker likes sigmoid")
        return train(configs, data, device)

    monkeypatch.setattr(cluster_module, "train", train_or_fail)
    there = ["--optimizer", "sgd", "--cluster", cluster.address, "--out", tmp_path / "out"]
    assert run(*SWEEP, *there) == 1
    assert logs(tmp_path / "out") == [
        log
        for log in local_logs
        if log["config"]["optimizer"] == "sgd" and log["config"]["activation"] != "sigmoid"
    ]
    error = capfd.readouterr().err.splitlines()
    assert len(error) == 2
    for line, rate in zip(error, ("0.01", "0.02")):
        assert line.startswith(f"MISSING sigmoid_sgd_none_lr{rate}_seed42: ")
        assert "ArithmeticError: no worker likes sigmoid" in line
        assert line.endswith(" (tried on 2 workers)")


def test_a_scheduler_without_workers_is_not_waited_for_in_silence(
    cluster, run, local_logs, tmp_path, monkeypatch
):
    said = []

    def say(sentences):
        said.extend(sentences)
        if sentences:
            cluster.worker()

    monkeypatch.setattr(cluster_module, "say", say)
    only = ["--activation", "relu", "--cluster", cluster.address, "--out", tmp_path / "out"]
    assert run(*SWEEP, *only) == 0
    assert len(logs(tmp_path / "out")) == 4
    assert said == [
        f"waiting, because {cluster.address} has no worker; "
        f"start one with: dask worker {cluster.address} --nthreads 1"
    ]


def test_if_the_scheduler_dies_what_is_finished_is_kept(cluster, run, tmp_path, capfd):
    cluster.worker()
    cluster.client.wait_for_workers(1)
    there = ["--cluster", cluster.address, "--out", tmp_path / "out"]
    assert run(*SWEEP, *there, on_save=cluster.scheduler.kill) == 1
    assert len(logs(tmp_path / "out")) == 1
    error = capfd.readouterr().err
    assert error.startswith("MISSING 11 runs, the first of them ") and error.count("\n") == 1
    assert error.endswith(f": the scheduler at {cluster.address} is gone\n")


@posix
@pytest.mark.parametrize("moment", ["interrupted with", "drawing figures"])
def test_ctrl_c_twice_ends_a_cluster_of_our_own_in_peace(moment, distributed, tmp_path):
    """All processes of a terminal get it: workers, and those that are just starting, to draw."""
    said = tmp_path / "said.txt"
    command = [*SWEEP[:-1], "1", "2", "3", "--cluster", "local", "--jobs", "2"]
    with said.open("w") as output:
        lab = subprocess.Popen(
            [sys.executable, ROOT / "experiments" / "exp3.py", *command, "--out", tmp_path / "out"],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        soon(lambda: logs(tmp_path / "out"), seconds=180)
        os.killpg(lab.pid, signal.SIGINT)
        soon(lambda: moment in said.read_text(), seconds=60)
        time.sleep(0.2)
        os.killpg(lab.pid, signal.SIGINT)
        code = lab.wait(timeout=120)
    finally:
        lab.kill()
    words = said.read_text()
    assert "Traceback" not in words and "Exception" not in words
    assert words.endswith("\ninterrupted; what is finished is saved\n")
    assert code == 130


def test_workers_that_round_differently_are_named_once():
    cluster = cluster_module.Cluster(SimpleNamespace(scheduler=SimpleNamespace(address="")), "cpu")
    old = {"numpy": "2.4.6", "blas": "openblas 0.3.31 Haswell"}
    new = {"numpy": "2.4.6", "blas": "openblas 0.3.31 SkylakeX"}
    cluster.rounding = {"a": old, "b": old}
    assert cluster.mixture() == []
    cluster.rounding["c"] = new
    (sentence,) = cluster.mixture()
    assert "blas (openblas 0.3.31 Haswell or openblas 0.3.31 SkylakeX)" in sentence
    assert "numpy" not in sentence
    cluster.rounding["d"] = new
    assert cluster.mixture() == []


def test_a_worker_says_what_decides_its_rounding():
    found = cluster_module.check("cpu", nnlite.__version__, training_logs.code_hash())
    log = training_logs.new_log(Config(), datasets.load("digits"), nnlite.select_device("cpu"), 1)
    versions = {key: log["versions"][key] for key in ("numpy", "blas", "simd")}
    assert found == {"device": log["device"], **versions}


def test_a_cluster_of_our_own_and_a_run_that_kills_its_workers(
    distributed, run, local_logs, tmp_path, monkeypatch, capfd
):
    def train_or_die(configs, data, device):
        if configs[0].activation == "sigmoid":
            os.kill(os.getpid(), 9)
        return train(configs, data, device)

    monkeypatch.setattr(cluster_module, "TRIES", 2)
    monkeypatch.setattr(cluster_module, "train", train_or_die)
    there = ["--optimizer", "sgd", "--cluster", "local", "--jobs", 2, "--out", tmp_path]
    assert run(*SWEEP, *there) == 1
    assert logs(tmp_path) == [
        log
        for log in local_logs
        if log["config"]["optimizer"] == "sgd" and log["config"]["activation"] != "sigmoid"
    ]
    error = capfd.readouterr().err
    for rate in ("0.01", "0.02"):
        reason = "the worker died, or its connection (tried on 2 workers)"
        assert f"MISSING sigmoid_sgd_none_lr{rate}_seed42: {reason}\n" in error


def test_a_scheduler_that_does_not_answer(distributed, run, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("sweep.cluster.ANSWER_SECONDS", 1.0)
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
