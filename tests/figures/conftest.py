"""What the tests of figures share."""

import pytest

from figures import style


@pytest.fixture(autouse=True)
def measured_as_drawn(no_warnings):
    """Texts are as large in tests as in the pictures; a warning is a failure."""
    with style.settings():
        yield


@pytest.fixture
def coarse(monkeypatch):
    """Small pictures, which are drawn sooner."""
    monkeypatch.setattr(style, "DPI", 30)
