"""IQT-DL: image quality transfer by an anisotropic U-Net."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval
from torch import nn

from sklearn_iqt.deep._base import BaseNetRegressor
from sklearn_iqt.deep._training import Schedule
from sklearn_iqt.deep.modules import AnisoUNet
from sklearn_iqt.deep.modules._padding import PaddingMode
from sklearn_iqt.patches import PatchTransformer

__all__ = ["AnisoUNetRegressor"]


class AnisoUNetRegressor(BaseNetRegressor):
    """Enhance volumes by a U-Net that goes down on the low grid and up on the high one.

    Parameters
    ----------
    n_filters : int, default=16
        Channels of the finest level, doubled with every level. Sixteen is the authors' net.
    n_levels : int, default=5
        Levels; enough for the upscaled axes to meet the others.
    scale : int or tuple of 3 ints, default=(1, 1, 4)
        High-resolution voxels for each voxel, along each axis.
    alignment : {"center", "corner"}, default="center"
        How the grids lie on each other, see :func:`sklearn_iqt.preprocessing.upsample`.
    patcher : PatchTransformer, default=None
        Cuts the training patches, on the low volumes. By default patches of 32 high voxels a side,
        half a patch apart.
    global_skip : bool, default=True
        Whether the net learns the difference from the interpolated volume. The authors' net does
        not, and trains for days; after a few hundred steps a net with it is far better than
        interpolation and one without is far worse, on subjects that chose nothing else.
    padding_mode : {"replicate", "zeros"}, default="replicate"
        What convolutions see beyond the edge of a patch. The papers' nets see zeros, and are used
        on patches of the training size for that reason; with repeated edges a net also does well on
        the large tiles that prediction uses.
    max_epochs : int, default=10
        Walks through the training patches, or through ``epoch_size`` of them.
    max_steps : int, default=None
        Training steps, instead of ``max_epochs``.
    epoch_size : int, default=None
        Patches between two checkpoints and validations; by default all training patches.
    batch_size : int, default=32
        Patches of a step.
    lr : float, default=0.001
        Learning rate.
    lr_milestones : sequence of float, default=()
        Fractions of the training after which the rate is halved.
    lr_decay : float, default=1e-6
        The rate is divided by ``1 + lr_decay * step`` as well.
    augment : bool, default=True
        Whether to flip and rotate patches at random.
    validation_fraction : float, in [0, 1), default=0.0
        Volumes that are held out to validate every epoch. Volumes, never patches.
    patience : int, default=None
        Stop after so many epochs without a better validation loss, and keep the best weights.
    tile_size : int or tuple of 3 ints, default=None
        Low voxels that a tile contributes in prediction. It bounds the memory and does not change
        the result beyond rounding. By default tiles of about 4 GiB with the least overlap; more if
        the net sees so far that such tiles would compute every voxel more than four times.
    margin : int or tuple of 3 ints, default=None
        Low voxels that tiles overlap; by default as many as can matter. Fewer are faster and let
        tiles disagree at their borders.
    device : str, default="auto"
        ``"auto"`` is a GPU if there is one; otherwise what torch calls it.
    mixed_precision : bool, default=False
        Whether to compute in bfloat16 where torch deems it safe.
    checkpoint : path, default=None
        Folder that keeps the state of training after each epoch, in files of at most 15 MiB. If it
        holds one, training goes on from there: to the same result on the same machine, and from a
        copy of the folder on another one.
    warm_start : bool, default=False
        Whether ``fit`` starts from the weights of the last one.
    callbacks : list of skorch callbacks, default=None
        For instance ``skorch.callbacks.TensorBoard``.
    max_patches : int, default=None
        Most patches to train on, shared evenly by the volumes; they are read when needed.
    random_state : int, RandomState instance or None, default=None
        Determines weights, order and augmentation.
    verbose : int, default=0
        Whether to show progress.

    Attributes
    ----------
    net_ : skorch.NeuralNetRegressor
        The trained net; ``net_.history`` holds losses and times of every epoch.
    n_iter_ : int
        Epochs that were trained.

    Notes
    -----
    Section 2.3 of [1]_, the net and the settings of [2]_: mean squared error, Adam at 1e-3, batches
    of 32. The module is :class:`sklearn_iqt.deep.modules.AnisoUNet`.

    References
    ----------
    .. [1] A. Eldaly et al., "Alternative learning paradigms for image quality transfer",
       MELBA 2024:027.
    .. [2] H. Lin et al., "Low-field magnetic resonance image enhancement via stochastic image
       quality transfer", Medical Image Analysis 87, 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.deep import AnisoUNetRegressor
    >>> high = np.random.default_rng(0).random((2, 16, 16, 16))
    >>> low = high.reshape(2, 16, 16, 4, 4).mean(axis=-1)
    >>> model = AnisoUNetRegressor(2, 3, max_steps=2, random_state=0).fit(low, high)
    >>> model.predict(low).shape
    (2, 16, 16, 16)
    """

    _loss = nn.MSELoss

    _parameter_constraints: dict = {
        **BaseNetRegressor._parameter_constraints,
        "n_filters": [Interval(Integral, 2, None, closed="left")],
        "n_levels": [Interval(Integral, 1, None, closed="left")],
        "lr_decay": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        n_filters: int = 16,
        n_levels: int = 5,
        *,
        scale: int | Sequence[int] = (1, 1, 4),
        alignment: str = "center",
        patcher: PatchTransformer | None = None,
        global_skip: bool = True,
        padding_mode: PaddingMode = "replicate",
        max_epochs: int = 10,
        max_steps: int | None = None,
        epoch_size: int | None = None,
        batch_size: int = 32,
        lr: float = 1e-3,
        lr_milestones: Sequence[float] = (),
        lr_decay: float = 1e-6,
        augment: bool = True,
        validation_fraction: float = 0.0,
        patience: int | None = None,
        tile_size: int | Sequence[int] | None = None,
        margin: int | Sequence[int] | None = None,
        device: str = "auto",
        mixed_precision: bool = False,
        checkpoint: Any = None,
        warm_start: bool = False,
        callbacks: list | None = None,
        max_patches: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.n_filters = n_filters
        self.n_levels = n_levels
        self.scale = scale
        self.alignment = alignment
        self.patcher = patcher
        self.global_skip = global_skip
        self.padding_mode = padding_mode
        self.max_epochs = max_epochs
        self.max_steps = max_steps
        self.epoch_size = epoch_size
        self.batch_size = batch_size
        self.lr = lr
        self.lr_milestones = lr_milestones
        self.lr_decay = lr_decay
        self.augment = augment
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.tile_size = tile_size
        self.margin = margin
        self.device = device
        self.mixed_precision = mixed_precision
        self.checkpoint = checkpoint
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.max_patches = max_patches
        self.random_state = random_state
        self.verbose = verbose

    def _bytes_per_voxel(self) -> float:
        # Maps of the finest level on the low grid; above that the net works in slabs.
        return 4 * self.n_filters * (6 + float(np.prod(self.scale_)) / 4)

    def _build_net(self, scale: tuple[int, int, int], patch_size: Sequence[int]) -> nn.Module:
        return AnisoUNet(
            self.n_filters,
            self.n_levels,
            scale,
            global_skip=self.global_skip,
            order=self.order,
            alignment=self.alignment,
            padding_mode=self.padding_mode,
        )

    def _schedule(self, n_steps: int) -> Schedule:
        return Schedule(n_steps, [tuple(self.lr_milestones)], decay=self.lr_decay)
