"""nnlite.layers: Linear, against numbers worked out on paper and against finite differences."""

import numpy as np
import pytest

from nnlite.layers import Layer, Linear


def numeric_gradient(L, x, h=1e-5):
    """dL/dx by centred differences, where L() is computed from the present contents of x."""
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        kept = x[index]
        x[index] = kept + h
        gradient[index] = L()
        x[index] = kept - h
        gradient[index] -= L()
        x[index] = kept
    return gradient / (2 * h)


def assert_close(actual, expected, tolerance=1e-7):
    """Equal shapes, and nowhere further apart than `tolerance` times the largest number."""
    assert actual.shape == expected.shape
    scale = max(np.abs(expected).max(), 1e-3)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale)


def random_linear(rng, lead=()):
    return Linear(rng.normal(size=(*lead, 4, 3)), rng.normal(size=(*lead, 3)))


def test_worked_by_hand():
    weight, bias = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.array([10.0, 20.0])
    linear = Linear(weight, bias)
    x, dz = np.array([[1.0, 0.0, -1.0], [2.0, 1.0, 0.0]]), np.array([[1.0, -1.0], [0.5, 2.0]])
    np.testing.assert_array_equal(linear.forward(x), [[6, 16], [15, 28]])
    np.testing.assert_array_equal(linear.backward(dz), [[-1, -1, -1], [4.5, 9.5, 14.5]])
    np.testing.assert_array_equal(linear.dweight, [[2, 3], [0.5, 2], [-1, 1]])
    np.testing.assert_array_equal(linear.dbias, [1.5, 1])


@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
def test_finite_differences(lead):
    rng = np.random.default_rng(0)
    linear, x = random_linear(rng, lead), rng.normal(size=(*lead, 5, 4))
    r = rng.normal(size=(*lead, 5, 3))  # L = sum(z * r), so dL/dz = r

    def L():
        return (linear.forward(x) * r).sum()

    L()
    assert_close(linear.backward(r), numeric_gradient(L, x))
    assert_close(linear.dweight, numeric_gradient(L, linear.weight))
    assert_close(linear.dbias, numeric_gradient(L, linear.bias))


def test_a_stack_is_separate_layers():
    rng = np.random.default_rng(1)
    stack = random_linear(rng, (3,))
    x, dz = rng.normal(size=(3, 5, 4)), rng.normal(size=(3, 5, 3))
    z, dx = stack.forward(x), stack.backward(dz)
    for k in range(3):
        one = Linear(stack.weight[k], stack.bias[k])
        assert_close(z[k], one.forward(x[k]), 1e-14)
        assert_close(dx[k], one.backward(dz[k]), 1e-14)
        assert_close(stack.dweight[k], one.dweight, 1e-14)
        assert_close(stack.dbias[k], one.dbias, 1e-14)


def test_inputs_stay_as_they_were():
    rng = np.random.default_rng(2)
    linear, x, dz = random_linear(rng), rng.normal(size=(5, 4)), rng.normal(size=(5, 3))
    given = linear.weight, linear.bias, x, dz
    before = [array.copy() for array in given]
    for array in given:
        array.flags.writeable = False  # writing to it would raise
    linear.forward(x)
    linear.backward(dz)
    for array, copy in zip(given, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_gradients_are_written_into_the_given_arrays():
    rng = np.random.default_rng(3)
    dweight, dbias = np.full((4, 3), np.nan), np.full(3, np.nan)
    linear = Linear(rng.normal(size=(4, 3)), rng.normal(size=3), dweight, dbias)
    x, dz = rng.normal(size=(5, 4)), rng.normal(size=(5, 3))
    for _ in range(2):  # the second backward replaces the gradients, it does not add to them
        linear.forward(x)
        linear.backward(dz)
        assert linear.dweight is dweight and linear.dbias is dbias
        assert_close(dweight, x.T @ dz, 1e-14)
        assert_close(dbias, dz.sum(axis=0), 1e-14)


def test_input_gradient_can_be_left_out():
    rng = np.random.default_rng(4)
    linear, x, dz = random_linear(rng), rng.normal(size=(5, 4)), rng.normal(size=(5, 3))
    linear.forward(x)
    assert linear.backward(dz) is not None
    dweight, dbias = linear.dweight.copy(), linear.dbias.copy()
    linear.input_gradient = False
    linear.forward(x)
    assert linear.backward(dz) is None
    np.testing.assert_array_equal(linear.dweight, dweight)
    np.testing.assert_array_equal(linear.dbias, dbias)


def test_float32_stays_float32():
    weight, bias, x = (np.ones(shape, np.float32) for shape in [(4, 3), (3,), (5, 4)])
    linear = Linear(weight, bias)
    z = linear.forward(x)
    dx = linear.backward(z)
    assert {a.dtype for a in (z, dx, linear.dweight, linear.dbias)} == {np.dtype("float32")}


def test_no_samples_no_gradient():
    linear = random_linear(np.random.default_rng(5))
    assert linear.forward(np.empty((0, 4))).shape == (0, 3)
    assert linear.backward(np.empty((0, 3))).shape == (0, 4)
    assert not linear.dweight.any() and not linear.dbias.any()


def test_layer_asks_for_both_methods():
    for method in (Layer().forward, Layer().backward):
        with pytest.raises(NotImplementedError):
            method(np.zeros((1, 1)))


@pytest.mark.parametrize("lead", [(), (2,)])
def test_printed_it_shows_its_widths(lead):
    linear = random_linear(np.random.default_rng(6), lead)
    assert str(linear) == repr(linear) == "Linear(4 -> 3)"


@pytest.mark.parametrize(
    "weight, bias",
    [((6, 3), (6,)), ((6, 3), (3, 1)), ((6, 3), (1, 3)), ((3,), (3,)), ((2, 6, 3), (3,)), ((), ())],
    ids=str,
)
def test_weight_and_bias_that_do_not_fit_are_refused(weight, bias):
    with pytest.raises(ValueError, match="give \\(D_in, D_out\\) and"):
        Linear(np.zeros(weight), np.zeros(bias))


@pytest.mark.parametrize(
    "weight", [[[1.0]], np.ones((1, 1), int), 1.0], ids=["list", "int", "float"]
)
def test_weights_are_arrays_of_floats(weight):
    with pytest.raises(ValueError, match="is not an array|an array of int64: convert it"):
        Linear(weight, np.ones(1))


@pytest.mark.parametrize("shape", [(5, 3), (4,), (4, 5)], ids=str)
def test_rows_of_another_width_are_refused(shape):
    with pytest.raises(ValueError, match="give rows of 4 numbers"):
        random_linear(np.random.default_rng(7)).forward(np.zeros(shape))
