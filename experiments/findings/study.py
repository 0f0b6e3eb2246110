"""What the studies find, each beside its own question: schedules, batch sizes, depth, tuning."""

import numpy as np

from findings.clauses import Finding, Findings, accuracy, amount_of, contrast, doubt
from findings.comparisons import (
    A_BETTER,
    BOUNDS,
    Difference,
    against_no_schedule,
    closed_by_tuning,
    compare_all,
    finished,
    initial_norms,
    measured_factor,
    ranked,
    theoretical_factor,
    together,
)
from findings.sweep import Cell, Sweep, Tuning, interval, label, varying
from sweep.tuning import FIRST_RATES, first_rates, on_edge
from words import and_list, plural, plus_minus, the_first_few

# Schedules


def schedule_gains(sweep: Sweep) -> Findings:
    """Say what each schedule gains over none, in training loss and in test accuracy."""
    better = {}
    for measure, title in (
        ("test_accuracy", "test accuracy"),
        ("final_loss", "final training loss"),
    ):
        rows = [(a, gain) for a, _, gain in against_no_schedule(sweep, measure) if gain.n]
        clauses = [
            f"{a.label} {amount_of(gain, measure)} {way(gain.mean)}{doubt(gain)}"
            for a, gain in rows
        ]
        if clauses:
            yield Finding("Schedules", f"{title} against no schedule: {'; '.join(clauses)}.")
        better[measure] = [a.label for a, gain in rows if gain.verdict == A_BETTER]
    in_loss_only = [name for name in better["final_loss"] if name not in better["test_accuracy"]]
    if in_loss_only:
        yield Finding(
            "Schedules",
            f"with {and_list(in_loss_only)} the training loss got lower, but test accuracy did not "
            "get demonstrably higher.",
        )


def way(difference: float) -> str:
    return "higher" if difference > 0 else "lower" if difference < 0 else "apart"


# Batch sizes


def batch_sizes(cells: list[Cell]) -> Findings:
    """Say the accuracy, steps and seconds of each batch size."""
    clauses = []
    for cell in cells:
        whole = [log for log in cell.logs if not log["diverged"]]
        if whole:
            steps = plural(whole[0]["steps_per_epoch"] * len(whole[0]["epoch"]), "step")
            seconds = np.mean([sum(log["epoch_time"]) for log in whole])
            clauses.append(f"{cell.label}: {accuracy(cell)} in {steps}, {seconds:.1f} s")
    if clauses:
        yield Finding("Batch sizes", f"test accuracy, steps and time: {'; '.join(clauses)}.")


# Depth


def gradients_through_depth(cells: list[Cell]) -> Findings:
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
        yield Finding(
            f"Gradients through {activation}",
            f"{plural(deepest, 'hidden layer')}, before the first step: |dL/dz| changes per layer, "
            f"towards the input, by the factor {', '.join(listed)}.",
        )


def two_layers(sweep: Sweep) -> Findings:
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
        f"with two hidden layers of sigmoid ({two.config.init}) |dL/dz| of the first is "
        f"{plus_minus(*first_to_last(two), 3)} times that of the second"
    )
    peers = [cell for group in sweep.peers("hidden") if two in group for cell in group]
    deep = max(set(peers) & set(known), key=lambda cell: cell.depth)
    if deep.depth > 2:
        left = f"{first_to_last(deep)[0]:.1e} of the last"
        sentence += f", one such factor; with {deep.depth} layers the first has {left}"
    if ranked([two]):
        sentence += f". The two layers reach {accuracy(two)} test accuracy"
    yield Finding("Two layers", f"{sentence}.")


def accuracy_through_depth(sweep: Sweep) -> Findings:
    """Say what the deepest networks gain or lose against two hidden layers (or the fewest)."""
    depths = sorted({cell.depth for cell in sweep.cells})
    start, deepest = 2 if 2 in depths[:-1] else depths[0], depths[-1]
    by_depth = [{cell.depth: cell for cell in peers} for peers in sweep.peers("hidden")]
    pairs = [
        (d[deepest], d[start]) for d in by_depth if start < deepest and {start, deepest} <= {*d}
    ]
    clauses = []
    for deep, _, gain in compare_all(pairs):
        if gain.n:
            amount = plus_minus(abs(gain.mean), gain.half, 2)
            name = label(deep.config, ["activation", "init"])
            clauses.append(f"{name} {'+' if gain.mean > 0 else '-'}{amount}{doubt(gain)}")
    if clauses:
        yield Finding(
            "Accuracy by depth",
            f"test accuracy with {deepest} hidden layers against {start}, after "
            f"{plural(sweep.cells[0].config.epochs, 'epoch')}, in percentage points: "
            f"{'; '.join(clauses)}.",
        )


# Learning rates


def chosen_rates(tunings: list[Tuning]) -> Findings:
    """Say which rates the tuning chose, and whether they lie inside of what it tried."""
    chosen = ", ".join(f"{t.label} {t.best:g}" for t in tunings)
    edges = [t.label for t in tunings if on_edge(t.scores)]
    at_edge = "none lies at an edge of what was tried"
    if edges:
        at_edge = f"at an edge of what was tried, so a better one may lie beyond: {and_list(edges)}"
    yield Finding("Best learning rates", f"on validation: {chosen}; {at_edge}.")


def spans(tunings: list[Tuning]) -> Findings:
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
        yield Finding(
            "What a wrong rate costs",
            f"within the {FIRST_RATES} rates around the usual one, from a factor of 32 below it to "
            f"32 above, best validation accuracy moves {'; '.join(clauses)}.",
        )


def gaps(tunings: list[Tuning]) -> Findings:
    """Say what tuning leaves of the gap between two optimizers, all else equal.

    The two are adam and sgd, or else the best and the worst at their usual rates.
    """
    keys = set(varying(t.config for t in tunings)) - {"optimizer", "learning_rate"}
    peers: dict[str, dict[str, Tuning]] = {}
    for t in tunings:
        if t.at_usual and t.at_best:
            peers.setdefault(label(t.config, keys), {})[t.config.optimizer] = t
    pairs: dict[str, tuple[Tuning, Tuning]] = {}
    for where, by_optimizer in peers.items():
        order = ranked(finished([t.at_usual for t in by_optimizer.values()]))
        names = [cell.config.optimizer for cell in order]
        if {"adam", "sgd"} <= set(by_optimizer):
            names = ["adam", "sgd"]
        if len(names) > 1:
            pairs[where] = by_optimizer[names[0]], by_optimizer[names[-1]]
    at_usual = compare_all((a.at_usual, b.at_usual) for a, b in pairs.values())
    at_best = compare_all((a.at_best, b.at_best) for a, b in pairs.values())
    closed = together(closed_by_tuning(a, b) for a, b in pairs.values())
    for where, (*_, usual), (*_, tuned), change in zip(pairs, at_usual, at_best, closed):
        if change.n:
            a, b = pairs[where]
            names = a.config.optimizer, b.config.optimizer
            yield Finding(
                f"The gap with {where}" if where else "The gap",
                f"at usual rates ({a.usual:g} and {b.usual:g}) {contrast(*names, usual)}; at tuned "
                f"rates ({a.best:g} and {b.best:g}) {contrast(*names, tuned)}; "
                f"{share_of_the_rate(a, b, usual, tuned, change)}.",
            )


def share_of_the_rate(
    a: Tuning, b: Tuning, usual: Difference, tuned: Difference, closed: Difference
) -> str:
    """Say how much of the gap at usual rates was the learning rate; closed: what tuning closed."""
    if (a.best, b.best) == (a.usual, b.usual):
        return "both usual rates were already the best"
    if closed.n == 1:
        return f"tuning changed the gap by {abs(closed.mean):.2f} percentage points"
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
