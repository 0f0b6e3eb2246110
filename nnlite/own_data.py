"""Data of the user's own: what its numbers mean, and what cannot be right about them.

What x means depends on its numbers, never on the dtype that they happen to be stored in. What
cannot be right is refused; what looks doubtful is said.
"""

import os
from pathlib import Path

import numpy as np

from .fashion import DataError

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
MAX_CLASSES = 256  # every epoch's log has a table of classes by classes, and a figure shows it


def printable(text: str) -> str:
    """Return the text with ? for control characters and whatever else cannot be shown."""
    return "".join(c if c.isprintable() else "?" for c in text)


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Return those arrays of an .npz file that load_file reads; DataError if it fails."""
    if not os.path.isfile(path):  # a pipe could keep us waiting for ever
        there = os.path.exists(path)
        raise DataError("this is a folder, pipe or device" if there else "there is no such file")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in (*ARRAYS, "classes") if name in file}
    except Exception as error:  # a damaged file can raise nearly any
        raise DataError(f"this is no readable .npz file ({error!s:.200})") from None
    if missing := [name for name in ARRAYS if name not in arrays]:
        raise DataError(f"the file lacks {', '.join(missing)}; it must hold {', '.join(ARRAYS)}")
    return arrays


def _numbers(name: str, x: np.ndarray) -> np.ndarray:
    """Return x, floats as float64, or raise DataError unless all are numbers to learn from."""
    if x.dtype.kind not in "biuf" or x.ndim < 2 or not x.size:
        raise DataError(
            f"{name} must be numbers of shape (N, ...), N at least 1, "
            f"but is {x.dtype} of shape {x.shape}"
        )
    if x.dtype.kind != "f":
        return x
    x = x.astype("float64", copy=False)
    for bad, what in ((np.isnan(x), "NaN (not a number)"), (np.isinf(x), "infinite numbers")):
        if samples := np.count_nonzero(bad.reshape(len(x), -1).any(axis=1)):
            raise DataError(f"{name} has {what} in {samples} of {len(x)} samples: leave these out")
    return x


def as_pixels(x_train: np.ndarray, x_test: np.ndarray) -> tuple:
    """Return both as uint8 of shape (N, D), what was done to them, and a list of doubts.

    Raises DataError for what cannot be pixels, and for parts that cannot belong together.
    """
    x_train, x_test = _numbers("x_train", x_train), _numbers("x_test", x_test)
    if x_train.shape[1:] != x_test.shape[1:]:
        raise DataError(
            f"a sample has shape {x_train.shape[1:]} in x_train, but {x_test.shape[1:]} in x_test: "
            "store both in the same way"
        )
    if len(x_train) < 2:
        raise DataError("x_train has 1 sample, but needs 2: one to train on, one to validate on")
    x_train, x_test = (x.reshape(len(x), -1) for x in (x_train, x_test))
    low, high = float(x_train.min()), float(x_train.max())
    test_low, test_high = float(x_test.min()), float(x_test.max())
    span, edge = high - low, (high - low) / 10
    if not 0 < span < 1e300:
        raise DataError(f"x_train spans {low:g} to {high:g}: nothing can be learned from that")

    # Whole numbers that fill half of a byte's range are taken for bytes: 0 and 1 are not.
    least, most = min(low, test_low), max(high, test_high)
    as_they_are = least >= 0 and most <= 255 and most - least >= 128
    for x in (x_train, x_test):
        as_they_are = as_they_are and (x.dtype.kind != "f" or (x == np.rint(x)).all())
    ranges = f"x_train spans {low:g} to {high:g}, but x_test {test_low:g} to {test_high:g}"
    beyond = np.mean((x_test < low - edge) | (x_test > high + edge))
    if not 0.1 <= (test_high - test_low) / span <= 10 or (beyond > 0.05 and not as_they_are):
        raise DataError(
            f"{ranges}: scale both in the same way, and remove outliers if these are the cause"
        )
    if as_they_are:
        pixels = f"as they are, {least:g} to {most:g}"
        train, test = x_train.astype(np.uint8), x_test.astype(np.uint8)
    else:
        pixels = f"{low:g} to {high:g} mapped onto 0 to 255"
        levels = (np.rint(255 * (x.astype("float64") - low) / span) for x in (x_train, x_test))
        train, test = (level.clip(0, 255).astype(np.uint8) for level in levels)
    doubts = _lost(x_train, train)
    if np.mean((x_train < test_low - edge) | (x_train > test_high + edge)) > 0.05:
        doubts.append(f"{ranges}: are both scaled in the same way?")
    return train, test, pixels, doubts


def _lost(x: np.ndarray, pixels: np.ndarray) -> list[str]:
    """Return what to say if x (N, D) lost most of its differences when it became pixels."""
    some = slice(None, None, 1 + x.size // 1_000_000)
    numbers, levels = x.ravel()[some], pixels.ravel()[some]
    counts = np.bincount(levels, minlength=256)
    fullest = np.argsort(-counts)
    few = 1 + int(np.searchsorted(counts[fullest].cumsum(), 0.99 * len(levels)))
    if few <= 5 and len(np.unique(numbers[np.isin(levels, fullest[:few])])) > few:
        middle = np.median(numbers)
        outlier = max(float(x.min()), float(x.max()), key=lambda end: abs(end - middle))
        return [
            f"99 % of the numbers in x_train become {few} of the 256 pixel values, because "
            f"{outlier:g} is so far from the others (median {middle:g}): remove or clip outliers."
        ]
    varied = x.min(axis=0) < x.max(axis=0)
    flat = varied & (pixels.max(axis=0) - pixels.min(axis=0) <= 2)
    if flat.sum() > 0.1 * varied.sum():
        return [
            f"{flat.sum()} of the {x.shape[1]} numbers in a sample hardly vary on the scale that "
            "all of them share: give each a scale of its own first."
        ]
    return []


def as_labels(y_train: np.ndarray, y_test: np.ndarray, classes=None, **others) -> tuple:
    """Return both as integers of shape (N,), the classes' names, and a list of doubts.

    Raises DataError for labels that do not begin at 0, and for names that cannot be used.
    """
    y_train, y_test = (y[:, 0] if y.shape[1:] == (1,) else y for y in (y_train, y_test))
    for name, y in (("y_train", y_train), ("y_test", y_test)):
        if y.dtype.kind not in "iu" or y.ndim != 1 or not y.size:
            raise DataError(
                f"{name} must be one integer for each sample, but is {y.dtype} of shape {y.shape}"
            )
    labels = np.concatenate([np.unique(y_train), np.unique(y_test)])
    first, last = int(labels.min()), int(labels.max())
    if first < 0 or (first > 0 and classes is None):
        raise DataError(
            f"the labels begin at {first}: number the classes 0, 1, 2, ..., or name every class "
            "from 0 on in an array `classes`"
        )
    if classes is not None and (classes.ndim != 1 or classes.dtype.kind not in "Uiu"):
        raise DataError(
            "`classes` must be a row of names, one for each class, "
            f"but is {classes.dtype} of shape {classes.shape}"
        )
    count = last + 1 if classes is None else len(classes)
    if not 2 <= count <= MAX_CLASSES:
        raise DataError(
            f"there must be 2 to {MAX_CLASSES} classes, but there are {count} "
            f"(the greatest label is {last})"
        )
    if last >= count:
        raise DataError(f"a label is {last}, but `classes` has names for 0 to {count - 1} only")
    names = tuple(map(str, range(count) if classes is None else classes))
    if bad := [c for c in names if names.count(c) > 1 or not c.isprintable() or not c.strip()]:
        raise DataError(f"`classes` must be different, printable names, which {bad[0]!r} is not")
    seen = set(y_train.tolist())
    unseen = [name for label, name in enumerate(names) if label not in seen]
    doubts = []
    if unseen:
        listed = ", ".join(unseen[:5]) + (", ..." if len(unseen) > 5 else "")
        doubts = [f"{len(unseen)} of {count} classes have no training sample: {listed}."]
    return y_train.astype(np.int64), y_test.astype(np.int64), names, doubts
