"""Tests of the allocator that predictions and trainings of nets set for their duration."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from sklearn_iqt.deep import _memory

pytestmark = pytest.mark.skipif(_memory._glibc() is None, reason="the C library is not glibc")

# Counts the pages that the kernel provides, with a map of 64 MB that is freed and made again.
# Without huge pages (41 is PR_SET_THP_DISABLE), which would make the counts small and random.
PROGRAM = """
import ctypes, resource
import numpy as np
from sklearn_iqt.deep._memory import reused_memory

ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        np.ones(2**24, np.float32)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

ones = np.ones(1)
before, usual = resident(), faults()
with reused_memory():
    with reused_memory():
        pass
    inside = faults()
print(inside / usual, (resident() - before) / 2**20)
"""


def run(**environment):
    others = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MALLOC_", "GLIBC_TUNABLES"))
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        env=others | environment,
    )
    return map(float, done.stdout.split())


@pytest.mark.processes
def test_memory_is_used_again_inside_and_returned_at_the_end():
    ratio, left = run()
    assert ratio < 0.3
    assert left < 32


@pytest.mark.processes
def test_settings_of_the_user_are_kept():
    ratio, _ = run(MALLOC_ARENA_MAX="2")
    assert ratio > 0.7


def test_settings_end_with_the_last_of_several_users(monkeypatch):
    class Libc:
        settings: list = []

        def mallopt(self, name, value):
            self.settings.append((name, value))

        def malloc_trim(self, pad):
            self.settings.append("trim")

    monkeypatch.setattr(_memory, "_glibc", Libc)
    monkeypatch.setattr(_memory, "_set_by_user", lambda: False)
    with _memory.reused_memory():
        kept = list(Libc.settings)
        with pytest.raises(ValueError, match="fails"), _memory.reused_memory():
            raise ValueError("fails")
        assert Libc.settings == kept
    assert Libc.settings[-1] == "trim"
