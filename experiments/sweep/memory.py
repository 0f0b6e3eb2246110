"""How much memory networks need, and how much there is."""

import contextlib
import math
import os
from pathlib import Path

from nnlite import Config, Dataset


def count_parameters(config: Config, data: Dataset) -> int:
    widths = [data.x_train.shape[1], *config.hidden, len(data.classes)]
    return sum((D_in + 1) * D_out for D_in, D_out in zip(widths, widths[1:]))


def least_memory(config: Config, data: Dataset) -> int:
    """Return how many bytes training needs at least.

    float32: parameters, gradient, and all weights before and after the epoch's last step.
    """
    return 4 * 4 * count_parameters(config, data)


def free_memory() -> float:
    """Return how many bytes a process may still take, infinity if the system does not tell."""
    limits = [math.inf]
    with contextlib.suppress(OSError, ValueError, AttributeError):
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with contextlib.suppress(OSError, ValueError, LookupError):  # Linux
        text = Path("/proc/meminfo").read_text()
        limits.append(1024 * int(text.split("MemAvailable:")[1].split()[0]))
    with contextlib.suppress(OSError, ValueError):  # a container; "max" if it has no limit
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    with contextlib.suppress(ImportError):  # ulimit -v
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        limits.append(soft if soft != resource.RLIM_INFINITY else math.inf)
    return min(limits)
