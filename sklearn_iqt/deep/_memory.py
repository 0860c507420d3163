"""Reuse of the memory of large feature maps."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

__all__ = ["reused_memory"]

# Parameters of mallopt, and values of malloc.h that a process has after it has freed large arrays.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_LARGEST_THRESHOLD = 2**25
_DEFAULT_MMAP_MAX = 65536

_lock = Lock()
_n_users = 0


@contextmanager
def reused_memory() -> Iterator[None]:
    """Let glibc keep memory that is freed until the end of the block, and then return it.

    By default, glibc requests memory for every array of more than 32 MB from the kernel, and
    returns it when the array is freed. The kernel then clears every page of every feature map,
    which can take as long as the convolutions. Inside the block, freed memory is used again.

    The setting is one of the process. Blocks may overlap, in one thread or several. If environment
    variables set malloc, or the C library is not glibc, nothing is changed.

    Examples
    --------
    >>> from sklearn_iqt.deep._memory import reused_memory
    >>> with reused_memory():
    ...     pass
    """
    libc = None if _set_by_user() else _glibc()
    if libc is None:
        yield
        return
    _change_users(libc, 1)
    try:
        yield
    finally:
        _change_users(libc, -1)


def _change_users(libc: Any, change: int) -> None:
    global _n_users
    with _lock:
        before, _n_users = _n_users, _n_users + change
        if not before:
            libc.mallopt(_MMAP_MAX, 0)
            libc.mallopt(_TRIM_THRESHOLD, -1)
        elif not _n_users:
            libc.mallopt(_MMAP_MAX, _DEFAULT_MMAP_MAX)
            libc.mallopt(_MMAP_THRESHOLD, _LARGEST_THRESHOLD)
            libc.mallopt(_TRIM_THRESHOLD, 2 * _LARGEST_THRESHOLD)
            libc.malloc_trim(0)


def _set_by_user() -> bool:
    return "malloc" in os.environ.get("GLIBC_TUNABLES", "") or any(
        name.startswith("MALLOC_") for name in os.environ
    )


def _glibc() -> Any:
    """Return the C library if it is glibc."""
    try:
        libc = ctypes.CDLL(None)
        _ = libc.gnu_get_libc_version, libc.mallopt, libc.malloc_trim
    except (OSError, TypeError, AttributeError):
        return None
    return libc
