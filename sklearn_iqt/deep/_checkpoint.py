"""The state of a training, saved after every epoch so that it can go on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skorch.history import History

from sklearn_iqt.deep._averaging import AverageWeights
from sklearn_iqt.deep._net import NetCallback
from sklearn_iqt.deep._shards import MANIFEST, read_shards, write_shards
from sklearn_iqt.deep._validation import BestWeights
from sklearn_iqt.exceptions import UntrustedModelError

__all__ = ["Checkpoint", "training_fingerprint"]


def training_fingerprint(name: str, params: Mapping[str, Any], arrays: Iterable[np.ndarray]) -> str:
    """Return a text that differs between trainings with different parameters or data.

    Parameters
    ----------
    name : str
        Class of the estimator.
    params : mapping of str to object
        What decides the weights, besides the data.
    arrays : iterable of ndarray
        The data.

    Returns
    -------
    str
        A SHA-256.
    """
    digest = hashlib.sha256(f"{name} {sorted(params.items())}".encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


class Checkpoint(NetCallback):
    """Save the state of a training after every epoch, and restore it.

    Learning rates, orders and views follow from the number of the step. Besides that number, the
    weights, the moments of Adam, the random generators and the history are saved.

    Parameters
    ----------
    folder : Path
        Where the state is kept, see :func:`sklearn_iqt.deep._shards.write_shards`.
    fingerprint : str
        Which training this is; the state of another one is refused.
    best : BestWeights or None
        They are part of the state.
    average : AverageWeights or None
        It is part of the state.

    Attributes
    ----------
    epochs_saved : int
        Epochs of the training that the folder holds.
    """

    def __init__(
        self,
        folder: Path,
        fingerprint: str,
        best: BestWeights | None,
        average: AverageWeights | None,
    ) -> None:
        self.folder = folder
        self.fingerprint = fingerprint
        self.best = best
        self.average = average
        self.epochs_saved = 0

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Save the state."""
        groups: dict[str, dict] = {
            "module": self._trained(net),
            "average": {} if self.average is None else self.average.weights,
            "random": {"cpu": torch.get_rng_state()},
            "best": {} if self.best is None else self.best.weights,
        }
        for number, state in net.optimizer_.state_dict()["state"].items():
            groups[f"optimizer{number}"] = state
        if torch.device(net.device).type == "cuda":
            groups["random"]["cuda"] = torch.cuda.get_rng_state(net.device)
        tensors = {
            f"{group}/{name}": tensor for group, of in groups.items() for name, tensor in of.items()
        }
        document = {
            "fingerprint": self.fingerprint,
            "step": net.steps_done_,
            "stopped_by": net.stopped_by_,
            "history": [
                {k: getattr(v, "item", lambda v=v: v)() for k, v in epoch.items() if k != "batches"}
                for epoch in net.history.to_list()
            ],
        }
        write_shards(self.folder, tensors, document)
        self.epochs_saved = len(net.history)

    def restore(self, net: Any) -> None:
        """Restore the saved state, if there is one.

        Parameters
        ----------
        net : PatchNet
            Initialised; changed in place. A training that a callback has ended stays ended as long
            as the net has that callback.

        Raises
        ------
        ValueError
            If the folder is a file or holds another training.
        UntrustedModelError
            If the checkpoint is damaged.
        """
        if self.folder.is_file():
            raise ValueError(
                f"{self.folder} is a file. Set checkpoint to a folder that only this training uses."
            )
        if not (self.folder / MANIFEST).exists():
            return
        tensors, document = read_shards(self.folder)
        if document.get("fingerprint") != self.fingerprint:
            raise ValueError(
                f"{self.folder} is the checkpoint of a training with other parameters or volumes. "
                "Delete it, or choose another folder."
            )
        try:
            self._set_state(net, tensors, document)
        except Exception as error:
            raise UntrustedModelError(
                f"{self.folder}: the checkpoint does not fit this training "
                f"({type(error).__name__}: {' '.join(str(error).split())}). Choose another folder "
                "to start a new training."
            ) from error
        self.epochs_saved = len(net.history)

    def _set_state(
        self, net: Any, tensors: dict[str, torch.Tensor], document: dict[str, Any]
    ) -> None:
        groups: dict[str, dict] = {}
        for path, tensor in tensors.items():
            group, name = path.split("/")
            groups.setdefault(group, {})[name] = tensor
        step, history = document["step"], document["history"]
        if type(step) is not int or step < 0:
            raise ValueError(f"the step is {step!r}")
        net.module_.load_state_dict(groups["module"])
        self._restore_optimizer(net.optimizer_, groups)
        if self.best is not None:
            self.best.weights = groups.get("best", {})
        if self.average is not None:
            self.average.weights = groups.get("average", {})
        torch.set_rng_state(groups["random"]["cpu"])
        if torch.device(net.device).type == "cuda" and "cuda" in groups["random"]:
            torch.cuda.set_rng_state(groups["random"]["cuda"], net.device)
        net.steps_done_ = step
        net.iterator_train__sampler.n_drawn = net.steps_done_ * net.batch_size
        if document["stopped_by"] in ("patience", *dict(net.callbacks_)):
            net.stopped_by_ = document["stopped_by"]
        net.history_ = History({**epoch, "batches": []} for epoch in history)

    def _trained(self, net: Any) -> dict[str, torch.Tensor]:
        return net.module_.state_dict() if self.average is None else self.average.trained(net)

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
