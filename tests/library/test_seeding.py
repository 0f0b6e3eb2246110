"""nnlite.seeding: one seed, several streams that do not disturb each other."""

import numpy as np
import pytest

from nnlite.seeding import STREAMS, streams

every_stream = pytest.mark.parametrize("name", STREAMS)


def test_the_names():
    assert tuple(streams(0)) == STREAMS == ("split", "weights", "batches", "probe")


@every_stream
def test_same_seed_same_numbers(name):
    draws = streams(42)[name].random(1000)
    np.testing.assert_array_equal(streams(42)[name].random(1000), draws)
    np.testing.assert_array_equal(streams(np.int64(42))[name].random(1000), draws)
    assert not np.isin(streams(43)[name].random(1000), draws).any()


@every_stream
def test_numbers_are_those_of_a_numbered_seed_sequence(name):
    # So a new stream can be added at the end, and only there, without changing any run.
    child = np.random.SeedSequence(42, spawn_key=(STREAMS.index(name),))
    assert streams(42)[name].random() == np.random.default_rng(child).random()


def test_streams_share_no_numbers():
    draws = np.stack([stream.random(10_000) for stream in streams(7).values()])
    assert len(np.unique(draws)) == draws.size
    correlations = np.corrcoef(draws) - np.eye(len(STREAMS))
    assert np.abs(correlations).max() < 0.04  # four standard deviations of 1 / sqrt(10,000)


def test_using_one_stream_leaves_the_others_alone():
    used, fresh = streams(7), streams(7)
    used["split"].permutation(1000)
    assert used["weights"].random() == fresh["weights"].random()


@pytest.mark.parametrize("seed", [-1, 1.0, "1", None, True, [1, 2]])
def test_bad_seeds_are_refused(seed):
    with pytest.raises(ValueError, match="it must be an integer >= 0"):
        streams(seed)
