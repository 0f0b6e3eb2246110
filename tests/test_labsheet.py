"""labsheet.md runs from top to bottom, prints what stands in it, and quotes the library correctly.

    python tests/test_labsheet.py

renews the printed output in the sheet, and the pictures that it shows.
"""

import contextlib
import csv
import io
import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import matplotlib
import pytest

ROOT = Path(__file__).resolve().parents[1]
SHEET = ROOT / "labsheet.md"
TEXT = SHEET.read_text(encoding="utf-8")
MARK = "*Expected output:*"  # so that a notebook's own output is not taken for a copy of it
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?:e[+-]\d+)?")


class Block(NamedTuple):
    """A fenced block: its language, what else is in its first line, its content, its place."""

    language: str
    info: str
    body: str
    start: int
    end: int

    @property
    def line(self) -> int:
        return TEXT.count("\n", 0, self.start) + 1


BLOCKS = [Block(m[1], m[2].strip(), m[3], m.start(), m.end()) for m in FENCE.finditer(TEXT)]
CODE = [b for b in BLOCKS if b.language == "python" and b.info != ".noeval"]


def printed_below(block: Block) -> Block | None:
    """The text block that follows a block of code at once, which is what it prints."""
    after = BLOCKS[BLOCKS.index(block) + 1 :][:1]
    if after and after[0].language == "text":
        between = TEXT[block.end : after[0].start].strip()
        if between == MARK:
            return after[0]
        assert between, f"labsheet.md, line {block.line}: the output lacks its mark, {MARK}"
    return None


def run(blocks: list[Block], **parameters) -> list[str]:
    """Execute blocks in one namespace; return what each prints. parameters replace the sheet's."""
    import matplotlib.pyplot as plt

    namespace: dict = {"__name__": "__main__"}
    printed, path, here = [], sys.path[:], Path.cwd()
    with matplotlib.rc_context({"backend": "agg"}), contextlib.ExitStack() as stack:
        stack.callback(os.chdir, here)
        stack.callback(sys.path.__setitem__, slice(None), path)
        stack.callback(plt.close, "all")
        os.chdir(ROOT)
        for block in blocks:
            with contextlib.redirect_stdout(io.StringIO()) as out:
                padding = "\n" * block.line  # so that a traceback gives the line in the sheet
                exec(compile(padding + block.body, str(SHEET), "exec"), namespace)
                if "parameters" in block.info:
                    namespace.update(parameters)
            printed.append(out.getvalue())
            plt.close("all")
    return printed


def numbers(text: str) -> list[tuple[float, float]]:
    """The numbers of a text, each with the worth of its last digit (0 for an integer)."""
    found = []
    for token in NUMBER.findall(text):
        mantissa, _, exponent = token.replace(",", "").partition("e")
        decimals = len(mantissa.partition(".")[2])
        unit = 10.0 ** (int(exponent or 0) - decimals) if decimals or exponent else 0.0
        found.append((float(token.replace(",", "")), unit))
    return found


def agree(expected: str, got: str, close: bool) -> bool:
    """Are the words the same, and the numbers, but for one unit in the last digit?

    Another processor adds in another order. Where whole trainings follow from that (`text close`),
    numbers may differ by 3 % as well.
    """

    def words(text: str) -> list[str]:
        return NUMBER.sub("0", text).split()

    mine, theirs = numbers(expected), numbers(got)
    return words(expected) == words(got) and all(
        abs(a - b) <= 1.01 * unit + (0.03 * abs(a) + 2 * unit if close else 0)
        for (a, unit), (b, _) in zip(mine, theirs, strict=True)
    )


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    figures = tmp_path_factory.mktemp("figures")
    return dict(zip(CODE, run(CODE, FIGURES=str(figures)))), figures


def test_the_sheet_prints_what_stands_in_it(printed):
    for block, got in printed[0].items():
        below = printed_below(block)
        expected = below.body if below else ""
        close = below is not None and below.info == "close"
        assert agree(expected, got, close), (
            f"labsheet.md, line {block.line}: it prints\n{got}\nbut there stands\n{expected}"
        )


def test_every_picture_is_drawn_by_the_sheet(printed):
    shown = re.findall(r"\]\(experiments/reference/labsheet/([^)]+)\)", TEXT)
    assert shown and set(shown) == {path.name for path in printed[1].iterdir()}
    for name in shown:
        kept = ROOT / "experiments/reference/labsheet" / name
        assert kept.read_bytes()[:4] == b"\x89PNG" and kept.stat().st_size < 100_000


@pytest.mark.parametrize(
    "expected, got, close, same",
    [
        ("loss 0.5000 at 3", "loss  0.5001 at 3", False, True),
        ("loss 0.5000 at 3", "loss 0.5003 at 3", False, False),
        ("loss 0.5000 at 3", "loss 0.5003 at 3", True, True),
        ("loss 0.5000 at 3", "loss 0.5300 at 3", True, False),
        ("loss 0.5000 at 3", "loss 0.5000 at 4", False, False),
        ("loss 0.5000 at 3", "cost 0.5000 at 3", True, False),
        ("1.00e-08", "1.01e-08", False, True),
        ("1.00e-08", "1.00e-07", True, False),
        ("-0.5", "0.5", True, False),
        ("2.0 True", "2.0 False", True, False),
    ],
)
def test_differences_are_noticed(expected, got, close, same):
    assert agree(expected, got, close) is same


def test_parameters_change_the_run(tmp_path):
    setup = CODE[:2]
    assert setup[0].info == 'tags=["parameters"]'
    (training,) = [b for b in CODE if "Config(ACTIVATION" in b.body]
    drawing = CODE[CODE.index(training) + 1]
    other = {
        "ACTIVATION": "tanh",
        "OPTIMIZER": "sgd",
        "LEARNING_RATE": 0.2,
        "SCHEDULER": "step",
        "EPOCHS": 3,
        "BATCH_SIZE": 64,
        "SEED": 7,
    }
    # Papermill knows them by these names.
    assert set(other) | {"DATASET", "FIGURES"} == set(re.findall(r"^(\w+) =", setup[0].body, re.M))
    *_, out, _ = run([*setup, training, drawing], **other, FIGURES=str(tmp_path))
    assert re.search("tanh_sgd_step_lr0.2_.*batch64", out) and "seed7" in out
    assert "epoch  3/3" in out and "rate 0.020000" in out and "rate 0.002000" in out
    assert (tmp_path / "run.png").exists()

    def measured(**parameters) -> str:
        *_, out = run([*setup, training], **{"EPOCHS": 2, "FIGURES": str(tmp_path), **parameters})
        return out.partition("\n")[2]  # what follows the name of the run

    unchanged = measured()
    assert measured() == unchanged
    for name, value in other.items():
        assert measured(**{name: value}) != unchanged, name


QUOTES = [b for b in BLOCKS if b.info == ".noeval" and b.body.startswith("# nnlite/")]


@pytest.mark.parametrize("block", QUOTES, ids=lambda b: f"line {b.line}")
def test_quoted_lines_are_in_the_source(block):
    first, *lines = block.body.splitlines()
    source = (ROOT / first.removeprefix("# ")).read_text(encoding="utf-8").splitlines()
    places = [i for i, line in enumerate(source) if line == lines[0]]
    assert places, lines[0]

    def in_order(start: int) -> bool:
        rest = iter(source[start : start + 20])
        return all(line in rest for line in lines)

    assert any(map(in_order, places)), lines


ARITHMETIC = [
    line for b in BLOCKS if b.info == "arithmetic" for line in b.body.splitlines() if line
]


@pytest.mark.parametrize("line", ARITHMETIC)
def test_arithmetic_by_hand(line):
    name, expression, result = line.split(" = ")
    value = eval(expression, {"exp": math.exp, "log": math.log})
    assert f"{value:.6f}" == result


def test_by_hand_and_by_nnlite(printed):
    by_hand: dict[str, list[float]] = {}
    for line in ARITHMETIC:
        name, _, result = line.split(" = ")
        by_hand.setdefault(name.partition("[")[0], []).append(float(result))
    (out,) = [out for block, out in printed[0].items() if "def show(" in block.body]
    by_nnlite: dict[str, list[str]] = {}
    for name, *values in map(str.split, out.splitlines()):
        by_nnlite.setdefault(name, []).extend(values)
    assert by_nnlite == {name: [f"{v:.6f}" for v in values] for name, values in by_hand.items()}


def test_numbers_of_the_results_come_from_the_results(printed):
    """What sections 5 and 6 say in words has to stand in what the sheet prints, or be known."""
    start, end = TEXT.index("\n## 5 "), TEXT.index("\n## 7 ")
    prose = re.sub(r"\]\([^)]*\)", "]", FENCE.sub("", TEXT[start:end]))
    known = {"0.001", "88.33"}  # the original sheet's rate, and what others have published
    known |= {n for out in printed[0].values() for n in re.findall(r"\d+\.\d+", out)}
    claimed = set(re.findall(r"(?<![\d.])\d+\.\d+(?![\d.]|\]| [A-Z])", prose))
    claimed -= set(re.findall(r"(?:section|\n###?) (\d\.\d)", prose))
    assert claimed <= known


def test_reference_tables_are_right(tmp_path):
    """Mean, interval and paired difference of a summary made up for it, against hand numbers."""
    (block,) = [b for b in CODE if "def reference(" in b.body]
    folder = tmp_path / "made-up"
    folder.mkdir()
    runs = [
        ("relu", 32, 42, ""),
        ("relu", 32, 43, 88.0),
        ("relu", 8, 42, 90.0),
        ("relu", 8, 43, 92.0),
        ("tanh", 8, 42, 89.0),
        ("tanh", 8, 43, 91.2),
        ("relu", 8, 1, 10.0),
    ]
    with open(folder / "summary.csv", "w", newline="") as file:
        writer = csv.writer(file)
        keys = ["activation", "batch_size", "init", "hidden", "learning_rate", "seed"]
        writer.writerow([*keys, "test_accuracy"])
        for activation, size, seed, accuracy in runs:
            writer.writerow([activation, size, "he", "128x5", 0.01, seed, accuracy])
    asked = f"""
REFERENCE = Path({str(tmp_path)!r})
rows = reference("made-up")
table(rows, ["activation", "batch_size", "init", "depth"], {{"test_accuracy": 2}})
against_best([row for row in rows if row["batch_size"] == 8], ["activation"])
"""
    *_, out = run([*CODE[:2], block._replace(body=block.body + asked)], FIGURES=str(tmp_path))
    lines = [line.split() for line in out.splitlines()]
    # Two seeds: t(0.975, 1) = 12.706, half-width 12.706 * |a - b| / 2.
    assert lines[1] == ["relu", "8", "he", "5", "91.00", "±", "12.71"]
    assert lines[2] == ["relu", "32", "he", "5", "1", "diverged"]
    assert lines[3] == ["tanh", "8", "he", "5", "90.10", "±", "13.98"]
    assert " ".join(lines[4]) == "relu - tanh: 0.90 ± 1.27 within the noise"


@pytest.mark.parametrize("line", re.findall(r"^python experiments/exp3.py(.*)$", TEXT, re.M))
def test_commands_are_understood(line):
    import exp3

    exp3.parse(shlex.split(line, comments=True))


def test_links_lead_to_files_and_sections():
    prose = FENCE.sub("", TEXT)
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", prose):
        assert (ROOT / target).exists(), target
    headings = re.findall(r"^#+ (.+)$", prose, re.M)
    anchors = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= anchors


def test_mathematics_can_be_rendered():
    """matplotlib is a fair parser of it; GitHub has rules of its own for where it may stand."""
    from matplotlib.mathtext import MathTextParser

    parser = MathTextParser("path")
    prose = re.sub(r"`[^`\n]*`", "", FENCE.sub("", TEXT))
    formulas = list(re.finditer(r"\$\$([^$]+)\$\$|\$([^$]+)\$", prose))
    assert len(formulas) > 100 and prose.count("$") == sum(m[0].count("$") for m in formulas)
    for match in formulas:
        formula = match[1] or match[2]
        assert formula == formula.strip() and "\n" not in formula, formula
        # To GitHub a backslash before a punctuation mark, as in \\, is Markdown.
        assert not re.search(r"\\[^A-Za-z ]", formula), formula
        before, after = prose[match.start() - 1], prose[match.end()]
        assert before in " (\n" and after in " ).,:;?\n", prose[match.start() - 9 : match.end() + 9]
        for ours, theirs in ((r"\qquad", " "), (r"\text", r"\mathrm"), (r"\top", "T")):
            formula = formula.replace(ours, theirs)
        parser.parse(f"${formula}$")


# The exercises, done in a copy of the project.

PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider")


@pytest.fixture
def copy(tmp_path):
    for name in ("nnlite", "experiments", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("README.md", "setup.cfg"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, old
    path.write_text(text.replace(old, new), encoding="utf-8")


def command(copy: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=copy, env=environment, capture_output=True, text=True
    )


def solution(text: str) -> str:
    """The one block of the sheet that contains text."""
    (found,) = [b.body for b in BLOCKS if text in b.body]
    return found


def test_exercise_swish(copy):
    source, test = copy / "nnlite/activations.py", copy / "tests/library/test_activations.py"
    replace(source, "ACTIVATIONS: dict", solution("class Swish") + "\n\nACTIVATIONS: dict")
    replace(source, '    "gelu": GELU,\n', '    "gelu": GELU,\n    "swish": Swish,\n')
    checked = command(copy, "-m", "nnlite.gradcheck")
    assert checked.returncode == 0 and "MLP with swish" in checked.stdout
    trained = command(
        copy,
        *"experiments/exp3.py --activation swish --optimizer adam "
        "--dataset digits --epochs 1 --jobs 1".split(),
    )
    assert trained.returncode == 0 and "swish_adam" in trained.stdout, trained.stderr
    incomplete = command(copy, *PYTEST, "tests/library/test_registries.py")
    assert incomplete.returncode == 1
    for table in ("FORMULAS", "LIMITS", "AT_ZERO", "TORCH"):
        assert f"entry in test_activations.{table}" in incomplete.stdout
    replace(
        test, "\nevery_activation =", "\n" + solution('FORMULAS["swish"]') + "\nevery_activation ="
    )
    tests = ("tests/library/test_activations.py", "tests/library/test_registries.py")
    assert command(copy, *PYTEST, *tests).returncode == 0


def test_exercise_nesterov(copy):
    source, test = copy / "nnlite/optimizers.py", copy / "tests/library/test_optimizers.py"
    replace(source, "class RMSprop", solution("class Nesterov") + "\n\nclass RMSprop")
    replace(source, '    "adamw": AdamW,\n', '    "adamw": AdamW,\n    "nesterov": Nesterov,\n')
    trained = command(
        copy,
        *"experiments/exp3.py --activation relu --optimizer nesterov "
        "--dataset digits --epochs 1 --jobs 1".split(),
    )
    assert trained.returncode == 0 and "relu_nesterov" in trained.stdout, trained.stderr
    assert command(copy, *PYTEST, "tests/library/test_registries.py").returncode == 1
    replace(
        test, "\nevery_optimizer =", "\n" + solution('BY_HAND["nesterov"]') + "\nevery_optimizer ="
    )
    tests = ("tests/library/test_optimizers.py", "tests/library/test_registries.py")
    assert command(copy, *PYTEST, *tests).returncode == 0


@pytest.mark.parametrize(
    "file, old, new, culprit",
    [
        ("activations.py", "(1 + e) ** 2", "(1 + e)", "FAILED  Tanh, gradient of x"),
        ("layers.py", "dz.sum(", "dz.mean(", "FAILED  Linear, gradient of b"),
        ("losses.py", " * (1 / N)\n", "\n", "FAILED  SoftmaxCrossEntropy, gradient of x"),
        ("activations.py", "(self.a > 0)", "(self.a >= 0)", "FAILED  ReLU, gradient of x"),
    ],
)
def test_exercise_broken_gradient(copy, file, old, new, culprit):
    replace(copy / "nnlite" / file, old, new)
    checked = command(copy, "-m", "nnlite.gradcheck")
    assert checked.returncode == 1 and culprit in checked.stdout


# As a notebook.


@pytest.fixture
def notebook(tmp_path):
    jupytext = pytest.importorskip("jupytext")
    path = tmp_path / "labsheet.ipynb"
    jupytext.write(jupytext.read(SHEET), path)
    return path


def test_it_is_a_notebook(notebook):
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    assert code == [block.body.rstrip("\n") for block in CODE]
    assert ["parameters" in c["metadata"].get("tags", []) for c in cells].count(True) == 1
    details = 0
    for cell in cells:
        text = "".join(cell["source"])
        assert text.count("<details>") == text.count("</details>")
        details += text.count("<details>")
    assert details == TEXT.count("<details>")


def test_papermill_runs_it_with_other_parameters(notebook, tmp_path):
    papermill = pytest.importorskip("papermill")
    pytest.importorskip("ipykernel")
    out, parameters = tmp_path / "tanh.ipynb", {"ACTIVATION": "tanh", "FIGURES": str(tmp_path)}
    papermill.execute_notebook(notebook, out, parameters, cwd=ROOT, progress_bar=False)
    assert "tanh_adam_none_lr0.001_seed42" in out.read_text(encoding="utf-8")


def renew() -> None:
    """Write what the blocks print into the sheet, and the pictures into experiments/reference."""
    sys.path.insert(0, str(ROOT / "experiments"))
    printed = run(CODE, FIGURES="experiments/reference/labsheet")
    text = TEXT
    for block, out in reversed(list(zip(CODE, printed))):
        below = printed_below(block)
        if below is None:
            assert not out, f"line {block.line} prints something, but no text block follows:\n{out}"
            continue
        head = f"```text {below.info}".rstrip()
        text = f"{text[: below.start]}{head}\n{out}```{text[below.end :]}"
    SHEET.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    renew()
