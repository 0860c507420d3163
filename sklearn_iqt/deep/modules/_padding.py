"""The values that convolutions see beyond the edge of a patch."""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = ["PaddingMode"]

PaddingMode: TypeAlias = Literal["zeros", "replicate"]
