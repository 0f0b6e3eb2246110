"""nnlite.files: no file is ever half-written, and no file that is read is trusted.

`damaged` and `little_memory` serve the tests of everything else that reads files, too.
"""

import errno
import hashlib
import io
import os
import signal
import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from conftest import posix
from nnlite import datasets
from nnlite.fashion import FILES, MAX_BYTES, MD5, DataError
from nnlite.files import clear_leftovers, read_arrays, replacing, write_arrays, write_text

ROOT = Path(__file__).resolve().parents[2]
ARRAYS = {
    "theta": np.linspace(-1, 1, 60, dtype="float32").reshape(3, 20),
    "t": np.array(7),
    "about": np.array('{"name": "größer"}'),
}


def damaged(data, count, seed=0):
    """Yield `count` damaged versions of a file's bytes, none of them equal to it."""
    random = np.random.default_rng(seed)
    for k in range(count):
        a, b = np.sort(random.choice(len(data) + 1, 2, replace=False)).tolist()
        near = a + min(b - a, 64)
        bit = (data[a] ^ 1 << int(random.integers(8))).to_bytes(1, "big")
        yield [
            data[:a],  # cut off
            data[:a] + bit + data[a + 1 :],
            data[:a] + bytes(255 - byte for byte in data[a:near]) + data[near:],
            data[:a] + data[near:],  # a piece is missing
            data[:near] + data[a:],  # a piece is there twice
            data[:a] + random.bytes(b - a) + data[b:],
        ][k % 6]


@contextmanager
def little_memory(limit=8_000_000):
    """What is inside may not hold more than so many bytes at any time."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < limit


def assert_refused(read, path, error=ValueError):
    """`read` refuses the file in one sentence that names it; nothing else can be raised."""
    with pytest.raises(error) as caught:
        read(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message and len(message) < 1000


def assert_same(arrays, expected):
    assert arrays.keys() == expected.keys()
    for name, array in expected.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)


# ---- writing


@pytest.fixture
def old(tmp_path):
    """A file that is there already."""
    path = tmp_path / "a file.json"
    path.write_bytes(b"old")
    return path


def test_a_file_is_replaced_when_it_is_complete(old):
    with replacing(old) as file:
        file.write(b"new")
        file.flush()
        assert old.read_bytes() == b"old"
    assert old.read_bytes() == b"new"
    assert os.listdir(old.parent) == [old.name]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_block_that_fails_changes_nothing(old, error):
    with pytest.raises(error), replacing(old) as file:
        file.write(b"new")
        raise error
    assert old.read_bytes() == b"old"
    assert os.listdir(old.parent) == [old.name]


@pytest.mark.parametrize("call", ["replace", "write"])
def test_a_full_disk_changes_nothing(old, call, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    if call == "replace":
        monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"), replacing(old) as file:
        file.write(b"new")
        if call == "write":
            full()
    assert old.read_bytes() == b"old"
    assert os.listdir(old.parent) == [old.name]


@pytest.mark.parametrize("name", ["missing/file", "a file.json/file"])
def test_a_folder_that_is_none_is_an_os_error(old, name):
    with pytest.raises(OSError):
        write_text(old.parent / name, "new")
    assert old.read_bytes() == b"old"


@posix
def test_killed_within_the_block_the_old_file_stays(old):
    code = (
        "import os, sys, nnlite.files\n"
        "with nnlite.files.replacing(sys.argv[1]) as file:\n"
        "    file.write(b'half')\n"
        "    file.flush()\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, old], cwd=ROOT).returncode == -signal.SIGKILL
    assert old.read_bytes() == b"old"
    left = [name for name in os.listdir(old.parent) if name != old.name]
    assert len(left) == 1 and left[0].endswith(".tmp")


@posix
def test_killed_at_random_moments_the_file_is_whole(tmp_path):
    """A process that writes all the time is killed, again and again."""
    code = (
        "import sys, nnlite.files\n"
        "k = 0\n"
        "while True:\n"
        "    nnlite.files.write_text(sys.argv[1], 1_000_000 * chr(97 + k % 26))\n"
        "    k += 1\n"
    )
    path, random = tmp_path / "file", np.random.default_rng(0)
    for _ in range(5):
        writer = subprocess.Popen([sys.executable, "-c", code, path], cwd=ROOT)
        while not path.exists() and writer.poll() is None:
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.05))
        writer.kill()
        assert writer.wait() == -signal.SIGKILL
        text = path.read_text()
        assert len(text) == 1_000_000 and len(set(text)) == 1
        path.unlink()


def test_several_writers_at_once_do_not_mix(tmp_path):
    path, seen = tmp_path / "file", []

    def write(letter):
        for _ in range(25):
            write_text(path, letter * 200_000)

    with ThreadPoolExecutor() as pool:
        writers = [pool.submit(write, letter) for letter in "abcd"]
        while not all(writer.done() for writer in writers):
            with suppress(FileNotFoundError):
                seen.append(path.read_text())
        for writer in writers:
            writer.result()  # raises what went wrong in there
    seen.append(path.read_text())
    assert {(len(text), len(set(text))) for text in seen} == {(200_000, 1)}
    assert os.listdir(tmp_path) == ["file"]


def test_the_content_is_on_the_disk_before_its_name_and_the_name_before_it_returns(
    old, monkeypatch
):
    """So a power cut at any time leaves the old file or the new one, as fsync promises."""
    calls, fsync, replace = [], os.fsync, os.replace
    names = {}  # inode -> what it is

    def record_fsync(descriptor):
        calls.append(f"fsync {names.get(os.fstat(descriptor).st_ino, 'new file')}")
        if calls[-1] == "fsync new file":
            assert os.fstat(descriptor).st_size == 3  # nothing is left in Python's buffer
        fsync(descriptor)

    def record_replace(source, target):
        calls.append(f"rename to {Path(target).name}")
        replace(source, target)

    names[old.parent.stat().st_ino] = "folder"
    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "replace", record_replace)
    with replacing(old) as file:
        file.write(b"new")
    expected = ["fsync new file", f"rename to {old.name}", "fsync folder"]
    assert calls == expected[: 3 if os.name == "posix" else 2]


@pytest.mark.parametrize("write", [write_text, lambda path, _: write_arrays(path, ARRAYS)])
def test_errors_name_the_file_not_its_temporary_one(tmp_path, write):
    (tmp_path / "folder" / "in it").mkdir(parents=True)
    (tmp_path / "file").write_text("a file")
    for target in ("missing/name", "file/name", "folder", 300 * "x"):
        with pytest.raises(OSError) as caught:
            write(tmp_path / target, "text")
        assert caught.value.filename == str(tmp_path / target)
        assert caught.value.filename2 is None and ".tmp" not in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_errors_about_other_files_keep_their_names(old, tmp_path):
    with pytest.raises(FileNotFoundError) as caught, replacing(old):
        open(tmp_path / "other")
    assert caught.value.filename == str(tmp_path / "other")


@pytest.mark.parametrize("name", ["x" * 255, "größe", "m\udcfc.txt", "a\nb"], ids=ascii)
def test_any_name_that_a_file_can_have(name, tmp_path):
    try:
        (tmp_path / name).touch()
    except OSError:
        pytest.skip("not on this file system")
    write_text(tmp_path / name, "text")
    assert (tmp_path / name).read_text() == "text" and os.listdir(tmp_path) == [name]


def test_leftovers_of_programs_that_were_killed_go_after_a_day(tmp_path):
    code = "import sys, nnlite.files as f, os\nwith f.replacing(sys.argv[1]): os._exit(1)"
    (tmp_path / "run" / "deeper").mkdir(parents=True)
    for path in (tmp_path / "log", tmp_path / "run" / "log", tmp_path / "run" / "deeper" / "log"):
        subprocess.run([sys.executable, "-c", code, path], cwd=ROOT)
    left = list(tmp_path.rglob("*.tmp"))
    assert len(left) == 3
    kept = [tmp_path / name for name in ("log", ".mine.tmp", "1a2b3c4d.tmp", ".x.1a2b3c4d.tmp.gz")]
    of_0_3_0 = tmp_path / ".training_log.json.1a2b3c4d.tmp"
    for path in (*kept, of_0_3_0):
        path.touch()
    clear_leftovers(tmp_path)
    assert set(left) < set(tmp_path.rglob("*.tmp"))  # too young
    for path in (*left, *kept, of_0_3_0):
        os.utime(path, (time.time() - 90_000,) * 2)
    clear_leftovers(tmp_path)
    assert [path.parent.name for path in left if path.exists()] == ["deeper"]  # nothing of ours
    assert all(path.exists() for path in kept) and not of_0_3_0.exists()
    clear_leftovers(tmp_path / "missing")


def test_what_utf_8_cannot_encode_is_written_as_its_number(tmp_path):
    write_text(tmp_path / "file", "m\udcfc")
    assert (tmp_path / "file").read_text() == "m\\udcfc"


def test_text_is_utf_8_with_its_line_ends_as_they_are(tmp_path):
    write_text(tmp_path / "file", "größer\nals\r\n")
    assert (tmp_path / "file").read_bytes() == b"gr\xc3\xb6\xc3\x9fer\nals\r\n"


# ---- arrays


@pytest.fixture(scope="module")
def npz(tmp_path_factory):
    """A file of arrays, and its bytes."""
    path = tmp_path_factory.mktemp("arrays") / "arrays.npz"
    write_arrays(path, ARRAYS)
    return path, path.read_bytes()


def test_arrays_come_back_and_numpy_reads_them_too(npz):
    path, _ = npz
    assert_same(read_arrays(path), ARRAYS)
    with np.load(path, allow_pickle=False) as file:
        assert_same(dict(file), ARRAYS)


def test_a_missing_file_is_an_os_error(tmp_path):
    for path in (tmp_path / "missing.npz", tmp_path):
        with pytest.raises(OSError):
            read_arrays(path)


def test_damaged_files_are_refused_or_read_as_they_were(npz, tmp_path):
    path, refused = tmp_path / "damaged.npz", 0
    for data in damaged(npz[1], 150):
        path.write_bytes(data)
        with little_memory():
            try:
                arrays = read_arrays(path)
            except ValueError as error:
                refused += 1
                assert str(path) in str(error) and "\n" not in str(error)
                continue
        assert_same(arrays, ARRAYS)  # the damage was in what a zip holds twice, or not at all
    assert refused > 100


def test_a_shape_changed_to_a_smaller_one_is_noticed(tmp_path):
    """NumPy alone would read half of the numbers, and never compare the checksum of all."""
    path = tmp_path / "damaged.npz"
    write_arrays(path, {"theta": np.zeros((3, 20_000))})
    data = path.read_bytes()
    assert data.count(b"(3, 20000)") == 1
    path.write_bytes(data.replace(b"(3, 20000)", b"(3, 10000)"))
    with np.load(path) as file:
        assert file["theta"].shape == (3, 10_000)
    assert_refused(read_arrays, path)


@pytest.mark.parametrize(
    "data",
    [b"", b"PK\x03\x04", b"PK\x05\x06" + bytes(18), b"{}", b"<html>", bytes(1000)],
    ids=["nothing", "begin of a zip", "empty zip", "json", "html", "zeros"],
)
def test_files_of_other_kinds(data, tmp_path):
    path = tmp_path / "foreign.npz"
    path.write_bytes(data)
    if data[:4] == b"PK\x05\x06":
        assert read_arrays(path) == {}
    else:
        assert_refused(read_arrays, path)


class Trap:
    """Unpickling it leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_nothing_in_a_file_is_executed(tmp_path):
    sprung, path = tmp_path / "sprung", tmp_path / "trap.npz"
    trap = np.array([Trap(sprung)])
    np.savez(path, theta=np.array([(1.0, Trap(sprung))], dtype=[("x", "f4"), ("y", "O")]))
    assert_refused(read_arrays, path)
    trap.dump(path)  # a bare pickle
    assert_refused(read_arrays, path)
    np.save(path.with_suffix(".npy"), trap)
    assert_refused(read_arrays, path.with_suffix(".npy"))
    np.savez(path, theta=trap)
    assert_refused(read_arrays, path)
    assert not sprung.exists()
    with np.load(path, allow_pickle=True) as file, suppress(ValueError):
        file["theta"]
    assert sprung.exists()  # the trap would have worked


def npy(array, shape=None):
    """The bytes of an .npy file, whose header may declare another shape."""
    stream = io.BytesIO()
    np.save(stream, array)
    data = stream.getvalue()
    return data if shape is None else data.replace(str(array.shape).encode(), shape)


FOUR = np.ones(4, "<f4")
BAD_ARRAYS = {
    "too short": npy(FOUR, b"(5,)"),
    "negative": npy(FOUR, b"(-4)"),
    "shape of text": npy(FOUR, b"'4,'"),
    "cut off": npy(FOUR)[:-1],
    "no header": b"\x93NUMPY\1\0",
    "no array": b"four",
    "nothing": b"",
}


@pytest.mark.parametrize("member", BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_bad_arrays_in_a_sound_zip(member, tmp_path):
    path = tmp_path / "bad.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("theta.npy", member)
    assert_refused(read_arrays, path)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_arrays_that_would_unpack_to_more_than_the_file_are_refused_unseen(tmp_path, method):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("theta.npy", npy(np.zeros(16_000_000, np.uint8)))
    assert 100 < path.stat().st_size < 100_000
    with little_memory():
        assert_refused(read_arrays, path)


def test_the_same_bytes_declared_many_times_are_refused_unseen(tmp_path):
    """A zip whose table of contents lists one array 200 times, or arrays one within another."""
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", npy(np.zeros(50_000)))
        start = archive.fp.tell()
    data = path.read_bytes()
    entry = data[start:-22]
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 200, 200, 200 * len(entry), start, 0)
    path.write_bytes(data[:start] + 200 * entry + end)
    with zipfile.ZipFile(path) as archive:
        assert len(archive.infolist()) == 200
    with little_memory(1_000_000):
        assert_refused(read_arrays, path)


# ---- the data's files: Fashion-MNIST's four


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    """A directory with four small IDX files, published in Fashion-MNIST's place."""
    folder, random = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NNLITE_CACHE", str(folder / "cache"))
        patch.delenv("NNLITE_DATA", raising=False)
        for name, shape in zip(FILES, [(6, 28, 28), (6,), (4, 28, 28), (4,)], strict=True):
            header = struct.pack(f">{1 + len(shape)}I", 0x0800 + len(shape), *shape)
            data = header + random.integers(0, 10, shape, dtype=np.uint8).tobytes()
            (folder / name).write_bytes(data)
            patch.setitem(MD5, name, hashlib.md5(data).hexdigest())
        yield folder


def test_damaged_idx_files_are_refused(four):
    checksum = datasets.load("fashion-mnist", four).checksum
    for k, name in enumerate(FILES):
        path = four / name
        sound = path.read_bytes()
        for data in damaged(sound, 30, seed=k):
            path.write_bytes(data)
            with little_memory(MAX_BYTES + 1_000_000):
                assert_refused(lambda p: datasets.load("fashion-mnist", p.parent), path, DataError)
        path.write_bytes(sound)
    assert datasets.load("fashion-mnist", four).checksum == checksum


def test_a_file_that_is_too_large_is_not_read_to_its_end(four):
    path = four / FILES[2]
    sound = path.read_bytes()
    os.truncate(path, 64 * 2**20)  # a hole, and more than Fashion-MNIST's largest
    try:
        with little_memory(MAX_BYTES + 1_000_000):
            assert_refused(lambda p: datasets.load("fashion-mnist", p.parent), path, DataError)
    finally:
        path.write_bytes(sound)
