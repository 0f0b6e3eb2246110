"""Fashion-MNIST's four files: from a directory of yours, or else downloaded once.

Their names equal MNIST's, so a file counts as Fashion-MNIST's only if its md5 says so.
"""

import gzip
import hashlib
import math
import os
import struct
import sys
import zlib
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

FASHION_CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat")
FASHION_CLASSES += ("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
MD5 = {  # of the unpacked files: gzip can pack the same bytes in many ways
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


def read_directory(data_dir: str | os.PathLike) -> list[np.ndarray]:
    """Return the arrays in the four files, gzipped or not, of a directory; DataError if it fails.

    These are the training images (N, D) and labels (N,), then the same for testing, all uint8.
    """
    directory = Path(os.path.expanduser(data_dir))
    if not directory.is_dir():
        raise DataError(f"there is no data directory {directory}. {HOW_TO}")
    both = {name: (directory / f"{name}.gz", directory / name) for name in FILES}
    there = {name: [path for path in paths if path.is_file()] for name, paths in both.items()}
    if missing := [name for name, paths in there.items() if not paths]:
        raise DataError(f"{directory} lacks {', '.join(missing)}, or the same as .gz. {HOW_TO}")
    return [_read_idx(*paths) for paths in there.values()]


def download(progress: bool) -> list[np.ndarray]:
    """Return what read_directory does, from files that are downloaded once and kept in a cache.

    The cache is the folder NNLITE_CACHE, else nnlite in the user's usual cache folder. A file
    is believed by its SHA-256 alone. progress: show a bar for each, if there is a terminal.
    Raises DataError with a line for each mirror, which says why it did not help.
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
            paths = [files.fetch(name, downloader=downloader) for name in files.registry]
            return [_read_idx(Path(path)) for path in paths]
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
