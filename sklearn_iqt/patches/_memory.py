"""Refuse rows of patches that do not fit into memory, before they are allocated."""

from __future__ import annotations

import math
import os

__all__ = ["check_memory"]


def check_memory(n_bytes: float, what: str, remedy: str) -> None:
    """Raise MemoryError with the size if an allocation exceeds the memory of the machine.

    Parameters
    ----------
    n_bytes : float
        Bytes to allocate.
    what : str
        Class or function, and what it needs the memory for.
    remedy : str
        What to do instead.
    """
    available = _physical_memory()
    if n_bytes > available:
        raise MemoryError(
            f"{what} take {n_bytes / 2**30:.3g} GiB, but this machine has "
            f"{available / 2**30:.3g} GiB of memory. {remedy}"
        )


def _physical_memory() -> float:
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):  # not known on Windows
        return math.inf
