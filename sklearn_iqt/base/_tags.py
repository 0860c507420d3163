"""What an estimator does with volumes, in one place."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["VolumeTags"]


@dataclass(frozen=True)
class VolumeTags:
    """What an estimator does with volumes.

    Parameters
    ----------
    interpolates_first : bool, default=False
        Whether patches are cut from the interpolated volume, on the high grid.
    no_spread_reason : str, default=None
        Why ``predict`` refuses ``return_std``, as the second half of a sentence. None if it
        returns the spread.
    needs_target : bool, default=True
        Whether ``fit`` needs high volumes. Rows always need targets.
    """

    interpolates_first: bool = False
    no_spread_reason: str | None = None
    needs_target: bool = True
