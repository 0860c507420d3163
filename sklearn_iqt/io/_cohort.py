"""Cohorts: low volumes with their high volumes and masks, checked against each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from copy import copy
from typing import Any, NamedTuple

import joblib
import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray

from sklearn_iqt._axes import ALIGNMENTS, per_axis
from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.io._collection import VolumeCollection
from sklearn_iqt.io._containers import as_volumes
from sklearn_iqt.io._grid import pair_fault
from sklearn_iqt.io._masks import mask_foreground
from sklearn_iqt.io._orientation import axis_codes

__all__ = ["Cohort", "Pair"]


class Pair(NamedTuple):
    """A low volume with its high volume, mask and affine.

    Parameters
    ----------
    low : ndarray of shape (i, j, k)
        The low volume.
    high : ndarray or None
        The high volume, or None if the cohort has none.
    mask : ndarray of bool, shape (i, j, k), or None
        Foreground of the low volume, or None if the cohort has no masks.
    affine : ndarray of shape (4, 4) or None
        Voxel to mm of the low volume; None for an array.
    """

    low: NDArray
    high: Any
    mask: NDArray[np.bool_] | None
    affine: NDArray[np.float64] | None


class Cohort:
    """Low volumes with their high volumes and masks.

    When a cohort is made, headers show whether the numbers, shapes and places of the volumes fit,
    so that a mistake in the last pair is reported before the first pair is read. Voxels are read
    one pair at a time.

    Parameters
    ----------
    low : array of shape (n, i, j, k) or sequence of volumes
        Low volumes, in any form that :func:`sklearn_iqt.io.as_volumes` accepts.
    high : same kind, default=None
        High volumes, ``scale`` times as large.
    mask : same kind, default=None
        Masks on the grid of the low volumes; voxels above zero are foreground.
    scale : int or sequence of 3 ints, default=1
        High voxels for each low voxel.
    alignment : {"center", "corner"} or None, default="center"
        How high and low grids are aligned. None accepts either.
    caller : str, default="Cohort"
        Class or function that error messages name.
    names : tuple of 3 str, default=("X", "y", "mask")
        Names of the three collections in error messages.

    Raises
    ------
    GeometryMismatchError
        If a high volume or a mask is not on the grid that its low volume requires.
    ValueError
        If the numbers of volumes differ, or an argument is not a collection of volumes.
    VolumeReadError
        If a file is missing or its header is damaged.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.io import Cohort
    >>> cohort = Cohort([np.ones((4, 4, 2))], [np.ones((4, 4, 8))], scale=(1, 1, 4))
    >>> [pair.high.shape for pair in cohort]
    [(4, 4, 8)]
    """

    def __init__(
        self,
        low: Any,
        high: Any = None,
        mask: Any = None,
        *,
        scale: int | Sequence[int] = 1,
        alignment: str | None = "center",
        caller: str = "Cohort",
        names: tuple[str, str, str] = ("X", "y", "mask"),
    ) -> None:
        self.caller = caller
        self.low = as_volumes(low, name=names[0], caller=caller)
        self.high, self.masks = (
            None if volumes is None else as_volumes(volumes, name=name, caller=caller)
            for volumes, name in zip((high, mask), names[1:], strict=True)
        )
        for other in (self.high, self.masks):
            if other is not None and len(other) != len(self.low):
                raise ValueError(
                    f"{caller}: {names[0]} holds {len(self.low)} volumes but {other.name} holds "
                    f"{len(other)}. Pass one for each."
                )
        if self.high is not None:
            self.low.check_targets(self.high)
        self._scale = per_axis(scale, "scale", caller)
        self._alignment = alignment
        for n in range(len(self)):
            self._check_grids(n)

    @classmethod
    def of_one(
        cls,
        low: Any,
        high: Any = None,
        mask: Any = None,
        *,
        caller: str = "Cohort",
        names: tuple[str, str, str] = ("X", "y", "mask"),
        **options: Any,
    ) -> Cohort:
        """Make the cohort of one subject, and name its volumes without numbers in messages.

        Parameters
        ----------
        low : array of shape (i, j, k), nibabel image, path or collection of one volume
            The low volume.
        high, mask : same kind, default=None
            Its high volume and its mask.
        caller : str, default="Cohort"
            Class or function that error messages name.
        names : tuple of 3 str, default=("X", "y", "mask")
            Names of the three volumes in error messages.
        **options : dict
            ``scale`` and ``alignment``, as for the class.

        Returns
        -------
        Cohort
            A cohort of length one.
        """
        volumes = [
            v
            if v is None or isinstance(v, VolumeCollection)
            else VolumeCollection([v], name=name, caller=caller, single=True)
            for v, name in zip((low, high, mask), names, strict=True)
        ]
        return cls(*volumes, caller=caller, names=names, **options)

    def __len__(self) -> int:
        return len(self.low)

    def __iter__(self) -> Iterator[Pair]:
        return (self.read(n) for n in range(len(self)))

    def read(self, n: int) -> Pair:
        """Read one pair.

        Parameters
        ----------
        n : int
            Position in the cohort.

        Returns
        -------
        Pair
            Finite volumes. They may share memory with the user's arrays, so do not write to them.
            NaN that the mask excludes is replaced by 0.

        Raises
        ------
        ValueError
            If a volume is not finite, or a mask is empty or has voxels below zero.
        """
        mask = None
        if self.masks is not None:
            mask = mask_foreground(self.masks[n], f"{self.caller}: {self.masks.name_of(n)}")
        low, affine = self.low.read(n, None if mask is None else ~mask)
        high = None
        if self.high is not None:
            high, _ = self.high.read(n, None if mask is None else ~self.on_high(mask))
        return Pair(low, high, mask, affine)

    def drawn(self, number: int) -> Cohort:
        """Return the cohort with another draw of its volumes.

        Parameters
        ----------
        number : int
            Number of the draw, at least 0.

        Returns
        -------
        Cohort
            The same volumes, unless they are drawn again, see
            :class:`sklearn_iqt.simulation.SimulatedScans`.
        """
        other = copy(self)
        other.low = self.low.drawn(number)
        other.high = None if self.high is None else self.high.drawn(number)
        return other

    def on_high(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Put the mask of a low volume on the grid of its high volume.

        Parameters
        ----------
        mask : ndarray of bool, shape (i, j, k)
            Mask on the low grid.

        Returns
        -------
        ndarray of bool, shape (i * scale_i, j * scale_j, k * scale_k)
            All high voxels of each low voxel of the mask.
        """
        return np.kron(mask, np.ones(self._scale, dtype=bool))

    def spacing(self) -> NDArray[np.float64] | None:
        """Return the median voxel size of the low volumes.

        Returns
        -------
        ndarray of shape (3,), float64, or None
            In mm; None for arrays.
        """
        sizes = [voxel_sizes(affine) for affine in self._affines()]
        return np.median(sizes, axis=0) if sizes else None

    def orientation(self) -> str | None:
        """Return the directions of the axes of most low volumes.

        Returns
        -------
        str or None
            Such as "RAS": the axes run to the right, to anterior and to superior. None for arrays.
        """
        codes = Counter(axis_codes(affine) for affine in self._affines())
        return codes.most_common(1)[0][0] if codes else None

    def _affines(self) -> list[NDArray[np.floating]]:
        affines = (self.low.grid(n).affine for n in range(len(self)))
        return [affine for affine in affines if affine is not None]

    def fingerprint(self) -> str:
        """Return a digest of all volumes, as a key for caches.

        Returns
        -------
        str
            See :meth:`sklearn_iqt.io.VolumeCollection.fingerprint`.
        """
        collections = (self.low, self.high, self.masks)
        return joblib.hash([c if c is None else c.fingerprint() for c in collections])

    def _check_grids(self, n: int) -> None:
        low = self.low.grid(n)
        faults = []
        if self.masks is not None:
            names = self.low.name_of(n), self.masks.name_of(n)
            faults.append(pair_fault(low, self.masks.grid(n), names))
        if self.high is not None:
            names = self.low.name_of(n), self.high.name_of(n)
            alignments = ALIGNMENTS if self._alignment is None else (self._alignment,)
            found = [pair_fault(low, self.high.grid(n), names, self._scale, a) for a in alignments]
            faults.append(None if None in found else found[0])
        for fault in faults:
            if fault is not None:
                raise GeometryMismatchError(f"{self.caller}: {fault}")
