"""nnlite: a neural network library small enough to read, in NumPy or CuPy.

Where to begin: layers.py and activations.py have each function beside its derivative, losses.py the
loss; network.py puts the layers in a row, and optimizers.py turns gradients into steps. Then
training/loop.py trains a network and watches it.
"""

__version__ = "0.3.0"

from .activations import ACTIVATIONS, ELU, GELU, LeakyReLU, ReLU, Sigmoid, Tanh
from .backend import select_device
from .datasets import DataError, Dataset
from .layers import Layer, Linear
from .losses import SoftmaxCrossEntropy
from .network import INITIALIZERS, MLP
from .optimizers import OPTIMIZERS, SGD, Adam, AdamW, Optimizer, RMSprop, SGDMomentum
from .saving import load, save
from .schedulers import SCHEDULERS, Constant, Cosine, Exponential, Scheduler, Step
from .training import train
from .training.config import Config

__all__ = [
    "ACTIVATIONS", "INITIALIZERS", "MLP", "OPTIMIZERS", "SCHEDULERS", "SGD", "ELU", "GELU",
    "Adam", "AdamW", "Config", "Constant", "Cosine", "DataError", "Dataset", "Exponential",
    "Layer", "LeakyReLU", "Linear", "Optimizer", "RMSprop", "ReLU", "SGDMomentum", "Scheduler",
    "Sigmoid", "SoftmaxCrossEntropy", "Step", "Tanh", "load", "save",
    "select_device", "train",
]  # fmt: skip
