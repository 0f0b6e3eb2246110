"""nnlite.kernels: one formula, run by NumPy, fused for a GPU, or compiled by numba."""

import ast
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from nnlite import backend, kernels
from nnlite.backend import select_device, to_host
from nnlite.kernels import elementwise, sqrt


@elementwise
def forget(a, b, share):
    a *= share
    a += sqrt(b) - share
    return a


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


def test_numba_takes_over_from_numpy_until_another_device_is_selected(monkeypatch):
    pytest.importorskip("numba")
    ran, a = [], np.ones(3)
    monkeypatch.setattr(kernels, "compile_loop", lambda formula, arguments: ran.append)
    monkeypatch.setattr(kernels, "COMPILE_AFTER", 2)
    grow = elementwise(lambda a: (a.__iadd__(1),))
    for name in ("cpu", "cpu", "numba", "numba", "numba", "cpu"):
        select_device(name)
        grow(a)
    assert len(ran) == 1 and ran[0] is a
    assert a.tolist() == [6, 6, 6]


def test_where_numba_fails_numpy_goes_on(monkeypatch):
    """Such as a numba that is too old for this NumPy, or a formula that it cannot compile."""
    pytest.importorskip("numba")

    def fail(formula, arguments):
        raise ImportError("Numba needs NumPy 2.3 or less\nand more lines")

    monkeypatch.setattr(kernels, "compile_loop", fail)
    monkeypatch.setattr(kernels, "COMPILE_AFTER", 0)
    a, grow = np.ones(3), elementwise(lambda a: (a.__iadd__(1),))
    select_device("numba")
    with pytest.warns(UserWarning, match=r"compile .*lambda.* \(Numba needs NumPy 2.3 or less\)"):
        grow(a)
    grow(a)
    assert a.tolist() == [3, 3, 3]


def test_what_numba_cannot_compile_is_an_error_before_anything_is_computed(numba_at_once):
    def formula(theta, g):
        theta -= g.mean()
        return theta

    theta = np.ones(3)
    with pytest.raises(Exception, match="mean"):
        kernels.compile_loop(formula, (theta, theta))
    assert theta.tolist() == [1, 1, 1]


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
    example = [np.ones(7, dtype)] * (2 + vectors)
    compiled = kernels.compile_loop(formula, (*example, 0.5))
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


# Machine code on disk

FORMULA = """
RATE = 2

def formula(theta, g):
    theta -= RATE * g
    return theta
"""


@pytest.fixture
def disk(tmp_path, monkeypatch):
    """The folder where numba keeps machine code."""
    numba = pytest.importorskip("numba")
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "disk"))
    return tmp_path / "disk"


@pytest.fixture
def imported(tmp_path, monkeypatch):
    """Write a module and import it; return its formula."""

    def imported(text):
        path, module = tmp_path / "written.py", ModuleType("written")
        path.write_text(text)
        monkeypatch.setitem(sys.modules, "written", module)
        exec(compile(text, str(path), "exec"), vars(module))
        return module.formula

    return imported


@pytest.fixture
def moved(imported):
    """Compile the formula in a text as a new process would, and call it where g is 1.

    Returns by how much it has moved theta, and whether that took a compilation.
    """
    install_recorder = pytest.importorskip("numba.core.event").install_recorder

    def moved(text=FORMULA, dtype="float32"):
        theta, g = np.full(3, 10, dtype), np.ones(3, dtype)
        with install_recorder("numba:compile") as recorder:
            kernels.compile_loop(imported(text), (theta, g))(theta, g)
        assert theta.dtype == dtype and (theta == theta[0]).all()
        return 10 - theta[0], len(recorder.buffer) > 0

    return moved


def test_machine_code_is_kept_for_the_next_process(disk, moved):
    assert [moved(), moved()] == [(2, True), (2, False)]
    assert moved(dtype="float64") == (2, True)
    assert len(list(disk.rglob("kernel-*.nbi"))) == 2  # a file each: nothing can be mixed up


@pytest.mark.parametrize(
    "old, new, moves", [("RATE * g", "RATE * g + 1", 3), ("RATE = 2", "RATE = 5", 5)]
)
def test_a_formula_that_is_edited_is_compiled_anew(disk, moved, old, new, moves):
    moved()
    assert moved(FORMULA.replace(old, new)) == (moves, True)
    assert moved() == (2, False)


def test_a_file_that_is_edited_after_it_was_imported(disk, moved, imported, tmp_path):
    """The machine code of what was imported must not be taken for that of the file."""
    formula, edited = imported(FORMULA), FORMULA.replace("RATE * g", "g")
    (tmp_path / "written.py").write_text(edited)
    theta = np.full(3, 10, "float32")
    kernels.compile_loop(formula, (theta, theta))
    assert moved(edited) == (1, True)


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
def test_damaged_machine_code_is_compiled_anew(disk, moved, ending):
    moved()
    (path,) = disk.rglob(f"*.{ending}")
    path.write_bytes(path.read_bytes()[:-20])
    assert moved() == (2, True)


def test_where_nothing_can_be_written_each_process_compiles(moved, monkeypatch):
    caching = pytest.importorskip("numba.core.caching")

    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    assert [moved(), moved()] == [(2, True), (2, True)]


def test_where_the_disk_is_full_each_process_compiles(disk, moved, monkeypatch):
    from numba.core import caching

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(caching.IndexDataCacheFile, "_save_data", full)
    assert [moved(), moved()] == [(2, True), (2, True)]


def test_a_formula_that_depends_on_more_than_its_file_is_not_kept(disk):
    theta = np.full(3, 10, "float32")

    def formula_of(rate):
        def formula(theta, g):
            theta -= rate * g
            return theta

        return formula

    for rate in (1, 2):
        kernels.compile_loop(formula_of(rate), (theta, theta))(theta, np.ones(3, "float32"))
    assert theta.tolist() == [7, 7, 7]


def test_backend_knows_nothing_of_kernels():
    """Dependencies point one way: kernels imports backend."""
    tree = ast.parse(Path(backend.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    assert not [node for node in imports if getattr(node, "level", 0)]
