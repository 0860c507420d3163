"""Routing of masks to the steps of a pipeline."""

from __future__ import annotations

import contextlib
from typing import Any

from sklearn import config_context

__all__ = ["route_mask"]


def route_mask(mask: Any) -> contextlib.AbstractContextManager:
    """Let a mask reach all steps of a pipeline that use masks.

    Parameters
    ----------
    mask : object
        The mask that will be passed, or None.

    Returns
    -------
    context manager
        Enables the metadata routing of scikit-learn if there is a mask.
    """
    if mask is None:
        return contextlib.nullcontext()
    return config_context(enable_metadata_routing=True)
