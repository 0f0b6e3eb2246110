"""What holds for all inputs: random shapes, leading axes, dtypes, extreme and broken values."""

import json
import math
import struct
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import log_softmax, logsumexp, softmax
from sklearn.metrics import confusion_matrix as sklearn_confusion_matrix

import nnlite
from nnlite import MLP, Linear, SoftmaxCrossEntropy
from nnlite.activations import ACTIVATIONS
from nnlite.fashion import DataError, parse_idx
from nnlite.files import read_arrays, write_arrays
from nnlite.network import INITIALIZERS
from nnlite.optimizers import OPTIMIZERS
from nnlite.schedulers import SCHEDULERS
from nnlite.training import evaluate, train_epoch
from nnlite.training.diagnostics import BINS, histogram, most_wrong
from nnlite.training.logs import append_epoch, to_host_together
from test_optimizers import BY_HAND, parameters, step

# The same examples in every run; no example takes long, but another process may be busy.
for_all = settings(max_examples=40, deadline=None, derandomize=True, database=None)

LEADS = st.sampled_from([(), (1,), (3,), (2, 3)])  # of a stack of networks
DTYPES = st.sampled_from(["float32", "float64"])
COUNTS = st.integers(1, 6)
SEEDS = st.integers(0, 2**32)
EPS = {"float32": 1e-5, "float64": 1e-13}


def normal(seed, shape, dtype="float64"):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def assert_close(actual, expected, tolerance, scale=1.0):
    assert actual.shape == np.shape(expected)
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance * scale)


# ---- layers


@for_all
@given(LEADS, st.integers(0, 6), COUNTS, COUNTS, DTYPES, SEEDS)
def test_linear(lead, N, D_in, D_out, dtype, seed):
    weight, bias, x, dz = (
        normal(seed + k, (*lead, *shape), dtype)
        for k, shape in enumerate([(D_in, D_out), (D_out,), (N, D_in), (N, D_out)])
    )
    linear = Linear(weight, bias)
    z, dx = linear.forward(x), linear.backward(dz)
    sums = {
        "...ni,...io->...no": (z - bias[..., None, :], x, weight),
        "...no,...io->...ni": (dx, dz, weight),
        "...ni,...no->...io": (linear.dweight, x, dz),
    }
    for formula, (result, *factors) in sums.items():
        assert_close(result, np.einsum(formula, *factors), EPS[dtype])
    assert_close(linear.dbias, np.einsum("...no->...o", dz), EPS[dtype])
    assert {a.dtype.name for a in (z, dx, linear.dweight, linear.dbias)} == {dtype}


ANY_SHAPE = hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5)


def finite_arrays(limit, shapes=ANY_SHAPE):
    """Arrays of either dtype, of numbers from -limit to limit, extreme ones included."""
    extreme = st.sampled_from([0.0, -0.0, 1e-38, 87.0, 89.0, 1e3, 1e4, 1e8, 1e18, limit])
    numbers = st.one_of(
        extreme.map(lambda x: min(x, limit)),
        extreme.map(lambda x: -min(x, limit)),
        st.floats(-20, 20, width=32),
    )
    return DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, shapes, elements=numbers))


LOWEST = {"sigmoid": 0, "tanh": -1, "relu": 0, "leaky_relu": -math.inf, "elu": -1, "gelu": -0.17}
LARGEST_SLOPE = {"sigmoid": 0.25, "gelu": 1.13}  # and 1 for the others


@pytest.mark.parametrize("name", ACTIVATIONS)
@for_all
@given(z=finite_arrays(1e18), data=st.data())
def test_activations(name, z, data):
    """Bounded by what is known of each function; nowhere NaN; no sample looks at another."""
    layer = ACTIVATIONS[name]()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        a, slope = layer.forward(z), layer.backward(np.ones_like(z))
    for array in (a, slope):
        assert array.dtype == z.dtype and array.shape == z.shape and np.isfinite(array).all()
    assert (a >= LOWEST[name]).all()
    assert (np.abs(a) <= np.maximum(np.abs(z), 1)).all()
    assert (slope >= (-0.13 if name == "gelu" else 0)).all()
    assert (slope <= LARGEST_SLOPE.get(name, 1) + 1e-6).all()
    if name != "gelu":
        ordered = np.argsort(z, axis=None)
        assert (np.diff(a.ravel()[ordered]) >= 0).all()
    if z.size:
        i = data.draw(st.integers(0, z.size - 1))
        np.testing.assert_array_equal(ACTIVATIONS[name]().forward(z.ravel()[i : i + 1]), a.flat[i])


# ---- the loss


def batches(limit):
    """Logits, leading axes and all, with labels."""
    shapes = st.tuples(LEADS, COUNTS, COUNTS).map(lambda s: (*s[0], s[1], s[2]))

    def labels(z):
        return hnp.arrays("uint8", z.shape[:-1], elements=st.integers(0, z.shape[-1] - 1))

    return finite_arrays(limit, shapes).flatmap(lambda z: st.tuples(st.just(z), labels(z)))


@settings(for_all, max_examples=100)
@given(batches(1e30))
def test_loss(batch):
    logits, labels = batch
    loss = SoftmaxCrossEntropy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value, gradient = loss.forward(logits, labels), loss.backward()
    z, y = logits.astype("float64"), labels[..., None].astype(int)
    expected = -np.take_along_axis(log_softmax(z, axis=-1), y, -1)[..., 0].mean(axis=-1)
    tolerance = EPS[logits.dtype.name]
    assert_close(value, expected, tolerance, scale=100)
    one_hot = np.arange(z.shape[-1]) == y
    N = z.shape[-2]
    assert_close(gradient, (softmax(z, axis=-1) - one_hot) / N, tolerance, scale=100)
    assert value.dtype == gradient.dtype == logits.dtype
    assert (value >= 0).all() and (np.abs(gradient) <= 1 / N + 1e-6).all()


@for_all
@given(batches(100.0), st.sampled_from([-1e4, -1.0, 1e4]), SEEDS)
def test_loss_does_not_depend_on_a_shift_or_on_the_order(batch, shift, seed):
    logits, labels = batch
    logits = logits.astype("float64")
    value = SoftmaxCrossEntropy().forward(logits, labels)
    assert_close(SoftmaxCrossEntropy().forward(logits + shift, labels), value, 1e-9, 100)
    order = np.random.default_rng(seed).permutation(logits.shape[-2])
    shuffled = SoftmaxCrossEntropy().forward(logits[..., order, :], labels[..., order])
    assert_close(shuffled, value, 1e-12, 100)


@for_all
@given(LEADS, COUNTS, DTYPES)
def test_an_empty_batch_has_no_loss_but_passes_through_the_network(lead, C, dtype):
    with pytest.raises(ValueError, match="the batch is empty"):
        SoftmaxCrossEntropy().forward(np.zeros((*lead, 0, C), dtype), np.zeros((*lead, 0), int))
    model = MLP([4, 3, C], dtype=dtype)
    assert model.forward(np.zeros((0, 4), dtype)).shape == (0, C)
    model.backward(np.zeros((0, C), dtype))
    assert not model.dtheta.any()


# ---- networks


@for_all
@given(
    st.lists(COUNTS, min_size=2, max_size=5),
    st.sampled_from(["sigmoid", "tanh", "gelu"]),  # smooth, so that differences tell the slope
    st.sampled_from([5, [5], [5, 6, 7]]),
    st.integers(1, 7),
    SEEDS,
)
def test_the_gradient_is_the_slope_in_any_direction(sizes, activation, seeds, N, seed):
    model = MLP(sizes, activation, seed=seeds, dtype="float64")
    lead = model.theta.shape[:-1]
    x = normal(seed, (*lead, N, sizes[0]))
    labels = np.random.default_rng(seed).integers(sizes[-1], size=(*lead, N))
    loss, theta = SoftmaxCrossEntropy(), model.theta.copy()
    direction = normal(seed + 1, model.theta.shape)

    def at(distance):
        model.theta[...] = theta + distance * direction
        return loss.forward(model.forward(x), labels)

    slope = (at(1e-5) - at(-1e-5)) / 2e-5
    at(0)
    model.backward(loss.backward())
    assert_close((model.dtheta * direction).sum(axis=-1), slope, 1e-6)


@for_all
@given(st.integers(1, 30), st.integers(1, 40), st.integers(1, 40), SEEDS)
def test_every_sample_counts_once_whatever_the_batch_size(N, batch_size, rows, seed):
    """With a rate of 0 nothing changes, so the batches' losses make up that of all samples."""
    random = np.random.default_rng(seed)
    images, labels = random.integers(0, 256, (30, 5), np.uint8), random.integers(0, 3, 30)
    model, order = MLP([5, 4, 3], dtype="float64"), random.permutation(30)[:N]
    losses = train_epoch(
        model, SoftmaxCrossEntropy(), OPTIMIZERS["sgd"](model, 0), images, labels, order, batch_size
    )
    logits = model.forward(images[order] / 127.5 - 1)
    each = logsumexp(logits, axis=-1) - logits[np.arange(N), labels[order]]
    assert len(losses) == math.ceil(N / batch_size)
    parts = np.split(each, np.arange(batch_size, N, batch_size))
    assert_close(losses, [part.mean() for part in parts], 1e-9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nnlite.training.loop.EVALUATION_ROWS", rows)
        measured, found = evaluate(model, SoftmaxCrossEntropy(), images, labels, order)
    assert_close(found, logits, 1e-13)
    assert measured["loss"] == pytest.approx(each.mean(), rel=1e-9)
    predicted = logits.argmax(axis=-1)
    assert measured["accuracy"] == pytest.approx(100 * (predicted == labels[order]).mean())
    confusion = sklearn_confusion_matrix(labels[order], predicted, labels=range(3))
    np.testing.assert_array_equal(measured["confusion"], confusion)


# ---- optimizers and schedules

TINY = st.sampled_from([0.0, 1e-7, -1e-8])  # where eps makes itself felt
VALUES = st.one_of(st.floats(-1e4, 1e4).map(lambda x: round(x, 6)), TINY)


@pytest.mark.parametrize("name", OPTIMIZERS)
@for_all
@given(
    rows=st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=1, max_size=6),
    rates=st.lists(st.floats(0, 1), min_size=1, max_size=3),
)
def test_optimizers_treat_every_number_by_the_formula(name, rows, rates):
    """A stack with a rate for each network, against the formulas one number at a time."""
    theta, g1, g2 = (np.tile(column, (len(rates), 1)) for column in zip(*rows, strict=True))
    model = parameters(theta)
    optimizer = OPTIMIZERS[name](model, rates)
    step(optimizer, model, g1)
    step(optimizer, model, g2)
    expected = [[BY_HAND[name](*numbers, rate) for numbers in rows] for rate in rates]
    assert_close(model.theta, expected, 1e-9, scale=1e-3)


@pytest.mark.parametrize("name", OPTIMIZERS)
@for_all
@given(g=finite_arrays(1e18, st.tuples(COUNTS, st.integers(0, 5))), rate=st.floats(0, 1e3))
def test_optimizers_survive_extreme_gradients(name, g, rate):
    model = parameters(np.ones(g.shape), g.dtype)
    optimizer = OPTIMIZERS[name](model, rate)
    for _ in range(3):
        step(optimizer, model, g)
    assert model.theta.dtype == g.dtype and np.isfinite(model.theta).all()
    if rate == 0:
        assert (model.theta == 1).all()


@pytest.mark.parametrize("name", SCHEDULERS)
@for_all
@given(rate=st.floats(1e-8, 1e8), epochs=st.integers(1, 300), data=st.data())
def test_schedules_fall_from_the_full_rate(name, rate, epochs, data):
    schedule, epoch = SCHEDULERS[name](rate, epochs), data.draw(st.integers(0, epochs - 1))
    assert schedule(0) == rate
    assert 0 < schedule(epoch) <= rate
    assert schedule(epoch) <= schedule(max(epoch - 1, 0))
    # Twice the rate, and twice the epochs where the schedule knows its end.
    assert SCHEDULERS[name](2 * rate, epochs)(epoch) == pytest.approx(2 * schedule(epoch))
    if name in ("step", "cosine") and epochs % 3 == 0:
        assert SCHEDULERS[name](rate, 2 * epochs)(2 * epoch) == pytest.approx(schedule(epoch))


# ---- logs

MEASURED = st.one_of(st.floats(0, 10), st.sampled_from([math.nan, math.inf, -math.inf, 3e38]))


@settings(for_all, max_examples=100)
@given(
    st.lists(MEASURED, min_size=1, max_size=5),
    hnp.arrays("float32", (3, 2), elements=st.floats(0, 1, width=32)),
    st.sampled_from([None, 0, 1, 2]),
    st.sampled_from([math.nan, math.inf, -math.inf]),
)
def test_what_is_not_finite_is_divergence_never_nan(losses, measured, place, bad):
    """Two runs side by side; the numbers of the second one are partly not finite."""
    measured[:, 1] = np.where(np.arange(3) == place, bad, measured[:, 1])
    loss, accuracy, gradient = measured
    statistics = {"fc1.weight": {"mean_abs": gradient}}
    record = {"val_loss": loss, "val_accuracy": accuracy, "gradient_stats": statistics}
    record["val_confusion"] = np.arange(8.0).reshape(2, 2, 2)
    records = to_host_together(record, 2)
    names = (
        "epoch",
        "train_loss",
        "val_loss",
        "val_accuracy",
        "val_confusion",
        "learning_rate",
        "epoch_time",
    )
    logs = [{name: [] for name in names} for _ in range(2)]
    for log, numbers, steps in zip(logs, records, ([1.0], losses), strict=True):
        log |= {"diverged": None, "gradient_stats": {}, "histograms": {}}
        append_epoch(log, 0.1, np.array(steps, "float32"), numbers, {}, 1.0)
        json.dumps(log, allow_nan=False)
    assert logs[0]["diverged"] is None and logs[0]["val_loss"] == [measured[0, 0]]
    bad_steps = [step for step, loss in enumerate(losses, start=1) if not math.isfinite(loss)]
    step_of_divergence = [*bad_steps, len(losses)][0]
    diverged = bool(bad_steps) or place is not None
    assert logs[1]["diverged"] == ({"epoch": 1, "step": step_of_divergence} if diverged else None)
    assert (logs[1]["val_accuracy"] == [None]) == diverged
    assert logs[0]["val_confusion"] == [[[0, 1], [2, 3]]]
    assert logs[1]["val_confusion"] == ([None] if diverged else [[[4, 5], [6, 7]]])
    assert (logs[1]["train_loss"] == [None]) == bool(bad_steps)


# ---- diagnostics


@for_all
@given(finite_arrays(3e38, hnp.array_shapes(min_dims=1, max_dims=3, max_side=6)))
def test_histograms_count_everything_once(values):
    """Of float32 numbers, as training has them, however large or close together."""
    values = values.astype("float32")
    found = histogram(values)
    json.dumps(found, allow_nan=False)
    assert found["low"] < found["high"] and len(found["counts"]) == BINS
    assert min(found["counts"]) >= 0 and sum(found["counts"]) == values.size
    if values.min() < values.max():  # so few numbers have no outliers
        assert (found["low"], found["high"]) == (values.min(), values.max())


@for_all
@given(batches(1e30))
def test_most_wrong_is_all_that_is_wrong_or_the_worst_of_it(batch):
    logits, labels = batch
    logits, labels = logits.reshape(-1, logits.shape[-1]), labels.ravel()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = most_wrong(logits, labels, np.zeros((len(labels), 4), np.uint8))
    json.dumps(found, allow_nan=False)
    probabilities = softmax(logits.astype("float64"), axis=-1).max(axis=-1)
    rows = [w["row"] for w in found]
    wrong = logits.argmax(axis=-1) != labels
    assert len(set(rows)) == len(rows) == min(16, wrong.sum()) and wrong[rows].all()
    listed = [w["probability"] for w in found]
    assert listed == pytest.approx(probabilities[rows]) and listed == sorted(listed, reverse=True)
    assert listed == pytest.approx(sorted(probabilities[wrong], reverse=True)[:16])


# ---- files

KINDS = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(),
    hnp.floating_dtypes(),
    hnp.complex_number_dtypes(),
    hnp.unicode_string_dtypes(),
)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)


@for_all
@given(st.dictionaries(st.sampled_from(["theta", "about", "a.b", "ü"]), hnp.arrays(KINDS, SHAPES)))
def test_arrays_of_any_kind_come_back(arrays):
    with TemporaryDirectory() as folder:
        write_arrays(Path(folder, "file"), arrays)
        found = read_arrays(Path(folder, "file"))
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()  # NaNs are equal, too


@settings(for_all, max_examples=100)
@given(st.one_of(st.binary(max_size=200), st.binary(max_size=50).map(lambda b: b"PK\3\4" + b)))
def test_any_bytes_are_refused_as_a_file_of_arrays(data):
    with TemporaryDirectory() as folder:
        path = Path(folder, "file")
        path.write_bytes(data)
        with pytest.raises(ValueError) as error:
            read_arrays(path)
        with pytest.raises(ValueError):
            nnlite.load(path)
    assert str(path) in str(error.value)


@for_all
@given(
    st.lists(COUNTS, min_size=2, max_size=4),
    st.sampled_from(list(ACTIVATIONS)),
    st.sampled_from(list(INITIALIZERS)),
    st.one_of(SEEDS, st.lists(SEEDS, min_size=1, max_size=3)),
    DTYPES,
)
def test_any_network_comes_back(sizes, activation, init, seed, dtype):
    model = MLP(sizes, activation, init, seed, dtype)
    with TemporaryDirectory() as folder:
        nnlite.save(model, Path(folder, "file"))
        again = nnlite.load(Path(folder, "file"))
    assert vars(again).keys() == vars(model).keys()
    assert (again.sizes, again.activation, again.init) == (sizes, activation, init)
    assert again.theta.dtype == dtype
    np.testing.assert_array_equal(again.theta, model.theta)


def idx(array):
    header = struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape)
    return header + array.tobytes()


IMAGES = st.one_of(
    hnp.arrays("uint8", hnp.array_shapes(min_dims=1, max_dims=1)),
    hnp.arrays("uint8", hnp.array_shapes(min_dims=3, max_dims=3)),
)


@for_all
@given(IMAGES)
def test_idx_files_come_back(array):
    np.testing.assert_array_equal(parse_idx(idx(array), "file"), array)


@settings(for_all, max_examples=200)
@given(IMAGES.map(idx), st.data())
def test_damaged_idx_files_are_refused_or_read_as_they_are(sound, data):
    """Without a checksum a changed pixel is a pixel; but nothing is invented or left out."""
    a, b = sorted(data.draw(st.tuples(*[st.integers(0, len(sound))] * 2)))
    damaged = sound[:a] + data.draw(st.binary(max_size=20)) + sound[b:]
    assume(damaged != sound)
    try:
        array = parse_idx(damaged, "some file")
    except DataError as error:
        assert str(error).startswith("some file ") and "\n" not in str(error)
    else:
        assert array.dtype == np.uint8 and array.size
        assert idx(array) == damaged


@settings(for_all, max_examples=100)
@given(st.one_of(st.binary(max_size=100), st.binary(max_size=100).map(lambda b: b"\x1f\x8b" + b)))
def test_any_bytes_are_refused_as_idx(data):
    with pytest.raises(DataError, match="^some file "):
        parse_idx(data, "some file")
