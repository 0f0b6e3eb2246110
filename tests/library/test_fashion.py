"""nnlite.fashion: the right bytes from every source, and a clear refusal of all others.

Most tests publish four tiny files in place of Fashion-MNIST's, and are done in milliseconds; those
that need the real ones skip without them. Nothing here reaches beyond 127.0.0.1.
"""

import gzip
import hashlib
import http.server
import io
import os
import socket
import struct
import sys
import threading
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pooch
import pytest

from nnlite import fashion
from nnlite.datasets import ARRAYS, load
from nnlite.fashion import FILES, MD5, MIRRORS, SHA256, DataError, parse_idx

GZ_FILES = [f"{name}.gz" for name in FILES]


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """No network source answers, and the cache is this test's own (with a space in its path)."""
    with socket.socket() as closed:  # bound but not listening: connections are refused
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        monkeypatch.setattr(fashion, "MIRRORS", (url,))
        monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)  # before a second try
        monkeypatch.setenv("NNLITE_CACHE", str(tmp_path / "my cache"))
        monkeypatch.delenv("NNLITE_DATA", raising=False)
        monkeypatch.setenv("no_proxy", "*")
        yield


def idx(array):
    """The bytes of an IDX file."""
    header = struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def md5(data):
    return hashlib.md5(data).hexdigest()


@pytest.fixture
def tiny(monkeypatch):
    """Four small files, as they are and packed, published in place of Fashion-MNIST's."""
    random = np.random.default_rng(0)
    files = {}
    for name, count in zip(FILES, (12, 12, 5, 5), strict=True):
        shape = (count, 28, 28) if "images" in name else (count,)
        files[name] = idx(random.integers(0, 10, shape))
        files[f"{name}.gz"] = gzip.compress(files[name], mtime=0)
        monkeypatch.setitem(MD5, name, md5(files[name]))
        monkeypatch.setitem(SHA256, name, hashlib.sha256(files[f"{name}.gz"]).hexdigest())
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
def serve():
    """A function that starts a mirror on 127.0.0.1.

    files: name -> bytes, or a function of the request handler.
    """
    servers = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.strip("/")
            self.server.requests.append(name)
            answer = self.server.files.get(name)
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

    def start(files):
        server = Server(("127.0.0.1", 0), Handler)
        server.files, server.requests, server.over = files, [], threading.Event()
        server.host = f"127.0.0.1:{server.server_port}"
        server.url = f"http://{server.host}/"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.over.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def mirror(serve, tiny, monkeypatch):
    """The only mirror, with the four tiny .gz files."""
    server = serve({name: tiny[name] for name in GZ_FILES})
    monkeypatch.setattr(fashion, "MIRRORS", (server.url,))
    return server


def in_cache():
    """The names of the files in the cache."""
    folder = Path(os.environ["NNLITE_CACHE"])
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def refusal(*args, **kwargs):
    """The message of the DataError with which load refuses."""
    with pytest.raises(DataError) as caught:
        load(*args, **kwargs)
    return str(caught.value)


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


def test_fashion_mnist_is_downloaded_once(fashion_dir, serve, monkeypatch):
    server = serve({name: (fashion_dir / name).read_bytes() for name in GZ_FILES})
    monkeypatch.setattr(fashion, "MIRRORS", (server.url,))
    for _ in range(2):
        data = load("fashion-mnist")
        check_fashion(data)
        assert data.source == "downloaded files"
        assert server.requests == GZ_FILES and in_cache() == sorted(GZ_FILES)  # once each


def test_mirrors_with_https_come_first():
    schemes = [mirror.split("://")[0] for mirror in MIRRORS]
    assert schemes == ["https"] * (len(MIRRORS) - 1) + ["http"]
    assert all(mirror.endswith("/") for mirror in MIRRORS)


# The user's directory


def test_directory_by_argument_by_environment_and_before_the_cache(folder, mirror, monkeypatch):
    assert load().source == "downloaded files"
    monkeypatch.setenv("NNLITE_DATA", str(folder))
    assert load().source == f"IDX files in {folder}"
    monkeypatch.setenv("NNLITE_DATA", str(folder / "nowhere"))
    assert load(data_dir=folder).source == f"IDX files in {folder}"
    assert "nowhere" in refusal()
    monkeypatch.setenv("NNLITE_DATA", "")
    assert load().source == "downloaded files"


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
@pytest.mark.parametrize("packed", [False, True])
def test_damaged_file_is_named_with_both_checksums(how, packed, folder, tiny):
    """Damaged, and perhaps packed after that."""
    bad = damage(tiny[FILES[2]], how)
    (folder / GZ_FILES[2]).unlink()
    path = folder / (FILES[2] + packed * ".gz")
    path.write_bytes(gzip.compress(bad) if packed else bad)
    message = refusal("auto", folder)
    assert str(path) in message and "github.com/zalandoresearch/fashion-mnist" in message
    assert f"it has the md5 {md5(bad)} (unpacked), but should have {MD5[FILES[2]]}" in message


@pytest.mark.parametrize("how", ["truncated", "one bit"])
def test_file_that_cannot_be_unpacked_is_refused(how, folder, tiny):
    path = folder / GZ_FILES[2]
    path.write_bytes(damage(tiny[GZ_FILES[2]], how))
    message = refusal("auto", folder)
    assert f"{path} is damaged or not Fashion-MNIST's (it cannot be read: " in message


def test_file_that_unpacks_to_gigabytes_is_not_kept_in_memory(folder, monkeypatch):
    monkeypatch.setattr(fashion, "MAX_BYTES", 100_000)
    (folder / GZ_FILES[0]).write_bytes(gzip.compress(bytes(20_000_000)))
    (folder / GZ_FILES[1]).unlink()
    (folder / FILES[1]).write_bytes(b"")
    os.truncate(folder / FILES[1], 20_000_000)
    tracemalloc.start()
    assert GZ_FILES[0] in refusal("auto", folder)
    (folder / GZ_FILES[0]).write_bytes(gzip.compress(b""))
    assert GZ_FILES[0] in refusal("auto", folder)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


def test_file_that_cannot_be_read_is_refused(folder, monkeypatch):
    def open_it(path, *args):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", open_it)
    message = refusal("auto", folder)
    assert "cannot be read" in message and GZ_FILES[0] in message


def pack_anew(tiny):
    """Fashion-MNIST's second file in other containers, by what was done to it."""
    name, raw = FILES[1], tiny[FILES[1]]
    return {
        "packed again": {f"{name}.gz": gzip.compress(raw, 1, mtime=1)},
        "unpacked, still called .gz": {f"{name}.gz": raw},
        "packed, without .gz": {name: gzip.compress(raw)},
        "sound, beside a .gz that broke off": {name: raw, f"{name}.gz": tiny[f"{name}.gz"][:-9]},
    }


@pytest.mark.parametrize("how", pack_anew(dict.fromkeys([FILES[1], GZ_FILES[1]], b"")))
def test_content_counts_and_not_the_container(how, folder, tiny):
    expected = load(data_dir=folder).checksum
    (folder / GZ_FILES[1]).unlink()
    for name, data in pack_anew(tiny)[how].items():
        assert data != tiny[name] or name == FILES[1]
        (folder / name).write_bytes(data)
    assert load(data_dir=folder).checksum == expected


def test_home_directory_may_be_written_as_a_tilde(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.setenv("USERPROFILE", str(folder.parent))
    assert load(data_dir="~/my data").name == "fashion-mnist"


def test_folder_whose_name_cannot_be_shown_is_shown_with_question_marks(folder):
    odd = folder.rename(folder.with_name("a\nb\udcff"))
    assert load(data_dir=odd).source == f"IDX files in {folder.parent / 'a?b?'}"


# IDX files


@pytest.mark.parametrize("array", [np.arange(7), np.arange(24).reshape(2, 3, 4)])
def test_idx_round_trip(array):
    parsed = parse_idx(idx(array), "file")
    assert parsed.dtype == np.uint8 and np.array_equal(parsed, array)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\x08",
        b"PK\x03\x04 a zip file",
        b"\0\0\x0d\x01" + bytes(8),  # float32
        b"\0\0\x08\xff" + b"\0\0\0\x01" * 255 + b"\0",
        b"\0\0\x08\x03" + bytes(11),
        idx(np.arange(9))[:-1],
        idx(np.arange(9)) + b"\0",
        idx(np.zeros((0, 28, 28))),
        struct.pack(">4I", 0x0803, 0, *[2**32 - 1] * 2),
        struct.pack(">4I", 0x0803, *[2**32 - 1] * 3) + b"few",
        struct.pack(">3I", 0x0803, 1, 1),  # a length is missing
        gzip.compress(idx(np.arange(99))),
    ],
)
def test_what_is_no_idx_file_is_refused(data):
    with pytest.raises(DataError, match=r"^some file is no complete IDX file"):
        parse_idx(data, "some file")


# Downloads


@pytest.mark.parametrize("how", ["empty", "truncated", "longer", "one bit", "html"])
def test_mirror_with_a_damaged_file_is_not_believed(how, mirror, tiny):
    mirror.files[GZ_FILES[1]] = damage(tiny[GZ_FILES[1]], how)
    message = refusal("fashion-mnist")
    assert (
        f"{mirror.host}: SHA256 hash of downloaded file ({GZ_FILES[1]}) does not match" in message
    )
    assert mirror.requests == [GZ_FILES[0], *GZ_FILES[1:2] * 2]  # tried twice, then given up
    assert in_cache() == GZ_FILES[:1]


def test_mirror_without_a_file_is_given_up(mirror):
    del mirror.files[GZ_FILES[0]]
    assert f"{mirror.host}: 404 Client Error" in refusal("fashion-mnist")
    assert set(mirror.requests) == {GZ_FILES[0]} and in_cache() == []


def break_off(handler):
    handler.begin(1000)
    handler.wfile.write(bytes(100))


def test_download_that_breaks_off_is_tried_again(mirror, tiny):
    def break_off_once(handler):
        break_off(handler)
        mirror.files[GZ_FILES[2]] = tiny[GZ_FILES[2]]

    mirror.files[GZ_FILES[2]] = break_off_once
    assert load("fashion-mnist").source == "downloaded files"
    assert mirror.requests == [*GZ_FILES[:3], *GZ_FILES[2:]]


def test_download_that_breaks_off_is_not_believed(mirror):
    mirror.files[GZ_FILES[0]] = break_off
    assert f"{mirror.host}: IncompleteRead(100 bytes read, 900 more" in refusal("fashion-mnist")
    assert in_cache() == []


def test_next_mirror_brings_what_the_first_lacks(mirror, serve, tiny, monkeypatch):
    second = serve({**mirror.files, GZ_FILES[0]: b"not needed"})
    mirror.files[GZ_FILES[2]] = b"<html>Sign in to this network</html>"
    monkeypatch.setattr(fashion, "MIRRORS", (mirror.url, second.url))
    data = load("fashion-mnist")
    assert data.x_test.tobytes() == tiny[FILES[2]][16:]
    assert second.requests == GZ_FILES[2:]


def say_nothing(handler):
    handler.server.over.wait(5)


def stop_in_the_body(handler):
    handler.begin(1000)
    handler.wfile.write(b"first words")
    handler.server.over.wait(5)


@pytest.mark.parametrize("answer", [say_nothing, stop_in_the_body])
def test_server_that_keeps_us_waiting_is_given_up(answer, mirror, monkeypatch):
    monkeypatch.setattr(fashion, "TIMEOUT", 0.2)
    mirror.files = dict.fromkeys(GZ_FILES, answer)
    start = time.monotonic()
    assert f"{mirror.host}: timed out" in refusal("fashion-mnist")
    assert time.monotonic() - start < 2
    assert set(mirror.requests) == {GZ_FILES[0]} and in_cache() == []


def test_cached_files_that_were_damaged_are_fetched_again(mirror):
    good = load().checksum
    for name in GZ_FILES[1:3]:
        (Path(os.environ["NNLITE_CACHE"]) / name).write_bytes(b"damaged")
    mirror.requests.clear()
    assert load().checksum == good and mirror.requests == GZ_FILES[1:3]


def test_cache_that_cannot_be_written_is_named(mirror, tmp_path, monkeypatch):
    (tmp_path / "a file").touch()
    monkeypatch.setenv("NNLITE_CACHE", str(tmp_path / "a file" / "cache"))
    assert str(tmp_path / "a file") in refusal("fashion-mnist")


def test_cache_is_where_the_platform_keeps_caches(mirror, tmp_path, monkeypatch):
    """Unless NNLITE_CACHE names another folder, which may begin with a tilde."""
    monkeypatch.delenv("NNLITE_CACHE")
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "usual" / name)
    load()
    assert {path.name for path in (tmp_path / "usual" / "nnlite").iterdir()} == set(GZ_FILES)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("NNLITE_CACHE", "~/chosen")
    load()
    assert {path.name for path in (tmp_path / "chosen").iterdir()} == set(GZ_FILES)


class Terminal(io.StringIO):
    """In standard error's place."""

    def isatty(self):
        return True


@pytest.fixture
def logged(monkeypatch):
    """What pooch logs: its logger holds on to what was standard error on import."""
    stream = io.StringIO()
    monkeypatch.setattr(pooch.get_logger().handlers[0], "stream", stream)
    return stream


def test_progress_bar_for_each_download(mirror, monkeypatch, logged):
    monkeypatch.setattr(sys, "stderr", Terminal())
    load(progress=True)
    assert sys.stderr.getvalue().count("100%") >= 4
    for name in GZ_FILES:
        assert f"'{name}' from '{mirror.url}{name}' to '" in logged.getvalue()


@pytest.mark.parametrize("stderr", [Terminal(), None])
def test_no_progress_bar_unless_asked_for_and_on_a_terminal(stderr, mirror, monkeypatch, capfd):
    monkeypatch.setattr(sys, "stderr", stderr)
    load(progress=stderr is None)
    assert stderr is None or stderr.getvalue() == ""
    assert capfd.readouterr() == ("", "")


def test_nothing_is_printed_or_logged_without_a_terminal(mirror, capfd, logged):
    load(progress=True)
    assert capfd.readouterr() == ("", "") and logged.getvalue() == ""


def test_interrupted_download_leaves_finished_files_for_the_next(mirror, monkeypatch):
    def interrupt(*args, **kwargs):
        if kwargs["source"] == GZ_FILES[2]:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pooch.core.hash_matches", interrupt)  # all is there, but not in place
        with pytest.raises(KeyboardInterrupt):
            load()
    assert in_cache() == sorted(GZ_FILES[:2])
    mirror.requests.clear()
    assert load().source == "downloaded files"
    assert mirror.requests == GZ_FILES[2:]


# When it is not available


def test_auto_falls_back_to_the_digits_with_a_note(monkeypatch):
    monkeypatch.setattr(fashion, "MIRRORS", fashion.MIRRORS * 2)
    data = load()
    assert data.name == "digits" and data.source == "scikit-learn"
    words = ["NOT Fashion-MNIST", "refused", "--data-dir", "NNLITE_DATA"]
    for word in [*words, "https://github.com/zalandoresearch/fashion-mnist"]:
        assert word in data.note
    assert "\n" not in data.note and data.note.count("refused") == 1  # by all of them


def test_fashion_mnist_never_falls_back(monkeypatch):
    """It says in a line each why no mirror helped, and what to do."""

    def offline(host, *args, look_up=socket.getaddrinfo):
        if host == "no.such.host":
            raise socket.gaierror(-2, "Name or service not known")
        return look_up(host, *args)

    monkeypatch.setattr(socket, "getaddrinfo", offline)
    monkeypatch.setattr(fashion, "MIRRORS", (*fashion.MIRRORS, "https://no.such.host/"))
    first, refused, unknown, last = refusal("fashion-mnist").splitlines()
    assert first == "Fashion-MNIST was not found."
    assert refused.startswith("127.0.0.1:") and "refused" in refused
    assert unknown == "no.such.host: [Errno -2] Name or service not known"
    assert last.startswith("To get Fashion-MNIST, download ")
