"""The command line of the lab, as a student uses it: what it writes, prints, and refuses."""

import csv
import json
import shlex
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

import exp3
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


def test_report_only_rebuilds_the_report_from_the_logs_alone(lab, monkeypatch, capsys):
    page = lab.out / "report.html"
    before = page.read_bytes()
    page.unlink()
    monkeypatch.setattr(exp3, "load", None)  # no data is needed
    assert run("--report-only", "--out", lab.out) == 0
    assert page.read_bytes() == before
    assert str(page) in capsys.readouterr().out


@pytest.mark.parametrize("only", ["--plot-only", "--report-only"])
def test_what_trains_nothing_takes_no_flags_of_training(only, lab, capfd):
    with pytest.raises(SystemExit, match="2"):
        run(only, "--out", lab.out, "--batch-size", 32)
    assert (
        f"argument {only}: it trains nothing, so leave --batch-size out" in capfd.readouterr().err
    )


def test_the_sweep_says_what_was_run(lab):
    sweep = json.loads((lab.out / "sweep.json").read_text())
    assert sweep["study"] is None and len(sweep["runs"]) == 4
    assert sweep["command"].startswith("python experiments/exp3.py --dataset digits --epochs 2 ")
    assert str(lab.out) in shlex.split(sweep["command"])  # quoted, as it has spaces in it


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"study": 1, "command": "", "runs": []}'])
def test_a_damaged_sweep_json_is_named(text, lab, tmp_path, capfd):
    shutil.copytree(lab.out, tmp_path / "results")
    (tmp_path / "results" / "sweep.json").write_text(text)
    assert run("--report-only", "--out", tmp_path / "results") == 2
    error = capfd.readouterr().err
    assert "sweep.json cannot be read" in error and error.count("\n") == 1


def test_conclusions_are_printed_and_kept(lab, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    run("--report-only", "--out", lab.out)
    text, shown = (lab.out / "conclusions.txt").read_text(), capsys.readouterr().out
    assert " ".join(text.split()) in " ".join(shown.split())
    conclusions = shown[shown.index("What was found") : shown.index("see ")]
    assert max(map(len, conclusions.splitlines())) <= 60
    assert "One seed decides nothing" in text


# ---- studies


def test_study_list_names_all_of_them_and_their_flags(capsys):
    with pytest.raises(SystemExit, match="0"):
        run("--study", "list")
    out = capsys.readouterr().out
    for name, study in exp3.STUDIES.items():
        assert f"{name}: {study.question}" in out and " ".join(study.flags) in out


@pytest.mark.parametrize("name", exp3.STUDIES)
def test_a_study_is_its_flags_and_those_typed_beside_it_win(name):
    flags = exp3.STUDIES[name].flags
    by_name = exp3.parse(["--study", name])
    typed = exp3.parse([*flags, "--out", f"results/{name}"])
    different = {"study", "command"}
    assert all(v == vars(typed)[k] for k, v in vars(by_name).items() if k not in different)
    changed = exp3.parse(["--epochs", "7", "--study", name, "--out", "o"])
    assert (changed.epochs, str(changed.out)) == (7, "o")


def test_depth_batch_size_and_initialization_are_axes(tmp_path):
    assert run("--dataset", "digits", "--epochs", 1, "--activation", "relu", "--optimizer", "sgd",
               "--hidden", 8, "--depth", 1, 3, "--batch-size", 64, 128, "--init", "uniform", "he",
               "--out", tmp_path) == 0  # fmt: skip
    start = "relu_sgd_none_lr0.01"
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {
        f"{start}{batch}{init}_hidden{hidden}_seed42"
        for batch in ("", "_batch64") for init in ("", "_init-he") for hidden in ("8", "8x3")
    }  # fmt: skip
    log = json.loads((tmp_path / f"{start}_batch64_hidden8x3_seed42/training_log.json").read_text())
    assert log["config"]["hidden"] == [8, 8, 8] and log["config"]["batch_size"] == 64
    assert log["steps_per_epoch"] == 22  # 1350 images


def test_a_tuning_finds_rates_and_uses_them_on_fresh_seeds(tmp_path, monkeypatch):
    """With scores of our own, so that the best rate lies beyond the edge, and one diverges."""
    trained = []

    def train_grid(args, configs, *_):
        trained.append(configs)
        return [{"experiment_id": c.run_id, "rate": c.learning_rate} for c in configs], 0, []

    def score(logs):
        (rate,) = {log["rate"] for log in logs}
        return None if rate > 50 else 90 + rate  # the larger the better, and too large is too large

    monkeypatch.setattr(exp3, "train_grid", train_grid)
    monkeypatch.setattr(exp3, "score", score)
    args = exp3.parse(["--activation", "relu", "--optimizer", "sgd", "--dataset", "digits",
                       "--tune-seed", "1", "2", "--seed", "8", "9"])  # fmt: skip
    data = datasets.load("digits")
    logs, code, last_words = exp3.train_sweep(args, data, None, None)
    rates = [sorted({c.learning_rate for c in configs}) for configs in trained]
    first = [0.000316, 0.001, 0.00316, 0.01, 0.0316, 0.1, 0.316]
    assert rates == [first, [1.0], [3.16], [10.0], [31.6], [0.01, 31.6]]  # 4 extensions, no more
    assert all({c.seed for c in configs} == {1, 2} for configs in trained[:-1])
    assert {c.seed for c in trained[-1]} == {8, 9}
    assert len(logs) == sum(map(len, trained)) and code == 0 and last_words == []


def test_an_interrupted_tuning_ends_with_what_there_is(monkeypatch):
    monkeypatch.setattr(exp3, "train_grid", lambda *_: (["a log"], 130, ["words"]))
    args = exp3.parse(["--tune-seed", "1", "--dataset", "digits"])
    assert exp3.train_sweep(args, datasets.load("digits"), None, None) == (
        ["a log"],
        130,
        ["words"],
    )


def test_tuning_seeds_are_others_and_rates_are_not_given(capfd):
    for flags, words in [
        (["--tune-seed", "1", "42"], "42 is in --seed too"),
        (["--tune-seed", "1", "--lr", "0.1"], "leave --lr out"),
        (["--depth", "2"], "give --hidden one number"),
    ]:
        with pytest.raises(SystemExit, match="2"):
            exp3.parse(flags)
        assert words in capfd.readouterr().err


def test_other_data_from_a_file(tmp_path, capsys):
    random = np.random.default_rng(0)
    x, y = random.normal(size=(300, 6)), np.arange(300) % 3
    x[:, 0] += 4 * y  # easy to tell apart
    np.savez(tmp_path / "mine.npz", x_train=x[:200], y_train=y[:200], x_test=x[200:],
             y_test=y[200:])  # fmt: skip
    flags = ["--data-file", tmp_path / "mine.npz", "--activation", "tanh", "--optimizer", "adam"]
    assert run(*flags, "--epochs", 20, "--batch-size", 16, "--out", tmp_path / "o") == 0
    out = capsys.readouterr().out
    assert "mine (200 images" in out and "6 - 256 - 128 - 3" in out
    folder = tmp_path / "o" / "tanh_adam_none_lr0.001_batch16_seed42"
    assert json.loads((folder / "summary.json").read_text())["test_accuracy"] > 80
    for more in (["--dataset", "digits"], ["--data-dir", "."]):
        assert run(*flags, *more) == 2
        assert "leave --dataset and --data-dir out" in capsys.readouterr().err


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
    ("--depth", ["0", "-1", "deep"]),
    ("--tune-seed", ["-1", "2.5", "x"]),
    ("--study", ["everything", ""]),
    ("--data-file", ["no/such.npz", "setup.cfg"]),
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
    stranger["dataset"] |= {"name": "fashion-mnist", "checksum": "another"}
    assert exp3.comparable([*logs, stranger]) == logs
    out = capsys.readouterr().out
    assert "other data or epochs: 1 of fashion-mnist, 2 epochs" in out


def test_help_explains_every_flag_with_examples(capsys):
    with pytest.raises(SystemExit, match="0"):
        run("--help")
    text = " ".join(capsys.readouterr().out.split())
    for flag in [flag for flag, _ in BAD[:-1]] + ["--out", "--plot-only", "--restart", "examples:"]:
        assert flag in text
    assert "sgd 0.01" in text and "adam 0.001" in text
