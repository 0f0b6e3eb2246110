"""What surrounds the experiment: output that nobody may read, errors in a sentence, exit codes."""

import contextlib
import os
import signal
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TextIO

from joblib.externals.loky.process_executor import BrokenProcessPool

from sweep.run import same_command
from sweep.workers import STOP_SIGNALS


def carry_out(experiment: Callable[[Namespace], int], parse: Callable[[], Namespace]) -> int:
    """Return the exit code of experiment(parse()).

    0, 1 if something failed, 2 if something was wrong before any work, 130 if interrupted. If
    nobody reads what it prints any more, as after `| head`, it works on in silence.
    """
    out, err = Talk(sys.stdout), Talk(sys.stderr)
    with redirect_stdout(out), redirect_stderr(err):
        try:
            options = parse()
            code = attempt(experiment, options)
        except SystemExit as stop:  # something is wrong before any work; or --help
            code = stop.code
        out.flush()
        if out.error:
            words = f"exp3.py: error: what it says cannot be written ({out.error.strerror})"
            print(f"{words}; the results are not touched by that", file=err)
    return code or int(bool(out.error))


@contextmanager
def before_any_work() -> Iterator[None]:
    """Exit with code 2 and one sentence if something in this block is wrong."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        print(f"exp3.py: error: {error}", file=sys.stderr)
        sys.exit(2)


def attempt(experiment: Callable[[Namespace], int], options: Namespace) -> int:
    """Return experiment(options), or the exit code of what stopped it."""
    try:
        return experiment(options)
    except KeyboardInterrupt:
        print("\ninterrupted; what is finished is saved")
        return 130
    except (OSError, ValueError, MemoryError, BrokenProcessPool) as error:
        print(f"exp3.py: error: {what_stopped(error, options)}", file=sys.stderr)
        return 1


def what_stopped(error: Exception, options: Namespace) -> str:
    """Say what stopped the work, and what to do."""
    again = f"{same_command(options)} goes on from what is saved"
    if options.plot_only:
        again = "the same command draws everything again"
    if isinstance(error, OSError):
        where = error.filename or options.out
        return f"cannot write to {where} ({error.strerror}); {again}"
    if isinstance(error, MemoryError):
        return f"there is not enough memory; {again}"
    if isinstance(error, BrokenProcessPool):
        return f"a process that drew figures died, or ran out of memory; {again}"
    return str(error)  # of a file in OUT, with what to do about it


def treat_as_ctrl_c() -> None:
    """End with the other signals that ask for it as with Ctrl-C, but for those that are ignored."""
    for number in STOP_SIGNALS:
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


class Talk:
    """A stream for print that falls silent when it cannot be written any more.

    So work does not end because nobody listens. error: the OSError, if there was one. The stream
    may be None: a program without a terminal can have none.
    """

    def __init__(self, stream: TextIO | None):
        self.stream = stream
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        self.attempt("write", text)
        return len(text)

    def flush(self) -> None:
        self.attempt("flush")

    def attempt(self, method: str, *arguments: str) -> None:
        if self.stream and not self.error:
            try:
                getattr(self.stream, method)(*arguments)
            except OSError as error:
                self.error = error
                # What the stream still holds goes nowhere, or Python complains of it at its end.
                with contextlib.suppress(OSError), open(os.devnull, "w") as nowhere:
                    os.dup2(nowhere.fileno(), self.stream.fileno())

    def __getattr__(self, name: str):
        return getattr(self.stream, name)
