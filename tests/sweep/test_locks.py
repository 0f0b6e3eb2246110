"""sweep/locks.py: one process at a time holds a lock; a dead one holds none."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from conftest import ROOT, posix
from sweep import locks
from sweep.locks import alone, hold


def test_a_lock_has_one_holder(tmp_path):
    first = hold(tmp_path / "lock")
    assert first and hold(tmp_path / "lock") is None
    first.close()
    hold(tmp_path / "lock").close()


def test_many_are_alone_one_after_the_other(tmp_path, monkeypatch):
    """Though each deletes the file in the end, which others may have opened already."""
    monkeypatch.setattr(locks, "POLL_SECONDS", 0)
    inside, most = [], []

    def work(k):
        with alone(tmp_path / "folder" / "lock"):
            inside.append(k)
            most.append(len(inside))
            time.sleep(0.001)
            inside.remove(k)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(200)))
    assert most == [1] * 200 and not list((tmp_path / "folder").iterdir())


def test_who_waits_is_told_once(tmp_path):
    told, lock = [], hold(tmp_path / "lock")

    def waiting():
        told.append("waiting")
        lock.close()

    with alone(tmp_path / "lock", waiting):
        assert told == ["waiting"]
    with alone(tmp_path / "lock", waiting):
        assert told == ["waiting"]


def test_the_lock_of_a_process_that_was_killed_is_free(tmp_path):
    code = f"""
from pathlib import Path
from sweep.locks import hold
lock = hold(Path({str(tmp_path / "lock")!r}))
print("held", flush=True)
input()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT / "experiments")},
    )
    assert process.stdout.readline().strip() == b"held"
    assert hold(tmp_path / "lock") is None
    process.kill()
    process.communicate()
    hold(tmp_path / "lock").close()


@posix
def test_a_disk_without_locks_stops_nobody(tmp_path, monkeypatch):
    def without(*args):
        raise OSError("no locks here")

    monkeypatch.setattr(locks.fcntl, "flock", without)
    with alone(tmp_path / "lock"), alone(tmp_path / "lock"):
        pass
