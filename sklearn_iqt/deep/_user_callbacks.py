"""Check and copy the skorch callbacks of a user."""

from __future__ import annotations

import copy
from typing import Any

from skorch.callbacks import Callback, LRScheduler

__all__ = ["copy_callbacks"]

# What the history holds only in a training with validation volumes.
VALIDATION_KEYS = ("valid_loss", "valid_loss_best", "valid_nrmse")


def copy_callbacks(callbacks: list | None, *, caller: str, validates: bool) -> list:
    """Return copies of callbacks for one training, which leaves those of the user unchanged.

    Parameters
    ----------
    callbacks : list or None
        skorch callbacks, instances or classes, or ``("name", callback)`` tuples.
    caller : str
        The estimator, used in messages.
    validates : bool
        Whether the training has validation volumes.

    Returns
    -------
    list
        The items in their order, every instance as a shallow copy. A callback sets the state of a
        training as attributes, by skorch's convention, so the original does not get that state.
        Objects that it refers to, such as the writer of a TensorBoard, are shared.

    Raises
    ------
    TypeError
        If an item is not a callback.
    ValueError
        If a callback cannot do its work here.
    """
    copies = []
    for item in callbacks or []:
        name, callback = (
            item if isinstance(item, (tuple, list)) and len(item) == 2 else (None, item)
        )
        kind = callback if isinstance(callback, type) else type(callback)
        if not issubclass(kind, Callback):
            raise TypeError(
                f"{caller}: callbacks must be skorch callbacks or ('name', callback) tuples; got "
                f"{item!r}."
            )
        _refuse_what_cannot_work(kind, callback, caller, validates)
        callback = callback if isinstance(callback, type) else copy.copy(callback)
        copies.append(callback if name is None else (name, callback))
    return copies


def _refuse_what_cannot_work(kind: type, callback: Any, caller: str, validates: bool) -> None:
    if issubclass(kind, LRScheduler):
        raise ValueError(
            f"{caller}: {kind.__name__} cannot be used as a callback, because the estimator sets "
            "the learning rates itself before every step. Set lr, lr_milestones and lr_decay "
            "instead."
        )
    monitor = getattr(callback, "monitor", None)
    if not validates and isinstance(monitor, str) and monitor in VALIDATION_KEYS:
        raise ValueError(
            f"{caller}: {kind.__name__} monitors {monitor!r}, which only a training with "
            "validation volumes has. Set validation_fraction, or monitor='train_loss'."
        )
    if validates and getattr(callback, "load_best", False) and monitor not in VALIDATION_KEYS[:2]:
        raise ValueError(
            f"{caller}: {kind.__name__} has load_best=True and monitors {monitor!r}, but a "
            "training with validation volumes keeps the weights of the epoch with the lowest "
            "valid_loss. Set load_best=False."
        )
