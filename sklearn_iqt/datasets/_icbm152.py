"""The ICBM152 template and its tissue maps, which are part of nilearn."""

from __future__ import annotations

import numpy as np
from nibabel.nifti1 import Nifti1Image
from sklearn.utils import Bunch

from sklearn_iqt._extras import needs_extra

__all__ = ["load_icbm152"]

_DESCRIPTION = """\
ICBM 152 nonlinear symmetric template, version 2009a, T1-weighted, with its probabilities of grey
and white matter, as distributed with nilearn: the average of 152 young adults at 1 mm, skull
stripped. The probability of cerebrospinal fluid is one minus the other two, inside the brain.

V. S. Fonov et al., "Unbiased average age-appropriate atlases for pediatric studies", NeuroImage 54
(2011) 313-327. Copyright (C) 1993-2009 Louis Collins, McConnell Brain Imaging Centre, Montreal
Neurological Institute, McGill University; to be used, copied, modified and distributed freely
provided that this notice appears in all copies.
"""


def load_icbm152() -> Bunch:
    """Load the T1-weighted ICBM152 template and its tissue maps.

    Returns
    -------
    sklearn.utils.Bunch
        ``image``, a Nifti1Image of shape (197, 233, 189), float32, at 1 mm, oriented to right,
        anterior and superior, with intensities in [0, 1] and 0 outside the brain; ``tissues``, a
        float32 array of shape (3, 197, 233, 189) with CSF, GM and WM, which sum to 1 inside the
        brain and to 0 outside; ``affine`` of shape (4, 4); and ``description``.

    Raises
    ------
    MissingExtraError
        If nilearn is not installed.

    References
    ----------
    .. [1] V. S. Fonov et al., "Unbiased average age-appropriate atlases for pediatric studies",
       NeuroImage 54 (2011) 313-327.

    Examples
    --------
    >>> from sklearn_iqt.datasets import load_icbm152
    >>> template = load_icbm152()
    >>> template.tissues.shape
    (3, 197, 233, 189)
    """
    with needs_extra("load_icbm152", "demo", "nilearn"):
        from nilearn import datasets
    template = datasets.load_mni152_template(resolution=1)
    volume = template.get_fdata(dtype=np.float32)
    brain = volume > 0
    grey, white = (
        np.where(brain, image.get_fdata(dtype=np.float32), 0)
        for image in (
            datasets.load_mni152_gm_template(resolution=1),
            datasets.load_mni152_wm_template(resolution=1),
        )
    )
    tissues = np.stack([np.clip(brain - grey - white, 0, 1), grey, white])
    # Each map was scaled to [0, 1] separately, so that their sums are not exactly one.
    tissues /= np.where(brain, tissues.sum(axis=0), 1)
    affine = np.asarray(template.affine, dtype=np.float64)
    image = Nifti1Image(volume, affine)
    image.header.set_xyzt_units("mm")
    return Bunch(image=image, tissues=tissues, affine=affine, description=_DESCRIPTION)
