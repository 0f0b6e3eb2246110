"""NumPy or CuPy: the file that decides where arrays live.

Every formula in nnlite is written for `xp`, which is either the module `numpy` (arrays in main
memory) or the module `cupy` (the same functions, arrays on an NVIDIA GPU). Pick a device once with
`select_device`; from then on `array_module` tells from any array which of the two it belongs to.
"""

import functools
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

Array = Any  # numpy.ndarray or cupy.ndarray: CuPy may not be installed, so no precise type exists
DEVICES = ("auto", "cpu", "gpu", "numba")
_compiled = False  # does numba run the formulas of `elementwise`? See `use`


class Device(NamedTuple):
    """A place to compute: its name, one of DEVICES, its array module, and its description."""

    name: str
    xp: ModuleType
    description: str


def select_device(name: str = "auto") -> Device:
    """Return the device called `name`, and compute there from now on.

    cpu     NumPy
    gpu     CuPy, on an NVIDIA GPU
    auto    gpu if one answers, else cpu
    numba   NumPy, with the optimizers' formulas compiled by numba: faster, if it is installed

    Raises ValueError for another name, RuntimeError when a device that is asked for is not there.
    """
    if name not in DEVICES:
        raise ValueError(f"unknown device {name!r}: choose one of {', '.join(DEVICES)}")
    device = Device("cpu", np, f"CPU (NumPy {np.__version__})")
    if name in ("auto", "gpu"):
        gpu, why_not = _find_gpu()
        if name == "gpu" and not gpu:
            raise RuntimeError(f"no GPU to use: {why_not}; use --device cpu, or auto")
        device = gpu or device
    if name == "numba":
        try:
            import numba
        except ImportError:
            raise RuntimeError(
                "numba is not installed (pip install 'nnlite[fast]'); use --device cpu, or auto"
            ) from None
        device = Device("numba", np, f"{device.description[:-1]}, numba {numba.__version__})")
    use(device)
    return device


def use(device: Device) -> None:
    """Compute on `device` from now on, if several have been selected."""
    global _compiled
    _compiled = device.name == "numba"


def _find_gpu() -> tuple[Device | None, str]:
    try:
        import cupy  # here and not above: importing CuPy takes a second, and most machines lack it
    except ModuleNotFoundError:
        return None, "CuPy is not installed (pip install 'nnlite[cuda12]' or 'nnlite[cuda13]')"
    except Exception as error:  # such as a CUDA library that is missing
        return None, f"CuPy is installed, but cannot be imported ({error})"
    try:
        if not cupy.cuda.is_available():
            return None, "CuPy is installed, but no NVIDIA GPU answers"
        card = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
        cupy.zeros(1)  # a card that answers can still refuse work: out of memory, wrong driver
    except Exception as error:
        return None, f"CuPy is installed, but the GPU failed ({error})"
    return Device("gpu", cupy, f"GPU {card} (CuPy {cupy.__version__})"), ""


def array_module(array: Array) -> ModuleType:
    """Return `numpy` or `cupy`: the module that `array` belongs to."""
    if isinstance(array, (np.ndarray, np.generic)):
        return np
    return sys.modules["cupy"]  # whoever made the array has imported it


def to_host(array: Array) -> np.ndarray:
    """Return `array` as a NumPy array; from a GPU this copies, and waits until it is computed."""
    xp = array_module(array)
    return np.asarray(array) if xp is np else xp.asnumpy(array)


def sqrt(x: Array) -> Array:
    """The square root, NumPy's or CuPy's according to x."""
    return array_module(x).sqrt(x)


def erf(z: Array) -> Array:
    """The error function, which neither NumPy nor CuPy has: SciPy's, or CuPy's twin of SciPy."""
    if array_module(z) is np:
        from scipy.special import erf  # here: importing SciPy costs more than all of nnlite
    else:
        from cupyx.scipy.special import erf
    return erf(z)


def elementwise(formula: Callable) -> Callable[..., None]:
    """Decorate a formula(array, ..., number, ...) that changes its arrays in place.

    The formula treats each position of the arrays on its own. NumPy runs it as it is written, one
    pass over the arrays for each operation. On a GPU, CuPy compiles it into one kernel that does
    everything in a single pass (cupy.fuse), and numba does the like for the CPU (compiled.py).
    So the formula stays the only source.
    """
    kernels: dict[str, Callable] = {"numpy": formula}

    @functools.wraps(formula)
    def call(*arguments):
        xp = array_module(arguments[0])
        kind = "numba" if xp is np and _compiled else xp.__name__
        if kind == "numba" and kind not in kernels:
            from .compiled import compile_formula

            kernels[kind] = compile_formula(formula)
        elif kind not in kernels:

            @functools.wraps(formula)
            def in_place(*arrays_and_numbers):  # what it returned would be written once more
                formula(*arrays_and_numbers)

            kernels[kind] = xp.fuse(in_place)
        kernels[kind](*arguments)

    return call
