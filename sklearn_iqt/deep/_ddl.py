"""IQT-DDL: image quality transfer by deep dictionary learning."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, cast

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn

from sklearn_iqt.deep._base import BaseNetRegressor
from sklearn_iqt.deep._training import Schedule
from sklearn_iqt.deep.modules import DeepDictionaryNet
from sklearn_iqt.deep.modules._padding import PaddingMode
from sklearn_iqt.patches import PatchTransformer

__all__ = ["DDLRegressor"]


class DDLRegressor(BaseNetRegressor):
    """Enhance volumes by a net that grows a dictionary of high-resolution atoms and weighs them.

    Noise grows into atoms the size of one low voxel; a UNet++ and a per-voxel predictor say how
    much of each atom every low voxel holds. Dictionary and weights are learned together, with the
    L1 loss.

    Parameters
    ----------
    n_atoms : int, default=64
        Atoms, a power of two; the width of the net follows it. The paper has 64 and 128. Sixteen
        train in an hour on two cores.
    scale : int or tuple of 3 ints, default=(1, 1, 4)
        High-resolution voxels for each voxel, along each axis.
    alignment : {"center", "corner"}, default="center"
        How the grids lie on each other, see :func:`sklearn_iqt.preprocessing.upsample`.
    patcher : PatchTransformer, default=None
        Cuts the training patches, on the low volumes. By default patches of 32 high voxels a side,
        half a patch apart.
    global_skip : bool, default=True
        Whether the net learns the difference from the interpolated volume. The paper does not
        mention it, the two-dimensional original does it; without, the softmax over atoms in (-1, 1)
        has to carry the intensities themselves.
    complementary : "auto", 1, 2 or tuple of 3 ints, default="auto"
        Kernel of the complementary map. The paper's 2 shifts the map by half a voxel along axes
        that are not upscaled and have no block edges to hide; ``"auto"`` is 1 there.
    n_blocks : int, default=10
        Residual blocks of the predictor.
    noise : {"per_sample", "shared"}, default="per_sample"
        Whether a training step draws one dictionary for each patch or one for all.
    padding_mode : {"replicate", "zeros"}, default="replicate"
        What convolutions see beyond the edge of a patch. The papers' nets see zeros, and are used
        on patches of the training size for that reason; with repeated edges a net also does well on
        the large tiles that prediction uses.
    max_epochs : int, default=10
        Walks through the training patches, or through ``epoch_size`` of them.
    max_steps : int, default=None
        Training steps, instead of ``max_epochs``. The paper has 400,000.
    epoch_size : int, default=None
        Patches between two checkpoints and validations; by default all training patches.
    batch_size : int, default=32
        Patches of a step.
    lr : float, default=0.0002
        Learning rate of all but the dictionary.
    dictionary_lr : float, default=0.005
        Learning rate of the dictionary and its code.
    lr_milestones : sequence of float, default=(0.5, 0.75, 0.875, 0.9375)
        Fractions of the training after which `lr` is halved; the paper's, of its 400,000 steps.
    dictionary_lr_milestones : sequence of float, default=(0.125, 0.25, 0.5, 0.75, 0.875)
        The same of `dictionary_lr`.
    freeze_dictionary : float, default=0.9
        Fraction of the training after which the dictionary stays as it is.
    shuffle_steps : int, default=1000
        First steps in which the order of the atoms is random, a tenth of the training at most.
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
        Determines weights, order, augmentation and noise.
    verbose : int, default=0
        Whether to show progress.

    Attributes
    ----------
    dictionary_ : ndarray of shape (n_atoms, scale_i, scale_j, scale_k)
        The atoms that prediction uses, in (-1, 1).
    code_ : ndarray of shape (n_atoms,)
        What the predictor is told of them.
    net_ : skorch.NeuralNetRegressor
        The trained net; ``net_.history`` holds losses and times of every epoch.
    n_iter_ : int
        Epochs that were trained.

    Notes
    -----
    Section 2.2 of [1]_; the module is :class:`sklearn_iqt.deep.modules.DeepDictionaryNet`. The
    dictionary of prediction is grown once, after training, from noise that ``random_state`` draws.

    References
    ----------
    .. [1] A. Eldaly et al., "Alternative learning paradigms for image quality transfer",
       MELBA 2024:027.
    .. [2] S. Maeda, "Image super-resolution with deep dictionary", ECCV 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.deep import DDLRegressor
    >>> high = np.random.default_rng(0).random((2, 16, 16, 16))
    >>> low = high.reshape(2, 16, 16, 4, 4).mean(axis=-1)
    >>> model = DDLRegressor(4, n_blocks=1, max_steps=2, random_state=0).fit(low, high)
    >>> model.predict(low).shape, model.dictionary_.shape
    ((2, 16, 16, 16), (4, 1, 1, 4))
    """

    _loss = nn.L1Loss

    _parameter_constraints: dict = {
        **BaseNetRegressor._parameter_constraints,
        "n_atoms": [Interval(Integral, 2, None, closed="left")],
        "complementary": [StrOptions({"auto"}), Interval(Integral, 1, 2, closed="both"), tuple],
        "n_blocks": [Interval(Integral, 0, None, closed="left")],
        "noise": [StrOptions({"per_sample", "shared"})],
        "dictionary_lr": [Interval(Real, 0, None, closed="neither")],
        "dictionary_lr_milestones": ["array-like"],
        "freeze_dictionary": [Interval(Real, 0, 1, closed="both")],
        "shuffle_steps": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        n_atoms: int = 64,
        *,
        scale: int | Sequence[int] = (1, 1, 4),
        alignment: str = "center",
        patcher: PatchTransformer | None = None,
        global_skip: bool = True,
        complementary: Any = "auto",
        n_blocks: int = 10,
        noise: str = "per_sample",
        padding_mode: PaddingMode = "replicate",
        max_epochs: int = 10,
        max_steps: int | None = None,
        epoch_size: int | None = None,
        batch_size: int = 32,
        lr: float = 2e-4,
        dictionary_lr: float = 5e-3,
        lr_milestones: Sequence[float] = (0.5, 0.75, 0.875, 0.9375),
        dictionary_lr_milestones: Sequence[float] = (0.125, 0.25, 0.5, 0.75, 0.875),
        freeze_dictionary: float = 0.9,
        shuffle_steps: int = 1000,
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
        self.n_atoms = n_atoms
        self.scale = scale
        self.alignment = alignment
        self.patcher = patcher
        self.global_skip = global_skip
        self.complementary = complementary
        self.n_blocks = n_blocks
        self.noise = noise
        self.padding_mode = padding_mode
        self.max_epochs = max_epochs
        self.max_steps = max_steps
        self.epoch_size = epoch_size
        self.batch_size = batch_size
        self.lr = lr
        self.dictionary_lr = dictionary_lr
        self.lr_milestones = lr_milestones
        self.dictionary_lr_milestones = dictionary_lr_milestones
        self.freeze_dictionary = freeze_dictionary
        self.shuffle_steps = shuffle_steps
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
        # The finest level of the UNet++ joins five maps of n_atoms channels and makes as many.
        return 4 * 12 * self.n_atoms

    def _build_net(self, scale: tuple[int, int, int], patch_size: Sequence[int]) -> nn.Module:
        return DeepDictionaryNet(
            self.n_atoms,
            scale,
            comp_kernel=self.complementary,
            global_skip=self.global_skip,
            order=self.order,
            alignment=self.alignment,
            noise=self.noise,
            patch_size=patch_size,
            n_blocks=self.n_blocks,
            padding_mode=self.padding_mode,
        )

    def _parameter_groups(self) -> list:
        return [("*dictionary.*", {"lr": self.dictionary_lr})]

    def _schedule(self, n_steps: int) -> Schedule:
        return Schedule(
            n_steps,
            [tuple(self.dictionary_lr_milestones), tuple(self.lr_milestones)],
            shuffle_steps=min(self.shuffle_steps, n_steps // 10),
            freeze_at=self.freeze_dictionary,
        )

    def _finish_training(self, net: nn.Module, seed: int) -> None:
        ddl = cast(DeepDictionaryNet, getattr(net, "net", net))
        noise = torch.from_numpy(np.random.RandomState(seed).standard_normal(ddl.eval_noise.shape))
        atoms, code = ddl.fix_dictionary(noise.to(ddl.eval_noise))
        self.dictionary_ = atoms.cpu().numpy()
        self.code_ = code.cpu().numpy()
