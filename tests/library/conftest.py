"""What the tests of the library share."""

import pytest

from nnlite import backend, kernels


@pytest.fixture(autouse=True)
def back_to_the_cpu():
    """A selected device stays selected, so without this the next test would compute there too."""
    yield
    backend.use(backend.CPU)


@pytest.fixture
def numba_at_once(monkeypatch):
    """numba compiles each formula when it is called for the first time; if it cannot, it fails."""
    pytest.importorskip("numba", reason="the extra `fast` is not installed")
    monkeypatch.setattr(kernels, "COMPILE_AFTER", 0)
    monkeypatch.setattr(kernels, "compiled", kernels.compile_loop)
