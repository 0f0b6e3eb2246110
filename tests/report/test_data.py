"""What the page's script draws from."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from builders import make_log, many_classes
from figures.run import MOST_CLASSES
from findings.sweep import Sweep
from pages import many
from report.data import LAYERS, POINTS, script_data, wrong_images
from report.svg import Palette


def data_of(logs):
    return script_data(Sweep.of(logs), Palette())


def test_curves_are_means_with_intervals(cells):
    data = data_of(cells)
    names = ["sigmoid + sgd", "sigmoid + adam", "relu + sgd", "relu + adam"]
    assert [cell["name"] for cell in data["cells"]] == names
    losses = np.array([log["train_loss"] for log in cells[3:6]])
    curve = data["cells"][3]["curves"][1]
    assert data["metrics"][1]["label"].startswith("training loss")
    np.testing.assert_allclose(curve["mean"], losses.mean(axis=0), rtol=1e-4)
    half = stats.t.ppf(0.975, 2) * stats.sem(losses, axis=0)
    np.testing.assert_allclose(curve["half"], half, rtol=1e-2)


def test_flow_begins_before_the_first_step(cells):
    weights, signal, updates = data_of(cells)["cells"][3]["flows"]
    logs = cells[3:6]
    first = np.mean([log["initial"]["gradient_stats"]["fc2.weight"]["mean_abs"] for log in logs])
    last = np.mean([log["gradient_stats"]["fc2.weight"]["mean_abs"][-1] for log in logs])
    assert len(weights["mean"]) == 3 and len(weights["mean"][1]) == 5  # layers, 4 epochs and one
    assert weights["mean"][1][0] == pytest.approx(first, rel=1e-3)
    assert weights["mean"][1][-1] == pytest.approx(last, rel=1e-3)
    norm = np.mean([log["probe"]["fc1"]["gradient_norm"][-1] for log in logs])
    assert signal["mean"][0][-1] == pytest.approx(norm, rel=1e-3)
    ratio = np.mean([log["update_ratio"]["fc3"][1] for log in logs])
    assert updates["mean"][2][0] is None
    assert updates["mean"][2][2] == pytest.approx(ratio, rel=1e-3)


def test_long_runs_are_thinned():
    data = data_of([make_log(epochs=1000)])
    assert len(data["epochs"]) == POINTS and data["epochs"][0] == 1 and data["epochs"][-1] == 1000
    assert len(data["cells"][0]["curves"][0]["mean"]) == POINTS


def test_of_many_layers_some_are_kept():
    data = data_of([make_log(hidden=(8,) * n) for n in (60, 9)])
    assert len(data["layers"]) == LAYERS and [data["layers"][k] for k in (0, -1)] == ["fc1", "fc61"]
    weights = [cell["flows"][0]["mean"] for cell in data["cells"]]
    known = [name for name in data["layers"] if int(name[2:]) <= 10]
    assert [len(layers) for layers in weights] == [len(known), LAYERS]


def test_of_many_cells_the_best_can_be_explored(cells):
    data = data_of(many(cells[3], 70))
    assert [cell["name"] for cell in data["cells"]] == [f"lr {k}" for k in range(11, 71)]


def test_of_many_classes_the_most_confused_are_shown():
    log = many_classes(1000)
    log["test_confusion"][700][30] = 90
    data = data_of([log])
    assert len(data["confused"]) == MOST_CLASSES and {30, 700} <= set(data["confused"])
    shares = np.array(data["cells"][0]["confusion"])
    assert shares.shape == (MOST_CLASSES, MOST_CLASSES + 1)
    assert shares.sum(axis=1) == pytest.approx(100, abs=0.2)
    assert len(json.dumps(data)) < 100_000


def test_the_best_cells_are_shown_first(cells):
    data = data_of(many(cells[3], 20))
    shown = [cell["name"] for cell in data["cells"] if cell["shown"]]
    assert shown == [f"lr {k}" for k in range(13, 21)]
    markers = [cell["marker"] for cell in data["cells"]]
    assert all(markers) and len(set(markers)) == 12  # as many as there are


def test_confusion_is_in_percent_of_the_true_class(cells):
    shares = np.array(data_of(cells)["cells"][3]["confusion"])
    np.testing.assert_allclose(shares.sum(axis=1), 100, atol=1)
    counts = np.array([log["test_confusion"] for log in cells[3:6]])  # 5 images a class
    np.testing.assert_allclose(shares, counts.mean(axis=0) * 20, atol=0.1)


def test_wrong_images_are_those_of_the_log(cells):
    data = data_of(cells)
    wrong = {w["row"]: w for log in cells for w in log["most_wrong"]}
    shown = [w for cell in data["cells"] for w in cell["wrong"]]
    assert shown and {row for row, *_ in shown} == set(data["images"])
    for row, label, _, _, _ in shown:
        file = io.BytesIO(base64.b64decode(data["images"][row]))
        assert Image.open(file).tobytes() == base64.b64decode(wrong[row]["image"])
        assert label == wrong[row]["label"]


def test_images_that_more_seeds_get_wrong_come_first():
    def wrong(row, probability):
        return {"row": row, "label": 1, "predicted": 2, "probability": probability, "image": ""}

    seeds = [[wrong(1, 0.99), wrong(2, 0.7)], [wrong(2, 0.8)], [wrong(3, 0.995)]]
    ranked = wrong_images({"most_wrong": mistakes} for mistakes in seeds)
    found = [(w["row"], w["seeds"], w["probability"]) for w in ranked]
    assert found == [(2, 2, 0.8), (3, 1, 0.995), (1, 1, 0.99)]
