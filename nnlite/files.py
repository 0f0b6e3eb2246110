"""Files that are never half-written, and files of arrays.

Arrays go into .npz files: a zip of plain arrays that anything with NumPy can read. It has a
checksum for each array, and nothing in it is ever executed.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces `path` if the block succeeds, and is deleted if not.

    So the old file or the new one is there at any time, even if the program is killed.
    """
    path = Path(path)
    # A random name: process numbers are the same in two containers that share a directory.
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file as UTF-8, in one step."""
    with replacing(path) as file:
        file.write(text.encode())


def write_arrays(path: str | os.PathLike, arrays: dict[str, np.ndarray]) -> None:
    """Write named arrays as an uncompressed .npz file, in one step."""
    with replacing(path) as file:
        np.savez(file, **arrays)


def read_arrays(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Return the arrays that `write_arrays` wrote.

    Raises ValueError if the file is damaged or something else, OSError if it cannot be opened.
    """
    # A damaged file can raise nearly anything: BadZipFile, EOFError, NotImplementedError, ...
    with open(path, "rb") as file, suppress(Exception):
        with np.load(file, allow_pickle=False) as archive:
            declared = sum(member.file_size for member in archive.zip.infolist())
            small = declared <= os.fstat(file.fileno()).st_size  # it unpacks to no more than it is
            if small and archive.zip.testzip() is None:  # each array matches its checksum
                arrays = {name: archive[name] for name in archive}
                if all(isinstance(array, np.ndarray) for array in arrays.values()):
                    return arrays
    raise ValueError(f"{path} is damaged, or not an .npz file of arrays")
