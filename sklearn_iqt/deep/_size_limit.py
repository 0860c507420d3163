"""Refuse to build a net that is larger than the weights that it will hold."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from torch.nn.modules.module import register_module_parameter_registration_hook

__all__ = ["refused_if_larger"]

# Some modules replace parameters while they are built.
_SLACK = 3


@contextmanager
def refused_if_larger(arrays: Mapping[str, np.ndarray]) -> Iterator[None]:
    """Raise an error as soon as this thread builds more parameters than there are arrays.

    Large parameters take memory only when they are filled, which happens later.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        Weights of the net, which may be in fewer parts than its parameters.

    Yields
    ------
    None

    Raises
    ------
    ValueError
        If a module in the block is larger.

    Examples
    --------
    >>> import numpy as np
    >>> from torch import nn
    >>> with refused_if_larger({"weight": np.ones((3, 3))}):
    ...     layer = nn.Linear(3, 3, bias=False)
    """
    thread = threading.get_ident()
    n_parameters = _SLACK * len(arrays)
    n_numbers = _SLACK * sum(array.size for array in arrays.values())

    def count(module: Any, name: str, parameter: Any) -> None:
        nonlocal n_parameters, n_numbers
        if parameter is None or threading.get_ident() != thread:
            return
        n_parameters -= 1
        n_numbers -= parameter.numel()
        if n_parameters < 0 or n_numbers < 0:
            raise ValueError("its parameters describe a larger net than its weights")

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()
