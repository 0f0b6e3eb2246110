"""What a sweep shows, in sentences computed from its numbers, and what it does not show.

`conclude` lists the findings, the most telling first, and the limits. Each is a function that
yields what it has to say, or nothing. To add one, write such a function and name it there. How the
networks learned is in `dynamics`, what belongs to a single study in `study`, and when 'A beats B'
is supported in `comparisons`.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, groupby
from typing import NamedTuple

import numpy as np

from findings import dynamics, study
from findings.clauses import Finding, Findings, accuracy, contrast
from findings.comparisons import (
    NOT_DECIDED,
    ONE_SEED,
    compare_all,
    finished,
    ranked,
    seeds_diverged,
)
from findings.sweep import NAMES, WORDS, Cell, Sweep, label
from words import FEW, and_list, plural, plus_minus, the_first_few

DATASETS = {
    "fashion-mnist": "Fashion-MNIST",
    "digits": "scikit-learn's small digits, not Fashion-MNIST",
}
PLURALS = {
    "activation": "activations",
    "optimizer": "optimizers",
    "learning_rate": "learning rates",
    "scheduler": "schedules",
    "batch_size": "batch sizes",
    "hidden": "depths",
    "init": "initializations",
    "epochs": "numbers of epochs",
}
MANY = 40  # of more cells than that a ranking names the first and the last only
# What a term means. Each is explained once, in the finding or limit where it first appears.
TERMS = {
    r"\bcells?\b": "A cell is one combination of settings, with all its seeds.",
    "percentage point": "From 87 % to 88 % is one percentage point.",
    "±": "± gives a 95 % interval: of such intervals, 19 in 20 hold the true mean over all seeds.",
    "nats": "A loss in nats is -ln of the probability that a network gives to the right class: "
    "90 % is 0.105 nats, 10 % is 2.303.",
    r"\|dL/dz\|": "|dL/dz| is the size of the gradient of the loss at a layer's output z: what "
    "backpropagation hands to that layer.",
}
Sentences = Iterator[str]


class Conclusions(NamedTuple):
    """What was found, and what it does not show."""

    found: list[Finding]
    not_shown: list[str]


def conclude(sweep: Sweep) -> Conclusions:
    """Return what the sweep shows and what it does not."""
    if sweep.only_tuned:
        return Conclusions([], ["No run is finished yet that could be compared."])
    cells, tunings = sweep.cells, sweep.tunings
    found: list[Finding] = []
    if tunings:
        tuned = [replace(t.at_best, label=t.label) for t in tunings if t.at_best]
        found += study.gaps(tunings)
        found += best_cell(tuned, "tuned cell")
        found += study.chosen_rates(tunings)
        found += study.spans(tunings)
        found += dynamics.speed(tuned, "steps", " at tuned rates")
    else:
        if sweep.study == "depth":
            found += study.gradients_through_depth(cells)
            found += study.two_layers(sweep)
            found += study.accuracy_through_depth(sweep)
        gains = [*study.schedule_gains(sweep)] if sweep.study == "schedulers" else []
        found += gains
        if sweep.study != "depth" and not gains:
            found += by_variable(sweep)
        found += best_cell(cells)
        if sweep.study == "batch-size":
            found += study.batch_sizes(cells)
            found += dynamics.speed(cells, "steps and seconds")
        elif sweep.study != "depth":
            found += dynamics.speed(cells)
            found += dynamics.gradients_at_start(sweep)
            found += dynamics.gradients_at_end(sweep)
            found += dynamics.hidden_gradients(sweep)
            found += dynamics.stuck_units(cells)
            found += dynamics.overfitting(sweep)
            found += dynamics.tuning_would_change(sweep)
    found += diverged(cells)

    limits: list[str] = []
    limits += seeds_and_images(sweep)
    limits += network_and_data(sweep)
    limits += rates_tried(sweep)
    limits += epochs_trained(cells)
    limits += chance(cells)
    limits += missing_runs(sweep)
    return explained(found, limits)


def explained(found: list[Finding], limits: list[str]) -> Conclusions:
    """Return both, with each of TERMS explained after the text in which it first appears."""
    texts = [*(finding.text for finding in found), *limits]
    meanings: list[list[str]] = [[] for _ in texts]
    for term, meaning in TERMS.items():
        first = next((k for k, text in enumerate(texts) if re.search(term, text)), None)
        if first is not None:
            meanings[first].append(meaning)
    texts = [f"{t} ({' '.join(m)})" if m else t for t, m in zip(texts, meanings)]
    explained_findings = [Finding(f.topic, text) for f, text in zip(found, texts)]
    return Conclusions(explained_findings, texts[len(found) :])


# Who wins


def best_cell(cells: list[Cell], kind: str = "cell") -> Findings:
    """Say which cell has the highest test accuracy, and whether it beats the next.

    Only a cell whose seeds all finished can be it.
    """
    order = ranked(finished(cells) if len(cells) > 1 else cells)
    if not order:
        if ranked(cells):
            yield Finding("Best cell", "in every cell a seed diverged, so none is called the best.")
        elif cells:
            yield Finding("Best cell", "every run diverged, so there is nothing to compare.")
        return
    best = order[0]
    n = len(best.logs) - best.diverged
    seeds = f"mean of {n} seeds, 95 % t-interval" if n > 1 else "one seed"
    amount = accuracy(best)
    if len(cells) == 1:
        yield Finding("Test accuracy", f"{best.label} reaches {amount} ({seeds}).")
        return
    shared = [cell.label for cell in order if mean_of(cell) == mean_of(best)]
    if len(shared) > 1:
        text = f"{and_list(shared)} share the highest test accuracy, {amount} ({seeds})."
    else:
        text = f"{best.label} has the highest test accuracy of {len(cells)} {kind}s, {amount}"
        text += f" ({seeds})."
        if len(order) > 1:
            lead = compare_all((best, other) for other in order[1:])[0][2]
            clause = contrast("it", f"the next ({order[1].label})", lead)
            paired = f"; {lead.n} seeds paired" if lead.n > 1 else ""
            text += f" {clause[0].upper()}{clause[1:]}{paired}."
    others = [cell.label + seeds_diverged(cell) for cell in cells if cell.diverged]
    if others:
        text += f" Not ranked: {the_first_few(others)}."
    yield Finding("Best cell", text)


def by_variable(sweep: Sweep) -> Findings:
    """Say for each variable which of its values is best, all else equal; the weightiest first."""
    if len(sweep.cells) < 3:
        return  # two cells: best_cell says it all
    effects = {}
    for key in sweep.varies:
        moved = [key]
        if key == "optimizer" and "learning_rate" not in sweep.varies:
            moved = [key, "learning_rate"]  # each optimizer has its own
        groups: dict[str, list[Cell]] = {}
        for peers in sweep.peers(*moved):
            where = label(peers[0].config, [k for k in sweep.varies if k not in moved])
            if len(order := ranked(finished(peers))) > 1:
                groups[where] = [
                    replace(cell, label=NAMES[key](getattr(cell.config, key))) for cell in order
                ]
        if groups:
            spans = [mean_of(order[0]) - mean_of(order[-1]) for order in groups.values()]
            effects[key] = max(spans), groups
    for key, (_, groups) in sorted(effects.items(), key=lambda item: -item[1][0]):
        topic = WORDS.get(key, key).capitalize()
        others = [k for k in sweep.varies if k != key]
        if max(map(len, groups.values())) == 2:
            yield Finding(topic, two_values(groups, others))
        elif len(groups) > FEW:
            yield Finding(topic, count_of_wins(groups))
        else:
            texts = [ranking(where, order) for where, order in groups.items()]
            if len(sweep.varies) == 1:
                diverged_too = [c.label + seeds_diverged(c) for c in sweep.cells if c.diverged]
                texts[0] += f"; not ranked: {the_first_few(diverged_too)}" if diverged_too else ""
            yield Finding(topic, f"test accuracy from best to worst: {'; '.join(texts)}.")


def mean_of(cell: Cell) -> float:
    return cell.mean("test_accuracy")[0]


def two_values(groups: dict[str, list[Cell]], others: list[str]) -> str:
    """Sum up who leads where there are two values: 'adam beats sgd with all 3 activations ...'.

    groups has the two cells, the better one first, by what else is set; others names that.
    """
    rows = compare_all(order[:2] for order in groups.values())
    winners = {(a.label, b.label) for a, b, _ in rows}
    ties = any(difference.mean == 0 for *_, difference in rows)
    if len(rows) == 1 or len(winners) > 1 or ties:  # no summary holds for all
        if len(rows) > FEW:
            return count_of_wins(groups)
        clauses = [
            ": ".join(filter(None, [where, contrast(a.label, b.label, difference)]))
            for where, (a, b, difference) in zip(groups, rows)
        ]
        return f"{'; '.join(clauses)}."
    (ahead, behind), *_ = winners
    by_size = sorted(zip(groups, rows), key=lambda row: row[1][2].mean)
    (least, (*_, smallest)), (most, (*_, largest)) = by_size[0], by_size[-1]
    count = "both" if len(rows) == 2 else f"all {len(rows)}"
    what = f"{count} {PLURALS[others[0]] if len(others) == 1 else 'combinations of the rest'}"
    few = plus_minus(smallest.mean, smallest.half, 2)
    many = plus_minus(largest.mean, largest.half, 2)
    supported = all(difference.supported for *_, difference in rows)
    several = ahead.split(" of ")[0].endswith(" layers")
    leads = "beat" if several else "beats"
    if not supported:
        leads = "are ahead of" if several else "is ahead of"
    sentence = (
        f"{ahead} {leads} {behind} with {what}, by {few} ({least}) to {many} ({most}) percentage "
        "points of test accuracy."
    )
    unsure = [where for where, (*_, d) in zip(groups, rows) if d.verdict == NOT_DECIDED]
    if unsure:
        sentence += f" Within the noise: {the_first_few(unsure)}."
    return sentence


def count_of_wins(groups: dict[str, list[Cell]]) -> str:
    """Say how often each value is the best, where there are too many groups to list."""
    rows = compare_all(order[:2] for order in groups.values())
    winners = Counter(a.label if d.mean else "a tie" for a, _, d in rows)
    counts = the_first_few([f"{value} {n} times" for value, n in winners.most_common()])
    text = f"best by test accuracy in {len(rows)} comparisons, all else equal: {counts}"
    if all(difference.verdict == ONE_SEED for *_, difference in rows):
        return f"{text}."
    supported = sum(difference.supported for *_, difference in rows)
    return f"{text}; the lead over the next is supported in {supported} of them."


def ranking(where: str, order: list[Cell]) -> str:
    """Say the order of cells, best first, and which differences are supported.

    'with adam relu (89.20 %), tanh (88.90 %); no difference is supported'.
    """
    texts = []
    for mean, tied in groupby(order, mean_of):
        texts.append(f"{and_list(cell.label for cell in tied)} ({mean:.2f} %)")
    if len(texts) > MANY:
        texts = [*texts[:FEW], f"... ({plural(len(texts) - 2 * FEW, 'other')}) ...", *texts[-FEW:]]
    text = f"{f'with {where} ' if where else ''}{', '.join(texts)}"
    if len(order) > MANY or len(order[0].seeds) == 1:
        return text
    rows = compare_all(combinations(order, 2))
    close = [f"{a.label} and {b.label}" for a, b, d in rows if not d.supported]
    apart = [f"{a.label} over {b.label}" for a, b, d in rows if d.supported]
    if not apart or not close:
        return f"{text} ({'all differences are supported' if apart else 'all within the noise'})"
    if len(apart) <= min(FEW, len(close)):
        return f"{text} (supported: {', '.join(apart)}; the rest is within the noise)"
    but = f", but not between {'; '.join(close)}" if 0 < len(close) <= FEW else ""
    return f"{text} ({len(apart)} of {len(rows)} differences are supported{but})"


def diverged(cells: list[Cell]) -> Findings:
    """Say which cells have runs that diverged."""
    gone = [cell for cell in cells if cell.diverged]
    clauses = [f"{c.label} ({c.diverged} of {plural(len(c.logs), 'seed')})" for c in gone]
    if clauses:
        yield Finding("Diverged", f"and so in no mean and no difference: {the_first_few(clauses)}.")


# Limits: what the sweep does not show


def seeds_and_images(sweep: Sweep) -> Sentences:
    """Say how many seeds there are, and how far other test images could move an accuracy.

    The standard error of a share p of N independent images is sqrt(p (1 - p) / N).
    """
    n = len(sweep.seeds)
    if n == 1:
        yield (
            "All of this happened in one seed; another seed may give a different order. Several, "
            "such as --seed 42 43 44, show what is luck."
        )
        return
    few = ", so few that intervals are wide: more seeds may decide more" if n < 5 else ""
    line = f"{n} seeds{few}. They vary the split, the initial weights and the batches, but never "
    line += "the test images"
    whole = [log for cell in sweep.cells for log in cell.logs if not log["diverged"]]
    if whole:
        N = int(np.sum(whole[0]["test_confusion"]))
        p = float(np.mean([log["test_accuracy"] for log in whole])) / 100
        line += (
            f"; another {N:,} of them would move an accuracy near {100 * p:.0f} % by about "
            f"{100 * math.sqrt(p * (1 - p) / N):.1f} percentage points"
        )
    yield line + "."


def network_and_data(sweep: Sweep) -> Sentences:
    """Say on which network and which data this was found."""
    hidden = {cell.config.hidden for cell in sweep.cells}
    widths, depths = set().union(*hidden), sorted(map(len, hidden))
    if len(hidden) == 1:
        listed = the_first_few([*map(str, *hidden)])
        network = f"hidden layers of {listed}" if widths else "no hidden layer"
    elif len(widths) == 1:
        network = f"{depths[0]} to {depths[-1]} hidden layers of {widths.pop()}"
    else:
        network = f"{len(hidden)} choices of hidden layers"
    name = sweep.dataset["name"]
    yield f"One kind of network ({network}), one dataset ({DATASETS.get(name, name)})."


def rates_tried(sweep: Sweep) -> Sentences:
    """Say where the learning rates come from."""
    if sweep.tune_seeds:
        seeds = plural(len(sweep.tune_seeds), "seed")
        yield (
            f"The learning rate was tuned in half-decades, on {seeds}, for best validation "
            "accuracy; momentum, decay and all else were not."
        )
    else:
        rates: dict[str, set[float]] = {}
        for cell in sweep.cells:
            rates.setdefault(cell.config.optimizer, set()).add(cell.config.learning_rate)
        listed = and_list(f"{o} {', '.join(f'{r:g}' for r in sorted(rates[o]))}" for o in rates)
        yield f"No learning rate was tuned ({listed}): the ranking may differ at other rates."
    if sweep.study == "batch-size":
        yield (
            "All sizes share one learning rate, and each may have a better one: at the same rate, "
            "small batches get further merely because they take more steps. Seconds are those of "
            "this machine."
        )


def epochs_trained(cells: list[Cell]) -> Sentences:
    """Say when training ended."""
    epochs = sorted({cell.config.epochs for cell in cells})
    listed = f"{and_list(map(str, epochs))} epoch{'' if epochs == [1] else 's'}"
    steps = {log["steps_per_epoch"] * len(log["epoch"]) for c in cells for log in c.logs}
    count = f", which are {max(steps):,} steps" if len(steps) == 1 else ""
    yield f"Training ended after {listed}{count}; the ranking may change with more epochs."


def chance(cells: list[Cell]) -> Sentences:
    """Say what was done about differences that are there by chance alone."""
    if len(cells) > 2 and any(len(cell.logs) - cell.diverged > 1 for cell in cells):
        yield (
            "Where a sentence or a picture compares several pairs, a difference counts as "
            "supported only if it holds for all of them together (Holm's method): the more pairs, "
            "the clearer it must be. The intervals are those of single pairs, of which one in "
            "twenty misses the truth. The best of many cells was probably lucky as well."
        )


def missing_runs(sweep: Sweep) -> Sentences:
    """Say which cells have fewer seeds than others, and how many cells have no run at all."""
    most = max(len(cell.logs) for cell in sweep.cells)
    some = [cell for cell in sweep.cells if len(cell.logs) < most]
    short = [f"{cell.label} ({len(cell.logs)} of {most} seeds)" for cell in some]
    if short:
        listed = the_first_few(short)
        yield f"Incomplete: {listed}. Two cells are compared on the seeds that both have."
    keys = [key for key in sweep.varies if not (sweep.tune_seeds and key == "learning_rate")]
    if {"learning_rate", "optimizer"} <= set(keys):  # each optimizer may have its own rates
        return
    configs = [cell.config for cell in sweep.cells]
    full = math.prod(len({getattr(c, key) for c in configs}) for key in keys)
    there = len({label(c, keys) for c in configs})
    if there < full:
        yield f"Incomplete: there is no run of {full - there} of the {full} combinations."
