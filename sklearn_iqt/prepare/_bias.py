"""Bias fields, by N4 of SimpleITK."""

from __future__ import annotations

import nibabel
import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray

from sklearn_iqt.prepare._itk import load_itk, one_thread, to_itk

# The field is fitted on voxels of about this size, and evaluated on all voxels.
_FIELD_MM = 4.0
_ITERATIONS = (50, 50, 30, 20)


def estimate_bias_field(
    volume: NDArray[np.floating], mask: NDArray[np.bool_], affine: NDArray[np.float64], caller: str
) -> NDArray[np.float32]:
    """Estimate the smooth gain of a scan inside a mask.

    Parameters
    ----------
    volume : ndarray of shape (i, j, k)
        The scan.
    mask : ndarray of bool, shape (i, j, k)
        Where there is tissue. Voxels that are not positive are left out.
    affine : ndarray of shape (4, 4)
        Voxel to mm.
    caller : str
        Start of error messages.

    Returns
    -------
    ndarray of shape (i, j, k), float32
        The gain, on average 1 inside the mask, to divide by.

    Raises
    ------
    MissingExtraError
        If SimpleITK is not installed.
    ValueError
        If no voxel in the mask is positive.

    Notes
    -----
    N4: Tustison et al., IEEE Transactions on Medical Imaging 29 (2010) 1310-1320, as implemented
    in ITK.
    """
    sitk = load_itk(caller)
    tissue = mask & (volume > 0)
    if not tissue.any():
        raise ValueError(f"{caller}: no voxel in the mask is positive; there is no bias to find.")
    image = to_itk(sitk, nibabel.Nifti1Image(volume.astype(np.float32), affine))
    inside = sitk.GetImageFromArray(tissue.astype(np.uint8).T)
    inside.CopyInformation(image)
    shrink = [max(1, int(_FIELD_MM // size)) for size in voxel_sizes(affine)]
    shrink = [min(factor, n) for factor, n in zip(shrink, volume.shape, strict=True)]
    method = sitk.N4BiasFieldCorrectionImageFilter()
    method.SetMaximumNumberOfIterations(list(_ITERATIONS))
    with one_thread(sitk):
        method.Execute(sitk.Shrink(image, shrink), sitk.Shrink(inside, shrink))
    field = np.exp(sitk.GetArrayFromImage(method.GetLogBiasFieldAsImage(image)).T)
    return (field / field[tissue].mean(dtype=np.float64)).astype(np.float32)
