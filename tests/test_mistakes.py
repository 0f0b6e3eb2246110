"""A test of our tests: with any of the known mistakes planted into nnlite, they must fail.

    python -m pytest -m slow tests/test_mistakes.py

For each mistake, the test file of its module runs in a process and on a copy of its own. What the
table says of the gradient check is tested too: it shows the mistakes of level 1 and 2, no others.
"""

import ast
import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import check
from mistakes import MISTAKES
from nnlite import gradcheck

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.slow
# Optimizers, schedulers and the training loop play no part in the gradient check.
CHECKED = [m for m in MISTAKES if m.module in ("activations", "layers", "losses", "network")]


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the library, its tests and the lab."""
    folder = tmp_path_factory.mktemp("copy")
    for part in ("nnlite", "tests", "experiments"):
        other = shutil.ignore_patterns("__pycache__", "reference", "results")
        shutil.copytree(ROOT / part, folder / part, ignore=other)
    shutil.copy(ROOT / "setup.cfg", folder)
    return folder


def run_tests(folder, modules):
    """Run the test files of these modules until one fails; return pytest's exit code and words."""
    paths = [Path("tests", "library", module) for module in modules]
    files = [path.with_name(f"test_{path.name}.py") for path in paths]
    pytest_ = [sys.executable, "-m", "pytest", "-xq", "-p", "no:cacheprovider", *files]
    # PYTHONPATH: not the nnlite that is installed. No plugins: they take time to import.
    own = {"PYTHONPATH": str(folder), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    env = os.environ | own | {"PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(pytest_, cwd=folder, env=env, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_without_a_mistake_they_pass(copy):
    code, said = run_tests(copy, sorted({mistake.module for mistake in MISTAKES}))
    assert code == 0, said


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_the_suite_fails(mistake, copy):
    path = copy / "nnlite" / f"{mistake.module}.py"
    right = path.read_text(encoding="utf-8")
    path.write_text(mistake.plant(right), encoding="utf-8")
    try:
        code, said = run_tests(copy, [mistake.module])
    finally:
        path.write_text(right, encoding="utf-8")
    assert code == 1, f"no test fails with {mistake.new!r} in {mistake.function}\n{said}"


@pytest.mark.parametrize("mistake", CHECKED, ids=lambda mistake: mistake.name)
def test_its_level_says_whether_the_gradient_check_shows_it(mistake, monkeypatch):
    source = (ROOT / "nnlite" / f"{mistake.module}.py").read_text(encoding="utf-8")
    wrong = check.build(mistake.module, ast.parse(mistake.plant(source)), "wrong")
    right = importlib.import_module(f"nnlite.{mistake.module}")
    *outer, name = mistake.function.split(".")
    for owner in outer:
        right, wrong = getattr(right, owner), getattr(wrong, owner)
    monkeypatch.setattr(right, name, getattr(wrong, name))
    try:
        shows = not all(c.ok for c in gradcheck.check_all())
    except ValueError:  # shapes that do not fit
        shows = True
    assert shows == (mistake.level < 3)


def test_all_others_have_level_3():
    assert {m.level for m in MISTAKES if m not in CHECKED} == {3}
