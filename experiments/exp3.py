"""The experiment: train an MLP with every combination of settings, and compare the results.

    python experiments/exp3.py --help

Read `experiment` first: it is all that happens, in order. sweep/options.py has the options,
sweep/run.py trains and saves the runs, and nnlite/training/loop.py is what happens in one run.
"""

import shutil
import sys
import textwrap
import time
from argparse import Namespace
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import joblib
from joblib import delayed

sys.path.insert(0, str(Path(__file__).parents[1]))  # nnlite is the one beside it
sys.path.insert(0, str(Path(__file__).parent))  # its folders; with -P Python does not add it

from nnlite import select_device
from nnlite.datasets import load, load_file
from nnlite.files import write_text
from sweep import results
from sweep.cluster import connect
from sweep.console import before_any_work, carry_out, treat_as_ctrl_c
from sweep.environment import check_environment, settle
from sweep.locks import alone
from sweep.options import check_writable, grid, parse
from sweep.progress import counted
from sweep.results import Outcome
from sweep.run import check_runs, train_runs
from sweep.tuning import train_tuned
from sweep.workers import is_drawn, processes
from words import plural

MANY_RUNS = 500  # figures of more single runs would take longer than anyone looks at them
TEXT_WIDTH = 98  # at most
FALLBACK = "digits, not Fashion-MNIST; --data-dir DIR or NNLITE_DATA=DIR mends that"


def experiment(options: Namespace) -> int:
    """Train all runs, or load them; then conclude, draw and report. Returns the exit code."""
    started = time.perf_counter()
    outcome, about = load_sweep(options) if options.plot_only else train_sweep(options)
    if outcome.logs:
        # Imported here, because SciPy takes so long to import that --help would be slow.
        from findings import table
        from findings.conclusions import conclude
        from findings.sweep import Sweep

        sweep = Sweep.of(outcome.logs, about["study"], about["command"], about["tune_seeds"])
        conclusions = conclude(sweep)
        with alone(options.out / "drawing"):  # so all that is drawn is of the same command
            if about["runs"]:
                results.write_json(options.out / results.SWEEP, about)
            draw(sweep, conclusions, options, outcome.drawn)
            write_text(options.out / "conclusions.txt", as_text(conclusions, TEXT_WIDTH))
            write_text(options.out / "cells.csv", table.as_csv(sweep))
            write_text(options.out / "cells.md", table.as_markdown(sweep))
            results.write_summary_csv(options.out)
        width = min(TEXT_WIDTH, shutil.get_terminal_size().columns)
        figures = [*options.out.glob("*.png"), *options.out.glob("*/*.png")]
        made = f"{plural(len(sweep.logs), 'log')}, {plural(len(figures), 'figure')} and tables"
        print(f"\n{made} are in {options.out} ({time.perf_counter() - started:.0f} s)")
        print(f"\n{table.as_lines(sweep, width)}")
        print(f"\n{as_text(conclusions, width)}")
    for reason, count in Counter(outcome.missing.values()).items():
        runs = [run_id for run_id, why in outcome.missing.items() if why == reason]
        for words in runs if count <= 5 else [f"{count} runs, the first of them {runs[0]}"]:
            print(f"MISSING {words}: {reason}", file=sys.stderr, flush=True)
    if outcome.logs:
        print(f"see {options.out / 'report.html'}")
        note = sweep.dataset["note"]
        if note:
            print(f"note: {FALLBACK if sweep.dataset['name'] == 'digits' else note}")
    return 130 if outcome.interrupted else 1 if outcome.missing else 0


def train_sweep(options: Namespace) -> tuple[Outcome, dict]:
    """Train every run of the grid; return what came of it, and the content of sweep.json."""
    with before_any_work():
        device = select_device(options.device)
        if options.data_file:
            data = load_file(options.data_file)
        else:
            data = load(options.dataset, options.data_dir, progress=True)
        check_environment(room=data.x_train.nbytes + data.x_test.nbytes)
        jobs = options.jobs or joblib.cpu_count()
        client = connect(options.cluster, jobs, device.name) if options.cluster else None
        check_writable(options.out)
        configs = grid(options)
        check_runs(configs, data, device, options.out, client)
    if data.note:
        print(f"note: {data.note}", flush=True)

    few = sum(config.seed == options.seed[0] for config in configs) <= MANY_RUNS
    train = partial(train_runs, data=data, device=device, options=options, client=client)
    train = partial(train, draw=draw_run if few else None)
    with client or nullcontext():
        if options.tune_seed:
            cells = list(dict.fromkeys(replace(config, seed=0) for config in configs))
            outcome = train_tuned(cells, options.tune_seed, options.seed, train)
        else:
            outcome = train(configs)
    about = {
        "study": options.study,
        "command": options.command,
        "tune_seeds": options.tune_seed,
        "runs": [log["experiment_id"] for log in outcome.logs],
    }
    return outcome, about


def load_sweep(options: Namespace) -> tuple[Outcome, dict]:
    """Return what an earlier command has left in --out, as train_sweep does."""
    with before_any_work():
        check_environment()
        logs, about = results.load(options.out)
        check_writable(options.out)
    return Outcome(logs, missing={}, interrupted=False), about


# Figures and page. Each function imports what it needs: only processes that draw wait for that.


def draw(sweep, conclusions, options: Namespace, drawn: frozenset[str]) -> None:
    """Draw all figures, several at a time, and write the page.

    drawn: ids of runs whose figures are there. Those of other runs come last, after the page.
    """
    logs = [log for log in to_draw(sweep, options) if log["experiment_id"] not in drawn]
    jobs = options.jobs or joblib.cpu_count()
    # Very many logs take longer to send to other processes than to draw.
    at_once = 1 if len(sweep.logs) > MANY_RUNS else jobs
    pool = processes(at_once, return_as="generator")  # those that trained, if still there
    parts = min(at_once, 8)  # the page has about as many figures
    tasks = [delayed(draw_part)(sweep, options.out, part, parts) for part in range(parts)]
    pictures = list(counted(pool(tasks), parts, "drawing figures"))
    page = delayed(write_report)(sweep, conclusions, options.out, pictures)
    list(counted(pool([page]), 1, "writing the page"))
    if logs:
        pool = processes(jobs, return_as="generator")
        tasks = [delayed(draw_run)(log, options.out) for log in logs]
        list(counted(pool(tasks), len(logs), "drawing figures of single runs"))


def to_draw(sweep, options: Namespace) -> list[dict]:
    """Return the logs of the runs that get figures of their own; say which these are."""
    logs = [log for log in sweep.logs if options.plot_only or is_drawn(log, options)]
    if len(logs) > MANY_RUNS:
        print(f"no figures of single runs: they would be of {len(logs):,}, more than {MANY_RUNS}")
        return []
    if len(logs) < len(sweep.logs):
        print("figures of single runs: the first seed of each cell; --plot-only draws all")
    return logs


def draw_part(sweep, out: Path, part: int, parts: int):
    from report.page import draw_part

    return draw_part(sweep, out, part, parts)


def write_report(sweep, conclusions, out: Path, pictures: list) -> None:
    from report.page import write_page

    write_page(sweep, conclusions, out, pictures)


def draw_run(log: dict, out: Path) -> None:
    from figures.run import run_figures
    from figures.style import save, uncollected

    with uncollected():
        save(run_figures(log), out / log["experiment_id"])


# Text


def as_text(conclusions, width: int) -> str:
    """Lay out the conclusions in lines of at most `width` characters."""
    parts = {
        "What was found": conclusions.found,
        "What it does not show": conclusions.not_shown,
    }
    lines = []
    for heading, sentences in parts.items():
        lines.append(heading)
        wrapped = {"subsequent_indent": "  ", "break_on_hyphens": False}
        lines += [textwrap.fill(f"- {s}", width, **wrapped) for s in sentences]
        lines.append("")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code, see `carry_out`."""
    return carry_out(experiment, lambda: parse(argv))


if __name__ == "__main__":
    settle()
    treat_as_ctrl_c()
    sys.exit(main())
