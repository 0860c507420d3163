"""Numbers of the report: contrast, noise, consistency and shift from the training."""

import math

import numpy as np
import pytest
from report_page import make_labels

from sklearn_iqt import InterpolationIQT
from sklearn_iqt.persistence import TrainingCard
from sklearn_iqt.preprocessing import foreground_mask
from sklearn_iqt.preprocessing._noise import tissue_noise
from sklearn_iqt.report import write_report
from sklearn_iqt.report._quality import (
    estimate_quality,
    measure_consistency,
)
from sklearn_iqt.report._shift import compare_with_training, shift_section
from sklearn_iqt.simulation import LowFieldSimulator, degrade


@pytest.mark.parametrize("noise", ["gaussian", "rician"])
@pytest.mark.parametrize("snr", [(60, 40), (25, 16)])
@pytest.mark.parametrize("erased", [False, True])
def test_contrast_and_noise_are_close_to_the_simulated_values(pair, noise, snr, erased):
    labels = make_labels((64, 60, 64))
    high = np.array([0, 50.0, 200, 300])[labels]
    low = LowFieldSimulator(noise=noise, random_state=0).simulate([high], [labels], snr=[snr]).low
    low = low[0]
    foreground = foreground_mask(low)
    if erased:
        low = np.where(foreground, low, 0)
    quality = estimate_quality(low, foreground, (1, 1, 4))
    assert quality.source == ("white matter" if erased else "background")
    assert quality.contrast == pytest.approx(snr[0] / snr[1], rel=0.05)
    assert quality.snr[0] == pytest.approx(snr[0], rel=0.15)


def test_noise_in_white_matter_is_measured_in_plane(rng):
    white = np.ones((30, 20, 30), bool)
    steps = 1000.0 * np.arange(20).reshape(1, 20, 1)  # intensities jump between thick slices
    low = 500 + steps + rng.normal(scale=5, size=white.shape)
    assert tissue_noise(low, white, (1, 4, 1)) == pytest.approx(5, rel=0.05)


def test_report_says_that_a_scan_without_tissues_has_no_contrast(rng, tmp_path):
    low = np.ones((12, 12, 6), np.float32)
    low[:6] = 0
    high = np.repeat(low, 4, axis=2)
    model = InterpolationIQT().fit([low], [high])
    text = write_report(model, low, tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Contrast and noise could not be estimated" in text
    assert "signal-to-noise ratio of WM" not in text
    assert "No uncertainty is shown" in text


@pytest.mark.parametrize("training", [None, TrainingCard(), TrainingCard(snr_presets="unknown")])
def test_values_without_a_card_are_not_known(pair, training):
    low = np.asarray(pair.low.dataobj)
    quality = estimate_quality(low, foreground_mask(low), (1, 2, 6))
    rows = (
        shift_section(
            compare_with_training(quality, math.nan, (1.0, 2.0, 6.0), None, training), quality
        )
        .tables[0]
        .rows
    )
    assert [row[2] for row in rows] == ["not known"] * 4
    assert all(isinstance(cell, str) for row in rows for cell in row)


def test_a_low_contrast_is_never_called_certain(pair):
    low = np.asarray(pair.low.dataobj)
    quality = estimate_quality(low, foreground_mask(low), (1, 2, 6))._replace(
        gm=54.14, wm=64.5, noise=1.0
    )
    training = TrainingCard(snr_presets="t1w_036t", snr_wm=(1, 2))
    comparisons = compare_with_training(quality, math.nan, (1, 2, 6), None, training)
    section = shift_section(comparisons, quality)
    verdicts = {row[0]: row[3] for row in section.tables[0].rows}
    assert verdicts["contrast, WM / GM"] == "inside, but not certain"
    assert verdicts["Mahalanobis distance to t1w_036t"] == "inside, if the contrast is right"
    assert verdicts["signal-to-noise ratio of WM"] == "above"
    assert verdicts["signal-to-noise ratio of GM"] == "inside"


def test_consistency_ignores_contrast_but_not_structure(rng):
    high = rng.random((20, 20, 32)) + 1
    low = degrade(high)
    everywhere = np.ones(low.shape, bool)

    def measure(enhanced):
        degraded = degrade(enhanced)
        return measure_consistency(low, degraded, everywhere)

    same = measure(high)
    assert same.raw == same.mapped == 0
    # A change of contrast after the blur is a monotone map.
    brighter = measure_consistency(low, low**2, everywhere)
    assert brighter.raw > 0.1
    assert brighter.mapped == pytest.approx(0, abs=1e-6)
    other = measure(np.roll(high, 5, axis=0))
    assert other.mapped > 0.05
    assert other.rms == pytest.approx(np.sqrt(np.mean(other.residual**2)), rel=1e-5)


def test_a_scan_without_air_has_no_contrast_unless_the_user_passes_a_mask():
    labels = make_labels((64, 60, 64))
    high = np.array([0, 50.0, 200, 300])[labels]
    low = LowFieldSimulator(random_state=0).simulate([high], [labels], snr=[(28, 20)]).low[0]
    middle = tuple(slice(n // 4, -n // 4) for n in low.shape)
    crop = low[middle]
    with pytest.raises(ValueError, match="little or no air"):
        estimate_quality(crop, foreground_mask(crop), (1, 1, 4))
