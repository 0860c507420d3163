"""Images and threads of SimpleITK."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import nibabel
import numpy as np
from nibabel.affines import voxel_sizes

from sklearn_iqt._extras import needs_extra

# From the axes of NIfTI, which point right and anterior, to those of ITK, left and posterior.
FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


def load_itk(caller: str) -> Any:
    """Import SimpleITK, or name the extra that brings it."""
    with needs_extra(caller, "prepare", "SimpleITK"):
        import SimpleITK
    return SimpleITK


@contextmanager
def one_thread(sitk: Any) -> Iterator[None]:
    """Run filters in one thread, because the sums of several differ from run to run.

    The number of threads of a single filter is not enough: it has filters inside.
    """
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


def to_itk(sitk: Any, image: nibabel.Nifti1Image) -> Any:
    """Return an image of SimpleITK in the same place."""
    result = sitk.GetImageFromArray(np.asarray(image.dataobj, dtype=np.float32).T)
    affine = FLIP @ image.affine
    sizes = voxel_sizes(affine)
    result.SetSpacing(sizes.tolist())
    result.SetOrigin(affine[:3, 3].tolist())
    result.SetDirection((affine[:3, :3] / sizes).ravel().tolist())
    return result
