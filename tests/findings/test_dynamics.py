"""experiments/findings/dynamics.py: how networks learned, told from numbers worked out by hand."""

from pathlib import Path

import pytest

from builders import cell, fake
from findings import dynamics
from findings.sweep import Sweep

ROOT = Path(__file__).resolve().parents[2]
SEEDS = (42, 43, 44)
NORMS = {"sigmoid": (0.0006, 0.0045, 0.03), "relu": (0.005, 0.0125, 0.03), "gelu": (1, 1, 1)}


def text_of(findings):
    (finding,) = findings
    return finding.text


def grid(activations=("relu", "sigmoid"), optimizers=("sgd", "adam"), **config):
    """Logs of these cells: |dL/dz| before training as in NORMS, which no optimizer changes."""
    return [
        fake(a, o, seed=s, norms=NORMS[a], **config)
        for a in activations
        for o in optimizers
        for s in SEEDS
    ]


# How fast


def test_epochs_to_the_target_are_means_over_seeds_and_equal_ones_share_a_number():
    """val rises from 0.7 to 1 of its end in four steps: 90 gives 63, 72, 81, 90."""
    logs = cell([89] * 3, SEEDS) + cell([89] * 3, SEEDS, optimizer="adamw")
    logs += [fake(optimizer="sgd", seed=s, val=v) for s, v in zip(SEEDS, (80, 95, 95))]
    logs += cell([5] * 3, SEEDS, optimizer="rmsprop")
    cells = Sweep.of(logs).cells
    # Three quarters of the cells reach 80 %: sgd after epochs 4, 3, 3; t(0.975, 2) s = 4.303 / 3
    assert text_of(dynamics.speed(cells)) == (
        "epochs to 80 % validation accuracy: 3 (adam and adamw), 3.3 ± 1.4 (sgd). Not every seed "
        "got there: rmsprop (at best 6.0 %)."
    )
    assert "steps to 80 % validation accuracy at tuned rates, counted in whole epochs: 1,200" in (
        text_of(dynamics.speed(cells, "steps", " at tuned rates"))
    )


def test_of_many_cells_that_are_equally_fast_some_are_named():
    logs = [fake(learning_rate=k / 100, seed=s, val=89) for k in range(1, 13) for s in SEEDS]
    text = text_of(dynamics.speed(Sweep.of(logs).cells))
    assert "lr 0.01, lr 0.02, lr 0.03, lr 0.04, lr 0.05 and 7 more" in text


# How gradients flow


def test_gradients_before_training_beside_theory():
    text = text_of(dynamics.gradients_at_start(Sweep.of(grid())))
    assert (
        "divided by that of fc3, the last: sigmoid 0.0200 ± 0.0000 (theory: at most 0.0208), "
        in text
    )
    assert "relu 0.167 ± 0.000 (theory: 0.167)" in text
    assert "With sigmoid gradients vanish" in text
    assert "D units, here 0.577)" in text  # weights uniform in +-1/sqrt(D): the root of 1/3
    xavier = text_of(dynamics.gradients_at_start(Sweep.of(grid(init="xavier"))))
    assert "D units) and by" in xavier  # which has a spread for each two widths
    assert text.endswith(
        "slope: at most 1/4 for sigmoid, for relu 1 in half of its units and 0 in the others, "
        "together 0.707. This is one "
        "depth; others: --study depth."
    )
    assert text.count("sigmoid 0.02") == 1  # once, not once for each optimizer


def test_without_vanishing_gradients_nothing_vanishes():
    text = text_of(dynamics.gradients_at_start(Sweep.of(grid(["relu", "gelu"]))))
    assert "vanish" not in text and "gelu 1" in text and "gelu 1.00 ± 0.00 (t" not in text
    assert not [*dynamics.hidden_gradients(Sweep.of(grid(["relu", "gelu"])))]
    assert not [*dynamics.gradients_at_start(Sweep.of([fake()]))]  # a log without them


def ended(shares):
    """Logs whose |dL/dz| of fc1 is such a share of fc3's in the last epoch, by optimizer."""
    logs = grid()
    for log in logs:
        last = {"fc1": 0.01 * shares[log["config"]["optimizer"]], "fc2": 0.5, "fc3": 0.01}
        log["probe"] = {name: {"gradient_norm": [9.0, norm]} for name, norm in last.items()}
    return text_of(dynamics.gradients_at_end(Sweep.of(logs)))


def test_gradients_after_training():
    text = ended({"sgd": 0.2, "adam": 0.8})
    assert "relu + sgd 0.200 ± 0.000" in text and "sigmoid + adam 0.800 ± 0.000" in text
    assert text.index("relu + sgd") < text.index("relu + adam")
    assert "Above 1" not in text


def test_gradients_are_said_to_have_grown_only_if_all_have():
    text = ended({"sgd": 1.5, "adam": 1.6})
    assert "Above 1" in text and "It has grown everywhere: section 5.6 of the lab sheet" in text
    sheet = (ROOT / "labsheet.md").read_text("utf-8")
    assert "\n### 5.6 What training does to the gradients" in sheet
    assert "It has grown" not in ended({"sgd": 0.001, "adam": 1.6})
    assert "It has grown" not in ended({"sgd": 0.17, "adam": 1.6})  # relu had 0.167


def steps(logs, ratios):
    """Set how far the last step of the first epoch moves fc1 and fc3, by optimizer."""
    for log in logs:
        first, last = ratios[log["config"]["optimizer"]]
        log["update_ratio"] = {"fc1": [first, 1.0], "fc2": [0.5, 1.0], "fc3": [last, 1.0]}
    return Sweep.of(logs)


def test_which_optimizer_hides_a_vanishing_gradient():
    """sgd moves fc1 by 0.04 of what it moves fc3, adam by 3.7: more than ten times that."""
    sweep = steps(grid(), {"sgd": (8e-5, 2e-3), "adam": (4.4e-3, 1.2e-3)})
    (finding,) = dynamics.hidden_gradients(sweep)
    assert finding.topic == "What optimizers make of it"
    assert "with sigmoid" in finding.text and "sgd fc1 by 0.008 % and fc3 by 0.2 %;" in finding.text
    assert "adam fc1 by 0.44 % and fc3 by 0.12 %. adam hides the vanishing gradient" in finding.text


def test_no_optimizer_hides_what_shows():
    """Numbers are given, but nothing is claimed, if adam's steps are as uneven as sgd's."""
    sweep = steps(grid(), {"sgd": (8e-5, 2e-3), "adam": (9e-5, 2e-3)})
    (finding,) = dynamics.hidden_gradients(sweep)
    assert "hides" not in finding.topic + finding.text and "adam fc1 by 0.009 %" in finding.text
    only = Sweep.of(grid(optimizers=["adam"]))
    assert not [*dynamics.hidden_gradients(only)]


def test_each_learning_rate_has_steps_of_its_own():
    logs = [
        log
        for batch in (32, 128)
        for rate in (0.01, 0.1)
        for log in grid(["sigmoid"], learning_rate=rate, batch_size=batch)
    ]
    sweep = steps(logs, {"sgd": (8e-5, 2e-3), "adam": (4.4e-3, 1.2e-3)})
    (finding,) = dynamics.hidden_gradients(sweep)
    assert finding.text.startswith("with batch 32, a step")
    assert "sgd, lr 0.01 fc1 by 0.008 %" in finding.text and "sgd, lr 0.1 fc1" in finding.text
    assert "adam, lr 0.01 and adam, lr 0.1 hide the vanishing gradient" in finding.text


# Dead and saturated units


def test_dead_and_saturated_units_of_the_worst_layer():
    logs = grid(["relu", "sigmoid"], ["adam"])
    for log in logs:
        for name, share in (("act1", 9.0), ("act2", 2.0)):
            measure = {"dead": [0.0, share if log["config"]["activation"] == "relu" else 0.2]}
            if log["config"]["activation"] == "sigmoid":
                measure["saturated"] = [0.0, 8 * share]
            log["probe"][name] = measure
    text = text_of(dynamics.stuck_units(Sweep.of(logs).cells))
    assert "none teaches them): relu 9 % of act1; saturated" in text
    assert text.endswith("may still learn): sigmoid 72 % of act1.") and "sigmoid 0 %" not in text
    assert not [*dynamics.stuck_units(Sweep.of(grid()).cells)]


# Overfitting


def test_overfitting_by_optimizer():
    logs = grid(epochs=5)
    for log in logs:
        rises = log["config"]["optimizer"] == "adam"
        log["val_loss"] = [0.9, 0.4, 0.5, 0.5, 0.5] if rises else [0.9, 0.8, 0.7, 0.6, 0.5]
    text = text_of(dynamics.overfitting(Sweep.of(logs)))
    assert "is lowest with sgd after epoch 5, and 0 % higher at the end; with adam after" in text
    assert "after epoch 2, and 25 % higher at the end. Where it rises" in text
    alone = Sweep.of([log for log in logs if log["config"]["optimizer"] == "sgd"])
    assert "Where it rises" not in (text_of(dynamics.overfitting(alone)))
    assert not [*dynamics.overfitting(Sweep.of(grid(epochs=1)))]


def test_a_diverged_cell_neither_overfits_nor_stops_the_others():
    logs = grid(["relu"], epochs=4) + [fake(optimizer="adamw", seed=42, diverged=True)]
    assert "adamw" not in text_of(dynamics.overfitting(Sweep.of(logs)))


# Tuning


def test_tuning_is_pointed_to_where_optimizers_run_at_their_usual_rates():
    (finding,) = dynamics.tuning_would_change(Sweep.of(grid()))
    assert "--study learning-rate" in finding.text
    assert not [*dynamics.tuning_would_change(Sweep.of(grid(optimizers=["adam"])))]
    assert not [*dynamics.tuning_would_change(Sweep.of(grid(learning_rate=0.5)))]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.020833, "0.0208"),
        (0.16666, "0.167"),
        (1.4142, "1.41"),
        (12.345, "12.3"),
        (0.16999, "0.170"),
        (1234.4, "1234"),
    ],
)
def test_three_significant_digits(number, text):
    assert dynamics.significant(number) == text
