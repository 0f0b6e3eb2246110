"""A network in a file: nnlite.save writes it, nnlite.load makes it again."""

import json
import os
from types import ModuleType

import numpy as np

from .backend import to_host
from .files import read_arrays, write_arrays
from .network import MLP

FORMAT = "nnlite model 1"


def save(model: MLP, path: str | os.PathLike) -> None:
    """Write the network to an .npz file, which NumPy alone can read too.

    The file holds `theta`, the vector of all parameters (one row for each network of a stack), and
    `about`, a JSON text with the sizes, the activation and the initialization.
    """
    if not isinstance(model, MLP):
        raise ValueError(f"the model is a {type(model).__name__}: give the network, then the path")
    about = {"format": FORMAT, "sizes": [int(width) for width in model.sizes]}
    about |= {"activation": model.activation, "init": model.init}
    write_arrays(path, {"theta": to_host(model.theta), "about": np.array(json.dumps(about))})


def load(path: str | os.PathLike, xp: ModuleType = np) -> MLP:
    """Return the network that `save` wrote. xp says where it is to be: numpy or cupy.

    Raises ValueError if the file is damaged or something else, OSError if it cannot be opened.
    """
    arrays = read_arrays(path)
    try:
        about, theta = json.loads(str(arrays["about"])), arrays["theta"]
        if about["format"] != FORMAT:
            raise ValueError(f"its format is {about['format']!r}, not {FORMAT!r}")
        if theta.ndim not in (1, 2) or theta.dtype not in (np.float32, np.float64):
            raise ValueError(f"theta is {theta.dtype} of shape {theta.shape}")
        sizes = about["sizes"]
        expected = sum((D_in + 1) * D_out for D_in, D_out in zip(sizes, sizes[1:]))
        if theta.shape[-1] != expected or not theta.size:  # before a huge network is built
            raise ValueError(f"{theta.shape[-1]} parameters do not make a network of sizes {sizes}")
        seed = 0 if theta.ndim == 1 else [0] * len(theta)
        model = MLP(sizes, about["activation"], about["init"], seed, theta.dtype.name, xp)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not a saved nnlite network ({error!s:.200})") from None
    model.theta[...] = xp.asarray(theta)
    return model
