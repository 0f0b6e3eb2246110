"""experiments/exercises/__main__.py: new, bug, reveal, grade on the command line."""

import filecmp
import os
import runpy
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

from blanks import EXERCISES
from mistakes import MISTAKES
from sweep.options import parse

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "experiments" / "exercises"
main = runpy.run_path(str(FOLDER / "__main__.py"))["main"]


def run(*arguments):
    return main([*map(str, arguments)])


def changed(folder):
    """The modules of a folder's nnlite that are not as here."""
    names = [path.relative_to(ROOT) for path in (ROOT / "nnlite").rglob("*.py")]
    return [name.as_posix() for name in names if not filecmp.cmp(ROOT / name, folder / name, False)]


def test_new_has_holes_a_check_and_the_answers_out_of_sight(tmp_path, capsys):
    assert run("new", tmp_path / "mine") == 0
    assert "15 exercises to write" in capsys.readouterr().out
    folder = tmp_path / "mine"
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "answers.zip",
        "check.py",
        "nnlite",
    ]
    assert sorted(changed(folder)) == sorted({f"nnlite/{e.module}.py" for e in EXERCISES})
    texts = [path.read_text("utf-8") for path in folder.rglob("*.py")]
    assert sum(text.count("# TO DO (") for text in texts) == sum(len(e.write) for e in EXERCISES)
    archive = zipfile.ZipFile(folder / "answers.zip")
    layers = archive.read("nnlite/layers.py").decode().splitlines()
    assert layers == (ROOT / "nnlite" / "layers.py").read_text("utf-8").splitlines()


def test_only_some_exercises(tmp_path, capsys):
    assert run("new", tmp_path / "mine", "--only", "linear", "adam") == 0
    assert "3 exercises to write: look for TO DO. The first is linear_forward" in (
        capsys.readouterr().out
    )
    assert sorted(changed(tmp_path / "mine")) == ["nnlite/layers.py", "nnlite/optimizers.py"]


def test_the_readme_of_a_folder_with_holes_says_how_to_start_and_how_to_check(tmp_path, capsys):
    run("new", tmp_path / "mine", "--only", "adam")
    text = (tmp_path / "mine" / "README.md").read_text("utf-8")
    assert "Begin with adam, in nnlite/optimizers.py." in text
    for words in ("python check.py --watch", "--hint 1", "nnlite.gradcheck", "open answers.zip"):
        assert words in text
    assert "README.md" in capsys.readouterr().out


@pytest.mark.parametrize("level", [1, 2, 3])
def test_the_readme_of_a_hunt_has_a_command_that_the_lab_accepts(level, tmp_path, capsys):
    run("bug", tmp_path / "hunt", "--level", level)
    said = capsys.readouterr().out
    text = (tmp_path / "hunt" / "README.md").read_text("utf-8")
    assert f"One mistake of level {level} " in text and f"One mistake of level {level} " in said
    for words in ("python -m nnlite.gradcheck", "\n1. ", "\n2. ", "\n3. ", "reveal DIR"):
        assert words in text
    assert "You may read tests/library" in text and "-m pytest" not in text + said
    (command,) = (line for line in text.splitlines() if "experiments/exp3.py" in line)
    assert command in said
    options = parse(command.split("exp3.py ")[1].split())
    assert options.seed == [42] and len(options.activation) * len(options.optimizer) == 15


@pytest.mark.parametrize("level", [1, 2, 3])
def test_bug_plants_one_mistake_and_reveal_tells(level, tmp_path, capsys):
    folder = tmp_path / "hunt"
    assert run("bug", folder, "--level", level, "--seed", 7) == 0
    said = capsys.readouterr().out
    (module,) = changed(folder)
    assert run("reveal", folder) == 0
    told = capsys.readouterr().out
    (mistake,) = (m for m in MISTAKES if told.startswith(f"{m.name}\n{module}, line "))
    assert mistake.level == level and mistake.hint in told
    right, here = (textwrap.indent(text, "    ") for text in (mistake.old, mistake.new))
    assert f"\nright:\n{right}\nhere:\n{here}\n" in told
    here, there = (path.read_text("utf-8") for path in (ROOT / module, folder / module))
    line = int(told.split(", line ")[1].partition(",")[0]) - 1
    assert here.splitlines()[:line] == there.splitlines()[:line]
    assert here.splitlines()[line] != there.splitlines()[line]
    # Nothing that a hunter comes across gives it away.
    assert mistake.name not in said
    assert not [p for p in folder.rglob("*") if p.name in (".git", "mistakes.py", "blanks.py")]
    for path in folder.rglob("*"):
        assert path.is_dir() or mistake.hint.encode() not in path.read_bytes()


def test_the_same_seed_plants_the_same_mistake(tmp_path, capsys):
    told = []
    for k, seed in enumerate((3, 3, *range(8))):
        run("bug", tmp_path / str(k), "--level", 3, "--seed", seed)
        capsys.readouterr()
        run("reveal", tmp_path / str(k))
        told.append(capsys.readouterr().out)
    assert told[0] == told[1] and len(set(told)) > 3


def test_a_hunted_copy_trains_with_its_own_nnlite(tmp_path):
    run("bug", tmp_path / "hunt")
    (tmp_path / "hunt" / "nnlite" / "__init__.py").write_text("raise SystemExit('it is me')")
    healthy = os.environ | {"PYTHONPATH": str(ROOT)}
    for command in (["experiments/exp3.py", "--help"], ["-m", "nnlite.gradcheck"]):
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path / "hunt", env=healthy, capture_output=True
        )
        assert b"it is me" in done.stderr


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["new", "."], "exists already: name a new folder"),
        (["bug", "."], "exists already: name a new folder"),
        (["new", "mine", "--only", "linaer"], "unknown exercise 'linaer': choose from sigmoid"),
        (["grade", ".", "--only", "linaer"], "unknown exercise 'linaer': choose from sigmoid"),
        (["grade", "nowhere"], "there is no folder nnlite in nowhere"),
        (["reveal", "."], "is no folder that `bug` has made"),
        (["new", "file/mine"], "file/mine"),
    ],
    ids=str,
)
def test_what_is_wrong_is_one_sentence(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    error = capsys.readouterr().err
    assert stop.value.code == 2 and words in error and error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
