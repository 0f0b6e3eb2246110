"""What was here is in training/logs.py; the old name still works."""

from .training.logs import *  # noqa: F403
