"""nnlite.datasets: what a data set is, the digits, and files of one's own."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nnlite import datasets
from nnlite.datasets import DataError, Dataset, load

# The data set


def good(**changes):
    """A valid Dataset, with changes."""
    fields = {
        "name": "test",
        "x_train": np.zeros((3, 4), np.uint8),
        "y_train": np.array([0, 1, 2], np.uint8),
        "x_test": np.zeros((2, 4), np.uint8),
        "y_test": np.array([2, 1], np.int64),
        "classes": ("a", "b", "c"),
        "source": "here",
    }
    return Dataset(**{**fields, **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"x_train": np.zeros((3, 4), np.float32)}, "x_train must be uint8"),
        ({"x_train": np.zeros((3, 2, 2), np.uint8)}, "x_train must be uint8 of shape"),
        ({"x_train": np.uint8(3)}, "x_train must be uint8 of shape"),
        ({"x_test": np.zeros((0, 4), np.uint8), "y_test": np.zeros(0, int)}, "x_test .* least 1"),
        ({"x_test": np.zeros((2, 5), np.uint8)}, "x_test .* same D"),
        ({"y_train": np.array([0, 1, 3])}, r"y_train must lie in 0\.\.2, but spans 0\.\.3"),
        ({"y_test": np.array([0, -1])}, r"y_test must lie in 0\.\.2, but spans -1\.\.0"),
        ({"y_train": np.array([0, 1])}, "y_train must be one integer for each of 3 images"),
        ({"y_train": np.array([[0], [1], [2]])}, "y_train must be one integer"),
        ({"y_test": np.array([0.0, 1.0])}, "y_test must be one integer"),
    ],
)
def test_dataset_refuses_arrays_that_break_its_rules(changes, words):
    with pytest.raises(DataError, match=words):
        good(**changes)


def test_checksum_depends_on_name_and_contents_alone():
    same = good(source="there", note="hm", x_test=np.zeros((2, 8), np.uint8)[:, ::2])
    assert good().checksum == same.checksum
    x_test = np.zeros((2, 4), np.uint8)
    x_test[1, 3] = 1
    others = {good(name="other").checksum, good(x_test=x_test).checksum}
    assert len(others | {good().checksum}) == 3


def test_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'mnist'; known are auto, fashion-mnist, digits"):
        load("mnist")


# The digits


def test_digits_ask_nobody(monkeypatch):
    monkeypatch.setenv("NNLITE_DATA", "nowhere")
    monkeypatch.setattr(datasets, "download", None)
    data = load("digits", data_dir="nowhere either")
    assert data.name == "digits" and data.note == "" and data.classes == tuple("0123456789")


def test_digits_are_the_same_everywhere():
    """1797 images as scikit-learn has them, enlarged exactly; a changed sum changes results."""
    data = load("digits")
    assert data.x_train.shape == (1500, 784) and data.x_test.shape == (297, 784)
    assert data.x_train.dtype == data.y_train.dtype == np.uint8
    assert data.x_train.min() == 0 and data.x_train.max() == 255
    assert np.ptp(np.bincount(data.y_train)) <= 10 and np.ptp(np.bincount(data.y_test)) <= 2
    assert data.checksum == load("digits").checksum == "34b7df4548b65aea0419eb16915ad94f"


def test_digits_are_enlarged_bilinearly():
    """Against the same in integers: 8 pixels span 27 steps of 7/27, so weights are n/27."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    weights = np.zeros((28, 8), int)
    for i in range(28):
        left, part = divmod(7 * i, 27)
        weights[i, left] = 27 - part
        if part:
            weights[i, left + 1] = part
    images = weights @ digits.images.astype(int) @ weights.T  # times 27 * 27
    unit = 16 * 27 * 27
    images = (2 * 255 * images + unit) // (2 * unit)  # rounded, halves up
    expected = np.column_stack([digits.target, images.reshape(-1, 784)])
    data = load("digits")
    x, y = np.concatenate([data.x_train, data.x_test]), np.append(data.y_train, data.y_test)
    found = np.column_stack([y, x.astype(int)])
    assert sorted(map(tuple, found)) == sorted(map(tuple, expected))


def test_import_is_light():
    """A command that only wants help should not wait for scikit-learn."""
    code = "import sys, nnlite.datasets; print([m for m in sys.argv[1:] if m in sys.modules])"
    heavy = ["sklearn", "scipy", "pooch", "requests", "tqdm", "matplotlib"]
    root = Path(__file__).resolve().parents[2]
    run = subprocess.run(
        [sys.executable, "-c", code, *heavy], cwd=root, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"


# ---- files of one's own


def own_arrays(dtype="uint8"):
    random = np.random.default_rng(0)
    x = random.integers(0, 256, (30, 4, 4)).astype(dtype)
    y = np.arange(30) % 3
    return {"x_train": x[:20], "y_train": y[:20], "x_test": x[20:], "y_test": y[20:]}


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_a_file_of_one_s_own(tmp_path, write):
    arrays = own_arrays()
    write(tmp_path / "mine.npz", **arrays)
    data = datasets.load_file(tmp_path / "mine.npz")
    assert (data.name, data.classes, data.source) == ("mine", ("0", "1", "2"), "mine.npz")
    np.testing.assert_array_equal(data.x_train, arrays["x_train"].reshape(20, 16))
    np.testing.assert_array_equal(data.y_test, arrays["y_test"])


def test_other_numbers_are_mapped_onto_256_levels(tmp_path):
    arrays = own_arrays("float32")
    arrays["x_train"][0, 0, :2] = 0, 255
    expected = arrays["x_train"].reshape(20, 16).copy()
    for name in ("x_train", "x_test"):
        arrays[name] = arrays[name] / 255 * 7 - 3
    arrays["x_test"][0, 0] = -50, 50, -3, 4  # beyond what was seen in training
    np.savez(tmp_path / "mine.npz", **arrays, classes=["a", "b", "c", "never seen"])
    data = datasets.load_file(tmp_path / "mine.npz")
    np.testing.assert_array_equal(data.x_train, expected)
    assert data.x_test[0, :4].tolist() == [0, 255, 0, 255]
    assert data.classes == ("a", "b", "c", "never seen")


@pytest.mark.parametrize(
    "change, problem",
    [
        ({"x_test": None}, "lacks x_test"),
        ({"x_train": np.full((20, 16), np.nan)}, "finite numbers"),
        ({"x_train": np.array([["a"]])}, "finite numbers"),
        ({"x_train": np.arange(20)}, "finite numbers"),
        ({"x_test": np.zeros((10, 9), "uint8")}, "same D"),
        ({"y_train": np.zeros(20)}, "one integer for each"),
        ({"y_train": np.arange(19)}, "one integer for each"),
        ({"y_train": np.full(20, -1)}, "must lie in"),
        ({"y_train": np.full(20, 10**6)}, "a label is 1000000"),
        ({"x_train": np.array([None] * 20)}, "no readable .npz file"),
    ],
)
def test_unfit_files_are_refused(tmp_path, change, problem):
    arrays = {k: v for k, v in (own_arrays() | change).items() if v is not None}
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(datasets.DataError, match=problem):
        datasets.load_file(tmp_path / "mine.npz")


def test_what_is_no_such_file(tmp_path):
    with pytest.raises(datasets.DataError, match="there is no file"):
        datasets.load_file(tmp_path / "mine.npz")
    for content in (b"", b"PK\3\4 but no zip", b"\x93NUMPY"):
        (tmp_path / "mine.npz").write_bytes(content)
        with pytest.raises(datasets.DataError, match="no readable .npz file"):
            datasets.load_file(tmp_path / "mine.npz")
