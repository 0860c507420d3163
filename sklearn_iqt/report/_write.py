"""Write a report on one scan."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.affines import apply_affine
from nibabel.nifti1 import Nifti1Image
from numpy.typing import ArrayLike, NDArray

from sklearn_iqt.base import steps_of
from sklearn_iqt.io import replaced_file
from sklearn_iqt.persistence import ModelCard, TrainingCard
from sklearn_iqt.plotting._slices import Scan, upright
from sklearn_iqt.plotting._subject import brightness
from sklearn_iqt.preprocessing import TissueScaler, foreground_mask
from sklearn_iqt.report._inputs import (
    CALLER,
    Inputs,
    calibrated,
    read_inputs,
    slice_profile,
    turn_upright,
)
from sklearn_iqt.report._layers import Layer, pack_within
from sklearn_iqt.report._page import make_page
from sklearn_iqt.report._quality import (
    Quality,
    estimate_quality,
    estimate_surface,
    measure_consistency,
)
from sklearn_iqt.report._sections import (
    check_section,
    consistency_section,
    model_section,
    scan_section,
    truth_section,
    versions_section,
)
from sklearn_iqt.report._shift import compare_with_training, shift_section
from sklearn_iqt.report._verdict import find_faults, judge
from sklearn_iqt.simulation import degrade

__all__ = ["write_report"]

# Characters for the volumes of the viewer, so that a page is smaller than 5 MB.
_MAX_BYTES = 4_900_000

# Names and descriptions of the volumes in the viewer.
_LABELS = {
    "low": ("scan", "The scan, with its thick slices."),
    "interpolated": ("interpolation", "The scan, interpolated by cubic splines."),
    "enhanced": ("enhanced", "The enhancement of the scan by the model."),
    "truth": ("truth", "The high-quality volume that the enhancement should equal."),
    "error_interpolated": (
        "error of the interpolation",
        "Absolute difference between the interpolation and the truth.",
    ),
    "error_enhanced": (
        "error",
        "Absolute difference between the enhancement and the truth.",
    ),
    "residual": (
        "inconsistency",
        "Absolute difference in the foreground between the scan and the enhancement, blurred and "
        "sampled like the scan, after the best monotone map of intensities.",
    ),
    "interval": (
        "interval",
        "Half the length of the interval of each voxel: the truth is expected at this distance "
        "from the enhancement or closer. The section on the model describes the promise.",
    ),
    "spread": (
        "uncertainty",
        "Standard deviation of the enhancement of each voxel, from the noise of the scan and the "
        "uncertainty of the method. It shows where errors are likely and is not a confidence "
        "interval.",
    ),
}
# Names of the volumes that are compared with the truth.
_ESTIMATES = {"enhanced", "interpolated"}


def write_report(
    model: Any,
    low: Any,
    path: str | os.PathLike[str],
    *,
    enhanced: Any = None,
    std: Any = None,
    truth: Any = None,
    mask: Any = None,
    affine: ArrayLike | None = None,
    card: ModelCard | TrainingCard | None = None,
    thickness: float | Sequence[float] | None = None,
    title: str | None = None,
) -> Path:
    """Write a page on the enhancement of a scan and on how far it can be trusted.

    The page is one HTML file that needs no other file and makes no network requests. It starts with
    a verdict: whether the scan is like the training scans, whether the enhancement is consistent
    with the scan, and the numbers that decide. It shows slices in three planes of the scan, its
    interpolation, the enhancement, its standard deviation and, with a truth, the
    error, one volume or two side by side. It describes the model.

    Parameters
    ----------
    model : estimator
        A fitted estimator, or a pipeline that ends with one. With an
        :class:`~sklearn_iqt.compose.AnyGridIQT`, the page shows the scan after it was brought to
        the grid of the training scans, and the truth on the grid of the enhancement.
    low : array of shape (i, j, k), nibabel image or path
        The scan.
    path : str or path-like
        File to write. An existing file is replaced only once the new one is complete.
    enhanced : array, nibabel image or path, default=None
        Existing enhancement of the scan. By default, the model enhances the scan.
    std : array, nibabel image or path, default=None
        Existing standard deviation of `enhanced`, from ``predict(..., return_std=True)``.
    truth : array, nibabel image or path, default=None
        The high-quality volume, on the grid of the enhancement.
    mask : array of shape (i, j, k), nibabel image or path, default=None
        Brain of the scan, where it is above zero. By default, the voxels at or above the mean of
        the scan. Contrast and noise of a whole head can only be estimated with a mask.
        NaN of the scan that the mask excludes is replaced by 0.
    affine : array-like of shape (4, 4), default=None
        Map from voxels to mm of the scan if it is an array. The default is the identity.
    card : ModelCard or TrainingCard, default=None
        Description of the training of the model: its training card, or the card of its file,
        which :func:`sklearn_iqt.persistence.read_model_card` returns.
    thickness : float or sequence of 3 floats, default=None
        Full width at half maximum of the slice profile of the scan along axes with a scale above
        1, in voxels of the enhancement, at least 1. The default is ``scale - 1``, a gap of one
        voxel, as in :class:`sklearn_iqt.simulation.LowFieldSimulator`.
    title : str, default=None
        Heading of the page. The default contains the name of the scan.

    Returns
    -------
    pathlib.Path
        The file written.

    Raises
    ------
    ValueError
        If a volume is not finite, `std` is passed without `enhanced`, or `thickness` is invalid.
    TypeError
        If `card` is not a card, or `model` cannot enhance volumes.
    GeometryMismatchError
        If the volumes are not on matching grids.
    OSError
        If the file cannot be written. An existing file is not changed.

    See Also
    --------
    plot_comparison : Slices of several volumes of one subject, as a figure.

    Notes
    -----
    White and grey matter are found by the mixture model of
    :class:`~sklearn_iqt.preprocessing.TissueScaler`. Noise is the median absolute deviation of the
    background or, if the background was erased, of differences of neighbours deep in white matter.
    Consistency is measured with the slice profile and the sampling of the simulator. The page
    states the limits of these estimates.

    A page takes less than 5 MB. Volumes are compressed with a loss, as photographs are, and the
    loss is as small as the size allows. The section on the scan states it. The page contains the
    file name of the scan and the description in its header, but no names of folders. The slices
    need a browser of 2023 or later.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from sklearn_iqt import PatchwiseRegressor
    >>> from sklearn_iqt.report import write_report
    >>> high = np.random.default_rng(0).random((2, 16, 16, 32))
    >>> low = high.reshape(2, 16, 16, 8, 4).mean(axis=-1)
    >>> model = PatchwiseRegressor(random_state=0).fit(low, high)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = write_report(model, low[0], Path(folder) / "report.html", truth=high[0])
    ...     page.read_text(encoding="utf-8")[:15]
    '<!doctype html>'
    """
    training, saved_by = _read_card(card)
    inputs = read_inputs(
        model, low, enhanced=enhanced, std=std, truth=truth, mask=mask, affine=affine
    )
    profile = slice_profile(thickness, inputs.scale)
    degraded = degrade(
        np.asarray(inputs.enhanced.dataobj),
        scale=inputs.scale,
        thickness=profile,
        alignment=inputs.alignment,
    )
    consistency = measure_consistency(inputs.voxels, degraded, inputs.foreground)
    quality = _quality(inputs)
    layers = _layers(inputs, consistency.residual)
    learned, orientation = (
        getattr(steps_of(model)[-1], name, None) for name in ("spacing_", "orientation_")
    )
    comparisons = compare_with_training(
        quality,
        _surface(inputs),
        inputs.spacing,
        learned,
        training,
        corrects_contrast=any(isinstance(step, TissueScaler) for step in steps_of(model)),
    )
    packed, step = pack_within(layers, _MAX_BYTES)
    sections = [
        shift_section(comparisons, quality),
        *([] if inputs.check is None else [check_section(inputs.check)]),
        consistency_section(consistency, quality, profile),
        *([truth_section(inputs)] if inputs.has_truth else []),
        scan_section(inputs, layers[0].window, step),
        model_section(
            model,
            training,
            has_spread=inputs.spread is not None,
            calibrated=calibrated(model),
            no_interval=inputs.interval if isinstance(inputs.interval, str) else None,
        ),
        versions_section(saved_by),
    ]
    by_name = {layer.name: layer for layer in layers}
    reference = by_name["enhanced"]
    position = apply_affine(np.linalg.inv(reference.scan.affine), inputs.subject.position)
    page = make_page(
        f"{inputs.name}, enhanced" if title is None else title,
        judge(comparisons, find_faults(inputs, quality, orientation), quality, consistency),
        layers,
        packed,
        step,
        reference=reference,
        beside=by_name.get("interpolated", by_name["low"]),
        position=position,
        sections=sections,
    )
    with replaced_file(path) as stream:
        # File names may contain bytes that are not valid text.
        stream.write(page.encode("utf-8", "replace"))
    return Path(path)


def _read_card(card: Any) -> tuple[TrainingCard | None, str | None]:
    """Return the training card and the version that saved the model, or None if unknown."""
    if isinstance(card, ModelCard):
        return card.training, card.version
    if card is None or isinstance(card, TrainingCard):
        return card, None
    raise TypeError(
        f"{CALLER}: card must be a TrainingCard, a ModelCard or None, got {type(card).__name__}. "
        "read_model_card returns the card of a model file."
    )


def _layers(inputs: Inputs, residual: NDArray[np.float32]) -> list[Layer]:
    """Return the volumes of the viewer: pictures, which share one window, and maps."""
    pictures = {"low": turn_upright(inputs.scan), "enhanced": turn_upright(inputs.enhanced)}
    if inputs.has_truth:
        pictures["truth"] = inputs.subject.main
    windows = [brightness(picture.voxels) for picture in pictures.values()]
    window = min(first for first, _ in windows), max(last for _, last in windows)
    if max(inputs.scale) > 1:
        pictures["interpolated"] = turn_upright(inputs.interpolated)
    layers = {key: Layer(key, *_LABELS[key], scan, window) for key, scan in pictures.items()}
    if inputs.has_truth:
        errors = {key: inputs.subject.error(pictures[key]) for key in _ESTIMATES & set(pictures)}
        largest = max(_window_of(error) for error in errors.values())
        for key, error in errors.items():
            name = f"error_{key}"
            layers[name] = Layer(name, *_LABELS[name], error, largest, "heat", (key, "truth"))
    maps = {"residual": upright(residual, inputs.scan.affine)}
    if isinstance(inputs.interval, Nifti1Image):
        maps["interval"] = turn_upright(inputs.interval)
    if inputs.spread is not None:
        maps["spread"] = turn_upright(inputs.spread)
    for key, scan in maps.items():
        layers[key] = Layer(key, *_LABELS[key], scan, _window_of(scan), "heat")
    return [layers[key] for key in _LABELS if key in layers]


def _quality(inputs: Inputs) -> Quality | str:
    """Return contrast and noise of the scan, or the reason why they cannot be estimated."""
    try:
        return estimate_quality(inputs.voxels, inputs.foreground, inputs.spacing, inputs.mask)
    except ValueError as error:
        return str(error)


def _surface(inputs: Inputs) -> float:
    """Return the brightness of the surface of the brain, measured as in training scans."""
    low = inputs.voxels if inputs.mask is None else np.where(inputs.mask, inputs.voxels, 0)
    return estimate_surface(low, foreground_mask(low), inputs.spacing)


def _window_of(picture: Scan) -> tuple[float, float]:
    """Return zero and the 99th percentile of the positive voxels."""
    positive = picture.voxels[picture.voxels > 0]
    return 0.0, float(np.percentile(positive, 99)) if positive.size else 1.0
