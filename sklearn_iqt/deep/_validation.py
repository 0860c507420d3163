"""The validation of every epoch, and the best weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from sklearn_iqt.deep._net import NetCallback
from sklearn_iqt.deep._pairs import Pairs

__all__ = ["BestWeights", "ValidationNRMSE", "average_batch_norm"]

N_NORM_BATCHES = 32


class ValidationNRMSE(NetCallback):
    """Record the NRMSE (relative to the maximum) over the patches of the validation volumes.

    Batch normalisation gets its mean over training batches first. Its running statistics lag behind
    the weights, so an epoch would be judged by those of earlier ones.

    Parameters
    ----------
    training : VolumePairs
        Training patches.
    batch_size : int
        Patches of a batch.
    seed : int
        Determines the batches.
    """

    def __init__(self, training: Pairs, batch_size: int, seed: int) -> None:
        self.training = training
        self.batch_size = batch_size
        self.seed = seed

    def on_batch_begin(
        self, net: Any, batch: Any = None, training: bool = False, **kwargs: Any
    ) -> None:
        """Prepare the first validation batch of an epoch."""
        if not training and not self.count:
            with torch.random.fork_rng():
                # The history has an entry for the epoch at hand.
                average_batch_norm(
                    net.module_,
                    self.training,
                    self.batch_size,
                    net.device,
                    self.seed,
                    len(net.history) - 1,
                )

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Set the sums to zero."""
        self.squares, self.count, self.peak = 0.0, 0, 0.0

    def on_batch_end(
        self, net: Any, batch: Any = None, training: bool = False, y_pred: Any = None, **kwargs: Any
    ) -> None:
        """Add the errors of a validation batch."""
        if not training:
            target = batch[1].to(y_pred)
            self.squares += float(((y_pred - target) ** 2).sum())
            self.count += target.numel()
            self.peak = max(self.peak, float(target.max()))

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Record the result in the history."""
        net.history.record("valid_nrmse", (self.squares / self.count) ** 0.5 / self.peak)


class BestWeights(NetCallback):
    """Keep the weights of the epoch with the lowest validation loss.

    The history says of each epoch, in ``valid_loss_best``, whether it was the best so far.

    Parameters
    ----------
    patience : int or None
        Epochs without a better one after which training ends.
    """

    def __init__(self, patience: int | None) -> None:
        self.patience = patience
        self.weights: dict[str, torch.Tensor] = {}

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Compare the epoch with those before it."""
        losses = np.nan_to_num(net.history[:, "valid_loss"], nan=np.inf)
        age = len(losses) - 1 - int(np.argmin(losses))
        # skorch's own entry forgets earlier epochs when a training goes on.
        net.history.record("valid_loss_best", age == 0)
        if age == 0:
            self.weights = {k: v.detach().clone() for k, v in net.module_.state_dict().items()}
        if self.patience is not None and age >= self.patience:
            net.stopped_by_ = "patience"


def average_batch_norm(
    module: nn.Module, training: Pairs, batch_size: int, device: str, seed: int, epoch: int = 0
) -> None:
    """Set the statistics of batch normalisation to their mean over training batches.

    During training they lag behind the weights, by hundreds of steps in nets with the Keras
    momentum. After a short training they would spoil every prediction.

    Parameters
    ----------
    module : Module
        Trained module; its running statistics are replaced.
    training : VolumePairs or RowPairs
        Training patches.
    batch_size : int
        Patches of a batch.
    device : str
        Where the module is.
    seed : int
        Determines the batches and their augmentation.
    epoch : int, default=0
        Epoch whose draw is used, if volumes are drawn again.
    """
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over all batches
    torch.manual_seed(seed)
    n_patches = min(N_NORM_BATCHES * batch_size, max(len(training) // batch_size, 1) * batch_size)
    sampler = training.sampler(n_patches, n_patches, seed, epoch)
    module.train()
    with torch.no_grad():
        for inputs, _ in DataLoader(training, batch_size, sampler=sampler):
            module(**{name: tensor.to(device) for name, tensor in inputs.items()})
    module.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
