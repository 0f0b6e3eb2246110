"""nnlite.backend: the right device, and arrays that find their module.

The stand-in for CuPy vouches for all GPU code on machines without a GPU, so it is tested here too.
"""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nnlite
import strict_cupy as stand_in
from nnlite.backend import array_module, normal_cdf, select_device, to_host

# Devices


def fail(*_):
    raise OSError("the card is on fire")


def test_cpu_is_numpy():
    name, xp, description = select_device("cpu")
    assert (name, xp) == ("cpu", np)
    assert np.__version__ in description


def test_unknown_device_names_the_known():
    with pytest.raises(ValueError, match="tpu.*auto, cpu, gpu"):
        select_device("tpu")


@pytest.mark.parametrize("name", ["auto", "gpu"])
def test_gpu_is_found(strict_cupy, name):
    assert select_device(name)[:2] == ("gpu", strict_cupy.cupy)
    assert "stand-in" in select_device(name).description


def test_cpu_is_chosen_in_spite_of_a_gpu(strict_cupy):
    assert select_device("cpu").xp is np


def absent(patch, stand_in):
    patch.setitem(sys.modules, "cupy", None)  # what makes `import cupy` an ImportError


def without_card(patch, stand_in):
    patch.setattr(stand_in.cupy.cuda, "is_available", lambda: False)


def without_answer(patch, stand_in):
    patch.setattr(stand_in.cupy.cuda.runtime, "getDeviceProperties", fail)


def without_memory(patch, stand_in):
    patch.setattr(stand_in.cupy, "zeros", fail)


@pytest.mark.parametrize(
    "broken, reason",
    [
        (absent, "not installed.*nnlite.cuda12"),
        (without_card, "no NVIDIA GPU"),
        (without_answer, "on fire"),
        (without_memory, "on fire"),
    ],
)
@pytest.mark.parametrize("no_numba", [False, True], ids=["numba", "no numba"])
def test_without_a_gpu_auto_is_the_cpu_and_gpu_says_why_not(
    strict_cupy, monkeypatch, broken, reason, no_numba
):
    if no_numba:
        monkeypatch.setitem(sys.modules, "numba", None)
    else:
        pytest.importorskip("numba")
    broken(monkeypatch, strict_cupy)
    assert select_device("auto") == select_device("cpu" if no_numba else "numba")
    with pytest.raises(RuntimeError, match=reason):
        select_device("gpu")


def test_a_cupy_that_cannot_be_imported_is_no_gpu(tmp_path, monkeypatch):
    (tmp_path / "cupy.py").write_text("raise ValueError('built for another NumPy')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    assert select_device("auto").xp is np
    with pytest.raises(RuntimeError, match="another NumPy"):
        select_device("gpu")


def test_numba_is_numpy_with_compiled_formulas():
    numba = pytest.importorskip("numba")
    name, xp, description = select_device("numba")
    assert (name, xp) == ("numba", np)
    assert np.__version__ in description and numba.__version__ in description


def test_selecting_numba_does_not_import_it():
    """A short training would not win back the time."""
    pytest.importorskip("numba")
    program = "import sys, nnlite; nnlite.select_device('numba'); print('numba' in sys.modules)"
    assert run_python(program) == "False"


def test_without_numba(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(RuntimeError, match="numba is not installed.*nnlite.fast"):
        select_device("numba")


def test_importing_nnlite_imports_nothing_heavy():
    heavy = "cupy cupyx joblib matplotlib numba scipy sklearn tqdm"
    program = f"import sys, nnlite; print(*set('{heavy}'.split()) & set(sys.modules))"
    assert run_python(program) == ""


def run_python(program):
    """What a program prints, in a process of its own."""
    found_at = [str(Path(nnlite.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(found_at)}
    python = [sys.executable, "-c", program]
    run = subprocess.run(python, env=environment, capture_output=True, text=True)
    assert run.stderr == ""
    return run.stdout.strip()


# Arrays


def test_array_module(strict_cupy):
    assert array_module(np.ones(3)) is np
    assert array_module(np.float32(3)) is np
    assert array_module(strict_cupy.cupy.ones(3)) is strict_cupy.cupy


def test_to_host(strict_cupy):
    a = np.arange(6.0).reshape(2, 3)
    assert to_host(a) is a
    fetched = to_host(strict_cupy.cupy.asarray(a).mT)
    assert isinstance(fetched, np.ndarray)
    np.testing.assert_array_equal(fetched, a.T)


def test_to_host_of_a_numpy_scalar():
    """Such as the loss of one batch on the CPU."""
    assert to_host(np.float32(2.5)) == 2.5


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_normal_cdf(strict_cupy, device, dtype):
    z = np.linspace(-4, 4, 41).astype(dtype)
    a = to_host(normal_cdf(select_device(device).xp.asarray(z)))
    assert a.dtype == dtype
    expected = [math.erfc(-x / math.sqrt(2)) / 2 for x in z]
    np.testing.assert_allclose(a, expected, rtol=32 * np.finfo(dtype).eps)


# The stand-in for CuPy


def test_stand_in_offers_nothing_that_cupy_lacks():
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed to compare with")
    special = pytest.importorskip("cupyx.scipy.special")
    assert set(dir(stand_in.ndarray)) - set(dir(stand_in.Transfers)) <= set(dir(cupy.ndarray))
    for ours, theirs in [
        (stand_in.cupy, cupy),
        (stand_in.cupy.cuda, cupy.cuda),
        (stand_in.cupy.cuda.runtime, cupy.cuda.runtime),
        (stand_in.MODULES["cupyx.scipy.special"], special),
    ]:
        assert {name for name in vars(ours) if not name.startswith("_")} <= set(dir(theirs))


HOST = np.ones(3, "float32")


@pytest.mark.parametrize(
    "mix",
    [
        lambda cp, a: a + HOST,
        lambda cp, a: HOST + a,
        lambda cp, a: a.__imul__(HOST),
        lambda cp, a: a == HOST,
        lambda cp, a: HOST @ a,
        lambda cp, a: a[np.array([0, 1])],
        lambda cp, a: a.__setitem__(0, HOST),
        lambda cp, a: cp.maximum(a, HOST),
        lambda cp, a: cp.stack([a, HOST]),
        lambda cp, a: cp.sum(a, axis=-1, out=HOST),
        lambda cp, a: cp.exp(HOST),
        lambda cp, a: cp.fuse(lambda x, y: None)(a, HOST),
        lambda cp, a: np.exp(a),
        lambda cp, a: np.mean(a),
        lambda cp, a: np.asarray(a),
        lambda cp, a: np.array([a, a]),
        lambda cp, a: memoryview(a),
        lambda cp, a: hash(a),
    ],
)
def test_stand_in_keeps_host_and_device_apart(strict_cupy, mix):
    a = strict_cupy.cupy.ones((3, 3), dtype="float32")
    with pytest.raises(TypeError):
        mix(strict_cupy.cupy, a)
    assert strict_cupy.transfers.to_host == strict_cupy.transfers.to_device == 0


@pytest.mark.parametrize(
    "formula", [lambda x, b: (1 - b) * x, lambda x, b: b / b * x, lambda x, b: x * abs(b)]
)
def test_stand_in_keeps_numbers_apart_in_fused_formulas(strict_cupy, formula):
    with pytest.raises(TypeError):
        strict_cupy.cupy.fuse(formula)(strict_cupy.cupy.ones(3), 0.999)


@pytest.mark.parametrize(
    "fetch, copies",
    [
        (lambda cp, a: cp.asnumpy(a), 1),
        (lambda cp, a: a.get(), 1),
        (lambda cp, a: a.tolist(), 1),
        (lambda cp, a: a.sum().item(), 1),
        (lambda cp, a: float(a.sum()), 1),
        (lambda cp, a: int(a.sum()), 1),
        (lambda cp, a: bool((a == 1).all()), 1),
        (lambda cp, a: repr(a), 1),
        (lambda cp, a: max(a.ravel()), 8),  # of 9 numbers: each comparison fetches a bool
        (lambda cp, a: a[a > 0], 1),
        (lambda cp, a: list(a), 0),
        (lambda cp, a: a.sum() * 2 + a.mT - a[..., :1], 0),
    ],
)
def test_stand_in_counts_copies_to_the_host(strict_cupy, fetch, copies):
    fetch(strict_cupy.cupy, strict_cupy.cupy.ones((3, 3)))
    assert strict_cupy.transfers.to_host == copies


def test_stand_in_counts_copies_to_the_device(strict_cupy):
    host = np.zeros(3)
    a = strict_cupy.cupy.asarray(host)
    assert strict_cupy.cupy.asarray(a) is a
    assert strict_cupy.transfers.to_device == 1
    host += 1
    assert a.tolist() == [0, 0, 0]


def test_stand_in_has_views_and_0_d_results(strict_cupy):
    a = strict_cupy.cupy.zeros(6, dtype="float32")
    view = a[2:].reshape(2, 2).mT
    view += 1
    strict_cupy.cupy.matmul(view, view, out=view[:, :])
    assert a.tolist() == [0, 0, 2, 2, 2, 2]
    for reduced in (a.sum(), strict_cupy.cupy.mean(a), a[2:].argmax(), a[0]):
        assert isinstance(reduced, strict_cupy.cupy.ndarray)
        assert reduced.shape == ()
