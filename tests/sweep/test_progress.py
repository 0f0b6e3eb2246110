"""sweep/progress.py: what runs report while they train."""

import io
import re
import tempfile
import threading
from contextlib import redirect_stderr
from pathlib import Path
from types import SimpleNamespace

import pytest

from nnlite import Config
from sweep.progress import Progress, clear_leftovers, counted, report
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


class Terminal(io.StringIO):
    """A terminal of 80 x 24, in place of stderr."""

    def isatty(self):
        return True

    def lines(self):
        return re.split("[\r\n]", self.getvalue().replace("\x1b[A", ""))


@pytest.fixture(autouse=True)
def size(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")


def row(epoch):
    row = {"epoch": epoch, "train_loss": 0.4231, "val_accuracy": 89.2}
    return {**row, "learning_rate": 0.1, "epoch_time": 1.0}


def test_a_bar_shows_loss_and_accuracy_whatever_the_run_is_called():
    long = Config("leaky_relu", "sgd_momentum", 10**-3.5, "exponential", init="xavier", epochs=3)
    with redirect_stderr(Terminal()) as screen:
        for config in (long, Config(epochs=3)):
            with Progress([config]) as progress:
                progress.show(config.run_id, row(1))
                progress.bars[config.run_id].refresh()
    lines = [line for line in screen.lines() if "loss" in line]
    assert len(lines) >= 2 and max(map(len, lines)) <= 80
    for line in lines:
        assert line.rstrip().endswith("1/3, loss 0.4231, val acc 89.20%"), line
        assert re.match("(leaky_relu_.*….*|relu_adam_none_lr0.001)_seed42 ", line), line


def test_there_is_a_bar_for_each_run_in_progress_and_one_for_all():
    configs = [Config(seed=seed, epochs=2) for seed in range(6)]
    with redirect_stderr(Terminal()), Progress(configs) as progress:
        for ends, begins in zip(configs, configs[1:]):
            for config, epoch in ((ends, 1), (begins, 1), (ends, 2)):  # forgotten too late
                progress.show(config.run_id, row(epoch))
            assert list(progress.bars) == [begins.run_id]
        assert progress.total.n == sum(progress.epochs_done.values()) == 11


def test_what_is_counted_has_a_bar_on_a_terminal_and_a_line_elsewhere(capsys):
    with redirect_stderr(Terminal()) as screen:
        assert list(counted("ab", 2, "drawing")) == ["a", "b"]
    assert "drawing:   0%" in screen.getvalue() and capsys.readouterr().out == ""
    with redirect_stderr(io.StringIO()) as screen:
        assert list(counted("ab", 2, "drawing")) == ["a", "b"]
    assert capsys.readouterr().out == "drawing ...\n" and screen.getvalue() == ""


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
