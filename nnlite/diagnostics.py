"""What the lab watches while a network trains, computed from the gradients it exposes."""

from .backend import Array, array_module
from .network import MLP


def gradient_statistics(model: MLP) -> dict[str, dict[str, Array]]:
    """Summarize the gradient of each parameter, {"fc1.weight": {"mean_abs": ..., ...}, ...}.

        mean_abs   mean of |g| over the parameter's numbers
        std        their standard deviation
        pct_zero   how many are exactly 0, in percent

    Each is a number for one network, an array (K,) for a stack; on a GPU it stays there.
    """
    statistics = {}
    for name, g in model.gradients().items():
        xp = array_module(g)
        own_axes = (-2, -1) if name.endswith("weight") else -1
        statistics[name] = {
            "mean_abs": xp.mean(xp.abs(g), axis=own_axes),
            "std": xp.std(g, axis=own_axes),
            "pct_zero": 100 * xp.mean(g == 0, axis=own_axes, dtype=g.dtype),
        }
    return statistics
