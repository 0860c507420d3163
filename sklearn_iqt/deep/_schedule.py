"""Learning rates that follow from the number of the step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sklearn_iqt.deep._net import NetCallback

__all__ = ["LearningRates", "RateGroup"]


@dataclass(frozen=True)
class RateGroup:
    """Parameters of a net that share a learning rate.

    Parameters
    ----------
    pattern : str
        Which parameters, by their names: ``"*dictionary.*"``.
    lr : float
        Learning rate at the start.
    milestones : sequence of float
        Fractions of the training after which the rate is halved.
    """

    pattern: str
    lr: float
    milestones: Sequence[float]


class LearningRates(NetCallback):
    """Set the learning rate of each group of parameters before every step.

    The rates follow from the number of the step alone, so that a training can continue where it
    stopped.

    Parameters
    ----------
    groups : list of RateGroup
        The groups of the optimiser, in their order.
    decay : float
        Rates are divided by ``1 + decay * step`` as well.
    """

    def __init__(self, groups: list[RateGroup], decay: float) -> None:
        self.groups = groups
        self.decay = decay

    def on_batch_begin(
        self, net: Any, batch: Any = None, training: bool = False, **kwargs: Any
    ) -> None:
        """Set the rates of the next training step."""
        if not training:
            return
        step = net.steps_done_
        for rates, group in zip(self.groups, net.optimizer_.param_groups, strict=True):
            passed = sum(step / net.n_steps >= fraction for fraction in rates.milestones)
            group["lr"] = rates.lr * 0.5**passed / (1 + self.decay * step)
