"""experiments/exercises/mistakes.py: the table of known mistakes."""

import ast
from pathlib import Path

import pytest

from blanks import places
from mistakes import MISTAKES, Mistake, read

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = """
layers Linear.backward
1 a name: A hint: with a colon.
  old -> new
3 another: Two lines, of which one is deeper.
      first
      second
->
      second

network MLP
2 third: Last?
  a ->
"""


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.name)
def test_each_applies_once_and_changes_what_the_function_does(mistake):
    source = (ROOT / "nnlite" / f"{mistake.module}.py").read_text("utf-8")
    before, after = (places(ast.parse(text)) for text in (source, mistake.plant(source)))
    changed = {
        name
        for name, (body, k) in before.items()
        if ast.dump(body[k]) != ast.dump(after[name][0][after[name][1]])
    }
    assert mistake.function in changed
    assert changed <= {mistake.function, mistake.function.partition(".")[0]}


def test_the_table_is_large_enough_and_has_all_levels():
    assert len(MISTAKES) >= 40
    assert len({m.name for m in MISTAKES}) == len(MISTAKES)
    assert {m.level for m in MISTAKES} == {1, 2, 3}
    assert all(m.hint.endswith((".", "?")) and m.old not in m.hint for m in MISTAKES)


def test_how_the_table_is_read():
    first, second, third = read(EXAMPLE)
    assert first == Mistake(
        "a name", "layers", "Linear.backward", 1, "old", "new", "A hint: with a colon."
    )
    assert (second.old, second.new, second.level) == ("first\nsecond", "second", 3)
    assert (third.module, third.function, third.new) == ("network", "MLP", "")


def test_what_does_not_fit_exactly_once_is_refused():
    source = "def f():\n    for x in y:\n        x += 1\n        x += 1\n        x += 2\n"
    twice = Mistake("name", "module", "f", 1, "x += 1", "pass", "Why?")
    for mistake, times in ((twice, 2), (twice._replace(old="x += 3"), 0)):
        with pytest.raises(ValueError, match=f"'name' fits f {times} times"):
            mistake.plant(source)
    swapped = twice._replace(old="x += 1\nx += 2", new="x += 2\nx += 1").plant(source)
    assert swapped.endswith("        x += 1\n        x += 2\n        x += 1\n")
