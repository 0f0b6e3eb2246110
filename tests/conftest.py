"""What several test files share."""

import os
import signal
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import strict_cupy as stand_in
from nnlite.datasets import FILES, Dataset

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "experiments"))

posix = pytest.mark.skipif(
    os.name != "posix", reason="it needs the signals, links, limits, shells or devices of POSIX"
)


def pytest_configure():
    """Let the programs that tests start be stopped by signals, behind nohup and & as well.

    There some signals are ignored, which programs inherit; but no handler, such as one for nothing.
    """
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Sums are added up in the same order on every machine and in every run."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="session", autouse=True)
def nobody_s_cache(tmp_path_factory):
    """No test reads or writes the cache of the user who runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NNLITE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("NUMBA_CACHE_DIR", str(tmp_path_factory.mktemp("numba")))
        yield


@pytest.fixture
def no_warnings():
    """A warning is a failure, such as one of matplotlib's about what it cannot draw."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ResourceWarning)  # of other tests, collected only now
        yield


@pytest.fixture
def strict_cupy(monkeypatch):
    """The stand-in takes CuPy's place, its counters at zero; gives the file strict_cupy.py."""
    for name, module in stand_in.MODULES.items():
        monkeypatch.setitem(sys.modules, name, module)
    stand_in.transfers.reset()
    return stand_in


@pytest.fixture(scope="session")
def tiny():
    """Ten patterns under noise, easy to learn: 300 training and 50 test images."""
    random = np.random.default_rng(0)
    patterns = random.uniform(0, 255, (10, 784))

    def images(labels):
        noise = random.normal(0, 60, (len(labels), 784))
        return (0.5 * patterns[labels] + 64 + noise).clip(0, 255).astype(np.uint8)

    y_train, y_test = (np.arange(N, dtype=np.uint8) % 10 for N in (300, 50))
    return Dataset(
        "tiny", images(y_train), y_train, images(y_test), y_test, tuple("0123456789"), "conftest.py"
    )


@pytest.fixture(scope="session")
def fashion_dir():
    """The directory with Fashion-MNIST's four files."""
    directory = Path(os.environ.get("NNLITE_DATA") or ROOT.parent / "shared" / "fashion-mnist")
    if not all((directory / f"{name}.gz").is_file() for name in FILES):
        pytest.skip(f"Fashion-MNIST is not in {directory}; set NNLITE_DATA to its directory")
    return directory
