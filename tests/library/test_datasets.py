"""nnlite.datasets: the right bytes from every source, and a clear refusal of all others.

Most tests publish four tiny files in place of Fashion-MNIST's, and are done in milliseconds; those
that need the real ones skip without them. Nothing here reaches beyond 127.0.0.1.
"""

import gzip
import http.server
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from nnlite import datasets
from nnlite.datasets import ARRAYS, FILES, MD5, DataError, Dataset, load, parse_idx

GZ_FILES = [f"{name}.gz" for name in FILES]


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """No network source answers, and the cache is this test's own (with a space in its path)."""
    with socket.socket() as closed:  # bound but not listening: connections are refused
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        monkeypatch.setattr(datasets, "MIRROR", url)
        monkeypatch.setattr(datasets, "OPENML", url)
        monkeypatch.setenv("NNLITE_CACHE", str(tmp_path / "my cache"))
        monkeypatch.delenv("NNLITE_DATA", raising=False)
        monkeypatch.setenv("no_proxy", "*")
        yield


@pytest.fixture(scope="session")
def fashion_dir():
    """The directory with the four real files."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "fashion-mnist"
    directory = Path(os.environ.get("NNLITE_DATA") or beside)
    if not all((directory / name).is_file() for name in GZ_FILES):
        pytest.skip(f"Fashion-MNIST is not in {directory}; set NNLITE_DATA to its directory")
    return directory


def idx(array):
    """The bytes of an IDX file."""
    header = struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def tiny(monkeypatch):
    """Four small files, name -> bytes, published in place of Fashion-MNIST's."""
    random = np.random.default_rng(0)
    files = {}
    for name, count in zip(FILES, (12, 12, 5, 5), strict=True):
        shape = (count, 28, 28) if "images" in name else (count,)
        files[name] = idx(random.integers(0, 10, shape))
        files[f"{name}.gz"] = gzip.compress(files[name], mtime=0)
    for name, data in files.items():
        monkeypatch.setitem(MD5, name, datasets._md5(data))
    return files


@pytest.fixture
def folder(tmp_path, tiny):
    """A directory of the user's with the four tiny .gz files."""
    folder = tmp_path / "my data"
    folder.mkdir()
    for name in GZ_FILES:
        (folder / name).write_bytes(tiny[name])
    return folder


@pytest.fixture
def server(monkeypatch):
    """A mirror on 127.0.0.1. files: name -> bytes, or a function of the request handler."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.strip("/")
            server.requests.append(name)
            answer = server.files.get(name)
            if callable(answer):
                answer(self)
            elif answer is None:
                self.send_error(404)
            else:
                self.begin(len(answer))
                self.wfile.write(answer)

        def begin(self, length):
            self.send_response(200)
            self.send_header("Content-Length", str(length))
            self.end_headers()

        def log_message(self, *args):
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *args):  # a client that hangs up is what some tests are about
            pass

    server = Server(("127.0.0.1", 0), Handler)
    server.files, server.requests, server.over = {}, [], threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}/"
    monkeypatch.setattr(datasets, "MIRROR", server.url)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def mirror(server, tiny):
    """The loopback server with the four tiny .gz files."""
    server.files = {name: tiny[name] for name in GZ_FILES}
    return server


def in_cache():
    """The names of the files in the cache."""
    folder = datasets.cache_dir()
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def refusal(*args, **kwargs):
    """The message of the DataError with which load refuses."""
    with pytest.raises(DataError) as caught:
        load(*args, **kwargs)
    return str(caught.value)


# The data set


def good(**changes):
    """A valid Dataset, with changes."""
    fields = {
        "name": "test",
        "x_train": np.zeros((3, 4), np.uint8),
        "y_train": np.array([0, 1, 2], np.uint8),
        "x_test": np.zeros((2, 4), np.uint8),
        "y_test": np.array([2, 1], np.int64),
        "classes": ("a", "b", "c"),
        "source": "here",
    }
    return Dataset(**{**fields, **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"x_train": np.zeros((3, 4), np.float32)}, "x_train must be uint8"),
        ({"x_train": np.zeros((3, 2, 2), np.uint8)}, "x_train must be uint8 of shape"),
        ({"x_train": np.uint8(3)}, "x_train must be uint8 of shape"),
        ({"x_test": np.zeros((0, 4), np.uint8), "y_test": np.zeros(0, int)}, "x_test .* least 1"),
        ({"x_test": np.zeros((2, 5), np.uint8)}, "x_test .* same D"),
        ({"y_train": np.array([0, 1, 3])}, r"y_train must lie in 0\.\.2, but spans 0\.\.3"),
        ({"y_test": np.array([0, -1])}, r"y_test must lie in 0\.\.2, but spans -1\.\.0"),
        ({"y_train": np.array([0, 1])}, "y_train must be one integer for each of 3 images"),
        ({"y_train": np.array([[0], [1], [2]])}, "y_train must be one integer"),
        ({"y_test": np.array([0.0, 1.0])}, "y_test must be one integer"),
    ],
)
def test_dataset_refuses_arrays_that_break_its_rules(changes, words):
    with pytest.raises(DataError, match=words):
        good(**changes)


def test_checksum_depends_on_name_and_contents_alone():
    same = good(source="there", note="hm", x_test=np.zeros((2, 8), np.uint8)[:, ::2])
    assert good().checksum == same.checksum
    x_test = np.zeros((2, 4), np.uint8)
    x_test[1, 3] = 1
    others = {good(name="other").checksum, good(x_test=x_test).checksum}
    assert len(others | {good().checksum}) == 3


def test_unknown_name_is_refused_with_the_known_ones():
    assert "'mnist'; known are auto, fashion-mnist, digits" in refusal("mnist")
    assert issubclass(DataError, ValueError)


# The real Fashion-MNIST


def check_fashion(data):
    """It is Fashion-MNIST, by facts that its authors publish."""
    assert data.name == "fashion-mnist" and data.note == ""
    assert data.x_train.shape == (60000, 784) and data.x_test.shape == (10000, 784)
    assert data.y_train.shape == (60000,) and data.y_test.shape == (10000,)
    assert {getattr(data, array).dtype for array in ARRAYS} == {np.dtype(np.uint8)}
    assert np.bincount(data.y_train).tolist() == [6000] * 10
    assert np.bincount(data.y_test).tolist() == [1000] * 10
    assert data.classes[data.y_train[0]] == data.classes[data.y_test[0]] == "Ankle boot"
    assert data.x_train.mean() / 255 == pytest.approx(0.2860, abs=5e-5)
    assert data.x_train.std() / 255 == pytest.approx(0.3530, abs=5e-5)


def test_fashion_mnist_from_a_directory_gzipped_and_unpacked(fashion_dir, tmp_path):
    packed = load(data_dir=fashion_dir)
    check_fashion(packed)
    assert packed.source == f"IDX files in {fashion_dir}"
    for name in FILES:
        (tmp_path / name).write_bytes(gzip.decompress((fashion_dir / f"{name}.gz").read_bytes()))
    unpacked = load("fashion-mnist", str(tmp_path))
    assert unpacked.checksum == packed.checksum


def test_fashion_mnist_from_the_mirror_then_the_cache(fashion_dir, server):
    server.files = {name: (fashion_dir / name).read_bytes() for name in GZ_FILES}
    downloaded = load("fashion-mnist")
    check_fashion(downloaded)
    assert downloaded.source == "official mirror"
    assert in_cache() == ["fashion-mnist.npz"]  # the .gz files have done their work
    cached = load("fashion-mnist")
    check_fashion(cached)
    assert cached.source == "cache" and cached.checksum == downloaded.checksum
    assert server.requests == GZ_FILES  # once each


@pytest.fixture
def openml(server, monkeypatch):
    """OpenML answers on loopback. A dict: the x and y that fetch_openml returns, and its calls."""
    openml = {"x": np.zeros((70000, 784), np.uint8), "y": np.zeros(70000, int), "calls": []}

    def fetch_openml(**options):
        openml["calls"].append({**options, "timeout": socket.getdefaulttimeout()})
        return openml["x"], openml["y"]

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch_openml)
    monkeypatch.setattr(datasets, "OPENML", server.url + "description")
    server.files["description"] = b"{}"
    return openml


def test_fashion_mnist_from_openml_then_the_cache(openml, fashion_dir):
    data = load(data_dir=fashion_dir)
    openml["x"] = np.concatenate([data.x_train, data.x_test])
    openml["x"][-1, -1] += 1
    openml["y"] = np.concatenate([data.y_train, data.y_test]).astype(str).astype(object)
    message = refusal("fashion-mnist")
    assert f"expected md5 {MD5[FILES[2]]} for {FILES[2]}, found" in message
    assert in_cache() == []

    openml["x"][-1, -1] -= 1
    openml["calls"].clear()
    data = load()
    check_fashion(data)
    assert data.source == "OpenML" and load().source == "cache"
    (call,) = openml["calls"]
    assert call["data_id"] == 40996 and call["parser"] == "liac-arff" and not call["as_frame"]
    assert call["timeout"] == datasets.TIMEOUT and socket.getdefaulttimeout() is None


def test_openml_with_other_contents_is_refused(openml):
    message = refusal("fashion-mnist")
    assert f"expected md5 {MD5[FILES[0]]} for {FILES[0]}, found" in message
    assert len(openml["calls"]) == 1 and in_cache() == []


def test_openml_that_fails_leaves_the_socket_timeout_as_it_was(openml, monkeypatch):
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda **options: 1 / 0)
    assert "OpenML: division by zero" in load().note
    assert socket.getdefaulttimeout() is None


def test_openml_that_does_not_answer_is_not_asked_for_data(openml, server):
    del server.files["description"]
    assert "OpenML: HTTP Error 404" in load().note
    assert openml["calls"] == []


# The user's directory


def test_directory_by_argument_by_environment_and_before_the_cache(folder, mirror, monkeypatch):
    assert load().source == "official mirror"
    assert load().source == "cache"
    monkeypatch.setenv("NNLITE_DATA", str(folder))
    assert load().source == f"IDX files in {folder}"
    monkeypatch.setenv("NNLITE_DATA", str(folder / "nowhere"))
    assert load(data_dir=folder).source == f"IDX files in {folder}"
    assert "nowhere" in refusal()
    monkeypatch.setenv("NNLITE_DATA", "")
    assert load().source == "cache"


@pytest.mark.parametrize("name", ["auto", "fashion-mnist"])
def test_directory_that_is_missing_or_incomplete_is_refused(name, folder, mirror):
    """The mirror would have it all: a directory asked for is not passed over."""
    message = refusal(name, folder / "nowhere")
    assert "no data directory" in message and "nowhere" in message and "NNLITE_DATA" in message
    assert "no data directory" in refusal(name, folder / GZ_FILES[0])
    (folder / GZ_FILES[1]).unlink()
    (folder / GZ_FILES[2]).unlink()
    message = refusal(name, folder)
    assert str(folder) in message and f"lacks {FILES[1]}, {FILES[2]}" in message
    assert mirror.requests == []


def damage(data, how):
    """The bytes of a file, damaged."""
    return {
        "empty": b"",
        "truncated": data[:-5],
        "longer": data + b"\0",
        "one bit": data[:20] + bytes([data[20] ^ 1]) + data[21:],
        "html": b"<html>Sign in to this network</html>",
    }[how]


@pytest.mark.parametrize("how", ["empty", "truncated", "longer", "one bit", "html"])
@pytest.mark.parametrize("suffix", [".gz", ""])
def test_damaged_file_is_named_with_both_checksums(how, suffix, folder, tiny):
    name = FILES[2] + suffix
    (folder / GZ_FILES[2]).unlink()
    bad = damage(tiny[name], how)
    (folder / name).write_bytes(bad)
    message = refusal("auto", folder)
    assert str(folder / name) in message and datasets.MIRROR in message
    assert f"expected md5 {MD5[name]}, found {datasets._md5(bad)}" in message


def test_file_that_cannot_be_read_is_refused(folder, monkeypatch):
    def read_bytes(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    message = refusal("auto", folder)
    assert "cannot be read" in message and GZ_FILES[0] in message


def test_home_directory_may_be_written_as_a_tilde(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.setenv("USERPROFILE", str(folder.parent))
    assert load(data_dir="~/my data").name == "fashion-mnist"


# IDX files


@pytest.mark.parametrize("array", [np.arange(7), np.arange(24).reshape(2, 3, 4)])
def test_idx_round_trip(array):
    for data in (idx(array), gzip.compress(idx(array))):
        parsed = parse_idx(data, "file")
        assert parsed.dtype == np.uint8 and np.array_equal(parsed, array)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "begins with nothing"),
        (b"\0\0\x08", "begins with 00 00 08$"),
        (b"PK\x03\x04 a zip file", "begins with 50 4b 03 04"),
        (b"\0\0\x0d\x01" + bytes(8), "begins with 00 00 0d 01"),  # float32
        (b"\0\0\x08\xff" + b"\0\0\0\x01" * 255 + b"\0", "begins with 00 00 08 ff"),
        (b"\0\0\x08\x03" + bytes(11), "ends within its header of 16 bytes"),
        (idx(np.arange(9))[:-1], r"declares shape \(9,\), but 8 bytes follow"),
        (idx(np.arange(9)) + b"\0", r"declares shape \(9,\), but 10 bytes follow"),
        (idx(np.zeros((0, 28, 28))), "0 bytes follow"),
        (struct.pack(">4I", 0x0803, 0, *[2**32 - 1] * 2), "0 bytes follow"),
        (gzip.compress(idx(np.arange(99)))[:-20], "declares shape"),
        (gzip.compress(idx(np.arange(99)))[:-8] + bytes(8), "damaged gzip file"),
        (b"\x1f\x8b not gzip", "damaged gzip file"),
    ],
)
def test_damaged_idx_is_refused(data, words):
    with pytest.raises(DataError, match=rf"^some file .*{words}"):
        parse_idx(data, "some file")


def test_declared_and_unpacked_sizes_do_not_cost_memory(monkeypatch):
    monkeypatch.setattr(datasets, "MAX_BYTES", 100_000)
    huge = struct.pack(">4I", 0x0803, *[2**32 - 1] * 3) + b"few"
    bomb = gzip.compress(idx(np.zeros(20_000_000)))
    for data in (huge, bomb):
        tracemalloc.start()
        with pytest.raises(DataError, match="declares shape"):
            parse_idx(data, "file")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2_000_000


# The cache


def spoil(path, how):
    """Damage the cache in one of the ways it can be damaged."""
    with np.load(path) as npz:
        arrays = dict(npz)
    if how in ("empty", "truncated", "html"):
        path.write_bytes(damage(path.read_bytes(), how))
    elif how == "not npz":
        with open(path, "wb") as file:
            np.save(file, arrays["x_train"])
    elif how == "pickle":
        np.savez(path, **{**arrays, "y_test": np.array([None])})
    elif how == "array missing":
        del arrays["x_test"]
        np.savez(path, **arrays)
    elif how == "scalar":
        np.savez(path, **{**arrays, "y_test": np.uint8(0)})
    elif how == "int8":
        np.savez(path, **{**arrays, "x_test": arrays["x_test"].view(np.int8)})
    elif how == "pixel":
        arrays["x_test"][0, 0] += 1
        np.savez(path, **arrays)


@pytest.mark.parametrize(
    "how",
    "empty,truncated,html,not npz,pickle,array missing,scalar,int8,pixel".split(","),
)
def test_damaged_cache_is_passed_over_and_rewritten(how, mirror):
    path = datasets.cache_dir() / "fashion-mnist.npz"
    good = load()
    assert load().source == "cache" and load().checksum == good.checksum
    spoil(path, how)
    files, mirror.files = mirror.files, {}
    reason = refusal("fashion-mnist").split("cache: ")[1].split("\n")[0]
    assert reason and path.exists()
    if how == "pixel":
        assert str(path) in reason and "expected md5" in reason and "found" in reason
    mirror.files = files
    again = load()
    assert again.source == "official mirror" and again.checksum == good.checksum
    assert load().source == "cache" and in_cache() == ["fashion-mnist.npz"]


def test_cache_that_cannot_be_written_costs_only_time(mirror, tmp_path, monkeypatch):
    (tmp_path / "a file").touch()
    monkeypatch.setenv("NNLITE_CACHE", str(tmp_path / "a file" / "cache"))
    assert [load().source, load().source] == ["official mirror"] * 2


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_cache_is_where_the_platform_keeps_caches(platform, tmp_path, monkeypatch):
    assert datasets.cache_dir() == tmp_path / "my cache"
    with monkeypatch.context() as patch:
        patch.delenv("NNLITE_CACHE")
        patch.setattr(sys, "platform", platform)
        variable = {"linux": "XDG_CACHE_HOME", "win32": "LOCALAPPDATA"}.get(platform)
        for name in ("HOME", "USERPROFILE"):
            patch.setenv(name, str(tmp_path))
        for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
            patch.delenv(name, raising=False)
        usual = datasets.cache_dir()
        if variable:
            patch.setenv(variable, str(tmp_path / "elsewhere"))
        chosen = datasets.cache_dir()
    home = {"linux": ".cache", "darwin": "Library/Caches", "win32": "AppData/Local"}[platform]
    assert usual == tmp_path / home / "nnlite"
    assert chosen == (tmp_path / "elsewhere" / "nnlite" if variable else usual)


# The mirror


@pytest.mark.parametrize("how", ["empty", "truncated", "longer", "one bit", "html"])
def test_mirror_with_a_damaged_file_is_given_up(how, mirror, tiny):
    mirror.files[GZ_FILES[1]] = bad = damage(tiny[GZ_FILES[1]], how)
    message = refusal("fashion-mnist")
    assert f"official mirror: {GZ_FILES[1]} is damaged" in message
    assert f"expected md5 {MD5[GZ_FILES[1]]}, found {datasets._md5(bad)}" in message
    assert mirror.requests == GZ_FILES[:2]  # the first failure ends this source
    assert in_cache() == GZ_FILES[:1]


def test_mirror_without_a_file_is_given_up(mirror):
    del mirror.files[GZ_FILES[0]]
    assert "official mirror: HTTP Error 404" in refusal("fashion-mnist")
    assert mirror.requests == GZ_FILES[:1] and in_cache() == []


def test_body_that_breaks_off_is_refused(mirror, tiny):
    def break_off(handler):
        handler.begin(len(tiny[GZ_FILES[0]]))
        handler.wfile.write(tiny[GZ_FILES[0]][:100])

    mirror.files[GZ_FILES[0]] = break_off
    size = len(tiny[GZ_FILES[0]])
    assert f"{GZ_FILES[0]} broke off after 100 of {size} bytes" in refusal("fashion-mnist")
    assert in_cache() == []


def test_body_without_end_is_refused(mirror, monkeypatch):
    def pour(handler):
        handler.begin(10**12)
        for _ in range(40):  # an end after all, lest a client without a limit eats this machine
            handler.wfile.write(bytes(65536))

    monkeypatch.setattr(datasets, "MAX_BYTES", 1_000_000)
    mirror.files[GZ_FILES[0]] = pour
    assert "longer than 1000000 bytes" in refusal("fashion-mnist")


def say_nothing(handler):
    handler.server.over.wait(5)


def stop_in_the_body(handler):
    handler.begin(1000)
    handler.wfile.write(b"first words")
    handler.server.over.wait(5)


def dribble(handler):
    handler.begin(1000)
    while not handler.server.over.wait(0.02):
        handler.wfile.write(b".")


@pytest.mark.parametrize("answer", [say_nothing, stop_in_the_body, dribble])
def test_server_that_keeps_us_waiting_is_given_up(answer, mirror, monkeypatch):
    monkeypatch.setattr(datasets, "TIMEOUT", 0.3)
    mirror.files = dict.fromkeys(GZ_FILES, answer)
    start = time.monotonic()
    reason = refusal("fashion-mnist").split("official mirror: ")[1].split("\n")[0]
    assert time.monotonic() - start < 2
    assert "no answer" in reason or "timed out" in reason or "slower" in reason
    assert mirror.requests == GZ_FILES[:1] and in_cache() == []


def test_name_look_up_that_hangs_is_given_up(monkeypatch):
    over = threading.Event()
    monkeypatch.setattr(datasets, "TIMEOUT", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: over.wait(5) and 1 / 0)
    start = time.monotonic()
    message = refusal("fashion-mnist")
    over.set()
    assert time.monotonic() - start < 2
    assert "mirror: no answer within 0.2 s" in message
    assert "OpenML: no answer within 0.2 s" in message


class Bar:
    """In tqdm's place: remembers what it was told, and interrupts on the third file if asked."""

    made, interrupt = [], False

    def __init__(self, desc, disable, **options):
        self.desc, self.disable, self.count, self.total = desc, disable, 0, None
        self.made.append(self)

    def update(self, count):
        self.count += count
        if self.interrupt and self.desc == GZ_FILES[2]:
            raise KeyboardInterrupt

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


@pytest.fixture
def bars(monkeypatch):
    """The bars that the downloads make."""
    monkeypatch.setattr(Bar, "made", [])
    monkeypatch.setattr("tqdm.tqdm", Bar)
    return Bar.made


@pytest.mark.parametrize("progress", [True, False])
def test_progress_bar_for_each_download(progress, mirror, bars, tiny):
    load(progress=progress)
    assert [bar.desc for bar in bars] == GZ_FILES
    sizes = [len(tiny[name]) for name in GZ_FILES]
    assert [bar.count for bar in bars] == [bar.total for bar in bars] == sizes
    assert {bar.disable for bar in bars} == {None if progress else True}  # None: on a terminal


def test_nothing_is_printed_without_a_terminal(mirror, capfd):
    load(progress=True)
    assert capfd.readouterr() == ("", "")


def test_interrupted_download_leaves_finished_files_for_the_next(mirror, bars, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Bar, "interrupt", True)
        with pytest.raises(KeyboardInterrupt):
            load()
    assert in_cache() == sorted(GZ_FILES[:2])
    # A finished file that was damaged since then is fetched again.
    (datasets.cache_dir() / GZ_FILES[1]).write_bytes(b"damaged")
    mirror.requests.clear()
    assert load().source == "official mirror"
    assert mirror.requests == GZ_FILES[1:]
    assert in_cache() == ["fashion-mnist.npz"]


@pytest.mark.parametrize("finished", [0, 4])
def test_interrupted_write_leaves_nothing_half_done(finished, mirror, monkeypatch):
    """The interrupt comes between the temporary file and its move into place."""
    moved = []

    def replace(source, target):
        if len(moved) == finished:
            assert Path(source).stat().st_size > 0
            raise KeyboardInterrupt
        os.rename(source, target)
        moved.append(target)

    with monkeypatch.context() as patch:
        patch.setattr(datasets.os, "replace", replace)
        with pytest.raises(KeyboardInterrupt):
            load()
    assert in_cache() == sorted(GZ_FILES[:finished])
    assert load().source == "official mirror"


# The digits, and falling back to them


def test_auto_falls_back_to_the_digits_with_a_note():
    data = load()
    assert data.name == "digits" and data.source == "scikit-learn"
    words = ["NOT Fashion-MNIST", "directory: ", "cache: ", "official mirror: ", "OpenML: "]
    words += ["--data-dir", "NNLITE_DATA", "http://fashion-mnist.s3-website", *GZ_FILES]
    for word in words:
        assert word in data.note
    assert "\n" not in data.note


def test_fashion_mnist_never_falls_back():
    lines = refusal("fashion-mnist").splitlines()
    starts = ["Fashion-MNIST was not found", "directory: ", "cache: ", "official mirror: "]
    for line, start in zip(lines, [*starts, "OpenML: ", "To get Fashion-MNIST"], strict=True):
        assert line.startswith(start) and len(line) > len(start) + 5


def test_digits_ask_nobody(monkeypatch, server):
    monkeypatch.setenv("NNLITE_DATA", "nowhere")
    data = load("digits", data_dir="nowhere either")
    assert data.name == "digits" and data.note == "" and data.classes == tuple("0123456789")
    assert server.requests == [] and in_cache() == []


def test_digits_are_the_same_everywhere():
    """1797 images as scikit-learn has them, enlarged exactly; a changed sum changes results."""
    data = load("digits")
    assert data.x_train.shape == (1500, 784) and data.x_test.shape == (297, 784)
    assert data.x_train.dtype == data.y_train.dtype == np.uint8
    assert data.x_train.min() == 0 and data.x_train.max() == 255
    assert np.ptp(np.bincount(data.y_train)) <= 10 and np.ptp(np.bincount(data.y_test)) <= 2
    assert data.checksum == load("digits").checksum == "34b7df4548b65aea0419eb16915ad94f"


def test_digits_are_enlarged_bilinearly():
    """Against the same in integers: 8 pixels span 27 steps of 7/27, so weights are n/27."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    weights = np.zeros((28, 8), int)
    for i in range(28):
        left, part = divmod(7 * i, 27)
        weights[i, left] = 27 - part
        if part:
            weights[i, left + 1] = part
    images = weights @ digits.images.astype(int) @ weights.T  # times 27 * 27
    unit = 16 * 27 * 27
    images = (2 * 255 * images + unit) // (2 * unit)  # rounded, halves up
    expected = np.column_stack([digits.target, images.reshape(-1, 784)])
    data = load("digits")
    x, y = np.concatenate([data.x_train, data.x_test]), np.append(data.y_train, data.y_test)
    found = np.column_stack([y, x.astype(int)])
    assert sorted(map(tuple, found)) == sorted(map(tuple, expected))


def test_import_is_light():
    """A command that only wants help should not wait for scikit-learn."""
    code = "import sys, nnlite.datasets; print([m for m in sys.argv[1:] if m in sys.modules])"
    heavy = ["sklearn", "scipy", "urllib.request", "tqdm", "matplotlib"]
    root = Path(__file__).resolve().parents[2]
    run = subprocess.run(
        [sys.executable, "-c", code, *heavy], cwd=root, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"


# ---- files of one's own


def own_arrays(dtype="uint8"):
    random = np.random.default_rng(0)
    x = random.integers(0, 256, (30, 4, 4)).astype(dtype)
    y = np.arange(30) % 3
    return {"x_train": x[:20], "y_train": y[:20], "x_test": x[20:], "y_test": y[20:]}


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_a_file_of_one_s_own(tmp_path, write):
    arrays = own_arrays()
    write(tmp_path / "mine.npz", **arrays)
    data = datasets.load_file(tmp_path / "mine.npz")
    assert (data.name, data.classes, data.source) == ("mine", ("0", "1", "2"), "mine.npz")
    np.testing.assert_array_equal(data.x_train, arrays["x_train"].reshape(20, 16))
    np.testing.assert_array_equal(data.y_test, arrays["y_test"])


def test_other_numbers_are_mapped_onto_256_levels(tmp_path):
    arrays = own_arrays("float32")
    arrays["x_train"][0, 0, :2] = 0, 255
    expected = arrays["x_train"].reshape(20, 16).copy()
    for name in ("x_train", "x_test"):
        arrays[name] = arrays[name] / 255 * 7 - 3
    arrays["x_test"][0, 0] = -50, 50, -3, 4  # beyond what was seen in training
    np.savez(tmp_path / "mine.npz", **arrays, classes=["a", "b", "c", "never seen"])
    data = datasets.load_file(tmp_path / "mine.npz")
    np.testing.assert_array_equal(data.x_train, expected)
    assert data.x_test[0, :4].tolist() == [0, 255, 0, 255]
    assert data.classes == ("a", "b", "c", "never seen")


@pytest.mark.parametrize(
    "change, problem",
    [
        ({"x_test": None}, "lacks x_test"),
        ({"x_train": np.full((20, 16), np.nan)}, "finite numbers"),
        ({"x_train": np.array([["a"]])}, "finite numbers"),
        ({"x_train": np.arange(20)}, "finite numbers"),
        ({"x_test": np.zeros((10, 9), "uint8")}, "same D"),
        ({"y_train": np.zeros(20)}, "one integer for each"),
        ({"y_train": np.arange(19)}, "one integer for each"),
        ({"y_train": np.full(20, -1)}, "must lie in"),
        ({"y_train": np.full(20, 10**6)}, "a label is 1000000"),
        ({"x_train": np.array([None] * 20)}, "no readable .npz file"),
    ],
)
def test_unfit_files_are_refused(tmp_path, change, problem):
    arrays = {k: v for k, v in (own_arrays() | change).items() if v is not None}
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(datasets.DataError, match=problem):
        datasets.load_file(tmp_path / "mine.npz")


def test_what_is_no_such_file(tmp_path):
    with pytest.raises(datasets.DataError, match="there is no file"):
        datasets.load_file(tmp_path / "mine.npz")
    for content in (b"", b"PK\3\4 but no zip", b"\x93NUMPY"):
        (tmp_path / "mine.npz").write_bytes(content)
        with pytest.raises(datasets.DataError, match="no readable .npz file"):
            datasets.load_file(tmp_path / "mine.npz")
