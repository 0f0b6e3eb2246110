"""The images: Fashion-MNIST, or the handwritten digits that ship with scikit-learn.

`load` looks for Fashion-MNIST in a directory of yours, in nnlite's cache, on the official mirror
and on OpenML, in this order. Its file names equal MNIST's, so nothing counts as Fashion-MNIST
until its md5 says so. Without it, "auto" offers the digits, which need no network.
"""

import hashlib
import math
import os
import struct
import sys
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .files import read_arrays, replacing, write_arrays

DATASETS = ("auto", "fashion-mnist", "digits")
FASHION_CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat")
FASHION_CLASSES += ("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
ARRAYS = ("x_train", "y_train", "x_test", "y_test")
MD5 = {  # the files behind ARRAYS, in that order, as published and unpacked
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
}
FILES = [name for name in MD5 if not name.endswith(".gz")]
MAX_BYTES = 16 + 60000 * 28 * 28  # the largest of them, unpacked

MIRROR = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
OPENML = "https://www.openml.org/api/v1/json/data/40996"  # OpenML's description of Fashion-MNIST
TIMEOUT = 10.0  # seconds without an answer after which a network source is given up
MIN_RATE = 16 * 1024  # bytes per second below which a download is given up
HOW_TO = (
    f"To get Fashion-MNIST, download {', '.join(name + '.gz' for name in FILES)} from {MIRROR} "
    "into one directory DIR, then pass --data-dir DIR or set NNLITE_DATA=DIR"
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
        return _md5(self.name.encode(), *(getattr(self, array) for array in ARRAYS))


def load(
    name: str = "auto", data_dir: str | os.PathLike | None = None, progress: bool = False
) -> Dataset:
    """Return the data set of that name, one of DATASETS.

    "auto" is Fashion-MNIST or, if no source has it, the digits with a note that says why.
    data_dir, else the environment's NNLITE_DATA, is a directory with the four IDX files: an
    explicit wish, so no other source stands in for it. progress: show a bar for each download.
    Raises DataError for an unknown name, a bad directory, or data that cannot be had.
    """
    if name not in DATASETS:
        raise DataError(f"unknown dataset {name!r}; known are {', '.join(DATASETS)}")
    if name == "digits":
        return _digits()
    if data_dir is None:
        data_dir = os.environ.get("NNLITE_DATA") or None
    if data_dir is not None:
        return _fashion(_from_directory(data_dir), f"IDX files in {data_dir}")

    tried = ["directory: none given, neither --data-dir nor NNLITE_DATA"]
    sources = {"cache": _from_cache, "official mirror": _from_mirror, "OpenML": _from_openml}
    for source, read in sources.items():
        try:
            dataset = _fashion(read(progress), source)
        except Exception as error:  # whatever ails one source, the next may be well
            tried.append(f"{source}: {str(error) or repr(error)}")
            continue
        if source != "cache":
            _write_cache(dataset)
        return dataset
    if name == "fashion-mnist":
        raise DataError("\n".join(["Fashion-MNIST was not found. Tried:", *tried, HOW_TO]))
    return _digits(
        "This is NOT Fashion-MNIST but scikit-learn's handwritten digits, because Fashion-MNIST "
        f"was not found ({'; '.join(tried)}). {HOW_TO}."
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


# Each source of Fashion-MNIST returns the arrays in the order of ARRAYS, checked, or raises.


def _from_directory(data_dir: str | os.PathLike) -> list[np.ndarray]:
    """Read the four IDX files, gzipped or not, in the user's directory; DataError if it fails."""
    directory = Path(os.path.expanduser(data_dir))
    try:
        if not directory.is_dir():
            raise DataError(f"there is no data directory {directory}. {HOW_TO}")
        packed = [directory / f"{name}.gz" for name in FILES]
        paths = [path if path.is_file() else path.with_suffix("") for path in packed]
        missing = [path.name for path in paths if not path.is_file()]
        if missing:
            raise DataError(f"{directory} lacks {', '.join(missing)}, or the same as .gz. {HOW_TO}")
        return [_decode(path, _bytes(path)) for path in paths]
    except OSError as error:
        raise DataError(f"the data directory {directory} cannot be read: {error}") from error


def cache_dir() -> Path:
    """Return nnlite's cache directory: NNLITE_CACHE, else the platform's usual place."""
    if chosen := os.environ.get("NNLITE_CACHE"):
        return Path(chosen)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.path.expanduser(base)) / "nnlite"


def _from_cache(progress: bool) -> list[np.ndarray]:
    """Read the arrays that _write_cache wrote."""
    path = cache_dir() / "fashion-mnist.npz"
    stored = read_arrays(path)
    arrays = [stored[name] for name in ARRAYS]
    _check(arrays, str(path))
    return arrays


def _write_cache(dataset: Dataset) -> None:
    """Keep the arrays, uncompressed, for the next start; downloaded files can go then."""
    with suppress(OSError):  # a cache we may not write to costs time, not the data
        cache_dir().mkdir(parents=True, exist_ok=True)
        arrays = {name: getattr(dataset, name) for name in ARRAYS}
        write_arrays(cache_dir() / "fashion-mnist.npz", arrays)
        for name in FILES:
            (cache_dir() / f"{name}.gz").unlink(missing_ok=True)


def _from_mirror(progress: bool) -> list[np.ndarray]:
    """Download the four files, less those that an interrupted download left in the cache."""
    arrays = []
    for name in FILES:
        path = cache_dir() / f"{name}.gz"
        try:
            arrays.append(_decode(path, _bytes(path)))
        except (OSError, DataError):
            data = _download(MIRROR + path.name, progress)
            arrays.append(_decode(Path(path.name), data))
            with suppress(OSError):
                cache_dir().mkdir(parents=True, exist_ok=True)
                with replacing(path) as file:
                    file.write(data)
    return arrays


def _download(url: str, progress: bool) -> bytes:
    """Return what is at url, with a bar in the terminal if progress is true.

    Raises OSError if nobody answers or too slowly, DataError if too little or too much comes.
    """
    from urllib.request import urlopen

    from tqdm import tqdm

    data, start = bytearray(), time.monotonic()
    hidden = None if progress else True  # None: hidden unless there is a terminal
    bar = tqdm(desc=url.split("/")[-1], unit="B", unit_scale=True, disable=hidden)
    with bar, in_time(lambda: urlopen(url, timeout=TIMEOUT)) as response:
        bar.total = size = int(response.headers.get("Content-Length", 0))
        while block := response.read1(65536):  # read1 does not wait for all of a block
            data += block
            bar.update(len(block))
            if len(data) > MAX_BYTES:
                raise DataError(f"{url} is longer than {MAX_BYTES} bytes")
            if time.monotonic() > start + TIMEOUT + len(data) / MIN_RATE:
                raise TimeoutError(f"{url} comes slower than {MIN_RATE} bytes per second")
    if len(data) < size:
        raise DataError(f"{url} broke off after {len(data)} of {size} bytes")
    return bytes(data)


def _from_openml(progress: bool) -> list[np.ndarray]:
    """Fetch the 70000 images through scikit-learn, which takes minutes to parse them."""
    import socket
    from urllib.request import urlopen

    in_time(lambda: urlopen(OPENML, timeout=TIMEOUT).close())
    from sklearn.datasets import fetch_openml

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)  # fetch_openml has no timeout of its own
    try:
        # Without pandas only this parser works; our own cache is smaller and quicker to read.
        options = {"as_frame": False, "parser": "liac-arff", "cache": False, "n_retries": 1}
        x, y = fetch_openml(data_id=40996, return_X_y=True, **options)
    finally:
        socket.setdefaulttimeout(before)
    x, y = x.astype(np.uint8), y.astype(np.uint8)
    arrays = [x[:60000], y[:60000], x[60000:], y[60000:]]
    _check(arrays, "what came")
    return arrays


def parse_idx(data: bytes, name: str) -> np.ndarray:
    """Return the uint8 array in the bytes of an IDX file, gzipped or not; name is for errors.

    Its header: 00 00, 08 for uint8, the number of axes, then each length as a big-endian 32-bit
    integer. Raises DataError unless as many bytes follow as that declares.
    """
    if data[:2] == b"\x1f\x8b":
        try:  # 31 asks for gzip's header; the limit defuses a file that unpacks to gigabytes
            data = zlib.decompressobj(31).decompress(data, MAX_BYTES + 1)
        except zlib.error as error:
            raise DataError(f"{name} is a damaged gzip file: {error}") from error
    if data[:4] not in (b"\0\0\x08\x01", b"\0\0\x08\x03"):
        raise DataError(
            f"{name} is not an IDX file of labels or images: it must begin with 00 00 08 01 or "
            f"00 00 08 03, but begins with {data[:4].hex(' ') or 'nothing'}"
        )
    ndim, header = data[3], 4 + 4 * data[3]
    if len(data) < header:
        raise DataError(f"{name} ends within its header of {header} bytes")
    shape = struct.unpack(f">{ndim}I", data[4:header])
    if 0 in shape or math.prod(shape) != len(data) - header:
        raise DataError(f"{name} declares shape {shape}, but {len(data) - header} bytes follow")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def _bytes(path: Path) -> bytes:
    """Return the contents of a file that is not too large to be one of ours."""
    if path.stat().st_size > MAX_BYTES:
        raise DataError(f"{path} is too large for Fashion-MNIST; download it again from {MIRROR}")
    return path.read_bytes()


def _decode(path: Path, data: bytes) -> np.ndarray:
    """Return the array in the bytes of the file at path, if they are the ones published."""
    if (found := _md5(data)) != MD5[path.name]:
        raise DataError(
            f"{path} is damaged or not Fashion-MNIST's: expected md5 {MD5[path.name]}, "
            f"found {found}; download it again from {MIRROR}"
        )
    array = parse_idx(data, str(path))
    return array.reshape(len(array), -1) if array.ndim == 3 else array


def _check(arrays: list[np.ndarray], source: str) -> None:
    """Raise DataError unless each array has the md5 that it would have as an IDX file."""
    for name, array in zip(FILES, arrays, strict=True):
        shape = (len(array), 28, 28) if array.ndim == 2 else array.shape
        header = struct.pack(f">{1 + len(shape)}I", 0x0800 + len(shape), *shape)
        if (found := _md5(header, array)) != MD5[name]:
            raise DataError(
                f"{source} is damaged or not Fashion-MNIST: expected md5 {MD5[name]} "
                f"for {name}, found {found}"
            )


def _md5(*parts: bytes | np.ndarray) -> str:
    """Return the md5, in hex, of all parts after one another."""
    digest = hashlib.md5(usedforsecurity=False)
    for part in parts:
        digest.update(np.ravel(part) if isinstance(part, np.ndarray) else part)
    return digest.hexdigest()


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
