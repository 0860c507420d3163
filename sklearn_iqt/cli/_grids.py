"""Compare the grids of files by their headers, before any computation."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from sklearn_iqt.cli._names import subjects_of
from sklearn_iqt.exceptions import GeometryMismatchError, VolumeReadError

Name = str | os.PathLike[str]


def check_grids(
    pairs: Iterable[tuple[Name, Name]],
    *,
    scale: Sequence[int] = (1, 1, 1),
    alignment: str = "center",
    skip_unreadable: bool = False,
) -> None:
    """Raise GeometryMismatchError unless second files are on the refined grids of first files.

    With `skip_unreadable`, files that cannot be read are skipped. A batch reports them later.
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
        more = f". {len(faults) - 1} more of the pairs do not match" if faults[1:] else ""
        raise GeometryMismatchError(f"{faults[0]}{more}")
    for first, second in pairs:
        compare_subjects(first, second)


def compare_subjects(first: Name, second: Name) -> None:
    """Warn if the BIDS names of a pair have different subjects. Their grids may be the same."""
    subjects = [subjects_of(name) for name in (first, second)]
    if all(subjects) and subjects[0] != subjects[1]:
        warnings.warn(
            f"{first} and {second} were passed as a pair, but their names have different subjects. "
            "Give matching files in the same order",
            UserWarning,
            stacklevel=2,
        )


def _fault(first: Name, second: Name, scale: Sequence[int], alignment: str) -> str | None:
    """Return how the grids of two files differ, or None if they match."""
    from sklearn_iqt.io import Grid, compare_grids, read_geometry

    grid, found = Grid(*read_geometry(first)), Grid(*read_geometry(second))
    difference = compare_grids(grid.scaled(scale, alignment), found)
    if difference is None:
        return None
    advice = "Give matching files in the same order"
    if difference.shape_differs:
        needed = ""
        if difference.expected_shape != grid.shape:
            needed = (
                f", which needs {_join_sizes(difference.expected_shape)} at scale "
                f"{_join_sizes(scale)}"
            )
        return (
            f"{second} has {_join_sizes(found.shape)} voxels, but {first} has "
            f"{_join_sizes(grid.shape)}{needed}. {advice}"
        )
    other = "corner" if alignment == "center" else "center"
    if compare_grids(grid.scaled(scale, other), found) is None:
        advice = f"They match with --alignment {other}"
    else:
        advice += ", or resample one file to the grid of the other"
    return (
        f"according to their affines, {second} and {first} are up to {difference.offset_mm:.3g} mm "
        f"apart. {advice}"
    )


def _join_sizes(numbers: Iterable[Any]) -> str:
    return " x ".join(map(str, numbers))
