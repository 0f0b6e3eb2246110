"""The command line of the lab, as a student uses it: what it writes, prints, and refuses."""

import csv
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import exp3
from conftest import ROOT, posix
from nnlite import datasets
from nnlite.training.logs import seal
from sweep.studies import STUDIES

GRID_FIGURES = ["accuracy_curves", "activations", "comparison_grid", "gradient_flow", "loss_curves"]


def run(*arguments: object) -> int:
    """Run the command; return its exit code."""
    try:
        return exp3.main([str(a) for a in arguments])
    except SystemExit as stop:
        return stop.code


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """One small sweep, looked at by several tests: 2 activations x 2 optimizers on the digits."""
    out = tmp_path_factory.mktemp("lab with spaces") / "results"
    common = ["--dataset", "digits", "--epochs", 2, "--activation", "relu", "tanh"]
    common += ["--seed", 42, "--jobs", 2]
    assert run(*common, "--out", out) == 0
    return SimpleNamespace(out=out, common=common)


@pytest.fixture
def undrawn(monkeypatch):
    """No figures, which other tests look at; it is the list of the sweeps that would be drawn."""
    sweeps = []
    monkeypatch.setattr(exp3, "draw", lambda sweep, *_: sweeps.append(sweep))
    monkeypatch.setattr(exp3, "draw_run", None)
    return sweeps


def test_every_run_leaves_a_log_a_summary_and_its_figures(lab):
    for run_id in ("relu_sgd_none_lr0.01_seed42", "tanh_adam_none_lr0.001_seed42"):
        folder = lab.out / run_id
        log = json.loads((folder / "training_log.json").read_text())
        assert log["experiment_id"] == run_id
        assert log["epoch"] == [1, 2] and log["dataset"]["name"] == "digits"
        assert set(log["gradient_stats"]["fc1.weight"]) == {"mean_abs", "std", "pct_zero", "norm"}
        summary = json.loads((folder / "summary.json").read_text())
        assert summary["final_loss"] == log["train_loss"][-1]
        assert summary["test_accuracy"] == log["test_accuracy"] > 0
        figures = {path.stem for path in folder.glob("*.png")}
        relu_only = {"zero_gradients"} if "relu" in run_id else set()
        assert figures >= {"loss_accuracy", "gradient_flow", "update_ratio", "signal"} | relu_only


def test_the_grid_has_its_figures_and_one_row_a_run(lab):
    assert {path.stem for path in lab.out.glob("*.png")} >= set(GRID_FIGURES)
    rows = list(csv.DictReader((lab.out / "summary.csv").open()))
    assert [row["experiment_id"] for row in rows] == sorted(
        f"{a}_{o}_seed42"
        for a in ("relu", "tanh")
        for o in ("sgd_none_lr0.01", "adam_none_lr0.001")
    )
    assert not list(lab.out.rglob("*.tmp"))


def test_same_command_gives_the_same_logs_for_any_number_of_jobs(lab, tmp_path, undrawn):
    assert run(*lab.common[:-1], 1, "--out", tmp_path) == 0
    for path in lab.out.glob("*/training_log.json"):
        first = json.loads(path.read_text())
        again = json.loads((tmp_path / path.parent.name / path.name).read_text())
        for log in (first, again):
            del log["epoch_time"], log["sha256"]
        assert first == again


def test_plot_only_makes_everything_again_from_the_logs_alone(lab, monkeypatch, capsys):
    kinds = [".png", ".html", ".txt", ".csv"]
    paths = [path for path in lab.out.rglob("*.*") if path.suffix in kinds]
    made = {path: path.read_bytes() for path in paths}
    assert {path.suffix for path in made} == set(kinds)
    for path in made:
        path.unlink()
    monkeypatch.setattr(exp3, "load", None)  # no data is needed
    assert run("--plot-only", "--out", lab.out) == 0
    assert {path: path.read_bytes() for path in made} == made
    out = capsys.readouterr().out
    assert str(lab.out / "report.html") in out and "relu + sgd" in out


def test_plot_only_takes_no_flags_of_training(lab, capfd):
    assert run("--plot-only", "--out", lab.out, "--batch-size", 32) == 2
    error = capfd.readouterr().err
    assert "argument --plot-only: it trains nothing, so leave --batch-size out" in error


def test_report_only_is_called_plot_only_now(lab, capfd):
    assert run("--report-only", "--out", lab.out) == 2
    error = capfd.readouterr().err
    assert "use --plot-only" in error and error.count("\n") == 1


def test_plot_only_shows_the_runs_of_the_latest_command(lab, tmp_path, undrawn, capsys):
    shutil.copytree(lab.out, tmp_path / "o")
    again = ["--dataset", "digits", "--epochs", 2, "--activation", "tanh", "--seed", 42]
    again += ["--out", tmp_path / "o"]
    assert run(*again) == run("--plot-only", "--out", tmp_path / "o") == 0
    trained, loaded = undrawn
    assert [log["experiment_id"] for log in trained.logs] == [
        "tanh_sgd_none_lr0.01_seed42",
        "tanh_adam_none_lr0.001_seed42",
    ]
    assert {log["experiment_id"] for log in loaded.logs} == {
        log["experiment_id"] for log in trained.logs
    }
    assert loaded.command == trained.command != ""
    assert len((tmp_path / "o" / "summary.csv").read_text().splitlines()) == 5  # of all


def test_plot_only_without_sweep_json_shows_all_runs(lab, tmp_path, undrawn):
    shutil.copytree(lab.out, tmp_path / "o")
    (tmp_path / "o" / "sweep.json").unlink()
    assert run("--plot-only", "--out", tmp_path / "o") == 0
    assert len(undrawn[0].logs) == 4 and undrawn[0].command == ""


@pytest.fixture
def drawn(monkeypatch):
    """No figures; it is the list of the runs that would be drawn."""
    runs = []
    monkeypatch.setattr(exp3, "write_report", lambda *_: 0)
    monkeypatch.setattr(exp3, "draw_part", lambda *_: None)
    monkeypatch.setattr(exp3, "draw_run", lambda log, out: runs.append(log["experiment_id"]))
    return runs


def test_single_runs_are_drawn_for_the_first_seed_and_all_of_them_on_request(
    drawn, tmp_path, capsys
):
    flags = "--dataset digits --epochs 1 --activation relu tanh --optimizer adam --seed 2 1"
    assert run(*flags.split(), "--jobs", 1, "--out", tmp_path) == 0
    first = ["relu_adam_none_lr0.001_seed2", "tanh_adam_none_lr0.001_seed2"]
    assert sorted(drawn) == first
    out = capsys.readouterr().out
    assert "figures of single runs: the first seed of each cell; --plot-only draws all\n" in out
    assert "4 logs, 0 figures and tables are in" in out
    drawn.clear()
    assert run("--plot-only", "--jobs", 1, "--out", tmp_path) == 0
    assert len(drawn) == 4 and set(drawn) > set(first)
    assert "first seed" not in capsys.readouterr().out


def test_very_many_single_runs_are_not_drawn(lab, drawn, monkeypatch, capsys):
    monkeypatch.setattr(exp3, "MANY_RUNS", 3)
    for words in (lab.common, ["--plot-only", "--jobs", 1]):
        assert run(*words, "--out", lab.out) == 0 and drawn == []
        assert "no figures of single runs: they would be of 4, more than 3\n" in (
            capsys.readouterr().out
        )


def test_very_many_runs_are_drawn_in_one_process(lab, monkeypatch):
    """To send their logs to others would take longer, and several times the memory."""
    asked = []
    processes = exp3.processes
    monkeypatch.setattr(
        exp3, "processes", lambda jobs, **more: asked.append(jobs) or processes(1, **more)
    )
    for many in (4, 3):
        monkeypatch.setattr(exp3, "MANY_RUNS", many)
        assert run("--plot-only", "--jobs", 2, "--out", lab.out) == 0
    assert asked == [2, 2, 1]  # for the page, and for figures of single runs, if they are drawn


def test_the_sweep_says_what_was_run(lab):
    sweep = json.loads((lab.out / "sweep.json").read_text())
    assert sweep["study"] is None and len(sweep["runs"]) == 4
    assert sweep["command"].startswith("python experiments/exp3.py --dataset digits --epochs 2 ")
    assert str(lab.out) in shlex.split(sweep["command"])  # quoted, as it has spaces in it


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"study": 1, "command": "", "runs": []}'])
def test_a_damaged_sweep_json_is_named(text, lab, tmp_path, capfd):
    shutil.copytree(lab.out, tmp_path / "results")
    (tmp_path / "results" / "sweep.json").write_text(text)
    assert run("--plot-only", "--out", tmp_path / "results") == 2
    error = capfd.readouterr().err
    assert "sweep.json cannot be read" in error and error.count("\n") == 1


def test_conclusions_are_printed_and_kept(lab, undrawn, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    run("--plot-only", "--out", lab.out)
    text, shown = (lab.out / "conclusions.txt").read_text(), capsys.readouterr().out
    assert " ".join(text.split()) in " ".join(shown.split())
    conclusions = shown[shown.index("What was found") : shown.index("see ")]
    assert max(map(len, conclusions.splitlines())) <= 60
    assert "All of this happened in one seed" in text


# ---- studies


def test_study_list_names_all_of_them_and_their_flags(capsys):
    assert run("--study", "list") == 0
    out = capsys.readouterr().out
    for name, study in STUDIES.items():
        assert f"{name}: {study.question}" in out and " ".join(study.flags) in out


def test_depth_batch_size_and_initialization_are_axes(tmp_path):
    flags = "--dataset digits --epochs 1 --activation relu --optimizer sgd --hidden 8 --depth 1 3"
    axes = ["--batch-size", 64, 128, "--init", "uniform", "he", "--seed", 42]
    assert run(*flags.split(), *axes, "--out", tmp_path) == 0
    start = "relu_sgd_none_lr0.01"
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {
        f"{start}{batch}{init}_hidden{hidden}_seed42"
        for batch in ("", "_batch64")
        for init in ("", "_init-he")
        for hidden in ("8", "8x3")
    }
    log = json.loads((tmp_path / f"{start}_batch64_hidden8x3_seed42/training_log.json").read_text())
    assert log["config"]["hidden"] == [8, 8, 8] and log["config"]["batch_size"] == 64
    assert log["steps_per_epoch"] == 22  # 1350 images


def test_other_data_from_a_file(tmp_path, capsys):
    """Its name is text, and no formula, to what draws it."""
    file, random = tmp_path / "my $x_{$.npz", np.random.default_rng(0)
    x, y = random.normal(size=(300, 6)), np.arange(300) % 3
    x[:, 0] += 4 * y  # easy to tell apart
    np.savez(file, x_train=x[:200], y_train=y[:200], x_test=x[200:], y_test=y[200:])
    flags = ["--data-file", file, "--activation", "tanh", "--optimizer", "adam", "--seed", 42]
    assert run(*flags, "--epochs", 20, "--batch-size", 16, "--out", tmp_path / "o") == 0
    out = capsys.readouterr().out
    assert "my $x_{$ (200 images" in out and "6 - 256 - 128 - 3" in out
    setup = out.partition("\n\n")[0].splitlines()
    assert all(len(line) <= 80 or str(tmp_path) in line for line in setup)
    folder = tmp_path / "o" / "tanh_adam_none_lr0.001_batch16_seed42"
    assert json.loads((folder / "summary.json").read_text())["test_accuracy"] > 80
    for more in (["--dataset", "digits"], ["--data-dir", "."]):
        assert run(*flags, *more) == 2
        assert "leave --dataset and --data-dir out" in capsys.readouterr().err


def test_output_shows_the_setup_a_line_an_epoch_and_the_table_of_cells(tmp_path, capsys):
    flags = "--dataset digits --epochs 1 --activation elu --optimizer rmsprop --scheduler cosine"
    run(*flags.split(), "--seed", 1, 2, "--device", "cpu", "--out", tmp_path)
    out = capsys.readouterr().out
    assert "rmsprop at 0.001" in out and "CPU (NumPy" in out and "scikit-learn" in out
    assert out.count("| Epoch  1/1 | Loss: ") == 2
    assert re.search(r"\nelu \+ rmsprop +2 +\d\.\d+ ± \d", out.split("best val (%)")[1])
    assert (tmp_path / "elu_rmsprop_cosine_lr0.001_seed1" / "learning_rate.png").exists()


def test_the_end_is_what_there_is_the_cells_the_conclusions_and_the_page(lab, undrawn, capsys):
    run("--plot-only", "--out", lab.out)
    out = capsys.readouterr().out
    parts = ["4 logs, ", "cell      ", "What was found", "What it does not show", "see "]
    places = [out.index(part) for part in parts]
    assert places == sorted(places) and out.endswith(f"see {lab.out / 'report.html'}\n")


def test_cells_are_a_table_in_two_files(lab):
    rows = list(csv.DictReader((lab.out / "cells.csv").open()))
    assert [row["cell"] for row in rows] == [
        f"{a} + {o}" for a in ("tanh", "relu") for o in ("sgd", "adam")
    ]
    assert (lab.out / "cells.md").read_text().count("\n") == 2 + 4


def test_fallback_to_digits_is_a_line_at_the_start_and_one_at_the_end(
    tmp_path, capsys, monkeypatch
):
    def unreachable(name, data_dir, progress):
        digits = datasets.load("digits")
        return datasets.Dataset(**{**vars(digits), "note": "NOT Fashion-MNIST: no network"})

    monkeypatch.setattr(exp3, "load", unreachable)
    flags = ["--epochs", 1, "--activation", "relu", "--optimizer", "sgd", "--seed", 42]
    run(*flags, "--out", tmp_path)
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first == "note: NOT Fashion-MNIST: no network"
    assert last == f"note: {exp3.FALLBACK}" and len(last) <= 80 and "--data-dir" in last
    log = json.loads((tmp_path / "relu_sgd_none_lr0.01_seed42" / "training_log.json").read_text())
    assert "NOT Fashion-MNIST" in log["dataset"]["note"]


def test_a_diverged_run_is_reported_and_the_others_go_on(tmp_path, capsys):
    flags = "--dataset digits --epochs 2 --activation relu --optimizer sgd --seed 42".split()
    assert run(*flags, "--lr", 0.01, 1e8, "--out", tmp_path) == 0
    out = capsys.readouterr().out
    assert re.search(r"relu_sgd_none_lr100000000_seed42 \| Epoch +1/2 \| Loss: diverged", out)
    assert re.search(r"lr 100000000 +1 \(1 diverged\) +- +-", out)
    summary = (tmp_path / "relu_sgd_none_lr100000000_seed42" / "summary.json").read_text()
    assert json.loads(summary)["final_loss"] is None and "NaN" not in summary
    assert "epoch 1 step" in (tmp_path / "summary.csv").read_text()


BAD = [
    ("--activation", ["swish", "RELU", ""]),
    ("--optimizer", ["adagrad", "Adam", "0"]),
    ("--lr", ["0", "-1", "nan", "inf", "fast"]),
    ("--scheduler", ["linear", "None", "0.1"]),
    ("--seed", ["-1", "1.5", "x"]),
    ("--epochs", ["0", "-3", "2.5", "many"]),
    ("--batch-size", ["0", "-128", "1e3"]),
    ("--hidden", ["0", "-5", "256,128"]),
    ("--init", ["zeros", "He", "1"]),
    ("--dataset", ["mnist", "Fashion-MNIST", ""]),
    ("--device", ["cuda", "tpu", "0"]),
    ("--jobs", ["0", "-1", "all"]),
    ("--stack", ["0", "-2", "max"]),
    ("--checkpoint-every", ["0", "-5", "never"]),
    ("--data-dir", [str(Path("no/such/folder")), "setup.cfg", os.devnull]),
    ("--depth", ["0", "-1", "deep"]),
    ("--tune-seed", ["-1", "2.5", "x"]),
    ("--study", ["everything", ""]),
    ("--data-file", [str(Path("no/such.npz")), "setup.cfg"]),
    ("--colour", ["red"]),
]


@pytest.mark.parametrize("flag, value", [(f, v) for f, values in BAD for v in values])
def test_bad_input_is_one_sentence_exit_code_2_and_nothing_written(flag, value, tmp_path, capfd):
    out = tmp_path / "results"
    assert run(flag, value, "--out", out) == 2
    error = capfd.readouterr().err
    assert error.startswith("exp3.py: error: ") and error.count("\n") == 1
    assert value in error and "Traceback" not in error
    assert not out.exists()


@pytest.mark.parametrize(
    "name", ["a file", "a file/below", pytest.param("/dev/null/below", marks=posix)]
)
def test_an_out_that_cannot_be_written_is_refused_before_training(name, tmp_path, capfd):
    (tmp_path / "a file").write_text("precious")
    assert run("--dataset", "digits", "--out", tmp_path / name) == 2
    assert "cannot write to --out" in capfd.readouterr().err
    assert (tmp_path / "a file").read_text() == "precious"


def test_gpu_without_one_is_a_clear_error(tmp_path, capfd, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cupy", None)  # makes `import cupy` fail
    assert run("--dataset", "digits", "--device", "gpu", "--out", tmp_path / "o") == 2
    assert "no GPU to use: CuPy is not installed" in capfd.readouterr().err


@pytest.mark.parametrize("text", ["", "{", "[]", '{"experiment_id": 1}', "\x00\xff"])
def test_plot_only_names_a_damaged_log(text, tmp_path, capfd):
    folder = tmp_path / "relu_sgd_none_lr0.01_seed42"
    folder.mkdir()
    (folder / "training_log.json").write_text(text)
    assert run("--plot-only", "--out", tmp_path) == 2
    error = capfd.readouterr().err
    assert "relu_sgd_none_lr0.01_seed42" in error and error.count("\n") == 1


def test_plot_only_of_an_empty_directory_is_refused(tmp_path, capfd):
    assert run("--plot-only", "--out", tmp_path) == 2
    assert "holds no runs" in capfd.readouterr().err


def test_runs_of_other_data_or_length_stay_out_of_the_figures(lab, tmp_path, undrawn, capsys):
    shutil.copytree(lab.out, tmp_path / "o")
    (tmp_path / "o" / "sweep.json").unlink()
    path = tmp_path / "o" / "relu_sgd_none_lr0.01_seed42" / "training_log.json"
    stranger = json.loads(path.read_text())
    stranger["dataset"] |= {"name": "fashion-mnist", "checksum": "another"}
    seal(stranger)
    path.write_text(json.dumps(stranger))
    assert run("--plot-only", "--out", tmp_path / "o") == 0
    out = capsys.readouterr().out
    assert "other data, epochs or code: 1 of fashion-mnist, 2 epochs" in out
    assert "relu_sgd_none" not in out and len(undrawn[0].logs) == 3


def test_plot_only_of_another_version_s_logs_is_one_sentence(lab, tmp_path, capfd):
    shutil.copytree(lab.out, tmp_path / "o")
    path = tmp_path / "o" / "relu_sgd_none_lr0.01_seed42" / "training_log.json"
    log = json.loads(path.read_text())
    log["versions"]["nnlite"] = "0.2.0"
    del log["sha256"]
    path.write_text(json.dumps(log))
    assert run("--plot-only", "--out", tmp_path / "o") == 2
    error = capfd.readouterr().err
    assert "nnlite 0.2.0" in error and str(path) in error and error.count("\n") == 1


def test_help_is_shown_without_waiting_for_what_draws_and_concludes():
    code = "import sys, exp3; print({m.split('.')[0] for m in sys.modules} & set(sys.argv[1:]))"
    heavy = ["matplotlib", "scipy", "sklearn", "distributed", "pandas"]
    path = os.pathsep.join(map(str, (ROOT, ROOT / "experiments")))
    done = subprocess.run(
        [sys.executable, "-c", code, *heavy],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert done.stdout == "set()\n", done.stderr
