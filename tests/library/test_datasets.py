"""nnlite.datasets: what a data set is, the digits, and files of one's own."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from conftest import posix
from nnlite import datasets
from nnlite.datasets import ARRAYS, DataError, Dataset, load, load_file

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


# Files of one's own


@pytest.fixture
def own(tmp_path):
    """A function: the data set in a file with these arrays, and others where none is given."""
    random = np.random.default_rng(0)
    x, y = random.integers(0, 256, (60, 4, 4)), np.arange(60) % 3
    x[0, 0, :2] = x[40, 0, :2] = 0, 255
    usual = {"x_train": x[:40], "y_train": y[:40], "x_test": x[40:], "y_test": y[40:]}

    def load_own(name="mine.npz", write=np.savez, **changes):
        arrays = {k: v for k, v in (usual | changes).items() if v is not None}
        with open(tmp_path / name, "wb") as file:
            write(file, **arrays)
        return load_file(tmp_path / name)

    load_own.arrays = usual
    return load_own


def scaled(own, scale):
    """The usual images, after scale(x)."""
    return {name: scale(own.arrays[name]) for name in ("x_train", "x_test")}


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_a_file_of_one_s_own(own, write):
    data = own(write=write)
    assert (data.name, data.classes, data.source) == ("mine", ("0", "1", "2"), "mine.npz")
    np.testing.assert_array_equal(data.x_train, own.arrays["x_train"].reshape(40, 16))
    np.testing.assert_array_equal(data.y_test, own.arrays["y_test"])
    assert (data.pixels, data.note) == ("as they are, 0 to 255", "")


def test_labels_may_be_a_column_and_other_arrays_are_left_alone(own):
    anything = np.array([None, {}])  # which only pickle could read
    data = own(y_train=own.arrays["y_train"][:, None], about=anything)
    assert data.checksum == own().checksum


# What x means depends on its numbers, not on how they are stored

SCALES = {  # name -> the scale, and what is said of it
    "bytes": (lambda x: x, "as they are, 0 to 255"),
    "dark": (lambda x: x * 130 // 255 + 3, "as they are, 3 to 133"),
    "half": (lambda x: x // 2, "0 to 127 mapped onto 0 to 255"),
    "0 to 16": (lambda x: x * 16 // 255, "0 to 16 mapped onto 0 to 255"),
    "0 or 1": (lambda x: x // 128, "0 to 1 mapped onto 0 to 255"),
    "fractions": (lambda x: x * 0.75 + 3.5, "3.5 to 194.75 mapped onto 0 to 255"),
    "large": (lambda x: x * 256, "0 to 65280 mapped onto 0 to 255"),
}
DTYPES = ["bool", "uint8", "int8", "uint16", ">u2", "int64", "float16", "float32", "float64"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale", SCALES)
def test_the_same_numbers_are_the_same_pixels_whatever_their_dtype(scale, own):
    change, pixels = SCALES[scale]
    expected = own(**scaled(own, change))
    assert expected.pixels == pixels and expected.note == ""
    numbers = scaled(own, change)
    for dtype in DTYPES:
        with np.errstate(invalid="ignore"):
            stored = {name: x.astype(dtype) for name, x in numbers.items()}
        if all((stored[name] == numbers[name]).all() for name in stored):
            data = own(**stored)
            assert (data.checksum, data.pixels) == (expected.checksum, pixels), dtype
    mixed = numbers | {"x_test": numbers["x_test"].astype("float32")}
    assert own(**mixed).checksum == expected.checksum


def test_two_numbers_become_black_and_white(own):
    data = own(**scaled(own, lambda x: (x // 128).astype("uint8")))
    assert set(np.unique(data.x_train)) == set(np.unique(data.x_test)) == {0, 255}


def test_the_same_labels_are_the_same_data_whatever_their_dtype(own):
    for dtype in ("uint8", "int32", ">i2", "uint64"):
        changed = {name: own.arrays[name].astype(dtype) for name in ("y_train", "y_test")}
        assert own(**changed).checksum == own().checksum


def test_other_numbers_are_mapped_onto_256_levels(own):
    images = scaled(own, lambda x: (x / 255 * 7 - 3).astype("float32"))
    images["x_test"][0, 0] = -3.5, 4.5, -3, 4  # a little beyond what was seen in training
    data = own(**images, classes=["a", "b", "c", "d"])
    np.testing.assert_array_equal(data.x_train, own.arrays["x_train"].reshape(40, 16))
    assert data.x_test[0, :4].tolist() == [0, 255, 0, 255]
    assert data.pixels == "-3 to 4 mapped onto 0 to 255"
    assert data.classes == ("a", "b", "c", "d")


def test_what_is_done_to_the_pixels_of_the_digits_is_said():
    assert "0 to 16 mapped onto 0 to 255" in load("digits").pixels


# Parts that cannot belong together


@pytest.mark.parametrize(
    "train, test, ranges",
    [
        (lambda x: x, lambda x: x / 255, "x_train spans 0 to 255, but x_test 0 to 1"),
        (lambda x: x / 255, lambda x: x, "x_train spans 0 to 1, but x_test 0 to 255"),
        (lambda x: x // 128, lambda x: x, "x_train spans 0 to 1, but x_test 0 to 255"),
        (lambda x: x, lambda x: x // 16, "x_train spans 0 to 255, but x_test 0 to 15"),
        (lambda x: x / 255, lambda x: x / 127.5 - 1, "x_train spans 0 to 1, but x_test -1 to 1"),
        (lambda x: x / 255, lambda x: x / 255 + 5, "x_train spans 0 to 1, but x_test 5 to 6"),
        (lambda x: x / 255, lambda x: x * 0, "x_train spans 0 to 1, but x_test 0 to 0"),
        (
            lambda x: np.where(x == x[5, 1, 1], -9999, x / 255),
            lambda x: x / 255,
            "x_train spans -9999 to 1, but x_test 0 to 1",
        ),
    ],
)
def test_ranges_that_cannot_belong_together_are_refused(train, test, ranges, own):
    x = own.arrays
    with pytest.raises(DataError, match=f"{ranges}: scale both in the same way, and remove"):
        own(x_train=train(x["x_train"]), x_test=test(x["x_test"]))


def test_a_test_set_that_spans_much_less_is_doubted(own):
    x = own.arrays
    data = own(x_train=x["x_train"] / 127.5 - 1, x_test=x["x_test"] / 255)
    assert data.note == "x_train spans -1 to 1, but x_test 0 to 1: are both scaled in the same way?"
    assert own(x_test=x["x_test"] * 9 // 10).note == ""


def test_bytes_in_a_darker_part_are_bytes(own):
    train, test = own.arrays["x_train"] // 3, own.arrays["x_test"]
    data = own(x_train=train, x_test=test)
    assert data.pixels == "as they are, 0 to 255"
    np.testing.assert_array_equal(data.x_train, train.reshape(40, 16))
    np.testing.assert_array_equal(data.x_test, test.reshape(20, 16))


def test_samples_of_different_shape_are_refused(own):
    """The same numbers in another order, such as (height, width, 3) and (3, height, width)."""
    x_test = own.arrays["x_test"].reshape(20, 8, 2)
    with pytest.raises(DataError, match=r"shape \(4, 4\) in x_train, but \(8, 2\) in x_test"):
        own(x_test=x_test)


# Numbers that lose what could be learned from them


@pytest.mark.parametrize("bulk", [lambda x: x / 255, lambda x: x // 128])
@pytest.mark.parametrize("outlier, share", [(-9999, 0.001), (1e6, 0.001), (-9999, 0.3)])
def test_outliers_that_flatten_all_others_are_named(own, bulk, outlier, share):
    def with_outliers(x):
        x = bulk(x).astype("float64")
        x.flat[:: int(1 / share)] = outlier
        return x

    note = own(**scaled(own, with_outliers)).note
    assert "99 % of the numbers in x_train become " in note and " of the 256 pixel values" in note
    assert f"{outlier:g} is so far from the others" in note


@pytest.mark.parametrize("share", [0.5, 0.004])
def test_few_levels_are_not_taken_for_outliers(own, share):
    """Black and white pictures, of which nearly all may be black."""
    white = np.random.default_rng(0).random((60, 400)) < share
    data = own(x_train=white[:40], x_test=white[40:])
    assert data.note == "" and set(np.unique(data.x_train)) == {0, 255}


@pytest.mark.parametrize("small", [1, 6])
def test_columns_that_another_one_flattens_are_counted(own, small):
    """As in a table whose columns have different units."""
    table = np.random.default_rng(0).random((60, 16)) * np.repeat([small, 1000], [12, 4])
    note = own(x_train=table[:40], x_test=table[40:]).note
    assert note.startswith("12 of the 16 numbers in a sample hardly vary")


def test_fashion_mnist_as_a_file_of_one_s_own_is_not_doubted(own, fashion_dir):
    """In bytes, from 0 to 1, and with mean 0 and standard deviation 1."""
    fashion = load(data_dir=fashion_dir)
    arrays = {name: getattr(fashion, name)[:2000] for name in ARRAYS}
    standard = lambda x: ((x / 255 - 0.286) / 0.353).astype("float32")  # noqa: E731
    for scale in (lambda x: x, lambda x: x / 255, standard):
        images = {name: scale(arrays[name]) for name in ("x_train", "x_test")}
        data = own(**arrays | images)
        assert data.note == ""
        np.testing.assert_array_equal(data.x_train, arrays["x_train"])


# Labels and the names of classes


@pytest.mark.parametrize("first", [1, 5])
def test_labels_that_do_not_begin_at_0_are_refused_unless_all_are_named(own, first):
    labels = {name: own.arrays[name] + first for name in ("y_train", "y_test")}
    with pytest.raises(DataError, match=f"begin at {first}: number the classes 0, 1, 2, ..., or"):
        own(**labels)
    with pytest.raises(DataError, match=f"a label is {first + 2}, but `classes` has names for 0"):
        own(**labels, classes=list("abcdefgh")[: first + 2])
    names = list("abcdefgh")[: first + 3]
    data = own(**labels, classes=names)
    assert data.classes == tuple(names)
    assert data.note.startswith(f"{first} of {first + 3} classes have no training sample: a")


def test_classes_without_a_training_sample_are_named(own):
    y_train = np.where(own.arrays["y_train"] == 1, 2, own.arrays["y_train"])
    assert own(y_train=y_train).note == "1 of 3 classes have no training sample: 1."
    y_train[0] = 20
    note = own(y_train=y_train, classes=[f"c{n}" for n in range(21)]).note
    assert note == "18 of 21 classes have no training sample: c1, c3, c4, c5, c6, ...."


@pytest.mark.parametrize(
    "classes, problem",
    [
        (10, "`classes` must be a row of names, one for each class, but is int64 of shape ()"),
        ("abc", "`classes` must be a row of names, one for each class, but is <U3 of shape ()"),
        ([["a"], ["b"], ["c"]], "but is <U1 of shape (3, 1)"),
        ([0.0, 1.0, 2.0], "but is float64 of shape (3,)"),
        ([b"a", b"b", b"c"], "but is |S1 of shape (3,)"),
        ([], "but is float64 of shape (0,)"),
        (["a", "b"], "a label is 2, but `classes` has names for 0 to 1 only"),
        (["a", "b", "a"], "`classes` must be different, printable names, which 'a' is not"),
        (["a", "b", ""], "which '' is not"),
        (["a", "b", "c\nd"], "which 'c?nd' is not".replace("?", "\\")),
        (["a"] * 257, "there must be 2 to 256 classes, but there are 257 (the greatest"),
    ],
)
def test_classes_that_are_no_names_are_refused(own, classes, problem):
    with pytest.raises(DataError) as caught:
        own(classes=classes)
    assert problem in str(caught.value)


def test_classes_may_be_named_by_numbers(own):
    assert own(classes=[10, 20, 30]).classes == ("10", "20", "30")


# What is no data


@pytest.mark.parametrize(
    "changes, problem",
    [
        ({"x_test": None}, "the file lacks x_test; it must hold x_train, y_train, x_test, y_test"),
        (
            {"x_train": np.full((40, 16), np.nan)},
            r"x_train has NaN \(not a number\) in 40 of 40 sam",
        ),
        ({"x_test": np.diag([np.nan, 1, 1])}, r"x_test has NaN \(not a number\) in 1 of 3 samples"),
        ({"x_test": np.diag([1, -np.inf])}, "x_test has infinite numbers in 1 of 2 samples"),
        ({"x_train": np.array([["a"]])}, "x_train must be numbers of shape .* but is <U1"),
        ({"x_train": np.ones((40, 16), complex)}, "x_train must be numbers .* but is complex128"),
        ({"x_train": np.arange(20)}, r"x_train must be numbers of shape .* of shape \(20,\)"),
        ({"x_test": np.zeros((0, 4, 4))}, "x_test must be numbers of shape .*, N at least 1"),
        ({"x_test": np.zeros((10, 9), "uint8")}, r"but \(9,\) in x_test: store both"),
        ({"x_train": np.full((40, 4, 4), 7.5)}, "x_train spans 7.5 to 7.5: nothing can be"),
        ({"x_train": np.resize([-1.7e308, 1.7e308], (40, 4, 4))}, "nothing can be"),
        ({"x_train": np.ones((1, 4, 4))}, "x_train has 1 sample, but needs 2"),
        ({"y_train": np.zeros(40)}, "y_train must be one integer for each sample, but is float64"),
        ({"y_test": np.array([["a"]])}, "y_test must be one integer for each sample, but is <U1"),
        ({"y_train": np.zeros(0, int)}, "y_train must be one integer for each sample"),
        ({"y_train": np.zeros((20, 2), int)}, r"must be one integer .* of shape \(20, 2\)"),
        ({"y_train": np.arange(39) % 3}, "y_train must be one integer for each of 40 images"),
        ({"y_train": np.full(40, -1)}, "the labels begin at -1: number the classes 0, 1, 2"),
        ({"y_train": np.full(40, 256)}, "there must be 2 to 256 classes, but there are 257"),
        ({"y_train": np.full(40, 2**64 - 1, "uint64")}, "but there are 1844674407370955"),
        ({"y_train": np.zeros(40, int), "y_test": np.zeros(20, int)}, "but there are 1 "),
        ({"x_train": np.array([None] * 20)}, "this is no readable .npz file"),
    ],
)
def test_unfit_files_are_refused(own, tmp_path, changes, problem):
    with pytest.raises(DataError, match=problem) as caught:
        own(**changes)
    assert str(caught.value).startswith(f"{tmp_path / 'mine.npz'}: ")


@pytest.mark.parametrize("content", [b"", b"PK\3\4 but no zip", b"\x93NUMPY"])
def test_what_is_no_npz_file_is_refused(tmp_path, content):
    (tmp_path / "mine.npz").write_bytes(content)
    with pytest.raises(DataError, match="mine.npz: this is no readable .npz file"):
        load_file(tmp_path / "mine.npz")


def test_one_array_alone_is_refused(tmp_path):
    np.save(tmp_path / "mine.npy", np.zeros((3, 3)))
    with pytest.raises(DataError, match="mine.npy: this is no readable .npz file"):
        load_file(tmp_path / "mine.npy")


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="mine.npz: there is no such file"):
        load_file(tmp_path / "mine.npz")
    with pytest.raises(DataError, match="this is a folder, pipe or device"):
        load_file(tmp_path)


@posix
def test_a_pipe_is_refused_rather_than_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="this is a folder, pipe or device"):
        load_file(tmp_path / "pipe")


# Names of files


@pytest.mark.parametrize("name", ["digits.npz", "Fashion-MNIST.npz", "digits", "auto.npz"])
def test_own_data_are_not_called_as_the_known_ones(own, name):
    assert own(name).name == f"{name} (own data)"


def test_names_that_cannot_be_shown_are_shown_with_question_marks(own, tmp_path):
    data = own("a\nb\x1b[31m\udcff.npz")
    assert (data.name, data.source) == ("a?b?[31m?", "a?b?[31m?.npz")
    assert data.checksum  # of a name that can be encoded
    with pytest.raises(DataError) as caught:
        load_file(tmp_path / "a\nb\udcff")
    assert str(caught.value) == f"{tmp_path / 'a?b?'}: there is no such file"


def test_home_directory_may_be_written_as_a_tilde(own, tmp_path, monkeypatch):
    own("mine.npz")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert load_file("~/mine.npz").name == "mine"
