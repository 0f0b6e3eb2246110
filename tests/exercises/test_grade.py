"""experiments/exercises/grade.py: one submission does no harm to the others."""

import json
import sys
from pathlib import Path

import psutil
import pytest

from blanks import chosen, cut
from grade import table

ROOT = Path(__file__).resolve().parents[2]
# What linear_forward does before it is right, or instead of it.
DEEDS = {
    "deletes": "import shutil; shutil.rmtree('.', True); shutil.rmtree('nnlite', True)",
    "kills": "import os; os._exit(0)",
    "listens": "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()",
    "loops": "while True: pass",
    "eats": "big = []\n        while True: big.append(bytearray(10**8))",
    "leaves": "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', 'input()'], "
    "stdin=subprocess.PIPE); open({pid!r}, 'w').write(str(child.pid)); child.stdin = None",
}


@pytest.fixture
def submissions(tmp_path):
    """A folder for each deed, and an honest one at either end."""
    if not sys.platform.startswith("linux"):
        DEEDS.pop("eats", None)  # others do not limit memory
    text = (ROOT / "nnlite" / "layers.py").read_text("utf-8")
    for name in ("a", *DEEDS, "z"):
        deed = DEEDS.get(name, "pass").replace("{pid!r}", repr(str(tmp_path / "pid")))
        (tmp_path / name / "nnlite").mkdir(parents=True)
        path = tmp_path / name / "nnlite" / "layers.py"
        path.write_text(text.replace("self.x = x\n", f"self.x = x\n        {deed}\n"), "utf-8")
    return tmp_path


def test_harm_is_done_to_nobody_else(submissions):
    folders = [submissions / name for name in ("a", *DEEDS, "z")]
    found = json.loads(table(folders, ["linear"], as_json=True))
    says = {Path(name).name: results for name, results in found.items()}
    assert list(says) == ["a", *DEEDS, "z"]
    for name in ("a", "z", "listens", "leaves"):
        assert [r["status"] for r in says[name]] == ["right", "right"]
    for name in set(DEEDS) - {"deletes", "listens", "leaves"}:
        assert [r["status"] for r in says[name]] == ["wrong", "right"]
    assert says["deletes"][0]["status"] == "right"  # then its own copy is gone
    assert all((folder / "nnlite" / "layers.py").is_file() for folder in folders)
    child = int((submissions / "pid").read_text())
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie"


def test_the_table_has_a_row_for_each(submissions):
    path = submissions / "z" / "nnlite" / "layers.py"
    text = cut(path.read_text("utf-8"), chosen(["linear_forward"]))
    path.write_text(text.replace("dz.sum(axis=-2", "dz.mean(axis=-2"), "utf-8")
    said = table([submissions / "a", submissions / "z"], ["linear"], as_json=False)
    of_a, of_z = said.splitlines()[:2]
    assert of_a.endswith("a  2 of 2 right")
    words = "z  0 of 2 right; wrong: linear_backward (dbias is a mean); to do: linear_forward"
    assert of_z.endswith(words)


def test_a_folder_without_nnlite_is_refused(tmp_path):
    with pytest.raises(ValueError, match="there is no folder nnlite in"):
        table([tmp_path], [], as_json=False)
