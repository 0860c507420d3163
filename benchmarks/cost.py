"""Time and memory that a piece of code takes."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["peak_memory", "process_memory", "timed"]

STATUS = Path("/proc/self/status")


def timed(function: Callable[[], Any]) -> tuple[Any, float, float]:
    """Call a function; return its result, and the elapsed and the processor time in seconds."""
    clock, processor = time.perf_counter(), time.process_time()
    result = function()
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    return result, clock, processor


def process_memory(field: str) -> float:
    """Return a field of Linux's status of this process, in GB of 2**30 bytes.

    Parameters
    ----------
    field : str
        ``"VmRSS"`` is the memory in use now, ``"VmHWM"`` its maximum so far.

    Returns
    -------
    float
        The value.
    """
    fields = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return int(fields[field].split()[0]) / 2**20


def peak_memory() -> float:
    """Return the maximum memory that this process has used, in GB of 2**30 bytes."""
    if STATUS.exists():  # rusage would include the memory of the parent process
        return process_memory("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
