"""Whatever environment the user has: the lab runs, prints what it can, and draws the same."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections import namedtuple
from configparser import ConfigParser
from types import SimpleNamespace

import pytest

from conftest import ROOT, posix
from sweep.environment import check_environment

linux = pytest.mark.skipif(sys.platform != "linux", reason="file names that are not UTF-8")
EXP3 = [sys.executable, ROOT / "experiments" / "exp3.py"]
TINY = "--dataset digits --activation relu --optimizer sgd --hidden 8 --epochs 1 --jobs 2".split()
MADE = (".png", ".csv", ".txt", ".html")


def start(*command, cwd, redirect="", **variables):
    """Run a command in a shell, which redirects its streams; return what came of it."""
    paths = f"{ROOT}{os.pathsep}{variables.pop('PATHS', ROOT)}"
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirect}', "sh", *command],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": paths} | variables,
        capture_output=True,
        timeout=600,
    )


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A sweep of two seeds, on two workers, in an environment in which all is as odd as can be."""
    here = tmp_path_factory.mktemp("hostile")
    if hasattr(sys.flags, "safe_path"):  # since Python 3.11
        for name in ("numpy", "joblib", "json", "threading"):
            (here / f"{name}.py").write_text("open('imported', 'a').write(__name__)\n")
    (here / "site").mkdir()
    seterr = "import numpy; numpy.seterr(all='raise')"
    (here / "site" / "sitecustomize.py").write_text(seterr)
    (here / "matplotlibrc").write_text("figure.autolayout: True\ntext.usetex: True\n")
    (here / "tmp_äöü").mkdir()
    out = os.fsencode(here) + b"/o_\xfc\n"  # Latin-1, and a line feed
    done = start(
        *EXP3, *TINY, "--seed", "1", "2", "--out", out,
        cwd=here, PATHS=str(here / "site"),
        LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", COLUMNS="1", TERM="dumb",
        TMPDIR=str(here / "tmp_äöü"), JOBLIB_TEMP_FOLDER=str(here / "no" / "äöü"),
        MPLBACKEND="module://matplotlib_inline.backend_inline", MPLCONFIGDIR=str(here / "site"),
        HOME="/dev/null", PYTHONOPTIMIZE="2",
    )  # fmt: skip
    return SimpleNamespace(here=here, out=out, done=done)


def files(out):
    """What is in all files of a folder that are not logs, by name."""
    paths = [os.path.join(folder, name) for folder, _, names in os.walk(out) for name in names]
    made = [path for path in paths if os.fsdecode(path).endswith(MADE)]
    return {path: open(path, "rb").read() for path in made}


@linux
def test_it_ends_well_and_prints_what_the_terminal_can_show(hostile):
    assert hostile.done.returncode == 0, hostile.done.stderr
    assert hostile.done.stderr == b"" and hostile.done.stdout.isascii()
    assert b"+-" in hostile.done.stdout  # for the sign of an interval, which is not ASCII


@linux
def test_modules_in_the_current_folder_are_not_imported(hostile):
    assert not (hostile.here / "imported").exists()


@linux
def test_the_report_names_the_folder_as_a_shell_reads_it(hostile):
    page = files(hostile.out)[hostile.out + b"/report.html"].decode()
    assert r"/o_\xfc\x0a" in page


@linux
def test_drawn_without_streams_in_a_usual_environment_it_is_the_same(hostile):
    before = files(hostile.out)
    assert len(before) > 20
    for path in before:
        os.unlink(path)
    redirect = "<&- >/dev/full 2>&-"
    done = start(*EXP3, "--plot-only", "--out", hostile.out, cwd="/", redirect=redirect)
    assert done.returncode == 1  # what it says could not be written
    after = files(hostile.out)  # with the figures of every run, as --plot-only draws all
    assert {path for path in before if after.get(path) == before[path]} == {*before}


@posix
def test_no_file_gets_the_number_of_a_stream_that_is_closed(tmp_path):
    code = (
        "import sys; from sweep.environment import settle; settle(); print('x', file=sys.stderr)\n"
        "import subprocess; file = open('precious', 'w'); print('x', end='')\n"
        "child = 'import sys; sys.exit(None in (sys.stdin, sys.stdout, sys.stderr))'\n"
        "subprocess.run([sys.executable, '-c', child], check=True)\n"
        "sys.exit(file.fileno() < 3)"
    )
    command = [sys.executable, "-c", code]
    done = start(*command, cwd=tmp_path, PATHS=ROOT / "experiments", redirect="<&- >&- 2>&-")
    assert done.returncode == 0 and (tmp_path / "precious").read_text() == ""


@posix
def test_python_s_safe_path_leaves_out_the_folder_of_the_script(tmp_path):
    done = start(*EXP3, "--help", cwd=tmp_path, PYTHONSAFEPATH="1")
    assert done.returncode == 0 and b"--activation NAME" in done.stdout, done.stderr


@pytest.mark.parametrize("command", [["--help"], ["--study", "list"]])
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_help_that_cannot_be_written_is_no_success(command, tmp_path):
    done = start(*EXP3, *command, cwd=tmp_path, redirect=">/dev/full")
    assert done.returncode == 1
    assert done.stderr.decode().startswith("exp3.py: error: what it says cannot be written")


def no_folder():
    raise FileNotFoundError


def test_variables_that_would_end_the_work_halfway_are_found_before(monkeypatch):
    check_environment(room=1)
    with monkeypatch.context() as patch, pytest.raises(ValueError, match="LOKY_MAX_CPU_COUNT"):
        patch.setenv("LOKY_MAX_CPU_COUNT", "all")
        check_environment()
    with monkeypatch.context() as patch, pytest.raises(ValueError, match="no folder for temporary"):
        patch.setattr(tempfile, "gettempdir", no_folder)
        check_environment()
    with monkeypatch.context() as patch, pytest.raises(ValueError, match="has no room"):
        usage = namedtuple("usage", "total used free")
        patch.setattr(shutil, "disk_usage", lambda folder: usage(100, 90, 10))
        check_environment(room=10)
        check_environment(room=11)
    with monkeypatch.context() as patch, pytest.raises(ValueError, match="matplotlib cannot start"):
        patch.setitem(sys.modules, "matplotlib", None)
        check_environment()


def test_an_editable_install_is_a_path():
    """With an import hook, scripts beside a clone called nnlite would find the clone's folder.

    setuptools makes a hook unless package_dir has just the one entry; .ci/run imports nnlite there.
    """
    config = ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    assert config["options"]["package_dir"].split() == ["=", "."]
