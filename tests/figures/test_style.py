"""experiments/figures/style.py: settings, scales, notes, and pictures in files."""

import os
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from builders import make_grid, make_log
from figures import style
from figures.grid import curves, grid_figures
from figures.inside import grid_diagnostics
from figures.run import run_figures
from figures.study import study_figures
from findings.sweep import Sweep
from seen import texts

EXPERIMENTS = str(Path(__file__).resolve().parents[2] / "experiments")
SMALL = make_grid(["relu"], ["sgd", "adam"], (0, 1), hidden=(8,), scheduler="step")


def all_figures(logs):
    """Every figure that the experiment would draw from these logs, but of one run only."""
    sweep = Sweep.of(logs)
    of_all = grid_figures(sweep) | grid_diagnostics(sweep) | study_figures(sweep)
    return of_all | {f"run {name}": figure for name, figure in run_figures(logs[0]).items()}


def python(code, **environment):
    """Run code in a Python of its own, where experiments/ can be imported."""
    code = f"import sys; sys.path.insert(0, {EXPERIMENTS!r}); {code}"
    environment = {**os.environ, **environment}
    return subprocess.run([sys.executable, "-c", code], check=False, env=environment).returncode


# The user's own matplotlib


USERS_OWN = {
    "figure.autolayout": True,
    "figure.facecolor": "red",
    "text.usetex": True,
    "font.size": 30,
    "axes.grid": False,
    "axes.prop_cycle": matplotlib.cycler(color=["red"]),
    "lines.linewidth": 9,
    "xtick.color": "red",
    "xtick.labelsize": 30,
    "savefig.bbox": "tight",
    "savefig.dpi": 50,
    "savefig.format": "pdf",
}


def test_no_setting_of_the_user_s_reaches_the_figures_nor_any_of_ours_the_user(tmp_path, coarse):
    def pictures(folder):
        paths = style.save(all_figures(SMALL), tmp_path / folder)
        return {path.name: path.read_bytes() for path in paths}

    expected = pictures("ours")
    with matplotlib.rc_context(USERS_OWN):
        before = dict(matplotlib.rcParams)
        assert pictures("theirs") == expected
        assert dict(matplotlib.rcParams) == before
    assert len(expected) > 15


def test_importing_the_figures_changes_no_setting():
    code = "import matplotlib; before = dict(matplotlib.rcParams); import figures.run, figures.grid"
    assert python(f"{code}, figures.study; sys.exit(before != dict(matplotlib.rcParams))") == 0


def test_a_backend_that_this_python_lacks_is_no_obstacle(tmp_path):
    code = "import pathlib; from figures.style import new_figure, save; "
    code += "figure, _ = new_figure('title', {'name': 'mine', 'note': ''}); "
    code += f"save({{'picture': figure}}, pathlib.Path({str(tmp_path)!r}))"
    assert python(code, MPLBACKEND="no_such_backend") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]


def test_a_backend_that_it_has_stays_the_user_s():
    code = "import figures.style, matplotlib, os; "
    code += "sys.exit(matplotlib.rcParams['backend'] != 'svg' or os.environ['MPLBACKEND'] != 'svg')"
    assert python(code, MPLBACKEND="svg") == 0


def test_pyplot_stays_out():
    code = "import figures.run, figures.grid, figures.inside, figures.study; "
    code += "sys.exit('matplotlib.pyplot' in sys.modules or 'scipy.stats' in sys.modules)"
    assert python(code) == 0


# The data


def test_every_figure_says_when_the_data_are_the_digits():
    dataset = {"name": "digits", "checksum": "", "source": "scikit-learn", "classes": ["0"] * 3}
    dataset["note"] = "This is NOT Fashion-MNIST but scikit-learn's handwritten digits, because ..."
    logs = make_grid(["tanh", "relu"], ["adam"], (0, 1), scheduler="step", dataset=dataset)
    for name, figure in all_figures(logs).items():
        (said,) = (t for t in figure.texts if "digits, not Fashion-MNIST" in t.get_text())
        assert said.get_color() == style.ALARM, name


@pytest.mark.parametrize(
    ("name", "note", "said", "color"),
    [
        ("fashion-mnist", "", "lab data: fashion-mnist", style.GREY),
        ("digits", "", "lab data: digits, not Fashion-MNIST", style.ALARM),
        ("mine", "only half of it", "lab data: only half of it", style.ALARM),
    ],
)
def test_the_data_are_named(name, note, said, color):
    log = make_log(dataset={"name": name, "note": note, "classes": []})
    figure = curves(Sweep.of([log]), "train_loss")
    assert {(t.get_text(), t.get_color()) for t in figure.texts} >= {(said, color)}


def test_text_is_drawn_as_it_is(tmp_path, coarse):
    dataset = {"name": "$x_{$", "note": "", "classes": ["$x_{$", "<b>", "a\\b"]}
    log = make_log(dataset=dataset)
    drawn = {**run_figures(log), "curves": curves(Sweep.of([log]), "train_loss")}
    assert len(style.save(drawn, tmp_path)) == len(drawn)
    assert all("lab data: $x_{$" in texts(figure) for figure in drawn.values())


# Axes and labels


@pytest.mark.parametrize("bottom", [3e-12, 0.0007, 0.21, 1.3, 9.5])
@pytest.mark.parametrize("factor", [1.2, 2, 4, 12, 90, 1e3, 1e9])
def test_a_log_axis_has_enough_ticks_but_not_too_many(bottom, factor):
    ticks = style.log_ticks(bottom, bottom * factor)
    assert 2 <= len(ticks) <= 9
    assert (bottom < ticks).all() and (ticks < bottom * factor).all()


@pytest.mark.parametrize("values", [[], [[]], [np.nan], [0.0, -1.0]])
def test_without_a_value_the_axis_says_so(values):
    ax = Figure().subplots()
    style.value_axis(ax, "height", values, "log")
    assert [text.get_text() for text in ax.texts] == ["no values to show"]
    assert ax.get_ylabel() == "height" and not len(ax.get_yticks())


def test_labels_are_folded_at_commas_and_all_or_none():
    assert style.folded(["sgd, lr 0.1", "adam"], 11) == ["sgd, lr 0.1", "adam"]
    assert style.folded(["sgd, lr 0.1", "adam, lr 0.01"], 11) == ["sgd\nlr 0.1", "adam\nlr 0.01"]
    assert style.folded(["sgd_momentum, 5 hidden layers"], 11) == [
        "sgd_\nmomentum\n5 hidden\nlayers"
    ]


@pytest.mark.parametrize(
    ("seeds", "dots", "note"),
    [
        ((0,), False, ""),
        ((0, 1), False, "mean of 2 seeds, 95 % t-interval"),
        ((0, 1), True, "mean of 2 seeds, which are the dots"),
        ((0, 1, 2), True, "mean of 3 seeds, 95 % t-interval"),
    ],
)
def test_what_points_are_the_mean_of(seeds, dots, note):
    sweep = Sweep.of(make_grid(seeds=seeds))
    assert style.seeds_note(sweep.cells, dots) == note
    if note:
        more = Sweep.of([*make_grid(seeds=seeds), make_log("tanh")])
        assert style.seeds_note(more.cells, dots).startswith(f"mean of 1 to {len(seeds)} seeds")


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("Ankle boot", "Ankle boot"),
        ("a name of two lines", "a name of\ntwo lines"),
        ("nothing_to_breakable", "nothing_to_\nbreakable"),
        ("abcdefghijklmnopqrst", "abcdefghij\nklmnopqrst"),
        ("x" * 30, "x" * 12 + "\n" + "…" + "x" * 11),
    ],
)
def test_names_have_two_lines_at_most(name, lines):
    assert style.in_two_lines(name, 12) == lines


# Saving


def test_save_writes_readable_pictures_and_nothing_else(tmp_path, coarse):
    drawn = run_figures(make_log())
    paths = style.save(drawn, tmp_path / "new" / "folder")
    assert [path.name for path in paths] == [f"{name}.png" for name in drawn]
    assert sorted((tmp_path / "new" / "folder").iterdir()) == sorted(paths)
    assert all(path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" for path in paths)


def test_save_keeps_the_old_picture_until_the_new_one_is_whole(tmp_path, monkeypatch):
    old = tmp_path / "curve.png"
    old.write_bytes(b"old")

    def breaks_off(self, file, **options):
        file.write(b"half")
        file.flush()
        assert old.read_bytes() == b"old"
        raise OSError("disk full")

    monkeypatch.setattr(Figure, "savefig", breaks_off)
    with pytest.raises(OSError, match="disk full"):
        style.save({"curve": Figure()}, tmp_path)
    assert old.read_bytes() == b"old" and list(tmp_path.iterdir()) == [old]
