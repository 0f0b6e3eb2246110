"""nnlite.training.identity: edited code gives another run, edited comments do not."""

import os
import platform
import py_compile
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import nnlite
from conftest import posix
from nnlite import ACTIVATIONS, INITIALIZERS, Config, ReLU
from nnlite.backend import CPU, select_device
from nnlite.training import identity as module
from nnlite.training.identity import blas, code_hash, difference, digest, identity, simd
from nnlite.training.logs import new_log

ROOT = Path(__file__).resolve().parents[3]
SMALL = Config(hidden=(16, 8), epochs=2, batch_size=64)


# ---- the identity of a run


def test_identity_is_what_decides_the_outcome(tiny):
    cpu = select_device("cpu")
    one = identity(new_log(SMALL, tiny, cpu, 1))
    moved = replace(tiny, source="elsewhere", note="a note")
    assert identity(new_log(SMALL, moved, cpu, stack=3)) == one
    others = [
        new_log(replace(SMALL, epochs=3), tiny, cpu, 1),
        new_log(SMALL, replace(tiny, name="other"), cpu, 1),
        new_log(SMALL, replace(tiny, x_test=tiny.x_test + 1), cpu, 1),
    ]
    assert all(identity(log) != one for log in others)


def test_what_is_different_is_said(tiny):
    log = new_log(SMALL, tiny, CPU, 1)
    versions = log["versions"]
    newer = versions | {"nnlite": "9", "code": ""}
    others = {
        "other settings": new_log(replace(SMALL, epochs=3), tiny, CPU, 1),
        "other data": new_log(SMALL, replace(tiny, name="other"), CPU, 1),
        "nnlite's version has changed since": log | {"versions": newer},
        "nnlite's code has changed since": log | {"versions": versions | {"code": "0"}},
    }
    for words, other in others.items():
        assert difference(log, other) == difference(other, log) == words
    without = {name: version for name, version in versions.items() if name != "code"}
    assert "code has changed" in difference(log | {"versions": without}, log)  # as 0.3.0 wrote it


def test_what_changes_only_the_rounding_is_recorded_but_leaves_the_run_the_same(tiny):
    log = new_log(SMALL, tiny, CPU, 1)
    assert log["versions"]["blas"] == blas() and log["versions"]["simd"] == simd()
    elsewhere = log["versions"] | {"blas": "openblas 0.3 SkylakeX", "simd": "X86_V4", "numpy": "9"}
    assert difference(log | {"versions": elsewhere, "device": "GPU", "stack": 8}, log) == ""


# ---- the code


@pytest.fixture
def copy(tmp_path):
    """A copy of nnlite to be edited."""
    ignored = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(ROOT / "nnlite", tmp_path / "copy" / "nnlite", ignore=ignored))


def hash_in(folder, *flags):
    """What another process, with this folder on its path, gives as the hash of its code."""
    code = "import nnlite.training.logs as logs; print(logs.code_hash(), logs.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, *flags, "-c", code]
    done = subprocess.run(command, env=environment, cwd=folder.parent, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    found, file = done.stdout.decode().split(" ", 1)
    assert str(folder) in file
    return found


def test_every_process_has_the_same_hash(copy):
    assert len(code_hash()) == 16
    assert {hash_in(ROOT), hash_in(copy.parent), hash_in(copy.parent, "-OO")} == {code_hash()}


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


EDITS = {
    "a slope": ("activations.py", "slope = 0.1", "slope = 0.5"),
    "a sign": (
        "losses.py",
        "self.probabilities - self.one_hot",
        "self.probabilities + self.one_hot",
    ),
    "an optimizer": ("optimizers.py", "learning_rate * g", "2 * learning_rate * g"),
    "the split": ("training/loop.py", "VALIDATION_SHARE = 0.1", "VALIDATION_SHARE = 0.2"),
    "a schedule": ("schedulers.py", "* 0.9**epoch\n", "* 0.8**epoch\n"),
    "what is logged": ("training/diagnostics.py", "BINS = 40", "BINS = 41"),
}


@pytest.mark.parametrize("name, old, new", EDITS.values(), ids=EDITS)
def test_an_edit_changes_the_hash(copy, name, old, new):
    before = {path: digest(path.read_bytes()) for path in copy.rglob("*.py")}
    edit(copy / name, old, new)
    changed = [path for path in before if digest(path.read_bytes()) != before[path]]
    assert changed == [copy / name]


def test_the_hash_is_of_all_that_computes_and_of_a_module_that_somebody_adds(copy):
    edit(copy / "activations.py", "slope = 0.1", "slope = 0.5")
    edited = hash_in(copy.parent)
    (copy / "mine").mkdir()
    (copy / "mine" / "swish.py").write_text("beta = 1")
    added = hash_in(copy.parent)
    edit(copy / "mine" / "swish.py", "1", "2")
    assert len({code_hash(), edited, added, hash_in(copy.parent)}) == 4
    computing = "activations backend kernels layers losses network optimizers schedulers seeding"
    names = {f"{name}.py" for name in computing.split()}
    names |= {f"training/{name}.py" for name in ("loop", "config", "diagnostics", "logs")}
    assert names <= set(module.SOURCES)


def test_comments_docstrings_and_formatting_do_not_count(copy):
    path = copy / "activations.py"
    edit(path, '"""a = max(0, z).', '"""The greater of 0 and z.')
    edit(path, "        self.z = z\n", "\n        # keep it\n        self.z = (\n            z)\n")
    edit(
        path,
        "def forward(self, z: Array) -> Array:",
        'def forward(self, z: Array) -> Array:\n        "a"',
    )
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    edit(copy / "fashion.py", "TIMEOUT = 10.0", "TIMEOUT = 20.0")  # the data have their checksum
    for name in (".activations.py.swp", "activations copy.py", "activations.py~", "notes.txt"):
        (copy / name).write_text("other")
    (copy / ".ipynb_checkpoints").mkdir()
    (copy / ".ipynb_checkpoints" / "loop.py").write_text("other")
    assert hash_in(copy.parent) == code_hash()


@posix
def test_a_file_that_is_no_python_does_no_harm(copy):
    (copy / "draft.py").write_text("def f(:")
    (copy / "zeros.py").write_bytes(b"\0\xff")
    (copy / "gone.py").symlink_to("nowhere")
    assert hash_in(copy.parent) != code_hash()


def test_the_hash_is_of_the_code_that_was_loaded_even_if_a_file_is_edited_later(copy):
    code = (
        "import sys, nnlite.training.logs as logs, pathlib\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "path.write_text(path.read_text().replace('slope = 0.1', 'slope = 0.5'))\n"
        "print(logs.code_hash())"
    )
    command = [sys.executable, "-c", code, copy / "activations.py"]
    environment = {**os.environ, "PYTHONPATH": str(copy.parent)}
    assert subprocess.check_output(command, env=environment).decode().strip() == code_hash()
    assert hash_in(copy.parent) != code_hash()


def test_nnlite_in_a_zip_has_the_same_hash(copy, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "nnlite"), "zip", copy.parent)
    assert hash_in(Path(archive)) == code_hash()


@pytest.mark.parametrize("zipped", [False, True])
def test_nnlite_without_its_sources_has_a_hash_as_well(copy, tmp_path, zipped):
    def compiled():
        for path in copy.rglob("*.py"):
            py_compile.compile(path, path.with_suffix(".pyc"), dfile=path.name, doraise=True)
            os.replace(path, path.with_suffix(".py.txt"))
        if zipped:
            return hash_in(Path(shutil.make_archive(str(tmp_path / "z"), "zip", copy.parent)))
        return hash_in(copy.parent)

    hashes = [compiled()]
    for slope in ("slope = 0.1", "slope = 0.5"):
        for path in copy.rglob("*.py.txt"):
            os.replace(path, path.with_suffix(""))
        edit(copy / "activations.py", "slope = 0.1", slope)
        hashes.append(compiled())
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_tree_of_a_source_is_the_same_in_all_versions_of_python():
    """A fixed example: fields that a later version adds are empty, and empty ones do not count."""
    source = (
        "@d\nclass A(B, c=1):\n    x: int = -1.5e-7\n"
        "    async def f(self, /, a, *b, c=None, **k) -> 'T':\n"
        "        return f'{a!r:>{c}} text' if not b else [i for i in k if i] + [None, *b, {**k}]\n"
    )
    assert digest(source)[:16] == "946a80905af9b80e"
    assert digest("x = None") != digest("x = 0") != digest("x = False") != digest("x = ''")
    assert digest("return_ = 1j") != digest("return_ = 1.0") != digest("return_ = 1")


# ---- classes from elsewhere


def test_a_class_that_a_script_registers_counts(monkeypatch, tmp_path):
    script = tmp_path / "my_swish.py"
    hashes = []
    for beta in ("1", "1  # the usual one", "2"):
        script.write_text(f"import nnlite\nclass Swish(nnlite.ReLU):\n    beta = {beta}\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setitem(ACTIVATIONS, "swish", __import__("my_swish").Swish)
        hashes.append(code_hash())
        del sys.modules["my_swish"]
        assert code_hash() != hashes[-1]  # now nobody can say what is in it
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
    assert hashes[0] == hashes[1] != hashes[2] and code_hash() not in hashes


def test_a_class_that_was_typed_in_is_the_same_in_this_process_only(monkeypatch):
    before = code_hash()
    namespace = {"ReLU": ReLU, "__name__": "__console__"}
    exec("class Swish(ReLU): pass", namespace)
    monkeypatch.setitem(ACTIVATIONS, "swish", namespace["Swish"])
    typed = code_hash()
    assert before != typed == code_hash()
    exec("class Swish(ReLU): beta = 2", namespace)
    monkeypatch.setitem(ACTIVATIONS, "swish", namespace["Swish"])
    assert code_hash() != typed
    monkeypatch.setattr(module, "THIS_PROCESS", "another")
    assert code_hash() != typed


def test_what_is_no_class_can_be_registered_as_well(monkeypatch):
    import functools

    monkeypatch.setitem(INITIALIZERS, "small", functools.partial(lambda c, D_in, D_out: c, 0.01))
    assert code_hash() == code_hash()
    nnlite.MLP([3, 2], init="small")


# ---- the rounding


def test_the_kernels_of_blas_and_numpy_are_named(monkeypatch):
    """And they are those in use: OpenBLAS and NumPy can be told to take others."""
    if not blas().startswith("openblas"):
        pytest.skip("another BLAS")
    code = "from nnlite.training.identity import blas, simd; print(blas(), simd())"
    said = subprocess.check_output(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert said.decode().strip() == f"{blas()} {simd()}"
    chosen = {"OPENBLAS_CORETYPE": "Nehalem", "PYTHONPATH": str(ROOT)}
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    chosen["NPY_DISABLE_CPU_FEATURES"] = " ".join(found)
    said = subprocess.check_output(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, **chosen}
    ).decode()
    if platform.machine() == "x86_64":
        assert "Nehalem" in said and not any(name in said for name in found)


def test_a_blas_that_threadpoolctl_does_not_know(monkeypatch):
    monkeypatch.setattr("threadpoolctl.threadpool_info", lambda: [{"user_api": "openmp"}])
    blas.cache_clear()
    try:
        assert (
            blas().split()[0] == np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]
        )
    finally:
        blas.cache_clear()


def test_two_blas_libraries(monkeypatch):
    scipy = {
        "user_api": "blas",
        "internal_api": "openblas",
        "version": "1",
        "architecture": "A",
        "filepath": "/lib/scipy.libs/o.so",
    }
    mkl = {"user_api": "blas", "internal_api": "mkl", "version": "2", "filepath": "numpy.libs/m.so"}
    monkeypatch.setattr("threadpoolctl.threadpool_info", lambda: [scipy, mkl])
    blas.cache_clear()
    try:
        assert blas() == "mkl 2"
    finally:
        blas.cache_clear()
