"""Compare the grids of files by their headers, before any work is done."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from sklearn_iqt.exceptions import GeometryMismatchError, VolumeReadError

# How many times as long or as short voxels may be as those of the training without a warning.
USUAL_RATIO = 1.1
Name = str | os.PathLike[str]
_SUBJECT = re.compile(r"sub-[a-zA-Z0-9]+")


def check_grids(
    pairs: Iterable[tuple[Name, Name]],
    *,
    scale: Sequence[int] = (1, 1, 1),
    alignment: str = "center",
    skip_unreadable: bool = False,
) -> None:
    """Refuse pairs whose second file is not on the grid of the first, refined by a scale.

    A batch skips files that cannot be read, and reports each of them at its turn.
    """
    faults, pairs = [], list(pairs)
    for first, second in pairs:
        try:
            fault = _fault(first, second, scale, alignment)
        except VolumeReadError:
            if not skip_unreadable:
                raise
            continue
        if fault is not None:
            faults.append(fault)
    if faults:
        more = f"; {len(faults) - 1} more of the pairs do not fit either" if faults[1:] else ""
        raise GeometryMismatchError(f"{faults[0]}{more}")
    for first, second in pairs:
        _compare_subjects(first, second)


def compare_spacing(image: Any, model: Any, name: Name) -> None:
    """Warn of voxels of another size than those that an estimator has learned from.

    The estimator itself refuses sizes that are very different.
    """
    from nibabel.affines import voxel_sizes

    from sklearn_iqt.io import compare_voxel_sizes

    if model.spacing_ is None:
        return
    spacing = voxel_sizes(image.affine)
    ratio, fault = compare_voxel_sizes(spacing, model.spacing_, model.scale_)
    if fault is None and ratio > USUAL_RATIO:
        ours, theirs = (_by(f"{size:.4g}" for size in sizes) for sizes in (spacing, model.spacing_))
        warnings.warn(
            f"{name} has voxels of {ours} mm, but the model has learned from {theirs} mm; the "
            "result may be worse than on scans like those of the training",
            UserWarning,
            stacklevel=2,
        )


def _compare_subjects(first: Name, second: Name) -> None:
    """Warn of file names that belong to two subjects by BIDS; their grids may be the same."""
    subjects = [_SUBJECT.findall(os.path.basename(name)) for name in (first, second)]
    if all(subjects) and subjects[0] != subjects[1]:
        warnings.warn(
            f"{first} and {second} are given as a pair, but their names name different subjects; "
            "give files that belong together, in the same order",
            UserWarning,
            stacklevel=2,
        )


def _fault(first: Name, second: Name, scale: Sequence[int], alignment: str) -> str | None:
    from sklearn_iqt.io import Grid, compare_grids, read_geometry

    grid, found = Grid(*read_geometry(first)), Grid(*read_geometry(second))
    difference = compare_grids(grid.scaled(scale, alignment), found)
    if difference is None:
        return None
    same_order = "give files that belong together, in the same order"
    if difference.shape_differs:
        wanted = ""
        if difference.expected_shape != grid.shape:
            wanted = f", which needs {_by(difference.expected_shape)} at scale {_by(scale)}"
        return (
            f"{second} has {_by(found.shape)} voxels, but {first} has {_by(grid.shape)}{wanted}; "
            f"{same_order}"
        )
    other = "corner" if alignment == "center" else "center"
    if compare_grids(grid.scaled(scale, other), found) is None:
        advice = f"with --alignment {other} they fit"
    else:
        advice = f"{same_order}, or resample one onto the other"
    return (
        f"{second} and {first} lie up to {difference.offset_mm:.3g} mm apart by their affines; "
        f"{advice}"
    )


def _by(numbers: Iterable[Any]) -> str:
    return " x ".join(map(str, numbers))
