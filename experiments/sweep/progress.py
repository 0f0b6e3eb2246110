"""What a sweep shows while it runs: a bar for each run, or a line for each epoch."""

import contextlib
import json
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from tqdm import tqdm

from nnlite import Config
from nnlite.training import Training
from sweep.locks import hold
from words import clipped

POLL_SECONDS = 0.2
BAR = "{desc} |{bar}| {n_fmt}/{total_fmt}{postfix}"  # of a run
NUMBERS = 48  # the width that it needs besides the name


def report(training: Training, folder: Path) -> None:
    """Tell Progress that these runs have begun, and what their latest epoch was, if any.

    If that cannot be written, it is not shown.
    """
    for log in training.logs:
        path = folder / log["experiment_id"]
        with contextlib.suppress(OSError), path.open("a") as file:
            if training.epoch and len(log["epoch"]) == training.epoch:  # else diverged before
                file.write(json.dumps(latest_epoch(log)) + "\n")


def latest_epoch(log: dict) -> dict:
    """Return what Progress shows of a log."""
    keys = ("epoch", "train_loss", "val_accuracy", "learning_rate", "epoch_time")
    return {key: log[key][-1] for key in keys}


def clear_leftovers() -> None:
    """Delete the directories of Progress that programs left when they were killed."""
    for directory in Path(tempfile.gettempdir()).glob("nnlite-*"):
        with contextlib.suppress(OSError):
            # The folder is made after the lock is held: if it is there, nobody is about to lock.
            if (directory / "reports").exists() and (lock := hold(directory / "lock")):
                lock.close()
                shutil.rmtree(directory, ignore_errors=True)


def counted(items: Iterable, total: int, what: str) -> Iterator:
    """Yield the items, and show how many there have been: a bar on a terminal, else a line."""
    bar = tqdm(total=total, desc=what, unit="task", disable=None, leave=False)
    if bar.disable:
        print(f"{what} ...", flush=True)
    with bar:
        for item in items:
            yield item
            bar.update()


class Progress(contextlib.AbstractContextManager):
    """Shows the epochs that runs report, each run in a file of its own in `folder`.

    Files work the same way for runs in this process and in others. On a terminal there is a bar for
    the whole sweep and one for each run in progress, otherwise a line for each epoch.
    """

    def __init__(self, configs: list[Config]):
        clear_leftovers()
        self.temporary = tempfile.TemporaryDirectory(prefix="nnlite-", ignore_cleanup_errors=True)
        self.directory = Path(self.temporary.name)
        self.lock_file = hold(self.directory / "lock")
        self.folder = self.directory / "reports"
        self.folder.mkdir()
        self.epochs = {config.run_id: config.epochs for config in configs}
        self.lines_seen: dict[str, int] = {}
        self.epochs_done: dict[str, int] = {}
        self.bars: dict[str, tqdm] = {}
        total = sum(self.epochs.values())
        self.total = tqdm(total=total, unit="epoch", desc="all runs", disable=None)
        self.lock = threading.RLock()
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def __enter__(self) -> "Progress":
        self.thread.start()
        return self

    def __exit__(self, *exception) -> None:
        self.stopped.set()
        self.thread.join()
        self.poll()
        for bar in (*self.bars.values(), self.total):
            bar.close()
        self.lock_file.close()
        self.temporary.cleanup()

    def has_begun(self, run_id: str) -> bool:
        return (self.folder / run_id).exists()

    def forget(self, run_ids: list[str]) -> None:
        """Delete the files of runs that have ended, so that a long sweep has few to look at."""
        with self.lock:  # Windows deletes no file that is being read
            self.poll()
            for run_id in run_ids:
                (self.folder / run_id).unlink(missing_ok=True)
                self.epochs_done[run_id] = self.epochs[run_id]  # also of one that diverged early
                if run_id in self.bars:
                    self.bars.pop(run_id).close()

    def watch(self) -> None:
        while not self.stopped.wait(POLL_SECONDS):
            self.poll()

    def poll(self) -> None:
        """Show what has been reported since the last time."""
        with self.lock:
            for file in sorted(self.folder.iterdir()):
                try:
                    text = file.read_text()
                except FileNotFoundError:  # the run has just been forgotten
                    continue
                lines = text[: text.rfind("\n") + 1].splitlines()  # the last may be half-written
                for line in lines[self.lines_seen.get(file.name, 0) :]:
                    self.show(file.name, json.loads(line))
                self.lines_seen[file.name] = len(lines)

    def show(self, run_id: str, row: dict) -> None:
        """Show an epoch of a run; row: what latest_epoch returned."""
        epoch, epochs, accuracy = row["epoch"], self.epochs[run_id], row["val_accuracy"]
        diverged = accuracy is None
        loss = "diverged" if diverged else f"{row['train_loss']:.4f}"
        accuracy = "-" if diverged else f"{accuracy:.2f}%"
        self.epochs_done[run_id] = epoch
        if self.total.disable:
            print(
                f"{run_id} | Epoch {epoch:2d}/{epochs} | Loss: {loss} | Val Acc: {accuracy}"
                f" | LR: {row['learning_rate']:.6f} | Time: {row['epoch_time']:.2f}s",
                flush=True,
            )
            return
        self.total.update(sum(self.epochs_done.values()) - self.total.n)
        if epoch == epochs:  # the next run begins before this one is forgotten
            if run_id in self.bars:
                self.bars.pop(run_id).close()
            return
        if run_id not in self.bars:
            self.bars[run_id] = tqdm(
                total=epochs, desc=self.name(run_id), bar_format=BAR, leave=False
            )
        bar = self.bars[run_id]
        bar.set_postfix_str(f"loss {loss}, val acc {accuracy}", refresh=False)
        bar.update(epoch - bar.n)

    def name(self, run_id: str) -> str:
        """Return a run's id, as long as all others, without its middle if the numbers need room."""
        room = max(10, shutil.get_terminal_size().columns - NUMBERS)
        width = min(room, max(map(len, self.epochs)))
        return clipped(run_id, width).ljust(width)
