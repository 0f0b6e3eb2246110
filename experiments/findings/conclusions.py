"""What a sweep shows, in sentences computed from its numbers, and what it does not show.

`conclude` lists the findings and the limits. Each is a function that yields its sentences, or none
where it has nothing to say. To add a sentence, write such a function and name it there. When
'A beats B' is supported is explained in `comparisons`.
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from typing import NamedTuple

import numpy as np

from findings.comparisons import (
    A_BETTER,
    B_BETTER,
    BOUNDS,
    NOT_DECIDED,
    ONE_SEED,
    Difference,
    against_no_schedule,
    closed_by_tuning,
    compare,
    finished,
    initial_norms,
    measured_factor,
    ranked,
    seeds_diverged,
    steps_to,
    target_accuracy,
    theoretical_factor,
)
from findings.sweep import NAMES, WORDS, Cell, Sweep, Tuning, interval, label, varying
from sweep.tuning import FIRST_RATES, first_rates, on_edge
from words import FEW, and_list, ordinal, plural, plus_minus, the_first_few

DATASETS = {
    "fashion-mnist": "Fashion-MNIST",
    "digits": "scikit-learn's small digits, not Fashion-MNIST",
}
UNITS = {"test_accuracy": ("percentage points", 2), "final_loss": ("nats", 4)}  # and digits
MANY = 40  # of more cells than that a ranking names the first and the last only
Sentences = Iterator[str]


class Conclusions(NamedTuple):
    """Sentences: what was found, and what it does not show."""

    found: list[str]
    not_shown: list[str]


def conclude(sweep: Sweep) -> Conclusions:
    """Return what the sweep shows and what it does not."""
    if sweep.only_tuned:
        return Conclusions([], ["No run is finished yet that could be compared."])
    cells, tunings = sweep.cells, sweep.tunings
    found: list[str] = []
    if tunings:
        tuned = [replace(t.at_best, label=t.label) for t in tunings if t.at_best]
        found += best_cell(tuned, "tuned cell")
        found += chosen_rates(tunings)
        found += spans(tunings)
        found += gaps(tunings)
        found += steps_needed(tuned, " at tuned rates")
    else:
        found += best_cell(cells)
        if sweep.study == "depth":
            found += gradients_through_depth(cells)
            found += two_layers(sweep)
            found += accuracy_through_depth(sweep)
        elif len(sweep.varies) == 1:
            found += ranking(cells)
        else:
            found += by_variable(sweep)
    if sweep.study == "schedulers":
        found += schedule_gains(sweep)
    if sweep.study == "batch-size":
        found += batch_sizes(cells)
        found += steps_needed(cells, seconds=True)
    found += stability(cells)
    found += diverged(cells)

    limits: list[str] = []
    limits += seeds_and_images(sweep)
    limits += network_and_data(sweep)
    limits += rates_tried(sweep)
    limits += epochs_trained(cells)
    limits += chance(cells)
    limits += missing_runs(sweep)
    return Conclusions(found, limits)


# Clauses


def contrast(a: str, b: str, difference: Difference) -> str:
    """Say in a clause which of two cells is better: 'adam beats sgd by 2.10 ± 0.31 ...'."""
    if difference.n == 0:
        return f"{a} and {b} have no seed in common that both finished"
    ahead, behind = (a, b) if difference.mean >= 0 else (b, a)
    several = ahead.split(" of ")[0].endswith(" layers")
    beats, leads = ("beat", "are") if several else ("beats", "is")
    amount = amount_of(difference)
    if difference.supported:
        return f"{ahead} {beats} {behind} by {amount}"
    if difference.verdict == ONE_SEED:
        return f"{ahead} {leads} {amount} ahead of {behind} in one seed, which decides nothing"
    return f"the difference between {ahead} and {behind} is within the noise ({amount})"


def amount_of(difference: Difference, measure: str = "test_accuracy") -> str:
    """'2.10 ± 0.31 percentage points', without the sign."""
    unit, digits = UNITS[measure]
    return f"{plus_minus(abs(difference.mean), difference.half, digits)} {unit}"


def doubt(difference: Difference) -> str:
    """Say in brackets why a difference is not supported; "" if it is."""
    return {NOT_DECIDED: " (within the noise)", ONE_SEED: " (one seed)"}.get(difference.verdict, "")


def accuracy(cell: Cell) -> str:
    """'89.20 ± 0.31 %': the test accuracy of a cell."""
    return f"{plus_minus(*cell.mean('test_accuracy'), 2)} %"


# Findings of every sweep


def best_cell(cells: list[Cell], kind: str = "cell") -> Sentences:
    """Say which cell has the highest test accuracy, and whether it beats the next.

    Only a cell whose seeds all finished can be it.
    """
    order = ranked(finished(cells) if len(cells) > 1 else cells)
    if not order:
        if ranked(cells):
            yield "In every cell a seed diverged, so none is called the best."
        elif cells:
            yield "Every run diverged, so there is nothing to compare."
        return
    best = order[0]
    n = len(best.logs) - best.diverged
    seeds = f"mean of {n} seeds, 95 % t-interval" if n > 1 else "one seed"
    amount = accuracy(best)
    if len(cells) == 1:
        yield f"{best.label}: {amount} test accuracy ({seeds})."
        return
    sentence = f"Highest test accuracy of {len(cells)} {kind}s: {amount} ({seeds}), {best.label}."
    if len(order) > 1:
        lead = compare(best, order[1])
        clause = contrast("it", f"the next ({order[1].label})", lead)
        paired = f"; {lead.n} seeds paired" if lead.n > 1 else ""
        sentence += f" {clause[0].upper()}{clause[1:]}{paired}."
    others = [cell.label + seeds_diverged(cell) for cell in cells if cell.diverged]
    if others:
        sentence += f" Not ranked: {the_first_few(others)}."
    yield sentence


def ranking(cells: list[Cell]) -> Sentences:
    """Say the order of the cells by test accuracy, and which differences are supported.

    Cells with a seed that diverged come last and are in no difference.
    """
    order = ranked(finished(cells))
    if len(order) < 3:
        return
    texts = [f"{cell.label} ({cell.mean('test_accuracy')[0]:.2f} %)" for cell in order]
    others = [cell.label + seeds_diverged(cell) for cell in cells if cell.diverged]
    if len(order) > MANY:
        left_out = plural(len(order) - 2 * FEW, "other")
        listed = ", ".join([*texts[:FEW], f"... ({left_out}) ...", *texts[-FEW:]])
        more = f"; not ranked: {the_first_few(others)}" if others else ""
        yield f"Test accuracy from best to worst: {listed}{more}."
        return
    listed = ", ".join(texts)
    if others:
        listed += f", and not ranked {and_list(others)}"
    pairs = list(combinations(order, 2))
    close = [f"{a.label} and {b.label}" for a, b in pairs if not compare(a, b).supported]
    count = f"{len(pairs) - len(close)} of the {len(pairs)} differences are supported"
    if 0 < len(close) <= FEW:
        count += f", all but {'; '.join(close)}"
    yield f"Test accuracy from best to worst: {listed}; {count}."


def by_variable(sweep: Sweep) -> Sentences:
    """Say for each variable which of its values is best, all else equal."""
    for key in sweep.varies:
        moved = [key]
        if key == "optimizer" and "learning_rate" not in sweep.varies:
            moved = [key, "learning_rate"]  # each optimizer has its own
        clauses, winners, supported = [], Counter(), 0
        for peers in sweep.peers(*moved):
            order = ranked(finished(peers))
            if len(order) > 1:
                first, second = (NAMES[key](getattr(cell.config, key)) for cell in order[:2])
                lead = compare(*order[:2])
                where = label(order[0].config, [k for k in sweep.varies if k not in moved])
                clauses.append(": ".join(filter(None, [where, contrast(first, second, lead)])))
                winners[first] += 1
                supported += lead.supported
        name = WORDS.get(key, key)
        if len(clauses) > FEW:
            counts = and_list(f"{value} {n} times" for value, n in winners.most_common())
            yield (
                f"Best {name} by test accuracy in {len(clauses)} comparisons, all else equal: "
                f"{counts}; the lead over the next is supported in {supported} of them."
            )
        elif clauses:
            yield f"Best {name}, all else equal: {'; '.join(clauses)}."


def stability(cells: list[Cell]) -> Sentences:
    """Compare the original sheet's stability score, 1 / (1 + variance of the loss), to accuracy."""
    order = ranked(finished(cells))
    accuracies = [cell.mean("test_accuracy")[0] for cell in order]
    scores = [cell.mean("training_stability_score")[0] for cell in order]
    if len(order) < 2 or set(scores) == {1.0}:  # after a single epoch all are 1
        return
    top = int(np.argmax(scores))
    rank = 1 + sum(other > accuracies[top] for other in accuracies)
    which = f"{ordinal(rank)} of {len(order)} by test accuracy ({accuracies[top]:.2f} %)"
    if rank == 1:
        which = "also the most accurate"
    loss = order[top].curves("train_loss").mean(axis=0)
    sentence = (
        f"The original sheet's stability score is highest ({scores[top]:.4f}) for "
        f"{order[top].label}, which is {which}. It rewards a loss that moves little, whether it "
        f"has converged or learns nothing; this one went from {loss[0]:.3f} to {loss[-1]:.3f} nats."
    )
    if len(order) > 2:
        a, s = np.array(accuracies), np.array(scores)
        opposite = sum(np.sum((a[:k] - a[k]) * (s[:k] - s[k]) < 0) for k in range(len(order)))
        sentence += (
            f" It orders {opposite:,} of the {math.comb(len(order), 2):,} pairs of cells the "
            "opposite way to test accuracy."
        )
    yield sentence


def diverged(cells: list[Cell]) -> Sentences:
    """Say which cells have runs that diverged."""
    gone = [cell for cell in cells if cell.diverged]
    clauses = [f"{c.label} ({c.diverged} of {plural(len(c.logs), 'seed')})" for c in gone]
    if clauses:
        yield f"Diverged, and so in no mean and no difference: {the_first_few(clauses)}."


# Findings of the studies: schedulers, batch-size, depth


def schedule_gains(sweep: Sweep) -> Sentences:
    """Say what each schedule gains over none, in training loss and in test accuracy."""
    better = {}
    for measure, title, says in (
        ("final_loss", "Final training loss", {A_BETTER: "lower", B_BETTER: "higher"}),
        ("test_accuracy", "Test accuracy", {A_BETTER: "higher", B_BETTER: "lower"}),
    ):
        rows = [(a, gain) for a, _, gain in against_no_schedule(sweep, measure) if gain.n]
        clauses = [
            f"{a.label} {amount_of(gain, measure)} {says.get(gain.verdict, 'apart')}{doubt(gain)}"
            for a, gain in rows
        ]
        if clauses:
            yield f"{title} against no schedule: {'; '.join(clauses)}."
        better[measure] = [a.label for a, gain in rows if gain.verdict == A_BETTER]
    in_loss_only = [name for name in better["final_loss"] if name not in better["test_accuracy"]]
    if in_loss_only:
        yield (
            f"With {and_list(in_loss_only)} the training loss got lower, but test accuracy did not "
            "get demonstrably higher."
        )


def batch_sizes(cells: list[Cell]) -> Sentences:
    """Say the accuracy, steps and seconds of each batch size."""
    clauses = []
    for cell in cells:
        whole = [log for log in cell.logs if not log["diverged"]]
        if whole:
            steps = plural(whole[0]["steps_per_epoch"] * len(whole[0]["epoch"]), "step")
            seconds = np.mean([sum(log["epoch_time"]) for log in whole])
            clauses.append(f"{cell.label}: {accuracy(cell)} in {steps}, {seconds:.1f} s")
    if clauses:
        yield f"Test accuracy, steps and time: {'; '.join(clauses)}."


def steps_needed(cells: list[Cell], where: str = "", seconds: bool = False) -> Sentences:
    """Say how many steps each cell took to the same validation accuracy; where: ' at ... rates'."""
    target = target_accuracy(cells)
    if target is None:
        return
    reached, never = {}, []
    for cell in cells:
        steps = [steps_to(log, target) for log in cell.logs]
        if None in steps:
            never.append(cell.label)
            continue
        mean, half = interval(steps)
        text = f"{cell.label}: {plus_minus(mean, half or None, 0)}"
        if seconds:
            epochs = [n // log["steps_per_epoch"] for log, n in zip(cell.logs, steps)]
            times = [sum(log["epoch_time"][:n]) for log, n in zip(cell.logs, epochs)]
            text += f" ({np.mean(times):.1f} s)"
        reached[text] = mean
    texts = sorted(reached, key=reached.get)
    if len(texts) > FEW:
        texts = [*texts[:3], "...", *texts[-3:]]
    end = f"; not reached by every seed: {the_first_few(never)}" if never else ""
    yield (
        f"Steps to {target} % validation accuracy{where}, counted in whole epochs: "
        f"{'; '.join(texts)}{end}."
    )


def gradients_through_depth(cells: list[Cell]) -> Sentences:
    """Say the factor of |dL/dz| per layer in the deepest networks, beside the one of theory."""
    deepest = max(cell.depth for cell in cells)
    factors: dict[str, list[str]] = {}
    for cell in cells:
        activation, init = cell.config.activation, cell.config.init
        mean, half = interval(map(measured_factor, cell.logs))
        if cell.depth == deepest and mean is not None:
            theory = theoretical_factor(activation, init)
            at_most = "at most " if activation in BOUNDS else ""
            note = "" if theory is None else f", theory: {at_most}{theory:.3f}"
            factors.setdefault(activation, []).append(f"{plus_minus(mean, half, 3)} ({init}{note})")
    for activation, listed in factors.items():
        yield (
            f"{activation}, {deepest} hidden layers, before the first step: |dL/dz| changes per "
            f"layer, towards the input, by the factor {', '.join(listed)}."
        )


def two_layers(sweep: Sweep) -> Sentences:
    """Say what is left of sigmoid's gradient in the first of two hidden layers.

    With the initial weights that come first, which are the original sheet's.
    """

    def first_to_last(cell: Cell) -> tuple[float | None, float | None]:
        return interval(norms[0] / norms[-1] for norms in map(initial_norms, cell.logs) if norms)

    known = [c for c in sweep.cells if c.config.activation == "sigmoid" and first_to_last(c)[0]]
    two = next((cell for cell in known if cell.depth == 2), None)
    if two is None:
        return
    sentence = (
        f"With two hidden layers of sigmoid ({two.config.init}) |dL/dz| of the first is "
        f"{plus_minus(*first_to_last(two), 3)} times that of the second"
    )
    peers = [cell for group in sweep.peers("hidden") if two in group for cell in group]
    deep = max(set(peers) & set(known), key=lambda cell: cell.depth)
    if deep.depth > 2:
        left = f"{first_to_last(deep)[0]:.1e} of the last"
        sentence += f", one such factor; with {deep.depth} layers the first has {left}"
    if ranked([two]):
        sentence += f". The two layers reach {accuracy(two)} test accuracy"
    yield sentence + "."


def accuracy_through_depth(sweep: Sweep) -> Sentences:
    """Say what the deepest networks gain or lose against two hidden layers (or the fewest)."""
    depths = sorted({cell.depth for cell in sweep.cells})
    start, deepest = 2 if 2 in depths[:-1] else depths[0], depths[-1]
    clauses = []
    for peers in sweep.peers("hidden"):
        by_depth = {cell.depth: cell for cell in peers}
        if start < deepest and {start, deepest} <= set(by_depth):
            gain = compare(by_depth[deepest], by_depth[start])
            if gain.n:
                amount = plus_minus(abs(gain.mean), gain.half, 2)
                name = label(peers[0].config, ["activation", "init"])
                clauses.append(f"{name} {'+' if gain.mean > 0 else '-'}{amount}{doubt(gain)}")
    if clauses:
        yield (
            f"Test accuracy with {deepest} hidden layers against {start}, after "
            f"{plural(sweep.cells[0].config.epochs, 'epoch')}, in percentage points: "
            f"{'; '.join(clauses)}."
        )


# Findings of tuned learning rates


def chosen_rates(tunings: list[Tuning]) -> Sentences:
    """Say which rates the tuning chose, and whether they lie inside of what it tried."""
    chosen = ", ".join(f"{t.label} {t.best:g}" for t in tunings)
    edges = [t.label for t in tunings if on_edge(t.scores)]
    at_edge = "none lies at an edge of what was tried"
    if edges:
        at_edge = f"at an edge of what was tried, so a better one may lie beyond: {and_list(edges)}"
    yield f"Best learning rates on validation: {chosen}; {at_edge}."


def spans(tunings: list[Tuning]) -> Sentences:
    """Say how far accuracy moves over the grid of rates, and at how many of them a seed diverged.

    A rate at which a seed diverged has no accuracy. Without the count, what explodes at high rates
    would look less sensitive to them.
    """
    steady, exploded = {}, []
    for t in tunings:
        grid = first_rates(t.usual)  # of equal length for all, without extensions
        scores = [score for rate, score in t.scores.items() if rate in grid]
        known = [score for score in scores if score is not None]
        if len(known) == len(scores) > 0:
            steady[t.label] = max(known) - min(known)
        elif known:
            count = f"{len(scores) - len(known)} of {plural(len(scores), 'rate')}"
            span = max(known) - min(known)
            exploded.append(f"{span:.1f} ({t.label}, and diverged at {count})")
    clauses = []
    if steady:
        least, most = min(steady, key=steady.get), max(steady, key=steady.get)
        name = f" ({least})" if len(tunings) > 1 else ""
        upto = f" to {steady[most]:.1f} ({most})" if most != least else ""
        clauses.append(f"by {steady[least]:.1f}{name}{upto} percentage points")
    if exploded:
        listed = the_first_few(exploded)
        clauses.append(f"over the rates at which no seed diverged by {listed} percentage points")
    if clauses:
        yield (
            f"Within the {FIRST_RATES} rates around the usual one, from a factor of 32 below it to "
            f"32 above, best validation accuracy moves {'; '.join(clauses)}."
        )


def gaps(tunings: list[Tuning]) -> Sentences:
    """Say what tuning leaves of the gap between two optimizers, all else equal.

    The two are adam and sgd, or else the best and the worst at their usual rates.
    """
    keys = set(varying(t.config for t in tunings)) - {"optimizer", "learning_rate"}
    peers: dict[str, dict[str, Tuning]] = {}
    for t in tunings:
        if t.at_usual and t.at_best:
            peers.setdefault(label(t.config, keys), {})[t.config.optimizer] = t
    for where, by_optimizer in peers.items():
        order = ranked(finished([t.at_usual for t in by_optimizer.values()]))
        names = [cell.config.optimizer for cell in order]
        if {"adam", "sgd"} <= set(by_optimizer):
            names = ["adam", "sgd"]
        if len(names) > 1:
            a, b = by_optimizer[names[0]], by_optimizer[names[-1]]
            if closed_by_tuning(a, b).n:
                yield f"{where}{', ' if where else ''}{gap_between(a, b)}."


def gap_between(a: Tuning, b: Tuning) -> str:
    """Say the gap between two optimizers at usual and at tuned rates, and what that means."""
    usual, tuned = compare(a.at_usual, b.at_usual), compare(a.at_best, b.at_best)
    names = a.config.optimizer, b.config.optimizer
    return (
        f"usual rates ({a.usual:g} and {b.usual:g}): {contrast(*names, usual)}; "
        f"tuned rates ({a.best:g} and {b.best:g}): {contrast(*names, tuned)}; "
        f"{share_of_the_rate(a, b, usual, tuned)}"
    )


def share_of_the_rate(a: Tuning, b: Tuning, usual: Difference, tuned: Difference) -> str:
    """Say how much of the gap at usual rates was the learning rate."""
    closed = closed_by_tuning(a, b)
    if (a.best, b.best) == (a.usual, b.usual):
        return "both usual rates were already the best"
    if closed.n == 1:
        return "but one seed decides nothing"
    if not usual.supported:
        return "so there was no supported gap to explain"
    if tuned.supported and tuned.verdict != usual.verdict:
        return "so tuning reversed the order"
    if not closed.supported:
        return "but the change of the gap is within the noise"
    if closed.verdict != usual.verdict:
        return "so tuning widened the gap"
    share = closed.mean / usual.mean
    how_much = "most" if share >= 0.5 else "some" if share >= 0.2 else "little"
    part = plus_minus(abs(closed.mean), closed.half, 2)
    whole = f"{abs(usual.mean):.2f} percentage points"
    return f"so {how_much} of the gap was the learning rate ({part} of the {whole})"


# Limits: what the sweep does not show


def seeds_and_images(sweep: Sweep) -> Sentences:
    """Say how many seeds there are, and how far other test images could move an accuracy.

    The standard error of a share p of N independent images is sqrt(p (1 - p) / N).
    """
    n = len(sweep.seeds)
    if n == 1:
        yield (
            "One seed decides nothing: another seed may give a different order. Give several, such "
            "as --seed 42 43 44 45 46."
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
    yield f"Training ended after {listed}; the ranking may change with more epochs."


def chance(cells: list[Cell]) -> Sentences:
    """Say how many of the intervals miss the truth by chance."""
    k, pairs = len(cells), math.comb(len(cells), 2)
    if k > 2 and any(len(cell.logs) - cell.diverged > 1 for cell in cells):  # or no interval
        expected = f"{pairs / 20:,.0f}" if pairs >= 200 else f"{pairs / 20:.1f}"
        yield (
            f"{k} cells make {pairs:,} comparisons. About one in twenty 95 % intervals misses the "
            f"truth by chance, here about {expected}; and a cell that is the best of many was "
            "probably lucky as well."
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
