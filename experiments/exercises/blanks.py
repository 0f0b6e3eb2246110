"""The exercises: which functions a student writes, and how the holes are cut from nnlite's source.

Each exercise is checked with all other functions as the library has them, so a wrong one never
makes another one wrong. Their order is only the order in which they are good to write.
"""

import ast
import textwrap
from collections.abc import Iterable
from typing import NamedTuple

# Name and module of each exercise, and below it the functions to write, and what to write there.
TABLE = """
sigmoid activations
    sigmoid: return 1 / (1 + exp(-z)), for numbers far from 0 too
    Sigmoid.forward: return a, and keep on self what backward needs
    Sigmoid.backward: return da times f'(z)
tanh activations
    Tanh.forward: return a, and keep on self what backward needs
    Tanh.backward: return da times f'(z)
relu activations
    ReLU.forward: return a, and keep on self what backward needs; z itself must not change
    ReLU.backward: return da times f'(z)
linear_forward layers
    Linear.forward: keep x as self.x; return z; (N, D_in) is enough here: no stack
linear_backward layers
    Linear.backward: from self.x and dz fill self.dweight and self.dbias; \
return dx, or None if self.input_gradient is off; (N, D_out) is enough here: no stack
loss_forward losses
    SoftmaxCrossEntropy.forward: keep p as self.probabilities and one_hot(y) as self.one_hot; \
return L (logits may be 1000); (N, C) is enough here: no stack
loss_backward losses
    SoftmaxCrossEntropy.backward: return dL/dz from self.probabilities and self.one_hot; \
(N, C) is enough here: no stack
mlp_backward network
    MLP.backward: go through self.layers from the last to the first; store dL/d(its output) of \
each in self._output_gradients[name]; return dL/dx
sgd optimizers
    SGD.formula: change theta in place, and return it
momentum optimizers
    SGDMomentum.formula: change velocity and theta in place; return theta, velocity
rmsprop optimizers
    RMSprop.formula: change v and theta in place; return theta, v
adam optimizers
    Adam.formula: change m, v and theta in place; return theta, m, v
    Adam.step: count self.t, then call self.formula with the arrays and numbers that it takes
adamw optimizers
    AdamW.step: shrink self.theta in place, then take Adam's step
cosine schedulers
    Cosine.__call__: return the rate of this epoch
gelu activations
    GELU.forward: return a (normal_cdf computes Phi), and keep on self what backward needs
    GELU.backward: return da times f'(z)
"""


class Exercise(NamedTuple):
    """One thing to write: its name, nnlite's module, and what to write in which function."""

    name: str
    module: str
    write: dict[str, str]


EXERCISES: list[Exercise] = []
for line in TABLE.strip().splitlines():
    if line.startswith(" "):
        function, what = line.strip().split(": ", 1)
        EXERCISES[-1].write[function] = what
    else:
        EXERCISES.append(Exercise(*line.split(), {}))


def chosen(names: Iterable[str]) -> list[Exercise]:
    """Return the exercises of these names, in order; "linear" is linear_forward and _backward.

    No names mean all. Raises ValueError for an unknown name.
    """
    found = []
    for name in names:
        own = [e for e in EXERCISES if e.name == name or e.name.startswith(f"{name}_")]
        if not own:
            known = ", ".join(e.name for e in EXERCISES)
            raise ValueError(f"unknown exercise {name!r}: choose from {known}")
        found += own
    return [e for e in EXERCISES if e in found or not found]


def places(tree: ast.Module) -> dict[str, tuple[list[ast.stmt], int]]:
    """Return where each function, class and table is, {"Linear.forward": (body, index), ...}.

    body[index] is its syntax tree.
    """
    found = {}

    def look(body: list[ast.stmt], outer: str) -> None:
        for k, node in enumerate(body):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found[outer + node.target.id] = body, k
            elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                found[outer + node.name] = body, k
                look(node.body, f"{outer}{node.name}.")

    look(tree.body, "")
    return found


def cut(source: str, exercises: Iterable[Exercise]) -> str:
    """Return a module's source with the bodies of these exercises' functions taken out."""
    lines = source.splitlines(keepends=True)
    where = places(ast.parse(source))
    holes = []
    for exercise in exercises:
        for function, what in exercise.write.items():
            body, k = where[function]
            holes.append((body[k], function, f"TO DO ({exercise.name}): {what}."))
    # From the last one up: so the line numbers of the others stay right.
    for node, function, text in sorted(holes, key=lambda hole: -hole[0].lineno):
        given = [k for k, statement in enumerate(node.body) if is_given(statement, k)]
        start = node.body[given[-1]].end_lineno if given else node.body[0].lineno - 1
        given = [line for line in lines[node.lineno : start] if not line.lstrip().startswith("#")]
        indent = " " * node.body[0].col_offset
        to_do = textwrap.wrap(text, 96 - len(indent))
        lines[node.lineno : node.end_lineno] = [
            *given,
            *(f"{indent}# {line}\n" for line in to_do),
            f'{indent}raise NotImplementedError("{function} is to do")\n',
        ]
    return "".join(lines)


def is_given(statement: ast.stmt, k: int) -> bool:
    """Is it left to the student: the docstring, a check of the arguments, or `xp`?"""
    if isinstance(statement, ast.If):
        return isinstance(statement.body[0], ast.Raise)
    text = ast.unparse(statement)
    docstring = k == 0 and isinstance(statement, ast.Expr) and text[0] in "'\""
    return docstring or text.startswith(("check_", "array_module(", "xp = array_module("))
