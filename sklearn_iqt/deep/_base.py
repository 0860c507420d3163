"""The base class of the deep estimators: training on patches, prediction in tiles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import _fit_context
from sklearn.utils import Tags, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from skorch.callbacks import Callback
from torch import nn
from torch.utils.data import DataLoader

from sklearn_iqt.base import BaseIQTRegressor, check_foreground
from sklearn_iqt.deep._inference import Predictor, lay_channels_last
from sklearn_iqt.deep._net import PatchNet
from sklearn_iqt.deep._pairs import DrawnPairs, Pairs, RowPairs, VolumePairs
from sklearn_iqt.deep._parameters import document_parameters
from sklearn_iqt.deep._sampler import PrefetchLoader
from sklearn_iqt.deep._schedule import RateGroup
from sklearn_iqt.deep._size_limit import refused_if_larger
from sklearn_iqt.deep._tiles import choose_tile_size, plan_tiles, predict_tiles
from sklearn_iqt.deep._training import Training
from sklearn_iqt.deep.modules import BaseNet
from sklearn_iqt.deep.modules._padding import PaddingMode
from sklearn_iqt.io import Cohort
from sklearn_iqt.patches import PatchTransformer, TrainingPair, foreground_index, per_axis

__all__ = ["BaseNetRegressor"]

# Memory that a tile may take in prediction, unless tile_size says otherwise.
TILE_BYTES = 2**32
# High-resolution voxels along each side of a training patch, unless patch_size says otherwise.
PATCH_LENGTH = 32
POSITIVE = Interval(Integral, 1, None, closed="left")


@document_parameters
@dataclass(kw_only=True, eq=False, repr=False)
class BaseNetRegressor(BaseIQTRegressor):
    """Train a net on patches of volumes and predict in tiles.

    A net of your own is a dataclass that inherits from this one and writes ``_build_net``. Its
    fields are its parameters. It gives a shared parameter another default by declaring the field
    again. The docstring of a shared parameter is in ``deep/_parameters.py``, and
    ``document_parameters`` puts it into the docstring of the class.

    Parameters
    ----------

    Attributes
    ----------
    net_ : skorch.NeuralNetRegressor
        The trained net; ``net_.history`` holds losses and times of every epoch.
    n_iter_ : int
        Epochs that were trained.
    """

    scale: int | Sequence[int] = (1, 1, 4)
    alignment: str = "center"
    patch_size: int | Sequence[int] | None = None
    stride: int | Sequence[int] | None = None
    background: float = 0.8
    global_skip: bool = True
    padding_mode: PaddingMode = "replicate"
    keep_zeros: bool = True
    max_epochs: int = 10
    max_steps: int | None = None
    epoch_size: int | None = None
    batch_size: int = 32
    lr: float = 1e-3
    lr_milestones: Sequence[float] = ()
    lr_decay: float = 0.0
    weight_average: float = 0.0
    average_flips: bool = False
    augment: bool = True
    validation_fraction: float = 0.0
    patience: int | None = None
    tile_size: int | Sequence[int] | None = None
    margin: int | Sequence[int] | None = None
    device: str = "auto"
    mixed_precision: bool = False
    checkpoint: str | Path | None = None
    warm_start: bool = False
    callbacks: list | None = None
    target_unit: str = "own"
    max_patches: int | None = None
    random_state: Any = None
    verbose: int = 0

    _parameter_constraints = {
        **BaseIQTRegressor._parameter_constraints,
        "patch_size": [POSITIVE, tuple, list, None],
        "stride": [POSITIVE, tuple, list, None],
        "background": [Interval(Real, 0, 1, closed="both")],
        "global_skip": ["boolean"],
        "padding_mode": [StrOptions({"replicate", "zeros"})],
        "max_epochs": [POSITIVE],
        "max_steps": [POSITIVE, None],
        "epoch_size": [POSITIVE, None],
        "batch_size": [POSITIVE],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "lr_milestones": ["array-like"],
        "lr_decay": [Interval(Real, 0, None, closed="left")],
        "average_flips": ["boolean"],
        "weight_average": [Interval(Real, 0, 1, closed="left")],
        "augment": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "patience": [POSITIVE, None],
        "tile_size": [POSITIVE, tuple, list, None],
        "margin": [Interval(Integral, 0, None, closed="left"), tuple, list, None],
        "device": [str],
        "mixed_precision": ["boolean"],
        "checkpoint": [str, Path, None],
        "warm_start": ["boolean"],
        "callbacks": [list, None],
        "max_patches": [POSITIVE, None],
        "random_state": ["random_state"],
    }

    __metadata_request__partial_fit = {"mask": True}

    # What is not a parameter has no annotation here, or ClassVar: an annotation makes a field.
    # Loss that the training minimises; a net may choose another.
    _loss: ClassVar[type[nn.Module]] = nn.MSELoss
    # What is rebuilt from the arrays of a model file.
    _restored_attributes = ("net_",)

    # What a net writes.

    def _build_net(self, scale: tuple[int, int, int], patch_size: Sequence[int]) -> BaseNet:
        """Return an untrained net."""
        raise NotImplementedError(f"{type(self).__name__} must write _build_net.")

    # What a net may write.

    def _rate_groups(self) -> list[RateGroup]:
        """Return the parts of the net that have separate learning rates."""
        return []

    def _own_callbacks(self, n_steps: int) -> list[tuple[str, Callback]]:
        """Return callbacks that the training of this net needs."""
        return []

    def _finish_training(self, net: BaseNet, seed: int) -> None:
        """Fix what prediction needs besides the weights."""

    # Training.

    @_fit_context(prefer_skip_nested_validation=False)
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
        return self._fit(X, y, mask, reset=False)

    def _fit(self, X: Any, y: Any, mask: Any, *, reset: bool) -> Any:
        """Fit; without ``reset`` the training starts from the weights of ``net_``.

        If a fit fails or is interrupted, the estimator is not fitted afterwards. If it is a
        continuation, the estimator stays as it was before.
        """
        if (reset and not self.warm_start) or not hasattr(self, "net_"):
            self.__dict__.pop("net_", None)
            return super()._fit(X, y, mask, reset=True)
        before = dict(vars(self))
        if reset:
            self.target_gains_ = np.empty(0)
        try:
            return super()._fit(X, y, mask, reset=False)
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _make_patcher(self) -> PatchTransformer:
        patch_size = self.patch_size
        if patch_size is None:
            patch_size = tuple(max(PATCH_LENGTH // factor, 1) for factor in self.scale_)
        patcher = PatchTransformer(patch_size, self.stride, background=self.background)
        return patcher.fit_geometry(self.scale_)

    def _fit_cohort(self, cohort: Cohort) -> None:
        training, validation = self._read_pairs(cohort)
        self._train(training, validation)

    def _fit_patches(self, X: NDArray, y: NDArray, groups: NDArray | None) -> None:
        name = type(self).__name__
        if self.validation_fraction > 0:
            raise ValueError(
                f"{name}: validation_fraction={self.validation_fraction} holds out volumes, but X "
                "holds rows. Fit on volumes, or set validation_fraction=0."
            )
        if len(X) < 2:
            raise ValueError(
                f"{name}: X holds n_samples=1 row, but batch normalisation needs at least two. "
                "Pass more rows."
            )
        geometry = self.row_geometry_
        self._train(RowPairs(X, geometry.pad_outputs(y), geometry.patch_size), None)

    def _read_pairs(self, cohort: Cohort) -> tuple[VolumePairs, VolumePairs | None]:
        """Read the volumes and choose their patches; return those to train on and to validate."""
        name = type(self).__name__
        random_state = check_random_state(self.random_state)
        n_valid = int(np.ceil(self.validation_fraction * len(cohort)))
        if n_valid >= len(cohort):
            raise ValueError(
                f"{name}: validation_fraction={self.validation_fraction} of {len(cohort)} volumes "
                "leaves none to train on. Lower it, or pass more volumes."
            )
        held_out = set(random_state.permutation(len(cohort))[:n_valid])
        source, redraws = self._patch_source(), cohort.low.redraws
        train: list[TrainingPair] = []
        valid: list[TrainingPair] = []
        gains: list[float] = []
        counts = {}
        pairs = source.training_pairs(cohort, self.max_patches, random_state)
        for n, pair in enumerate(self._progress(pairs, "reading", total=len(cohort))):
            gains.append(pair.gain)
            if n in held_out:
                valid.append(pair)
                continue
            counts[n] = len(pair.drawn)
            if not redraws:
                train.append(pair)
        self._add_target_gains(cohort, gains)
        check_foreground(sum(counts.values()), self.background, name)
        if valid:
            check_foreground(sum(len(pair.drawn) for pair in valid), self.background, name)
        options: dict[str, Any] = {"with_skip": self.global_skip, "alignment": self.alignment}
        if redraws:
            seed = random_state.randint(2**31 - 1)
            training: VolumePairs = DrawnPairs(
                source,
                cohort,
                list(counts),
                list(counts.values()),
                seed,
                augment=self.augment,
                **options,
            )
        else:
            training = VolumePairs(train, self.patcher_, augment=self.augment, **options)
        return training, VolumePairs(valid, self.patcher_, **options) if valid else None

    def _train(self, training: Pairs, validation: Pairs | None) -> None:
        start = self._fitted_arrays() if hasattr(self, "net_") else None
        self.net_: PatchNet = Training(self, training, validation, start).run()
        self.n_iter_ = len(self.net_.history)

    def _all_rate_groups(self) -> list[RateGroup]:
        return [*self._rate_groups(), RateGroup("*", self.lr, tuple(self.lr_milestones))]

    def _make_net(self, batch_size: int, **options: Any) -> PatchNet:
        """Return an initialised net, which is not trained yet."""
        module = self._build_net(self.row_geometry_.scale, self.row_geometry_.patch_size)
        device = self._torch_device()
        on_cpu = torch.device(device).type == "cpu"
        return PatchNet(
            lay_channels_last(module) if on_cpu else module,
            criterion=self._loss,
            optimizer=torch.optim.Adam,
            # The last group holds the parameters that no other group names.
            optimizer__param_groups=[
                (group.pattern, {"lr": group.lr}) for group in self._all_rate_groups()[:-1]
            ],
            lr=self.lr,
            batch_size=batch_size,
            iterator_train=DataLoader if on_cpu else PrefetchLoader,
            iterator_train__drop_last=True,
            callbacks__print_log=None,
            device=device,
            verbose=0,
            mixed_precision=self.mixed_precision,
            **options,
        ).initialize()

    def _torch_device(self) -> str:
        if self.device != "auto":
            return self.device
        return "cuda" if torch.cuda.is_available() else "cpu"

    # Prediction.

    def __sklearn_is_fitted__(self) -> bool:
        # The geometry of the patches is known before the net is trained.
        return hasattr(self, "net_")

    def _predict_patches(self, X: NDArray) -> NDArray:
        geometry = self.row_geometry_
        predict, size = self._predictor(X.dtype), self.batch_size
        patches = [
            predict(X[start : start + size].reshape(-1, 1, *geometry.patch_size))
            for start in range(0, len(X), size)
        ]
        return geometry.trim_outputs(np.concatenate(patches))

    def _predict_volume(
        self,
        volume: NDArray,
        mask: NDArray[np.bool_] | None,
        return_std: bool,
        report_progress: Callable[[float], Any],
    ) -> tuple[NDArray[np.float32], ...]:
        low, baseline, unit = self._patch_source().scaled(volume, mask)
        predict, tiling = self._predictor(low.dtype), self._tiling(low.shape)
        flips = self._flips() if return_std or self.average_flips else [()]
        work, done = sum(low[read].size for read, _ in plan_tiles(low.shape, **tiling)), 0

        def predict_tile(tile: NDArray, interpolated: NDArray) -> NDArray:
            nonlocal done
            skip = interpolated[None, None] if self.global_skip else None
            high = predict(tile[None, None], skip)[0, 0]
            done += tile.size
            # There are more tiles than planned if memory ran out.
            report_progress(min(done / (work * len(flips)), 1))
            return high

        def predict_flipped(axes: tuple[int, ...]) -> NDArray:
            if not axes:
                return predict_tiles(predict_tile, low, baseline, scale=self.scale_, **tiling)
            scan, skip = (np.ascontiguousarray(np.flip(part, axes)) for part in (low, baseline))
            high = predict_tiles(predict_tile, scan, skip, scale=self.scale_, **tiling)
            return np.flip(high, axes)

        results = [predict_flipped(axes) for axes in flips]
        outputs = [np.mean(results, axis=0) if self.average_flips else results[0]]
        if return_std:
            outputs.append(np.std(results, axis=0))
        if mask is not None:
            fills = (baseline, np.float32(0))
            outputs = [
                self._filled_outside(mask, part, fill)
                for part, fill in zip(outputs, fills, strict=False)
            ]
        return tuple(part * np.float32(unit) for part in outputs)

    def _flips(self) -> list[tuple[int, ...]]:
        """Return the axes along which a scan is flipped for an average or a standard deviation.

        In a flipped scan, the first high voxel of each low voxel is the last one, so that only
        the alignment "center" stays correct along an enlarged axis.
        """
        axes = [n for n in range(3) if self.alignment == "center" or self.scale_[n] == 1]
        return [(), *((axis,) for axis in axes)]

    def _predictor(self, dtype: np.dtype) -> Predictor:
        return Predictor(self.net_.module_, dtype, mixed_precision=self.mixed_precision)

    def _tiling(self, shape: Sequence[int]) -> dict[str, tuple[int, ...]]:
        """Return how a low volume is cut into tiles, as arguments of :func:`plan_tiles`."""
        name, net = type(self).__name__, self.net_.module_
        margin = net.margin
        if self.margin is not None:  # unlike other sizes it may be zero
            wider = per_axis(np.add(self.margin, 1).tolist(), "margin + 1", name)
            margin = tuple(size - 1 for size in wider)
        if self.tile_size is not None:
            tile_size: tuple[int, ...] = per_axis(self.tile_size, "tile_size", name)
        else:
            most_voxels = TILE_BYTES / net.bytes_per_voxel
            tile_size = choose_tile_size(shape, margin, net.tile_multiple, most_voxels)
        return {"tile_size": tile_size, "margin": margin, "multiple": net.tile_multiple}

    def _filled_outside(self, mask: NDArray, out: NDArray, fill: Any) -> NDArray:
        """Return the result where patches hold enough foreground, and another one elsewhere."""
        grid = self.patcher_.grid(mask.shape)
        index = foreground_index(grid, mask, self.background)
        covered = grid.covered(index)
        for axis, factor in enumerate(self.scale_):
            covered = covered.repeat(factor, axis=axis)
        return np.where(covered, out, fill)

    # Model files.

    def _fitted_arrays(self) -> dict[str, NDArray]:
        return self.net_.arrays()

    def _restore_fitted_arrays(self, arrays: Mapping[str, NDArray]) -> None:
        with refused_if_larger(arrays):
            net = self._make_net(self.batch_size)
        net.load_arrays(arrays)
        net.module_.eval()
        self.net_ = net

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        # Convolutions are made for patches; from rows of other features they learn little.
        tags.regressor_tags.poor_score = True
        tags.non_deterministic = False
        return tags
