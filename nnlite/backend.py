"""NumPy or CuPy: this file decides where arrays live.

Every formula in nnlite is written for `xp`, which is one of two modules with the same functions:
`numpy` (arrays in main memory, on the host) or `cupy` (arrays on an NVIDIA GPU). Choose a device
once with `select_device`; after that, `array_module` finds out which module an array belongs to.
"""

import importlib
import sys
from importlib import metadata, util
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

Array = Any  # numpy.ndarray or cupy.ndarray: CuPy may not be installed, so no precise type exists
DEVICES = ("auto", "cpu", "gpu", "numba")


class Device(NamedTuple):
    """A place to compute: its name, one of DEVICES; its array module; its description."""

    name: str
    xp: ModuleType
    description: str

    def __reduce__(self):
        """Let it be copied and pickled: Python cannot pickle a module, but can import it again."""
        return _device, (self.name, self.description)


def _device(name: str, description: str) -> Device:
    """The device that was pickled."""
    return Device(name, importlib.import_module("cupy" if name == "gpu" else "numpy"), description)


CPU = Device("cpu", np, f"CPU (NumPy {np.__version__})")
selected = CPU  # the device in use, see `use`; kernels.py asks whether it is numba's


def select_device(name: str = "auto") -> Device:
    """Return the device called `name`, and compute there from now on.

    cpu     NumPy
    gpu     CuPy, on an NVIDIA GPU
    numba   NumPy, but numba compiles the optimizers' formulas; the same numbers, sooner
    auto    gpu if there is a working one, else numba if it is installed, else cpu

    Raises ValueError for an unknown name, and RuntimeError if that device is not available.
    """
    if name not in DEVICES:
        raise ValueError(f"unknown device {name!r}: choose one of {', '.join(DEVICES)}")
    device = None
    if name in ("auto", "gpu"):
        device, why_not = _find_gpu()
        if name == "gpu" and not device:
            raise RuntimeError(f"there is no GPU to use: {why_not}; use --device cpu or auto")
    if name in ("auto", "numba") and not device:
        device = _find_numba()
        if name == "numba" and not device:
            raise RuntimeError(
                "numba is not installed (pip install 'nnlite[fast]'); use --device cpu or auto"
            )
    device = device or CPU
    use(device)
    return device


def use(device: Device) -> None:
    """Compute on `device` from now on. Needed only where several devices have been selected."""
    global selected
    selected = device


def _find_gpu() -> tuple[Device | None, str]:
    """Return the GPU and "", or None and the reason why there is none."""
    try:
        import cupy  # here and not above: importing CuPy takes a second, and most machines lack it
    except ModuleNotFoundError:
        return None, "CuPy is not installed (pip install 'nnlite[cuda12]' or 'nnlite[cuda13]')"
    except Exception as error:  # such as a missing CUDA library
        return None, f"CuPy is installed, but cannot be imported ({error})"
    try:
        if not cupy.cuda.is_available():
            return None, "CuPy is installed, but no NVIDIA GPU answers"
        card = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
        cupy.zeros(1)  # a card that answers can still refuse work: out of memory, wrong driver
    except Exception as error:
        return None, f"CuPy is installed, but the GPU failed ({error})"
    return Device("gpu", cupy, f"GPU {card} (CuPy {cupy.__version__})"), ""


def _find_numba() -> Device | None:
    """Return the CPU with numba, None if it is not installed. Importing it is left to kernels.py.

    The import takes half a second, which a short training would not win back.
    """
    if not util.find_spec("numba"):
        return None
    return Device("numba", np, f"{CPU.description[:-1]}, numba {metadata.version('numba')})")


def array_module(array: Array) -> ModuleType:
    """Return `numpy` or `cupy`: the module that `array` belongs to.

    Raises ValueError for what is no array, such as a list.
    """
    if isinstance(array, (np.ndarray, np.generic)):
        return np
    cupy = sys.modules.get("cupy")  # the code that made the array has imported it
    if cupy and isinstance(array, cupy.ndarray):
        return cupy
    raise ValueError(f"a {type(array).__name__} is not an array: give numpy.array(...) of numbers")


def check_floats(array: Array) -> None:
    """Raise ValueError unless it is an array of floating-point numbers."""
    array_module(array)
    if array.dtype.kind != "f":
        raise ValueError(f"an array of {array.dtype}: convert it, array.astype('float32')")


class WrittenInto:
    """An attribute whose array stays the same: assigning to it changes the numbers in that array.

    For arrays that share their memory. `layer.weight = w` has to change theta as well, the vector
    of which layer.weight is a part (see MLP). Raises ValueError for another shape, or no numbers.
    """

    def __set_name__(self, owner: type, name: str):
        self.name = name

    def __set__(self, instance: object, value: Array):
        array = vars(instance).setdefault(self.name, value)
        if array is value:  # the first assignment, or the last half of `layer.weight *= 2`
            return
        value = array_module(array).asarray(value)
        if value.shape != array.shape or value.dtype.kind not in "fiu":
            raise ValueError(
                f"{self.name} is {array.dtype} of shape {array.shape}, so {value.dtype} of shape "
                f"{value.shape} cannot be written into it"
            )
        array[...] = value


def to_host(array: Array) -> np.ndarray:
    """Return `array` as a NumPy array. From a GPU this copies, and waits for the result."""
    xp = array_module(array)
    return np.asarray(array) if xp is np else xp.asnumpy(array)


def normal_cdf(z: Array) -> Array:
    """Return Phi(z), the normal distribution function, which neither NumPy nor CuPy has.

    SciPy and its copy in CuPy call it ndtr. The same in terms of erf, (1 + erf(z / sqrt 2)) / 2,
    has no correct digit left where erf is close to -1.
    """
    if array_module(z) is np:
        from scipy.special import ndtr  # here: importing SciPy takes longer than all of nnlite
    else:
        from cupyx.scipy.special import ndtr
    return ndtr(z)
