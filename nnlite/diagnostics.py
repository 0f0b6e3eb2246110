"""What was here is in training/diagnostics.py; the old name still works."""

from .training.diagnostics import *  # noqa: F403
