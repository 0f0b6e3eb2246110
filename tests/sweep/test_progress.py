"""sweep/progress.py: what runs report while they train."""

import threading
from pathlib import Path

from sweep.progress import Progress
from sweeps import SMALL


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
