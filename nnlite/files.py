"""Files that are never half-written, and arrays read back without trusting what they say.

Arrays go into .npz files: a zip of plain arrays, readable by anything that has NumPy, with a
checksum for each array, and nothing in it that could be executed.
"""

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Open a temporary file that takes path's place if the block succeeds, else disappears.

    Whoever looks, whenever the program is interrupted or killed, sees the old file or the new one.
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

    Raises ValueError if the file is damaged or something else, without having allocated more than
    its size; OSError if it cannot be opened.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
                declared = sum(member.file_size for member in members)
                if declared > size:  # more than there is, or the same bytes several times over
                    raise ValueError(f"it declares {declared:,} bytes")
                return {member.filename[:-4]: _read_array(archive, member) for member in members}
        # A damaged zip raises nearly anything: BadZipFile, EOFError, NotImplementedError, ...
        except Exception as error:
            raise ValueError(f"{path} is damaged, or no file of arrays ({error!s:.200})") from None


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """Return one array of a .npz file."""
    # Compressed data can unpack to any amount, and a header can declare any shape: both are
    # checked before anything is allocated.
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{member.filename} is compressed")
    with archive.open(member) as stream:
        np.lib.format.read_magic(stream)
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        count = 1
        for length in shape:
            count *= length
        if dtype.hasobject or stream.tell() + count * dtype.itemsize != member.file_size:
            raise ValueError(f"{member.filename} declares shape {shape} of {dtype}")
    return np.lib.format.read_array(archive.open(member), allow_pickle=False)
