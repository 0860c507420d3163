"""Choose a model that comes with the package for a scan."""

from __future__ import annotations

import math
from typing import Any, NamedTuple


class Choice(NamedTuple):
    """A model for a scan."""

    name: str
    model: Any
    # What the model is for.
    reason: str


def choose_pretrained(scan: Any, mask: Any = None) -> Choice:
    """Return the model whose training scans are closest to a scan.

    The scan and its mask are collections of one volume.
    """
    from sklearn_iqt.checks import check_scan
    from sklearn_iqt.persistence import list_pretrained, load_pretrained

    cards = list_pretrained()
    if not cards:
        raise ValueError(
            "--model is needed, because this version of the package comes without models"
        )
    models = {name: load_pretrained(name) for name in cards}
    name = next(iter(cards))
    if len(models) > 1:
        checks = {name: check_scan(scan, model, mask=mask) for name, model in models.items()}
        name = min(checks, key=lambda name: _rank(checks[name]))
    intended = cards[name].intended_use
    return Choice(name, models[name], f"it is for {intended}" if intended else "it is the only one")


def _rank(check: Any) -> tuple[bool, bool, float]:
    """Return a key that is smaller for a better check. An unknown distance is NaN."""
    return check.verdict == "refuse", math.isnan(check.distance), check.distance


def without_outside(scan: Any, mask: Any) -> Any:
    """Return a scan that is 0 outside of its mask, which must be on the same grid."""
    from sklearn_iqt.io import Cohort, VolumeCollection

    pair = Cohort(scan, mask=mask, caller="scan").read(0)
    image = scan.as_image(0, pair.low * pair.mask)
    return VolumeCollection([image], name=scan.name, caller="scan", single=True)
