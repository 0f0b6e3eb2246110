"""A strict stand-in for CuPy, which proves without a GPU that nnlite runs on CuPy's arrays.

NumPy computes behind it, but its arrays refuse what real device arrays refuse: to become host
arrays unasked, and to mix with them. Every copy between host and device is counted, and every call.
`cupy` offers only what is in the lists below.
"""

import functools
import operator
from collections import Counter
from types import ModuleType, SimpleNamespace

import numpy as np
from scipy import special

FUNCTIONS = """
    abs all arange argmax concatenate count_nonzero divide empty empty_like exp expm1 eye full
    full_like isfinite log matmul max maximum mean min minimum multiply ones ones_like sqrt square
    stack std subtract sum tanh var where zeros zeros_like
""".split()
CONSTANTS = "bool_ float32 float64 int32 int64 newaxis uint8".split()
METHODS = """
    all any argmax astype copy diagonal fill max mean min ravel reshape squeeze std sum take
    transpose var
""".split()
ATTRIBUTES = "dtype itemsize nbytes ndim shape size strides".split()
TRANSPOSES = "T mT".split()
VIEWS = [*TRANSPOSES, *"diagonal ravel reshape slice squeeze transpose".split()]  # launch nothing
BINARY = "add sub mul truediv floordiv mod pow matmul and or xor".split()
COMPARISONS = "lt le gt ge eq ne".split()
UNARY = "neg pos abs invert".split()
CONVERSIONS = {"__float__": float, "__int__": int, "__bool__": bool, "__repr__": repr}
CONVERSIONS |= {"item": np.ndarray.item, "tolist": np.ndarray.tolist}
HOST_VALUES = (int, float, complex, np.generic, str, np.dtype, type, slice, type(None), type(...))


class Transfers:
    """How often arrays were copied, kernels fused and what was called; dtypes of all arrays."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.to_host = self.to_device = self.fused = 0
        self.dtypes = set()
        self.calls = Counter()  # of functions, methods and operators, by name


transfers = Transfers()


class ndarray:
    """An array on the pretended device; only the methods added below lead to its numbers."""

    __array_ufunc__ = None  # np.exp(x) and host_array + x give up instead of converting x
    __hash__ = None

    def __init__(self, data):
        self._data = np.asarray(data)  # the same memory, so that views stay views
        transfers.dtypes.add(self._data.dtype.name)

    def __array__(self, *_, **__):
        raise TypeError("implicit conversion of a device array to a host array")

    def __array_function__(self, function, *_):
        raise TypeError(f"numpy.{function.__name__} was given a device array")

    def __len__(self):
        return len(self._data)

    def __iter__(self):  # as in CuPy: 0-d device arrays, and nothing is copied yet
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key):
        keys = key if isinstance(key, tuple) else (key,)
        transfers.calls["take" if any(isinstance(k, ndarray) for k in keys) else "slice"] += 1
        if any(isinstance(k, ndarray) and k.dtype == bool for k in keys):
            transfers.to_host += 1  # the shape of the result depends on the values of the mask
        return ndarray(self._data[behind(key)])

    def __setitem__(self, key, value):
        transfers.calls["assign"] += 1
        self._data[behind(key)] = behind(value)

    def get(self):
        transfers.to_host += 1
        return self._data.copy()


class Number:
    """A number inside a fused formula: fit to meet arrays, not other numbers.

    Inside cupy.fuse, `1 - beta` of two numbers is computed in float16.
    """

    __array_ufunc__ = None

    def __init__(self, value):
        self.value = value


def behind(value):
    """What NumPy is to compute with in place of `value`; TypeError if it is a host array."""
    if isinstance(value, ndarray):
        return value._data
    if isinstance(value, Number):
        return value.value
    if isinstance(value, (tuple, list)):
        return type(value)(behind(v) for v in value)
    if not isinstance(value, HOST_VALUES):
        raise TypeError(f"unsupported type {type(value)} beside a device array")
    return value


def on_device(function, name=None):
    """The same function from device arrays to device arrays."""
    name = name or function.__name__

    def wrapped(*args, **kwargs):
        transfers.calls[name] += 1
        kinds = {type(a) for a in args}
        if Number in kinds and ndarray not in kinds:
            raise TypeError(f"{name} of numbers alone, inside a fused formula")
        result = function(*behind(args), **{key: behind(v) for key, v in kwargs.items()})
        if kwargs.get("out") is not None:
            return kwargs["out"]
        return None if result is None else ndarray(result)

    return wrapped


def in_place(function):
    """An operator such as += on the memory of its left operand."""

    def wrapped(self, other):
        transfers.calls[function.__name__] += 1
        function(self._data, behind(other))
        return self

    return wrapped


for name in ATTRIBUTES:
    setattr(ndarray, name, property(operator.attrgetter(f"_data.{name}")))
for name in TRANSPOSES:
    setattr(ndarray, name, property(on_device(operator.attrgetter(name), name)))
for name in METHODS:
    setattr(ndarray, name, on_device(getattr(np.ndarray, name)))
for name, conversion in CONVERSIONS.items():
    setattr(ndarray, name, lambda self, *args, f=conversion: f(self.get(), *args))
for name in UNARY + COMPARISONS:
    setattr(ndarray, f"__{name}__", on_device(getattr(operator, name)))
for name in BINARY:
    function = on_device(getattr(operator, f"__{name}__"))
    for kind in (ndarray, Number):
        setattr(kind, f"__{name}__", function)
        setattr(kind, f"__r{name}__", lambda self, other, f=function: f(other, self))
    if name != "matmul":
        setattr(ndarray, f"__i{name}__", in_place(getattr(operator, f"__i{name}__")))


def asarray(a, dtype=None):
    if isinstance(a, ndarray):
        return a if dtype in (None, a.dtype) else a.astype(dtype)
    transfers.to_device += 1
    return ndarray(np.array(a, dtype))


def asnumpy(a):
    return a.get() if isinstance(a, ndarray) else np.asarray(a)


def fuse(formula):
    """Refuse what cupy.fuse refuses or computes inexactly, and run the formula as it is."""

    @functools.wraps(formula)
    def kernel(*arguments):
        for a in arguments:
            if not isinstance(a, (ndarray, int, float, np.generic)):
                raise TypeError(f"a fused kernel takes device arrays and numbers, not {type(a)}")
        transfers.fused += 1
        before = Counter(transfers.calls)
        formula(*(a if isinstance(a, ndarray) else Number(a) for a in arguments))
        transfers.calls = before + Counter(["kernel"])  # one call, whatever is in it

    return kernel


def module(name, **contents):
    made = ModuleType(name)
    vars(made).update(contents)
    return made


properties = SimpleNamespace(getDeviceProperties=lambda device: {"name": b"stand-in"})
cupy = module(
    "stand-in for cupy",
    __version__="14.0.0",
    **{name: on_device(getattr(np, name)) for name in FUNCTIONS},
    **{name: getattr(np, name) for name in CONSTANTS},
    **{f.__name__: f for f in (ndarray, asarray, asnumpy, fuse)},
    cuda=SimpleNamespace(is_available=lambda: True, runtime=properties),
)
MODULES = {
    "cupy": cupy,
    "cupyx": module("cupyx"),
    "cupyx.scipy": module("cupyx.scipy"),
    "cupyx.scipy.special": module("cupyx.scipy.special", ndtr=on_device(special.ndtr)),
}
