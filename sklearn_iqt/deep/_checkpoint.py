"""The state of a training, saved after every epoch and taken up again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from skorch.callbacks import Callback
from skorch.history import History

from sklearn_iqt.deep._shards import MANIFEST, read_shards, write_shards
from sklearn_iqt.deep._training import BestWeights, EpochSampler, Schedule

__all__ = ["Checkpoint"]


class Checkpoint(Callback):
    """Save the state of training after every epoch, and take it up again.

    Learning rates, orders and views follow from the number of the step; what is saved besides it
    are weights, the moments of Adam, the random generators and the history.

    Parameters
    ----------
    folder : Path
        Where the state is kept, see :func:`sklearn_iqt.deep._shards.write_shards`.
    fingerprint : str
        Says which training this is; the state of another one is refused.
    sampler : EpochSampler
        Its epoch is part of the state.
    schedule : Schedule
        Its step is part of the state.
    best : BestWeights, optional
        They are part of the state.
    """

    def __init__(
        self,
        folder: Path,
        fingerprint: str,
        sampler: EpochSampler,
        schedule: Schedule,
        best: BestWeights | None,
    ) -> None:
        self.folder = folder
        self.fingerprint = fingerprint
        self.sampler = sampler
        self.schedule = schedule
        self.best = best

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Save the state."""
        groups: dict[str, dict] = {
            "module": net.module_.state_dict(),
            "random": {"cpu": torch.get_rng_state()},
        }
        for number, state in net.optimizer_.state_dict()["state"].items():
            groups[f"optimizer{number}"] = state
        if torch.device(net.device).type == "cuda":
            groups["random"]["cuda"] = torch.cuda.get_rng_state(net.device)
        document = {
            "fingerprint": self.fingerprint,
            "epoch": self.sampler.epoch,
            "step": self.schedule.step,
            "history": [
                {k: getattr(v, "item", lambda v=v: v)() for k, v in epoch.items() if k != "batches"}
                for epoch in net.history.to_list()
            ],
        }
        if self.best is not None:
            groups["best"] = self.best.weights or {}
            document["stale"] = self.best.stale
        tensors = {
            f"{group}/{name}": tensor for group, of in groups.items() for name, tensor in of.items()
        }
        write_shards(self.folder, tensors, document)

    def restore(self, net: Any) -> None:
        """Take up the saved state, if there is one."""
        if self.folder.is_file():
            raise ValueError(f"{self.folder}: is a file; checkpoint must be a folder of its own.")
        if not (self.folder / MANIFEST).exists():
            return
        tensors, document = read_shards(self.folder)
        if document["fingerprint"] != self.fingerprint:
            raise ValueError(
                f"{self.folder}: is the checkpoint of a training with other parameters or volumes; "
                "delete it or choose another folder."
            )
        groups: dict[str, dict] = {}
        for path, tensor in tensors.items():
            group, name = path.split("/")
            groups.setdefault(group, {})[name] = tensor
        self.sampler.epoch = document["epoch"]
        self.schedule.step = document["step"]
        net.module_.load_state_dict(groups["module"])
        self._restore_optimizer(net.optimizer_, groups)
        net.history_ = History({**epoch, "batches": []} for epoch in document["history"])
        torch.set_rng_state(groups["random"]["cpu"])
        if torch.device(net.device).type == "cuda" and "cuda" in groups["random"]:
            torch.cuda.set_rng_state(groups["random"]["cuda"], net.device)
        if self.best is not None:
            self.best.weights, self.best.stale = groups.get("best"), document["stale"]

    @staticmethod
    def _restore_optimizer(optimizer: torch.optim.Optimizer, groups: dict[str, dict]) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        state = {}
        for number, parameter in enumerate(parameters):
            if moments := groups.get(f"optimizer{number}"):
                # In the layout of their parameter, without which every step would be slower.
                state[number] = {
                    name: torch.empty_like(parameter).copy_(moment) if moment.dim() else moment
                    for name, moment in moments.items()
                }
        saved = optimizer.state_dict()
        optimizer.load_state_dict({**saved, "state": state})
