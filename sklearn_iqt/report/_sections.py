"""The sections of a report: headings, sentences and tables, all of them plain text."""

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
from sklearn.pipeline import Pipeline

from sklearn_iqt._version import __version__
from sklearn_iqt.metrics import score_table, ssim
from sklearn_iqt.metrics._table import MEASURES
from sklearn_iqt.persistence import TrainingCard
from sklearn_iqt.plotting._slices import upright
from sklearn_iqt.preprocessing import intensity_scale, upsample
from sklearn_iqt.report._inputs import Inputs, turn_upright
from sklearn_iqt.report._quality import Consistency, Quality

_LONGEST = 300
_SIDES = dict(
    zip("LRPAIS", ("left", "right", "posterior", "anterior", "inferior", "superior"), strict=True)
)

_CONSISTENCY = (
    "The enhancement, blurred by the slice profile and sampled at the voxels of the scan, should "
    "be the scan again. A model that was trained to change the contrast between tissues moves "
    "intensities on purpose. The second number is what is left after the best monotone map of "
    "intensities, so it measures structure; the viewer shows its map as inconsistency."
)
_CONSISTENCY_LIMITS = (
    "Agreement means that nothing of the scan was lost, not that what was added between its slices "
    "is true. The scan is noisy itself, so a residual of about its noise is the best possible."
)
_NO_SPREAD = (
    "No uncertainty is shown. It is the spread of overlapping patches, which nets and "
    "interpolation do not have. Pass std with an enhancement that was made before."
)


_TRUTH = (
    "Measured where the truth is above zero. A lower NRMSE is better; a higher PSNR or SSIM is "
    "better."
)


class Table(NamedTuple):
    """Rows of texts, below a header if there is one."""

    rows: Sequence[Sequence[str]]
    header: Sequence[str] = ()


class Section(NamedTuple):
    """A heading, tables, sentences before them, and sentences on their limits after them."""

    heading: str
    tables: Sequence[Table]
    intro: Sequence[str] = ()
    limits: Sequence[str] = ()


def consistency_section(
    consistency: Consistency, quality: Quality | str, thickness: Sequence[float]
) -> Section:
    """Return how well the enhancement agrees with the scan."""
    rows = [
        ["NRMSE, of the largest intensity", number(consistency.raw)],
        ["the same after the best monotone map of intensities", number(consistency.mapped)],
    ]
    if isinstance(quality, Quality):
        ratio = consistency.rms / quality.noise
        rows.append(["what is left, in standard deviations of the noise", f"{ratio:.1f}"])
    rows.append(["slice profile, FWHM in voxels of the enhancement", size(thickness)])
    return Section(
        "Consistency with the scan", [Table(rows)], [_CONSISTENCY], [_CONSISTENCY_LIMITS]
    )


def truth_section(inputs: Inputs) -> Section:
    """Return the scores of the enhancement and of cubic interpolation against the truth."""
    subject = inputs.subject
    truth, brain = subject.main.voxels, subject.brain
    interpolated = upsample(inputs.voxels, inputs.scale, alignment=inputs.alignment)
    estimates = {
        "enhanced": turn_upright(inputs.enhanced).voxels,
        "cubic interpolation": upright(interpolated, inputs.enhanced.affine).voxels,
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


def scan_section(inputs: Inputs, window: Sequence[float]) -> Section:
    """Describe the scan and its enhancement."""
    scan, voxels = inputs.scan, inputs.voxels
    grids = [
        f"{size(image.shape)}, of {size(voxel_sizes(image.affine))} mm"
        for image in (scan, inputs.enhanced)
    ]
    rows = [
        ["scan", one_line(inputs.name)],
        ["description in its header", _header_text(scan)],
        ["voxels of the scan", grids[0]],
        ["voxels of the enhancement", grids[1]],
        ["axes run to", ", ".join(_SIDES[side] for side in nibabel.aff2axcodes(scan.affine))],
        ["intensities", f"{number(voxels.min())} to {number(voxels.max())}"],
        ["intensity that is one for the model", number(intensity_scale(voxels, inputs.mask))],
        ["black and white in the viewer", " and ".join(map(number, window))],
    ]
    return Section("Scan", [Table([row for row in rows if row[1]])])


def model_section(model: Any, training: TrainingCard | None, *, has_spread: bool) -> Section:
    """Describe the model: what it is, its parameters and its training."""
    tables = []
    for _, step in model.steps if isinstance(model, Pipeline) else [("", model)]:
        params = {} if isinstance(step, str) else step.get_params(deep=False)
        rows = [["class", step if isinstance(step, str) else type(step).__name__]]
        rows += [[str(name), one_line(value)] for name, value in sorted(params.items())]
        tables.append(Table(rows))
    facts = {} if training is None else training.as_dict()
    if facts:
        notes = facts.pop("notes", {})
        rows = [[name, one_line(value)] for name, value in (*facts.items(), *notes.items())]
        tables.append(Table(rows, ["its training", ""]))
    limits = [] if has_spread else [_NO_SPREAD]
    return Section("Model", tables, limits=limits)


def versions_section(saved_by: str | None) -> Section:
    """List the software that made the report, and the version that saved the model."""
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
    """Return a value in one line; only the name of a path, because folders may name people."""
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if isinstance(value, os.PathLike):
        text = os.path.basename(text)
    text = " ".join((text if isinstance(text, str) else repr(text)).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"


def number(value: Any) -> str:
    """Return a number with four digits."""
    return f"{float(value):.4g}"


def size(values: Sequence[Any] | None) -> str:
    """Return lengths or counts along the axes."""
    return "not known" if values is None else " × ".join(f"{float(value):.4g}" for value in values)
