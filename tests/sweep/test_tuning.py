"""sweep/tuning.py: which learning rates a tuning tries, and which it chooses."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnlite import OPTIMIZERS
from sweep.tuning import best_rate, first_rates, next_rate, on_edge

CUSTOMARY = sorted({optimizer.default_learning_rate for optimizer in OPTIMIZERS.values()})


def tune(customary, score):
    """Tune as a sweep does: the first rates, then one more as long as there is one to try."""
    scores = {rate: score(rate) for rate in first_rates(customary)}
    while (rate := next_rate(scores)) is not None:
        assert rate not in scores
        scores[rate] = score(rate)
    return scores


def test_first_rates_are_round_half_decades_around_the_customary_one():
    assert first_rates(0.01) == [0.000316, 0.001, 0.00316, 0.01, 0.0316, 0.1, 0.316]
    assert first_rates(0.001) == [3.16e-05, 0.0001, 0.000316, 0.001, 0.00316, 0.01, 0.0316]


@given(st.floats(1e-5, 10))
def test_first_rates_are_evenly_spread_for_any_customary_rate(customary):
    rates = first_rates(customary)
    assert len(rates) == 7 and rates == sorted(set(rates))
    assert math.isclose(rates[3], customary, rel_tol=0.005)
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


@pytest.mark.parametrize("customary", CUSTOMARY)
def test_at_most_four_extensions_and_their_rates_are_exact(customary):
    up, down = tune(customary, lambda rate: rate), tune(customary, lambda rate: -rate)
    assert on_edge(up) and on_edge(down)
    hundred = 100 * customary
    assert list(up)[7:] == [float(f"{hundred * f:.3g}") for f in (1, 10**0.5, 10, 10**1.5)]
    small = customary / 100
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
