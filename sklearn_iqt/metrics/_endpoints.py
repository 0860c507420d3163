"""One row for each subject and method, with measures of error, anatomy, detail and lesions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import ArrayLike

from sklearn_iqt.io import Cohort
from sklearn_iqt.metrics._lesions import lesion_contrast
from sklearn_iqt.metrics._segment import segment_tissues, tissue_dice
from sklearn_iqt.metrics._spectra import coherence
from sklearn_iqt.metrics._volume import nrmse

__all__ = ["endpoint_table"]

_CALLER = "endpoint_table"


def endpoint_table(
    y_true: Any,
    estimates: Mapping[str, Any],
    *,
    mask: Any,
    lesions: Any = None,
    segmenter: Callable[..., Any] | None = segment_tissues,
    scale: int = 4,
    axis: int = 2,
    voxel_size_mm: ArrayLike | None = None,
    subjects: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Measure what methods gain in error, anatomy, detail and lesions, for each subject.

    Parameters
    ----------
    y_true : array of shape (n, i, j, k) or sequence of volumes
        True volumes, one for each subject.
    estimates : dict of str to the same kind
        Name of each method and its estimates, in the order of the subjects.
    mask : same kind
        Brains on the grids of the truths, above zero.
    lesions : same kind, default=None
        Masks of lesions on the grids of the truths, such as
        :func:`sklearn_iqt.simulation.insert_lesions` returns. Without them, there is no column for
        lesions.
    segmenter : callable or None, default=segment_tissues
        Takes a volume, ``mask=`` and ``voxel_size_mm=``, and returns a label map with 2 for grey
        matter. Without one, there is no column for grey matter.
    scale : int, default=4
        High voxels in a low voxel along the thick axis.
    axis : int, default=2
        Thick axis.
    voxel_size_mm : float or array-like of shape (3,), default=None
        Voxel size in mm. By default that of the affines; it is required for arrays.
    subjects : sequence of str, default=None
        Names of the subjects; by default "0", "1" and so on.

    Returns
    -------
    list of dict
        A row for each subject and method, with the columns "subject" and "method", and floats:
        "NRMSE (max, after gain)", "GM Dice", "coherence above Nyquist" and "lesion contrast".

    Raises
    ------
    ValueError
        If the numbers of volumes differ, or a measure is not defined for a volume.
    GeometryMismatchError
        If an estimate, a mask or lesions are not on the grid of their truth.
    MissingExtraError
        If the segmenter is not installed.

    See Also
    --------
    nrmse : The error, here after the best gain.
    tissue_dice : Overlap of the grey matter that the segmenter finds in truth and estimate.
    coherence : Detail along the thick axis that thick slices do not hold.
    lesion_contrast : Share of the contrast of lesions, here after the best gain.
    score_table : The same rows with other measures.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.metrics import endpoint_table
    >>> truth, noise = np.random.default_rng(0).normal(size=(2, 1, 16, 16, 64))
    >>> rows = endpoint_table(
    ...     truth + 9, {"noisy": truth + noise}, mask=np.ones_like(truth), segmenter=None
    ... )
    >>> round(rows[0]["coherence above Nyquist"], 1)
    0.5
    """
    if mask is None:
        raise ValueError(f"{_CALLER}: mask is None. Pass the brain of each subject.")
    truths = Cohort(y_true, lesions, mask, caller=_CALLER, names=("y_true", "lesions", "mask"))
    # Cohorts compare the grids of estimates and truths before the first volume is read.
    cohorts = {
        method: Cohort(
            truths.low,
            volumes,
            mask,
            caller=_CALLER,
            names=("y_true", f"estimates[{method!r}]", ""),
        )
        for method, volumes in estimates.items()
    }
    subjects = [str(n) for n in range(len(truths))] if subjects is None else subjects
    if len(subjects) != len(truths):
        raise ValueError(
            f"{_CALLER}: y_true holds {len(truths)} volumes but subjects holds {len(subjects)} "
            "names. Pass one name for each volume."
        )
    rows = []
    for n, subject in enumerate(subjects):
        truth, lesion, inside, affine = truths.read(n)
        assert inside is not None
        size = voxel_size_mm
        if size is None and affine is not None:
            size = voxel_sizes(affine)
        segmented = {"mask": inside, "voxel_size_mm": size}
        labels = None if segmenter is None else segmenter(truth, **segmented)
        for method, cohort in cohorts.items():
            estimate = cohort.read(n).high
            scores = {"NRMSE (max, after gain)": nrmse(truth, estimate, mask=inside, match="gain")}
            if segmenter is not None:
                found = segmenter(estimate, **segmented)
                scores["GM Dice"] = tissue_dice(labels, found, tissue="gm", mask=inside)
            scores["coherence above Nyquist"] = coherence(
                truth, estimate, scale=scale, axis=axis, mask=inside
            )
            if lesion is not None:
                scores["lesion contrast"] = lesion_contrast(
                    truth,
                    estimate,
                    lesions=lesion,
                    voxel_size_mm=size,
                    mask=inside,
                    match="gain",
                )
            floats = {name: float(np.asarray(value)) for name, value in scores.items()}
            rows.append({"subject": subject, "method": method, **floats})
    return rows
