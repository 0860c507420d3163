"""Whether files lie on each other: told from their headers, before any work is done."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from sklearn_iqt.exceptions import GeometryMismatchError, VolumeReadError

Name = str | os.PathLike[str]
_SUBJECT = re.compile(r"sub-[a-zA-Z0-9]+")
# By what factor voxels may differ from those of the training without a word.
NEAR = 1.1


def check_grids(
    pairs: Iterable[tuple[Name, Name]],
    *,
    scale: Sequence[int] = (1, 1, 1),
    alignment: str = "center",
    skip_unreadable: bool = False,
) -> None:
    """Refuse pairs of which the second file is not on the grid of the first, refined by a scale.

    A batch skips files that cannot be read, each of which is told when it is its turn.
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
    """Warn of voxels of another size than an estimator has learned from.

    It refuses those that are very different by itself.
    """
    from nibabel.affines import voxel_sizes

    from sklearn_iqt.base import FAR

    if model.spacing_ is None:
        return
    spacing = voxel_sizes(image.affine)
    ratios = spacing / model.spacing_
    if NEAR < max(ratios.max(), 1 / ratios.min()) <= FAR:
        ours, theirs = (_by(f"{size:.4g}" for size in sizes) for sizes in (spacing, model.spacing_))
        warnings.warn(
            f"{name} has voxels of {ours} mm, but the model has learned from {theirs} mm; expect "
            "less of it",
            UserWarning,
            stacklevel=2,
        )


def _compare_subjects(first: Name, second: Name) -> None:
    """Warn of names that, by BIDS, are of two subjects: on one grid nothing else tells."""
    subjects = [_SUBJECT.findall(os.path.basename(name)) for name in (first, second)]
    if all(subjects) and subjects[0] != subjects[1]:
        warnings.warn(
            f"{first} and {second} are given as a pair, but their names are of different subjects; "
            "give files that belong together, in the same order",
            UserWarning,
            stacklevel=2,
        )


def _fault(first: Name, second: Name, scale: Sequence[int], alignment: str) -> str | None:
    from sklearn_iqt.io import grid_offset, read_geometry, scaled_affine

    (shape, affine), (other_shape, other_affine) = read_geometry(first), read_geometry(second)
    expected = tuple(n * s for n, s in zip(shape, scale, strict=True))
    if other_shape != expected:
        wanted = "" if expected == shape else f" and scale {_by(scale)} makes {_by(expected)} of it"
        return (
            f"{second} has {_by(other_shape)} voxels, but {first} has {_by(shape)}{wanted}; "
            "give files that belong together, in the same order"
        )

    def offset(alignment: str) -> float:
        return grid_offset(expected, scaled_affine(affine, scale, alignment), other_affine)

    if not (apart := offset(alignment)):
        return None
    other = "corner" if alignment == "center" else "center"
    advice = (
        "give files that belong together, in the same order, or resample one onto the other"
        if offset(other)
        else f"with --alignment {other} they lie on each other"
    )
    return f"{second} and {first} lie up to {apart:.3g} mm apart by their affines; {advice}"


def _by(numbers: Iterable[Any]) -> str:
    return " x ".join(map(str, numbers))
