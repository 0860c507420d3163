"""One training of a net, from the first step or a checkpoint to the kept weights."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.utils import check_random_state
from skorch.callbacks import Callback
from skorch.helper import predefined_split

from sklearn_iqt._fitted_params import changed_params
from sklearn_iqt.deep._averaging import AverageWeights
from sklearn_iqt.deep._checkpoint import Checkpoint, training_fingerprint
from sklearn_iqt.deep._memory import reused_memory
from sklearn_iqt.deep._net import PatchNet
from sklearn_iqt.deep._pairs import Pairs
from sklearn_iqt.deep._progress import Progress, say
from sklearn_iqt.deep._schedule import LearningRates
from sklearn_iqt.deep._user_callbacks import copy_callbacks
from sklearn_iqt.deep._validation import BestWeights, ValidationNRMSE, average_batch_norm

if TYPE_CHECKING:
    from sklearn_iqt.deep._base import BaseNetRegressor

__all__ = ["Training"]

# Parameters that do not change what a step of a training does.
NEUTRAL = frozenset(
    ("max_epochs", "max_steps", "verbose", "callbacks", "checkpoint", "device", "tile_size")
    + ("margin", "warm_start", "random_state", "average_flips")
)


@dataclass(frozen=True)
class Length:
    """The length of a training.

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
    def of(cls, estimator: BaseNetRegressor, n_patches: int) -> Length:
        """Return the length that the parameters of an estimator ask for."""
        batch_size = min(estimator.batch_size, n_patches)
        steps_per_epoch = max((estimator.epoch_size or n_patches) // batch_size, 1)
        n_steps = estimator.max_steps or estimator.max_epochs * steps_per_epoch
        return cls(batch_size, steps_per_epoch, n_steps)


class Training:
    """Train the net of an estimator on patches.

    Parameters
    ----------
    estimator : BaseNetRegressor
        Its parameters and hooks decide how; it is not changed by making this.
    pairs : VolumePairs or RowPairs
        Training patches.
    validation : VolumePairs or None
        Patches of the volumes that are held out.
    start : mapping of str to ndarray, or None
        Weights to start from; by default the first weights of a new net.

    Raises
    ------
    ValueError
        If the parameters do not fit each other or the data.
    """

    def __init__(
        self,
        estimator: BaseNetRegressor,
        pairs: Pairs,
        validation: Pairs | None,
        start: Mapping[str, np.ndarray] | None,
    ) -> None:
        self.name = type(estimator).__name__
        if estimator.patience is not None and validation is None:
            raise ValueError(
                f"{self.name}: patience needs validation volumes. Set validation_fraction, or "
                "patience=None."
            )
        self.estimator = estimator
        self.pairs = pairs
        self.validation = validation
        self.start = start
        self.seed = check_random_state(estimator.random_state).randint(2**31 - 1)
        self.length = Length.of(estimator, len(pairs))
        self.best = None if validation is None else BestWeights(estimator.patience)
        decay = estimator.weight_average
        self.average = AverageWeights(decay) if decay else None
        self.checkpoint = self._make_checkpoint()
        self.callbacks = self._make_callbacks()

    def run(self) -> PatchNet:
        """Train a net, from its first step or from that of the checkpoint.

        Returns
        -------
        PatchNet
            Trained, in evaluation mode.

        Raises
        ------
        KeyboardInterrupt
            If the training is interrupted. The message names the saved state and says how to
            continue.
        """
        with torch.random.fork_rng(enabled=True), reused_memory():
            torch.manual_seed(self.seed)
            net = self._make_net()
            self._restore(net)
            self._train(net)
            self._finish(net)
        net.forget_training()
        return net

    def _make_checkpoint(self) -> Checkpoint | None:
        estimator = self.estimator
        if estimator.checkpoint is None:
            return None
        params = estimator.get_params(deep=False)
        decisive = {name: params[name] for name in params if name not in NEUTRAL}
        arrays = self.pairs.arrays()
        if self.validation is not None:
            arrays += self.validation.arrays()
        if self.start is not None:
            arrays += self.start.values()
        fingerprint = training_fingerprint(self.name, {**decisive, "seed": self.seed}, arrays)
        return Checkpoint(Path(estimator.checkpoint), fingerprint, self.best, self.average)

    def _make_callbacks(self) -> list:
        """Return the callbacks of every step and epoch, in the order in which they are called."""
        estimator, length = self.estimator, self.length
        rates = LearningRates(estimator._all_rate_groups(), estimator.lr_decay)
        own: list[tuple[str, Callback]] = [("learning_rates", rates)]
        own += estimator._own_callbacks(length.n_steps)
        if self.average is not None:
            own.append(("weight_average", self.average))
        if self.best is not None:
            own.append(("nrmse", ValidationNRMSE(self.pairs, length.batch_size, self.seed)))
            own.append(("best_weights", self.best))
        if estimator.verbose:
            own.append(("progress", Progress(self.name)))
        users = copy_callbacks(
            estimator.callbacks, caller=self.name, validates=self.best is not None
        )
        # Names of the user stay free.
        named = [(f"{self.name}.{name}", callback) for name, callback in own]
        if self.checkpoint is not None:
            # What a callback of the user does at the end of an epoch is part of the state.
            users.append((f"{self.name}.checkpoint", self.checkpoint))
        return named + users

    def _make_net(self) -> PatchNet:
        length = self.length
        sampler = self.pairs.sampler(
            length.steps_per_epoch * length.batch_size,
            length.n_steps * length.batch_size,
            self.seed,
        )
        return self.estimator._make_net(
            length.batch_size,
            n_steps=length.n_steps,
            train_split=None if self.validation is None else predefined_split(self.validation),
            callbacks=self.callbacks,
            iterator_train__sampler=sampler,
        )

    def _restore(self, net: PatchNet) -> None:
        """Set the state that the training starts from."""
        if self.start is not None:
            self._load_start(net, self.start)
        if self.checkpoint is None:
            return
        self.checkpoint.restore(net)
        if self.checkpoint.epochs_saved:
            self._say_where_it_continues(net, self.checkpoint.folder)

    def _load_start(self, net: PatchNet, start: Mapping[str, np.ndarray]) -> None:
        try:
            net.load_arrays(start)
        except RuntimeError as error:
            raise ValueError(
                f"{self.name}: the weights of the last fit do not fit the net that the parameters "
                f"and data ask for now{_changes(self.estimator)}. Set the parameters of the net as "
                "they were, or call fit with warm_start=False."
            ) from error

    def _train(self, net: PatchNet) -> None:
        n_epochs = -(-(net.n_steps - net.steps_done_) // self.length.steps_per_epoch)
        if n_epochs <= 0 or net.stopped_by_ is not None:
            return
        try:
            net.train(self.pairs, n_epochs)
        except KeyboardInterrupt as interrupt:
            raise KeyboardInterrupt(
                f"{self.name}: training was interrupted in epoch {len(net.history)}, after "
                f"{net.steps_done_} of {net.n_steps} steps. {self._what_was_saved()}"
            ) from interrupt
        if net.stopped_by_ is not None:
            self._say(f"{net.stopped_by_} ended the training after {_so_far(net)}.")

    def _finish(self, net: PatchNet) -> None:
        """Choose the weights that are kept, and fix what prediction needs besides."""
        if self.best is not None:
            net.module_.load_state_dict(self.best.weights)
        elif self.average is not None and self.average.weights:
            net.module_.load_state_dict(self.average.weights)
        last_epoch = max(net.steps_done_ - 1, 0) // self.length.steps_per_epoch
        average_batch_norm(
            net.module_, self.pairs, self.length.batch_size, net.device, self.seed, last_epoch
        )
        self.estimator._finish_training(net.module_, self.seed)

    def _say(self, message: str) -> None:
        say(f"{self.name}: {message}", verbose=self.estimator.verbose)

    def _say_where_it_continues(self, net: PatchNet, folder: Path) -> None:
        if net.stopped_by_ is not None:
            self._warn(
                f"nothing was trained, because {net.stopped_by_} ended the training that the "
                f"checkpoint {folder} holds, after {_so_far(net)}. Choose another folder to start "
                "a new training."
            )
        elif net.steps_done_ > net.n_steps:
            self._warn(
                f"the checkpoint {folder} holds {net.steps_done_} steps ({len(net.history)} "
                f"epochs), more than the {net.n_steps} that max_steps or max_epochs ask for. The "
                "net has all of them. Choose another folder to start a new training."
            )
        elif net.steps_done_ == net.n_steps:
            self._say(f"the checkpoint {folder} holds the whole training.")
        else:
            self._say(f"training continues from the checkpoint {folder}, after {_so_far(net)}.")

    def _warn(self, message: str) -> None:
        warnings.warn(f"{self.name}: {message}", UserWarning, stacklevel=2)

    def _what_was_saved(self) -> str:
        if self.checkpoint is None:
            saved = (
                "Nothing was saved. Set checkpoint to a folder, so that a training that is "
                "interrupted can continue after its last complete epoch."
            )
        elif not self.checkpoint.epochs_saved:
            saved = (
                "Nothing was saved, because no epoch was complete. With a smaller epoch_size the "
                "state is saved more often."
            )
        else:
            saved = (
                f"The state after epoch {self.checkpoint.epochs_saved} is in "
                f"{self.checkpoint.folder}. To continue from there, make the same call with the "
                "same parameters and volumes."
            )
        if self.start is not None:
            saved += " The estimator keeps the weights that it had before."
        return saved


def _so_far(net: PatchNet) -> str:
    n_epochs = len(net.history)
    return f"{n_epochs} epoch{'s' * (n_epochs != 1)}, {net.steps_done_} of {net.n_steps} steps"


def _changes(estimator: BaseNetRegressor) -> str:
    """Return which parameters were changed since the last fit, for an error."""
    changed = changed_params(estimator)
    return f" (changed since: {', '.join(changed)})" if changed else ""
