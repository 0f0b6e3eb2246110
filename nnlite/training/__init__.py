"""One watched run: train, measure, record. Read loop.py first."""

from .loop import Training, evaluate, scaled, train, train_epoch

__all__ = ["Training", "evaluate", "scaled", "train", "train_epoch"]
