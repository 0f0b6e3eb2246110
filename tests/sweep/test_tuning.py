"""sweep/tuning.py: which learning rates a tuning tries, and which it chooses."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnlite import OPTIMIZERS, Config
from sweep import tuning
from sweep.results import Outcome
from sweep.tuning import best_rate, first_rates, next_rate, on_edge, train_tuned

USUAL = sorted({optimizer.default_learning_rate for optimizer in OPTIMIZERS.values()})


def tune(usual, score):
    """Tune as a sweep does: the first rates, then one more as long as there is one to try."""
    scores = {rate: score(rate) for rate in first_rates(usual)}
    while (rate := next_rate(scores)) is not None:
        assert rate not in scores
        scores[rate] = score(rate)
    return scores


def test_first_rates_are_round_half_decades_around_the_usual_one():
    assert first_rates(0.01) == [0.000316, 0.001, 0.00316, 0.01, 0.0316, 0.1, 0.316]
    assert first_rates(0.001) == [3.16e-05, 0.0001, 0.000316, 0.001, 0.00316, 0.01, 0.0316]


@given(st.floats(1e-5, 10))
def test_first_rates_are_evenly_spread_for_any_usual_rate(usual):
    rates = first_rates(usual)
    assert len(rates) == 7 and rates == sorted(set(rates))
    assert math.isclose(rates[3], usual, rel_tol=0.005)
    ratios = [b / a for a, b in zip(rates, rates[1:])]
    assert all(math.isclose(ratio, 10**0.5, rel_tol=0.011) for ratio in ratios)


def test_best_inside_needs_no_further_rate():
    scores = dict(zip(first_rates(0.01), [50, 60, 70, 80, 90, 95, 85]))
    assert best_rate(scores) == 0.1 and not on_edge(scores) and next_rate(scores) is None


def test_best_on_an_edge_is_followed_there():
    assert next_rate(dict(zip(first_rates(0.01), range(7)))) == 1.0
    assert next_rate(dict(zip(first_rates(0.01), range(7, 0, -1)))) == 0.0001
    order = [0.316, 0.000316, 0.1, 0.001, 0.0316, 0.00316, 0.01]  # as runs happen to end
    assert next_rate({rate: rate for rate in order}) == 1.0


def test_a_peak_beyond_the_edge_is_found():
    scores = tune(0.01, lambda rate: -abs(math.log10(rate / 1.0)))
    assert list(scores)[7:] == [1.0, 3.16] and best_rate(scores) == 1.0 and not on_edge(scores)


@pytest.mark.parametrize("usual", USUAL)
def test_at_most_four_extensions_and_their_rates_are_exact(usual):
    up, down = tune(usual, lambda rate: rate), tune(usual, lambda rate: -rate)
    assert on_edge(up) and on_edge(down)
    hundred = 100 * usual
    assert list(up)[7:] == [float(f"{hundred * f:.3g}") for f in (1, 10**0.5, 10, 10**1.5)]
    small = usual / 100
    assert list(down)[7:] == [float(f"{small * f:.3g}") for f in (1, 10**-0.5, 0.1, 10**-1.5)]


def test_a_rate_at_which_a_seed_diverged_is_no_choice_and_no_edge():
    scores = dict(zip(first_rates(0.01), [50, 60, 70, 80, 90, 95, None]))
    assert best_rate(scores) == 0.1 and next_rate(scores) is None
    assert next_rate({**scores, 0.000316: 99}) == 0.0001


def test_nothing_to_choose_from_if_every_rate_diverged():
    scores = dict.fromkeys(first_rates(0.01))
    assert best_rate(scores) is None and next_rate(scores) is None and not on_edge(scores)


def test_the_lowest_of_equal_rates_is_taken():
    assert best_rate({0.1: 90.0, 0.01: 90.0, 1.0: 80.0}) == 0.01


# ---- the loop


class Trainer:
    """Trains nothing, remembers every list of configurations, and says what each rate was."""

    def __init__(self):
        self.trained = []

    def __call__(self, configs):
        self.trained.append(configs)
        logs = [{"experiment_id": c.run_id, "rate": c.learning_rate} for c in configs]
        return Outcome(logs, {}, False)


@pytest.fixture
def larger_is_better(monkeypatch):
    """Scores of our own, so that the best rate lies beyond the edge, and one diverges."""

    def score(logs):
        (rate,) = {log["rate"] for log in logs}
        return None if rate > 50 else 90 + rate

    monkeypatch.setattr(tuning, "score", score)


def test_a_tuning_finds_rates_and_uses_them_on_fresh_seeds(larger_is_better):
    train = Trainer()
    outcome = train_tuned([Config(optimizer="sgd", seed=0)], [1, 2], [8, 9], train)
    rates = [sorted({c.learning_rate for c in configs}) for configs in train.trained]
    first = [0.000316, 0.001, 0.00316, 0.01, 0.0316, 0.1, 0.316]
    assert rates == [first, [1.0], [3.16], [10.0], [31.6], [0.01, 31.6]]  # 4 extensions, no more
    assert all({c.seed for c in configs} == {1, 2} for configs in train.trained[:-1])
    assert {c.seed for c in train.trained[-1]} == {8, 9}
    assert [log["experiment_id"] for log in outcome.logs] == [
        config.run_id for configs in train.trained for config in configs
    ]
    assert outcome.complete


def test_every_cell_gets_its_own_rate(larger_is_better):
    train = Trainer()
    train_tuned([Config(optimizer=o, seed=0) for o in ("sgd", "adam")], [1], [8], train)
    final = {(c.optimizer, c.learning_rate) for c in train.trained[-1]}
    assert final == {("sgd", 0.01), ("sgd", 31.6), ("adam", 0.001), ("adam", 3.16)}


def test_the_runs_on_fresh_seeds_go_seed_by_seed(larger_is_better):
    train = Trainer()
    train_tuned([Config(optimizer=o, seed=0) for o in ("sgd", "adam")], [1], [9, 8], train)
    assert [c.seed for c in train.trained[-1]] == 4 * [9] + 4 * [8]


def test_the_usual_rate_alone_if_none_was_good(monkeypatch):
    monkeypatch.setattr(tuning, "score", lambda logs: None)
    train = Trainer()
    train_tuned([Config(optimizer="sgd", seed=0)], [1], [8], train)
    assert [[c.learning_rate for c in configs] for configs in train.trained[1:]] == [[0.01]]


@pytest.mark.parametrize("missing, interrupted", [({}, True), ({"a run": "it died"}, False)])
def test_an_incomplete_tuning_ends_with_what_there_is(missing, interrupted):
    outcome = Outcome(["a log"], missing, interrupted)
    assert train_tuned([Config(seed=0)], [1], [8], lambda configs: outcome) == outcome
