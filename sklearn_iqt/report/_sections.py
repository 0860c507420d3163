"""Sections of a report: headings, sentences and tables of plain text."""

from __future__ import annotations

import math
import os
import platform
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import nibabel
import numpy as np
import scipy
import sklearn
from nibabel.affines import voxel_sizes

from sklearn_iqt._version import __version__
from sklearn_iqt.base import steps_of
from sklearn_iqt.checks import ScanCheck
from sklearn_iqt.compose import ConformalIQT
from sklearn_iqt.metrics import score_table, ssim
from sklearn_iqt.metrics._table import MEASURES
from sklearn_iqt.patches import PatchTransformer
from sklearn_iqt.persistence import TrainingCard
from sklearn_iqt.preprocessing import intensity_scale
from sklearn_iqt.preprocessing._scan_features import FEATURES
from sklearn_iqt.report._inputs import Inputs, turn_upright
from sklearn_iqt.report._quality import Consistency, Quality

_MAX_LENGTH = 300
_SIDES = dict(
    zip("LRPAIS", ("left", "right", "posterior", "anterior", "inferior", "superior"), strict=True)
)

_CONSISTENCY = (
    "The enhancement, blurred by the slice profile and sampled at the voxels of the scan, should "
    "equal the scan. A model that was trained to change the contrast between tissues changes "
    "intensities on purpose. The second number is the difference that remains after the best "
    "monotone map of intensities, so it measures structure. The viewer shows this difference as "
    "inconsistency."
)
_CONSISTENCY_LIMITS = (
    "Agreement means that the enhancement contains the scan. It does not mean that the details "
    "added between the slices are true. The scan itself is noisy, so a difference of about its "
    "noise is the best possible result."
)
_NO_SPREAD = (
    "No uncertainty is shown. If you pass an existing enhancement, pass its std as well, which "
    "predict(..., return_std=True) returns."
)
_INTERVALS = (
    "Calibration subjects of the intervals: {n}. For a new subject like these, with a "
    "probability of at least {subjects:g} %, they contain the truth in at least {voxels:g} % of "
    "the voxels of the brain. They promise nothing about a particular place, such as a lesion, and "
    "nothing about scans of another kind."
)
_CHECK_LIMITS = (
    "The distance is in standard deviations between subjects, on the side where a scan is worse. "
    "A scan that is more than 3 away is doubtful, and one that is more than 4 away is refused by "
    "sklearn-iqt enhance, unless the number is only a hint (field of view, detail)."
)
_TRUTH = (
    "Measured in the voxels where the truth is above zero. A lower NRMSE is better. A "
    "higher PSNR or SSIM is better."
)


class Table(NamedTuple):
    """Rows of texts with an optional header."""

    rows: Sequence[Sequence[str]]
    header: Sequence[str] = ()


class Section(NamedTuple):
    """A heading, an introduction, tables and their limits, in this order."""

    heading: str
    tables: Sequence[Table]
    intro: Sequence[str] = ()
    limits: Sequence[str] = ()


def consistency_section(
    consistency: Consistency, quality: Quality | str, thickness: Sequence[float]
) -> Section:
    """Return the section on the consistency of the enhancement with the scan."""
    rows = [
        ["NRMSE, of the largest intensity", number(consistency.raw)],
        ["the same after the best monotone map of intensities", number(consistency.mapped)],
    ]
    if isinstance(quality, Quality):
        ratio = consistency.rms / quality.noise
        rows.append(
            ["difference that remains, in standard deviations of the noise", f"{ratio:.1f}"]
        )
    rows.append(["slice profile, FWHM in voxels of the enhancement", size(thickness)])
    return Section(
        "Consistency with the scan", [Table(rows)], [_CONSISTENCY], [_CONSISTENCY_LIMITS]
    )


def check_section(check: ScanCheck) -> Section:
    """Return the section on the check of the scan, which the commands run as well."""
    rows = []
    for one in check.differences:
        feature = FEATURES[one.name]
        value = "not measured" if one.value is None else feature.show(one.value)
        learned = " to ".join(map(feature.show, one.learned))
        rows.append([feature.words, value, learned, f"{one.distance:.1f}"])
    header = ["", "this scan", "in training", "distance"]
    reasons = "; ".join(check.reasons)
    intro = f"Verdict: {check.verdict}." + (f" Reasons: {reasons}." if reasons else "")
    tables = [Table(rows, header)] if rows else []
    return Section("Check of the scan", tables, [intro], [_CHECK_LIMITS] if rows else [])


def truth_section(inputs: Inputs) -> Section:
    """Return the section with scores of the enhancement and of cubic interpolation."""
    subject = inputs.subject
    truth, brain = subject.main.voxels, subject.brain
    estimates = {
        "enhanced": turn_upright(inputs.enhanced).voxels,
        "cubic interpolation": turn_upright(inputs.interpolated).voxels,
    }
    rows = score_table(
        [truth],
        {name: [voxels] for name, voxels in estimates.items()},
        mask=[brain],
        measures=_MEASURES,
    )
    cells = [[row["method"], *(_score(name, row[name]) for name in _MEASURES)] for row in rows]
    header = ["", *_MEASURES]
    return Section("Against the truth", [Table(cells, header)], [_TRUTH])


def _ssim(truth: Any, estimate: Any, mask: Any) -> float:
    try:
        return float(ssim(truth, estimate, mask=mask))
    except ValueError:  # the volume is smaller than the window
        return math.nan


_MEASURES = {**MEASURES, "SSIM": _ssim}


def _score(name: str, score: float) -> str:
    if math.isnan(score):
        return "not defined"
    return f"{score:.2f}" if name == "PSNR (dB)" else f"{score:.4f}"


def scan_section(inputs: Inputs, window: Sequence[float], step: float) -> Section:
    """Return the section on the grids and intensities of the scan and its enhancement.

    Levels in the viewer were rounded with the given step.
    """
    scan, voxels = inputs.scan, inputs.voxels
    loss = step / math.sqrt(12) / 255 * (window[1] - window[0])
    grids = [
        f"{size(image.shape)}, of {size(voxel_sizes(image.affine))} mm"
        for image in (scan, inputs.enhanced)
    ]
    rows: list[list[Any]] = [
        ["scan", one_line(inputs.name)],
        ["description in its header", _header_text(scan)],
        ["to fit the training scans", inputs.steps],
        ["voxels of the scan", grids[0]],
        ["voxels of the enhancement", grids[1]],
        ["axes run to", ", ".join(_SIDES[side] for side in nibabel.aff2axcodes(scan.affine))],
        ["intensities", f"{number(voxels.min())} to {number(voxels.max())}"],
        ["intensity that the model divides by", number(intensity_scale(voxels, inputs.mask))],
        ["black and white in the viewer", " and ".join(map(number, window))],
        ["error of intensities in the viewer, by compression", f"up to about {number(loss)}"],
    ]
    return Section("Scan", [Table([row for row in rows if row[1]])])


def model_section(
    model: Any,
    training: TrainingCard | None,
    *,
    has_spread: bool,
    calibrated: ConformalIQT | None,
    no_interval: str | None = None,
) -> Section:
    """Return the section on the class, the parameters and the training of the model."""
    tables = [Table(_describe_step(step)) for step in steps_of(model)]
    facts = {} if training is None else training.as_dict()
    if facts:
        notes = facts.pop("notes", {})
        rows = [[name, one_line(value)] for name, value in (*facts.items(), *notes.items())]
        tables.append(Table(rows, ["training", ""]))
    limits = [] if has_spread else [_NO_SPREAD]
    if no_interval is not None:
        limits.append(no_interval)
    elif calibrated is not None:
        limits.append(
            _INTERVALS.format(
                n=len(calibrated.factors_),
                subjects=100 * calibrated.subject_level,
                voxels=100 * calibrated.confidence_level,
            )
        )
    return Section("Model", tables, limits=limits)


def _describe_step(step: Any) -> list[list[str]]:
    """Return the class of an estimator and its parameters, as they were used if they were None."""
    rows = [["class", type(step).__name__]]
    for name, value in sorted(step.get_params(deep=False).items()):
        value = getattr(step, f"{name}_", None) if value is None else value
        if isinstance(value, PatchTransformer):
            rows += [
                [f"{part}, in voxels of the scan", size(getattr(value, f"{part}_", None))]
                for part in ("patch_size", "stride")
            ]
        else:
            rows.append([str(name), one_line(value)])
    return rows


def versions_section(saved_by: str | None) -> Section:
    """Return the section with the versions that made the report and saved the model."""
    rows = [["sklearn_iqt", __version__]]
    if saved_by is not None:
        rows.append(["sklearn_iqt that saved the model", one_line(saved_by)])
    rows += [
        ["Python", platform.python_version()],
        *([module.__name__, module.__version__] for module in (np, scipy, sklearn, nibabel)),
    ]
    if "torch" in sys.modules:
        rows.append(["torch", str(sys.modules["torch"].__version__)])
    return Section("Versions", [Table(rows)])


def _header_text(image: Any) -> str:
    try:
        return one_line(bytes(image.header["descrip"]).rstrip(b"\0").decode("utf-8", "replace"))
    except (KeyError, ValueError, TypeError):
        return ""


def one_line(value: Any) -> str:
    """Return a value on one line. Paths are cut to the file name; folders may name people."""
    if isinstance(value, os.PathLike):
        text = os.path.basename(os.fspath(value))
    elif isinstance(value, float):
        text = number(value)
    elif isinstance(value, (list, tuple)):
        text = ", ".join(map(one_line, value))
    elif isinstance(value, dict):
        text = ", ".join(f"{one_line(name)}: {one_line(entry)}" for name, entry in value.items())
    else:
        text = value if isinstance(value, str) else repr(value)
    text = " ".join(text.split())
    return text if len(text) <= _MAX_LENGTH else f"{text[:_MAX_LENGTH]} …"


def number(value: Any) -> str:
    """Return a number with three significant digits, or all digits of a whole number."""
    value = float(value)
    if value == round(value) and abs(value) < 1e9:
        return f"{value:.0f}"
    return f"{value:.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.3g}"


def size(values: Sequence[Any] | None) -> str:
    """Return lengths or counts along the axes, such as "1 × 1 × 4"."""
    return "not known" if values is None else " × ".join(map(number, values))
