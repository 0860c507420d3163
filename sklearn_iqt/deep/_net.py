"""The skorch net that the estimators train."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from skorch import NeuralNetRegressor
from skorch.callbacks import Callback

from sklearn_iqt.deep._pairs import Pairs

__all__ = ["NetCallback", "PatchNet"]


class NetCallback(Callback):
    """Base class of the callbacks of this package.

    A KeyboardInterrupt in one of them comes from the keyboard. In a callback of the user it may
    mean that training is to end.
    """


class TrainingStopped(Exception):
    """A callback has ended the training."""


class PatchNet(NeuralNetRegressor):
    """A skorch regressor that counts its steps and that callbacks can end.

    skorch's callbacks, ``EarlyStopping`` among them, end a training by raising KeyboardInterrupt at
    the end of an epoch, and skorch treats Ctrl-C in the same way. Here the two differ:
    KeyboardInterrupt of a user's callback at the end of an epoch ends the training, once every
    callback has seen that epoch. Any other KeyboardInterrupt is passed on.

    Parameters
    ----------
    *args : tuple
        Parameters of :class:`skorch.NeuralNetRegressor`.
    n_steps : int
        Steps of the whole training.
    mixed_precision : bool
        Whether to compute in bfloat16 where torch considers it safe.
    **kwargs : dict
        Parameters of :class:`skorch.NeuralNetRegressor`.

    Attributes
    ----------
    steps_done_ : int
        Training steps so far.
    stopped_by_ : str or None
        Name of the callback that has ended the training.
    forward_options_ : dict
        Arguments that callbacks add to the ``forward`` of the module, for the batch at hand.
    """

    def __init__(
        self, *args: Any, n_steps: int = 1, mixed_precision: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.n_steps = n_steps
        self.mixed_precision = mixed_precision
        self.steps_done_ = 0
        self.stopped_by_: str | None = None
        self.forward_options_: dict[str, Any] = {}

    def train(self, pairs: Pairs, n_epochs: int) -> None:
        """Train for some epochs, or until a callback ends the training.

        Parameters
        ----------
        pairs : VolumePairs or RowPairs
            Training patches.
        n_epochs : int
            Most epochs to train.

        Raises
        ------
        KeyboardInterrupt
            If the training is interrupted from the keyboard.
        """
        self.notify("on_train_begin", X=pairs, y=None)
        try:
            self.fit_loop(pairs, None, epochs=n_epochs)
        except TrainingStopped:
            pass
        except KeyboardInterrupt:
            self.notify("on_train_end", X=pairs, y=None)
            raise
        self.notify("on_train_end", X=pairs, y=None)

    def notify(self, method_name: str, **kwargs: Any) -> None:
        """Call a method of every callback.

        Parameters
        ----------
        method_name : str
            For instance ``"on_epoch_end"``.
        **kwargs : dict
            Arguments of the method.
        """
        if method_name != "on_epoch_end":
            super().notify(method_name, **kwargs)
            return
        self.on_epoch_end(self, **kwargs)
        for name, callback in self.callbacks_:
            try:
                callback.on_epoch_end(self, **kwargs)
            except KeyboardInterrupt:
                if isinstance(callback, NetCallback):
                    raise
                self.stopped_by_ = name
        if self.stopped_by_ is not None:
            raise TrainingStopped

    def train_step(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Train on a batch, and count the step.

        Parameters
        ----------
        batch : tuple
            Inputs and targets.
        **fit_params : dict
            More arguments of ``forward``.

        Returns
        -------
        dict
            ``loss`` and ``y_pred``.
        """
        step = super().train_step(batch, **fit_params)
        self.steps_done_ += 1
        return step

    def infer(self, x: Any, **fit_params: Any) -> torch.Tensor:
        """Run the module, in mixed precision if that was asked for.

        Parameters
        ----------
        x : dict of Tensor
            Arguments of the module's ``forward``.
        **fit_params : dict
            More arguments.

        Returns
        -------
        Tensor of float32, shape (batch, n_high_voxels)
            Rows of high patches, which is what scikit-learn's metrics take.
        """
        device = torch.device(self.device).type
        with torch.autocast(device, torch.bfloat16, enabled=self.mixed_precision):
            prediction = super().infer(x, **self.forward_options_, **fit_params)
        return prediction.float().flatten(1)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the weights and buffers of the module, by name."""
        return {name: value.cpu().numpy() for name, value in self.module_.state_dict().items()}

    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Set the weights and buffers of the module.

        Parameters
        ----------
        arrays : mapping of str to ndarray
            What :meth:`arrays` of an equal net has returned.
        """
        state = {name: torch.from_numpy(np.array(value)) for name, value in arrays.items()}
        self.module_.load_state_dict(state)

    def forget_training(self) -> None:
        """Drop callbacks and samplers, which would keep the volumes in memory."""
        self.callbacks = self.train_split = None
        self.callbacks_: list = []
        self.iterator_train__sampler = None
        self.forward_options_ = {}
