"""nnlite.diagnostics: gradient statistics against plain NumPy and by hand."""

import numpy as np
import pytest

from nnlite.diagnostics import gradient_statistics
from nnlite.network import MLP


def test_by_hand():
    model = MLP([2, 2])
    model.dtheta[:] = [3, -1, 0, 2, 0, -4]  # fc1.weight is [[3, -1], [0, 2]], fc1.bias [0, -4]
    statistics = gradient_statistics(model)
    assert list(statistics) == ["fc1.weight", "fc1.bias"]
    # The weight's mean is 1, so the variance is (4 + 4 + 1 + 1) / 4; the bias' mean is -2.
    weight = {"mean_abs": 1.5, "std": 2.5**0.5, "pct_zero": 25}
    assert statistics["fc1.weight"] == pytest.approx(weight)
    assert statistics["fc1.bias"] == pytest.approx({"mean_abs": 2, "std": 2, "pct_zero": 50})


@pytest.mark.parametrize("seed", [1, [1], [1, 2, 3]], ids=str)
def test_against_plain_numpy(seed):
    rng = np.random.default_rng(0)
    model = MLP([7, 5, 3], seed=seed)
    model.dtheta[:] = rng.normal(size=model.dtheta.shape) * (rng.random(model.dtheta.shape) < 0.7)
    before = model.dtheta.copy()
    statistics = gradient_statistics(model)
    assert list(statistics) == list(model.parameters())
    for name, gradient in model.gradients().items():
        values = statistics[name]
        for metric in values.values():
            assert metric.shape == model.theta.shape[:-1]
            assert metric.dtype == "float32"
        rows = gradient.reshape(np.size(seed), -1)  # one row for each network
        for k, g in enumerate(rows):
            expected = [np.abs(g).mean(), g.std(), 100 * np.count_nonzero(g == 0) / g.size]
            got = [np.ravel(values[metric])[k] for metric in ("mean_abs", "std", "pct_zero")]
            assert got == pytest.approx(expected, rel=1e-5)
    np.testing.assert_array_equal(model.dtheta, before)
