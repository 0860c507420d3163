"""What the two deep estimators share: training on patches of volumes, prediction in tiles."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.utils import Tags, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from skorch.helper import predefined_split
from torch import nn
from torch.utils.data import DataLoader

from sklearn_iqt.base import BaseIQTRegressor
from sklearn_iqt.deep._checkpoint import Checkpoint
from sklearn_iqt.deep._inference import Predictor
from sklearn_iqt.deep._pairs import Pair, Pairs, RowPairs, VolumePairs
from sklearn_iqt.deep._tiles import choose_tile_size, plan_tiles, predict_tiles
from sklearn_iqt.deep._training import (
    BestWeights,
    EpochSampler,
    PatchNet,
    PrefetchLoader,
    Progress,
    Schedule,
    StopWhenStale,
    ValidationNRMSE,
    average_batch_norm,
    lay_channels_last,
)
from sklearn_iqt.io import as_volumes
from sklearn_iqt.patches import (
    PatchTransformer,
    check_pairs,
    foreground_index,
    per_axis,
    sample_index,
)

__all__ = ["BaseNetRegressor"]

# Memory that a tile may take in prediction, unless tile_size says otherwise.
TILE_BYTES = 2**32


class BareRows(nn.Module):
    """Let a net look at rows that are no patches, as patches one voxel thick.

    Parameters
    ----------
    net : Module
        A net with scale one.
    n_features : int
        Length of the rows.
    n_outputs : int
        Number of targets.
    """

    def __init__(self, net: nn.Module, n_features: int, n_outputs: int) -> None:
        super().__init__()
        self.net = net
        self.head = nn.Linear(n_features, n_outputs)

    def forward(self, x: torch.Tensor, **options: Any) -> torch.Tensor:
        """Predict the targets.

        Parameters
        ----------
        x : Tensor of shape (batch, 1, 1, 1, n_features)
            Rows.
        **options : dict
            Passed to the net.

        Returns
        -------
        Tensor of shape (batch, n_outputs)
            Predictions.
        """
        return self.head(self.net(x, **options).flatten(1))


class BaseNetRegressor(BaseIQTRegressor):
    """Train a net on patches of volumes and predict in tiles.

    Subclasses write ``_build_net(scale, patch_size)`` and say how it is optimised.

    Attributes
    ----------
    net_ : skorch.NeuralNetRegressor
        The trained net; ``net_.history`` holds losses and times of every epoch.
    n_iter_ : int
        Epochs that were trained.
    """

    _parameter_constraints: dict = {
        **BaseIQTRegressor._parameter_constraints,
        "global_skip": ["boolean"],
        "padding_mode": [StrOptions({"replicate", "zeros"})],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "max_steps": [Interval(Integral, 1, None, closed="left"), None],
        "epoch_size": [Interval(Integral, 1, None, closed="left"), None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "lr_milestones": ["array-like"],
        "augment": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "patience": [Interval(Integral, 1, None, closed="left"), None],
        "tile_size": [Interval(Integral, 1, None, closed="left"), tuple, list, None],
        "margin": [Interval(Integral, 0, None, closed="left"), tuple, list, None],
        "device": [str],
        "mixed_precision": ["boolean"],
        "checkpoint": [str, Path, None],
        "warm_start": ["boolean"],
        "callbacks": [list, None],
        "max_patches": [Interval(Integral, 1, None, closed="left"), None],
        "random_state": ["random_state"],
    }

    warm_start: bool
    net_: PatchNet
    _loss: type[nn.Module]
    # Whether this fit starts from the weights of the last one, whatever ``warm_start`` says.
    _goes_on = False
    _why_no_spread = "the tiles of a net do not overlap, so there is no spread to report"
    # What is rebuilt from the arrays of a model file.
    _restored_attributes = ("net_",)

    def _bytes_per_voxel(self) -> float:
        """Memory that prediction takes for each low voxel, roughly."""
        raise NotImplementedError(f"{type(self).__name__} must write _bytes_per_voxel.")

    def _build_net(self, scale: tuple[int, int, int], patch_size: Sequence[int]) -> nn.Module:
        raise NotImplementedError(f"{type(self).__name__} must write _build_net.")

    def _schedule(self, n_steps: int) -> Schedule:
        return Schedule(n_steps, [tuple(self.lr_milestones)])

    def _parameter_groups(self) -> list:
        return []

    def _finish_training(self, net: nn.Module, seed: int) -> None:
        """Fix what prediction needs besides the weights."""

    def partial_fit(self, X: Any, y: Any, *, mask: Any = None) -> Any:
        """Train on, from the weights reached so far.

        Parameters
        ----------
        X, y : volumes or rows
            See :meth:`fit`.
        mask : sequence of volumes, default=None
            See :meth:`fit`.

        Returns
        -------
        object
            The fitted estimator.
        """
        self._goes_on = True
        try:
            return self.fit(X, y, mask=mask)
        finally:
            del self._goes_on

    def _default_patcher(self) -> PatchTransformer:
        scale = per_axis(self.scale, "scale", type(self).__name__)
        return PatchTransformer(tuple(max(32 // factor, 1) for factor in scale))

    def _fit_volumes(self, X: Any, y: Any, mask: Any) -> Any:
        name = type(self).__name__
        low, high = as_volumes(X, caller=name), as_volumes(y, name="y", caller=name)
        masks = None if mask is None else as_volumes(mask, name="mask", caller=name)
        check_pairs(low, high, masks, caller=name)
        random_state = check_random_state(self.random_state)
        n_valid = int(np.ceil(self.validation_fraction * len(low)))
        if n_valid >= len(low):
            raise ValueError(
                f"{name}: validation_fraction={self.validation_fraction} of {len(low)} volumes "
                "leaves none to train on; lower it or give more volumes."
            )
        held_out = set(random_state.permutation(len(low))[:n_valid])
        train: list[Pair] = []
        valid: list[Pair] = []
        pairs = self._scaled_pairs(low, high, masks, "reading")
        for n, (inputs, target, drawing) in enumerate(pairs):
            grid = self.patcher_.grid(inputs.shape)
            index = sample_index(grid, target, random_state=random_state, **drawing)
            (valid if n in held_out else train).append(Pair(inputs, target, grid, index))
        self._set_row_shapes()
        options = {"with_skip": self.global_skip, "alignment": self.alignment}
        training = VolumePairs(train, augment=self.augment, **options)
        self._refuse_background(len(training))
        validation = VolumePairs(valid, **options) if valid else None
        if validation is not None:
            self._refuse_background(len(validation))
        return self._train(training, validation)

    def _fit_patches(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray | None) -> None:
        name = type(self).__name__
        if self.validation_fraction > 0:
            raise ValueError(
                f"{name}: rows do not tell which volume they come from, so none can be held out; "
                "fit on volumes or set validation_fraction=0."
            )
        if len(X) < 2:
            raise ValueError(f"{name}: a net needs more than n_samples=1 row to train.")
        grid = self.patcher_.grid(self.patcher_.patch_size_)
        if self._rows_are_patches():
            rows = RowPairs(X, y, grid.patch_size, (1, *grid.high.patch_size))
        else:
            rows = RowPairs(X, y - self.y_mean_, (1, 1, X.shape[1]), (y.shape[1],))
        self._train(rows, None)

    def _train(self, training: Pairs, validation: Pairs | None) -> Any:
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        batch_size = min(self.batch_size, len(training))
        epoch_size = self.epoch_size or len(training)
        steps_per_epoch = max(epoch_size // batch_size, 1)
        n_steps = self.max_steps or self.max_epochs * steps_per_epoch
        sampler = EpochSampler(
            len(training),
            steps_per_epoch * batch_size,
            n_steps * batch_size,
            seed,
            training.n_views,
        )
        schedule = self._schedule(n_steps)
        best = None if self.patience is None else BestWeights(self.patience)
        if best is not None and validation is None:
            raise ValueError(
                f"{type(self).__name__}: patience needs validation volumes; set "
                "validation_fraction, or patience=None."
            )
        callbacks: list = [("schedule", schedule)]
        if validation is not None:
            callbacks.append(("validation", ValidationNRMSE(training, batch_size, seed)))
        checkpoint = None
        if self.checkpoint is not None:
            fingerprint = self._fingerprint(training, validation, seed)
            folder = Path(self.checkpoint)
            checkpoint = Checkpoint(folder, fingerprint, sampler, schedule, best)
        for name, callback in (
            ("progress", Progress(type(self).__name__, schedule) if self.verbose else None),
            *((f"user{n}", callback) for n, callback in enumerate(self.callbacks or [])),
            ("best", best),
            ("checkpoint", checkpoint),
            ("stop", None if best is None else StopWhenStale(best)),
        ):
            if callback is not None:
                callbacks.append((name, callback))
        with torch.random.fork_rng(enabled=True):
            torch.manual_seed(seed)
            net = self._make_net(callbacks, sampler, batch_size, validation).initialize()
            if not self._fits_anew():
                net.module_.load_state_dict(self.net_.module_.state_dict())
            if checkpoint is not None:
                checkpoint.restore(net)
            remaining = -(-n_steps // steps_per_epoch) - sampler.epoch
            if remaining > 0 and not (best is not None and best.stale):
                net.partial_fit(training, None, epochs=remaining)
                if schedule.step < n_steps and not (best is not None and best.stale):
                    raise KeyboardInterrupt(f"{type(self).__name__}: training was interrupted.")
            if best is not None and best.weights is not None:
                net.module_.load_state_dict(best.weights)
            average_batch_norm(net.module_, training, batch_size, net.device, seed)
            self._finish_training(net.module_, seed)
        # Training is over: callbacks and loaders would only keep the volumes alive.
        net.callbacks, net.callbacks_, net.train_split = None, [], None
        net.iterator_train__sampler = None
        net.forward_options = {}
        self.net_ = net
        self.n_iter_ = len(net.history)
        return self

    def _make_net(
        self, callbacks: list, sampler: EpochSampler | None, batch_size: int, validation: Any
    ) -> PatchNet:
        patcher = self.patcher_
        if self._rows_are_patches():
            module = self._build_net(self.scale_, patcher.patch_size_)
        else:
            net = self._build_net((1, 1, 1), (1, 1, self.n_features_in_))
            module = BareRows(net, self.n_features_in_, self.n_outputs_)
        device = self._torch_device()
        on_cpu = torch.device(device).type == "cpu"
        return PatchNet(
            lay_channels_last(module) if on_cpu else module,
            criterion=self._loss,
            optimizer=torch.optim.Adam,
            optimizer__param_groups=self._parameter_groups(),
            lr=self.lr,
            max_epochs=1,
            batch_size=batch_size,
            iterator_train=DataLoader if on_cpu else PrefetchLoader,
            iterator_train__sampler=sampler,
            iterator_train__drop_last=True,
            train_split=None if validation is None else predefined_split(validation),
            callbacks=callbacks,
            callbacks__print_log=None,
            device=device,
            verbose=0,
            mixed_precision=self.mixed_precision,
        )

    def _torch_device(self) -> str:
        if self.device != "auto":
            return self.device
        return "cuda" if torch.cuda.is_available() else "cpu"

    def _fingerprint(self, training: Pairs, validation: Pairs | None, seed: int) -> str:
        """Return what tells one training from another: parameters, patches, starting weights."""
        ignored = {"max_epochs", "max_steps", "verbose", "callbacks", "checkpoint", "device"}
        ignored |= {"tile_size", "margin", "patcher", "warm_start", "random_state"}
        params = {k: v for k, v in self.get_params(deep=False).items() if k not in ignored}
        params |= {"patcher": self.patcher_.get_params(), "seed": seed}
        digest = hashlib.sha256(f"{type(self).__name__} {sorted(params.items())}".encode())
        for pairs in (training, validation):
            for array in () if pairs is None else pairs.arrays():
                digest.update(np.ascontiguousarray(array).data)
        if not self._fits_anew():
            for array in self._fitted_arrays().values():
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def _predict_patches(self, X: np.ndarray) -> np.ndarray:
        patches = self._rows_are_patches()
        shape = self.patcher_.patch_size_ if patches else (1, 1, X.shape[1])
        predict, size = self._predictor(X.dtype), self.batch_size
        rows = [
            predict(X[start : start + size].reshape(-1, 1, *shape)).reshape(-1, self.n_outputs_)
            for start in range(0, len(X), size)
        ]
        outputs = np.concatenate(rows)
        return outputs if patches else outputs + self.y_mean_

    def _predictor(self, dtype: np.dtype) -> Predictor:
        return Predictor(self.net_.module_, dtype, mixed_precision=self.mixed_precision)

    def _fits_anew(self) -> bool:
        return not ((self.warm_start or self._goes_on) and hasattr(self, "net_"))

    def _predict_volume(
        self, volume: np.ndarray, mask: np.ndarray | None, return_std: bool, tell: Any
    ) -> tuple[np.ndarray, ...]:
        name = type(self).__name__
        low, baseline, unit = self._scaled(volume, mask)
        net, predict = self.net_.module_, self._predictor(low.dtype)

        tiling = {
            "tile_size": self._tile_size(low.shape),
            "margin": net.margin if self.margin is None else per_axis_or_zero(self.margin, name),
            "multiple": net.tile_multiple,
        }
        work, done = sum(low[read].size for read, _ in plan_tiles(low.shape, **tiling)), 0

        def predict_tile(tile: np.ndarray, interpolated: np.ndarray) -> np.ndarray:
            nonlocal done
            skip = interpolated[None, None] if self.global_skip else None
            high = predict(tile[None, None], skip)[0, 0]
            done += tile.size
            tell(min(done / work, 1))  # more tiles than planned if memory ran out
            return high

        out = predict_tiles(predict_tile, low, baseline, scale=self.scale_, **tiling)
        if mask is not None:
            out = self._filled_outside(mask, out, baseline)
        if not np.isfinite(out).all():
            raise FloatingPointError(f"{name}: the prediction is not finite; train it again.")
        return (out * np.float32(unit),)

    def _tile_size(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        if self.tile_size is not None:
            return per_axis(self.tile_size, "tile_size", type(self).__name__)
        net = self.net_.module_
        margin = net.margin if self.margin is None else per_axis_or_zero(self.margin, "margin")
        most_voxels = TILE_BYTES / self._bytes_per_voxel()
        return choose_tile_size(shape, margin, net.tile_multiple, most_voxels)

    def _filled_outside(
        self, mask: np.ndarray, out: np.ndarray, baseline: np.ndarray
    ) -> np.ndarray:
        """Return the result where patches hold enough foreground, and the baseline elsewhere."""
        grid = self.patcher_.grid(mask.shape)
        background = self.patcher_.background
        index = foreground_index(grid, mask, background, caller=type(self).__name__)
        covered = grid.covered(index)
        for axis, factor in enumerate(self.scale_):
            covered = covered.repeat(factor, axis=axis)
        return np.where(covered, out, baseline)

    def _fitted_arrays(self) -> dict[str, np.ndarray]:
        return {name: value.cpu().numpy() for name, value in self.net_.module_.state_dict().items()}

    def _restore_fitted_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        net = self._make_net([], None, self.batch_size, None).initialize()
        state = {name: torch.from_numpy(np.array(value)) for name, value in arrays.items()}
        net.module_.load_state_dict(state)
        net.module_.eval()
        self.net_ = net

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        # Convolutions are made for patches; on rows that are none they learn little.
        tags.regressor_tags.poor_score = True
        tags.non_deterministic = False
        return tags


def per_axis_or_zero(margin: Any, caller: str) -> tuple[int, ...]:
    """Return a margin for each axis, which unlike other sizes may be zero."""
    return tuple(n - 1 for n in per_axis(np.add(margin, 1).tolist(), "margin + 1", caller))
