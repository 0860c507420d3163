"""Fixtures shared by all tests."""

from pathlib import Path

import numpy as np
import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data():
    """Folder of real brains, which developers have and users do not."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real brains used in development are not on this machine")
    return SHARED_DATA


@pytest.fixture
def rng():
    return np.random.default_rng(0)
