"""How the nets are trained: the parts that skorch does not have."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import torch
from skorch import NeuralNetRegressor
from skorch.callbacks import Callback
from torch import nn
from torch.utils.data import DataLoader, Sampler
from tqdm.auto import tqdm

from sklearn_iqt.deep._pairs import Pairs

__all__ = [
    "BestWeights",
    "EpochSampler",
    "PatchNet",
    "PrefetchLoader",
    "Progress",
    "Schedule",
    "StopWhenStale",
    "ValidationNRMSE",
    "average_batch_norm",
    "lay_channels_last",
]

N_NORM_BATCHES = 32
# A training of more minutes than this says so, after this many steps or seconds of it.
LONG_MINUTES = 10
N_TIMED_STEPS, TIMED_SECONDS = 5, 30


class PatchNet(NeuralNetRegressor):
    """A skorch regressor that knows mixed precision and the atom shuffle of early training.

    Parameters
    ----------
    mixed_precision : bool
        Whether to compute in bfloat16 where torch deems it safe.
    **kwargs : dict
        Parameters of :class:`skorch.NeuralNetRegressor`.
    """

    def __init__(self, *args: Any, mixed_precision: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.mixed_precision = mixed_precision
        self.forward_options: dict[str, Any] = {}

    def infer(self, x: Any, **fit_params: Any) -> torch.Tensor:
        """Run the module, in mixed precision if asked for.

        Parameters
        ----------
        x : dict of Tensor
            Arguments of the module's ``forward``.
        **fit_params : dict
            More arguments.

        Returns
        -------
        Tensor
            Prediction, float32.
        """
        device = torch.device(self.device).type
        with torch.autocast(device, torch.bfloat16, enabled=self.mixed_precision):
            prediction = super().infer(x, **self.forward_options, **fit_params)
        return prediction.float()


class EpochSampler(Sampler):
    """Walk through the patches in one random order after another, an epoch at a time.

    Orders and views depend on the seed and the number of the walk alone, so that training can go on
    where it was cut off, and patches may be read while the net draws random numbers of its own.

    Parameters
    ----------
    n_patches : int
        Patches in the data set.
    epoch_size : int
        Patches of an epoch; it may end within a walk, or hold several.
    n_patches_total : int
        Patches of the whole training, at which the last epoch ends.
    seed : int
        Determines the orders and views.
    n_views : int
        Views of a patch to draw from, if there is more than one; see :class:`VolumePairs`.
    """

    def __init__(
        self,
        n_patches: int,
        epoch_size: int,
        n_patches_total: int,
        seed: int,
        n_views: int = 1,
    ) -> None:
        self.n_patches = n_patches
        self.epoch_size = epoch_size
        self.n_patches_total = n_patches_total
        self.seed = seed
        self.n_views = n_views
        self.epoch = 0

    def __len__(self) -> int:
        start = self.epoch * self.epoch_size
        return max(min(self.epoch_size, self.n_patches_total - start), 0)

    def __iter__(self) -> Iterator[int | tuple[int, int]]:
        start = self.epoch * self.epoch_size
        places = np.arange(start, start + len(self))
        self.epoch += 1
        walks = places // self.n_patches
        for walk in np.unique(walks):
            random_state = np.random.RandomState([self.seed, int(walk)])
            within = places[walks == walk] % self.n_patches
            items = random_state.permutation(self.n_patches)[within].tolist()
            if self.n_views > 1:
                views = random_state.randint(self.n_views, size=self.n_patches)[within].tolist()
                yield from zip(items, views, strict=True)
            else:
                yield from items


class PrefetchLoader(DataLoader):
    """Read the next batches in a thread of their own while the net trains on this one.

    Pays where training leaves the processor idle, which is on a GPU.
    """

    def __iter__(self) -> Iterator:  # type: ignore[override]
        batches = super().__iter__()
        with ThreadPoolExecutor(1) as reader:
            read = partial(reader.submit, next, batches, None)
            ahead = deque([read(), read()])
            while (batch := ahead.popleft().result()) is not None:
                ahead.append(read())
                yield batch


class Schedule(Callback):
    """Set learning rates, the atom shuffle and the freeze of the dictionary by the step.

    Everything follows from the number of the step, so nothing is lost when training is resumed.

    Parameters
    ----------
    n_steps : int
        Steps of the whole training.
    milestones : list of tuple of float
        For each group of parameters of the optimiser, the fractions of the training after which
        its learning rate is halved.
    decay : float
        Rates are divided by ``1 + decay * step`` as well.
    shuffle_steps : int
        Steps in which the atoms are shuffled.
    freeze_at : float
        Fraction of the training after which the dictionary is frozen.
    """

    def __init__(
        self,
        n_steps: int,
        milestones: list[tuple[float, ...]],
        *,
        decay: float = 0.0,
        shuffle_steps: int = 0,
        freeze_at: float = 1.0,
    ) -> None:
        self.n_steps = n_steps
        self.milestones = milestones
        self.decay = decay
        self.shuffle_steps = shuffle_steps
        self.freeze_at = freeze_at
        self.step = 0

    def on_batch_begin(
        self, net: Any, batch: Any = None, training: bool = False, **kwargs: Any
    ) -> None:
        """Prepare the step that comes."""
        net.forward_options = {}
        if not training:
            return
        done = self.step / self.n_steps
        for group, milestones in zip(net.optimizer_.param_groups, self.milestones, strict=True):
            start = group.setdefault("initial_lr", group["lr"])
            passed = sum(done >= fraction for fraction in milestones)
            group["lr"] = start * 0.5**passed / (1 + self.decay * self.step)
        if self.shuffle_steps:
            net.forward_options = {"shuffle": self.step < self.shuffle_steps}
        module = getattr(net.module_, "net", net.module_)
        if hasattr(module, "dictionary"):
            module.dictionary.requires_grad_(done < self.freeze_at)

    def on_batch_end(self, net: Any, training: bool = False, **kwargs: Any) -> None:
        """Count the step."""
        self.step += training


class ValidationNRMSE(Callback):
    """Record the NRMSE (relative to the maximum) over the patches of the validation volumes.

    Batch normalisation is given its mean over training batches first; its running statistics lag
    behind the weights and would judge an epoch by another one's.

    Parameters
    ----------
    training : Dataset
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
                average_batch_norm(
                    net.module_, self.training, self.batch_size, net.device, self.seed
                )

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Start anew."""
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


class BestWeights(Callback):
    """Keep the weights that did best on the validation volumes, and their age.

    Parameters
    ----------
    patience : int
        Epochs without improvement after which they are stale.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.weights: dict[str, torch.Tensor] | None = None
        self.stale = False

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Compare the epoch with those before it."""
        losses = [epoch["valid_loss"] for epoch in net.history]
        age = len(losses) - 1 - int(np.argmin(np.nan_to_num(losses, nan=np.inf)))
        if age == 0:
            self.weights = {k: v.detach().clone() for k, v in net.module_.state_dict().items()}
        self.stale = age >= self.patience


class StopWhenStale(Callback):
    """End training when the best weights are stale; the last callback, since it ends the epoch.

    Parameters
    ----------
    best : BestWeights
        Knows their age.
    """

    def __init__(self, best: BestWeights) -> None:
        self.best = best

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """End training."""
        if self.best.stale:
            raise KeyboardInterrupt


class Progress(Callback):
    """Show a bar over the steps, with the training loss and the validation NRMSE.

    A training that takes long says so after its first steps, and what would shorten it.

    Parameters
    ----------
    title : str
        What is trained.
    schedule : Schedule
        Knows the steps done and those of the whole training.
    """

    def __init__(self, title: str, schedule: Schedule) -> None:
        self.title = title
        self.schedule = schedule

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Open the bar."""
        schedule = self.schedule
        self.first, self.start, self.told = schedule.step, time.monotonic(), False
        self.bar = tqdm(total=schedule.n_steps, initial=self.first, desc=self.title, unit="step")

    def on_batch_end(self, net: Any, training: bool = False, **kwargs: Any) -> None:
        """Move the bar."""
        if not training:
            return
        self.bar.update()
        n_steps, seconds = self.bar.n - self.first, time.monotonic() - self.start
        if not self.told and (n_steps == N_TIMED_STEPS or seconds > TIMED_SECONDS):
            self.told = True
            self._tell_time(seconds / n_steps, net.device)

    def _tell_time(self, seconds: float, device: str) -> None:
        left = self.schedule.n_steps - self.bar.n
        minutes = seconds * left / 60
        if minutes < LONG_MINUTES:
            return
        shown = f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.0f} hours"
        self.bar.write(
            f"{self.title}: {left} more steps of {seconds:.2g} s each take about {shown} on "
            f"{device}. Fewer max_steps, a smaller net or a GPU shorten that; with checkpoint it "
            "can be stopped and goes on later.",
            file=sys.stderr,
        )

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Show the losses of the epoch."""
        last = net.history[-1]
        shown = {"loss": f"{last['train_loss']:.4g}"}
        if "valid_nrmse" in last:
            shown["validation NRMSE"] = f"{last['valid_nrmse']:.4f}"
        self.bar.set_postfix(shown)

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Close the bar."""
        self.bar.close()


def lay_channels_last(module: nn.Module) -> nn.Module:
    """Keep the channels of convolutions side by side in memory, which is faster on a CPU.

    Parameters
    ----------
    module : Module
        Changed in place; feature maps follow the layout of its weights.

    Returns
    -------
    Module
        The same module.
    """
    for parameter in module.parameters():
        if parameter.dim() == 5:
            parameter.data = parameter.data.to(memory_format=torch.channels_last_3d)
    return module


def average_batch_norm(
    module: nn.Module, training: Pairs, batch_size: int, device: str, seed: int
) -> None:
    """Set the statistics of batch normalisation to their mean over training batches.

    During training they lag behind the weights, by hundreds of steps in nets with the Keras
    momentum; after a short training they would spoil every prediction.

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
    """
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over all batches
    torch.manual_seed(seed)
    n_patches = min(N_NORM_BATCHES * batch_size, max(len(training) // batch_size, 1) * batch_size)
    sampler = EpochSampler(len(training), n_patches, n_patches, seed, training.n_views)
    module.train()
    with torch.no_grad():
        for inputs, _ in DataLoader(training, batch_size, sampler=sampler):
            module(**{name: tensor.to(device) for name, tensor in inputs.items()})
    module.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
