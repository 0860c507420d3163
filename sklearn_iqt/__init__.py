"""Image quality transfer for 3-D medical volumes, in scikit-learn style.

Public names are imported on first use, so that importing the package is fast and does not import
torch. They are listed in ``__init__.pyi``.
"""

from __future__ import annotations

from typing import Any

import lazy_loader

from sklearn_iqt._extras import stand_in
from sklearn_iqt.exceptions import MissingExtraError

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    try:
        return _load(name)
    except MissingExtraError as missing:
        # An AttributeError would hide the message in "from sklearn_iqt import", and any other error
        # would break hasattr, "import *" and inspect.
        return stand_in(name, str(missing))
