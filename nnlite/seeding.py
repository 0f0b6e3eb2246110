"""Random numbers: one seed, several independent named streams.

Everything random in a run comes from here, always from NumPy on the host, so CPU and GPU get the
same numbers. Each purpose has its own stream. So runs with the same seed share the split, the
initial weights and the order of batches, whatever else differs between them: one variable changes
at a time.
"""

import numpy as np

STREAMS = ("split", "weights", "batches", "probe")


def streams(seed: int) -> dict[str, np.random.Generator]:
    """Return a new generator for each name in STREAMS; the same seed always gives the same ones.

    Raises ValueError if seed is not an integer >= 0.
    """
    if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool) or seed < 0:
        raise ValueError(f"seed is {seed!r}: it must be an integer >= 0")
    children = np.random.SeedSequence(int(seed)).spawn(len(STREAMS))
    return {name: np.random.default_rng(child) for name, child in zip(STREAMS, children)}
