"""Files that are never half-written, and files of arrays.

Arrays go into .npz files: a zip of plain arrays that anything with NumPy can read. It has a
checksum for each array, and nothing in it is ever executed.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

LEFTOVERS = ".*." + 8 * "[0-9a-f]" + ".tmp"  # the names of temporary files


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces `path` if the block succeeds, and is deleted if not.

    So the old file or the new one is there at any time, even if the program is killed or the power
    fails; and it is the new one, safe on the disk, once this returns. Errors name `path`.
    """
    path = Path(path)
    # A random name: process numbers are the same in two containers that share a directory.
    temporary = path.with_name(f".nnlite.{os.urandom(4).hex()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(
                file.fileno()
            )  # else the new name could outlive a power cut, but not the content
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        if error.filename == str(temporary):
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        with suppress(OSError):  # not even its folder may be there
            temporary.unlink(missing_ok=True)


def sync_folder(folder: str | os.PathLike) -> None:
    """Wait until the names in a folder are safe on the disk."""
    with suppress(OSError):  # Windows opens no folders, and some network drives cannot wait
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def clear_leftovers(folder: str | os.PathLike) -> None:
    """Delete temporary files older than a day, in a folder and the folders in it.

    They are of programs that were killed; a younger one may still be written by another program.
    """
    for leftover in (*Path(folder).glob(LEFTOVERS), *Path(folder).glob(f"*/{LEFTOVERS}")):
        with suppress(OSError):
            if leftover.lstat().st_mtime < time.time() - 24 * 60 * 60:
                leftover.unlink()


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file as UTF-8, in one step."""
    with replacing(path) as file:
        # A file name that is not UTF-8 has characters that cannot be encoded: "\\udcfc" for them.
        file.write(text.encode(errors="backslashreplace"))


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
