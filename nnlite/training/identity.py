"""What decides the numbers of a run: its configuration, the data, and the code that computed it.

The code counts by what it does: a hash over the syntax trees of nnlite's modules, in which comments
and formatting do not appear, and from which docstrings are left out. So whoever changes a formula
gets new results, and whoever explains it better keeps the old ones.

What changes only the rounding is recorded, but two runs may differ in it: a finished run from
another machine is still this run. It is, on the CPU, which kernels NumPy and its BLAS (the library
behind matrix products) choose for the processor; besides, the device, and whether the run was one
of a stack.
"""

import ast
import functools
import hashlib
import inspect
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib import metadata
from importlib.resources import files

import numpy as np

from .. import __version__
from ..activations import ACTIVATIONS
from ..backend import Device
from ..network import INITIALIZERS
from ..optimizers import OPTIMIZERS
from ..schedulers import SCHEDULERS

# A training runs through all modules but these. datasets, fashion, own_data: a checksum covers
# the data. files: arrays come back from it as they were. saving, gradcheck: used elsewhere only.
NOT_IN_A_TRAINING = {"datasets", "fashion", "own_data", "files", "saving", "gradcheck"}


def identity(log: dict) -> dict:
    """Return what decides the outcome of a run: runs with equal identities give equal numbers."""
    dataset = {key: log["dataset"][key] for key in ("name", "checksum", "classes")}
    versions = {"nnlite": log["versions"]["nnlite"], "code": log["versions"].get("code")}
    return {"config": log["config"], "dataset": dataset, **versions}


def difference(log: dict, wanted: dict) -> str:
    """Return why a log is not of the run that is wanted, in a few words; "" if it is."""
    reasons = {
        "config": "other settings",
        "dataset": "other data",
        "nnlite": "nnlite's version has changed since",
        "code": "nnlite's code has changed since",
    }
    old, new = identity(log), identity(wanted)
    return next((reasons[key] for key in reasons if old[key] != new[key]), "")


def versions(device: Device) -> dict[str, str]:
    """Return what computes a run on this device, for its log."""
    found = {"nnlite": __version__, "code": code_hash(), "python": platform.python_version()}
    found["numpy"] = np.__version__
    if device.xp is not np:
        return found | {"cupy": device.xp.__version__}
    found |= {"blas": blas(), "simd": simd()}
    return found | ({"numba": metadata.version("numba")} if device.name == "numba" else {})


# The code


def code_hash() -> str:
    """Return a hash of the code that this process trains with, 16 hex digits.

    It is the same for every version of Python. Where nnlite has no source files, their compiled
    form counts.
    """
    parts = {**SOURCES, **foreign_sources()}
    text = "\n".join(f"{name} {digest(source)}" for name, source in sorted(parts.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def package_sources(folder) -> Iterator[tuple[str, bytes]]:
    """Yield the path and the content of each module that takes part in a training."""
    for entry in folder.iterdir():
        stem, _, ending = entry.name.partition(".")
        if not stem.isidentifier() or stem in NOT_IN_A_TRAINING:
            continue  # no module, such as ".activations.py.swp", or one that does not count
        if entry.is_dir() and not ending and stem != "__pycache__":
            for path, source in package_sources(entry):
                yield f"{entry.name}/{path}", source
        elif ending in ("py", "pyc"):
            with suppress(OSError):  # it cannot have been imported either
                content = entry.read_bytes()
                yield entry.name, content if ending == "py" else content[16:]  # 16: its time


def foreign_sources() -> dict[str, str]:
    """Return the sources of modules that have added to the registries, such as a user's script."""
    found = {}
    for registry in (ACTIVATIONS, OPTIMIZERS, SCHEDULERS, INITIALIZERS):
        for name, entry in registry.items():
            module = getattr(entry, "__module__", "")
            if not module.startswith("nnlite."):
                try:
                    found[module] = inspect.getsource(sys.modules[module])
                except (KeyError, OSError, TypeError):  # typed in: the same in this process only
                    found[f"{module}/{name}"] = f"{id(entry)} {THIS_PROCESS}"
    return found


@functools.cache
def digest(source: str | bytes) -> str:
    """Return a hash of what a source says: of its syntax tree if it has one, else of all of it."""
    try:
        text = repr(plain(ast.parse(source))).encode()
    except (SyntaxError, ValueError):
        text = source.encode() if isinstance(source, str) else source
    return hashlib.sha256(text).hexdigest()


def plain(node):
    """Return a syntax tree as nested lists, without docstrings.

    ast.dump would do, but each version of Python adds fields to it: empty ones are left out here.
    """
    if isinstance(node, list):
        return [plain(part) for part in node if not is_text(part)]
    if not isinstance(node, ast.AST):
        return node
    fields = [[name, plain(value)] for name, value in ast.iter_fields(node)]
    return [type(node).__name__, *(field for field in fields if field[1] not in (None, []))]


def is_text(node) -> bool:
    """Is it a docstring, or another text on its own?"""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


# Read now, so that it is the code that this process runs, even if a file is edited later.
SOURCES = dict(package_sources(files("nnlite")))
THIS_PROCESS = os.urandom(8).hex()


# The rounding


@functools.cache
def blas() -> str:
    """Return NumPy's BLAS and the kernels that it has for this processor: openblas 0.3.31 Haswell.

    OpenBLAS adds up a sum in another order with other kernels.
    """
    from threadpoolctl import threadpool_info

    loaded = [library for library in threadpool_info() if library["user_api"] == "blas"]
    # SciPy can bring a second one. NumPy's own is in a folder such as numpy.libs.
    own = max(loaded, key=lambda library: "numpy" in library["filepath"], default=None)
    if own is None:  # such as Apple's Accelerate
        built = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
        return f"{built.get('name')} {built.get('version')}"
    return " ".join(
        str(own[key]) for key in ("internal_api", "version", "architecture") if key in own
    )


@functools.cache
def simd() -> str:
    """Return which of its own loops, for exp and sums, NumPy has chosen for this processor."""
    instructions = np.show_config(mode="dicts")["SIMD Extensions"]
    return (instructions.get("found") or instructions.get("baseline") or ["none"])[-1]
