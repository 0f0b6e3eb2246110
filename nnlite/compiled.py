"""An accelerator for the CPU: formulas compiled by numba (pip install 'nnlite[fast]').

NumPy runs `m *= beta1` as one pass over the whole vector, and the next operation as another. numba
translates the very same formula for single numbers, where `m *= beta1` just gives m a new value,
and puts it in a loop: one pass that does it all.
"""

from collections.abc import Callable

import numba
import numpy as np

from . import backend


@numba.extending.overload(backend.sqrt)
def sqrt(x):
    return lambda x: np.sqrt(x)


def compile_formula(formula: Callable) -> Callable[..., None]:
    """Return a function that runs formula(theta, g, up to two vectors, numbers...) in one loop.

    The formula has to return the new values of what it changes: theta and the vectors after g.
    """
    # "numpy": 1 / 0 is inf. The check for Python's ZeroDivisionError would cost most of the speed.
    options = {"error_model": "numpy"}
    f = numba.njit(formula, **options)

    # Where the gradient stays 0, as it does for the weights of a dead unit, m <- beta1 m shrinks
    # until float32 holds it only as a subnormal number, and rounding stops it short of 0. None is
    # large enough to move a weight, but processors take many times longer over them.
    @numba.njit(**options)
    def flush(x, like):
        return 0 if abs(x) < np.finfo(like.dtype).tiny else x  # tiny: the smallest normal number

    @numba.njit(**options)
    def loop0(numbers, theta, g):
        for i in range(theta.size):
            (theta[i],) = f(theta[i], g[i], *numbers)

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
        if theta.ndim == 1:  # one network, without the detour of a stack: this runs at each step
            loop(tuple(map(to_dtype, numbers)), theta, g, *state)
            return
        # In a stack theta is (K, P), and a number may be an array (K, 1), one for each network.
        for k in range(len(theta)):
            own = [to_dtype(a[k, 0] if isinstance(a, np.ndarray) else a) for a in numbers]
            loop(tuple(own), theta[k], g[k], *(a[k] for a in state))

    return call
