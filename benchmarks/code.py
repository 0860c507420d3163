"""Description of the code that made a result."""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import platform
from pathlib import Path
from typing import Any

import sklearn_iqt

__all__ = ["describe_code"]

PACKAGES = ("numpy", "scipy", "scikit-learn", "numba", "nibabel", "torch", "skorch", "sklearn-iqt")


def describe_code() -> dict[str, Any]:
    """Return the date, a checksum of the package's source, the versions and the machine."""
    source = hashlib.sha256()
    for file in sorted(Path(sklearn_iqt.__file__).parent.rglob("*.py")):
        source.update(file.read_bytes())
    return {
        "date": datetime.datetime.now().isoformat(timespec="minutes"),
        "source": source.hexdigest()[:12],
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
