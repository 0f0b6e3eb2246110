"""The images: Fashion-MNIST, or the handwritten digits that ship with scikit-learn.

`load` takes Fashion-MNIST from a directory of yours or else downloads it once. Its file names
equal MNIST's, so nothing counts as Fashion-MNIST until its md5 says so. Without it, "auto" offers
the digits, which need no network. `load_file` reads data of your own.
"""

import gzip
import hashlib
import math
import os
import struct
import sys
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

DATASETS = ("auto", "fashion-mnist", "digits")
FASHION_CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat")
FASHION_CLASSES += ("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
ARRAYS = ("x_train", "y_train", "x_test", "y_test")
MD5 = {  # of the files behind ARRAYS, unpacked: gzip can pack the same bytes in many ways
    "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
    "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
    "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
}
FILES = list(MD5)
SHA256 = {  # of the same files as published, packed by gzip
    "train-images-idx3-ubyte": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}
MAX_BYTES = 16 + 60000 * 28 * 28  # the largest of them, unpacked
MIRRORS = (  # all three by the authors; the last lacks https, but SHA256 vouches for each file
    "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)
TIMEOUT = 10.0  # seconds without an answer after which a server is given up
HOW_TO = (
    f"To get Fashion-MNIST, download {', '.join(f'{name}.gz' for name in FILES)} from "
    "https://github.com/zalandoresearch/fashion-mnist (folder data/fashion) into one folder DIR, "
    "then pass --data-dir DIR or set NNLITE_DATA=DIR"
)


class DataError(ValueError):
    """What is wrong with the data, what is allowed, and what to do about it."""


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
    one wants these and nothing else. Downloads are kept in NNLITE_CACHE, else in the user's cache
    folder; progress: show a bar for each, if there is a terminal.
    Raises DataError for an unknown name, a bad directory, or data that is not available.
    """
    if name not in DATASETS:
        raise DataError(f"unknown dataset {name!r}; known are {', '.join(DATASETS)}")
    if name == "digits":
        return _digits()
    if data_dir is None:
        data_dir = os.environ.get("NNLITE_DATA") or None
    if data_dir is not None:
        return _fashion(_from_directory(data_dir), f"IDX files in {data_dir}")
    try:
        return _fashion([_read_idx(path) for path in _download(progress)], "downloaded files")
    except DataError as error:
        if name == "fashion-mnist":
            raise DataError(f"Fashion-MNIST was not found.\n{error}\n{HOW_TO}") from None
        reasons = "; ".join(str(error).splitlines())
    return _digits(
        "This is NOT Fashion-MNIST but scikit-learn's handwritten digits, because Fashion-MNIST "
        f"was not found ({reasons}). {HOW_TO}."
    )


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


def _fashion(arrays: list[np.ndarray], source: str) -> Dataset:
    """Put a name to the four arrays."""
    return Dataset("fashion-mnist", *arrays, classes=FASHION_CLASSES, source=source)


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
    return Dataset("digits", x_train, y_train, x_test, y_test, classes, "scikit-learn", note)


def _from_directory(data_dir: str | os.PathLike) -> list[np.ndarray]:
    """Read the four IDX files, gzipped or not, in the user's directory; DataError if it fails."""
    directory = Path(os.path.expanduser(data_dir))
    if not directory.is_dir():
        raise DataError(f"there is no data directory {directory}. {HOW_TO}")
    both = {name: (directory / f"{name}.gz", directory / name) for name in FILES}
    there = {name: [path for path in paths if path.is_file()] for name, paths in both.items()}
    if missing := [name for name, paths in there.items() if not paths]:
        raise DataError(f"{directory} lacks {', '.join(missing)}, or the same as .gz. {HOW_TO}")
    return [_read_idx(*paths) for paths in there.values()]


def _download(progress: bool) -> list[Path]:
    """Return the paths of the four files in the cache, where those that are missing are put first.

    A file is believed by its SHA-256 alone. Raises DataError with a line for each mirror, which
    says why it did not help.
    """
    import pooch

    bar = bool(progress and sys.stderr and sys.stderr.isatty())
    pooch.get_logger().disabled = not bar  # it says which file comes from where
    downloader = pooch.HTTPDownloader(progressbar=bar, timeout=TIMEOUT)
    kept = {
        "path": pooch.os_cache("nnlite"),
        "env": "NNLITE_CACHE",
        "registry": {f"{name}.gz": sha256 for name, sha256 in SHA256.items()},
    }
    reasons = []
    for mirror in MIRRORS:
        files = pooch.create(base_url=mirror, retry_if_failed=1, **kept)
        try:
            return [Path(files.fetch(name, downloader=downloader)) for name in files.registry]
        except (OSError, ValueError) as error:  # all errors of requests are OSErrors
            while error.__context__:  # the innermost says why, in few words
                error = error.__context__
            reasons.append(f"{urlsplit(mirror).netloc}: {' '.join(str(error).split())[:150]}")
    raise DataError("\n".join(reasons))


def _read_idx(path: Path, *others: Path) -> np.ndarray:
    """Return the labels (N,) or images (N, D) in one of Fashion-MNIST's files, gzipped or not.

    Its name says which file it should be; its content decides, whoever packed it. `others` are
    tried if it will not do. Raises DataError if none will.
    """
    expected = MD5[path.name.removesuffix(".gz")]
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        found = hashlib.md5(data, usedforsecurity=False).hexdigest()
        problem = f"it has the md5 {found} (unpacked), but should have {expected}"
    except (OSError, EOFError, zlib.error) as error:
        found, problem = "", f"it cannot be read: {error}"
    if found != expected:
        if others:
            return _read_idx(*others)
        raise DataError(f"{path} is damaged or not Fashion-MNIST's ({problem}). {HOW_TO}")
    array = parse_idx(data, str(path))
    return array.reshape(len(array), -1) if array.ndim == 3 else array


def parse_idx(data: bytes, name: str) -> np.ndarray:
    """Return the uint8 array in the bytes of an IDX file; `name` is for the error.

    Its header: 00 00, 08 for uint8, the number of axes (labels have one, images three), then each
    length as a big-endian 32-bit integer. Raises DataError unless exactly as many bytes follow.
    """
    axes = data[3] if data[:4] in (b"\0\0\x08\x01", b"\0\0\x08\x03") else 0
    start = 4 + 4 * axes
    shape = struct.unpack(f">{axes}I", data[4:start].ljust(4 * axes, b"\0"))
    if not axes or 0 in shape or math.prod(shape) != len(data) - start:
        raise DataError(f"{name} is no complete IDX file of labels or images")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


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
