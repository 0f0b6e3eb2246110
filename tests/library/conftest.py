"""What the tests of the library share."""

import pytest

from nnlite import backend


@pytest.fixture(autouse=True)
def back_to_the_cpu():
    """A selected device stays selected, so without this the next test would compute there too."""
    yield
    backend.use(backend.CPU)
