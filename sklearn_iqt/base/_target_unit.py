"""Gains of the high volumes of training pairs, relative to their low volumes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from sklearn_iqt.io import Cohort

__all__ = ["warn_of_units"]

# High volumes in the same unit differ by less than this factor, relative to their low volumes.
_MOST_UNIT_RATIO = 2.0


def warn_of_units(cohort: Cohort, gains: Sequence[float], target_unit: str) -> None:
    """Warn if the gain of high volumes differs between subjects.

    Parameters
    ----------
    cohort : Cohort
        Training pairs.
    gains : sequence of float
        Gain of the high volume of each pair, relative to its low volume; NaN if it is not defined.
    target_unit : {"own", "low"}
        Whether the high volumes were divided by their gain.

    Warns
    -----
    UserWarning
        If one gain is more than twice another one.
    """
    if not np.isfinite(gains).any():
        return
    first, last = int(np.nanargmin(gains)), int(np.nanargmax(gains))
    if gains[last] <= _MOST_UNIT_RATIO * gains[first]:
        return
    if target_unit == "own":
        outcome = (
            "Each was divided by its own gain, so that this factor is not learned, and predictions "
            f"have the median gain, {np.median(gains):.3g}. Single truths have other gains, so "
            "compare predictions with them by match='gain'."
        )
    else:
        outcome = (
            "This factor is learned as if it were contrast, because target_unit is 'low'. Set "
            "target_unit='own', or convert the high volumes to the same unit first."
        )
    name = cohort.high.name_of if cohort.high is not None else str
    warnings.warn(
        f"{cohort.caller}: the high volumes have different units. Relative to their low volumes, "
        f"{name(last)} is {gains[last] / gains[first]:.3g} times as bright as {name(first)}. "
        f"{outcome}",
        UserWarning,
        stacklevel=2,
    )
