"""nnlite.kernels: one formula, run by NumPy, fused for a GPU, or compiled by numba."""

import ast
import sys
from pathlib import Path

import numpy as np
import pytest

from nnlite import backend, kernels
from nnlite.backend import select_device, to_host
from nnlite.kernels import elementwise, sqrt


@elementwise
def forget(a, b, share):
    a *= share
    a += sqrt(b) - share


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_elementwise_runs_the_formula_in_place(strict_cupy, device):
    xp = select_device(device).xp
    a, b = (xp.asarray(np.array(x, "float32")) for x in ([1, 2, 3], [4, 9, 16]))
    for _ in range(2):
        assert forget(a, b, 0.5) is None
    np.testing.assert_array_equal(to_host(a), [2.5, 4.25, 6.0])
    assert a.dtype == "float32"
    assert strict_cupy.transfers.fused == (2 if device == "gpu" else 0)


def test_elementwise_keeps_name_and_docstring():
    def formula(a):
        """About it."""

    assert (elementwise(formula).__name__, elementwise(formula).__doc__) == ("formula", "About it.")


# Compiled by numba


def test_numba_compiles_formulas_until_another_device_is_selected(monkeypatch):
    pytest.importorskip("numba")
    ran, a = [], np.ones(3)
    monkeypatch.setattr(kernels, "compile_loop", lambda formula: ran.append)
    grow = elementwise(lambda a: (a.__iadd__(1),))
    for name in ("numba", "cpu"):
        select_device(name)
        grow(a)
    assert len(ran) == 1 and ran[0] is a
    assert a.tolist() == [2, 2, 2]


def test_what_cannot_be_selected_is_not(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(RuntimeError):
        select_device("numba")
    a = np.ones(3)
    elementwise(lambda a: (a.__iadd__(1),))(a)
    assert a.tolist() == [2, 2, 2]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("vectors", [0, 1, 2])
def test_compiled_it_is_the_same_formula_in_one_network_and_in_a_stack(dtype, vectors):
    """With as many vectors after g as an optimizer can have, and a number for each network."""
    pytest.importorskip("numba")

    def plain(theta, g, rate):
        theta -= rate * g
        return theta

    def with_m(theta, g, m, rate):
        m += g
        theta -= rate * m
        return theta, m

    def with_m_and_v(theta, g, m, v, rate):
        m += g
        v += g * g
        theta -= rate * m / (1 + sqrt(v))
        return theta, m, v

    formula = (plain, with_m, with_m_and_v)[vectors]
    compiled = kernels.compile_loop(formula)
    random = np.random.default_rng(0)
    for shape, rate in [((7,), 0.5), ((3, 7), 0.5), ((3, 7), np.array([[0.5], [0.25], [2.0]]))]:
        expected = [random.uniform(0.5, 2, shape).astype(dtype) for _ in range(2 + vectors)]
        found = [array.copy() for array in expected]
        rate = rate if isinstance(rate, float) else rate.astype(dtype)
        formula(*expected, rate)
        assert compiled(*found, rate) is None
        for array, wanted in zip(found, expected, strict=True):
            assert array.dtype == dtype
            eps = 8 * np.finfo(dtype).eps
            np.testing.assert_allclose(array, wanted, rtol=eps, atol=eps)


def test_backend_knows_nothing_of_kernels():
    """Dependencies point one way: kernels imports backend."""
    tree = ast.parse(Path(backend.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    assert not [node for node in imports if getattr(node, "level", 0)]
