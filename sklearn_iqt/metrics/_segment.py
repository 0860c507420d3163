"""Tissues in an estimate, by a segmenter that has nothing to do with the simulator."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from nibabel.spatialimages import SpatialImage
from numpy.typing import ArrayLike, NDArray

from sklearn_iqt._extras import needs_extra
from sklearn_iqt.io import Cohort
from sklearn_iqt.metrics._pairs import ScoredPair, score_volumes
from sklearn_iqt.metrics._tissues import TISSUES, check_labels, check_tissue

__all__ = ["segment_tissues", "tissue_dice", "tissue_volume_error"]


def segment_tissues(volume: Any, *, mask: Any, voxel_size_mm: ArrayLike | None = None) -> Any:
    """Segment a skull-stripped T1-weighted volume into CSF, GM and WM by Atropos.

    Parameters
    ----------
    volume : array of shape (i, j, k), image or path
        The volume to segment.
    mask : array of shape (i, j, k), image or path
        The brain, above zero. Pass the same mask for a truth and its estimates.
    voxel_size_mm : float or array-like of shape (3,), default=None
        Voxel size in mm. By default that of the affine; it is required for arrays.

    Returns
    -------
    ndarray of uint8, shape (i, j, k), or nibabel.Nifti1Image
        Label map: 0 outside the mask, 1 for CSF, 2 for GM, 3 for WM. For an image or a path it is
        an image.

    Raises
    ------
    MissingExtraError
        If antspyx is not installed, which the extra ``segment`` contains.
    ValueError
        If the volume has no three classes of intensity inside the mask.
    GeometryMismatchError
        If the mask is not on the grid of the volume.

    See Also
    --------
    tissue_dice : Overlap of two label maps.

    Notes
    -----
    Three classes start from k-means of the intensities. Atropos [1]_ then fits a Gaussian to each
    class and a Markov random field with a weight of 0.1 in five steps, and classes are named by
    their mean intensity. It uses no template and no prior map of tissues, so that only the
    intensities of this volume count. No bias field is corrected.

    References
    ----------
    .. [1] B. B. Avants et al., "An open source multivariate framework for n-tissue segmentation
       with evaluation on public data", Neuroinformatics 9 (2011).

    Examples
    --------
    >>> from sklearn_iqt.metrics import segment_tissues
    >>> labels = segment_tissues(scan, mask=brain)  # doctest: +SKIP
    """
    caller = "segment_tissues"
    with needs_extra(caller, "segment", "ants"):
        import ants
    cohort = Cohort.of_one(volume, mask=mask, caller=caller, names=("volume", "", "mask"))
    intensities, _, inside, affine = cohort.read(0)
    if inside is None:
        raise ValueError(f"{caller}: mask is None. Pass the brain, for example the truth above 0.")
    pair = ScoredPair(intensities, intensities, inside, None, None, caller)
    if affine is not None:
        pair = pair._replace(voxel_size_mm=np.linalg.norm(affine[:3, :3], axis=0))
    spacing = tuple(pair.size_mm(voxel_size_mm).tolist())
    # The unit does not matter to Atropos, but 32-bit sums of large numbers do.
    peak = float(np.abs(intensities[inside]).max())
    if not peak > 0 or not np.ptp(intensities[inside]) > 0:
        raise ValueError(f"{caller}: the volume is constant inside the mask.")
    image, brain = (
        ants.from_numpy(np.where(inside, v, 0).astype(np.float32), spacing=spacing)
        for v in (intensities / peak * 100, inside)
    )
    found = ants.atropos(a=image, x=brain, i="kmeans[3]", m="[0.1,1x1x1]", c="[5,0]", priorweight=0)
    classes = np.rint(found["segmentation"].numpy()).astype(int)
    present = [n for n in (1, 2, 3) if (classes == n).any()]
    if len(present) < 3:
        raise ValueError(
            f"{caller}: Atropos found {len(present)} classes of intensity, but 3 are needed. Check "
            "that the volume is a T1-weighted brain and that the mask contains all of it."
        )
    means = [intensities[classes == n].mean(dtype=np.float64) for n in present]
    labels = np.zeros(classes.shape, np.uint8)
    for label, n in enumerate(np.argsort(means), start=1):
        labels[classes == n + 1] = label
    single = isinstance(volume, (SpatialImage, str, os.PathLike))
    return cohort.low.wrap([labels])[0] if single else labels


def tissue_dice(
    y_true: Any,
    y_pred: Any,
    *,
    tissue: str = "gm",
    mask: Any = None,
    per_volume: bool = False,
    verbose: int = 0,
) -> float | NDArray[np.float64]:
    """Compute the overlap of a tissue between two label maps.

    Parameters
    ----------
    y_true, y_pred : array of shape (i, j, k), image, path, or collection of volumes
        Label maps of the truth and of its estimate, by the same segmenter: 0 for background, 1 for
        CSF, 2 for GM, 3 for WM. They are label maps, so that there is no unit to match.
    tissue : {"csf", "gm", "wm"}, default="gm"
        Tissue to measure.
    mask : volume or collection of volumes, default=None
        Only voxels above zero count.
    per_volume : bool, default=False
        Return one value for each volume instead of their mean.
    verbose : int, default=0
        Whether to show progress.

    Returns
    -------
    float or ndarray of shape (n_volumes,)
        Dice's coefficient from 0 to 1, where 1 is best.

    Raises
    ------
    ValueError
        If a label map holds other values, or neither map has this tissue.
    GeometryMismatchError
        If the maps or the mask are not on one grid.

    See Also
    --------
    segment_tissues : Label maps from volumes.
    tissue_volume_error : Error of the volume of a tissue.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.metrics import tissue_dice
    >>> truth, estimate = np.zeros((2, 2, 2, 2))
    >>> truth[0], estimate[0, 0] = 2, 2
    >>> round(tissue_dice(truth, estimate), 3)
    0.667
    """
    return _compare_labels(
        "tissue_dice",
        lambda true, estimate: (
            2 * np.count_nonzero(true & estimate) / (true.sum() + estimate.sum())
        ),
        tissue,
        (y_true, y_pred, mask, per_volume, verbose),
    )


def tissue_volume_error(
    y_true: Any,
    y_pred: Any,
    *,
    tissue: str = "gm",
    mask: Any = None,
    per_volume: bool = False,
    verbose: int = 0,
) -> float | NDArray[np.float64]:
    """Compute the relative error of the volume of a tissue between two label maps.

    Parameters
    ----------
    y_true, y_pred : array of shape (i, j, k), image, path, or collection of volumes
        Label maps of the truth and of its estimate, see :func:`tissue_dice`.
    tissue : {"csf", "gm", "wm"}, default="gm"
        Tissue to measure.
    mask : volume or collection of volumes, default=None
        Only voxels above zero count.
    per_volume : bool, default=False
        Return one value for each volume instead of their mean.
    verbose : int, default=0
        Whether to show progress.

    Returns
    -------
    float or ndarray of shape (n_volumes,)
        Volume in the estimate divided by volume in the truth, minus 1. 0 is best, and a negative
        value means that the tissue is too small in the estimate. Inf if only the estimate has it.

    Raises
    ------
    ValueError
        If a label map holds other values, or neither map has this tissue.
    GeometryMismatchError
        If the maps or the mask are not on one grid.

    See Also
    --------
    tissue_dice : Overlap of the same label maps.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.metrics import tissue_volume_error
    >>> truth, estimate = np.zeros((2, 2, 2, 2))
    >>> truth[0], estimate[0, 0] = 2, 2
    >>> tissue_volume_error(truth, estimate)
    -0.5
    """
    return _compare_labels(
        "tissue_volume_error",
        lambda true, estimate: estimate.sum() / true.sum() - 1 if true.any() else np.inf,
        tissue,
        (y_true, y_pred, mask, per_volume, verbose),
    )


def _compare_labels(caller: str, compare: Any, tissue: str, given: tuple[Any, ...]) -> Any:
    """Apply a function of two regions to pairs of label maps."""
    check_tissue(tissue, caller)
    y_true, y_pred, mask, per_volume, verbose = given

    def measure(pair: ScoredPair) -> float:
        regions = []
        for labels, name in ((pair.truth, "y_true"), (pair.prediction, "y_pred")):
            region = check_labels(labels, f"{pair.name}, {name}") == TISSUES[tissue]
            regions.append(region if pair.inside is None else region & pair.inside)
        if not (regions[0].any() or regions[1].any()):
            raise ValueError(f"{pair.name}: neither label map has {tissue} ({TISSUES[tissue]}).")
        return float(compare(*regions))

    return score_volumes(
        measure, y_true, y_pred, caller=caller, mask=mask, per_volume=per_volume, verbose=verbose
    )
