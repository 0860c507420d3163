"""The messages and the progress bar of a training."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

from tqdm.auto import tqdm

from sklearn_iqt.deep._net import NetCallback

__all__ = ["Progress", "say"]

# A training that takes more minutes than this says so, after this many steps or seconds.
LONG_MINUTES = 10
N_TIMED_STEPS, TIMED_SECONDS = 5, 30

logger = logging.getLogger("sklearn_iqt.deep")


def say(message: str, *, verbose: Any) -> None:
    """Log a message, and show it if the estimator is verbose.

    Parameters
    ----------
    message : str
        What to say, beginning with the name of the estimator.
    verbose : int or bool
        The parameter of the estimator.
    """
    logger.info(message)
    if verbose:
        tqdm.write(message, file=sys.stderr)


class Progress(NetCallback):
    """Show a bar over the steps, with the training loss and the validation NRMSE.

    After the first steps of a long training, it says how long the rest takes and what would shorten
    it.

    Parameters
    ----------
    title : str
        What is trained.
    """

    def __init__(self, title: str) -> None:
        self.title = title

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Open the bar."""
        self.first, self.start, self.has_said = net.steps_done_, time.monotonic(), False
        self.bar = tqdm(total=net.n_steps, initial=self.first, desc=self.title, unit="step")

    def on_batch_end(self, net: Any, training: bool = False, **kwargs: Any) -> None:
        """Move the bar."""
        if not training:
            return
        self.bar.update()
        n_steps, seconds = self.bar.n - self.first, time.monotonic() - self.start
        if not self.has_said and (n_steps == N_TIMED_STEPS or seconds > TIMED_SECONDS):
            self.has_said = True
            self._say_how_long(seconds / n_steps, net.n_steps - self.bar.n, net.device)

    def _say_how_long(self, seconds: float, n_left: int, device: str) -> None:
        minutes = seconds * n_left / 60
        if minutes < LONG_MINUTES:
            return
        shown = f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.0f} hours"
        self.bar.write(
            f"{self.title}: {n_left} more steps of {seconds:.2g} s each take about {shown} on "
            f"{device}. Fewer max_steps, a smaller net or a GPU shorten that; with checkpoint the "
            "training can be stopped and goes on later.",
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
