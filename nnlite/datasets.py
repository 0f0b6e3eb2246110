"""The images: Fashion-MNIST, or the handwritten digits that ship with scikit-learn.

`load` takes Fashion-MNIST from a directory of yours or else downloads it once (fashion.py). Without
it, "auto" offers the digits, which need no network. `load_file` reads data of your own.
"""

import hashlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .fashion import FASHION_CLASSES, HOW_TO, DataError, download, read_directory
from .fashion import FILES as FILES  # for all who look for them here

DATASETS = ("auto", "fashion-mnist", "digits")
ARRAYS = ("x_train", "y_train", "x_test", "y_test")
MAX_CLASSES = 256  # every epoch's log has a table of classes by classes, and a figure shows it
TIMEOUT = 10.0  # seconds without an answer after which a server is given up


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images as uint8 rows of pixels, 0 to 255, with one integer label each.

    x_train, x_test: (N, D). y_train, y_test: (N,), indices into `classes`.
    source: where the data came from. note: what is wrong or doubtful about it, if anything.
    pixels: what was done to the numbers in the source, in words.
    Raises DataError if an array breaks these rules, so that nobody has to check again.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    classes: tuple[str, ...]
    source: str
    note: str = ""
    pixels: str = "as they are, 0 to 255"

    def __post_init__(self) -> None:
        last = len(self.classes) - 1
        for part in ("train", "test"):
            x, y = getattr(self, f"x_{part}"), getattr(self, f"y_{part}")
            same = x.ndim == 2 and x.shape[1] == self.x_train.shape[1]
            if x.dtype != np.uint8 or not same or x.size == 0:
                raise DataError(
                    f"x_{part} must be uint8 of shape (N, D), N at least 1 and the same D in both "
                    f"parts, but is {x.dtype} of shape {x.shape}"
                )
            if y.dtype.kind not in "iu" or y.shape != (len(x),):
                raise DataError(
                    f"y_{part} must be one integer for each of {len(x)} images, "
                    f"but is {y.dtype} of shape {y.shape}"
                )
            if y.min() < 0 or y.max() > last:
                raise DataError(f"y_{part} must lie in 0..{last}, but spans {y.min()}..{y.max()}")

    @cached_property
    def checksum(self) -> str:
        """md5 of the name and the four arrays, in hex: the same wherever the data came from."""
        digest = hashlib.md5(self.name.encode(), usedforsecurity=False)
        for array in ARRAYS:
            digest.update(np.ravel(getattr(self, array)))
        return digest.hexdigest()


def load(
    name: str = "auto", data_dir: str | os.PathLike | None = None, progress: bool = False
) -> Dataset:
    """Return the data set of that name, one of DATASETS.

    "auto" is Fashion-MNIST or, if it cannot be downloaded, the digits with a note that says why.
    data_dir, else the environment's NNLITE_DATA, is a directory with the four IDX files: who names
    one wants these and nothing else. progress: show a bar for each download.
    Raises DataError for an unknown name, a bad directory, or data that is not available.
    """
    if name not in DATASETS:
        raise DataError(f"unknown dataset {name!r}; known are {', '.join(DATASETS)}")
    if name == "digits":
        return _digits()
    if data_dir is None:
        data_dir = os.environ.get("NNLITE_DATA") or None
    if data_dir is not None:
        arrays = read_directory(data_dir)
        source = _printable(f"IDX files in {data_dir}")
        return Dataset("fashion-mnist", *arrays, FASHION_CLASSES, source)
    try:
        return Dataset("fashion-mnist", *download(progress), FASHION_CLASSES, "downloaded files")
    except DataError as error:
        if name == "fashion-mnist":
            raise DataError(f"Fashion-MNIST was not found.\n{error}\n{HOW_TO}") from None
        reasons = "; ".join(str(error).splitlines())
    return _digits(
        "This is NOT Fashion-MNIST but scikit-learn's handwritten digits, because Fashion-MNIST "
        f"was not found ({reasons}). {HOW_TO}."
    )


def _digits(note: str = "") -> Dataset:
    """Return scikit-learn's 8 x 8 digits at Fashion-MNIST's 28 x 28: 1500 to train, 297 to test."""
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images, labels = digits.images, digits.target.astype(np.uint8)  # pixels 0 to 16
    images = zoom(images, (1, 28 / 8, 28 / 8), order=1)  # order 1 is bilinear
    # Some pixels lie halfway between two integers: the nudge rounds them up on every machine.
    images = np.floor(images * (255 / 16) + 0.5 + 1e-6).astype(np.uint8)
    x_train, x_test, y_train, y_test = train_test_split(
        images.reshape(-1, 28 * 28), labels, test_size=297, random_state=0, stratify=labels
    )
    classes = tuple("0123456789")
    pixels = "0 to 16 mapped onto 0 to 255, and 8 x 8 enlarged to 28 x 28"
    arrays = (x_train, y_train, x_test, y_test)
    return Dataset("digits", *arrays, classes, "scikit-learn", note, pixels)


def load_file(path: str | os.PathLike) -> Dataset:
    """Return the data set in an .npz file with the arrays x_train, y_train, x_test and y_test.

    x: numbers, (N, ...); each sample is read as a row. Whole numbers within 0 to 255 that span half
    of that are pixels as they are. Others are mapped onto 0 to 255, from the least to the greatest
    in x_train. The dtype does not matter. y: integers from 0 on, one for each sample. An array of
    names, `classes`, may be there too. The data set's note says what looks doubtful.
    Raises DataError if the file cannot be used.
    """
    path = Path(os.path.expanduser(path))
    source, name = _printable(path.name), _printable(path.stem)
    if name.lower() in DATASETS:  # their content makes those what they are
        name = f"{source} (own data)"
    try:
        arrays = _read_npz(path)
        x_train, x_test, pixels, lost = _as_pixels(arrays["x_train"], arrays["x_test"])
        y_train, y_test, classes, unseen = _as_labels(**arrays)
        parts = (x_train, y_train, x_test, y_test)
        return Dataset(name, *parts, classes, source, " ".join(lost + unseen), pixels)
    except DataError as error:
        raise DataError(_printable(f"{path}: {error}")) from None


def _printable(text: str) -> str:
    """Return the text with ? for control characters and whatever else cannot be shown."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    """Return those arrays of an .npz file that load_file reads; DataError if it fails."""
    if not os.path.isfile(path):  # a pipe could keep us waiting for ever
        there = os.path.exists(path)
        raise DataError("this is a folder, pipe or device" if there else "there is no such file")
    try:
        with np.load(path) as file:  # which by itself refuses anything that could be executed
            arrays = {name: file[name] for name in (*ARRAYS, "classes") if name in file}
    except Exception as error:  # a damaged file can raise nearly any
        raise DataError(f"this is no readable .npz file ({error!s:.200})") from None
    if missing := [name for name in ARRAYS if name not in arrays]:
        raise DataError(f"the file lacks {', '.join(missing)}; it must hold {', '.join(ARRAYS)}")
    return arrays


def _numbers(name: str, x: np.ndarray) -> np.ndarray:
    """Return x, floats as float64, or raise DataError unless all are numbers to learn from."""
    if x.dtype.kind not in "biuf" or x.ndim < 2 or not x.size:
        raise DataError(
            f"{name} must be numbers of shape (N, ...), N at least 1, "
            f"but is {x.dtype} of shape {x.shape}"
        )
    if x.dtype.kind != "f":
        return x
    x = x.astype("float64", copy=False)
    for bad, what in ((np.isnan(x), "NaN (not a number)"), (np.isinf(x), "infinite numbers")):
        if samples := np.count_nonzero(bad.reshape(len(x), -1).any(axis=1)):
            raise DataError(f"{name} has {what} in {samples} of {len(x)} samples: leave these out")
    return x


def _as_pixels(x_train: np.ndarray, x_test: np.ndarray) -> tuple:
    """Return both as uint8 of shape (N, D), what was done to them, and a list of doubts.

    Raises DataError for what cannot be pixels, and for parts that cannot belong together.
    """
    x_train, x_test = _numbers("x_train", x_train), _numbers("x_test", x_test)
    if x_train.shape[1:] != x_test.shape[1:]:
        raise DataError(
            f"a sample has shape {x_train.shape[1:]} in x_train, but {x_test.shape[1:]} in x_test: "
            "store both in the same way"
        )
    if len(x_train) < 2:
        raise DataError("x_train has 1 sample, but needs 2: one to train on, one to validate on")
    x_train, x_test = (x.reshape(len(x), -1) for x in (x_train, x_test))
    low, high = float(x_train.min()), float(x_train.max())
    test_low, test_high = float(x_test.min()), float(x_test.max())
    span, edge = high - low, (high - low) / 10
    if not 0 < span < 1e300:
        raise DataError(f"x_train spans {low:g} to {high:g}: nothing can be learned from that")

    # Whole numbers that fill half of a byte's range are taken for bytes: 0 and 1 are not.
    least, most = min(low, test_low), max(high, test_high)
    as_they_are = least >= 0 and most <= 255 and most - least >= 128
    for x in (x_train, x_test):
        as_they_are = as_they_are and (x.dtype.kind != "f" or (x == np.rint(x)).all())
    ranges = f"x_train spans {low:g} to {high:g}, but x_test {test_low:g} to {test_high:g}"
    beyond = np.mean((x_test < low - edge) | (x_test > high + edge))
    if not 0.1 <= (test_high - test_low) / span <= 10 or (beyond > 0.05 and not as_they_are):
        raise DataError(
            f"{ranges}: scale both in the same way, and remove outliers if these are the cause"
        )
    if as_they_are:
        pixels = f"as they are, {least:g} to {most:g}"
        train, test = x_train.astype(np.uint8), x_test.astype(np.uint8)
    else:
        pixels = f"{low:g} to {high:g} mapped onto 0 to 255"
        levels = (np.rint(255 * (x.astype("float64") - low) / span) for x in (x_train, x_test))
        train, test = (level.clip(0, 255).astype(np.uint8) for level in levels)
    doubts = _lost(x_train, train)
    if np.mean((x_train < test_low - edge) | (x_train > test_high + edge)) > 0.05:
        doubts.append(f"{ranges}: are both scaled in the same way?")
    return train, test, pixels, doubts


def _lost(x: np.ndarray, pixels: np.ndarray) -> list[str]:
    """Return what to say if x (N, D) lost most of its differences when it became pixels."""
    some = slice(None, None, 1 + x.size // 1_000_000)
    numbers, levels = x.ravel()[some], pixels.ravel()[some]
    counts = np.bincount(levels, minlength=256)
    fullest = np.argsort(-counts)
    few = 1 + int(np.searchsorted(counts[fullest].cumsum(), 0.99 * len(levels)))
    if few <= 5 and len(np.unique(numbers[np.isin(levels, fullest[:few])])) > few:
        middle = np.median(numbers)
        outlier = max(float(x.min()), float(x.max()), key=lambda end: abs(end - middle))
        return [
            f"99 % of the numbers in x_train become {few} of the 256 pixel values, because "
            f"{outlier:g} is so far from the others (median {middle:g}): remove or clip outliers."
        ]
    varied = x.min(axis=0) < x.max(axis=0)
    flat = varied & (pixels.max(axis=0) - pixels.min(axis=0) <= 2)
    if flat.sum() > 0.1 * varied.sum():
        return [
            f"{flat.sum()} of the {x.shape[1]} numbers in a sample hardly vary on the scale that "
            "all of them share: give each a scale of its own first."
        ]
    return []


def _as_labels(y_train: np.ndarray, y_test: np.ndarray, classes=None, **others) -> tuple:
    """Return both as integers of shape (N,), the classes' names, and a list of doubts.

    Raises DataError for labels that do not begin at 0, and for names that cannot be used.
    """
    y_train, y_test = (y[:, 0] if y.shape[1:] == (1,) else y for y in (y_train, y_test))
    for name, y in (("y_train", y_train), ("y_test", y_test)):
        if y.dtype.kind not in "iu" or y.ndim != 1 or not y.size:
            raise DataError(
                f"{name} must be one integer for each sample, but is {y.dtype} of shape {y.shape}"
            )
    labels = np.concatenate([np.unique(y_train), np.unique(y_test)])
    first, last = int(labels.min()), int(labels.max())
    if first < 0 or (first > 0 and classes is None):
        raise DataError(
            f"the labels begin at {first}: number the classes 0, 1, 2, ..., or name every class "
            "from 0 on in an array `classes`"
        )
    if classes is not None and (classes.ndim != 1 or classes.dtype.kind not in "Uiu"):
        raise DataError(
            "`classes` must be a row of names, one for each class, "
            f"but is {classes.dtype} of shape {classes.shape}"
        )
    count = last + 1 if classes is None else len(classes)
    if not 2 <= count <= MAX_CLASSES:
        raise DataError(
            f"there must be 2 to {MAX_CLASSES} classes, but there are {count} "
            f"(the greatest label is {last})"
        )
    if last >= count:
        raise DataError(f"a label is {last}, but `classes` has names for 0 to {count - 1} only")
    names = tuple(map(str, range(count) if classes is None else classes))
    if bad := [c for c in names if names.count(c) > 1 or not c.isprintable() or not c.strip()]:
        raise DataError(f"`classes` must be different, printable names, which {bad[0]!r} is not")
    seen = set(y_train.tolist())
    unseen = [name for label, name in enumerate(names) if label not in seen]
    doubts = []
    if unseen:
        listed = ", ".join(unseen[:5]) + (", ..." if len(unseen) > 5 else "")
        doubts = [f"{len(unseen)} of {count} classes have no training sample: {listed}."]
    return y_train.astype(np.int64), y_test.astype(np.int64), names, doubts


def in_time(function: Callable[[], Any]) -> Any:
    """Return function(), or raise TimeoutError after TIMEOUT seconds."""
    outcome = []

    def work() -> None:
        try:
            outcome.append((function(), None))
        except Exception as error:
            outcome.append((None, error))

    # A thread, because no socket's timeout covers looking up the name of the host.
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    if not outcome:
        raise TimeoutError(f"no answer within {TIMEOUT:g} s")
    result, error = outcome[0]
    if error:
        raise error
    return result
