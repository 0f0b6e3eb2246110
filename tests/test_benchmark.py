"""The benchmark compares what is comparable, and says so when it does not. No timing is tested."""

import contextlib
import importlib.util
import io
import json
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import sklearn.datasets  # noqa: F401  now: SciPy looks for torch, which some tests hide

import benchmark
import contestants
from nnlite.datasets import load

INSTALLED = {name: importlib.util.find_spec(name) is not None for name in ("torch", "jax", "numba")}
NEEDS = {"PyTorch": "torch", benchmark.NOTEBOOK: "torch", "JAX": "jax", "nnlite, numba": "numba"}


def run(*arguments: object) -> int:
    return benchmark.main(["--dataset", "digits", *map(str, arguments)])


def only(monkeypatch, *names: str, **others) -> None:
    """Let only these contestants take part, and others of one's own."""
    makers = {name: benchmark.ON_CPU[name] for name in names}
    monkeypatch.setattr(benchmark, "ON_CPU", makers | others)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """All contestants, one round; looked at by several tests."""
    out = tmp_path_factory.mktemp("benchmark") / "new folder"
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        code = run("--rounds", 1, "--out", out)
    if cores:
        assert os.sched_getaffinity(0) == cores  # it has let go of the cores again
    content = json.loads((out / "benchmark.json").read_text())
    rows = {row["name"]: row for row in content["rows"]}
    return SimpleNamespace(out=out, code=code, text=printed.getvalue(), content=content, rows=rows)


def test_the_table_has_a_line_for_each_contestant(whole):
    assert whole.code == 0
    lines = whole.text.splitlines()
    assert "one training epoch of a run, 1 core: digits, batches of 128" in lines[0].lower()
    for name, row in whole.rows.items():
        (line,) = [line for line in lines if line.startswith(f"{name}  ")]
        expected = "not installed" if row["note"] else f"{row['median']:.4f}"
        assert expected in line
    assert list(whole.rows) == list(benchmark.ON_CPU)


def test_the_json_holds_raw_times_their_summary_and_where_they_come_from(whole):
    assert set(whole.content) == {"mode", "settings", "machine", "rows", "targets", "problems"}
    assert whole.content["settings"]["rounds"] == 1 and whole.content["settings"]["threads"] == 1
    assert {"processor", "cores", "threads", "versions"} <= set(whole.content["machine"])
    assert whole.content["machine"]["versions"]["numpy"] == np.__version__
    for name, row in whole.rows.items():
        if not INSTALLED.get(NEEDS.get(name), True):
            assert "not installed" in row["note"] and not row["seconds"]
            continue
        assert len(row["seconds"]) == len(row["cpu_seconds"]) == 1, row["note"]
        assert 0 < row["min"] <= row["median"] <= row["max"]
        assert row["ratio"] == pytest.approx(row["median"] / whole.rows["nnlite"]["median"])
    assert (whole.out / "benchmark.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in whole.out.iterdir()) == ["benchmark.json", "benchmark.png"]


def test_targets_are_judged_by_the_faster_nnlite(whole):
    ours = min(
        row["median"]
        for name, row in whole.rows.items()
        if name.startswith("nnlite") and row["seconds"]
    )
    floor = whole.rows[benchmark.FLOOR]["median"]
    target = whole.content["targets"][0]
    assert target["measured"] == pytest.approx(ours / floor)
    assert target["met"] is (ours / floor <= 1.25)


@pytest.mark.parametrize("name", ["nnlite, numba", "PyTorch", "JAX"])
def test_from_the_same_weights_and_batches_all_get_the_same_loss(whole, name):
    if not INSTALLED[NEEDS[name]]:
        pytest.skip(f"{NEEDS[name]} is not installed")
    assert whole.rows[name]["loss"] == pytest.approx(whole.rows["nnlite"]["loss"], rel=1e-4)


def test_those_with_batches_of_their_own_get_about_the_same_loss(whole):
    assert whole.content["problems"] == []
    expected = whole.rows["nnlite"]["loss"]
    assert whole.rows["scikit-learn"]["loss"] == pytest.approx(expected, rel=benchmark.TOLERANCE)
    assert whole.rows["scikit-learn"]["loss"] != expected
    assert whole.rows[benchmark.FLOOR]["loss"] is None


@pytest.mark.parametrize("loss", [9.0, float("nan")])
def test_who_does_not_learn_alike_is_named_and_the_exit_code_is_1(
    monkeypatch, capsys, tmp_path, loss
):
    only(monkeypatch, "nnlite", benchmark.FLOOR, liar=lambda task: lambda order: loss)
    assert run("--rounds", 1, "--out", tmp_path) == 1
    assert (
        "PROBLEM  in the first epoch of relu + adam the mean loss of liar"
        in capsys.readouterr().out
    )
    content = json.loads((tmp_path / "benchmark.json").read_text())
    assert len(content["problems"]) == 1 and "liar" in content["problems"][0]
    assert content["rows"][-1]["loss"] == (9.0 if loss == 9.0 else None)


def test_what_is_not_installed_is_a_line_in_the_table(monkeypatch, capsys, tmp_path):
    for name in ("torch", "jax"):
        monkeypatch.setitem(sys.modules, name, None)
    only(monkeypatch, "nnlite", benchmark.FLOOR, "PyTorch", benchmark.NOTEBOOK, "JAX")
    assert run("--rounds", 1, "--out", tmp_path) == 0
    text = capsys.readouterr().out
    assert text.count("not installed") == 3
    assert "unknown  time of JAX / of nnlite: not measured" in text


def test_rounds_and_order_are_shared(monkeypatch, tmp_path):
    seen = []

    def witness(name):
        return lambda task: lambda order: seen.append((name, order.tolist())) or 1.0

    monkeypatch.setattr(benchmark, "ON_CPU", {"nnlite": witness("a"), "b": witness("b")})
    monkeypatch.setattr(benchmark, "FLOOR", "b")
    assert run("--rounds", 2, "--out", tmp_path) == 0
    assert [name for name, _ in seen] == ["a", "b"] * 3
    orders = [order for _, order in seen]
    assert orders[0] == orders[1] and orders[0] != orders[2]
    assert sorted(orders[0]) == list(range(1350))  # 90 % of 1500


def test_the_floor_is_all_products_of_a_step_but_the_first_input_gradient(monkeypatch):
    products = []

    class Counting(np.ndarray):
        def __array_ufunc__(self, ufunc, method, *inputs, out=()):
            assert ufunc is np.matmul
            products.append(tuple(x.shape for x in inputs))
            return ufunc(*map(np.asarray, inputs)).view(Counting)

    xp = SimpleNamespace(
        asarray=lambda x: x.view(Counting), empty_like=np.empty_like, matmul=np.matmul
    )
    monkeypatch.setattr(contestants, "select_device", lambda name: SimpleNamespace(xp=xp))
    task = benchmark.Task(load("digits"), batch_size=100, hidden=(20, 15), rows=250)
    benchmark.floor(task)(task.next_order())
    N = 50  # of the last batch, which is shorter
    assert products[-8:] == [
        ((N, 784), (784, 20)),
        ((N, 20), (20, 15)),
        ((N, 15), (15, 10)),
        ((15, N), (N, 10)),
        ((N, 10), (10, 15)),
        ((20, N), (N, 15)),
        ((N, 15), (15, 20)),
        ((784, N), (N, 20)),
    ]
    assert len(products) == 3 * 8


def test_ctrl_c_is_one_line_and_130(monkeypatch, capsys, tmp_path):
    def interrupted(task):
        raise KeyboardInterrupt

    only(monkeypatch, "nnlite", b=interrupted)
    assert run("--out", tmp_path) == 130
    assert capsys.readouterr().err.strip() == "benchmark.py: interrupted, nothing is written"
    assert list(tmp_path.iterdir()) == []


def test_scale_shows_how_costs_grow(monkeypatch, capsys, tmp_path):
    axes = {name: (values[:2], setting) for name, (values, setting) in benchmark.AXES.items()}
    monkeypatch.setattr(benchmark, "AXES", axes)
    assert run("--scale", "--rounds", 1, "--out", tmp_path) == 0
    assert "runs in a stack: 2" in capsys.readouterr().out
    rows = json.loads((tmp_path / "scale.json").read_text())["rows"]
    assert [row["value"] for row in rows] == [64, 128, 1, 2, 16, 64, 1, 2]
    for row in rows:
        assert row["ours"] > 0 and row["floor"] > 0
        assert row["ours_mib"] > row["floor_mib"] > 0
    one, two = rows[-2:]
    assert two["ours_mib"] == pytest.approx(2 * one["ours_mib"], rel=0.2)
    assert (tmp_path / "scale.png").exists()


def test_the_grid_runs_the_lab_in_a_process_of_its_own(monkeypatch, capsys, tmp_path):
    root = Path(benchmark.__file__).parents[1]
    monkeypatch.setenv("PYTHONPATH", str(root))
    monkeypatch.setattr(
        benchmark, "ways", lambda args: {"nnlite": None, "PyTorch, 1 process": None}
    )
    monkeypatch.setitem(sys.modules, "torch", None)
    assert run("--grid", "--epochs", 1, "--threads", 1, "--out", tmp_path) == 0
    assert "not installed" in capsys.readouterr().out
    ours, torch = json.loads((tmp_path / "grid.json").read_text())["rows"]
    assert set(ours["losses"]) == {f"{a} + {o}" for a, o in benchmark.CELLS}
    assert ours["seconds"] == [ours["median"]]
    assert ours["peak_mib"] is None or ours["peak_mib"] > 20
    assert torch["note"] == "not installed"
    assert (tmp_path / "grid.png").exists()


@pytest.mark.parametrize("name", ["PyTorch, 1 process", "JAX, 1 process", "the notebook's PyTorch"])
def test_others_run_the_same_grid_and_validate(name):
    pytest.importorskip("jax" if "JAX" in name else "torch")
    args = benchmark.parse(["--grid", "--dataset", "digits", "--epochs", "1", "--threads", "1"])
    rows, accuracies = [], []
    for way in ("nnlite", name):
        losses, accuracy, _ = benchmark.ways(args)[way]()
        rows.append({"name": way, "losses": losses})
        accuracies.append(accuracy)
    assert list(rows[0]["losses"]) == list(rows[1]["losses"]) == list(accuracies[1])
    assert benchmark.disagreements(rows) == []
    assert accuracies[1] == pytest.approx(accuracies[0], abs=12)  # of 150 images, other batches


def test_pytorch_learns_the_same_when_it_is_compiled():
    pytest.importorskip("torch")
    if not (shutil.which("g++") or shutil.which("clang++")):
        pytest.skip("torch.compile needs a C++ compiler")
    task = contestants.Task(load("digits"))
    orders = [task.next_order() for _ in range(2)]  # the last batch of each is shorter
    plain, compiled = (contestants.pytorch(task, compiled=c) for c in (False, True))
    losses = [compiled(order) for order in orders]
    assert losses == pytest.approx([plain(order) for order in orders], rel=1e-4)


def test_a_timed_function_does_not_count_what_it_calls(monkeypatch):
    now, clock = [0], benchmark.Clock()

    def work(seconds):
        now[0] += seconds

    inner = clock.time("inner", work)
    outer = clock.time("outer", lambda: [work(1), inner(5), work(2), inner(5)])
    with monkeypatch.context() as patch:
        patch.setattr(benchmark, "time", SimpleNamespace(perf_counter=lambda: now[0]))
        outer()
        inner(7)
    assert clock.seconds == {"inner": 17, "outer": 3}


def test_a_worker_s_time_of_drawing_counts_as_drawing(monkeypatch, tmp_path):
    def run_stack(*args):
        if args[-1]:
            args[-1]("a log", "out")
        return args[0]

    monkeypatch.setattr(benchmark.workers, "run_stack", run_stack)
    monkeypatch.setattr(benchmark, "LAB", {})
    monkeypatch.setattr(benchmark, "CLOCK", benchmark.Clock())
    drawn = []
    for draw in (lambda *args: drawn.append(args), None):  # what is retried is not drawn
        assert benchmark.timed_stack(tmp_path, "a stack", draw) == "a stack"
    assert drawn == [("a log", "out")]
    assert benchmark.CLOCK.seconds["drawing"] > 0


def test_who_fails_in_the_first_epoch_is_left_out_and_says_why(monkeypatch, capsys, tmp_path):
    def no_compiler(order):
        raise RuntimeError("no compiler\nis here")

    only(monkeypatch, "nnlite", benchmark.FLOOR, other=lambda task: no_compiler)
    assert run("--rounds", 2, "--out", tmp_path) == 0
    rows = json.loads((tmp_path / "benchmark.json").read_text())["rows"]
    assert rows[-1]["note"] == "no compiler" and "median" not in rows[-1]
    assert len(rows[0]["seconds"]) == 2


def test_where_the_time_of_the_lab_goes(monkeypatch, capsys, tmp_path):
    root = Path(benchmark.__file__).parents[1]
    monkeypatch.setenv("PYTHONPATH", str(root))
    assert run("--lab", "--epochs", 1, "--threads", 2, "--out", tmp_path) == 0
    rows = {r["name"]: r for r in json.loads((tmp_path / "lab.json").read_text())["rows"]}
    parts = {*benchmark.LAB, "waiting"}
    assert rows.keys() == parts | {"all"}
    assert all(rows[part]["median"] > 0 for part in parts)
    assert sum(rows[part]["median"] for part in parts) == pytest.approx(rows["all"]["median"])
    assert sum(rows[part]["share"] for part in parts) == pytest.approx(100)
    assert "all but training (%)" in capsys.readouterr().out


def test_on_a_gpu_stacks_are_counted_per_run(monkeypatch, capsys, tmp_path, strict_cupy):
    makers = {**benchmark.ON_GPU, "nnlite, 64 runs": benchmark.ON_GPU["nnlite, 8 runs"]}
    monkeypatch.setattr(benchmark, "ON_GPU", makers)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert run("--device", "gpu", "--rounds", 1, "--out", tmp_path) == 0
    assert "of 64 runs as a stack / of one run" in capsys.readouterr().out
    rows = json.loads((tmp_path / "benchmark.json").read_text())["rows"]
    assert [row["runs"] for row in rows] == [1, 8, 8, 1, 1, 1]
    assert rows[1]["median"] == pytest.approx(rows[1]["seconds"][0] / 8)
    assert rows[1]["loss"] == pytest.approx(rows[0]["loss"], rel=1e-4)


@pytest.mark.parametrize(
    "arguments, reason",
    [
        (["--rounds", "0"], "'0' is not an integer from 1 to"),
        (["--epochs", "x"], "'x' is not an integer from 1 to"),
        (["--threads", "99999"], "99999 is more than the"),
        (["--device", "tpu"], "invalid choice: 'tpu'"),
        (["--grid", "--scale"], "not allowed with"),
        (["--grid", "--device", "gpu"], "--grid, --lab and --scale are for the CPU"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
    ],
)
def test_a_wrong_argument_is_one_sentence_and_exit_code_2(capsys, arguments, reason):
    with pytest.raises(SystemExit) as stop:
        run(*arguments)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("benchmark.py: error: ") and error.count("\n") == 1
    assert reason in error


@pytest.mark.parametrize(
    "arguments, reason",
    [
        (["--dataset", "fashion-mnist", "--data-dir", "/nowhere"], "/nowhere"),
        (["--device", "gpu"], "no GPU to use"),
        (["--out", __file__], "cannot write to --out"),
    ],
)
def test_what_cannot_be_had_is_one_sentence_and_exit_code_2(monkeypatch, capsys, arguments, reason):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("benchmark.py: error: ") and error.count("\n") == 1
    assert reason in error
