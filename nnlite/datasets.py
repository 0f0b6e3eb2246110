"""The images: Fashion-MNIST, or the handwritten digits that ship with scikit-learn.

`load` takes Fashion-MNIST from a directory of yours or else downloads it once (fashion.py). Without
it, "auto" offers the digits, which need no network. `load_file` reads data of your own.
"""

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from .fashion import FASHION_CLASSES, HOW_TO, DataError, download, read_directory
from .fashion import FILES as FILES  # for all who look for them here
from .own_data import ARRAYS, as_labels, as_pixels, printable, read_npz

DATASETS = ("auto", "fashion-mnist", "digits")


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
        source = printable(f"IDX files in {data_dir}")
        return Dataset("fashion-mnist", *arrays, FASHION_CLASSES, source)
    try:
        return Dataset("fashion-mnist", *download(progress), FASHION_CLASSES, "downloaded files")
    except DataError as error:
        if name == "fashion-mnist":
            raise DataError(f"Fashion-MNIST was not found.\n{error}\n{HOW_TO}") from None
        mirrors: dict[str, list[str]] = {}  # why they did not help -> which did not
        for line in str(error).splitlines():
            mirror, reason = line.split(": ", 1)
            mirrors.setdefault(reason, []).append(mirror)
        reasons = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in mirrors.items())
        if len(mirrors) == 1:
            reasons = f"all: {reason}"
    return _digits(
        "NOT Fashion-MNIST but scikit-learn's handwritten digits: neither --data-dir nor "
        f"NNLITE_DATA names a folder, the cache has no copy, and no mirror helps ({reasons}). "
        "Its four files are at https://github.com/zalandoresearch/fashion-mnist, in data/fashion."
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
    source, name = printable(path.name), printable(path.stem)
    if name.lower() in DATASETS:  # their content makes those what they are
        name = f"{source} (own data)"
    try:
        arrays = read_npz(path)
        x_train, x_test, pixels, lost = as_pixels(arrays["x_train"], arrays["x_test"])
        y_train, y_test, classes, unseen = as_labels(**arrays)
        parts = (x_train, y_train, x_test, y_test)
        return Dataset(name, *parts, classes, source, " ".join(lost + unseen), pixels)
    except DataError as error:
        raise DataError(printable(f"{path}: {error}")) from None
