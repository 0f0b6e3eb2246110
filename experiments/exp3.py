"""The lab: train one MLP with every combination of activation and optimizer, and compare.

python experiments/exp3.py --help
"""

import argparse
import contextlib
import itertools
import math
import os
import shlex
import shutil
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import joblib

from nnlite import ACTIVATIONS, INITIALIZERS, OPTIMIZERS, SCHEDULERS, Config, select_device
from nnlite.backend import DEVICES, Device
from nnlite.datasets import DATASETS, Dataset, load, load_file
from nnlite.files import write_text
from nnlite.training.config import hidden_name
from sweep import results
from sweep.studies import AXES, STUDIES, listing, plural
from sweep.tuning import best_rate, first_rates, next_rate, score
from sweep.workers import checkpoint_path, connect, run_all, run_on_cluster, stack_size, stacks

RATES = ", ".join(f"{name} {o.default_learning_rate:g}" for name, o in OPTIMIZERS.items())

MANY_RUNS = 200  # with more than that, figures of single runs would take longer than a look at them

EXAMPLES = """\
examples:
  the lab's grid: relu, sigmoid, tanh by sgd, adam; half a minute a run on one core
      python experiments/exp3.py
  the lab sheet's own run, three times over
      python experiments/exp3.py --activation relu --optimizer adam --seed 42 43 44
  one variable at a time: the learning rate of sgd
      python experiments/exp3.py --activation relu --optimizer sgd --lr 0.001 0.01 0.1
  a study, a question with the flags that answer it; and what studies there are
      python experiments/exp3.py --study depth
      python experiments/exp3.py --study list
  each optimizer at the rate that is best for it, chosen on other seeds
      python experiments/exp3.py --activation relu --tune-seed 1 2 --seed 42 43 44 45 46
  a first look in a few seconds, without any download
      python experiments/exp3.py --dataset digits --epochs 2
  the runs on the workers of a Dask cluster, the results here
      python experiments/exp3.py --cluster tcp://host:8786
  the figures or the report again, from the logs
      python experiments/exp3.py --plot-only
      python experiments/exp3.py --report-only
"""


def integer_from(least: int) -> Callable[[str], int]:
    """Return a function for argparse that turns text into an integer, `least` or above."""

    def integer(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not an integer, {least} or above")
        return value

    return integer


positive_int = integer_from(1)


def positive_float(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def cluster(text: str) -> str:
    with contextlib.suppress(ValueError):  # from .port, unless it is a number below 65536
        url = urlsplit(text)
        address = url.scheme in ("tcp", "tls") and url.hostname and url.port and not url.path
        if text == "local" or address:
            return text
    raise argparse.ArgumentTypeError(f"{text!r} is neither local nor like tcp://host:8786")


class Parser(argparse.ArgumentParser):
    """argparse, with one sentence and no usage text when an argument is wrong."""

    def error(self, message: str):
        self.exit(2, f"{self.prog}: error: {message} (see --help)\n")


def parse(argv: list[str] | None) -> argparse.Namespace:
    # fmt: off
    parser = Parser(
        prog="exp3.py",
        description=__doc__.splitlines()[0],
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    axes = parser.add_argument_group(
        "what to compare", "each takes one or more values; the grid is every combination of them"
    )
    axes.add_argument("--activation", nargs="+", choices=ACTIVATIONS, metavar="NAME",
                      default=["relu", "sigmoid", "tanh"],
                      help=f"of {', '.join(ACTIVATIONS)} (default: relu sigmoid tanh)")
    axes.add_argument("--optimizer", nargs="+", choices=OPTIMIZERS, metavar="NAME",
                      default=["sgd", "adam"],
                      help=f"of {', '.join(OPTIMIZERS)} (default: sgd adam)")
    axes.add_argument("--lr", nargs="+", type=positive_float, metavar="RATE",
                      help=f"learning rates (default: each optimizer's customary one: {RATES})")
    axes.add_argument("--scheduler", nargs="+", choices=SCHEDULERS, metavar="NAME",
                      default=["none"], help=f"of {', '.join(SCHEDULERS)} (default: none)")
    axes.add_argument("--seed", nargs="+", type=integer_from(0), metavar="N", default=[42],
                      help="each seed has its own split, initial weights and order of samples; "
                      "runs that share a seed share these (default: 42)")
    axes.add_argument("--batch-size", nargs="+", type=positive_int, default=[128], metavar="N",
                      help="samples per step (default: 128)")
    axes.add_argument("--init", nargs="+", choices=INITIALIZERS, metavar="NAME",
                      default=["uniform"],
                      help=f"initial weights, of {', '.join(INITIALIZERS)}; uniform is the lab "
                      "sheet's (default: uniform)")
    axes.add_argument("--depth", nargs="+", type=positive_int, metavar="N",
                      help="numbers of hidden layers, each as wide as the one number that --hidden "
                      "has then")
    axes.add_argument("--tune-seed", nargs="+", type=integer_from(0), metavar="N", default=[],
                      help="first find the best learning rate of every combination, on these "
                      "seeds; then run it at that and at the customary rate, on those of --seed")
    axes.add_argument("--study", choices=[*STUDIES, "list"], metavar="NAME",
                      help=f"of {', '.join(STUDIES)}: set the flags that answer its question, and "
                      "--out results/NAME; other flags beside it change them. list shows them all")
    same = parser.add_argument_group("what all runs have in common")
    same.add_argument("--epochs", type=positive_int, default=30, metavar="N",
                      help="passes over the training data (default: 30)")
    same.add_argument("--hidden", nargs="+", type=positive_int, default=[256, 128], metavar="N",
                      help="widths of the hidden layers (default: 256 128)")
    same.add_argument("--dataset", choices=DATASETS, default="auto",
                      help="auto: Fashion-MNIST if it can be had, otherwise scikit-learn's digits "
                      "(default: auto)")
    same.add_argument("--data-dir", metavar="DIR",
                      help="folder with the four Fashion-MNIST files, .gz or unpacked; the "
                      "variable NNLITE_DATA does the same")
    same.add_argument("--data-file", metavar="FILE",
                      help="other data: an .npz file with x_train, y_train, x_test and y_test")
    how = parser.add_argument_group("how to run it")
    how.add_argument("--device", choices=DEVICES, default="auto",
                     help="auto: the GPU if CuPy is installed and one answers; numba: the CPU, "
                     "optimizers compiled (default: auto)")
    how.add_argument("--jobs", type=positive_int, metavar="N",
                     help="runs at the same time; the results are the same for any number "
                     "(default: the cores available; 1 on a GPU)")
    how.add_argument("--stack", type=positive_int, metavar="N",
                     help="runs that differ only in seed and learning rate, trained at once as one "
                     "stack of networks (default: 1; on a GPU, as many as its memory holds)")
    how.add_argument("--checkpoint-every", type=positive_int, default=5, metavar="N",
                     help="save the state of each run every N epochs, to go on from there if it is "
                     "interrupted (default: 5; none on a cluster)")
    how.add_argument("--cluster", type=cluster, metavar="ADDRESS",
                     help="run on the Dask cluster whose scheduler is at tcp://host:port or "
                     "tls://host:port, or on one started here: local, with --jobs workers")
    how.add_argument("--restart", action="store_true",
                     help="run everything again, also what is finished already in --out")
    how.add_argument("--out", type=Path, default=Path("results"), metavar="DIR",
                     help="where logs and figures go (default: results)")
    how.add_argument("--plot-only", action="store_true",
                     help="train nothing; draw the figures from the logs in --out")
    how.add_argument("--report-only", action="store_true",
                     help="train nothing; write report.html from the logs in --out")
    # fmt: on
    argv = sys.argv[1:] if argv is None else argv
    args = parser.parse_args(argv)
    if args.study == "list":
        print(listing())
        parser.exit()
    if args.study:  # what is typed comes later, and so has the last word
        args = parser.parse_args(
            [*STUDIES[args.study].flags, "--out", f"results/{args.study}", *argv]
        )
    for flag in (*AXES, "tune-seed"):
        for value, times in Counter(getattr(args, flag.replace("-", "_")) or []).items():
            if times > 1:
                parser.error(f"argument --{flag}: {value} is given {times} times")
    if args.depth and len(args.hidden) != 1:
        parser.error("argument --depth: give --hidden one number, the width of every layer")
    if args.tune_seed and args.lr:
        parser.error("argument --tune-seed: it finds the learning rates; leave --lr out")
    if both := set(args.tune_seed) & set(args.seed):
        parser.error(f"argument --tune-seed: {min(both)} is in --seed too; choose other seeds")
    if args.plot_only or args.report_only:
        only = "--plot-only" if args.plot_only else "--report-only"
        defaults = vars(parser.parse_args([]))
        beside = {"plot_only", "report_only", "out", "jobs", "study"}
        for name, value in vars(parser.parse_args(argv)).items():
            if value != defaults[name] and name not in beside:
                flag = name.replace("_", "-")
                parser.error(f"argument {only}: it trains nothing, so leave --{flag} out")
    join = subprocess.list2cmdline if os.name == "nt" else shlex.join  # as the shell there quotes
    args.command = join(["python", "experiments/exp3.py", *argv])
    return args


def grid(args: argparse.Namespace) -> list[Config]:
    """Return one configuration for each combination of the axes."""
    hidden = [tuple(args.hidden)]
    if args.depth:
        hidden = [tuple(args.hidden) * depth for depth in args.depth]
    return [
        Config(activation, optimizer, rate, scheduler, seed, args.epochs, batch_size, init, widths)
        for seed, activation, optimizer, rate, scheduler, batch_size, init, widths in
        itertools.product(
            args.seed, args.activation, args.optimizer, args.lr or [None], args.scheduler,
            args.batch_size, args.init, hidden,
        )
    ]  # fmt: skip


def check_writable(out: Path) -> None:
    """Raise ValueError unless files can be written in OUT, which is made if it does not exist."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_text(out / ".writable", "")
        (out / ".writable").unlink()
    except OSError as error:
        why = "it is a file, give a folder" if out.is_file() else error.strerror
        raise ValueError(f"cannot write to --out {out} ({why})") from None


def announce(configs: list[Config], data: Dataset, device: str, where: str, out: Path) -> None:
    """Say what is about to run."""

    def each(name: str, text: Callable = str) -> str:
        return ", ".join(dict.fromkeys(text(getattr(c, name)) for c in configs))

    rates: dict[str, dict] = {}
    for c in configs:
        rates.setdefault(c.optimizer, {})[f"{c.learning_rate:g}"] = None
    ends = [f"{data.x_train.shape[1]} - ", f" - {len(data.classes)}"]
    lines = {
        "Dataset": f"{data.name} ({len(data.x_train):,} images to train and validate on, "
        f"{len(data.x_test):,} to test on; from {data.source})",
        "Network": f"{each('hidden', lambda h: hidden_name(h).replace('-', ' - ').join(ends))}; "
        f"initial weights: {each('init')}",
        "Activations": each("activation"),
        "Optimizers": "; ".join(f"{name} at {', '.join(r)}" for name, r in rates.items()),
        "Schedules": each("scheduler"),
        "Seeds": each("seed"),
        "Training": f"{plural(configs[0].epochs, 'epoch')}, batches of {each('batch_size')}",
        "Device": device,
        "Runs": f"{len(configs)}, {where}, into {out}",
    }
    for name, text in lines.items():
        print(f"{name + ':':<13}{text}")
    print(flush=True)


def draw(logs: list[dict], own: list[dict], sweep: dict, args: argparse.Namespace) -> int:
    """Write the report of the sweep's own logs, and draw the figures of all, several at a time.

    Returns how many figures that made.
    """

    # Each imports what it needs: only the processes that draw have to wait for matplotlib.
    def page() -> int:
        from report.page import write_report

        write_report(own, args.out, sweep)
        return 0

    def run(log: dict) -> int:
        from figures.inside import run_diagnostics
        from figures.style import run_figures, save

        return len(save(run_figures(log) | run_diagnostics(log), args.out / log["experiment_id"]))

    def whole_grid() -> int:
        from figures.inside import grid_diagnostics
        from figures.style import grid_figures, save
        from findings.comparisons import to_show

        compared = to_show(logs, sweep["tune_seeds"])
        return len(save(grid_figures(compared) | grid_diagnostics(compared), args.out))

    def study() -> int:
        from figures.study import study_figures
        from figures.style import save

        return len(save(study_figures(sweep["study"], own, sweep["tune_seeds"]), args.out))

    tasks = [joblib.delayed(page)()]
    if not args.report_only:
        tasks += [joblib.delayed(whole_grid)(), joblib.delayed(study)()]
        if len(logs) <= MANY_RUNS or args.plot_only:
            tasks += [joblib.delayed(run)(log) for log in logs]
        else:
            print(f"no figures for each of the {len(logs)} runs; --plot-only draws them")
    jobs = min(args.jobs or joblib.cpu_count(), len(tasks))
    return sum(joblib.Parallel(n_jobs=jobs)(tasks))


def print_summary(logs: list[dict]) -> None:
    """Print the table that ends the output, one line a run."""
    width = max(len(log["experiment_id"]) for log in logs)
    head = f"{'run':<{width}}  final loss  best val acc  test acc  s/epoch"
    print(f"\n{head}\n{'-' * len(head)}")
    for log in logs:
        s = results.summarize(log)
        if s["diverged"]:
            print(f"{s['experiment_id']:<{width}}  diverged in epoch {s['diverged']['epoch']}, "
                  f"step {s['diverged']['step']}")  # fmt: skip
            continue
        print(f"{s['experiment_id']:<{width}}  {s['final_loss']:10.4f}"
              f"  {s['best_val_accuracy']:10.2f} %  {s['test_accuracy']:6.2f} %"
              f"  {s['avg_epoch_time']:7.2f}")  # fmt: skip


def conclusions_text(conclusions: dict[str, list[str]], width: int) -> str:
    """Lay out what follows from the runs, and what does not, in lines of at most `width`."""
    lines = []
    for heading, key in (("What was found", "found"), ("What it does not show", "not_shown")):
        lines += [heading]
        for sentence in conclusions[key]:
            lines += [textwrap.fill(f"- {sentence}", width, subsequent_indent="  ")]
        lines += [""]
    return "\n".join(lines)


def shout(note: str) -> None:
    """Make sure that a fallback to other data is not overlooked."""
    if note:
        print(f"\n{'!' * 78}\n{note}\n{'!' * 78}\n", flush=True)


def comparable(logs: list[dict]) -> list[dict]:
    """Return the logs that share data and number of epochs with the largest group of them.

    A directory may hold runs of several sweeps; digits must not be compared with fashion.
    """

    def setting(log: dict) -> tuple:
        return log["dataset"]["checksum"], log["dataset"]["name"], log["config"]["epochs"]

    groups = Counter(map(setting, logs)).most_common()
    for (_, name, epochs), count in groups[1:]:
        length = plural(epochs, "epoch")
        print(f"left out, as most have other data or epochs: {count} of {name}, {length}")
    return [log for log in logs if setting(log) == groups[0][0]]


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    started = time.perf_counter()
    try:
        try:
            prepared = prepare(args)
        except (ValueError, RuntimeError) as error:
            print(f"exp3.py: error: {error}", file=sys.stderr)
            return 2
        if args.plot_only or args.report_only:
            show(*prepared, args, started)
            return 0
        logs, code, last_words = train_sweep(args, *prepared)
        if logs:
            sweep = {
                "study": args.study,
                "command": args.command,
                "tune_seeds": args.tune_seed,
                "runs": [log["experiment_id"] for log in logs],
            }
            results.write_json(args.out / results.SWEEP, sweep)
            show(logs, sweep, args, started)
        for line in last_words:
            print(line, file=sys.stderr)
        return code
    except KeyboardInterrupt:
        print("\ninterrupted; what is finished is saved")
        return 130
    except (OSError, ValueError) as error:
        why = f"cannot write to {error.filename or args.out} ({error.strerror})" if isinstance(
            error, OSError) else error  # fmt: skip
        print(f"exp3.py: error: {why}; the same command goes on from what is saved",
              file=sys.stderr)  # fmt: skip
        return 1


def prepare(args: argparse.Namespace) -> tuple:
    """Return all that train_sweep needs besides args, or the logs and the sweep to show again.

    Raises ValueError or RuntimeError, with one sentence, before anything is written.
    """
    if args.plot_only or args.report_only:
        logs = results.load_logs(args.out)
        sweep = results.read_sweep(args.out)
        check_writable(args.out)
        return logs, sweep
    device = select_device(args.device)
    grid(args)  # raises for a bad value
    if args.dataset == "digits" and args.data_dir:
        raise ValueError(f"--data-dir {args.data_dir} is for Fashion-MNIST, not for the digits")
    if args.data_file:
        if args.dataset != "auto" or args.data_dir:
            raise ValueError("--data-file is data of your own: leave --dataset and --data-dir out")
        data = load_file(args.data_file)
    else:
        data = load(args.dataset, args.data_dir, progress=True)
    client = args.cluster and connect(args.cluster, args.jobs or joblib.cpu_count())
    check_writable(args.out)
    return data, device, client


def train_sweep(
    args: argparse.Namespace, data: Dataset, device: Device, client
) -> tuple[list[dict], int, list[str]]:
    """Run the whole grid; with --tune-seed, first many more, to find each cell's learning rate.

    Returns the logs, the exit code, and what is to be said in the end.
    """
    with client or contextlib.nullcontext():
        shout(data.note)
        if not args.tune_seed:
            return train_grid(args, grid(args), data, device, client)
        logs: list[dict] = []
        scores: dict[Config, dict] = {replace(config, seed=0): {} for config in grid(args)}
        todo = {cell: first_rates(cell.learning_rate) for cell in scores}
        while todo:
            print(f"looking for the best learning rate of {len(todo)} combinations\n")
            tried = {
                (cell, rate): [replace(cell, learning_rate=rate, seed=s) for s in args.tune_seed]
                for cell, rates in todo.items() for rate in rates
            }  # fmt: skip
            configs = [config for seeds in tried.values() for config in seeds]
            found, code, last_words = train_grid(args, configs, data, device, client)
            logs += found
            if code:
                return logs, code, last_words
            by_id = {log["experiment_id"]: log for log in found}
            for (cell, rate), seeds in tried.items():
                scores[cell][rate] = score(by_id[config.run_id] for config in seeds)
            todo = {cell: [rate] for cell in scores if (rate := next_rate(scores[cell]))}
        configs = []
        for cell in scores:
            rates = [cell.learning_rate, best_rate(scores[cell]) or cell.learning_rate]
            for rate, seed in itertools.product(dict.fromkeys(rates), args.seed):
                configs.append(replace(cell, learning_rate=rate, seed=seed))
        print("each combination at its customary and at its best learning rate\n")
        found, code, last_words = train_grid(args, configs, data, device, client)
        return logs + found, code, last_words


def unfinished(groups: list[list[Config]], logs: dict[str, dict], out: Path) -> list[list[Config]]:
    """Return what is to be trained, given the logs of what is finished.

    A stack that has a checkpoint goes on from it as a whole, even if some of its runs are saved.
    """
    todo = []
    for group in groups:
        rest = [config for config in group if config.run_id not in logs]
        if rest and checkpoint_path(group, out).exists():
            rest = group
        todo += [rest] if rest else []
    return todo


def train_grid(
    args: argparse.Namespace, configs: list[Config], data: Dataset, device: Device, client=None
) -> tuple[list[dict], int, list[str]]:
    """Run what is not finished yet, saving each run as it ends; return what train_sweep does."""
    logs: dict[str, dict] = {}
    size = args.stack or min(stack_size(device, config, data) for config in configs)
    groups = stacks(configs, size)
    if args.restart:
        for group in groups:
            checkpoint_path(group, args.out).unlink(missing_ok=True)
    else:
        found = [results.finished_log(config, data, device, args.out) for config in configs]
        logs = {log["experiment_id"]: log for log in found if log}
    groups = unfinished(groups, logs, args.out)
    jobs = args.jobs or (1 if device.name == "gpu" else joblib.cpu_count())
    jobs = max(1, min(len(groups), jobs))
    where = f"in {jobs} process{'es' if jobs > 1 else ''}"
    if client:
        where = f"on {client.scheduler.address} (workers so far: {len(client.nthreads())})"
    announce(configs, data, device.description, where, args.out)
    if logs:
        print(f"{len(logs)} of {len(configs)} are finished already (--restart runs them again)")
    missing: dict[str, str] = {}
    code, last_words = 0, []
    if client:
        runs = run_on_cluster(groups, data, device.name, client, missing)
    else:
        runs = run_all(groups, data, device.name, jobs, args.out, args.checkpoint_every, missing)
    try:
        for finished in runs:
            for log in finished:
                results.save_run(log, args.out)
                logs[log["experiment_id"]] = log
            (args.out / finished[0]["experiment_id"] / results.CHECKPOINT).unlink(missing_ok=True)
    except KeyboardInterrupt:
        print(f"\ninterrupted with {len(logs)} of {len(configs)} runs finished; "
              "the same command goes on from here", flush=True)  # fmt: skip
        if logs:
            print("drawing what there is (Ctrl-C again: not even that)", flush=True)
        code = 130
    for run_id, reason in missing.items():
        last_words += [f"MISSING {run_id}: {reason}"]
        code = code or 1
    for log in logs.values():  # should somebody have removed it meanwhile
        if not (args.out / log["experiment_id"] / results.LOG).exists():
            results.save_run(log, args.out)
    return [logs[config.run_id] for config in configs if config.run_id in logs], code, last_words


def show(logs: list[dict], sweep: dict, args: argparse.Namespace, started: float) -> None:
    """Draw all figures, write the report and summary.csv, print the table and the conclusions."""
    # Here, because importing SciPy takes longer than parsing the arguments.
    from findings.comparisons import to_show
    from findings.conclusions import conclude

    own = comparable([log for log in logs if log["experiment_id"] in sweep["runs"]] or logs)
    logs = comparable(logs) if args.plot_only else own
    print("writing the report ..." if args.report_only else "drawing the figures ...", flush=True)
    drawn = draw(logs, own, sweep, args)
    found = conclude(sweep["study"], own, sweep["tune_seeds"])
    write_text(args.out / "conclusions.txt", conclusions_text(found, 98))
    if not args.report_only:
        # Other commands may have left runs in the same folder.
        results.write_summary_csv(results.load_logs(args.out), args.out)
        print_summary(to_show(logs, sweep["tune_seeds"]))
        print(f"\n{drawn} figures, {len(logs)} logs and summary.csv are in {args.out}"
              f" ({time.perf_counter() - started:.0f} s)")  # fmt: skip
    print(f"\n{conclusions_text(found, min(98, shutil.get_terminal_size().columns))}")
    print(f"see {args.out / 'report.html'}")
    for note in dict.fromkeys(log["dataset"]["note"] for log in logs):
        shout(note)


if __name__ == "__main__":
    sys.exit(main())
