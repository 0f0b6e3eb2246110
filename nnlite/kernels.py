"""Kernels: one formula, run in three ways.

An optimizer writes its formula once, for whole vectors:

    @elementwise
    def sgd(theta, g, learning_rate):
        theta -= learning_rate * g
        return theta

NumPy runs it as written, which is one pass over the vectors for each operation. On a GPU, cupy.fuse
turns it into one kernel, a small program that does everything in a single pass. On the CPU, numba
(pip install 'nnlite[fast]') does the same. The formula remains the only source of all three.

numba's machine code is kept on disk, so it is compiled once on a machine, not in each process.
"""

import contextlib
import functools
import hashlib
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from . import backend
from .backend import Array, array_module

# How often NumPy runs a formula before numba takes over. Importing numba takes about as long as so
# many steps of Adam save, so a short training is better off without.
COMPILE_AFTER = 1000


def elementwise(formula: Callable) -> Callable[..., None]:
    """Decorate formula(theta, g, up to two more vectors, numbers...), which works in place.

    It must treat each position of the vectors on its own, and return the new values of what it
    changes: theta and the vectors after g. (Compilers need them.) Two numbers must not meet in
    it: inside a fused kernel `1 - beta` would be computed in float16, so pass the result instead.
    """
    kernels: dict[str, Callable] = {"numpy": formula}
    calls = 0  # so far, while numba was selected

    @functools.wraps(formula)
    def call(*arguments):
        nonlocal calls
        kind = "cupy"
        if array_module(arguments[0]) is np:
            numba = backend.selected.name == "numba"
            calls += numba
            kind = "numba" if numba and calls > COMPILE_AFTER else "numpy"
        if kind not in kernels:  # the first time
            kernels[kind] = fuse(formula) if kind == "cupy" else compiled(formula, arguments)
        with np.errstate(under="ignore"):  # a number so small that it becomes 0 is no error
            kernels[kind](*arguments)

    return call


def sqrt(x: Array) -> Array:
    """The square root, for use in a formula. `_import_numba` has the version for numba."""
    # Inside a fused kernel x is not an array yet, so array_module would not know it.
    return (np if isinstance(x, np.ndarray) else sys.modules["cupy"]).sqrt(x)


def fuse(formula: Callable) -> Callable[..., None]:
    """Return the formula as one kernel for a GPU.

    It works on copies, which are in registers, and each vector is written at the end. Otherwise the
    kernel would read g again after each write to m, which might be the same memory for all that the
    compiler knows.
    """
    import cupy

    @functools.wraps(formula)
    def in_place(*arguments):  # returns nothing: a kernel would write what it returns once more
        theta, _, *others = arguments
        copies = [a.astype(a.dtype) if getattr(a, "ndim", -1) >= 0 else a for a in arguments]
        values = formula(*copies)
        for array, value in zip(
            (theta, *others), values if isinstance(values, tuple) else [values]
        ):
            array[...] = value

    return cupy.fuse(in_place)


def compiled(formula: Callable, arguments: tuple) -> Callable[..., None]:
    """Return the formula compiled by numba, or itself, with a warning, where numba cannot do it.

    For example, a numba that is too old for this NumPy cannot even be imported.
    """
    try:
        return compile_loop(formula, arguments)
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        name = formula.__qualname__
        warnings.warn(f"numba cannot compile {name} ({reason}): NumPy runs it", stacklevel=3)
        return formula


def compile_loop(formula: Callable, arguments: tuple) -> Callable[..., None]:
    """Return the formula as one loop over the positions of the vectors, compiled by numba.

    It is compiled now, for arguments like these. The formula is compiled for single numbers:
    `m *= beta1` gives the number m a new value.
    """
    numba = _import_numba()
    # "numpy": 1 / 0 is inf. The check for Python's ZeroDivisionError would cost most of the speed.
    options = {"error_model": "numpy"}
    f = numba.njit(formula, **options)

    # Where a gradient stays 0, as in a dead unit, m <- beta1 m shrinks until float32 can hold it
    # only as a subnormal number, and there rounding stops it short of 0. Such numbers are too small
    # to move a weight, but they slow processors down many times.
    @numba.njit(**options)
    def flush(x, like):
        return 0 if abs(x) < np.finfo(like.dtype).tiny else x  # tiny: the smallest normal number

    @numba.njit(**options)
    def loop0(numbers, theta, g):
        for i in range(theta.size):
            theta[i] = f(theta[i], g[i], *numbers)

    @numba.njit(**options)
    def loop1(numbers, theta, g, m):
        for i in range(theta.size):
            theta[i], m_i = f(theta[i], g[i], m[i], *numbers)
            m[i] = flush(m_i, m)

    @numba.njit(**options)
    def loop2(numbers, theta, g, m, v):
        for i in range(theta.size):
            theta[i], m_i, v_i = f(theta[i], g[i], m[i], v[i], *numbers)
            m[i], v[i] = flush(m_i, m), flush(v_i, v)

    def split(theta, g, *others):
        state = [a for a in others if isinstance(a, np.ndarray) and a.shape == theta.shape]
        return state, others[len(state) :]

    def call(theta, g, *others):
        state, numbers = split(theta, g, *others)
        loop, to_dtype = loops[len(state)], theta.dtype.type  # a float64 would slow it all down
        if theta.ndim == 1:  # one network: no detour through a stack, as this runs at each step
            loop(tuple(map(to_dtype, numbers)), theta, g, *state)
            return
        # In a stack theta is (K, P), and a number may be an array (K, 1), one for each network.
        for k in range(len(theta)):
            own = [to_dtype(a[k, 0] if isinstance(a, np.ndarray) else a) for a in numbers]
            loop(tuple(own), theta[k], g[k], *(a[k] for a in state))

    loops, (state, numbers) = (loop0, loop1, loop2), split(*arguments)
    loop, vector = loops[len(state)], np.ones(1, arguments[0].dtype)
    keep_on_disk(loop, formula, vector.dtype)
    example = (tuple(vector[0] for _ in numbers), *[vector] * (2 + len(state)))
    loop.compile(tuple(map(numba.typeof, example)))
    return call


def keep_on_disk(loop, formula: Callable, dtype: np.dtype) -> None:
    """Let numba keep the machine code of a loop for the next process, and look for it first.

    numba's own `cache=True` would not do: it knows a loop again by its source alone, and all
    formulas share the loops. Here each formula has a file of its own, named after all that the
    formula is made of, so one that was edited is compiled anew, and processes that compile at once
    write the same. The file is in __pycache__ beside this module or, where that is read-only, in
    the user's cache. Where nothing can be written, or the formula has no file, each process
    compiles for itself.
    """
    from numba.core import caching

    class Kept(caching.FunctionCache):
        def _index_key(self, signature, codegen):
            return signature, codegen.magic_tuple()  # for which types and processor

        def load_overload(self, *arguments):
            with contextlib.suppress(Exception):  # damaged: compile it again
                return super().load_overload(*arguments)

        def save_overload(self, *arguments):
            with contextlib.suppress(Exception):  # the disk is full
                super().save_overload(*arguments)

    code = formula.__code__
    if formula.__closure__:  # it depends on more than its file
        return
    with contextlib.suppress(OSError, RuntimeError):  # no file, or no folder to write to
        # Beside its file, in case that has been edited since it was imported: what is run.
        parts = Path(code.co_filename).read_bytes(), formula.__qualname__, code.co_firstlineno
        parts += code.co_code, code.co_consts, code.co_names, dtype.str
        key = hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
        cache = Kept(loop.py_func)
        path, stamp = cache.cache_path, cache._impl.locator.get_source_stamp()
        cache._cache_file = caching.IndexDataCacheFile(path, f"kernel-{key}", stamp)
        loop._cache = cache


@functools.cache
def _import_numba():
    """Import numba, only when it is needed, and tell it what `sqrt` of a number is."""
    import numba

    @numba.extending.overload(sqrt)
    def sqrt_of_number(x):
        return lambda x: np.sqrt(x)

    return numba
