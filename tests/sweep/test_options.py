"""sweep/options.py: what the command line means, and what it refuses."""

import re

import pytest

from nnlite import Config
from sweep.options import grid, parse
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
    ],
)
def test_options_that_contradict_each_other(flags, words, capfd):
    assert words in refusal(capfd, *flags.split())


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
        Config(activation, optimizer)
        for activation in ("relu", "sigmoid", "tanh")
        for optimizer in ("sgd", "adam")
    ]


def test_plot_only_of_a_study_is_in_its_folder():
    assert str(parse(["--plot-only", "--study", "depth"]).out) == "results/depth"


def test_the_command_can_be_typed_again():
    assert parse(["--out", "two words"]).command == "python experiments/exp3.py --out 'two words'"


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
