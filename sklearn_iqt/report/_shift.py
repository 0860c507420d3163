"""Compare a scan with the scans that the model was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklearn_iqt.persistence import TrainingCard
from sklearn_iqt.report._quality import Quality
from sklearn_iqt.report._sections import Section, Table, size
from sklearn_iqt.simulation import SNR_PRESETS, GaussianSNR, mahalanobis_distance

# Number of draws from a distribution, and the percentiles that the report calls its range.
_N_DRAWS = 2000
_PERCENTILES = (5, 95)
# Estimates of the contrast up to this value may be too high.
_UNCERTAIN_CONTRAST = 1.3
# Part by which a measured range is widened, because training scans are few.
_MARGIN = 0.1
# Largest brightness of the surface of the brain relative to its core in a T1-weighted scan.
_T1W_SURFACE = 0.8

_SHIFT = (
    "The more this scan differs from the scans that the model was trained on, the less the "
    "enhancement can be trusted. These numbers are estimated from the scan alone."
)
_SHIFT_LIMITS = (
    "The numbers are valid for skull-stripped T1-weighted scans in which white matter is brighter "
    "than grey matter. They are not valid for other scans. For a whole head, pass a mask of the "
    "brain.",
    "If the estimated contrast is at most 1.3, the true contrast may be lower or inverted. In "
    "scans simulated from six real brains, true contrasts of 0.86 to 1.20 were estimated as 1.08 "
    "to 1.30, and a contrast of 1.56 as 1.45 to 1.55. So the distance shows noise, but not a loss "
    "of contrast. True distances of 4.5 to 5.2, mostly from noise, were estimated as 4.5 to 5.2. "
    "True distances of 2.4 and 6.0, from low or inverted contrast, were estimated as 0.4 to 2.1.",
)
_NOISE = {
    "background": "Noise is measured as the spread of the background, away from the brain. In the "
    "same scans, if white matter was brighter, the signal-to-noise ratio of white matter was "
    "within 5 % of the true ratio. If a scanner filters or suppresses the background, the brain is "
    "noisier than this.",
    "white matter": "The background of this scan is erased, so noise is measured from differences "
    "of neighbours deep in white matter. Structure increases these differences: in the same scans, "
    "true ratios of 80, 64 and 20 to 25 were estimated up to 33, 25 and 8 % too low. If the scan "
    "was interpolated, the noise is underestimated.",
}


class Comparison(NamedTuple):
    """A property of the scan, compared with the training scans; all but the last two are texts."""

    topic: str
    name: str
    value: str
    training: str
    result: str
    # None if it is not known.
    differs: bool | None
    # Whether a scan that differs must not be enhanced.
    is_serious: bool = False


def compare_with_training(
    quality: Quality | str,
    surface: float,
    spacing: Sequence[float],
    learned: Sequence[float] | None,
    training: TrainingCard | None,
    *,
    corrects_contrast: bool = False,
) -> list[Comparison]:
    """Compare the voxel size, contrast and noise of a scan with those of the training scans.

    The voxel size of the training is taken from the model, or else from its training card. Another
    contrast is not serious if the model corrects the contrast of each scan.
    """
    training = TrainingCard() if training is None else training
    learned = training.spacing_low_mm if learned is None else learned
    comparisons = [_compare_spacing(spacing, learned)]
    if np.isfinite(surface):
        comparisons.append(_compare_surface(surface, training))
    if isinstance(quality, Quality):
        contrast, *others = _compare_snr(quality, training)
        comparisons += [contrast._replace(is_serious=not corrects_contrast), *others]
    return comparisons


def shift_section(comparisons: Sequence[Comparison], quality: Quality | str) -> Section:
    """Return the section that compares a scan with the training scans of the model."""
    limits: list[str] = []
    if isinstance(quality, str):
        limits.append(f"Contrast and noise could not be estimated: {quality}")
    else:
        limits += [*_SHIFT_LIMITS, _NOISE[quality.source]]
    if all(one.differs is None for one in comparisons):
        limits.append(
            "The training of the model is not known. Fit the model with sklearn-iqt fit, or save "
            "it with save_model(model, path, training=TrainingCard(...))."
        )
    header = ["", "this scan", "in training", ""]
    rows = [[one.name, one.value, one.training, one.result] for one in comparisons]
    return Section("Shift from the training", [Table(rows, header)], [_SHIFT], limits)


def _compare_surface(surface: float, training: TrainingCard) -> Comparison:
    """Compare the kind of contrast: T1-weighted, T2-weighted or FLAIR."""
    is_t1w = set(training.snr_presets) & set(SNR_PRESETS) - {"flair_036t"}
    span = _widen(training.surface) or ((0.0, _T1W_SURFACE) if is_t1w else None)
    row = _compare("contrast", "surface of the brain / its core", surface, span, ".2f")
    if row.differs and span and surface > span[1] and span[1] <= _T1W_SURFACE:
        row = row._replace(result="above: the scan seems not to be T1-weighted")
    return row._replace(is_serious=True)


def _compare_snr(quality: Quality, training: TrainingCard) -> list[Comparison]:
    known = {name: SNR_PRESETS[name] for name in training.snr_presets if name in SNR_PRESETS}
    draws = [preset.sample(_N_DRAWS, 0) for preset in known.values()]
    drawn = np.concatenate(draws) if draws else None
    ratio = None if drawn is None else _range(drawn[:, 0] / drawn[:, 1])
    # A range that was measured in the training scans has the same bias.
    is_certain = quality.contrast > _UNCERTAIN_CONTRAST or training.contrast is not None
    ratio = _widen(training.contrast) or ratio
    contrast = _compare("contrast", "contrast, WM / GM", quality.contrast, ratio, ".2f")
    if not is_certain and contrast.differs is not None:
        # The estimate may be too high, so a contrast outside of the range may be inside.
        result = "not certain" if contrast.differs else "inside, but not certain"
        contrast = contrast._replace(result=result, differs=None if contrast.differs else False)
    rows = [contrast]
    spans = (training.snr_wm, training.snr_gm)
    for name, value, span, column in zip(("WM", "GM"), quality.snr, spans, (0, 1), strict=True):
        if span is None and drawn is not None:
            span = _range(drawn[:, column])
        rows.append(_compare("noise", f"signal-to-noise ratio of {name}", value, span, ".1f"))
    for name, preset in known.items():
        if isinstance(preset, GaussianSNR):
            distance = float(mahalanobis_distance([quality.snr], preset)[0])
            # A distance cannot be too small, so the range starts at 0.
            _, farthest = _range(mahalanobis_distance(preset.sample(_N_DRAWS, 0), preset))
            row = _compare(
                "noise",
                f"Mahalanobis distance to {name}",
                distance,
                (0, farthest),
                ".1f",
            )
            if distance <= farthest and not is_certain:
                row = row._replace(result="inside, if the contrast is right")
            rows.append(row)
    return rows


def _compare(
    topic: str, name: str, value: float, span: Sequence[float] | None, style: str
) -> Comparison:
    if span is None:
        return Comparison(topic, name, format(value, style), "not known", "", None)
    first, last = span
    result = "below" if value < first else "above" if value > last else "inside"
    learned = f"{first:{style}} to {last:{style}}"
    return Comparison(topic, name, format(value, style), learned, result, result != "inside")


def _compare_spacing(spacing: Sequence[float], learned: Sequence[float] | None) -> Comparison:
    row = Comparison("voxel size", "voxel size (mm)", size(spacing), size(learned), "", None, True)
    if learned is None:
        return row
    same = all(
        abs(ours - theirs) <= 0.1 * theirs for ours, theirs in zip(spacing, learned, strict=True)
    )
    result = "the same" if same else "differs by more than 10 %"
    return row._replace(result=result, differs=not same)


def _widen(span: Sequence[float] | None) -> tuple[float, float] | None:
    return None if span is None else (span[0] * (1 - _MARGIN), span[1] * (1 + _MARGIN))


def _range(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the limits that contain 90 % of the values."""
    first, last = np.percentile(values, _PERCENTILES)
    return float(first), float(last)
