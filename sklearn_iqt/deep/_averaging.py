"""A running average of the weights of a net."""

from __future__ import annotations

from typing import Any

import torch

from sklearn_iqt.deep._net import NetCallback

__all__ = ["AverageWeights"]


class AverageWeights(NetCallback):
    """Average the weights over the last steps, and validate the average.

    The average is exponential: each step adds a part of ``1 - decay`` of its weights. At the start
    the part is larger, so that the first weights are soon forgotten.

    Parameters
    ----------
    decay : float
        Part of the average that a step keeps.

    Attributes
    ----------
    weights : dict of str to Tensor
        The average, by name, with the buffers of the last step.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.weights: dict[str, torch.Tensor] = {}
        self._trained: dict[str, torch.Tensor] | None = None

    def trained(self, net: Any) -> dict[str, torch.Tensor]:
        """Return the weights that the next step starts from.

        Parameters
        ----------
        net : PatchNet
            In training, or in validation, when it has the average.

        Returns
        -------
        dict of str to Tensor
            By name.
        """
        return net.module_.state_dict() if self._trained is None else self._trained

    def on_batch_begin(
        self, net: Any, batch: Any = None, training: bool = False, **kwargs: Any
    ) -> None:
        """Give the net the average for validation, and its own weights for training."""
        if training and self._trained is not None:
            net.module_.load_state_dict(self._trained)
            self._trained = None
        elif not training and self._trained is None:
            self._trained = _copied(net.module_.state_dict())
            net.module_.load_state_dict(self.weights)

    def on_batch_end(
        self, net: Any, batch: Any = None, training: bool = False, **kwargs: Any
    ) -> None:
        """Add the weights after a step."""
        if not training:
            return
        state = net.module_.state_dict()
        if not self.weights:
            self.weights = _copied(state)
            return
        part = 1 - min(self.decay, (1 + net.steps_done_) / (10 + net.steps_done_))
        trained = {name for name, _ in net.module_.named_parameters()}
        for name, value in state.items():
            if name in trained:
                self.weights[name].lerp_(value, part)
            else:
                self.weights[name].copy_(value)


def _copied(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in state.items()}
