"""Kernels: one formula, run in three ways.

An optimizer writes its formula once, for whole vectors:

    @elementwise
    def sgd(theta, g, learning_rate):
        theta -= learning_rate * g
        return theta

NumPy runs it as written, which is one pass over the vectors for each operation. On a GPU, cupy.fuse
turns it into one kernel, a small program that does everything in a single pass. On the CPU, numba
(pip install 'nnlite[fast]') does the same. The formula remains the only source of all three.
"""

import functools
import sys
from collections.abc import Callable

import numpy as np

from . import backend
from .backend import Array, array_module


def elementwise(formula: Callable) -> Callable[..., None]:
    """Decorate formula(theta, g, up to two more vectors, numbers...), which works in place.

    It must treat each position of the vectors on its own, and return the new values of what it
    changes: theta and the vectors after g. (Only numba needs them.) Two numbers must not meet in
    it: inside a fused kernel `1 - beta` would be computed in float16, so pass the result instead.
    """
    kernels: dict[str, Callable] = {"numpy": formula}
    compilers = {"cupy": fuse, "numba": compile_loop}

    @functools.wraps(formula)
    def call(*arguments):
        kind = "cupy"
        if array_module(arguments[0]) is np:
            kind = "numba" if backend.selected.name == "numba" else "numpy"
        if kind not in kernels:  # the first time
            kernels[kind] = compilers[kind](formula)
        with np.errstate(under="ignore"):  # a number so small that it becomes 0 is no error
            kernels[kind](*arguments)

    return call


def sqrt(x: Array) -> Array:
    """The square root, for use in a formula. `_import_numba` has the version for numba."""
    # Inside a fused kernel x is not an array yet, so array_module would not know it.
    return (np if isinstance(x, np.ndarray) else sys.modules["cupy"]).sqrt(x)


def fuse(formula: Callable) -> Callable[..., None]:
    """Return the formula as one kernel for a GPU."""
    import cupy

    @functools.wraps(formula)
    def in_place(*arguments):  # returns nothing: a kernel would write what it returns once more
        formula(*arguments)

    return cupy.fuse(in_place)


def compile_loop(formula: Callable) -> Callable[..., None]:
    """Return the formula as one loop over the positions of the vectors, compiled by numba.

    The formula is compiled for single numbers: `m *= beta1` gives the number m a new value.
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

    loops = (loop0, loop1, loop2)

    def call(theta, g, *others):
        state = [a for a in others if isinstance(a, np.ndarray) and a.shape == theta.shape]
        numbers = others[len(state) :]
        loop, to_dtype = loops[len(state)], theta.dtype.type  # a float64 would slow it all down
        if theta.ndim == 1:  # one network: no detour through a stack, as this runs at each step
            loop(tuple(map(to_dtype, numbers)), theta, g, *state)
            return
        # In a stack theta is (K, P), and a number may be an array (K, 1), one for each network.
        for k in range(len(theta)):
            own = [to_dtype(a[k, 0] if isinstance(a, np.ndarray) else a) for a in numbers]
            loop(tuple(own), theta[k], g[k], *(a[k] for a in state))

    return call


@functools.cache
def _import_numba():
    """Import numba, only when it is needed, and tell it what `sqrt` of a number is."""
    import numba

    @numba.extending.overload(sqrt)
    def sqrt_of_number(x):
        return lambda x: np.sqrt(x)

    return numba
