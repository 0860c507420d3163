"""How long a training is, how it runs, and what it says when it starts, stops or is interrupted."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

from sklearn_iqt.deep._checkpoint import Checkpoint
from sklearn_iqt.deep._net import PatchNet
from sklearn_iqt.deep._pairs import Pairs
from sklearn_iqt.deep._progress import say

__all__ = ["TrainingLength", "run_training"]


@dataclass(frozen=True)
class TrainingLength:
    """How long a training is.

    Parameters
    ----------
    batch_size : int
        Patches of a step.
    steps_per_epoch : int
        Steps between two validations.
    n_steps : int
        Steps of the whole training.
    """

    batch_size: int
    steps_per_epoch: int
    n_steps: int

    @classmethod
    def of(
        cls,
        n_patches: int,
        *,
        batch_size: int,
        epoch_size: int | None,
        max_epochs: int,
        max_steps: int | None,
    ) -> TrainingLength:
        """Return the length that the parameters of an estimator ask for."""
        batch_size = min(batch_size, n_patches)
        steps_per_epoch = max((epoch_size or n_patches) // batch_size, 1)
        return cls(batch_size, steps_per_epoch, max_steps or max_epochs * steps_per_epoch)


def run_training(
    net: PatchNet,
    pairs: Pairs,
    *,
    steps_per_epoch: int,
    checkpoint: Checkpoint | None,
    is_continued: bool,
    caller: str,
    verbose: Any,
) -> None:
    """Train a net from the step that it has reached to its last one.

    Parameters
    ----------
    net : PatchNet
        Initialised, and restored from the checkpoint if that holds a state.
    pairs : VolumePairs or RowPairs
        Training patches.
    steps_per_epoch : int
        Steps between two validations.
    checkpoint : Checkpoint or None
        Where the state is saved.
    is_continued : bool
        Whether the estimator has a net already, and this training started from its weights.
    caller : str
        The estimator, used in messages.
    verbose : int or bool
        Whether to show messages; they are logged in any case.

    Raises
    ------
    KeyboardInterrupt
        If the training is interrupted. The message says what was saved and how to continue.
    """
    if checkpoint is not None and checkpoint.epochs_saved:
        _say_where_it_continues(net, checkpoint, caller, verbose)
    n_epochs = -(-(net.n_steps - net.steps_done_) // steps_per_epoch)
    if n_epochs <= 0 or net.stopped_by_ is not None:
        return
    try:
        net.train(pairs, n_epochs)
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(
            f"{caller}: training was interrupted in epoch {len(net.history)}, after "
            f"{net.steps_done_} of {net.n_steps} steps. {_what_was_saved(checkpoint)}"
            + " The estimator keeps the weights that it had before."
            * is_continued
        ) from interrupt
    if net.stopped_by_ is not None:
        say(
            f"{caller}: {net.stopped_by_} ended the training after {_so_far(net)}.", verbose=verbose
        )


def _so_far(net: PatchNet) -> str:
    n_epochs = len(net.history)
    return f"{n_epochs} epoch{'s' * (n_epochs != 1)}, {net.steps_done_} of {net.n_steps} steps"


def _say_where_it_continues(
    net: PatchNet, checkpoint: Checkpoint, caller: str, verbose: Any
) -> None:
    folder, done = checkpoint.folder, net.steps_done_
    if net.stopped_by_ is not None:
        warnings.warn(
            f"{caller}: nothing was trained, because {net.stopped_by_} ended the training that "
            f"the checkpoint {folder} holds, after {_so_far(net)}. Choose another folder to start "
            "a new training.",
            UserWarning,
            stacklevel=2,
        )
    elif done > net.n_steps:
        warnings.warn(
            f"{caller}: the checkpoint {folder} holds {done} steps ({len(net.history)} epochs), "
            f"more than the {net.n_steps} that max_steps or max_epochs ask for. The net has all of "
            "them. Choose another folder to start a new training.",
            UserWarning,
            stacklevel=2,
        )
    elif done == net.n_steps:
        say(f"{caller}: the checkpoint {folder} holds the whole training.", verbose=verbose)
    else:
        say(
            f"{caller}: training continues from the checkpoint {folder}, after {_so_far(net)}.",
            verbose=verbose,
        )


def _what_was_saved(checkpoint: Checkpoint | None) -> str:
    if checkpoint is None:
        return (
            "Nothing was saved. Set checkpoint to a folder, so that a training that is interrupted "
            "can continue after its last complete epoch."
        )
    if not checkpoint.epochs_saved:
        return (
            "Nothing was saved, because no epoch was complete. With a smaller epoch_size the state "
            "is saved more often."
        )
    return (
        f"The state after epoch {checkpoint.epochs_saved} is in {checkpoint.folder}. To continue "
        "from there, call fit with the same parameters and volumes."
    )
