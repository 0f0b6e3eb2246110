"""A shorter address for the names of training/logs.py."""

from .training.logs import *  # noqa: F403
from .training.logs import __all__ as __all__
