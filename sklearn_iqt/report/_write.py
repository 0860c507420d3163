"""The report of one scan: what a model made of it, and what can be said of that."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from nibabel.nifti1 import Nifti1Image
from numpy.typing import ArrayLike, NDArray
from sklearn.pipeline import Pipeline

from sklearn_iqt.io import replaced_file
from sklearn_iqt.persistence import ModelCard, TrainingCard
from sklearn_iqt.plotting._slices import Scan, upright
from sklearn_iqt.plotting._subject import Subject, brightness
from sklearn_iqt.preprocessing import intensity_scale, upsample
from sklearn_iqt.report._inputs import (
    CALLER,
    enhance,
    find_foreground,
    on_fine_grid,
    read_image,
    slice_profile,
)
from sklearn_iqt.report._layers import Layer
from sklearn_iqt.report._page import make_page
from sklearn_iqt.report._quality import (
    Quality,
    estimate_quality,
    measure_consistency,
)
from sklearn_iqt.report._sections import (
    consistency_section,
    model_section,
    scan_section,
    truth_section,
    versions_section,
)
from sklearn_iqt.report._shift import shift_section
from sklearn_iqt.simulation import degrade

__all__ = ["write_report"]

# What the viewer calls its volumes, and what it says of them.
_LABELS = {
    "low": ("scan", "The scan as it came, each voxel as thick as it is."),
    "enhanced": ("enhanced", "What the model made of the scan."),
    "truth": ("truth", "The high-quality volume that the enhancement should be."),
    "error": ("error", "Absolute difference of the enhancement and the truth."),
    "residual": (
        "inconsistency",
        "Absolute difference of the scan and the enhancement made coarse again, after the best "
        "monotone map of intensities, in the foreground.",
    ),
    "spread": (
        "uncertainty",
        "Standard deviation of the overlapping patches that were predicted for each voxel: where "
        "they disagree. It is no confidence interval.",
    ),
}


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
    """Write one page on what a model makes of a scan, and on how far that can be trusted.

    The page is one HTML file that needs no other and sends nothing anywhere. It shows slices of
    the scan, its enhancement, the spread of the overlapping patches and, given a truth, the error,
    in three planes; and tells how far the scan is from what the model was trained on, whether the
    enhancement is consistent with the scan, and what the model is.

    Parameters
    ----------
    model : estimator
        A fitted model.
    low : array of shape (i, j, k), nibabel image or path
        The scan.
    path : str or path-like
        File to write. An existing file is replaced only once the new one is complete.
    enhanced : array, nibabel image or path, default=None
        What the model made of the scan, if it has done so before; by default it does so now.
    std : array, nibabel image or path, default=None
        The spread of the patches that belongs to `enhanced`.
    truth : array, nibabel image or path, default=None
        The high-quality volume, on the grid of the enhancement.
    mask : array of shape (i, j, k), nibabel image or path, default=None
        The brain of the scan, where positive. By default the voxels at or above its mean; of a
        whole head, contrast and noise can only be told with a mask.
    affine : array-like of shape (4, 4), default=None
        Voxel to mm of the scan if it is an array; the identity by default.
    card : ModelCard or TrainingCard, default=None
        What the scan is compared with: the training card of the model, or what
        :func:`sklearn_iqt.persistence.read_model_card` returns, which holds one.
    thickness : float or sequence of 3 floats, default=None
        Full width at half maximum of the slice profile of the scan, in voxels of the enhancement,
        at least 1, along axes that are refined. By default ``scale - 1``, as that of
        :class:`sklearn_iqt.simulation.LowFieldSimulator`: a gap of one voxel.
    title : str, default=None
        Heading; by default it names the scan.

    Returns
    -------
    pathlib.Path
        The file written.

    Raises
    ------
    ValueError
        If a volume is not finite, `std` comes without `enhanced`, or the thickness is wrong.
    TypeError
        If `card` is no card.
    GeometryMismatchError
        If the volumes are not on the grids that belong to each other.
    OSError
        If the file cannot be written. The old file, if any, is left as it was.

    See Also
    --------
    plot_comparison : Slices of several volumes of one subject, as a figure.

    Notes
    -----
    White and grey matter are found by the mixture of :class:`~sklearn_iqt.preprocessing.
    TissueScaler` and noise by the median absolute deviation of the background, or, where it was
    erased, of differences of neighbours deep in white matter. Consistency is measured by the slice
    profile and sampling of the simulator. The page names what these estimates cannot tell.

    Volumes are stored with 256 intensities, between the black and white that are shown, and maps
    with 64. A page of 160 x 200 x 160 voxels takes about 6.5 MB, or 12 MB with a truth; a whole
    head of four times as many takes 32 MB. Folders are not named; the name of the scan and the
    description in its header are. Slices need a browser of 2023 or later.

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
    if std is not None and enhanced is None:
        raise ValueError(f"{CALLER}: std belongs to enhanced; pass both or none.")
    name, image = read_image(low, "low", affine)
    scan = np.asarray(image.dataobj)
    foreground = find_foreground(scan, mask)
    fine, spread = enhanced, std
    if enhanced is None:
        fine, spread = enhance(model, image, None if mask is None else foreground)
    estimator = model[-1] if isinstance(model, Pipeline) else model
    alignment = getattr(estimator, "alignment", "center")
    fine, scale = on_fine_grid(fine, "enhanced", image, alignment)
    if spread is not None:
        spread, _ = on_fine_grid(spread, "std", image, alignment)
        if not np.asarray(spread.dataobj).any():  # no patches that overlap
            spread = None
    profile = slice_profile(thickness, scale)
    subject = _subject(fine, truth)

    degraded = degrade(
        np.asarray(fine.dataobj), scale=scale, thickness=profile, alignment=alignment
    )
    consistency = measure_consistency(scan, degraded, foreground)
    quality = _quality(scan, foreground, voxel_sizes(image.affine))
    layers = _layers(image, fine, spread, consistency.residual, subject, truth is not None)
    sections = [
        shift_section(
            quality,
            voxel_sizes(image.affine),
            getattr(estimator, "spacing_", None),
            training,
        ),
        consistency_section(consistency, quality, profile),
    ]
    if truth is not None:
        interpolated = upright(upsample(scan, scale, alignment=alignment), fine.affine)
        estimates = {"enhanced": _upright(fine), "cubic interpolation": interpolated}
        sections.append(truth_section(subject, estimates))
    unit = intensity_scale(scan, None if mask is None else foreground)
    sections += [
        scan_section(name, image, fine, unit, layers[0].window),
        model_section(model, training, has_spread=spread is not None),
        versions_section(saved_by),
    ]
    place = apply_affine(np.linalg.inv(layers[1].scan.affine), subject.place)
    heading = f"{name}, enhanced" if title is None else title
    page = make_page(heading, layers, layers[1], place, sections)
    with replaced_file(path) as stream:
        # Names of files may hold bytes that are no text.
        stream.write(page.encode("utf-8", "replace"))
    return Path(path)


def _read_card(card: Any) -> tuple[TrainingCard | None, str | None]:
    """Return what is known of the training, and which version saved the model."""
    if isinstance(card, ModelCard):
        return card.training, card.version
    if card is None or isinstance(card, TrainingCard):
        return card, None
    raise TypeError(
        f"{CALLER}: card must be a TrainingCard, a ModelCard or None, got {type(card).__name__}. "
        "read_model_card returns the card of a model file."
    )


def _layers(
    image: Nifti1Image,
    fine: Nifti1Image,
    spread: Nifti1Image | None,
    residual: NDArray[np.float32],
    subject: Subject,
    has_truth: bool,
) -> list[Layer]:
    """Return the volumes of the viewer: pictures, in one window, and maps."""
    pictures = {"low": _upright(image), "enhanced": _upright(fine)}
    maps = {"residual": upright(residual, image.affine)}
    if spread is not None:
        maps["spread"] = _upright(spread)
    if has_truth:
        pictures["truth"] = subject.main
        maps["error"] = subject.error(pictures["enhanced"])
    windows = [brightness(picture.voxels) for picture in pictures.values()]
    window = min(first for first, _ in windows), max(last for _, last in windows)
    layers = [Layer(key, *_LABELS[key], picture, window) for key, picture in pictures.items()]
    return layers + [
        Layer(key, *_LABELS[key], picture, _window_of(picture), "heat")
        for key, picture in sorted(maps.items())
    ]


def _subject(fine: Nifti1Image, truth: Any) -> Subject:
    """Return the truth, or without one the enhancement, with the place that is shown first."""
    if truth is None:
        return Subject(fine, "enhanced", caller=CALLER)
    subject = Subject(truth, "truth", affine=fine.affine, caller=CALLER)
    subject.read_same(fine, "enhanced")
    return subject


def _quality(scan: NDArray[Any], foreground: NDArray[np.bool_], size: Any) -> Quality | str:
    try:
        return estimate_quality(scan, foreground, size)
    except ValueError as error:
        return str(error)


def _upright(image: Nifti1Image) -> Scan:
    return upright(np.asarray(image.dataobj), image.affine)


def _window_of(picture: Scan) -> tuple[float, float]:
    """Return zero, and what few voxels with anything in them exceed."""
    seen = picture.voxels[picture.voxels > 0]
    return 0.0, float(np.percentile(seen, 99)) if seen.size else 1.0
