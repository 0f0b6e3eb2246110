"""nnlite.saving: a network that is saved comes back to the bit.

It is a file of arrays, so much of what can be wrong with it is tested in test_files.py.
"""

import json

import numpy as np
import pytest

import nnlite
from nnlite import MLP
from nnlite.activations import ACTIVATIONS
from nnlite.files import read_arrays, write_arrays
from nnlite.network import INITIALIZERS
from test_files import Trap, assert_refused, damaged, little_memory

ABOUT = {"format": "nnlite model 1", "sizes": [3, 2], "activation": "relu", "init": "he"}
THETA = np.linspace(-1, 1, 8, dtype="float32")  # of a network 3 - 2


def assert_same_model(model, expected):
    assert (model.sizes, model.activation, model.init, model.dtype) == (
        expected.sizes,
        expected.activation,
        expected.init,
        expected.dtype,
    )
    assert type(model.theta) is type(expected.theta)
    np.testing.assert_array_equal(model.theta, expected.theta)


def edited(path, **changes):
    """Change arrays of a file; a dict changes what the JSON text of that name says."""
    arrays = read_arrays(path)
    for name, value in changes.items():
        name = name.replace("__", ".")
        if isinstance(value, dict):
            value = np.array(json.dumps(json.loads(str(arrays[name])) | value))
        if value is None:
            del arrays[name]
        else:
            arrays[name] = np.asarray(value)
    np.savez(path, **arrays)
    return path


# ---- networks


@pytest.mark.parametrize("seed", [1, [1, 2, 3]], ids=["one", "stack"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_network_comes_back(tmp_path, seed, dtype):
    model = MLP([6, 5, 4, 3], "elu", "xavier", seed, dtype)
    model.theta *= 1.1  # trained, say
    nnlite.save(model, tmp_path / "model")
    again = nnlite.load(str(tmp_path / "model"))
    assert_same_model(again, model)
    x = np.random.default_rng(0).normal(size=(7, 6)).astype(dtype)
    np.testing.assert_array_equal(again.forward(x), model.forward(x))
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("init", INITIALIZERS)
def test_every_kind_of_network_comes_back(tmp_path, activation, init):
    model = MLP([3, 2], activation, init)
    nnlite.save(model, tmp_path / "model")
    assert_same_model(nnlite.load(tmp_path / "model"), model)


def test_sizes_may_be_numpy_s_numbers(tmp_path):
    nnlite.save(MLP(np.array([3, 2])), tmp_path / "model")
    assert nnlite.load(tmp_path / "model").sizes == [3, 2]


def test_a_loaded_network_can_be_trained_and_saved_again(tmp_path):
    nnlite.save(MLP([3, 2]), tmp_path / "model")
    model = nnlite.load(tmp_path / "model")
    model.parameters()["fc1.bias"][...] = [7, 8]
    nnlite.save(model, tmp_path / "model")
    assert nnlite.load(tmp_path / "model").theta[-2:].tolist() == [7, 8]


def test_numpy_alone_reads_it(tmp_path):
    model = MLP([3, 2], "tanh")
    nnlite.save(model, tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["theta"], model.theta)
        about = json.loads(str(file["about"]))
    assert about["sizes"] == [3, 2] and about["activation"] == "tanh"


@pytest.mark.parametrize("seed", [1, [1, 2]], ids=["one", "stack"])
def test_a_network_moves_between_host_and_device(strict_cupy, tmp_path, seed):
    model = MLP([3, 2], seed=seed)
    nnlite.save(model, tmp_path / "host")
    on_device = nnlite.load(tmp_path / "host", strict_cupy.cupy)
    assert isinstance(on_device.theta, strict_cupy.cupy.ndarray)
    nnlite.save(on_device, tmp_path / "device")
    assert_same_model(nnlite.load(tmp_path / "device"), model)


BAD_MODELS = {
    "no arrays": {"theta": None, "about": None},
    "no theta": {"theta": None},
    "nothing about it": {"about": None},
    "float16": {"theta": THETA.astype("float16")},
    "integers": {"theta": THETA.astype("int64")},
    "complex": {"theta": THETA.astype("complex64")},
    "text": {"theta": THETA.astype("U")},
    "three axes": {"theta": THETA.reshape(1, 1, 8)},
    "a number": {"theta": THETA[0]},
    "too short": {"theta": THETA[:7]},
    "no networks": {"theta": np.zeros((0, 8), "float32")},
    "no parameters": {"theta": np.zeros((10**8, 0), "float32"), "about": {"sizes": [3]}},
    "not JSON": {"about": "{"},
    "deep JSON": {"about": "[" * 100_000},
    "JSON, but a list": {"about": "[1, 2]"},
    "JSON, but a number": {"about": "8"},
    "number": {"about": 8.5},
    "other format": {"about": {"format": "nnlite model 2"}},
    "format of another kind": {"about": {"format": ["nnlite model 1"]}},
    "sizes too large": {"about": {"sizes": [3, 10**15, 2]}},
    "sizes that cancel out": {"about": {"sizes": [-3, -1, 4, 1], "activation": "relu"}},
    "sizes with fractions": {"about": {"sizes": [3.0, 2.0]}},
    "sizes of text": {"about": {"sizes": ["3", "2"]}},
    "one size": {"about": {"sizes": [8]}},
    "no sizes": {"about": {"sizes": None}},
    "infinite sizes": {"about": {"sizes": [3, float("inf")]}},
    "unknown activation": {"about": {"activation": "__import__('os').abort()"}},
    "activation of another kind": {"about": {"activation": ["relu"]}},
    "unknown initialization": {"about": {"init": "zeros"}},
    "long text": {"about": {"activation": "relu" * 100_000}},
}


@pytest.mark.parametrize("changes", BAD_MODELS.values(), ids=BAD_MODELS)
def test_what_is_no_saved_network_is_refused(tmp_path, changes):
    path = tmp_path / "model.npz"
    write_arrays(path, {"theta": THETA, "about": np.array(json.dumps(ABOUT))})
    assert nnlite.load(path).theta.tolist() == THETA.tolist()  # but for the changes
    edited(path, **changes)
    with little_memory():
        assert_refused(nnlite.load, path)


def test_files_of_other_kinds_are_refused(tmp_path):
    path = tmp_path / "file"
    for data in (b"", b"{}", b"\x89PNG\r\n\x1a\n", b"\x80\x04\x95"):
        path.write_bytes(data)
        assert_refused(nnlite.load, path)
    for missing in (tmp_path / "missing", tmp_path):
        with pytest.raises(OSError):
            nnlite.load(missing)


@pytest.mark.parametrize("name", ["theta", "about"])
def test_nothing_in_a_file_is_executed(tmp_path, name):
    path, sprung = tmp_path / "model", tmp_path / "sprung"
    nnlite.save(MLP([3, 2]), path)
    with np.load(path) as file:
        arrays = dict(file)
    with path.open("wb") as file:
        np.savez(file, **{**arrays, name: np.array([Trap(sprung)])})
    assert_refused(nnlite.load, path)
    assert not sprung.exists()


def test_damaged_networks_are_refused_or_read_as_they_were(tmp_path):
    path, model, refused = tmp_path / "model", MLP([6, 5, 3], "gelu", seed=[1, 2]), 0
    nnlite.save(model, path)
    for data in damaged(path.read_bytes(), 90):
        path.write_bytes(data)
        with little_memory():
            try:
                again = nnlite.load(path)
            except ValueError as error:
                refused += 1
                assert str(path) in str(error)
                continue
        assert_same_model(again, model)
    assert refused > 60


def test_only_a_network_can_be_saved(tmp_path):
    for wrong in (str(tmp_path / "model"), MLP([3, 2]).theta, None):
        with pytest.raises(ValueError, match="give the network, then the path"):
            nnlite.save(wrong, MLP([3, 2]))
