"""What the user's environment must not change: streams, imports, arithmetic, temporary files."""

import codecs
import io
import os
import shutil
import sys
import tempfile

import joblib
import numpy as np

SPELLED = {"±": "+-"}  # other characters that a terminal cannot show become "?"
codecs.register_error("spell", lambda e: (SPELLED.get(e.object[e.start], "?"), e.start + 1))


def settle() -> None:
    """Make this process, and those that it starts, run the same way in any environment."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed: the next file to be opened would take its place
            setattr(sys, name, open(os.devnull, "r+"))
            os.set_inheritable(getattr(sys, name).fileno(), True)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="spell")
    # Python's -m, which starts workers, would import a numpy.py in the current folder.
    os.environ["PYTHONSAFEPATH"] = "1"
    os.environ["MPLBACKEND"] = "agg"  # matplotlib cannot start with one that is not installed
    np.seterr(all="warn", under="ignore")  # as NumPy itself does, whatever a startup file says


def check_environment(room: int = 0) -> None:
    """Raise ValueError if the environment would end the work halfway.

    room: how many bytes the temporary files take.
    """
    try:
        joblib.cpu_count()
    except ValueError:
        raise ValueError("the variable LOKY_MAX_CPU_COUNT must be an integer, or not set") from None
    try:
        folder = tempfile.gettempdir()
    except OSError:
        raise ValueError("there is no folder for temporary files: set TMPDIR to one") from None
    if shutil.disk_usage(folder).free < room:
        raise ValueError(f"{folder} has no room for temporary files: set TMPDIR to another folder")
    try:
        import matplotlib  # noqa: F401  it reads the user's matplotlibrc, if only to set it aside
    except Exception as error:
        raise ValueError(
            f"matplotlib cannot start ({error}): is your matplotlibrc damaged?"
        ) from None
