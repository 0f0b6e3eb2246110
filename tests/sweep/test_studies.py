"""sweep/studies.py: what a study expands to."""

import re

from conftest import ROOT
from nnlite import ACTIVATIONS, INITIALIZERS, OPTIMIZERS, SCHEDULERS
from sweep import studies
from sweep.studies import STUDIES


def test_the_six_studies_have_a_question_and_five_seeds():
    names = ["activations", "optimizers", "schedulers", "learning-rate", "depth", "batch-size"]
    assert list(STUDIES) == names
    for study in STUDIES.values():
        assert study.question.endswith("?")
        assert study.values("seed") == ["42", "43", "44", "45", "46"]
        assert not set(study.values("seed")) & set(study.values("tune-seed"))


def test_a_study_takes_all_there_are_of_its_variable():
    assert STUDIES["activations"].values("activation") == list(ACTIVATIONS)
    assert STUDIES["optimizers"].values("optimizer") == list(OPTIMIZERS)
    assert STUDIES["schedulers"].values("scheduler") == list(SCHEDULERS)
    assert STUDIES["depth"].values("init") == list(INITIALIZERS)
    assert {"1", "2", "10"} < set(STUDIES["depth"].values("depth"))
    assert "1" in STUDIES["batch-size"].values("batch-size")


def test_one_variable_at_a_time_in_the_studies_of_one_variable():
    for name in ("activations", "optimizers", "schedulers", "batch-size"):
        several = {axis for axis in studies.AXES if len(STUDIES[name].values(axis)) > 1}
        assert several == {name.removesuffix("s"), "seed"}


def test_number_of_runs_counted_by_hand():
    runs = {name: study.runs for name, study in STUDIES.items()}
    assert runs == {
        "activations": 6 * 5,
        "optimizers": 5 * 5,
        "schedulers": 4 * 5,
        "learning-rate": 3 * 5 * (7 * 2 + 2 * 5),
        "depth": 6 * 3 * 3 * 5,
        "batch-size": 5 * 5,
    }


def test_listing_names_every_study_with_flags_to_type():
    text = studies.listing()
    for name, study in STUDIES.items():
        assert f"{name}: {study.question}" in text
        assert f"\n    {' '.join(study.flags)}" in text
    assert "\n    about 360 runs, about 22 minutes on two cores\n" in text
    assert "\n    270 runs, about 9 minutes on two cores\n" in text


def test_minutes_are_those_of_the_reference():
    table = (ROOT / "experiments/reference/README.md").read_text(encoding="utf-8")
    for name, study in STUDIES.items():
        (minutes,) = re.findall(rf"^\| \[{name}\].*?\| .*? \| (\d+) \|", table, re.M)
        assert study.minutes == int(minutes)
