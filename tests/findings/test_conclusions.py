"""experiments/findings/conclusions.py: the right numbers in words; verdicts follow the data."""

import re
from itertools import product

import pytest

from builders import SEEDS, cell, fake, tuned_logs
from findings import conclusions
from findings.sweep import Sweep
from nnlite import ACTIVATIONS, SCHEDULERS
from sweep import studies


def conclude(study, logs, tune_seeds=()):
    return conclusions.conclude(Sweep.of(logs, study, tune_seeds=tune_seeds))


def found(study, logs, tune_seeds=()):
    return "\n".join(map(str, conclude(study, logs, tune_seeds).found))


def limits(study, logs, tune_seeds=()):
    return "\n".join(conclude(study, logs, tune_seeds).not_shown)


HIGH, LOW = [90, 91, 92, 91, 90], [80, 82, 83, 81, 79]  # 10, 9, 9, 10, 11: mean 9.8, half 1.04


def test_the_best_cell_with_its_interval_and_its_lead():
    logs = cell(HIGH, optimizer="adam") + cell(LOW, optimizer="sgd")
    first = conclude(None, logs).found[0]
    assert str(first).startswith(  # standard deviations 0.837 of both; t(0.975, 4) = 2.776
        "Best cell: adam has the highest test accuracy of 2 cells, 90.80 ± 1.04 % (mean of 5 "
        "seeds, 95 % t-interval). It beats the next (sgd) by 9.80 ± 1.04 percentage points; 5 "
        "seeds paired. (A cell is"
    )


def test_the_verdict_flips_when_the_data_flip():
    up = found("optimizers", cell(HIGH, optimizer="adam") + cell(LOW, optimizer="sgd"))
    down = found("optimizers", cell(LOW, optimizer="adam") + cell(HIGH, optimizer="sgd"))
    assert "adam has the highest" in up and "It beats the next (sgd) by 9.80 ± 1.04" in up
    assert "sgd has the highest" in down and "It beats the next (adam) by 9.80 ± 1.04" in down


def test_what_is_not_supported_is_not_said():
    a, b = [80, 81, 82, 83, 84], [80.2, 80.8, 82.2, 82.9, 83.8]
    text = found(None, cell(a, optimizer="adam") + cell(b, optimizer="sgd"))
    assert (
        "The difference between it and the next (sgd) is within the noise (0.02 ± 0.25 per" in text
    )
    assert "It beats" not in text


def test_rounding_does_not_hide_on_which_side_of_zero_an_interval_ends():
    a = [80.0, 80.0, 80.0]
    d = 0.304  # differences d - w, d, d + w have half-width 2.484 w
    for w, says in ((0.1222, "It beats"), (0.1226, "is within the noise")):
        logs = cell([80 + d - w, 80 + d, 80 + d + w], optimizer="adam") + cell(a, optimizer="sgd")
        text = found(None, logs)
        assert says in text and " 0.30 ± 0.30" not in text and "0.304" in text


def test_equal_cells_are_not_given_many_digits():
    text = found(None, cell(HIGH, optimizer="adam") + cell(HIGH, optimizer="sgd"))
    assert "sgd and adam share the highest test accuracy, 90.80 ± 1.04 %" in text


def test_one_seed_is_told_as_what_happened_and_the_caveat_comes_once():
    logs = [fake(optimizer=o, test=t) for o, t in (("adam", 89), ("sgd", 80), ("adamw", 88))]
    result = conclude("optimizers", logs)
    text = "\n".join(str(f) for f in result.found if f.topic != "What tuning would change")
    assert "It is 1.00 percentage points ahead of the next (adamw)." in text
    assert "adam (89.00 %), adamw (88.00 %), sgd (80.00 %)." in text
    assert not re.search("beats|supported|noise|decides|interval", text)
    everything = text + "\n".join(result.not_shown)
    assert everything.count("happened in one seed; another seed may give a different order") == 1


def test_ties_are_ties():
    logs = [fake(optimizer=o, test=t) for o, t in (("adam", 89), ("sgd", 80), ("adamw", 89))]
    text = found("optimizers", logs)
    assert "adam and adamw (89.00 %), sgd (80.00 %)" in text
    assert "adam and adamw share the highest test accuracy, 89.00 % (one seed)." in text
    logs = [fake(a, o) for a in ("relu", "tanh") for o in ("adam", "sgd")]
    assert "Optimizer: tanh: sgd and adam are level; relu: sgd and adam are level." in found(
        None, logs
    )


def test_one_cell_is_described_and_compared_with_nothing():
    first, *rest = conclude(None, cell(HIGH)).found
    assert str(first).startswith(
        "Test accuracy: relu + adam reaches 90.80 ± 1.04 % (mean of 5 seeds, 95 % t-interval). (±"
    )
    assert not re.search("beats|next|ahead", "".join(map(str, rest)))


def test_the_ranking_names_what_is_not_decided():
    logs = (
        cell(HIGH, activation="gelu")
        + cell([x + 0.001 * (-1) ** x for x in HIGH])
        + cell(LOW, activation="sigmoid")
    )
    text = found("activations", logs)
    assert "relu (90.80 %), gelu (90.80 %), sigmoid (81.00 %)" in text
    assert "(2 of 3 differences are supported, but not between relu and gelu)" in text
    logs += cell([x + 0.002 * (-1) ** x for x in HIGH], activation="elu")
    assert (
        "(supported: elu over sigmoid, relu over sigmoid, gelu over sigmoid; the rest is within "
        "the noise)"
    ) in " ".join(found("activations", logs).split())


def test_axes_are_compared_with_all_else_equal():
    """relu is 20 better than sigmoid by sgd and by adam, which is 1 better than sgd."""
    logs = [
        fake(
            a,
            o,
            seed=s,
            test=60 + 20 * (a == "relu") + (o == "adam") * (1 + s / 1e4) + s % 4 + wobble(s, a),
        )
        for a, o, s in product(("relu", "sigmoid"), ("sgd", "adam"), SEEDS)
    ]
    text = found(None, logs)
    lines = text.splitlines()
    assert lines[0].startswith(  # the weightier one comes first
        "Activation: relu beats sigmoid with both optimizers, by 20.00 ± 0.25 (sgd) to "
        "20.00 ± 0.25 (adam) percentage points of test accuracy."
    )
    assert (
        "Optimizer: adam beats sgd with both activations, by 1.00 ± 0.00 (sigmoid) to" in lines[1]
    )


def test_a_lead_is_summed_up_only_where_it_holds_everywhere():
    """adam is 5 ahead with relu, 0.1 ahead or behind with tanh, where seeds differ by more."""
    luck = (0.0, 0.9, -0.9, 0.4, -0.2)
    logs = cell([85 + 0.1 * x for x in luck]) + cell([80] * 5, optimizer="sgd")
    for lead, says in (
        (0.1, "adam is ahead of sgd with both activations, by 0.14 ± 0.84 (tanh) to 5.00 ± 0.08 "),
        (-0.1, "relu: adam beats sgd by 5.00 ± 0.08 percentage points"),
    ):
        tanh = cell([80 + lead + x for x in luck], activation="tanh")
        text = found(None, logs + tanh + cell([80] * 5, activation="tanh", optimizer="sgd"))
        assert says in text
        assert ("Within the noise: tanh." in text) == (lead > 0)


def test_terms_are_explained_once_where_they_first_appear():
    result = conclude(None, cell(HIGH) + cell(LOW, optimizer="sgd") + cell(LOW, optimizer="adamw"))
    texts = [*map(str, result.found), *result.not_shown]
    for term, meaning in conclusions.TERMS.items():
        having = [text for text in texts if re.search(term, text.replace(meaning, ""))]
        assert [text for text in texts if meaning in text] == having[:1]
    assert "A cell is one combination" in "".join(texts) and "nats is" not in "".join(texts)


def test_many_layers_are_counted():
    assert "layers of 8, 8, 8, 8, 8 and 55 more" in limits(None, [fake(hidden=[8] * 60)])


def test_a_ranking_of_many_cells_names_the_first_and_the_last():
    logs = [fake(learning_rate=float(k), test=k / 10) for k in range(1, 501)]
    text = found(None, logs)
    assert "from best to worst: lr 500 (50.00 %)" in text and "... (488 others) ..." in text
    assert text.count("lr 1 (0.10 %)") == 1 and len(text) < 1500


def test_a_plural_has_a_plural_verb():
    logs = cell(HIGH, hidden=[9, 9]) + cell(LOW, hidden=[9])
    logs += cell(HIGH, hidden=[9, 9], init="he") + cell(LOW, hidden=[9], init="he")
    text = found(None, logs)
    assert "Depth: 2 hidden layers of 9 beat 1 hidden layer of 9 with both initializations" in text
    one_seed = [log for log in logs if log["config"]["seed"] == 42]
    assert "2 hidden layers of 9 are ahead of 1 hidden layer of 9 with both" in found(
        None, one_seed
    )


def wobble(seed, name):
    """0, or for relu something that sums to 0 over the seeds; its half-width is 0.248."""
    return dict(zip(SEEDS, (0.2, -0.2, 0.2, -0.2, 0)))[seed] if name == "relu" else 0


def test_many_comparisons_are_counted_instead_of_listed():
    logs = [
        fake(a, o, rate, seed=s, test=60 + (o == "adam") * (1 + s / 1e4) + s % 4)
        for a, o, rate, s in product(
            ("relu", "tanh", "gelu"), ("sgd", "adam"), (0.1, 0.01, 0.001), (1, 2, 3)
        )
    ]
    text = found(None, logs)
    assert "Optimizer: adam beats sgd with all 9 combinations of the rest, by 1.00 ± 0.00" in text
    for log in logs:  # now sgd is ahead in one of the nine
        where = [log["config"][key] for key in ("optimizer", "activation", "learning_rate")]
        log["test_accuracy"] += 5 * (where == ["sgd", "gelu", 0.1])
    text = found(None, logs)
    assert "Optimizer: best by test accuracy in 9 comparisons" in text
    assert "adam 8 times and sgd 1 times; the lead over the next is supported in 9 of them" in text


def test_diverged_runs_are_named_and_in_no_mean():
    gone = [fake(optimizer="sgd", seed=s, diverged=s == 44, test=80 + s % 2) for s in SEEDS]
    text = found(None, cell(HIGH) + gone)
    assert "Diverged: and so in no mean and no difference: sgd (1 of 5 seeds)." in text
    assert "Not ranked: sgd (1 of 5 seeds diverged)." in text and "seeds paired" not in text


def test_a_cell_of_which_a_seed_diverged_is_not_the_best():
    """The finished seeds of sgd are the highest of all, but two of five are gone."""
    gone = [fake(optimizer="sgd", seed=s, diverged=s > 44, test=95 + s % 2) for s in SEEDS]
    text = found("optimizers", cell(HIGH) + cell(LOW, optimizer="adamw") + gone)
    assert "adam has the highest test accuracy of 3 cells, 90.80 ± 1.04 %" in text
    assert "It beats the next (adamw)" in text
    assert "Not ranked: sgd (2 of 5 seeds diverged)." in text
    logs = cell(HIGH) + cell(LOW, optimizer="adamw") + cell(LOW, optimizer="rmsprop") + gone
    text = found("optimizers", logs)
    assert "adamw (81.00 %) (2 of 3 differences" in text
    assert "; not ranked: sgd (2 of 5 seeds diverged)." in text
    text = found("optimizers", gone + [fake(seed=s, diverged=s == 42) for s in SEEDS])
    assert "Best cell: in every cell a seed diverged, so none is called the best." in text


def test_nothing_but_divergence_is_said_too():
    logs = [fake(optimizer=o, seed=s, diverged=True) for o in ("sgd", "adam") for s in SEEDS]
    for study in (None, *studies.STUDIES):
        text = found(study, logs)
        assert "every run diverged" in text and "sgd (5 of 5 seeds)" in text
    assert limits(None, logs)


def test_new_activations_and_studies_are_no_obstacle(monkeypatch):
    for name in ("swish", "mish"):
        monkeypatch.setitem(ACTIVATIONS, name, ACTIVATIONS["gelu"])
    for study in (None, *studies.STUDIES, "a study of tomorrow"):
        logs = cell(HIGH, activation="swish") + cell(LOW, activation="mish")
        assert study == "depth" or "swish has the highest" in found(study, logs)


def test_no_run_at_all():
    tried = [log for log in tuned_logs("sgd", 0.1) if log["config"]["seed"] in (1, 2)]
    for result in (conclude("depth", []), conclude("learning-rate", tried, [1, 2])):
        assert result.found == [] and len(result.not_shown) == 1


@pytest.mark.parametrize("study", [None, *studies.STUDIES])
def test_every_sentence_is_a_sentence(study):
    logs = cell(HIGH) + cell(LOW, optimizer="sgd") + cell([85, 84, 83], optimizer="adamw")
    result = conclude(study, logs)
    for sentence in (*map(str, result.found), *result.not_shown):
        assert re.search(r"\.\)?$", sentence) and "nan" not in sentence and "None" not in sentence
        assert not re.search(r"  |,,|\.\.$|\( ", sentence)


# Schedules


def scheduled(losses, tests):
    """Logs of the four schedules with these mean losses and accuracies, and some noise."""
    return [
        fake(
            scheduler=name,
            seed=s,
            loss=loss + 0.001 * (s % 3) + (name != "none") * (s - 44) / 1e7,
            test=test + 0.1 * (s % 2) + (name != "none") * (s - 44) / 1e5,
        )
        for name, loss, test in zip(SCHEDULERS, losses, tests)
        for s in SEEDS
    ]


def test_schedules_are_compared_with_none_in_loss_and_in_accuracy():
    text = found("schedulers", scheduled((0.2, 0.1, 0.15, 0.3), (88, 89, 88, 87)))
    assert "step 0.1000 ± 0.0000 nats lower; cosine 0.0500 ± 0.0000 nats lower" in text
    assert "exponential 0.1000 ± 0.0000 nats higher" in text
    assert (
        "Schedules: test accuracy against no schedule: step 1.00 ± 0.00 percentage points higher"
        in text
    )
    assert "exponential 1.00 ± 0.00 percentage points lower" in text
    assert "with cosine the training loss got lower, but test accuracy did not" in text


def test_schedules_without_none_are_ranked_only():
    logs = [
        log
        for log in scheduled((0.2, 0.1, 0.15, 0.3), (88, 89, 88, 87))
        if log["config"]["scheduler"] != "none"
    ]
    text = found("schedulers", logs)
    assert "against no schedule" not in text and "step (89.04 %)" in text


# Batch sizes


def test_batch_sizes_with_accuracy_steps_and_seconds():
    logs = cell(HIGH, optimizer="sgd", batch_size=8, steps=6000, seconds=20.0)
    logs += cell(LOW, optimizer="sgd", batch_size=512, steps=94, seconds=1.5)
    text = found("batch-size", logs)
    assert "batch 8: 90.80 ± 1.04 % in 24,000 steps, 80.0 s" in text
    assert "batch 512: 81.00 ± 1.96 % in 376 steps, 6.0 s" in text
    assert (
        "How fast: steps and seconds to 80 % validation accuracy, counted in whole epochs: 376 in "
        "6.0 s (batch 512), 18,000 in 60.0 s (batch 8)."
    ) in text
    assert "each may have a better one" in limits("batch-size", logs)


# Depth


def deep(factor, tests=(85, 84, 83), depths=(1, 2, 5), activation="sigmoid", init="uniform"):
    """Networks of these depths; |dL/dz| changes by factor (1 % more or less) per layer."""
    return [
        fake(
            activation,
            "sgd_momentum",
            init=init,
            hidden=[128] * n,
            seed=s,
            test=test + s % 3 + n * s / 1e5,
            norms=[0.01 * (factor * (1 + 0.01 * (s % 3 - 1))) ** (n - k) for k in range(n)],
        )
        for n, test in zip(depths, tests)
        for s in (42, 43, 44)
    ]


def test_factor_per_layer_beside_the_one_of_theory():
    """Seeds have 0.99, 1 and 1.01 times 0.14: mean 0.14, s = 0.0014, half-width 2.484 s."""
    text = found("depth", deep(0.14))
    assert "Gradients through sigmoid: 5 hidden layers, before the first step" in text
    assert "by the factor 0.140 ± 0.003 (uniform, theory: at most 0.144)" in text
    assert "0.500 ± 0.012 (he, theory: 1.000)" in found(
        "depth", deep(0.5, activation="relu", init="he")
    )
    assert "0.500 ± 0.012 (he)" in found("depth", deep(0.5, activation="gelu", init="he"))


def test_two_layers_are_one_factor():
    text = found("depth", deep(0.14))
    assert "with two hidden layers of sigmoid (uniform) |dL/dz| of the first is 0.140" in text
    assert "± 0.003 times that of the second, one such factor;" in text
    assert "with 5 layers the first has 3.8e-04 of the last" in text  # 0.14^4
    assert "The two layers reach 85.00 ± 2.48 % test accuracy" in text
    text = found("depth", deep(0.14, depths=(1, 2)))
    assert "times that of the second. The" in text and "such factor" not in text


def test_what_depth_did_to_accuracy():
    logs = deep(0.14, (80, 85, 20)) + deep(0.5, (80, 85, 86), init="he")
    text = found("depth", logs)
    assert "with 5 hidden layers against 2, after 4 epochs" in text
    assert "sigmoid, uniform -65.00 ± 0.00; sigmoid, he +1.00 ± 0.00" in text


def test_a_study_of_shallow_networks_fits_nothing():
    text = found("depth", deep(0.14, (80, 85), (1, 2)))
    assert "factor" not in text and "with 2 hidden layers against 1" in text


# Learning rates


def test_most_of_the_gap_was_the_learning_rate():
    """At usual rates adam has 85 and sgd 80 (+ the same per seed); at tuned ones both 85."""
    logs = tuned_logs("sgd", 0.1, test=80, gain=4.5) + tuned_logs("adam", 0.001, test=85)
    for log in logs:  # not to be exactly the same in every seed
        log["test_accuracy"] += (
            0.1 * (log["config"]["seed"] % 2) * (log["config"]["optimizer"] == "sgd")
        )
    text = found("learning-rate", logs, [1, 2])
    assert "usual rates (0.001 and 0.01) adam beats sgd by 4.96 ± 0.07" in text
    assert "tuned rates (0.001 and 0.1) adam beats sgd by 0.46 ± 0.07" in text
    assert "so most of the gap was the learning rate (4.50 ± 0.00 of the 4.96" in text
    assert "Best learning rates: on validation: sgd 0.1, adam 0.001; none lies at an edge" in text


@pytest.mark.parametrize(
    ("gain", "says"),
    [
        (1.5, "so some of the gap"),
        (0.5, "so little of the gap"),
        (-2.0, "so tuning widened the gap"),
        (9.0, "so tuning reversed the order"),
    ],
)
def test_how_much_of_the_gap_follows_the_data(gain, says):
    logs = tuned_logs("sgd", 0.1, test=80, gain=gain) + tuned_logs("adam", 0.001, test=85)
    assert says in found("learning-rate", logs, [1, 2])


def test_no_gap_is_explained_that_is_not_there():
    logs = tuned_logs("sgd", 0.1, test=85, gain=1) + tuned_logs("adam", 0.001, test=85)
    assert "so there was no supported gap to explain" in found("learning-rate", logs, [1, 2])


def test_rates_that_were_the_best_already_explain_nothing():
    logs = tuned_logs("sgd", 0.01, test=80) + tuned_logs("adam", 0.001, test=85)
    text = found("learning-rate", logs, [1, 2])
    assert "both usual rates were already the best." in text and "within the noise" not in text


def test_a_tuned_sweep_without_a_study_has_the_same_findings():
    logs = tuned_logs("sgd", 0.1) + tuned_logs("adam", 0.001)
    assert found(None, logs, [1, 2]) == found("learning-rate", logs, [1, 2])
    assert "Only" not in found(None, logs, [1, 2])


def test_tuned_cells_are_named_without_their_rates():
    logs = tuned_logs("sgd", 0.1) + tuned_logs("adam", 0.001)
    by_topic = {finding.topic: finding.text for finding in conclude(None, logs, [1, 2]).found}
    best, steps = by_topic["Best cell"], by_topic["How fast"]
    assert "sgd" in best and "of 2 tuned cells" in best and "(adam)" in best
    assert "lr" not in best + steps
    assert "at tuned rates, counted in whole epochs: " in steps and "1,600 (" in steps


def test_a_best_rate_at_an_edge_is_confessed():
    logs = tuned_logs("sgd", 0.316) + tuned_logs("adam", 0.001)
    assert "at an edge of what was tried, so a better one may lie beyond: sgd" in (
        found("learning-rate", logs, [1, 2])
    )


def test_span_of_the_grid():
    """4 points per decade: 1.5 decades either side of the best, or 2.5 below and 0.5 above it."""
    logs = tuned_logs("sgd", 0.1) + tuned_logs("adam", 0.001)
    text = found("learning-rate", logs, [1, 2])
    assert "moves by 6.0 (adam) to 10.0 (sgd) percentage points" in text
    for log in logs:
        if log["config"]["optimizer"] == "sgd" and log["config"]["learning_rate"] < 0.001:
            if log["config"]["seed"] == 2:
                log["diverged"] = {"epoch": 4, "step": 1}
    text = found("learning-rate", logs, [1, 2])
    assert "accuracy moves by 6.0 (adam) percentage points; over the rates at which no" in text
    assert "diverged by 8.0 (sgd, and diverged at 1 of 7 rates) percentage points." in text
    logs = tuned_logs("sgd", 1.0) + tuned_logs("adam", 0.001)  # 1.0 is an extension
    assert "to 12.0 (sgd)" in found("learning-rate", logs, [1, 2])


# What is not shown


def test_the_limits_have_their_numbers():
    logs = cell(HIGH) + cell(LOW, optimizer="sgd") + cell(LOW, optimizer="adamw")
    text = limits(None, logs)
    assert "5 seeds." in text and "hidden layers of 256 and 128" in text and "Fashion-MNIST" in text
    assert "another 10,000 of them" in text and "near 84 % by about 0.4 percentage points" in text
    assert "sgd 0.01, adam 0.001 and adamw 0.001" in text and "after 4 epochs" in text
    assert "(Holm's method)" in text and "Incomplete" not in text
    assert "Holm" not in limits(None, [log for log in logs if log["config"]["seed"] == 42])


def test_digits_are_not_sold_as_fashion():
    text = limits(None, cell(HIGH, name="digits") + cell(LOW, optimizer="sgd", name="digits"))
    assert "digits, not Fashion-MNIST" in text


def test_few_seeds_and_tuned_rates_are_said():
    assert "2 seeds, so few" in limits(None, cell(HIGH[:2]) + cell(LOW[:2], optimizer="sgd"))
    text = limits(None, tuned_logs("sgd", 0.1) + tuned_logs("adam", 0.001), [1, 2])
    assert "tuned in half-decades, on 2 seeds" in text and "No learning rate" not in text


def test_an_interrupted_sweep_is_incomplete():
    logs = [fake(a, o, seed=s) for a in ("relu", "tanh") for o in ("sgd", "adam") for s in SEEDS]
    assert "Incomplete" not in limits(None, logs)
    assert "tanh + adam (2 of 5 seeds)" in limits(None, logs[:-3])
    assert "Incomplete: there is no run of 1 of the 4 combinations" in limits(None, logs[:-5])
