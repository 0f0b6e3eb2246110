"""What README shows has to work as it stands."""

import re
import shlex
from pathlib import Path

import pytest

import exp3

ROOT = Path(__file__).resolve().parents[1]
TEXTS = {
    path: (ROOT / path).read_text(encoding="utf-8")
    for path in ("README.md", "CONTRIBUTING.md", "experiments/README.md")
}
README = TEXTS["README.md"]
COMMANDS = re.findall(r"^python experiments/exp3.py (.+)$", "\n".join(TEXTS.values()), re.M)


(TOUR,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_tour_runs(capsys):
    exec(TOUR, {})
    out = capsys.readouterr().out
    assert "step 19" in out and "fc1.weight" in out and "act1" in out


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_are_understood(line, monkeypatch):
    arguments = shlex.split(line, comments=True)
    if arguments not in (["--help"], ["--study", "list"]):
        exp3.parse(arguments)


@pytest.mark.parametrize("path", TEXTS)
def test_links_lead_to_files(path):
    links = re.findall(r"\]\((?!http)([^)#]+)", TEXTS[path])
    assert links
    assert [link for link in links if not ((ROOT / path).parent / link).exists()] == []


def test_every_module_is_introduced():
    for folder in ("nnlite", "experiments"):
        for path in (ROOT / folder).rglob("*.py"):
            module = path.relative_to(ROOT).as_posix()
            room = f"{path.parent.relative_to(ROOT).as_posix()}/"
            passed_on = path.name == "__init__.py" or "the old name" in path.read_text()
            assert passed_on or f"]({module})" in README or f"]({room})" in README, module
