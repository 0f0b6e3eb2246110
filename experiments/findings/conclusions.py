"""What the results of a sweep show, in sentences computed from its logs, and what they do not.

How cells are compared, and when 'A beats B' is supported, is explained in `comparisons`.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterable
from itertools import combinations
from typing import NamedTuple

import numpy as np

from findings.comparisons import (
    A_BETTER,
    B_BETTER,
    BOUNDS,
    NAMES,
    ONE_SEED,
    SUPPORTED,
    Tuning,
    Values,
    against_no_schedule,
    cells,
    compare,
    depth_of,
    finished,
    group,
    initial_norms,
    interval,
    label,
    mean_of,
    measured_factor,
    ranked,
    seeds_diverged,
    steps_to,
    subtract,
    target_accuracy,
    theoretical_factor,
    tunings,
    values,
    varying,
)
from sweep import tuning as tuning_rates
from sweep.studies import plural

FEW = 6  # as many items as a sentence lists; of more it gives the number


DATASETS = {
    "fashion-mnist": "Fashion-MNIST",
    "digits": "scikit-learn's small digits, not Fashion-MNIST",
}
UNITS = {"test_accuracy": ("percentage points", 2), "final_loss": ("nats", 4)}  # and digits


# Words and clauses


def plus_minus(mean: float, half: float | None, digits: int) -> str:
    """'2.10 ± 0.31'; with more digits if rounding would hide whether the interval holds 0."""
    if half is None:
        return f"{mean:.{digits}f}"
    differ = abs(abs(mean) - half) > 1e-6
    while differ and f"{abs(mean):.{digits}f}" == f"{half:.{digits}f}":
        digits += 1
    return f"{mean:.{digits}f} ± {half:.{digits}f}"


def and_list(items: Iterable[str]) -> str:
    *first, last = items
    return f"{', '.join(first)} and {last}" if first else last


def the_first_few(items: list[str]) -> list[str]:
    return items if len(items) <= FEW else [*items[: FEW - 1], f"{len(items) - FEW + 1} more"]


def amount_of(row: dict, metric: str = "test_accuracy") -> str:
    """'2.10 ± 0.31 percentage points', without the sign."""
    unit, digits = UNITS[metric]
    return f"{plus_minus(abs(row['mean']), row['half'], digits)} {unit}"


def contrast(a: str, b: str, row: dict) -> str:
    """Say in a clause which of two cells is better: 'adam beats sgd by 2.10 ± 0.31 ...'."""
    if row["n"] == 0:
        return f"{a} and {b} have no seed in common that both finished"
    amount = amount_of(row)
    if row["verdict"] in SUPPORTED:
        winner, loser = (a, b) if row["verdict"] == A_BETTER else (b, a)
        return f"{winner} beats {loser} by {amount}"
    ahead, behind = (a, b) if row["mean"] >= 0 else (b, a)
    if row["verdict"] == ONE_SEED:
        return f"{ahead} is {amount} ahead of {behind} in one seed, which decides nothing"
    return f"whether {ahead} beats {behind} is not decided ({amount})"


# Sentences for every sweep


def best_cell(by_cell: dict[str, Values], kind: str = "cell") -> list[str]:
    """Say which cell has the highest test accuracy, and whether it beats the next.

    Only cells of which every seed finished can be it.
    """
    order = list(ranked(by_cell))
    if not order:
        return ["Every run diverged, so there is nothing to compare."]
    if len(by_cell) > 1:
        order = list(ranked(finished(by_cell)))
    if not order:
        return ["In every cell a seed diverged, so none is called the best."]
    best = order[0]
    numbers = [value for value in by_cell[best].values() if value is not None]
    seeds = f"mean of {len(numbers)} seeds, 95 % t-interval" if len(numbers) > 1 else "one seed"
    amount = f"{plus_minus(*interval(numbers), 2)} %"
    if len(by_cell) == 1:
        return [f"{best}: {amount} test accuracy ({seeds})."]
    sentence = f"Highest test accuracy of {len(by_cell)} {kind}s: {amount} ({seeds}), {best}."
    if len(order) > 1:
        row = compare(by_cell[best], by_cell[order[1]])
        clause = contrast("it", f"the next ({order[1]})", row)
        paired = f"; {row['n']} seeds paired" if row["n"] > 1 else ""
        sentence += f" {clause[0].upper()}{clause[1:]}{paired}."
    others = [name + seeds_diverged(of) for name, of in by_cell.items() if None in of.values()]
    if others:
        sentence += f" Not ranked: {and_list(the_first_few(others))}."
    return [sentence]


def ranking(by_cell: dict[str, Values]) -> list[str]:
    """Say the order of the cells by test accuracy, and which differences are supported.

    Cells of which a seed diverged come last and are in no difference.
    """
    order = ranked(finished(by_cell))
    if len(order) < 3:
        return []
    listed = ", ".join(f"{name} ({mean:.2f} %)" for name, mean in order.items())
    others = [name + seeds_diverged(of) for name, of in by_cell.items() if name not in order]
    if others:
        listed += f", and not ranked {and_list(others)}"
    pairs = list(combinations(order, 2))
    undecided = [
        f"{a} and {b}"
        for a, b in pairs
        if compare(by_cell[a], by_cell[b])["verdict"] not in SUPPORTED
    ]
    count = f"{len(pairs) - len(undecided)} of the {len(pairs)} differences are supported"
    if 0 < len(undecided) <= FEW:
        count += f", all but {'; '.join(undecided)}"
    return [f"Test accuracy from best to worst: {listed}; {count}."]


def by_variable(logs: list[dict]) -> list[str]:
    """Say for each variable which of its values is best where all else is equal."""
    keys = varying([log["config"] for log in logs])
    sentences = []
    for key in keys:
        # Unless rates are a variable too, each optimizer has its own.
        moved = [key] if key != "optimizer" or "learning_rate" in keys else [key, "learning_rate"]
        clauses, winners, supported = [], Counter(), 0
        for peers in group(logs, moved):
            by_value = {
                NAMES[key](of[0]["config"][key]): values(of, "test_accuracy") for of in group(peers)
            }
            order = list(ranked(finished(by_value)))
            if len(order) > 1:
                row = compare(by_value[order[0]], by_value[order[1]])
                where = label(peers[0]["config"], [k for k in keys if k not in moved])
                clause = contrast(*order[:2], row)
                clauses.append(f"{where}: {clause}" if where else clause)
                winners[order[0]] += 1
                supported += row["verdict"] in SUPPORTED
        name = key.replace("_", " ")
        if len(clauses) > FEW:
            counts = and_list(f"{value} {n} times" for value, n in winners.most_common())
            sentences.append(
                f"Best {name} by test accuracy in {len(clauses)} comparisons with all else equal: "
                f"{counts}; the lead over the next is supported in {supported} of them."
            )
        elif clauses:
            sentences.append(f"Best {name}, all else equal: {'; '.join(clauses)}.")
    return sentences


def ordinal(n: int) -> str:
    return f"{n}{'th' if 10 < n % 100 < 14 else {1: 'st', 2: 'nd', 3: 'rd'}.get(n % 10, 'th')}"


def stability(logs_by_cell: dict[str, list[dict]]) -> list[str]:
    """Hold the lab sheet's stability score, 1 / (1 + variance of the loss), against accuracy."""
    by_cell = {name: values(of, "test_accuracy") for name, of in logs_by_cell.items()}
    accuracy = ranked(finished(by_cell))
    score = {name: mean_of(logs_by_cell[name], "training_stability_score")[0] for name in accuracy}
    if len(score) < 2 or set(score.values()) == {1.0}:  # after a single epoch all are 1
        return []
    top = max(score, key=score.get)
    rank = 1 + sum(other > accuracy[top] for other in accuracy.values())
    which = "also the most accurate" if rank == 1 else (
        f"{ordinal(rank)} of {len(score)} by test accuracy ({accuracy[top]:.2f} %)"
    )  # fmt: skip
    losses = [log["train_loss"] for log in logs_by_cell[top]]
    first, last = np.mean([[loss[0], loss[-1]] for loss in losses], axis=0)
    sentence = (
        f"The lab sheet's stability score is highest ({score[top]:.4f}) for {top}, which is "
        f"{which}. It rewards a loss that moves little, whether it has arrived or learns nothing; "
        f"this one went from {first:.3f} to {last:.3f} nats."
    )
    if len(score) > 2:
        pairs = list(combinations(score, 2))
        other_way = sum((accuracy[a] - accuracy[b]) * (score[a] - score[b]) < 0 for a, b in pairs)
        sentence += (
            f" It orders {other_way:,} of the {len(pairs):,} pairs of cells the other way round "
            "than test accuracy does."
        )
    return [sentence]


def diverged(logs_by_cell: dict[str, list[dict]]) -> list[str]:
    """Say which cells have runs that diverged."""
    counts = {name: sum(bool(log["diverged"]) for log in of) for name, of in logs_by_cell.items()}
    clauses = [
        f"{name} ({n} of {plural(len(logs_by_cell[name]), 'seed')})"
        for name, n in counts.items()
        if n
    ]
    if not clauses:
        return []
    return [f"Diverged, and so in no mean and no difference: {and_list(the_first_few(clauses))}."]


# Sentences of one study each


def schedule_gains(logs: list[dict]) -> list[str]:
    """Say what each schedule gains over none, in training loss and in test accuracy separately."""
    sentences, verdicts = [], {}
    for metric, title, better, worse in (
        ("final_loss", "Final training loss", "lower", "higher"),
        ("test_accuracy", "Test accuracy", "higher", "lower"),
    ):
        says = {A_BETTER: better, B_BETTER: worse}
        clauses = []
        for config, where, row in against_no_schedule(logs, metric):
            if row["n"]:
                name = config["scheduler"] + (f" ({where})" if where else "")
                end = says.get(row["verdict"], f"apart ({row['verdict']})")
                clauses.append(f"{name} {amount_of(row, metric)} {end}")
                verdicts[metric, name] = row["verdict"]
        if clauses:
            sentences.append(f"{title} against no schedule: {'; '.join(clauses)}.")
    names = [name for metric, name in verdicts if metric == "final_loss"]
    in_loss_only = [
        name for name in names
        if verdicts["final_loss", name] == A_BETTER != verdicts["test_accuracy", name]
    ]  # fmt: skip
    if in_loss_only:
        sentences.append(
            f"With {and_list(in_loss_only)} the training loss got lower, and test accuracy did not "
            "get demonstrably higher."
        )
    return sentences


def steps_needed(
    logs_by_cell: dict[str, list[dict]], where: str = "", seconds: bool = False
) -> list[str]:
    """Say how many steps each cell took to the same validation accuracy; where: ' at ... rates'."""
    target = target_accuracy(logs_by_cell)
    if target is None:
        return []
    reached, never = {}, []
    for name, logs in logs_by_cell.items():
        steps = [steps_to(log, target) for log in logs]
        if None in steps:
            never.append(name)
            continue
        mean, half = interval(steps)
        text = f"{name}: {mean:,.0f}" + (f" ± {half:,.0f}" if half else "")
        if seconds:
            epochs = [n // log["steps_per_epoch"] for log, n in zip(logs, steps)]
            times = [sum(log["epoch_time"][:n]) for log, n in zip(logs, epochs)]
            text += f" ({np.mean(times):.1f} s)"
        reached[text] = mean
    texts = sorted(reached, key=reached.get)
    if len(texts) > FEW:
        texts = [*texts[:3], "...", *texts[-3:]]
    end = f"; not reached by every seed: {and_list(the_first_few(never))}" if never else ""
    return [
        f"Steps to {target} % validation accuracy{where}, counted in whole epochs: "
        f"{'; '.join(texts)}{end}."
    ]


def batch_sizes(logs_by_cell: dict[str, list[dict]]) -> list[str]:
    """Say the accuracy, steps and seconds of each batch size."""
    clauses = []
    for name, logs in logs_by_cell.items():
        whole = [log for log in logs if not log["diverged"]]
        if whole:
            steps = whole[0]["steps_per_epoch"] * len(whole[0]["epoch"])
            seconds = np.mean([sum(log["epoch_time"]) for log in whole])
            accuracy = plus_minus(*mean_of(whole, "test_accuracy"), 2)
            clauses.append(f"{name}: {accuracy} % in {plural(steps, 'step')}, {seconds:.1f} s")
    return [f"Test accuracy, steps and time: {'; '.join(clauses)}."] if clauses else []


def gradients_through_depth(logs: list[dict]) -> list[str]:
    """Say the factor of |dL/dz| per layer in the deepest networks, beside the one of theory."""
    deepest = max(map(depth_of, logs))
    clauses: dict[str, list[str]] = {}
    for of in group([log for log in logs if depth_of(log) == deepest]):
        activation, init = (of[0]["config"][key] for key in ("activation", "init"))
        mean, half = interval(map(measured_factor, of))
        if mean is not None:
            theory = theoretical_factor(activation, init)
            at_most = "at most " if activation in BOUNDS else ""
            note = "" if theory is None else f", theory: {at_most}{theory:.3f}"
            clauses.setdefault(activation, []).append(f"{plus_minus(mean, half, 3)} ({init}{note})")
    return [
        f"{activation}, {deepest} hidden layers, before the first step: |dL/dz| changes per layer, "
        f"towards the input, by the factor {', '.join(of)}."
        for activation, of in clauses.items()
    ]


def two_layers(logs: list[dict]) -> list[str]:
    """Say what is left of sigmoid's gradient in the first of two hidden layers."""
    of_sigmoid = [
        log for log in logs if log["config"]["activation"] == "sigmoid" and initial_norms(log)
    ]
    groups = group([log for log in of_sigmoid if depth_of(log) == 2])
    if not groups:
        return []
    of = groups[0]  # the initial weights that are first in order, which are the lab sheet's
    init = of[0]["config"]["init"]

    def first_to_last(logs: list[dict]) -> tuple[float | None, float | None]:
        return interval(norms[0] / norms[-1] for norms in map(initial_norms, logs))

    share, half = first_to_last(of)
    sentence = (
        f"With two hidden layers of sigmoid ({init}) |dL/dz| of the first is "
        f"{plus_minus(share, half, 3)} times that of the second"
    )
    deepest = max(map(depth_of, of_sigmoid))
    if deepest > 2:
        deep = [log for log in of_sigmoid if depth_of(log) == deepest]
        ratio, _ = first_to_last([log for log in deep if log["config"]["init"] == init])
        if ratio is not None:
            sentence += (
                f", one such factor; with {deepest} layers the first has {ratio:.1e} of the last"
            )
    mean, half = mean_of(of, "test_accuracy")
    if mean is not None:
        sentence += f". The two layers reach {plus_minus(mean, half, 2)} % test accuracy"
    return [sentence + "."]


def accuracy_through_depth(logs: list[dict]) -> list[str]:
    """Say what the deepest networks gain or lose against two hidden layers (or the fewest)."""
    depths = sorted(set(map(depth_of, logs)))
    start = 2 if 2 in depths[:-1] else depths[0]
    clauses = []
    for of in group(logs, ["hidden"]):
        deep, shallow = (
            values([log for log in of if depth_of(log) == depth], "test_accuracy")
            for depth in (depths[-1], start)
        )
        row = compare(deep, shallow)
        if row["n"]:
            sign = "+" if row["mean"] > 0 else "-"
            amount = plus_minus(abs(row["mean"]), row["half"], 2)
            end = "" if row["verdict"] in SUPPORTED else f" ({row['verdict']})"
            name = label(of[0]["config"], ["activation", "init"])
            clauses.append(f"{name} {sign}{amount}{end}")
    if depths[0] == depths[-1] or not clauses:
        return []
    return [
        f"Test accuracy with {depths[-1]} hidden layers against {start}, after "
        f"{plural(logs[0]['config']['epochs'], 'epoch')}, in percentage points: "
        f"{'; '.join(clauses)}."
    ]


# Sentences about tuned learning rates


def tuning(found: dict[str, Tuning]) -> list[str]:
    """Say what the tuning chose, how much the rate matters, and what is left of differences."""
    tuned = {name: t.at_best for name, t in found.items() if t.at_best}
    accuracy = {name: values(of, "test_accuracy") for name, of in tuned.items()}
    sentences = best_cell(accuracy, "tuned cell") if accuracy else []
    chosen = ", ".join(f"{name} {t.best:g}" for name, t in found.items())
    edges = [name for name, t in found.items() if tuning_rates.on_edge(t.scores)]
    at_edge = "none lies at an edge of what was tried"
    if edges:
        at_edge = f"at an edge of what was tried, so that a better may follow: {and_list(edges)}"
    sentences.append(f"Best learning rates on validation: {chosen}; {at_edge}.")
    return sentences + spans(found) + gaps(found) + steps_needed(tuned, " at tuned rates")


def spans(found: dict[str, Tuning]) -> list[str]:
    """Say how far accuracy moves over the grid of rates, and at how many of them a seed diverged.

    A rate at which a seed diverged has no accuracy. Without the count, what explodes at high rates
    would look less sensitive to them.
    """
    moves, gone = {}, {}
    for name, t in found.items():
        grid = tuning_rates.first_rates(t.customary)  # of equal length for all, without extensions
        scores = [score for rate, score in t.scores.items() if rate in grid]
        known = [score for score in scores if score is not None]
        if known:
            moves[name] = max(known) - min(known)
            if n := len(scores) - len(known):
                gone[name] = f"and diverged at {n} of {plural(len(scores), 'rate')}"
    if not moves:
        return []
    clauses = []
    if steady := {name: move for name, move in moves.items() if name not in gone}:
        least, most = min(steady, key=steady.get), max(steady, key=steady.get)
        upto = f" ({least}) to {steady[most]:.1f} ({most})" if most != least else f" ({least})"
        clauses.append(f"by {steady[least]:.1f}{upto if len(found) > 1 else ''} percentage points")
    if exploded := [f"{moves[name]:.1f} ({name}, {says})" for name, says in gone.items()]:
        others = and_list(the_first_few(exploded))
        clauses.append(f"over the rates at which no seed diverged by {others} percentage points")
    return [
        f"Within the {tuning_rates.FIRST_RATES} rates around the customary one, from a factor of "
        f"32 below it to 32 above, best validation accuracy moves {'; '.join(clauses)}."
    ]


def gaps(found: dict[str, Tuning]) -> list[str]:
    """Say what tuning leaves of the gap between two optimizers, all else equal.

    The two are adam and sgd, or else the best and the worst at their customary rates.
    """
    keys = [key for key in varying([t.config for t in found.values()])
            if key not in ("optimizer", "learning_rate")]  # fmt: skip
    peers: dict[str, dict[str, Tuning]] = {}
    for t in found.values():
        peers.setdefault(label(t.config, keys), {})[t.config["optimizer"]] = t
    sentences = []
    for where, of in peers.items():
        before = {name: values(t.at_customary, "test_accuracy") for name, t in of.items()}
        after = {name: values(t.at_best, "test_accuracy") for name, t in of.items()}
        order = list(ranked(finished(before)))
        if {"adam", "sgd"} <= set(before):
            a, b = "adam", "sgd"
        elif len(order) > 1:
            a, b = order[0], order[-1]
        else:
            continue
        customary, tuned = compare(before[a], before[b]), compare(after[a], after[b])
        shrinking = compare(subtract(before[a], before[b]), subtract(after[a], after[b]))
        if shrinking["n"]:
            t, u = of[a], of[b]
            moved = (t.best, u.best) != (t.customary, u.customary)
            rates = [f"{t.customary:g} and {u.customary:g}", f"{t.best:g} and {u.best:g}"]
            sentences.append(
                f"{where + ', ' if where else ''}customary rates ({rates[0]}): "
                f"{contrast(a, b, customary)}; tuned rates ({rates[1]}): {contrast(a, b, tuned)}; "
                f"{so_it_was(customary, tuned, shrinking, moved)}."
            )
    return sentences


def so_it_was(customary: dict, tuned: dict, shrinking: dict, moved: bool) -> str:
    """Say how much of the gap at customary rates was the learning rate.

    shrinking: gap at customary rates minus gap at tuned ones, paired by seed; moved: whether tuning
    chose another rate for at least one of the two.
    """
    if not moved:
        return "both customary rates were the best already"
    if shrinking["n"] == 1:
        return "but one seed decides nothing"
    if customary["verdict"] not in SUPPORTED:
        return "so there was no supported gap to explain"
    if tuned["verdict"] in SUPPORTED and tuned["verdict"] != customary["verdict"]:
        return "so tuning turned the order round"
    if shrinking["verdict"] not in SUPPORTED:
        return "so whether any of the gap was the learning rate is not decided"
    if shrinking["verdict"] != customary["verdict"]:
        return "so tuning widened the gap"
    share = shrinking["mean"] / customary["mean"]
    how_much = "most" if share >= 0.5 else "some" if share >= 0.2 else "little"
    part = plus_minus(abs(shrinking["mean"]), shrinking["half"], 2)
    return (
        f"so {how_much} of the gap was the learning rate ({part} of the "
        f"{abs(customary['mean']):.2f} percentage points)"
    )


# What it does not show


def test_error(logs: list[dict]) -> str:
    """Say how far other test images could move an accuracy; "" if that cannot be told.

    The standard error of a share p of N independent images is sqrt(p (1 - p) / N).
    """
    whole = [log for log in logs if not log["diverged"]]
    if not whole:
        return ""
    N = int(np.sum(whole[0]["test_confusion"]))
    p = float(np.mean([log["test_accuracy"] for log in whole])) / 100
    return (
        f"; another {N:,} of them would move an accuracy near {100 * p:.0f} % by some "
        f"{100 * math.sqrt(p * (1 - p) / N):.1f} percentage points"
    )


def networks(hidden: set[tuple[int, ...]]) -> str:
    """'hidden layers of 256 and 128', '1 to 10 hidden layers of 128'."""
    if len(hidden) == 1:
        (only,) = hidden
        return f"hidden layers of {and_list(map(str, only))}" if only else "no hidden layer"
    sizes, depths = {width for of in hidden for width in of}, sorted(map(len, hidden))
    if len(sizes) == 1:
        return f"{depths[0]} to {depths[-1]} hidden layers of {sizes.pop()}"
    return f"{len(hidden)} choices of hidden layers"


def rates_note(configs: list[dict], tune_seeds: Collection[int]) -> str:
    """Say where the learning rates come from."""
    if tune_seeds:
        seeds = plural(len(tune_seeds), "seed")
        return (
            f"The learning rate was tuned in half-decades, on {seeds}, for best validation "
            "accuracy; momentum, decay and all else were not."
        )
    rates: dict[str, list[float]] = {}
    for c in configs:
        rates.setdefault(c["optimizer"], []).append(c["learning_rate"])
    listed = and_list(
        f"{name} {', '.join(f'{rate:g}' for rate in sorted(set(of)))}" for name, of in rates.items()
    )
    return f"No learning rate was tuned ({listed}): at other rates the order may be another."


def incomplete(logs_by_cell: dict[str, list[dict]], tuned: bool) -> list[str]:
    """Say which runs of the full grid are not there."""
    most = max(map(len, logs_by_cell.values()))
    lines = []
    short = [
        f"{name} ({len(of)} of {most} seeds)" for name, of in logs_by_cell.items() if len(of) < most
    ]
    if short:
        lines.append(
            f"Incomplete: {and_list(the_first_few(short))}. Two cells are compared on the seeds "
            "that both have."
        )
    configs = [log["config"] for of in logs_by_cell.values() for log in of]
    keys = [key for key in varying(configs) if not (tuned and key == "learning_rate")]
    full = math.prod(len({repr(c[key]) for c in configs}) for key in keys)
    there = len({label(c, keys) for c in configs})
    if there < full and not {"learning_rate", "optimizer"} <= set(keys):  # which may each have own
        lines.append(f"Incomplete: there is no run of {full - there} of the {full} combinations.")
    return lines


def not_shown(
    study: str | None, logs_by_cell: dict[str, list[dict]], tune_seeds: Collection[int]
) -> list[str]:
    """Say the limits of the results: seeds, network, data, rates, epochs, comparisons."""
    logs = [log for of in logs_by_cell.values() for log in of]
    configs = [log["config"] for log in logs]
    n = len({c["seed"] for c in configs})
    if n == 1:
        lines = [
            "One seed decides nothing: in another one the order may be another. Give several, such "
            "as --seed 42 43 44 45 46."
        ]
    else:
        few = ", so few that intervals are wide: more seeds may decide more" if n < 5 else ""
        lines = [
            f"{n} seeds{few}. They vary the split, the initial weights and the batches, but never "
            f"the test images{test_error(logs)}."
        ]
    name = logs[0]["dataset"]["name"]
    data = DATASETS.get(name, name)
    network = networks({tuple(c["hidden"]) for c in configs})
    lines.append(f"One kind of network ({network}), one dataset ({data}).")
    lines.append(rates_note(configs, tune_seeds))
    if study == "batch-size":
        lines.append(
            "The learning rate is the same for all sizes, and each may have a better one: with it, "
            "small batches get further merely because they take more steps. Seconds are those of "
            "this machine."
        )
    epochs = and_list(map(str, sorted({c["epochs"] for c in configs})))
    lines.append(f"Training ended after {epochs} epoch{'' if epochs == '1' else 's'}; "
                 "with more, the order may be another.")  # fmt: skip
    several = any(sum(not log["diverged"] for log in of) > 1 for of in logs_by_cell.values())
    if (k := len(logs_by_cell)) > 2 and several:  # one seed has no interval
        pairs = k * (k - 1) // 2
        expected = f"{pairs / 20:,.0f}" if pairs >= 200 else f"{pairs / 20:.1f}"
        lines.append(
            f"{k} cells make {pairs:,} comparisons. About one in twenty 95 % intervals misses the "
            f"truth by chance, here about {expected}; and a cell that is the best of many was "
            "probably lucky as well."
        )
    return lines + incomplete(logs_by_cell, bool(tune_seeds))


def conclude(
    study: str | None, logs: list[dict], tune_seeds: Collection[int] = ()
) -> dict[str, list[str]]:
    """Return what the results show and what they do not, {"found": [...], "not_shown": [...]}.

    study: a name of STUDIES, or None; logs: all runs of the sweep; tune_seeds: the seeds on which
    learning rates were tuned. Every sentence is computed from the logs.
    """
    logs_by_cell = cells(logs, tune_seeds)
    if not logs_by_cell:
        return {"found": [], "not_shown": ["No run is finished yet that could be compared."]}
    fresh = [log for of in logs_by_cell.values() for log in of]
    accuracy = {name: values(of, "test_accuracy") for name, of in logs_by_cell.items()}
    if tune_seeds and (tuned := tunings(logs, tune_seeds)):
        found = tuning(tuned)
    elif study == "depth":
        found = best_cell(accuracy) + gradients_through_depth(fresh) + two_layers(fresh)
        found += accuracy_through_depth(fresh)
    else:
        one_variable = len(varying([log["config"] for log in fresh])) == 1
        found = best_cell(accuracy) + (ranking(accuracy) if one_variable else by_variable(fresh))
    if study == "schedulers":
        found += schedule_gains(fresh)
    if study == "batch-size":
        found += batch_sizes(logs_by_cell) + steps_needed(logs_by_cell, seconds=True)
    found += stability(logs_by_cell) + diverged(logs_by_cell)
    return {"found": found, "not_shown": not_shown(study, logs_by_cell, tune_seeds)}


# An adapter: a Sweep instead of study, logs and tuning seeds
_conclude = conclude


class Conclusions(NamedTuple):
    found: list[str]
    not_shown: list[str]


def conclude(sweep, logs=None, tune_seeds=()):  # noqa: F811
    if logs is not None:
        return _conclude(sweep, logs, tune_seeds)
    return Conclusions(**_conclude(sweep.study, sweep.logs, sweep.tune_seeds))
