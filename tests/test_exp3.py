"""The command line of the lab, as a student uses it: what it writes, prints, and refuses."""

import csv
import json
from types import SimpleNamespace

import exp3
import pytest

from nnlite import datasets

GRID_FIGURES = ["accuracy_curves", "activations", "comparison_grid", "gradient_flow", "loss_curves"]


def run(*arguments: object) -> int:
    return exp3.main([str(a) for a in arguments])


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """One small sweep, looked at by several tests: 2 activations x 2 optimizers on the digits."""
    out = tmp_path_factory.mktemp("lab with spaces") / "results"
    common = ["--dataset", "digits", "--epochs", 2, "--activation", "relu", "tanh", "--jobs", 2]
    assert run(*common, "--out", out) == 0
    return SimpleNamespace(out=out, common=common)


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
        assert figures == {"loss_accuracy", "gradient_flow"} | relu_only


def test_the_grid_has_its_figures_and_one_row_a_run(lab):
    assert sorted(path.stem for path in lab.out.glob("*.png")) == GRID_FIGURES
    rows = list(csv.DictReader((lab.out / "summary.csv").open()))
    assert [row["experiment_id"] for row in rows] == sorted(
        f"{a}_{o}_seed42"
        for a in ("relu", "tanh")
        for o in ("sgd_none_lr0.01", "adam_none_lr0.001")
    )
    assert not list(lab.out.rglob("*.tmp"))


def test_same_command_gives_the_same_logs_for_any_number_of_jobs(lab, tmp_path):
    assert run(*lab.common[:-1], 1, "--out", tmp_path) == 0
    for path in lab.out.glob("*/training_log.json"):
        first = json.loads(path.read_text())
        again = json.loads((tmp_path / path.parent.name / path.name).read_text())
        first.pop("epoch_time"), again.pop("epoch_time")
        assert first == again


def test_plot_only_redraws_from_the_logs_alone(lab, monkeypatch):
    pictures = {path: path.read_bytes() for path in lab.out.rglob("*.png")}
    for path in pictures:
        path.unlink()
    monkeypatch.setattr(exp3, "load", None)  # no data is needed
    assert run("--plot-only", "--out", lab.out) == 0
    assert {path: path.read_bytes() for path in lab.out.rglob("*.png")} == pictures


def test_output_shows_the_setup_a_line_an_epoch_and_the_table(tmp_path, capsys):
    run("--dataset", "digits", "--epochs", 1, "--activation", "elu", "--optimizer", "rmsprop",
        "--scheduler", "cosine", "--seed", 1, 2, "--device", "cpu", "--out", tmp_path)  # fmt: skip
    out = capsys.readouterr().out
    assert "rmsprop at 0.001" in out and "CPU (NumPy" in out and "scikit-learn" in out
    assert out.count("| Epoch  1/1 | Loss: ") == 2
    assert "elu_rmsprop_cosine_lr0.001_seed2" in out.split("best val acc")[1]
    assert (tmp_path / "elu_rmsprop_cosine_lr0.001_seed1" / "learning_rate.png").exists()


def test_fallback_to_digits_is_shouted_at_the_start_and_at_the_end(tmp_path, capsys, monkeypatch):
    def unreachable(name, data_dir, progress):
        digits = datasets.load("digits")
        return datasets.Dataset(**{**vars(digits), "note": "This is NOT Fashion-MNIST"})

    monkeypatch.setattr(exp3, "load", unreachable)
    run("--epochs", 1, "--activation", "relu", "--optimizer", "sgd", "--out", tmp_path)
    out = capsys.readouterr().out
    assert out.index("NOT Fashion-MNIST") < out.index("Epoch") < out.rindex("NOT Fashion-MNIST")
    log = json.loads((tmp_path / "relu_sgd_none_lr0.01_seed42" / "training_log.json").read_text())
    assert "NOT Fashion-MNIST" in log["dataset"]["note"]


def test_a_diverged_run_is_reported_and_the_others_go_on(tmp_path, capsys):
    assert run("--dataset", "digits", "--epochs", 2, "--activation", "relu", "--optimizer", "sgd",
               "--lr", 0.01, 1e8, "--out", tmp_path) == 0  # fmt: skip
    out = capsys.readouterr().out
    assert "relu_sgd_none_lr100000000_seed42  diverged in epoch 1" in out
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
    ("--data-dir", ["no/such/folder", "setup.cfg", "/dev/null"]),
    ("--colour", ["red"]),
]


@pytest.mark.parametrize("flag, value", [(f, v) for f, values in BAD for v in values])
def test_bad_input_is_one_sentence_exit_code_2_and_nothing_written(flag, value, tmp_path, capfd):
    out = tmp_path / "results"
    try:
        code = run(flag, value, "--out", out)
    except SystemExit as stop:
        code = stop.code
    error = capfd.readouterr().err
    assert code == 2
    assert error.startswith("exp3.py: error: ") and error.count("\n") == 1
    assert value in error and "Traceback" not in error
    assert not out.exists()


@pytest.mark.parametrize("name", ["a file", "a file/below", "/dev/null/below"])
def test_an_out_that_cannot_be_written_is_refused_before_training(name, tmp_path, capfd):
    (tmp_path / "a file").write_text("precious")
    assert run("--dataset", "digits", "--out", tmp_path / name) == 2
    assert "cannot write to --out" in capfd.readouterr().err
    assert (tmp_path / "a file").read_text() == "precious"


def test_a_value_given_twice_is_refused(tmp_path, capfd):
    with pytest.raises(SystemExit, match="2"):
        run("--seed", 1, 2, 1, "--out", tmp_path)
    assert "argument --seed: 1 is given 2 times" in capfd.readouterr().err


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


def test_runs_of_other_data_or_length_stay_out_of_the_figures(lab, capsys):
    logs = exp3.results.load_logs(lab.out)
    stranger = json.loads(json.dumps(logs[0]))
    stranger["dataset"]["name"] = "fashion-mnist"
    assert exp3.comparable([*logs, stranger]) == logs
    out = capsys.readouterr().out
    assert "not in the figures of the whole grid: 1 runs of fashion-mnist" in out


def test_help_explains_every_flag_with_examples(capsys):
    with pytest.raises(SystemExit, match="0"):
        run("--help")
    text = " ".join(capsys.readouterr().out.split())
    for flag in [flag for flag, _ in BAD[:-1]] + ["--out", "--plot-only", "--restart", "examples:"]:
        assert flag in text
    assert "sgd 0.01" in text and "adam 0.001" in text
