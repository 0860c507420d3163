"""How far a scan is from what a model was trained on, as far as the two tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_iqt.report._quality import Quality
from sklearn_iqt.report._sections import Section, Table, size
from sklearn_iqt.simulation import SNR_PRESETS, GaussianSNR, mahalanobis_distance

# Draws from a distribution, and the percentiles between which most of it lies.
_N_DRAWS = 2000
_WITHIN = (5, 95)
# Estimates of contrast up to this cannot be told from lower ones.
_TOLD = 1.3

_SHIFT = (
    "How far this scan is from what the model was trained on decides how much can be expected of "
    "the enhancement. These numbers are estimated from the scan alone."
)
_SHIFT_LIMITS = (
    "They hold for skull-stripped T1-weighted scans in which white matter is brighter than grey "
    "matter, and mean nothing for others: of a whole head, pass a mask of the brain.",
    "A contrast of up to 1.3 cannot be told from any lower or inverted one: in scans simulated "
    "from six real brains, true contrasts of 0.86 to 1.20 were read as 1.08 to 1.30, and 1.56 as "
    "1.45 to 1.55. So the distance tells of noise, not of a loss of contrast: true distances of "
    "4.5 to 5.2, mostly by noise, were read as 4.5 to 5.2, but of 2.4 and 6.0 by low or inverted "
    "contrast as 0.4 to 2.1.",
)
_NOISE = {
    "background": "Noise is the spread of the background, far from the brain; in the same scans "
    "it gave the signal-to-noise ratio of white matter, where that was brighter, to 5 %. Where a "
    "scanner filters or suppresses the background, the brain is noisier than this says.",
    "white matter": "The background of this scan is erased, so noise is taken from differences of "
    "neighbours deep in white matter. Structure adds to them: in the same scans, true ratios of "
    "80, 64 and 20 to 25 were read up to 33, 25 and 8 % too low. Interpolation hides noise.",
}


def shift_section(
    quality: Quality | str, spacing: Sequence[float], learned: Any, training: Any
) -> Section:
    """Compare a scan with what a model has learned from, and with what its card says of that."""
    training = training if isinstance(training, Mapping) else {}
    if learned is None:
        learned = _numbers(training.get("spacing_low_mm"), 3)
    rows = [["voxel size (mm)", size(spacing), size(learned), _same_size(spacing, learned)]]
    limits: list[str] = []
    if isinstance(quality, str):
        limits.append(f"Contrast and noise could not be estimated: {quality}")
    else:
        rows += _compare_snr(quality, training)
        limits += [*_SHIFT_LIMITS, _NOISE[quality.source]]
    if learned is None and "snr_wm" not in training:
        limits.append(
            "The model does not say what it was trained on. It does if it was fitted by "
            "sklearn-iqt fit, or saved with save_model(model, path, training={...})."
        )
    header = ["", "this scan", "in training", ""]
    return Section("Shift from the training", [Table(rows, header)], [_SHIFT], limits)


def _compare_snr(quality: Quality, training: Mapping[str, Any]) -> list[list[str]]:
    names = training.get("snr_preset")
    names = [names] if isinstance(names, str) else names if isinstance(names, list) else []
    known = {n: SNR_PRESETS[n] for n in names if isinstance(n, str) and n in SNR_PRESETS}
    draws = [preset.sample(_N_DRAWS, 0) for preset in known.values()]
    drawn = np.concatenate(draws) if draws else None
    ratio = None if drawn is None else _most(drawn[:, 0] / drawn[:, 1])
    told = quality.contrast > _TOLD
    rows = [_compare("contrast, WM / GM", quality.contrast, ratio, ".2f")]
    if not told:
        rows[0][-1] = "cannot be told"
    for name, value, column in zip(("wm", "gm"), quality.snr, (0, 1), strict=True):
        span = _numbers(training.get(f"snr_{name}"), 2)
        if span is None and drawn is not None:
            span = _most(drawn[:, column])
        rows.append(_compare(f"signal-to-noise ratio of {name.upper()}", value, span, ".1f"))
    for name, preset in known.items():
        if isinstance(preset, GaussianSNR):
            distance = float(mahalanobis_distance([quality.snr], preset)[0])
            # The nearest are not too near.
            span = [0.0, _most(mahalanobis_distance(preset.sample(_N_DRAWS, 0), preset))[1]]
            rows.append(_compare(f"Mahalanobis distance to {name}", distance, span, ".1f"))
            if distance <= span[1] and not told:
                rows[-1][-1] = "inside, if the contrast is"
    return rows


def _compare(name: str, value: float, span: Sequence[float] | None, style: str) -> list[str]:
    if span is None:
        return [name, format(value, style), "not known", ""]
    first, last = span
    verdict = "below" if value < first else "above" if value > last else "inside"
    return [name, format(value, style), f"{first:{style}} to {last:{style}}", verdict]


def _same_size(spacing: Sequence[float], learned: Sequence[float] | None) -> str:
    if learned is None:
        return ""
    same = all(
        abs(ours - theirs) <= 0.1 * theirs for ours, theirs in zip(spacing, learned, strict=True)
    )
    return "the same" if same else "differs by more than 10 %"


def _most(values: NDArray[np.float64]) -> list[float]:
    return [float(value) for value in np.percentile(values, _WITHIN)]


def _numbers(told: Any, n: int) -> list[float] | None:
    """Return finite numbers of a card, which anybody may have written."""
    if not isinstance(told, (list, tuple)) or len(told) != n:
        return None
    try:
        numbers = [float(value) for value in told]
    except (TypeError, ValueError, OverflowError):
        return None
    return numbers if all(map(isfinite, numbers)) else None
