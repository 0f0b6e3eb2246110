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
TIMEOUT = 10.0  # seconds without an answer after which a server is given up


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images as uint8 rows of pixels, 0 to 255, with one integer label each.

    x_train, x_test: (N, D). y_train, y_test: (N,), indices into `classes`.
    source: where the data came from. note: non-empty if it is not what was hoped for.
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
        return Dataset("fashion-mnist", *arrays, FASHION_CLASSES, f"IDX files in {data_dir}")
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
    arrays = (x_train, y_train, x_test, y_test)
    return Dataset("digits", *arrays, classes, "scikit-learn", note)


def load_file(path: str | os.PathLike) -> Dataset:
    """Return the data set in an .npz file with the arrays x_train, y_train, x_test and y_test.

    x: numbers, (N, ...), of which each sample is read as a row; what is not uint8 already is mapped
    onto 0..255, from the least to the greatest number of x_train. y: integers from 0 on. An array
    of names `classes` may be there too. Raises DataError if the file cannot be used.
    """
    path = Path(path)
    try:
        with np.load(path) as file:  # which by itself refuses anything that could be executed
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise DataError(f"there is no file {path}") from None
    except Exception as error:  # a damaged file can raise nearly any
        raise DataError(f"{path} is no readable .npz file ({error!s:.200})") from None
    if missing := [name for name in ARRAYS if name not in arrays]:
        raise DataError(f"{path} lacks {', '.join(missing)}: it must hold {', '.join(ARRAYS)}")
    y_train, y_test = (arrays[name].ravel() for name in ("y_train", "y_test"))
    x_train, x_test = (arrays[name] for name in ("x_train", "x_test"))
    for x in (x_train, x_test):
        if x.dtype.kind not in "biuf" or x.ndim < 2 or not x.size or not np.isfinite(x).all():
            raise DataError(f"{path}: x must be finite numbers of shape (N, ...), N at least 1")
    low, high = float(x_train.min()), float(x_train.max())

    def pixels(x: np.ndarray) -> np.ndarray:
        if x_train.dtype != np.uint8 or x.dtype != np.uint8:
            x = np.rint(255 * (x.astype("float64") - low) / (high - low or 1)).clip(0, 255)
        return x.reshape(len(x), -1).astype(np.uint8)

    classes = arrays.get("classes")
    if classes is None:
        last = max((int(y.max()) for y in (y_train, y_test) if y.dtype.kind in "iu" and y.size),
                   default=0)  # fmt: skip
        if last > 9999:
            raise DataError(f"{path}: a label is {last}; labels are the classes 0, 1, 2, ...")
        classes = range(last + 1)
    return Dataset(
        path.stem, pixels(x_train), y_train, pixels(x_test), y_test,
        tuple(map(str, classes)), path.name,
    )  # fmt: skip


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
