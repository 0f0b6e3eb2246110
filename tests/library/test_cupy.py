"""CuPy itself, which can be imported without a GPU: it has all that nnlite calls, and its compiler
takes the fused kernels. Only running them needs a GPU: tests/test_gpu.py.
"""

import ast
import inspect
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import nnlite
import strict_cupy as stand_in
from nnlite import optimizers
from nnlite.kernels import fuse

cupy = pytest.importorskip("cupy", reason="CuPy is not installed")

# ---- What nnlite calls

ARRAY_METHODS = {*stand_in.METHODS, "get"}
SOURCES = sorted(Path(nnlite.__file__).parent.rglob("*.py"))


def is_xp(node):
    """Is it xp, self.xp, device.xp, cupy, or array_module(...)?"""
    if isinstance(node, ast.Call):
        node = node.func
    name = getattr(node, "attr", getattr(node, "id", ""))
    return name in ("xp", "cupy", "array_module")


def calls():
    """Every call of a function of xp, or of a method of arrays, as (what, name, call)."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                name = node.func.attr
                if is_xp(node.func.value):
                    yield cupy, name, node
                elif name in ARRAY_METHODS and getattr(node.func.value, "id", "") != "np":
                    yield cupy.ndarray, name, node


def signature(function):
    """Its signature; CuPy's functions in C have theirs in the first line of the docstring."""
    try:
        return inspect.signature(function)
    except ValueError:
        line = function.__doc__.splitlines()[0].replace("\\*", "*")
        return inspect.signature(eval(f"lambda {re.search(r'[(](.*)[)]', line)[1]}: 0"))


def test_cupy_has_every_name():
    """Of those in the stand-in, on which all of nnlite is tested, and beside the arrays."""
    for name in (*stand_in.FUNCTIONS, *stand_in.CONSTANTS, "asarray", "asnumpy", "fuse"):
        assert hasattr(cupy, name), name
    operators = [f"__{n}__" for n in (*stand_in.BINARY, *stand_in.COMPARISONS, *stand_in.UNARY)]
    operators += [f"__i{n}__" for n in stand_in.BINARY if n != "matmul"]
    attributes = (*stand_in.ATTRIBUTES, *stand_in.TRANSPOSES, "get", "item", "tolist")
    for name in (*stand_in.METHODS, *attributes, *operators):
        assert hasattr(cupy.ndarray, name), name
    assert callable(cupy.cuda.is_available)
    assert callable(cupy.cuda.runtime.getDeviceProperties)
    assert callable(cupy.cuda.runtime.memGetInfo)
    from cupyx.scipy.special import ndtr

    assert "f->f" in ndtr.types


def test_cupy_takes_every_argument():
    found = list(calls())
    for owner, name, call in found:
        places = [None] * (len(call.args) + (owner is cupy.ndarray))
        if any(isinstance(argument, ast.Starred) for argument in call.args):
            places = places[: owner is cupy.ndarray]
        keywords = dict.fromkeys(keyword.arg for keyword in call.keywords)
        try:
            signature(getattr(owner, name)).bind(*places, **keywords)
        except TypeError as error:
            pytest.fail(f"{ast.unparse(call)}: {error}")
    assert {name for owner, name, _ in found if owner is cupy} > {"matmul", "where", "mean", "exp"}
    assert {name for owner, name, _ in found if owner is not cupy} > {"take", "sum", "argmax"}


# ---- The fused kernels

FORMULAS = {
    cls.__name__: cls.formula.__wrapped__
    for cls in vars(optimizers).values()
    if isinstance(cls, type) and "formula" in vars(cls)
}
# How many of its arguments are vectors, in the order of the formula; all others are numbers.
VECTORS = {"SGD": 2, "SGDMomentum": 3, "RMSprop": 3, "Adam": 4}


def device_array(shape):
    """An array of float32 in memory that nobody has asked a GPU for. Nobody may read it."""
    memory = cupy.cuda.UnownedMemory(4096, 4 * int(np.prod(shape)), None, device_id=0)
    return cupy.ndarray(shape, "float32", cupy.cuda.MemoryPointer(memory, 0))


def kernel_source(formula, arguments):
    """The CUDA source of the kernel that CuPy makes of a formula, and the compiler's options.

    These are the steps of a fused function's call up to the compilation. A call would ask for the
    current GPU on the way.
    """
    from cupy._core import _carray, _kernel, _scalar, core, fusion
    from cupy.cuda import compiler

    local = fusion._thread_local
    local.history, local.is_old_fusing = fusion._FusionHistory(), True
    try:
        traced = fuse(formula).__wrapped__  # the function that is fused
        kernel, _ = local.history.get_fusion(traced, arguments, "kernel")
    finally:
        local.history, local.is_old_fusing = None, False
    ndim = max(getattr(a, "ndim", 0) for a in arguments)
    array, indexer, scalar = 1, 2, 3  # CuPy's numbers for the kinds of arguments
    infos = [
        _kernel._ArgInfo(array, cupy.ndarray, a.dtype, ndim, ndim == 1, True)
        if isinstance(a, cupy.ndarray)
        else _kernel._ArgInfo(scalar, _scalar.CScalar, p.dtype, 0, True, True)
        for a, p in zip(arguments, kernel.in_params, strict=True)
    ]
    infos.append(_kernel._ArgInfo(indexer, _carray.Indexer, None, ndim, True, True))
    *_, types = kernel._decide_params_type(tuple(getattr(a, "dtype", None) for a in arguments), ())
    code = _kernel._get_elementwise_kernel_code(
        tuple(infos), types, kernel.params, kernel.operation, kernel.name, kernel.preamble
    )
    made = []

    def instead(source, options, **_):
        made.append((source, options))
        raise InterruptedError

    with pytest.MonkeyPatch.context() as patch, pytest.raises(InterruptedError):
        patch.setattr(compiler, "_compile_module_with_cache", instead)  # it asks for the GPU's kind
        core.compile_with_cache(code)
    return made[0]


def compiled(formula, arguments, kind):
    """The machine-independent assembly (PTX) of a formula's kernel for a kind of GPU."""
    from cupy.cuda import compiler

    source, options = kernel_source(formula, arguments)
    program = compiler._NVRTCProgram(source, "kernel.cu", method="ptx")
    # -ftz and the last one are what CuPy adds.
    options += (f"-arch=compute_{kind}", "-ftz=true", "--device-as-default-execution-space")
    ptx, _ = program.compile(options, None)
    return ptx if isinstance(ptx, str) else ptx.decode()


@pytest.fixture(scope="module")
def nvrtc():
    """NVIDIA's compiler, which needs no GPU."""
    try:
        cupy.cuda.nvrtc.getVersion()
    except Exception as error:
        pytest.skip(f"there is no NVRTC ({error}): pip install nvidia-cuda-nvrtc-cu12")


def arguments_of(name, stack):
    """What `step` gives a formula: vectors, and numbers; in a stack the rate is an array too."""
    names = inspect.signature(FORMULAS[name]).parameters
    shape = (3, 10) if stack else (10,)
    arguments = [device_array(shape) if i < VECTORS[name] else 0.5 for i in range(len(names))]
    if stack:
        rate = next(i for i, n in enumerate(names) if n in ("learning_rate", "step_size"))
        arguments[rate] = device_array((3, 1))
    return tuple(arguments)


def check(ptx, loads, stores):
    """One kernel, no arithmetic with 64 bits, and each array is read once and written once."""
    assert len(re.findall(r"\.entry", ptx)) == 1
    # The numbers arrive as float64, and each is converted once.
    wide = {w for w in re.findall(r"[a-z]\S*\.f64\S*", ptx) if not w.startswith("ld.param")}
    assert all(re.fullmatch(r"cvt\.rn(\.ftz)?\.f32\.f64", word) for word in wide), wide
    assert ".f16" not in ptx  # what two numbers that meet are computed in
    assert len(re.findall(r"ld\.global", ptx)) == loads
    assert len(re.findall(r"st\.global", ptx)) == stores


def test_every_formula_is_checked():
    assert VECTORS.keys() == FORMULAS.keys()


@pytest.mark.parametrize("kind", [75, 80, 90])  # Turing, Ampere, Hopper
@pytest.mark.parametrize("stack", [False, True], ids=["one", "stack"])
@pytest.mark.parametrize("name", FORMULAS)
def test_a_fused_kernel_reads_and_writes_each_array_once_in_float32(nvrtc, name, stack, kind):
    ptx = compiled(FORMULAS[name], arguments_of(name, stack), kind)
    check(ptx, loads=VECTORS[name] + stack, stores=VECTORS[name] - 1)


@pytest.mark.parametrize(
    "formula",
    [
        lambda theta, g, rate: theta - (rate - rate * 2) * g,
        lambda theta, g, rate: theta - rate * g * g.astype("float64"),
    ],
    ids=["two numbers", "a double vector"],
)
def test_what_the_check_is_for(nvrtc, formula):
    arguments = (device_array((10,)), device_array((10,)), 0.5)
    with pytest.raises(AssertionError):
        check(compiled(formula, arguments, 80), loads=2, stores=1)


def test_what_copies_are_for(nvrtc, monkeypatch):
    """Without them, `fuse` would have Adam's kernel read and write arrays again and again."""
    in_place = SimpleNamespace(__wrapped__=lambda *arguments: FORMULAS["Adam"](*arguments) and None)
    monkeypatch.setitem(globals(), "fuse", lambda formula: in_place)
    ptx = compiled(FORMULAS["Adam"], arguments_of("Adam", False), 80)
    assert len(re.findall(r"ld\.global", ptx)) == 6
    assert len(re.findall(r"st\.global", ptx)) == 5
