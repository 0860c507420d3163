"""From two scans of a person to a pair that estimators take."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel

from sklearn_iqt.io import replaced_file, save_volume
from sklearn_iqt.prepare._plan import plan_grids
from sklearn_iqt.prepare._scan import Scans
from sklearn_iqt.prepare._steps import Steps, check_masks, make_pair

__all__ = ["ENDINGS", "PreparedPair", "prepare_pair"]

# What the names of the four files of a pair end in.
ENDINGS = ("low.nii.gz", "high.nii.gz", "mask.nii.gz", "prepare.json")


@dataclass(frozen=True, eq=False)
class PreparedPair:
    """A pair that estimators take, and how it was made.

    Parameters
    ----------
    low : nibabel.Nifti1Image of shape (i, j, k)
        Low volume, float32.
    high : nibabel.Nifti1Image of shape (i * scale_i, j * scale_j, k * scale_k)
        High volume on the scaled grid of the low one, float32.
    mask : nibabel.Nifti1Image of shape (i, j, k)
        Foreground on the grid of the low volume, uint8.
    scale : tuple of 3 ints
        High voxels for each low voxel, along each axis.
    record : dict
        Inputs, parameters, versions, and what each step did; None for a step that was left out.
    """

    low: nibabel.Nifti1Image
    high: nibabel.Nifti1Image
    mask: nibabel.Nifti1Image
    scale: tuple[int, int, int]
    record: dict[str, Any]

    def save(self, folder: str | Path, name: str) -> tuple[Path, Path, Path, Path]:
        """Write the pair and its record, each file whole or not at all.

        Parameters
        ----------
        folder : str or path
            Folder that exists.
        name : str
            Start of the four file names.

        Returns
        -------
        tuple of 4 pathlib.Path
            ``NAME_low.nii.gz``, ``NAME_high.nii.gz``, ``NAME_mask.nii.gz`` and
            ``NAME_prepare.json``.
        """
        low, high, mask, record = (Path(folder, f"{name}_{ending}") for ending in ENDINGS)
        # The mask is written last, so that a record with a mask stands for a complete pair.
        mask.unlink(missing_ok=True)
        with replaced_file(record) as stream:
            stream.write((json.dumps(self.record, indent=2) + "\n").encode())
        save_volume(self.low, low)
        save_volume(self.high, high)
        save_volume(self.mask, mask, dtype="uint8")
        return low, high, mask, record


def prepare_pair(
    low: Any,
    high: Any,
    *,
    mask: Any = None,
    voxel_size: float | Sequence[float] | None = None,
    scale: int | Sequence[int] | None = None,
    register: bool = False,
    extract_brain: str | None = None,
    correct_bias: bool = False,
    crop: bool = True,
    margin_mm: float = 5.0,
    order: int = 3,
    nan: str = "refuse",
) -> PreparedPair:
    """Make a pair for ``fit`` from a low and a high scan of the same person.

    The steps, in this order: the axes of the low scan are put in order, the thick axis last; the
    high scan is registered to the low one (`register`); the low scan is resampled in plane; the
    high scan is resampled onto the scaled grid of the low one; the brain is cut out
    (`extract_brain` or `mask`); both are cropped (`crop`) and their bias fields removed
    (`correct_bias`).

    Parameters
    ----------
    low : nibabel image or path
        Low scan.
    high : nibabel image or path
        High scan of the same person, of any orientation and voxel size.
    mask : nibabel image or path, default=None
        The brain, on the grid of one of the two scans, instead of `extract_brain`. Voxels above
        zero are the brain. A mask on the grid of the high scan moves with it in a registration; if
        both scans have the same grid, it belongs to the high scan.
    voxel_size : float or sequence of 3 floats, default=None
        Size of the high voxels in mm. By default, that of the high scan. Along the thick axis, the
        nearest size that divides the thickness of a slice.
    scale : int or sequence of 3 ints, default=None
        High voxels for each low voxel, along each axis of the result. By default 1 in the plane of
        thick slices, and along the other axes the ratio of the voxel sizes, rounded.
    register : bool, default=False
        Whether to find the rigid motion between the two scans. Without, their affines are trusted.
        Needs SimpleITK.
    extract_brain : {"high", "low"}, default=None
        The scan in which to look for the brain. None leaves this step out. Needs deepbet, which
        was trained on T1-weighted scans of adults.
    correct_bias : bool, default=False
        Whether to divide each scan by its bias field. Needs SimpleITK.
    crop : bool, default=True
        Whether to cut both volumes to the box around the mask.
    margin_mm : float, default=5.0
        Width of the margin around this box.
    order : int in [0, 5], default=3
        Order of the splines.
    nan : {"refuse", "background"}, default="refuse"
        Whether scans with NaN are refused, or NaN is replaced by 0. Other tools write NaN outside
        of the field of view.

    Returns
    -------
    PreparedPair
        The pair, its mask, its scale and a record.

    Raises
    ------
    GeometryMismatchError
        If the two scans hardly overlap, or seem to be swapped, or the mask is on neither grid.
    MissingExtraError
        If a step needs a package that is not installed.
    ValueError
        If a parameter is wrong, or a step fails.
    VolumeReadError
        If a scan cannot be read.

    See Also
    --------
    prepare_pairs : Prepare the files of a cohort, with one scale for all.

    Notes
    -----
    The high scan is interpolated once, and the low scan only in plane, or not at all where its
    voxels have the wanted size. A registration changes the affine of the high scan, not its voxels.

    Where one of the scans is exactly 0 outside of the brain or the head, or does not reach, both
    are 0 in the result.

    Examples
    --------
    >>> import nibabel
    >>> import numpy as np
    >>> from sklearn_iqt.prepare import prepare_pair
    >>> head = np.pad(np.full((16, 16, 3), 100.0), 2)
    >>> low = nibabel.Nifti1Image(head, np.diag([-1.6, -1.6, 5.0, 1.0]))
    >>> head = np.pad(np.full((26, 26, 15), 300.0), ((3, 3), (3, 3), (10, 10)))
    >>> high = nibabel.Nifti1Image(head, np.diag([-1.0, -1.0, 1.0, 1.0]))
    >>> pair = prepare_pair(low, high)
    >>> pair.scale, [float(size) for size in pair.low.header.get_zooms()]
    ((1, 1, 5), [1.0, 1.0, 5.0])
    """
    caller = "prepare_pair"
    steps = Steps(register, extract_brain, correct_bias, crop, margin_mm, order, nan)
    steps.check(caller)
    lows, highs = (
        Scans(scan, name, caller, single=True, nan=nan)
        for scan, name in ((low, "low"), (high, "high"))
    )
    masks = None if mask is None else Scans(mask, "mask", caller, single=True)
    check_masks(masks, lows, highs, steps, caller)
    names = [(lows.name_of(0), highs.name_of(0))]
    plan = plan_grids(
        [lows.grid(0)], [highs.grid(0)], names, voxel_size=voxel_size, scale=scale, caller=caller
    )
    return PreparedPair(*make_pair(lows, highs, masks, 0, plan, steps, caller))
