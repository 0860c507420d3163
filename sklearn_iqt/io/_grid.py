"""Grids of voxels, and the comparison of two grids."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from numpy.typing import NDArray

from sklearn_iqt._axes import ALIGNMENTS, per_axis
from sklearn_iqt.io._geometry import check_affine, scaled_affine

__all__ = ["Grid", "GridDifference", "compare_grids", "pair_fault"]

# Two grids are the same if no corner differs by more than this fraction of a voxel.
_GRID_TOLERANCE = 0.1


@dataclass(frozen=True, eq=False)
class Grid:
    """The shape of a volume and its place in the scanner.

    Parameters
    ----------
    shape : tuple of 3 ints
        Voxels along each axis.
    affine : ndarray of shape (4, 4), default=None
        Voxel to mm. None for arrays, because their place is not known.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.io import Grid
    >>> Grid((8, 8, 4), np.diag([1.0, 1.0, 4.0, 1.0])).scaled((1, 1, 4)).shape
    (8, 8, 16)
    """

    shape: tuple[int, ...]
    affine: NDArray[np.floating] | None = None

    def scaled(self, scale: int | Sequence[int], alignment: str = "center") -> Grid:
        """Return the grid with ``scale`` times as many voxels along each axis.

        Parameters
        ----------
        scale : int or sequence of 3 ints
            New voxels for each voxel, along each axis.
        alignment : {"center", "corner"}, default="center"
            How the two grids are aligned, see :func:`sklearn_iqt.io.scaled_affine`.

        Returns
        -------
        Grid
            The finer grid.
        """
        scale = per_axis(scale, "scale", "Grid.scaled")
        shape = tuple(n * factor for n, factor in zip(self.shape, scale, strict=True))
        if self.affine is None:
            return Grid(shape)
        return Grid(shape, scaled_affine(self.affine, scale, alignment))


@dataclass(frozen=True)
class GridDifference:
    """The difference between a grid and the one that was expected.

    Parameters
    ----------
    expected_shape, found_shape : tuple of 3 ints
        The two shapes.
    offset_mm : float
        Largest distance between corresponding corners along one axis, in mm; 0 if the shapes
        differ.
    """

    expected_shape: tuple[int, ...]
    found_shape: tuple[int, ...]
    offset_mm: float

    @property
    def shape_differs(self) -> bool:
        """True if the shapes differ, False if the places differ."""
        return self.expected_shape != self.found_shape

    def __str__(self) -> str:
        if self.shape_differs:
            return f"has shape {self.found_shape}, but {self.expected_shape} is needed"
        return f"lies up to {self.offset_mm:.3g} mm away according to its affine"


def compare_grids(expected: Grid, found: Grid) -> GridDifference | None:
    """Return the difference between a grid and the expected one, or None if they agree.

    Parameters
    ----------
    expected : Grid
        Grid whose voxel size sets the tolerance.
    found : Grid
        The other grid. Places are compared only if both have an affine.

    Returns
    -------
    GridDifference or None
        The difference in shape, or the distance if the shapes agree. Two grids of the same shape
        agree if no corner differs by more than a tenth of the smallest side of a voxel, because
        headers are rounded.

    Raises
    ------
    ValueError
        If an affine is not finite and invertible.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.io import Grid, compare_grids
    >>> low = Grid((8, 8, 4), np.diag([1.0, 1.0, 4.0, 1.0]))
    >>> center, corner = (low.scaled((1, 1, 4), alignment) for alignment in ("center", "corner"))
    >>> compare_grids(center, center)
    >>> print(compare_grids(center, corner))
    lies up to 1.5 mm away according to its affine
    >>> print(compare_grids(center, Grid((8, 8, 15))))
    has shape (8, 8, 15), but (8, 8, 16) is needed
    """
    if found.shape != expected.shape:
        return GridDifference(expected.shape, found.shape, 0.0)
    if expected.affine is None or found.affine is None:
        return None
    first, second = (
        check_affine(grid.affine, f"compare_grids: the affine of {name}")  # type: ignore[arg-type]
        for name, grid in (("expected", expected), ("found", found))
    )
    corners = list(itertools.product(*[(0, n - 1) for n in expected.shape]))
    offset = np.abs(apply_affine(first, corners) - apply_affine(second, corners)).max()
    if offset <= _GRID_TOLERANCE * voxel_sizes(first).min():
        return None
    return GridDifference(expected.shape, found.shape, float(offset))


def pair_fault(
    first: Grid,
    second: Grid,
    names: tuple[str, str],
    scale: Sequence[int] = (1, 1, 1),
    alignment: str = "center",
) -> str | None:
    """Return the reason why a volume does not fit another one, with advice, or None.

    Parameters
    ----------
    first, second : Grid
        Grids of the two volumes.
    names : tuple of 2 str
        Names of the volumes.
    scale : sequence of 3 ints, default=(1, 1, 1)
        Voxels of the second volume for each voxel of the first.
    alignment : {"center", "corner"}, default="center"
        How the two grids are aligned.

    Returns
    -------
    str or None
        One or two sentences.
    """
    difference = compare_grids(first.scaled(scale, alignment), second)
    if difference is None:
        return None
    if difference.shape_differs:
        at_scale, advice = "", ""
        if difference.expected_shape != first.shape:
            at_scale = f", which at scale {tuple(scale)} requires {difference.expected_shape}"
            advice = ", or change scale"
        return (
            f"{names[1]} has shape {second.shape}, but {names[0]} has shape {first.shape}"
            f"{at_scale}. Pass matching volumes in the same order, or crop or resample one of them"
            f"{advice}."
        )
    advice = "Pass matching volumes in the same order, or resample one of them onto the other."
    for other in ALIGNMENTS:
        if other != alignment and compare_grids(first.scaled(scale, other), second) is None:
            advice = f"They fit with the alignment {other!r}."
    return (
        f"{names[1]} and {names[0]} lie up to {difference.offset_mm:.3g} mm apart according to "
        f"their affines. {advice}"
    )
