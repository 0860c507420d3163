"""Suffixes of the files that are read, and names without them."""

from __future__ import annotations

import os

__all__ = ["MGH", "NIFTI", "SUFFIXES", "stem"]

# Whether files are gzip-compressed, by the end of their names, in any case.
NIFTI = {".nii.gz": True, ".nii": False}
MGH = {".mgz": True, ".mgh": False}
SUFFIXES = {**NIFTI, **MGH}


def stem(path: str | os.PathLike[str]) -> str:
    """Return the name of a scan without its folder and suffix."""
    name = os.path.basename(os.fspath(path))
    suffix = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)]
