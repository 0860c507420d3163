"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

__all__ = ["format_row", "format_spread", "format_table"]


def format_row(cells: Iterable[Any]) -> str:
    """Return one row of a table; floats have four decimals."""
    text = [f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in cells]
    return f"| {' | '.join(text)} |"


def format_table(header: list[str], rows: Iterable[Iterable[Any]] = ()) -> str:
    """Return a table; without rows, its two first lines."""
    return "\n".join(format_row(cells) for cells in (header, ["---"] * len(header), *rows))


def format_spread(values: Any, spec: str = ".1f") -> str:
    """Return the median and the range of repeated measurements: ``"3.1 (2.9-3.6)"``."""
    return f"{np.median(values):{spec}} ({np.min(values):{spec}}-{np.max(values):{spec}})"
