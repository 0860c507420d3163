"""Fixtures: a simulated scan, a model and the report on the scan."""

from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
from report_page import AFFINE, make_card, make_labels

from sklearn_iqt import PatchwiseRegressor
from sklearn_iqt.report import write_report
from sklearn_iqt.simulation import LowFieldSimulator


@pytest.fixture(scope="session")
def pair():
    """Return a simulated scan, its truth and its pair of signal-to-noise ratios."""
    labels = make_labels()
    high = np.array([0, 50.0, 200, 300])[labels].astype(np.float32)
    image = nibabel.Nifti1Image(high, AFFINE)
    drawn = LowFieldSimulator(random_state=0).simulate([image], [labels], snr=[(60, 40)])
    return SimpleNamespace(low=drawn.low[0], high=drawn.high[0], snr=drawn.snr[0])


@pytest.fixture(scope="session")
def model(pair):
    return PatchwiseRegressor(max_patches=2000, random_state=0).fit([pair.low], [pair.high])


@pytest.fixture(scope="session")
def page(pair, model, tmp_path_factory):
    """Return the path of a report with all sections."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    card = make_card(version="1", snr_presets=["t1w_036t"], spacing_low_mm=[1, 2, 6])
    return write_report(model, pair.low, path, truth=pair.high, card=card)
