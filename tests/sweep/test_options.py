"""sweep/options.py: what the command line means, and what it refuses."""

import os
import re
import subprocess

import pytest

from conftest import posix
from nnlite import Config
from sweep.options import check_writable, grid, parse
from sweep.studies import STUDIES


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_is_its_flags_and_those_typed_beside_it_win(name):
    flags = STUDIES[name].flags
    by_name = parse(["--study", name])
    typed = parse([*flags, "--out", f"results/{name}"])
    different = {"study", "command"}
    assert all(v == vars(typed)[k] for k, v in vars(by_name).items() if k not in different)
    changed = parse(["--epochs", "7", "--study", name, "--out", "o"])
    assert (changed.epochs, str(changed.out)) == (7, "o")


def refusal(capfd, *words):
    """The sentence with which a command line is refused."""
    with pytest.raises(SystemExit, match="2"):
        parse(list(words))
    error = capfd.readouterr().err
    assert error.startswith("exp3.py: error: ") and error.count("\n") == 1
    return error


@pytest.mark.parametrize(
    "flags, words",
    [
        ("--tune-seed 1 42", "42 is in --seed too"),
        ("--tune-seed 1 --lr 0.1", "leave --lr out"),
        ("--depth 2", "give --hidden one number"),
        ("--seed 1 2 1", "argument --seed: 1 is given 2 times"),
        ("--study depth --depth 2 2", "argument --depth: 2 is given 2 times"),
        ("--dataset digits --data-dir .", "it is for Fashion-MNIST, not for the digits"),
        ("--data-file x.npz --dataset digits", "leave --dataset and --data-dir out"),
        ("--data-file x.npz --data-dir .", "leave --dataset and --data-dir out"),
        ("--plot-only --restart", "argument --plot-only: it trains nothing, so leave --restart"),
        ("--plot-only --study depth --seed 1", "so leave --seed out"),
        ("--report-only", "use --plot-only"),
        ("--seed 1 --lr 1 --seed 2", "argument --seed: it is there twice"),
        ("--optimizer sgd --optimizer adam", "argument --optimizer: it is there twice"),
    ],
)
def test_options_that_contradict_each_other(flags, words, capfd):
    assert words in refusal(capfd, *flags.split())


INTEGERS = ["--seed", "--tune-seed", "--epochs", "--batch-size", "--hidden", "--depth", "--jobs",
            "--stack", "--checkpoint-every"]  # fmt: skip
ODD = ["1_2", "١٢", "１２", "-0", "+5", " 5", "1.0", "1e3", "0x10", "10**9", "inf", "9" * 30, ""]


@pytest.mark.parametrize("flag", INTEGERS)
def test_an_integer_is_digits_and_no_larger_than_can_be_meant(flag, capfd):
    for value in ODD:
        assert f"{value!r:.40}" in refusal(capfd, flag, value)
    most = int(refusal(capfd, flag, "9" * 20).split("to ")[1].split()[0])
    parse(["--hidden", "8", *([] if flag == "--hidden" else [flag, str(min(most, 1000))])])
    refusal(capfd, flag, str(most + 1))


@pytest.mark.parametrize("value", [*ODD[:3], "nan", "-inf", "1e400", "1e39", "1e-320", "-0.0", ""])
def test_a_learning_rate_is_a_number_that_float32_can_hold(value, capfd):
    assert f"{value!r} is not a learning rate" in refusal(capfd, f"--lr={value}")


@pytest.mark.parametrize("flag", ["--out", "--data-dir", "--data-file"])
def test_an_empty_name_is_refused_not_ignored(flag, capfd):
    assert "the name is empty" in refusal(capfd, flag, "")


def test_an_error_is_one_line_whatever_was_typed(capfd):
    assert "unrecognized arguments: a b" in refusal(capfd, "--out", "o", "a\nb")


def test_the_grid_is_every_combination():
    options = parse(
        "--activation relu tanh --optimizer sgd --lr 0.1 1 --seed 3 --hidden 8 "
        "--depth 1 2 --epochs 2".split()
    )
    assert grid(options) == [
        Config(activation, "sgd", rate, seed=3, epochs=2, hidden=hidden)
        for activation in ("relu", "tanh")
        for rate in (0.1, 1)
        for hidden in ((8,), (8, 8))
    ]
    assert grid(parse([])) == [
        Config(activation, optimizer, seed=seed)
        for seed in (42, 43, 44)
        for activation in ("relu", "sigmoid", "tanh")
        for optimizer in ("sgd", "adam")
    ]


def test_plot_only_of_a_study_is_in_its_folder():
    assert str(parse(["--plot-only", "--study", "depth"]).out) == "results/depth"


def test_the_command_can_be_typed_again():
    assert parse(["--out", "two words"]).command == "python experiments/exp3.py --out 'two words'"


@posix
@pytest.mark.parametrize(
    "name", [b"\xfc", b"a\nb", b"it's \x1b[31m\\", "mü".encode(), b"\xe2\x80\xae"]
)
def test_the_command_has_characters_that_can_be_shown_and_means_the_same_to_a_shell(name):
    command = parse(["--out", os.fsdecode(name)]).command
    assert command.isprintable()
    words = ["bash", "-c", f"printf %s {command.split('--out ')[1]}"]
    assert subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout == name


@pytest.mark.parametrize("name", ["file", "file/below", "long" * 100])
def test_an_out_that_can_be_no_folder_is_refused(name, tmp_path):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(ValueError, match="cannot write to --out"):
        check_writable(tmp_path / name)
    assert (tmp_path / "file").read_text() == "precious"


@posix
@pytest.mark.parametrize("name", ["link", "pipe"])
def test_an_out_that_is_a_pipe_or_leads_nowhere_is_refused(name, tmp_path):
    (tmp_path / "link").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="cannot write to --out"):
        check_writable(tmp_path / name)


def test_help_explains_every_flag_and_its_default(capsys):
    with pytest.raises(SystemExit, match="0"):
        parse(["--help"])
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    explained = dict(re.findall(r"^  --(\S+) +(.*?)(?=^  --|^$)", text, re.M | re.S))
    explained = {flag: " ".join(words.split()) for flag, words in explained.items()}
    options = vars(parse([]))
    del options["command"]
    assert set(explained) == {name.replace("_", "-") for name in options} | {"help"}
    for name, default in options.items():
        if default not in (None, [], False):
            shown = " ".join(map(str, default)) if isinstance(default, list) else str(default)
            assert re.search(rf"\(default: {shown}\b", explained[name.replace("_", "-")]), name
    assert "sgd 0.01" in explained["lr"] and "adam 0.001" in explained["lr"]
    assert "examples:" in text
