"""experiments/exercises/check.py: what is right, what is wrong and where, which mistake it is."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

import check
from blanks import EXERCISES, chosen, cut
from mistakes import MISTAKES

ROOT = Path(__file__).resolve().parents[2]
EXERCISE_OF = {(e.module, function): e.name for e in EXERCISES for function in e.write}
KNOWN = [m for m in MISTAKES if (m.module, m.function) in EXERCISE_OF]
SHORT = {
    "step 1": "step 1 with g = [0.5, -1.0, 1e-08, 0.0] and rate 0.1",
    "far": "logits (1000, 998, 997), (-1000, -1001, -1003), (2000, 0, 1)",
}
# Exercise | what the library has | what a student wrote
#     where that differs | their number | the right one. None is in the table of mistakes.
WRONG = r"""
sigmoid | 1 / (1 + array | 1 / (2 + array
    Sigmoid.forward: a[0, 0] | 0.422318798 | 0.731058579
sigmoid | self.a * sigmoid(-self.z) | self.a * sigmoid(-self.z) / 2
    Sigmoid.backward: dz[0, 0] | 0.0688141766 | 0.137628353
tanh | .tanh(z) | .tanh(2 * z)
    Tanh.forward: a[0, 0] | 0.96402758 | 0.761594156
tanh | (4 * e / | (2 * e**2 /
    Tanh.backward: dz[0, 0] | 0.0198930713 | 0.293982039
relu | maximum(z, 0) | maximum(z, 0.01 * z)
    ReLU.forward: a[0, 2] | -0.004 | 0
relu | self.a > 0 | self.a > 1
    ReLU.backward: dz[0, 0] | 0 | 0.7
gelu | return z * self.Phi | return z * self.Phi**2
    GELU.forward: a[0, 0] | 0.707860982 | 0.841344746
gelu | self.Phi + self.z * phi | self.Phi - self.z * phi
    GELU.backward: dz[0, 0] | 0.419561815 | 0.758320829
linear_forward | z += self.bias | z -= self.bias
    Linear.forward: z[0, 0] | 0.8 | 1
linear_forward | self.x = x | self.x = 2 * x
    Linear.forward: self.x[0, 0] | 2 | 1
linear_backward | return dz @ self.weight.mT | return -dz @ self.weight.mT
    Linear.backward: dx[0, 0] | -0.61 | 0.61
linear_backward | dz.sum(axis=-2, out=self.dbias) | self.dbias = dz[0]
    Linear.backward: dbias[0] | 0.7 | -0.1
loss_forward | / N | / (N + 1)
    SoftmaxCrossEntropy.forward, one sample: L | 0.506849369 | 1.01369874
loss_forward | logits.max( | logits.min(
    SoftmaxCrossEntropy.forward, far: L | inf | 667.172953
loss_backward | (1 / N) | (2 / N)
    SoftmaxCrossEntropy.backward: dL/dz[0, 0] | 0.255665094 | 0.127832547
loss_backward | - self.one_hot) | - 2 * self.one_hot)
    SoftmaxCrossEntropy.backward: dL/dz[0, 1] | -0.409281421 | -0.159281421
mlp_backward | layer.backward(gradient) | layer.backward(gradient) / 2
    MLP.backward: d(fc1.bias)[0] | 0.00206255296 | 0.00825021185
mlp_backward | [name] = gradient | [name] = 2 * gradient
    MLP.backward: _output_gradients['fc2'][0, 0] | 0.131044545 | 0.0655222725
sgd | theta -= learning_rate * g | theta -= learning_rate * g * g
    SGD.formula, step 1: theta[0] | 0.975 | 0.95
momentum | velocity += g | velocity -= g
    SGDMomentum.formula, step 1: velocity[0] | -0.5 | 0.5
rmsprop | one_minus_alpha * (g * g) | one_minus_alpha * abs(g)
    RMSprop.formula, step 1: v[0] | 0.005 | 0.0025
adam | m += one_minus_beta1 * g | m += g
    Adam, step 1: m[0] | 0.5 | 0.05
adam | 1 / (1 - beta2**self.t) | 1 / (1 - beta1**self.t)
    Adam, step 1: theta[0] | 1.9999996e-07 | 0.900000002
adamw | 1 - self.learning_rate * self | 1 - 2 * self.learning_rate * self
    AdamW.step, step 1: theta[0] | 0.898000002 | 0.899000002
cosine | math.cos( | math.sin(
    Cosine.__call__, epoch 0 of 20, from 0.1 on: the rate | 0.05 | 0.1
"""


def by_name(name):
    return chosen([name])[0]


# ---- right and wrong


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.name)
def test_the_library_s_own_bodies_are_right(exercise):
    assert check.grade(exercise, ROOT) == {"exercise": exercise.name, "status": "right"}


# exercise, what the library has, another way to write it
OTHERWISE = """
sigmoid | self.a * sigmoid(-self.z) | self.a * (1 - self.a)
tanh | (4 * e / (1 + e) ** 2) | (1 - np.tanh(self.z) ** 2)
relu | array_module(z).maximum(z, 0) | np.where(z > 0, z, 0)
linear_backward | xp.matmul(self.x.mT, dz, out=self.dweight) | self.dweight[:] = self.x.T.dot(dz)
linear_backward | dz.sum(axis=-2, out=self.dbias) | self.dbias = sum(dz)
loss_forward | labels[..., None] == xp.arange(classes) | np.eye(classes)[labels]
loss_backward | * (1 / N) | / len(self.probabilities)
mlp_backward | reversed(self.layers.items()) | list(self.layers.items())[::-1]
sgd | theta -= learning_rate * g | theta[:] = theta - learning_rate * g
momentum | velocity *= momentum; velocity += g | velocity[...] = momentum * velocity + g
adam | sqrt(v_scale * v) | (v_scale * v) ** 0.5
cosine | math.cos(math.pi * epoch / self.epochs) | np.cos(np.pi * epoch / self.epochs)
"""


@pytest.mark.parametrize("row", OTHERWISE.strip().splitlines())
def test_another_way_to_write_it_is_right(row, student):
    name, old, new = row.replace("; ", "\n").split(" | ")
    if name == "cosine":
        student.answers(name, "import math\n", "import math\nimport numpy as np\n")
    assert student.answers(name, old, new)["status"] == "right"


@pytest.mark.parametrize(
    "name, old, new",
    [
        ("linear_forward", "self.bias[..., None, :]", "self.bias"),
        (
            "linear_backward",
            "xp.matmul(self.x.mT, dz, out=self.dweight)",
            "self.dweight = self.x.T @ dz",
        ),
        ("linear_backward", "dz.sum(axis=-2, out=self.dbias)", "self.dbias = dz.sum(axis=0)"),
        ("loss_forward", "picked.sum(axis=(-2, -1))", "picked.sum()"),
        ("loss_backward", "self.probabilities.shape[-2]", "len(self.probabilities)"),
    ],
)
def test_what_works_for_one_network_only_is_right_and_the_hole_says_so(name, old, new, student):
    assert student.answers(name, old, new)["status"] == "right"
    assert all("is enough here: no stack" in what for what in by_name(name).write.values())


@pytest.mark.parametrize("row", WRONG.strip().replace("\n    ", " | ").splitlines())
def test_what_is_not_in_the_table_is_wrong_at_the_right_place(row, student):
    name, old, new, where, yours, right = row.split(" | ")
    for short, long in SHORT.items():
        where = where.replace(f", {short}:", f", {long}:")
    found = student.answers(name, old, new)
    assert found["status"] == "wrong" and "mistake" not in found
    assert (found["where"], found["yours"], found["right"]) == (where, yours, right)


@pytest.mark.parametrize("mistake", KNOWN, ids=lambda m: m.name)
def test_a_known_mistake_is_named(mistake, student):
    path = student.folder / "nnlite" / f"{mistake.module}.py"
    path.write_text(mistake.plant(path.read_text("utf-8")), "utf-8")
    found = check.grade(by_name(EXERCISE_OF[mistake.module, mistake.function]), student.folder)
    assert (found["status"], found.get("mistake")) == ("wrong", mistake.name)
    assert found["hint"] == mistake.hint


def test_of_all_known_mistakes_enough_are_a_student_s():
    assert len(KNOWN) >= 30
    counts = Counter(EXERCISE_OF[m.module, m.function] for m in KNOWN)
    assert set(counts) == {e.name for e in EXERCISES}  # each exercise has some


def test_a_known_mistake_is_named_however_it_is_written(student):
    found = student.answers(
        "linear_backward", "dz.sum(axis=-2, out=self.dbias)", "self.dbias = sum(dz) / len(dz)"
    )
    assert found["mistake"] == "dbias is a mean"


def test_a_sum_is_named_although_the_logarithm_of_a_0_follows(student):
    right = "(xp.log(total).sum(axis=(-2, -1)) - picked.sum(axis=(-2, -1))) / N"
    wrong = "-xp.log(self.probabilities[xp.arange(N), labels]).sum()"
    assert student.answers("loss_forward", right, wrong)["mistake"] == "a sum, not a mean"


def test_a_gradient_that_only_a_local_name_has_was_not_written(student):
    for old, new, what in (
        ("dz.sum(axis=-2, out=self.dbias)", "dbias = dz.sum(axis=-2)", "dbias"),
        ("xp.matmul(self.x.mT, dz, out=self.dweight)", "dweight = self.x.mT @ dz", "dweight"),
    ):
        found = student.answers("linear_backward", old, new)
        assert found == {
            "exercise": "linear_backward",
            "status": "wrong",
            "where": f"Linear.backward: {what}",
            "kind": f"self.{what} was not written: it is 0 as before",
        }


def test_with_a_mistake_in_forward_another_one_in_backward_does_not_hide_its_name(student):
    student.answers("sigmoid", "self.a * sigmoid(-self.z)", "self.a * 7")
    found = student.answers("sigmoid", ".exp(-z)", ".exp(z)")
    assert found["mistake"] == "the sign of the exponent"


def test_an_earlier_mistake_makes_no_later_exercise_wrong(student):
    student.answers("linear_forward", "x @ self.weight", "x @ self.weight * float('nan')")
    student.answers("adam", "m *= beta1", "m *= 0")
    for name in ("linear_backward", "mlp_backward", "adamw"):
        assert check.grade(by_name(name), student.folder)["status"] == "right"


def test_functions_and_imports_of_the_student_s_own_count(student):
    student.answers("linear_forward", "from .backend", "import math as m\n\nfrom .backend")
    helper = "class Layer:\n    def twice(self, z):\n        return m.sqrt(4) * z\n\n"
    student.answers("linear_forward", "class Layer:\n", helper)
    found = student.answers(
        "linear_forward", "        return z\n", "        return self.twice(z)\n"
    )
    assert (found["yours"], found["right"]) == ("2", "1")


# ---- answers that are no numbers


@pytest.mark.parametrize(
    "old, new, said",
    [
        ("return z\n", "return z[:2]\n", {"yours": "of shape (2, 3)", "right": "of shape (4, 3)"}),
        ("return z\n", "pass\n", {"yours": "nothing (None)"}),
        ("return z\n", "return 'z'\n", {"yours": "a str"}),
        ("return z\n", "return z * np.nan\n", {"yours": "nan", "kind": "NaN or infinity came up"}),
        ("return z\n", "return z / 0\n", {"yours": "inf"}),
        ("return z\n", "1 / 0\n", {"kind": "ZeroDivisionError: division by zero"}),
        ("return z\n", "raise SystemExit('bye')\n", {"kind": "SystemExit: bye"}),
        ("return z\n", "return self.forward(x)\n", {"kind": "Recursion"}),
        ("return z\n", "return np.empty(10**15)\n", {"kind": "MemoryError"}),
        ("return z\n", "return z)\n", {"kind": "SyntaxError: unmatched ')'"}),
        ("z += self.bias", "    z += self.bias", {"kind": "IndentationError: unexpected indent"}),
    ],
    ids=lambda value: str(value)[:20],
)
def test_whatever_it_does_is_an_answer(old, new, said, student):
    student.answers("linear_forward", "from .backend", "import numpy as np\n\nfrom .backend")
    found = student.answers("linear_forward", old, new)
    assert found["status"] == "wrong"
    for key, text in said.items():
        assert found[key].startswith(text)
    if "Error" in said.get("kind", ""):  # the line of their own file
        path = student.folder / "nnlite" / "layers.py"
        (line,) = re.fullmatch(r"nnlite/layers.py, line (\d+)", found["where"]).groups()
        assert new.strip() in path.read_text("utf-8").splitlines()[int(line) - 1]


def test_float64_for_float32_is_wrong(student):
    found = student.answers("tanh", "array_module(z).tanh(z)", "np.tanh(z).astype('float64')")
    assert (found["yours"], found["right"]) == ("float64", "float32")


def test_a_file_that_is_gone_is_wrong(student):
    (student.folder / "nnlite" / "layers.py").unlink()
    found = check.grade(by_name("linear_forward"), student.folder)
    assert (found["status"], found["where"]) == ("wrong", "nnlite/layers.py")
    assert found["kind"].startswith("FileNotFoundError")


def test_what_kind_of_thing_differs(student):
    for old, new, kind in (
        ("return z\n", "return -z\n", "the sign"),
        ("return -z\n", "return 3 * z\n", "a factor: it is 3 times that"),
        ("return 3 * z\n", "return z + (z > 1)\n", "3 of 12 numbers"),
    ):
        assert student.answers("linear_forward", old, new)["kind"] == kind


def test_of_a_single_number_the_factor_is_said_and_whether_it_is_the_samples(student):
    for name, old, new, kind in (
        ("loss_forward", ") / N", ") / 1", "this number: it is 4 times that; there are 4 samples"),
        (
            "loss_forward",
            ") / 1",
            ") / N**2",
            "this number: it is 0.25 times that; there are 4 samples",
        ),
        ("loss_forward", ") / N**2", ") / N**3", "this number: it is 0.0625 times that"),
        (
            "cosine",
            "epoch / self.epochs)) / 2",
            "epoch / self.epochs))",
            "this number: it is 2 times that",
        ),
        ("cosine", "(1 + math.cos(", "0 * (1 + math.cos(", "this number"),
    ):
        assert student.answers(name, old, new)["kind"] == kind


# ---- in a process


def test_an_endless_loop_and_a_sudden_end_are_answers_and_the_rest_is_checked(student, capfd):
    student.answers("loss_backward", "* (1 / N)", "* (1 / N) * print('I was here')")
    path = student.folder / "nnlite" / "layers.py"
    text = path.read_text("utf-8").replace("self.x = x\n", "self.x = x\n        while True: pass\n")
    text = text.replace("xp.matmul(", "import os; os._exit(0); xp.matmul(")
    path.write_text(text, "utf-8")
    names = ["linear", "loss_backward", "sgd"]
    loop, end, printed, right = check.results(student.folder, names)
    assert loop["kind"] == f"it does not end within {check.SECONDS} seconds"
    assert re.fullmatch(r"nnlite/layers.py, line \d+", loop["where"])
    assert end["kind"] == "it ended the process"
    assert printed["kind"].startswith("TypeError") and right["status"] == "right"
    assert "I was here" in capfd.readouterr().err  # for a student who looks for a mistake


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="others do not limit memory")
def test_memory_is_limited(student):
    found = student.answers("sgd", "import numpy as np\n", "import numpy as np\nbig = None\n")
    assert found["status"] == "right"
    path = student.folder / "nnlite" / "optimizers.py"
    hog = path.read_text("utf-8").replace("big = None\n", f"big = bytearray({check.MEMORY})\n")
    path.write_text(hog, "utf-8")
    (found,) = check.results(student.folder, ["sgd"])
    assert found["kind"] == "MemoryError" and found["where"].startswith(
        "nnlite/optimizers.py, line"
    )


# ---- the command


def run(*arguments):
    return check.main([*map(str, arguments)])


def test_the_table_and_three_steps_of_hints(student, capsys):
    student.answers("loss_backward", "(1 / N)", "1")
    said = {}
    for hint in (1, 2, 3):
        only = ["--only", "loss", "--folder", student.folder, "--hint", hint]
        assert run(*only) == 1
        said[hint] = capsys.readouterr().out
    assert re.search("loss_forward +right\nloss_backward +wrong +SoftmaxCross", said[1])
    assert "is 0.511330187, but should be 0.127832547 (finite differences)" in said[1]
    assert ["What differs: a factor: it is 4 times" in said[k] for k in (1, 2, 3)] == [0, 1, 1]
    assert ["The mistake: the gradient of the SUM. " in said[k] for k in (1, 2, 3)] == [0, 0, 1]
    assert said[1].endswith("1 of 2 are right. Next: loss_backward, in nnlite/losses.py.\n")


def test_an_exception_is_said_with_its_line_at_each_hint(student, capsys):
    student.answers("sgd", "theta -= learning_rate * g", "theta -= learning_rat * g")
    for hint in (1, 2, 3):
        run("--only", "sgd", "--folder", student.folder, "--hint", hint)
        said = capsys.readouterr().out
        assert re.search(r"wrong +nnlite/optimizers.py, line \d+\n +NameError: name 'learn", said)


def test_nothing_for_an_array_differs_in_type(student, capsys):
    student.answers("linear_backward", "return dz @ self.weight.mT", "dz @ self.weight.mT")
    run("--only", "linear_backward", "--folder", student.folder)
    assert "is nothing (None), but should be an array of shape (4, 2)" in (
        said := capsys.readouterr().out
    )
    assert "What differs: the type\n" in said


def test_what_goes_wrong_only_later_is_said_in_words(student):
    found = student.answers(
        "linear_backward", "dz.sum(axis=-2, out=self.dbias)", "self.dbias += dz.sum(axis=-2)"
    )
    assert found["where"] == "Linear.backward, when it is called a second time: dbias[0]"


def test_json_says_it_all(student, capsys):
    student.answers("sgd", "theta -= learning_rate * g", "theta += learning_rate * g")
    assert run("--json", "--only", "sgd", "adam", "--folder", student.folder) == 1
    sgd, adam = json.loads(capsys.readouterr().out)
    assert (sgd["mistake"], adam) == ("uphill", {"exercise": "adam", "status": "right"})


def test_when_all_is_right_it_trains(monkeypatch, capsys):
    monkeypatch.setattr(check, "TRAINING", check.TRAINING.replace("epochs=5", "epochs=1"))
    monkeypatch.setattr(check, "results", lambda *_: [{"exercise": "sgd", "status": "right"}])
    assert run("--folder", ROOT) == 0
    words = r"test accuracy with your code: (\d\d\.\d\d %), with the library: (\d\d\.\d\d %)\n"
    yours, library = re.search(words, capsys.readouterr().out).groups()
    assert yours == library


def test_a_training_that_stops_is_said_in_a_sentence(student):
    (student.folder / "nnlite" / "losses.py").write_text("1 / 0", "utf-8")
    assert check.accuracy(student.folder) == "stopped (ZeroDivisionError: division by zero)"


def test_watching_checks_again_after_a_save(student, monkeypatch, capsys):
    student.answers("sgd", "theta -= learning_rate * g", "theta += learning_rate * g")

    def save(seconds):  # while it waits
        student.answers("sgd", "theta += learning_rate * g", "theta -= learning_rate * g")

    monkeypatch.setattr(check, "time", SimpleNamespace(sleep=save))
    assert run("--watch", "--only", "sgd", "--folder", student.folder) == 0
    said = capsys.readouterr().out
    assert said.index("0 of 1 are right") < said.index("1 of 1 are right")


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--only", "linaer"], "unknown exercise 'linaer': choose from sigmoid, tanh"),
        (["--folder", "nowhere"], "there is no folder nnlite in"),
    ],
)
def test_what_is_wrong_is_one_sentence(arguments, words, capsys):
    with pytest.raises(SystemExit) as stop:
        check.main(arguments)
    error = capsys.readouterr().err
    assert stop.value.code == 2 and words in error and error.count("\n") == 1


def test_holes_are_to_do(student):
    for exercise in EXERCISES:
        path = student.folder / "nnlite" / f"{exercise.module}.py"
        path.write_text(cut(path.read_text("utf-8"), [exercise]), "utf-8")
        found = check.grade(exercise, student.folder)
        assert found["status"] == "to do"
        function, what = found["where"].split(": ", 1)
        assert exercise.write[function] == what


def test_alone_in_a_student_s_folder(tmp_path):
    """Without the lab: its own archive is all that it needs, whatever nnlite is installed."""
    folder = tmp_path / "mine"
    new = [sys.executable, ROOT / "experiments" / "exercises", "new", folder, "--only", "linear"]
    subprocess.run(new, check=True, capture_output=True)
    path = folder / "nnlite" / "layers.py"
    hole = re.search(r" *raise NotImplementedError\(\"Linear.forward.*\n", path.read_text("utf-8"))
    mine = "        self.x = x\n        return x @ self.weight + self.bias\n"
    path.write_text(path.read_text("utf-8").replace(hole[0], mine), "utf-8")
    elsewhere = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, folder / "check.py"],
        cwd=tmp_path,
        env=elsewhere,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert re.match("linear_forward +right\nlinear_backward +to do +Linear.backward", done.stdout)
