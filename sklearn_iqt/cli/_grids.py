"""Compare the grids of files by their headers, before any computation."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence

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
    from sklearn_iqt.io import Grid, read_geometry
    from sklearn_iqt.io._grid import pair_fault

    faults, pairs = [], list(pairs)
    for first, second in pairs:
        try:
            grids = [Grid(*read_geometry(name)) for name in (first, second)]
        except VolumeReadError:
            if not skip_unreadable:
                raise
            continue
        names = os.fspath(first), os.fspath(second)
        fault = pair_fault(grids[0], grids[1], names, scale, alignment)
        if fault is not None:
            faults.append(fault)
    if faults:
        more = f" {len(faults) - 1} more of the pairs do not match." if faults[1:] else ""
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
