"""A shorter address for the names of training/diagnostics.py."""

from .training.diagnostics import *  # noqa: F403
from .training.diagnostics import __all__ as __all__
