"""nnlite.gradcheck: it passes the library, and finds and names each kind of broken gradient."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nnlite
from nnlite import gradcheck
from nnlite.activations import ACTIVATIONS, ReLU, Tanh
from nnlite.layers import Linear
from nnlite.losses import SoftmaxCrossEntropy


def failures():
    return [check for check in gradcheck.check_all() if not check.ok]


def patched(monkeypatch, owner, change):
    """Replace owner.backward by one that lets change(self, result) have the last word."""
    right = owner.backward
    monkeypatch.setattr(owner, "backward", lambda self, *dy: change(self, right(self, *dy)))


def test_the_library_passes():
    checks = gradcheck.check_all()
    assert all(check.ok for check in checks), gradcheck.table(checks)
    subjects = {check.subject for check in checks}
    names = ["Linear", "SoftmaxCrossEntropy", *(a.__name__ for a in ACTIVATIONS.values())]
    names += [f"MLP with {name}" for name in ACTIVATIONS]
    assert subjects == {name + stack for name in names for stack in ("", " (stack of 2)")}
    assert f"{len(checks)} of {len(checks)} gradients agree" in gradcheck.table(checks)
    wrt = {check.wrt for check in checks if check.subject == "MLP with relu"}
    assert wrt == {"x", *(f"fc{i}.{kind}" for i in (1, 2, 3) for kind in ("weight", "bias"))}


def test_numeric_gradient_of_a_known_function():
    x = np.array([[1.0, -2.0], [0.5, 3.0]])
    gradient = gradcheck.numeric_gradient(lambda: float(np.sum(x**3)), x)
    np.testing.assert_allclose(gradient, 3 * x**2, rtol=1e-8)
    np.testing.assert_array_equal(x, [[1, -2], [0.5, 3]])  # everything was put back


def test_a_wrong_activation_is_found(monkeypatch):
    patched(monkeypatch, Tanh, lambda self, dz: dz * 1.00001)
    found = failures()
    assert {check.subject for check in found} >= {"Tanh", "Tanh (stack of 2)", "MLP with tanh"}
    assert not [check for check in found if "tanh" not in check.subject.lower()]


def test_a_wrong_bias_gradient_is_found(monkeypatch):
    def halve(self, dx):
        self.dbias *= 0.5
        return dx

    patched(monkeypatch, Linear, halve)
    found = failures()
    assert {check.column for check in found} == {"b"}
    assert {check.subject for check in found} >= {"Linear", "MLP with relu"}


def test_a_wrong_weight_gradient_is_found_where_it_is(monkeypatch):
    def one_entry(self, dx):
        self.dweight[..., 2, 1] += 0.01
        return dx

    patched(monkeypatch, Linear, one_entry)
    check = next(check for check in failures() if check.subject == "Linear")
    assert (check.wrt, check.where) == ("W", (2, 1))
    assert check.analytic - check.numeric == pytest.approx(0.01)


def test_a_wrong_input_gradient_is_found(monkeypatch):
    patched(monkeypatch, Linear, lambda self, dx: None if dx is None else -dx)
    found = failures()
    assert "x" in {check.column for check in found if check.subject == "Linear"}
    # With every sign turned, those of fc1 are turned twice, and right again.
    wrong = {check.wrt for check in found if check.subject == "MLP with elu"}
    assert wrong == {"fc2.weight", "fc2.bias", "x"}


def test_a_sum_in_place_of_the_mean_is_found(monkeypatch):
    patched(monkeypatch, SoftmaxCrossEntropy, lambda self, dz: dz * dz.shape[-2])
    assert "SoftmaxCrossEntropy" in {check.subject for check in failures()}


def test_a_mistake_that_equal_upstream_gradients_hide_is_found(monkeypatch):
    # Right where all numbers of da are the same, as after L = sum(a).
    right = Tanh.backward
    monkeypatch.setattr(Tanh, "backward", lambda self, da: right(self, da[..., ::-1]))
    assert "Tanh" in {check.subject for check in failures()}


def test_not_a_number_is_found(monkeypatch):
    def one_nan(self, dz):
        dz = dz.copy()
        dz[..., 1, 2] = np.nan
        return dz

    patched(monkeypatch, ReLU, one_nan)
    checks = gradcheck.check_all()
    check = next(check for check in checks if check.subject == "ReLU")
    assert not check.ok and check.where == (1, 2) and math.isnan(check.analytic)


def test_not_a_number_is_the_largest_error_of_a_row():
    right, wrong = np.ones(3), np.full(3, np.nan)
    pairs = {"fc1.weight": right, "fc2.weight": wrong, "fc3.weight": right}
    checks = [gradcheck.compare("MLP", wrt, analytic, right) for wrt, analytic in pairs.items()]
    assert gradcheck.table(checks).splitlines()[1].split() == ["MLP", "-", "nan", "-"]


def test_a_registered_activation_is_checked_by_itself(monkeypatch):
    class Square:
        def forward(self, z):
            self.z = z
            return z * z

        def backward(self, da):
            return da * self.z  # forgets the 2

    monkeypatch.setitem(ACTIVATIONS, "square", Square)
    assert {check.subject for check in failures()} >= {"Square", "MLP with square"}


def test_the_text_shows_both_numbers_and_the_place():
    analytic = np.array([[1.0, 2.0], [3.25, 4.0]])
    numeric = np.array([[1.0, 2.0], [3.0, 4.0]])
    check = gradcheck.compare("Tanh", "x", analytic, numeric)
    assert check.relative_error == 0.25 / 4
    text = gradcheck.table([check])
    assert "FAILED  Tanh, gradient of x" in text
    assert "at [1, 0] backward gives 3.25, finite differences 3" in text
    assert "0 of 1 gradients agree" in text


BREAK_TANH = """
import runpy
from nnlite.activations import Tanh
Tanh.backward = lambda self, da: da
runpy.run_module("nnlite.gradcheck", run_name="__main__")
"""


@pytest.mark.parametrize(
    "arguments, status, words",
    [
        (["-m", "nnlite.gradcheck"], 0, "gradients agree"),
        (["-c", BREAK_TANH], 1, "FAILED  MLP with tanh, gradient of fc1.weight"),
    ],
    ids=["right", "broken"],
)
def test_the_command(arguments, status, words):
    root = Path(nnlite.__file__).parents[1]
    done = subprocess.run([sys.executable, *arguments], cwd=root, capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    assert words in done.stdout
    assert not done.stderr
