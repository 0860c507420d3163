"""Decorators that compile the coder, and arrays that suit compiled code.

The coder is plain Python that numba compiles. What makes it fast is that a processor computes with
8 to 16 neighbouring numbers in one instruction, and that the compiler finds such instructions for
the loops of this package by itself. It does for a loop that

- runs over neighbouring numbers of one or a few arrays and does the same to each;
- reads a number that it uses twice once, into a variable, since a store may change it for all that
  the compiler knows;
- has a length that is a multiple of ``WIDTH``, as many numbers as such a loop handles in one pass.
  For numbers that are left over it has slower code, and most loops here are short;
- starts where a line of the cache starts, since numbers on two lines take twice as long to read.

So arrays are aligned and padded, and loops run on to the end of the padding. A sum of many terms is
computed as several partial sums, which has to be allowed (``compiled_sum``). Which they are depends
on the number of terms alone, so that results do not depend on the number of threads, nor on what
else is coded.

numba counts the references to every array that a function uses, which took a third of the time.
With the option ``_nrt`` off it does not. Such functions cannot allocate arrays; Python does it.

A function that is compiled for itself is compiled again within each that calls it, and so on up to
what Python calls. What is called from one place is therefore ``inlined``: numba sees it as a part
of its caller. That halves the time to compile.

numba keeps compiled functions on disk. It compiles a function again when *its* file changes or the
processor is another. After a change to a file from which another file imports compiled functions or
constants, touch the other file, too.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit as numba_njit

__all__ = [
    "WIDTH", "aligned_empty", "aligned_zeros", "compiled", "compiled_entry", "compiled_sum",
    "inlined", "round_up",
]  # fmt: skip

# Numbers that a compiled loop handles in one pass: four registers of eight numbers of double
# precision. Smaller registers divide it.
WIDTH = 32
CACHE_LINE = 64

# numba's types do not know all of its options.
njit: Any = numba_njit
OPTIONS = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": False}
# Wrappers for C and for Python take as long to compile as a function.
OPTIONS |= {"no_cfunc_wrapper": True}
INNER = {**OPTIONS, "no_cpython_wrapper": True}
# What Python calls. "contract" lets a product and a sum become one instruction.
compiled_entry = njit(**OPTIONS, fastmath={"contract"})
# What only compiled functions call.
compiled = njit(**INNER, fastmath={"contract"})
# As a part of the function that calls it.
inlined = njit(**INNER, fastmath={"contract"}, inline="always")
# "reassoc" lets a sum be computed as several partial ones.
compiled_sum = njit(**INNER, fastmath={"contract", "reassoc"})


def round_up(n: int, multiple: int = WIDTH) -> int:
    """Return the next multiple of a number."""
    return n + -n % multiple


def aligned_empty(shape: tuple[int, ...], dtype: Any = np.float64) -> np.ndarray:
    """Return an array that starts at a line of the cache; what is in it is undefined."""
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(n_bytes + CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % CACHE_LINE
    return memory[start : start + n_bytes].view(dtype).reshape(shape)


def aligned_zeros(shape: tuple[int, ...], dtype: Any = np.float64) -> np.ndarray:
    """Return an array of zeros that starts at a line of the cache."""
    array = aligned_empty(shape, dtype)
    array[...] = 0
    return array
