"""Tags that declare what an estimator can do with volumes."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["VolumeTags"]


@dataclass(frozen=True)
class VolumeTags:
    """Tags that declare what an estimator can do with volumes.

    Parameters
    ----------
    interpolates_first : bool, default=False
        Whether patches are cut from the interpolated volume, on the high grid.
    needs_target : bool, default=True
        Whether ``fit`` needs high volumes. Rows always need targets.
    learns : bool, default=True
        Whether predictions depend on the training scans, so that other scans must be like them.
    """

    interpolates_first: bool = False
    needs_target: bool = True
    learns: bool = True
