"""A checkpoint: a half-finished training in a file, so that an interrupted one can go on.

The file is an .npz of arrays: the parameters `theta`, what the optimizer remembers as `optimizer.m`
and so on, and `about`, a JSON text with the epoch, the logs, the states of the random streams, and
a checksum of it all.
"""

import hashlib
import json
import os
from typing import TYPE_CHECKING

import numpy as np

from ..backend import Array, to_host
from ..files import read_arrays, write_arrays
from .logs import checksum, difference

if TYPE_CHECKING:
    from .loop import Training


def save(training: "Training", path: str | os.PathLike) -> None:
    """Write all that `resume` needs to go on as if nothing had happened."""
    about = {
        "epoch": training.epoch,
        "random": [{n: g.bit_generator.state for n, g in run.items()} for run in training.random],
        "logs": training.logs,
    }
    arrays = {name: to_host(array) for name, array in changing(training).items()}
    seal(about, arrays)
    write_arrays(path, arrays | {"about": np.array(json.dumps(about))})


def resume(training: "Training", path: str | os.PathLike) -> None:
    """Bring a new training to where the one that was saved had got to.

    Raises ValueError if the file is damaged or of other runs, OSError if it cannot be opened.
    Discard the training after an error.
    """
    arrays = read_arrays(path)
    try:
        about = json.loads(str(arrays.pop("about")))
        written = about["sha256"]
        seal(about, arrays)
        if about["sha256"] != written:
            raise ValueError("its content does not match its checksum: it has been changed")
        epoch, logs = about["epoch"], about["logs"]
        for mine, saved in zip(training.logs, logs, strict=True):
            if reason := difference(saved, mine):
                raise ValueError(f"it belongs to another run: {reason}")
            if saved["device"] != mine["device"]:
                raise ValueError(f"it was computed by {saved['device']}")
        if type(epoch) is not int or epoch != max(len(log["epoch"]) for log in logs):
            raise ValueError(f"its epoch is {epoch!r}")
        for name, mine in changing(training).items():
            saved = arrays[name]
            if (saved.shape, saved.dtype) != (mine.shape, mine.dtype):
                raise ValueError(f"{name} is {saved.dtype} of shape {saved.shape}")
        for generators, states in zip(training.random, about["random"], strict=True):
            for name, generator in generators.items():
                generator.bit_generator.state = states[name]
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"{path} is not a checkpoint of this run ({error!s:.200})") from None
    training.epoch, training.logs = epoch, logs
    for name, mine in changing(training).items():
        if mine.ndim:
            mine[...] = training.xp.asarray(arrays[name])
        else:  # the number of steps, a Python number
            setattr(training.optimizer, name.removeprefix("optimizer."), arrays[name].item())


def seal(about: dict, arrays: dict[str, np.ndarray]) -> None:
    """Set the checksums: about["arrays"] of each array, then about["sha256"] of all of `about`."""
    about["arrays"] = {n: hashlib.sha256(a.tobytes()).hexdigest() for n, a in arrays.items()}
    about["sha256"] = checksum(about)


def changing(training: "Training") -> dict[str, Array]:
    """Return all numbers that a step changes, by name: parameters, and the optimizer's state."""
    arrays = {"theta": training.model.theta}
    for name in training.optimizer.state:
        value = getattr(training.optimizer, name)
        arrays[f"optimizer.{name}"] = np.array(value) if isinstance(value, int) else value
    return arrays
