"""nnlite.optimizers: every registered rule, two steps on paper and twenty against torch."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from nnlite import MLP, backend
from nnlite.backend import Device, select_device
from nnlite.optimizers import OPTIMIZERS

# Two steps for a single number theta with the gradients g1 and g2, straight from the formulas.


def sgd(theta, g1, g2, rate):
    theta = theta - rate * g1
    return theta - rate * g2


def sgd_momentum(theta, g1, g2, rate):
    theta = theta - rate * g1
    return theta - rate * (0.9 * g1 + g2)


def rmsprop(theta, g1, g2, rate):
    v1 = 0.01 * g1**2
    theta = theta - rate * g1 / (math.sqrt(v1) + 1e-8)
    v2 = 0.99 * v1 + 0.01 * g2**2
    return theta - rate * g2 / (math.sqrt(v2) + 1e-8)


def adam(theta, g1, g2, rate, weight_decay=0.0):
    m1, v1 = 0.1 * g1, 0.001 * g1**2
    theta = theta - rate * weight_decay * theta
    theta = theta - rate * (m1 / 0.1) / (math.sqrt(v1 / 0.001) + 1e-8)
    m2, v2 = 0.9 * m1 + 0.1 * g2, 0.999 * v1 + 0.001 * g2**2
    theta = theta - rate * weight_decay * theta
    # 1 - 0.9^2 = 0.19 and 1 - 0.999^2 = 0.001999
    return theta - rate * (m2 / 0.19) / (math.sqrt(v2 / 0.001999) + 1e-8)


def adamw(theta, g1, g2, rate):
    return adam(theta, g1, g2, rate, weight_decay=0.01)


BY_HAND = {
    "sgd": sgd,
    "sgd_momentum": sgd_momentum,
    "rmsprop": rmsprop,
    "adam": adam,
    "adamw": adamw,
}
# name -> the same rule in torch
TORCH = {
    "sgd": lambda optim, theta: optim.SGD([theta]),
    "sgd_momentum": lambda optim, theta: optim.SGD([theta], momentum=0.9),
    "rmsprop": lambda optim, theta: optim.RMSprop([theta], alpha=0.99, eps=1e-8),
    "adam": lambda optim, theta: optim.Adam([theta]),
    "adamw": lambda optim, theta: optim.AdamW([theta], weight_decay=0.01),
}
RATES = {"sgd": 0.01, "sgd_momentum": 0.01, "rmsprop": 0.001, "adam": 0.001, "adamw": 0.001}

NUMBA = Device("numba", np, "a device that compiles")

every_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)


def parameters(theta, dtype="float64"):
    """All that an optimizer needs of a model: its parameters and their gradient."""
    theta = np.array(theta, dtype)
    return SimpleNamespace(theta=theta, dtheta=np.zeros_like(theta))


def step(optimizer, model, g):
    model.dtheta[...] = g
    optimizer.step()


@every_optimizer
def test_two_steps_by_hand(name):
    theta, g1, g2 = [1.0, -2.0, 3.0], [0.5, -1.0, 0.0], [1.0, 1.0, -0.2]
    model = parameters(theta)
    optimizer = OPTIMIZERS[name](model, learning_rate=0.1)
    step(optimizer, model, g1)
    step(optimizer, model, g2)
    expected = [BY_HAND[name](*numbers, rate=0.1) for numbers in zip(theta, g1, g2, strict=True)]
    np.testing.assert_allclose(model.theta, expected, rtol=1e-12)


def test_first_numbers():
    # SGD: 1 - 0.1 * 0.5. Adam's first step has the size of the rate whatever the gradient's,
    # RMSprop's is 1 / sqrt(1 - alpha) = 10 times that; AdamW first takes off 0.1 * 0.01 of 1.
    firsts = {"sgd": 0.95, "sgd_momentum": 0.95, "rmsprop": 0, "adam": 0.9, "adamw": 0.899}
    for name, expected in firsts.items():
        model = parameters([1.0])
        step(OPTIMIZERS[name](model, 0.1), model, [0.5])
        assert model.theta == pytest.approx([expected], abs=1e-6), name


@every_optimizer
def test_twenty_steps_against_torch(name):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    model = parameters(rng.normal(size=50))
    theta = torch.tensor(model.theta, requires_grad=True)
    ours, theirs = OPTIMIZERS[name](model), TORCH[name](torch.optim, theta)
    for _ in range(20):
        rate = rng.uniform(0.001, 0.1)  # as a scheduler does
        ours.learning_rate = theirs.param_groups[0]["lr"] = rate
        g = rng.normal(size=50) * 10.0 ** rng.integers(-6, 2, size=50)
        step(ours, model, g)
        theta.grad = torch.tensor(g)
        theirs.step()
        np.testing.assert_allclose(model.theta, theta.detach().numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "name, g, size",
    [
        ("adam", 1e-8, 1e-8 / (1e-8 + 1e-8)),  # with eps inside the root: 1e-8 / 1e-4
        ("adamw", 1e-8, 1e-8 / (1e-8 + 1e-8)),
        ("rmsprop", 1e-7, 1e-7 / (1e-8 + 1e-8)),  # sqrt(v) is a tenth of g
    ],
)
def test_eps_is_outside_the_root(name, g, size):
    model = parameters([0.0])
    step(OPTIMIZERS[name](model, learning_rate=1.0), model, [g])
    assert model.theta == pytest.approx([-size], rel=1e-6)


def test_adamw_decays_every_parameter():
    model = parameters([4.0, -2.0, 0.5])
    step(OPTIMIZERS["adamw"](model, learning_rate=0.1, weight_decay=0.5), model, 0.0)
    np.testing.assert_allclose(model.theta, [3.8, -1.9, 0.475])


def test_options_are_used():
    def moved(name, g, **options):
        model = parameters([0.0])
        optimizer = OPTIMIZERS[name](model, learning_rate=1.0, **options)
        step(optimizer, model, g)
        step(optimizer, model, g)
        return -model.theta[0]

    assert moved("sgd_momentum", 1.0, momentum=0.5) == pytest.approx(1 + 1.5)
    assert moved("rmsprop", 1.0, alpha=0.75, eps=0) == pytest.approx(0.25**-0.5 + 0.4375**-0.5)
    assert moved("rmsprop", 0.0, eps=1) == 0
    assert moved("adam", 2.0, betas=(0.5, 0.5), eps=2) == pytest.approx(0.5 + 0.5)
    assert moved("adam", 1.0, betas=(0, 0.5), eps=0) == pytest.approx(1 + 1)


@every_optimizer
def test_learning_rate_can_be_set_between_steps(name):
    model = parameters([1.0, -1.0])
    optimizer = OPTIMIZERS[name](model, learning_rate=0.1)
    step(optimizer, model, 0.5)
    before = model.theta.copy()
    optimizer.learning_rate = 0
    step(optimizer, model, 0.5)
    np.testing.assert_array_equal(model.theta, before)
    optimizer.learning_rate = np.float64(0.2)
    assert optimizer.learning_rate == 0.2 and type(optimizer.learning_rate) is float
    step(optimizer, model, 0.5)
    assert (model.theta < before).all()


@every_optimizer
def test_default_learning_rate(name):
    assert OPTIMIZERS[name](parameters([1.0])).learning_rate == RATES[name]
    assert OPTIMIZERS[name].default_learning_rate == RATES[name]


BAD_RATES = [-0.1, math.nan, math.inf, [0.1, -0.1], [0.1, math.nan], "0.1", True, 1j, [None]]


@every_optimizer
@pytest.mark.parametrize("rate", BAD_RATES, ids=str)
def test_bad_learning_rates_are_refused(name, rate):
    model = parameters([[1.0], [2.0]])
    with pytest.raises(ValueError, match="it must be a finite number, 0 or more"):
        OPTIMIZERS[name](model, rate)
    optimizer = OPTIMIZERS[name](model, 0.5)
    with pytest.raises(ValueError, match="learning rate is"):
        optimizer.learning_rate = rate
    assert optimizer.learning_rate == 0.5


@pytest.mark.parametrize("theta, rate", [([1.0], [0.1]), ([[1.0], [2.0]], [0.1] * 3)], ids=str)
def test_the_number_of_rates_must_be_the_number_of_networks(theta, rate):
    with pytest.raises(ValueError, match=f"{len(rate)} learning rates for theta of shape"):
        OPTIMIZERS["sgd"](parameters(theta), rate)


@every_optimizer
def test_a_stack_with_a_rate_for_each_network(name):
    rng = np.random.default_rng(1)
    theta, rates = rng.normal(size=(3, 5)), [0.1, 0.01, 0.003]
    stack, singles = parameters(theta), [parameters(row) for row in theta]
    optimizer = OPTIMIZERS[name](stack, rates)
    optimizers = [OPTIMIZERS[name](singles[k], rates[k]) for k in range(3)]
    for _ in range(5):
        g = rng.normal(size=(3, 5))
        step(optimizer, stack, g)
        for k in range(3):
            step(optimizers[k], singles[k], g[k])
    np.testing.assert_allclose(stack.theta, [model.theta for model in singles], rtol=1e-13)


@every_optimizer
def test_compiled_by_numba_it_is_the_same_rule(name, monkeypatch, numba_at_once):
    rng = np.random.default_rng(2)
    theta, gradients = rng.normal(size=(2, 5)), rng.normal(size=(3, 2, 5))
    results = []
    for compiled in (False, True):
        monkeypatch.setattr(backend, "selected", NUMBA if compiled else backend.CPU)
        model = parameters(theta)
        optimizer = OPTIMIZERS[name](model, [0.1, 0.01])
        for g in gradients:
            step(optimizer, model, g)
        results.append(model.theta)
    np.testing.assert_allclose(results[1], results[0], rtol=1e-13)


@pytest.mark.parametrize("name", ["sgd_momentum", "adam"])
def test_compiled_by_numba_it_forgets_subnormal_numbers_and_moves_the_same(
    name, monkeypatch, numba_at_once
):
    thetas, states = [], []
    for compiled in (False, True):
        monkeypatch.setattr(backend, "selected", NUMBA if compiled else backend.CPU)
        model = parameters([1.0, -2.0, 3.0], "float32")
        optimizer = OPTIMIZERS[name](model)
        step(optimizer, model, [0.5, -0.25, np.nan])
        for _ in range(1200):
            step(optimizer, model, [0.0, 0.125, 0.0])
        thetas.append(model.theta)
        states.append(getattr(optimizer, optimizer.state[0]))
    np.testing.assert_array_equal(thetas[1], thetas[0])
    assert 0 < states[0][0] < np.finfo("float32").tiny and states[1][0] == 0
    assert states[1][1] == states[0][1] and np.isnan(states[1][2])


@every_optimizer
@pytest.mark.parametrize("rate", [0.1, np.float64(0.1), [0.1, 0.2], np.array([0.1, 0.2])], ids=repr)
def test_float32_stays_float32(name, rate):
    model = parameters([[1.0, 2.0], [3.0, 4.0]], "float32")
    optimizer = OPTIMIZERS[name](model, rate)
    step(optimizer, model, 0.5)
    step(optimizer, model, 0.5)
    arrays = [value for value in vars(optimizer).values() if isinstance(value, np.ndarray)]
    assert {array.dtype for array in arrays} == {np.dtype("float32")}
    assert optimizer.theta is model.theta and model.theta.dtype == "float32"


@every_optimizer
def test_theta_changes_in_place_and_the_gradient_not_at_all(name):
    model = parameters([1.0, -2.0])
    theta, dtheta = model.theta, model.dtheta
    view = theta[1:]  # as a Linear's weight is
    step(OPTIMIZERS[name](model), model, [0.5, -0.25])
    assert model.theta is theta and model.dtheta is dtheta
    assert view[0] == theta[1] != -2
    np.testing.assert_array_equal(dtheta, [0.5, -0.25])


@every_optimizer
def test_reduces_a_quadratic(name):
    model = parameters([1.0, -1.0, 0.5])
    curvature = np.array([1.0, 2.0, 0.5])  # L = sum(curvature * theta^2) / 2
    optimizer = OPTIMIZERS[name](model, learning_rate=0.05)
    for _ in range(200):
        step(optimizer, model, curvature * model.theta)
    assert (np.abs(model.theta) < 0.05).all()


@pytest.mark.parametrize(
    "name, options, words",
    [
        ("sgd_momentum", {"momentum": -1.0}, "momentum is -1.0: .* 0 or more and less than 1"),
        ("sgd_momentum", {"momentum": 1}, "momentum is 1"),
        ("sgd_momentum", {"momentum": True}, "momentum is True"),
        ("sgd_momentum", {"momentum": np.array([0.9])}, r"momentum is array\(\[0.9\]\)"),
        ("rmsprop", {"alpha": 1.5}, "alpha is 1.5: .* less than 1"),
        ("rmsprop", {"alpha": "0.9"}, "alpha is '0.9': it must be a number"),
        ("rmsprop", {"eps": -1e-8}, "eps is -1e-08: .* 0 or more"),
        ("adam", {"eps": math.nan}, "eps is nan"),
        ("adam", {"eps": None}, "eps is None"),
        ("adam", {"betas": (1.0, 0.999)}, "each of betas is 1.0: .* less than 1"),
        ("adam", {"betas": (0.9, 1.5)}, "each of betas is 1.5"),
        ("adam", {"betas": ("0.9", "0.9")}, "each of betas is '0.9'"),
        ("adam", {"betas": 0.9}, "betas is 0.9: give two numbers"),
        ("adam", {"betas": (0.9, 0.99, 0.999)}, "give two numbers"),
        ("adamw", {"betas": (0.9, -0.1)}, "each of betas is -0.1"),
        ("adamw", {"weight_decay": -1.0}, "weight_decay is -1.0"),
        ("adamw", {"weight_decay": math.inf}, "weight_decay is inf: .* 0 or more and finite"),
    ],
    ids=str,
)
def test_hyperparameters_out_of_range_are_refused(name, options, words):
    with pytest.raises(ValueError, match=words):
        OPTIMIZERS[name](parameters([1.0]), **options)


def test_hyperparameters_become_python_s_floats():
    """NumPy's float64 would make the formula compute in float64."""
    model = parameters([1.0], "float32")
    for betas in ([0.5, 0.25], np.array([0.5, 0.25]), (np.float32(0.5), np.float64(0.25))):
        optimizer = OPTIMIZERS["adam"](model, betas=betas, eps=np.float32(0.5))
        assert (optimizer.betas, optimizer.eps) == ((0.5, 0.25), 0.5)
        assert {type(number) for number in (*optimizer.betas, optimizer.eps)} == {float}


@every_optimizer
def test_it_is_given_the_network_itself(name):
    model = MLP([3, 2])
    for wrong in (model.parameters(), model.theta, [model.theta], None):
        with pytest.raises(ValueError, match="give the network itself"):
            OPTIMIZERS[name](wrong)


# ---- how one is printed and written


TEXTS = {
    "sgd": "SGD(learning_rate=0.1)",
    "sgd_momentum": "SGDMomentum(learning_rate=0.1, momentum=0.9)",
    "rmsprop": "RMSprop(learning_rate=0.1, alpha=0.99, eps=1e-08)",
    "adam": "Adam(learning_rate=0.1, betas=(0.9, 0.999), eps=1e-08)",
    "adamw": "AdamW(learning_rate=0.1, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.01)",
}


@pytest.mark.parametrize("name", TEXTS)
def test_printed_it_shows_its_hyperparameters_and_nothing_else(name):
    model = parameters([1.0, 2.0], "float32")
    optimizer = OPTIMIZERS[name](model, 0.1)
    step(optimizer, model, 0.5)
    assert str(optimizer) == repr(optimizer) == TEXTS[name]


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_printed_it_shows_the_rate_of_each_network_of_a_stack(strict_cupy, device):
    model = MLP([3, 2], seed=[1, 2], xp=select_device(device).xp)
    optimizer = OPTIMIZERS["sgd"](model, [0.1, 0.025])
    assert str(optimizer) == "SGD(learning_rate=[0.1, 0.025])"


@every_optimizer
def test_the_formula_stands_in_the_class_below_its_docstring(name):
    """AdamW has Adam's, after a line of its own."""
    optimizer = OPTIMIZERS[name]
    owner = next(c for c in optimizer.__mro__ if "formula" in vars(c))
    assert next(name for name in vars(owner) if not name.startswith("__")) == "formula"
    assert (owner is optimizer) == (name != "adamw")
