"""IQT-DDL: image quality transfer by deep dictionary learning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from typing import Any, cast

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from skorch.callbacks import Callback
from torch import nn

from sklearn_iqt.deep._base import BaseNetRegressor
from sklearn_iqt.deep._net import NetCallback
from sklearn_iqt.deep._parameters import document_parameters
from sklearn_iqt.deep._schedule import RateGroup
from sklearn_iqt.deep.modules import BaseNet, DeepDictionaryNet

__all__ = ["DDLRegressor"]


class DictionaryPhases(NetCallback):
    """Shuffle the atoms in the first steps, and freeze the dictionary in the last ones.

    Parameters
    ----------
    shuffle_steps : int
        Steps in which the order of the atoms is random.
    freeze_at : float
        Fraction of the training after which the dictionary no longer changes.
    """

    def __init__(self, shuffle_steps: int, freeze_at: float) -> None:
        self.shuffle_steps = shuffle_steps
        self.freeze_at = freeze_at

    def on_batch_begin(
        self, net: Any, batch: Any = None, training: bool = False, **kwargs: Any
    ) -> None:
        """Prepare the next step."""
        step = net.steps_done_
        net.forward_options_ = {"shuffle": training and step < self.shuffle_steps}
        if training:
            thaws = step / net.n_steps < self.freeze_at
            net.module_.dictionary.requires_grad_(thaws)


@document_parameters
@dataclass(eq=False, repr=False)
class DDLRegressor(BaseNetRegressor):
    """Enhance volumes by a net that grows a dictionary of high-resolution atoms and weighs them.

    Noise grows into atoms the size of one low voxel; a UNet++ and a per-voxel predictor say how
    much of each atom every low voxel holds. Dictionary and weights are learned together, with the
    L1 loss.

    Parameters
    ----------
    n_atoms : int
        Atoms, a power of two; the width of the net follows it. The paper has 64 and 128. Sixteen
        train in an hour on two cores.
    n_blocks : int
        Residual blocks of the predictor.
    complementary : "auto", 1, 2 or tuple of 3 ints
        Kernel of the complementary map. The paper's 2 shifts the map by half a voxel along axes
        that are not upscaled and have no block edges to hide; ``"auto"`` is 1 there.
    noise : {"per_sample", "shared"}
        Whether a training step draws one dictionary for each patch or one for all.
    global_skip : bool
        Whether the net learns the difference from the interpolated volume. The paper does not
        mention it, the two-dimensional original does it. Without it, the softmax over atoms in
        (-1, 1) has to carry the intensities themselves.
    max_steps : int
        Training steps, instead of ``max_epochs``. The paper has 400,000.
    lr : float
        Learning rate of all but the dictionary.
    lr_milestones : sequence of float
        Fractions of the training after which `lr` is halved; the paper's, of its 400,000 steps.
    random_state : int, RandomState instance or None
        Determines weights, order, augmentation and noise.
    dictionary_lr : float
        Learning rate of the dictionary and its code.
    dictionary_lr_milestones : sequence of float
        Fractions of the training after which `dictionary_lr` is halved.
    freeze_dictionary : float
        Fraction of the training after which the dictionary no longer changes.
    shuffle_steps : int
        First steps in which the order of the atoms is random, a tenth of the training at most.

    Attributes
    ----------
    dictionary_ : ndarray of shape (n_atoms, scale_i, scale_j, scale_k)
        The atoms that prediction uses, in (-1, 1).
    code_ : ndarray of shape (n_atoms,)
        Their code, one number for each atom, from which the predictor knows them.
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

    n_atoms: int = 64
    n_blocks: int = 10
    complementary: Any = "auto"
    noise: str = "per_sample"
    _: KW_ONLY
    lr: float = 2e-4
    lr_milestones: Sequence[float] = (0.5, 0.75, 0.875, 0.9375)
    dictionary_lr: float = 5e-3
    dictionary_lr_milestones: Sequence[float] = (0.125, 0.25, 0.5, 0.75, 0.875)
    freeze_dictionary: float = 0.9
    shuffle_steps: int = 1000

    _parameter_constraints = {
        **BaseNetRegressor._parameter_constraints,
        "n_atoms": [Interval(Integral, 2, 2**12, closed="both")],
        "complementary": [StrOptions({"auto"}), Interval(Integral, 1, 2, closed="both"), tuple],
        "n_blocks": [Interval(Integral, 0, 1000, closed="both")],
        "noise": [StrOptions({"per_sample", "shared"})],
        "dictionary_lr": [Interval(Real, 0, None, closed="neither")],
        "dictionary_lr_milestones": ["array-like"],
        "freeze_dictionary": [Interval(Real, 0, 1, closed="both")],
        "shuffle_steps": [Interval(Integral, 0, None, closed="left")],
    }

    _loss = nn.L1Loss

    def _build_net(
        self, scale: tuple[int, int, int], patch_size: Sequence[int]
    ) -> DeepDictionaryNet:
        return DeepDictionaryNet(
            self.n_atoms,
            scale,
            complementary=self.complementary,
            global_skip=self.global_skip,
            order=self.order,
            alignment=self.alignment,
            noise=self.noise,
            patch_size=patch_size,
            n_blocks=self.n_blocks,
            padding_mode=self.padding_mode,
        )

    def _rate_groups(self) -> list[RateGroup]:
        milestones = tuple(self.dictionary_lr_milestones)
        return [RateGroup("*dictionary.*", self.dictionary_lr, milestones)]

    def _own_callbacks(self, n_steps: int) -> list[tuple[str, Callback]]:
        shuffle_steps = min(self.shuffle_steps, n_steps // 10)
        return [("dictionary", DictionaryPhases(shuffle_steps, self.freeze_dictionary))]

    def _finish_training(self, net: BaseNet, seed: int) -> None:
        net = cast(DeepDictionaryNet, net)
        noise = torch.from_numpy(np.random.RandomState(seed).standard_normal(net.eval_noise.shape))
        atoms, code = net.fix_dictionary(noise.to(net.eval_noise))
        self.dictionary_ = atoms.cpu().numpy()
        self.code_ = code.cpu().numpy()
