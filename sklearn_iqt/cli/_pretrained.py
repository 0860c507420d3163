"""Choose a model that comes with the package for a scan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from sklearn_iqt.persistence import TrainingCard


class Choice(NamedTuple):
    """A model for a scan."""

    name: str
    model: Any
    # Why the model fits the scan.
    reason: str
    # Properties of the scan that differ from the training scans.
    doubts: list[str]


def choose_pretrained(scan: Any, mask: Any = None) -> Choice:
    """Return the model for a scan; refuse a scan that no model was trained for.

    The scan and its mask are collections of one volume. Of several models that fit, the one with
    the fewest doubts is chosen.
    """
    from sklearn_iqt.persistence import list_pretrained, load_pretrained

    cards = list_pretrained()
    if not cards:
        raise ValueError(
            "--model is needed, because this version of the package comes without models"
        )
    found = measure(scan, mask)
    choices, refusals = [], []
    for name, card in cards.items():
        try:
            doubts = find_doubts(found, card)
        except ValueError as refusal:
            refusals.append(f"not by {name}, because {refusal}")
            continue
        reason = f"it is for {card.intended_use}" if card.intended_use else "it is the only one"
        choices.append((len(doubts), name, reason, doubts))
    if not choices:
        raise ValueError(
            f"the scan cannot be enhanced by a model of the package: {'; '.join(refusals)}. Pass "
            "--model with a model that was trained on such scans"
        )
    _, name, reason, doubts = min(choices)
    return Choice(name, load_pretrained(name), reason, doubts)


class Measured(NamedTuple):
    """Properties of a scan that can be measured."""

    has_skull: bool
    # The contrast and the noise, or why they cannot be measured.
    quality: Any
    surface: float


def measure(scan: Any, mask: Any) -> Measured:
    """Measure the properties of a scan that decide whether a model fits."""
    from nibabel.affines import voxel_sizes

    from sklearn_iqt.preprocessing import foreground_mask, has_skull
    from sklearn_iqt.report._quality import estimate_quality, estimate_surface

    voxels, affine = scan.read(0)
    spacing = [1.0] * 3 if affine is None else voxel_sizes(affine).tolist()
    inside = None if mask is None else mask[0] > 0
    brain = foreground_mask(voxels) if inside is None else inside
    try:
        quality: Any = estimate_quality(voxels, brain, spacing, inside)
    except ValueError as error:
        quality = str(error)
    surface = estimate_surface(voxels, brain, spacing)
    return Measured(inside is None and has_skull(voxels), quality, surface)


def find_doubts(found: Measured, card: TrainingCard) -> list[str]:
    """Return how a scan differs from the training scans; raise ValueError if it cannot be used."""
    from sklearn_iqt.preprocessing._skull import SKULL
    from sklearn_iqt.report._shift import compare_with_training

    if found.has_skull:
        raise ValueError(f"the scan {SKULL} (extract the brain first, or pass --mask)")
    rows = compare_with_training(
        found.quality, found.surface, None, None, card, corrects_contrast=True
    )
    differing = [row for row in rows if row.differs]
    texts = [f"{row.name} is {row.value}, but {row.training} in training" for row in differing]
    if serious := [text for text, row in zip(texts, differing, strict=True) if row.is_serious]:
        raise ValueError(f"the scan has another contrast: {'; '.join(serious)}")
    if isinstance(found.quality, str):
        texts.append(f"its contrast and noise could not be measured: {found.quality}")
    return texts


def without_outside(scan: Any, mask: Any) -> Any:
    """Return a scan that is 0 outside of its mask, which must be on the same grid."""
    from sklearn_iqt.io import Cohort, VolumeCollection

    pair = Cohort(scan, mask=mask, caller="scan").read(0)
    image = scan.as_image(0, pair.low * pair.mask)
    return VolumeCollection([image], name=scan.name, caller="scan", single=True)
