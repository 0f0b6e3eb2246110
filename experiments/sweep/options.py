"""The command line of exp3.py: what can be typed, what it means, and what is refused."""

import argparse
import contextlib
import itertools
import os
import re
import shlex
import subprocess
import sys
import tempfile
from argparse import ArgumentTypeError, Namespace
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from textwrap import fill
from urllib.parse import urlsplit

from nnlite import ACTIVATIONS, INITIALIZERS, OPTIMIZERS, SCHEDULERS, Config
from nnlite.backend import DEVICES
from nnlite.datasets import DATASETS
from nnlite.files import clear_leftovers
from sweep.studies import AXES, STUDIES, listing

RATES = ", ".join(f"{name} {o.default_learning_rate:g}" for name, o in OPTIMIZERS.items())
RATES = fill(RATES, 54, subsequent_indent=25 * " ")
HELP = f"""\
usage: python experiments/exp3.py [options]

Train an MLP with every combination of settings, and compare the results.

what to compare (one or more values each; every combination is trained):
  --activation NAME ...  of {", ".join(ACTIVATIONS)}
                         (default: relu sigmoid tanh)
  --optimizer NAME ...   of {", ".join(OPTIMIZERS)}
                         (default: sgd adam)
  --lr RATE ...          learning rates (default: each optimizer's usual rate:
                         {RATES})
  --scheduler NAME ...   of {", ".join(SCHEDULERS)} (default: none)
  --seed N ...           a seed decides the split, the initial weights and the
                         order of samples, for all runs alike
                         (default: 42 43 44)
  --batch-size N ...     samples per step (default: 128)
  --init NAME ...        initial weights, of {", ".join(INITIALIZERS)}
                         (default: uniform, as in the original sheet)
  --depth N ...          numbers of hidden layers; --hidden must then be one
                         number, the width of each layer
  --tune-seed N ...      first find the best learning rate of each combination
                         on these seeds; then train it at its best and at its
                         usual rate on the seeds of --seed
  --study NAME           use the flags that answer a question, and --out
                         results/NAME; flags typed beside it replace them.
                         --study list shows all questions and their flags

what all runs have in common:
  --epochs N             passes over the training data (default: 30)
  --hidden N ...         widths of the hidden layers (default: 256 128)
  --dataset NAME         of {", ".join(DATASETS)}; auto: Fashion-MNIST if
                         available, otherwise scikit-learn's digits
                         (default: auto)
  --data-dir DIR         folder with the four Fashion-MNIST files, .gz or
                         unpacked; the variable NNLITE_DATA does the same
  --data-file FILE       your own data: an .npz file with x_train, y_train,
                         x_test and y_test

how to run it:
  --device NAME          of {", ".join(DEVICES)}; numba: the CPU, with compiled
                         optimizers, whose numbers are the same; auto: the GPU
                         if CuPy is installed and finds one, else numba if it
                         is installed, else the CPU (default: auto)
  --jobs N               runs that train at the same time; the results are the
                         same (default: one for each core; 1 on a GPU)
  --stack N              train N runs that differ only in seed and learning
                         rate as one stack of networks (default: 1; on a GPU,
                         as many as fit into its memory)
  --checkpoint-every N   save the state of each run every N epochs, so that an
                         interrupted run goes on from there (default: 5; none
                         on a cluster)
  --cluster ADDRESS      train on the Dask cluster whose scheduler is at
                         tcp://host:port or tls://host:port; local starts one
                         here, with --jobs workers
  --restart              run everything again; what is finished in --out is kept
                         aside, as RUN.old1 or the next number that is free
  --out DIR              for logs, figures and report (default: results)
  --plot-only            train nothing; draw all figures and write the report
                         again, from the logs in --out
  --help                 show this text

examples:
  the original sheet's own run, three times over
      python experiments/exp3.py --activation relu --optimizer adam
  one variable at a time: the learning rate of sgd
      python experiments/exp3.py --optimizer sgd --lr 0.001 0.01 0.1
  each optimizer at its best learning rate, which is chosen on other seeds
      python experiments/exp3.py --tune-seed 1 2 --seed 42 43 44 45 46
  what studies there are
      python experiments/exp3.py --study list
  a first look in a few seconds, without a download
      python experiments/exp3.py --dataset digits --epochs 2
"""


# Values


def integer_from(least: int, most: int = 10**9) -> Callable[[str], int]:
    """Return a function that turns text into an integer, `least` to `most`."""

    def integer(text: str) -> int:
        # int() alone would read "1_2" as 12, and the digits of other scripts.
        if re.fullmatch("[0-9]{1,20}", text) and least <= (value := int(text)) <= most:
            return value
        raise ArgumentTypeError(f"{text!r:.60} is not an integer from {least} to {most}")

    return integer


positive_int = integer_from(1)
few = integer_from(1, 1000)
seed = integer_from(0, 2**53)  # above that, JavaScript would round it


def rate(text: str) -> float:
    """Return a learning rate, one that float32 can hold."""
    with contextlib.suppress(ValueError):
        if "_" not in text and text.isascii() and 1e-37 < (value := float(text)) < 1e37:
            return value
    raise ArgumentTypeError(f"{text!r:.60} is not a learning rate, a number from 1e-37 to 1e37")


def path(text: str) -> Path:
    """Return a path. An empty one is what a shell makes of a variable that is not set."""
    if not text:
        raise ArgumentTypeError("the name is empty")
    return Path(text)


def cluster(text: str) -> str:
    """Return the address of a cluster as it was typed."""
    with contextlib.suppress(ValueError):  # from .port, unless it is a number below 65536
        url = urlsplit(text)
        if url.scheme in ("tcp", "tls") and url.hostname and url.port and not url.path:
            return text
    if text == "local":
        return text
    raise ArgumentTypeError(f"{text!r} is neither local nor like tcp://host:8786")


# The command line


class Parser(argparse.ArgumentParser):
    """argparse, but an error is one sentence, without the usage text."""

    def error(self, message: str):
        message = " ".join(message.split())  # in one line, whatever was typed
        self.exit(2, f"{self.prog}: error: {message} (see --help)\n")


class LabParser(Parser):
    """The parser of exp3.py: HELP explains what is defined here."""

    def __init__(self):
        super().__init__(prog="exp3.py", allow_abbrev=False)
        self.several("--activation", ["relu", "sigmoid", "tanh"], choices=ACTIVATIONS)
        self.several("--optimizer", ["sgd", "adam"], choices=OPTIMIZERS)
        self.several("--lr", [], type=rate)
        self.several("--scheduler", ["none"], choices=SCHEDULERS)
        self.several("--seed", [42, 43, 44], type=seed)
        self.several("--batch-size", [128], type=positive_int)
        self.several("--init", ["uniform"], choices=INITIALIZERS)
        self.several("--depth", [], type=few)
        self.several("--tune-seed", [], type=seed)
        self.add_argument("--study", choices=[*STUDIES, "list"])

        self.add_argument("--epochs", type=integer_from(1, 10**6), default=30)
        self.several("--hidden", [256, 128], type=positive_int)
        self.add_argument("--dataset", choices=DATASETS, default="auto")
        self.add_argument("--data-dir", type=path)
        self.add_argument("--data-file", type=path)

        self.add_argument("--device", choices=DEVICES, default="auto")
        self.add_argument("--jobs", type=few)
        self.add_argument("--stack", type=positive_int)
        self.add_argument("--checkpoint-every", type=positive_int, default=5)
        self.add_argument("--cluster", type=cluster)
        self.add_argument("--restart", action="store_true")
        self.add_argument("--out", type=path, default=Path("results"))
        self.add_argument("--plot-only", action="store_true")

    def several(self, flag: str, default: list, **settings) -> None:
        """Add an option that takes one or more values."""
        self.add_argument(flag, nargs="+", default=default, **settings)

    def format_help(self) -> str:
        return HELP


def parse(argv: list[str] | None = None) -> Namespace:
    """Return the options that were typed, checked.

    Exits with one sentence and code 2 if something is wrong; `--study list` prints and exits.
    Beside the options the result has `command`, the command line itself.
    """
    argv = sys.argv[1:] if argv is None else argv
    parser = LabParser()
    if "--report-only" in argv:
        parser.error("argument --report-only: use --plot-only, which writes the report as well")
    # argparse would keep the last one in silence, but two seeds may be meant.
    for flag in (f"--{axis}" for axis in ("activation", "optimizer", "seed", "tune-seed")):
        if argv.count(flag) > 1:
            parser.error(f"argument {flag}: it is there twice; give it once, with all its values")
    options = parser.parse_args(argv)
    if options.study == "list":
        print(listing())
        parser.exit()
    if options.plot_only:
        for name, value in vars(options).items():
            if name not in ("plot_only", "out", "jobs", "study"):
                if value != parser.get_default(name):
                    flag = name.replace("_", "-")
                    parser.error(f"argument --plot-only: it trains nothing, so leave --{flag} out")
    if options.study:  # what is typed comes later, and so has the last word
        flags = STUDIES[options.study].flags
        options = parser.parse_args([*flags, "--out", f"results/{options.study}", *argv])
    try:
        check(options)
        grid(options)  # raises ValueError for what no run can have, such as a learning rate of 0
    except ValueError as error:
        parser.error(str(error))
    options.command = shell_command(["python", "experiments/exp3.py", *argv])
    return options


def shell_command(words: list[str]) -> str:
    """Return words as they are typed into a shell, in characters that can be shown and written."""
    if os.name == "nt":
        return subprocess.list2cmdline(words)

    def escaped(byte: int) -> str:
        return chr(byte) if 31 < byte < 127 and chr(byte) not in "'\\" else f"\\x{byte:02x}"

    return " ".join(
        shlex.quote(word)
        if word.isprintable()
        else "$'" + "".join(map(escaped, os.fsencode(word))) + "'"
        for word in words
    )


def check(options: Namespace) -> None:
    """Raise ValueError if options contradict each other."""
    for flag in (*AXES, "tune-seed"):
        for value, times in Counter(getattr(options, flag.replace("-", "_"))).items():
            if times > 1:
                raise ValueError(f"argument --{flag}: {value} is given {times} times")
    if options.depth and len(options.hidden) != 1:
        raise ValueError("argument --depth: give --hidden one number, the width of every layer")
    if options.tune_seed and options.lr:
        raise ValueError("argument --tune-seed: it finds the learning rates, so leave --lr out")
    if both := set(options.tune_seed) & set(options.seed):
        raise ValueError(f"argument --tune-seed: {min(both)} is in --seed too; use other seeds")
    if options.dataset == "digits" and options.data_dir:
        raise ValueError("argument --data-dir: it is for Fashion-MNIST, not for the digits")
    if options.data_file and (options.dataset != "auto" or options.data_dir):
        raise ValueError(
            "argument --data-file: it is your own data, so leave --dataset and --data-dir out"
        )


def check_writable(out: Path) -> None:
    """Raise ValueError unless files can be written in OUT, which is made if it does not exist."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
        clear_leftovers(out)
    except OSError as error:
        file = os.path.lexists(out) and not out.is_dir()  # or a pipe, or a link to nothing
        why = "it is a file, give a folder" if file else error.strerror
        raise ValueError(f"cannot write to --out {out} ({why})") from None


def grid(options: Namespace) -> list[Config]:
    """Return one configuration for each combination of the axes, seed by seed.

    So a sweep that is interrupted has whole grids to show.
    """
    hidden = tuple(options.hidden)
    axes = {
        "seed": options.seed,
        "activation": options.activation,
        "optimizer": options.optimizer,
        "learning_rate": options.lr or [None],
        "scheduler": options.scheduler,
        "batch_size": options.batch_size,
        "init": options.init,
        "hidden": [hidden * depth for depth in options.depth] or [hidden],
    }
    combinations = itertools.product(*axes.values())
    return [Config(epochs=options.epochs, **dict(zip(axes, values))) for values in combinations]
