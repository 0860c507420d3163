"""Fixtures shared by all tests."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# Programs, which doctest would import.
collect_ignore = ["check_docstrings.py", "check_prose.py", "check_wheel.py"]
# Several folders have a file of this name, and doctest would import them as one module.
collect_ignore_glob = ["*conftest.py"]

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

# Seconds after which waiting for a browser is an error; playwright's own 30 are too few for a busy
# machine.
HANG_GUARD = 600

# A busy machine makes a test slow, which is never an error.
settings.register_profile("iqt", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("iqt")


@pytest.fixture(scope="session")
def shared_data():
    """Folder of real brains, which developers have and users do not."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real brains used in development are not on this machine")
    return SHARED_DATA


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def browser():
    """A Chromium without a window. If there is no Chromium, tests are skipped or, in CI, fail."""
    missing = pytest.fail if os.environ.get("SKLEARN_IQT_REQUIRE_BROWSER") else pytest.skip
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        missing("there is no Chromium on this machine")
    options = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ]
    with sync_playwright() as started:
        # Playwright gives each browser a new profile folder.
        opened = started.chromium.launch(
            executable_path=program, args=options, timeout=1000 * HANG_GUARD
        )
        yield opened
        opened.close()


@pytest.fixture
def new_tab(browser):
    """Open an empty tab of the browser, which is closed after the test."""
    tabs = []

    def open_tab(**options):
        tabs.append(browser.new_page(**options))
        tabs[-1].set_default_timeout(1000 * HANG_GUARD)
        return tabs[-1]

    yield open_tab
    for tab in tabs:
        tab.close()


@pytest.fixture(scope="session")
def fit_once():
    """Fit an estimator to pairs of given shapes the first time it is asked for.

    The model is shared by all tests, so they must not change it.
    """
    from instances import RAGGED, make_pairs, name
    from sklearn.base import clone

    models = {}

    def fit(estimator, shapes=RAGGED):
        key = name(estimator), tuple(shapes)
        if key not in models:
            models[key] = clone(estimator).fit(*make_pairs(shapes))
        return models[key]

    return fit
