"""Brain extraction, by deepbet."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import nibabel
import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray

from sklearn_iqt._extras import needs_extra
from sklearn_iqt.io._carry import carried_image
from sklearn_iqt.prepare._scan import Scans

# Volumes of the brain, with fluid, outside of which a mask is probably wrong.
_LEAST_ML, _MOST_ML = 700, 2200


@cache
def load_deepbet(caller: str) -> Any:
    """Load the two nets of deepbet, or name the extra that brings them."""
    with needs_extra(caller, "prepare", "deepbet"):
        from deepbet.bet import BrainExtraction
    # On a GPU the same scan could give another mask.
    return BrainExtraction(no_gpu=True)


def brain_mask(scan: Any) -> nibabel.Nifti1Image:
    """Find the brain in a scan of a head.

    Parameters
    ----------
    scan : nibabel image or path
        Scan of a head. deepbet was trained on T1-weighted scans of healthy adults.

    Returns
    -------
    nibabel.Nifti1Image of shape (i, j, k)
        1 in the brain and 0 elsewhere, uint8, on the grid of the scan.

    Raises
    ------
    MissingExtraError
        If deepbet is not installed.
    ValueError
        If the scan is an array, or no brain is found.
    VolumeReadError
        If the scan cannot be read.

    Warns
    -----
    UserWarning
        If the volume of the brain is implausible.

    Notes
    -----
    deepbet [1]_ runs on the CPU. Look at each mask before you use it.

    References
    ----------
    .. [1] L. Fisch et al., "deepbet: Fast brain extraction of T1-weighted MRI using Convolutional
       Neural Networks", Computers in Biology and Medicine 179 (2024) 108845.

    Examples
    --------
    >>> from sklearn_iqt.prepare import brain_mask
    >>> from sklearn_iqt.simulation import estimate_tissue_maps
    >>> brain = brain_mask("sub-01_T1w.nii.gz")  # doctest: +SKIP
    >>> maps = estimate_tissue_maps("sub-01_T1w.nii.gz", brain)  # doctest: +SKIP
    """
    image = Scans(scan, "scan", "brain_mask", single=True).read(0)
    brain = extract_brain(image, "brain_mask").astype(np.uint8)
    return carried_image(brain, image.header, image.affine, image.affine)


def extract_brain(image: nibabel.Nifti1Image, caller: str) -> NDArray[np.bool_]:
    """Find the brain in a scan of a head.

    Parameters
    ----------
    image : nibabel.Nifti1Image
        Scan of a head. deepbet was trained on T1-weighted scans of healthy adults.
    caller : str
        Start of error messages.

    Returns
    -------
    ndarray of bool, shape (i, j, k)
        The brain, without holes, on the grid of the scan.

    Raises
    ------
    MissingExtraError
        If deepbet is not installed.
    ValueError
        If no brain is found.

    Warns
    -----
    UserWarning
        If the volume of the brain is implausible.

    Notes
    -----
    Fisch et al., Computers in Biology and Medicine 179 (2024) 108845.
    """
    # deepbet writes into the header that it is given.
    scan = nibabel.Nifti1Image(np.asarray(image.dataobj, dtype=np.float32), image.affine)
    try:
        _, mask, _ = load_deepbet(caller.partition(":")[0]).run(scan)
    except (AssertionError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{caller}: deepbet found no brain ({error}). Look at the scan, or extract the brain "
            "with another tool and leave this step out."
        ) from error
    brain = np.asarray(mask.dataobj) > 0
    millilitres = brain.sum() * np.prod(voxel_sizes(image.affine)) / 1000
    if not _LEAST_ML <= millilitres <= _MOST_ML:
        warnings.warn(
            f"{caller}: deepbet found a brain of {millilitres:.0f} ml, but the brain of an adult "
            f"has {_LEAST_ML} to {_MOST_ML} ml. Look at the mask.",
            UserWarning,
            stacklevel=2,
        )
    return brain
