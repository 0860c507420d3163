"""End worker processes together with the process that started them."""

from __future__ import annotations

import functools
import os
import threading
import time

__all__ = ["end_with_parent"]

_INTERVAL = 1.0


@functools.lru_cache(maxsize=1)
def end_with_parent(parent: int) -> None:
    """End this process within about a second after its parent has ended.

    A parent that is killed or terminated cannot end its workers, which would finish their scans.

    Parameters
    ----------
    parent : int
        Number of the process that started this one. If it did not, nothing happens.

    Examples
    --------
    >>> import os
    >>> end_with_parent(os.getpid())
    """
    if os.getppid() == parent:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_INTERVAL)
    os._exit(1)
