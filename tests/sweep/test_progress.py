"""sweep/progress.py: what runs report while they train."""

import tempfile
import threading
from pathlib import Path
from types import SimpleNamespace

from sweep.progress import Progress, clear_leftovers, report
from sweeps import SMALL, full


def test_a_report_may_go_while_progress_is_reading(monkeypatch):
    """One thread forgets a run, another has just listed its report."""
    progress = Progress([SMALL])
    report = progress.folder / SMALL.run_id
    report.touch()
    reading, gone, problems = threading.Event(), threading.Event(), []
    read_text, unlink = Path.read_text, Path.unlink

    def poll():
        try:
            progress.poll()
        except OSError as error:
            problems.append(error)

    def slow_read(path):
        reading.set()
        gone.wait(0.3)
        return read_text(path)

    def late_unlink(path, **options):
        monkeypatch.setattr(Path, "read_text", slow_read)
        other.start()
        reading.wait(0.3)
        unlink(path, **options)
        gone.set()

    monkeypatch.setattr(Path, "unlink", late_unlink)
    other = threading.Thread(target=poll)
    progress.forget([SMALL.run_id])
    other.join()
    assert not report.exists() and not problems


def test_a_full_disk_for_reports_ends_no_training(monkeypatch, tmp_path):
    training = SimpleNamespace(logs=[{"experiment_id": "a run", "epoch": []}], epoch=0)
    report(training, tmp_path)
    assert (tmp_path / "a run").exists()
    monkeypatch.setattr(Path, "open", full)
    report(training, tmp_path)


def test_what_killed_programs_left_is_deleted_and_what_is_in_use_is_not(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    killed = Progress([SMALL])
    killed.lock_file.close()  # as the system does
    killed.temporary._finalizer.detach()
    foreign = tmp_path / "nnlite-notes"
    foreign.mkdir()
    with Progress([SMALL]) as running:
        assert not killed.directory.exists()
        clear_leftovers()
        assert set(tmp_path.iterdir()) == {running.directory, foreign}
        assert running.folder.exists()
    assert list(tmp_path.iterdir()) == [foreign]
