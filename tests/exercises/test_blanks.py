"""experiments/exercises/blanks.py: the exercises, and the holes."""

import ast
from pathlib import Path

import pytest

from blanks import EXERCISES, chosen, cut, places

ROOT = Path(__file__).resolve().parents[2]


def source_of(exercise):
    return (ROOT / "nnlite" / f"{exercise.module}.py").read_text("utf-8")


def function(source, name):
    body, k = places(ast.parse(source))[name]
    return body[k]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.name)
def test_a_hole_keeps_the_docstring_and_nothing_of_the_answer(exercise):
    source = source_of(exercise)
    holed = cut(source, [exercise])
    for name in exercise.write:
        before, after = function(source, name), function(holed, name)
        assert ast.get_docstring(after) == ast.get_docstring(before)
        assert ast.unparse(after.args) == ast.unparse(before.args)
        *given, hole = after.body
        assert ast.unparse(hole) == f"raise NotImplementedError('{name} is to do')"
        kept = [ast.unparse(statement) for statement in given]
        assert kept == [ast.unparse(statement) for statement in before.body[: len(kept)]]
        assert len(kept) < len(before.body)
        answer = [ast.unparse(statement) for statement in before.body[len(kept) :]]
        assert not any(line in ast.unparse(after) for line in answer)
        text = ast.get_source_segment(holed, after)
        comments = [line.strip() for line in text.splitlines() if line.strip().startswith("#")]
        assert comments[0].startswith(f"# TO DO ({exercise.name}): ")
        assert all(len(line) <= 100 for line in text.splitlines())


def test_checks_of_the_arguments_stay():
    layers = cut(source_of(chosen(["linear"])[0]), chosen(["linear"]))
    assert "check_floats(x)\n        if x.ndim < 2" in layers and "xp = array_module(dz)" in layers
    losses = cut(source_of(chosen(["loss"])[0]), chosen(["loss"]))
    assert "check_labels(labels, logits.shape)" in losses and "call forward first" in losses


def test_all_other_functions_stay_as_they_are():
    for module in {e.module for e in EXERCISES}:
        own = [e for e in EXERCISES if e.module == module]
        source = source_of(own[0])
        holed = places(ast.parse(cut(source, own)))
        holes = {name for e in own for name in e.write}
        for name, (body, k) in places(ast.parse(source)).items():
            if isinstance(body[k], ast.FunctionDef) and name not in holes:
                there, i = holed[name]
                assert ast.dump(there[i]) == ast.dump(body[k])


def test_names_choose_exercises_in_order():
    assert [e.name for e in chosen(["adam", "linear"])] == [
        "linear_forward",
        "linear_backward",
        "adam",
    ]
    assert chosen([]) == EXERCISES
    assert len({e.name for e in EXERCISES}) == len(EXERCISES) >= 15
    with pytest.raises(ValueError, match="unknown exercise 'line': choose from sigmoid, tanh"):
        chosen(["adam", "line"])
