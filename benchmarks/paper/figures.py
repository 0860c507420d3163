"""Figures 4 to 6 from stored predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.paper.config import Cell

__all__ = ["draw_figures"]


def draw_figures(output: Path, manifest: dict[str, Any], cells: list[Cell]) -> str:
    return ""
