"""The steps from two scans to a pair, one after the other."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.metadata import version
from numbers import Real
from typing import Any

import nibabel
import numpy as np
from nibabel.affines import apply_affine, from_matvec, voxel_sizes
from numpy.typing import NDArray

from sklearn_iqt._version import __version__
from sklearn_iqt.exceptions import GeometryMismatchError
from sklearn_iqt.io import compare_grids, scaled_affine
from sklearn_iqt.io._carry import carried_image
from sklearn_iqt.io._masks import mask_foreground
from sklearn_iqt.prepare._bias import estimate_bias_field
from sklearn_iqt.prepare._brain import extract_brain, load_deepbet
from sklearn_iqt.prepare._itk import load_itk
from sklearn_iqt.prepare._masks import (
    block_mean,
    crop_box,
    overlap,
    to_blocks,
    zero_foreground,
)
from sklearn_iqt.prepare._plan import GridPlan
from sklearn_iqt.prepare._registration import register
from sklearn_iqt.prepare._scan import Scans
from sklearn_iqt.preprocessing import foreground_mask, resample_to, resample_to_voxel_size
from sklearn_iqt.preprocessing._background import has_zero_background

__all__ = ["Steps", "check_masks", "make_pair", "parameters_of"]

# With less in common than this, two scans are not of one place.
_LEAST_OVERLAP = 0.5
# Voxel sizes that differ by less are the same, and such a scan is not interpolated.
_SAME_SIZE = 1e-3
# In the order in which they are done; the record says None for what was left out.
_STEPS = (
    "reorientation",
    "registration",
    "brain_extraction",
    "low_resampling",
    "high_resampling",
    "background",
    "crop",
    "bias_correction",
)


@dataclass(frozen=True)
class Steps:
    """Steps to do; :func:`prepare_pair` describes the parameters."""

    register: bool
    extract_brain: str | None
    correct_bias: bool
    crop: bool
    margin_mm: float
    order: int
    nan: str

    def check(self, caller: str) -> None:
        """Refuse wrong parameters and missing packages before any work."""
        if self.extract_brain not in (None, "low", "high"):
            raise ValueError(
                f"{caller}: extract_brain must be None, 'low' or 'high', got "
                f"{self.extract_brain!r}."
            )
        if not (isinstance(self.margin_mm, Real) and 0 <= self.margin_mm < np.inf):
            raise ValueError(
                f"{caller}: margin_mm must be a length of at least 0 mm, got {self.margin_mm!r}."
            )
        if isinstance(self.order, bool) or self.order not in range(6):
            raise ValueError(f"{caller}: order must be an integer from 0 to 5, got {self.order!r}.")
        if self.register or self.correct_bias:
            load_itk(caller)
        if self.extract_brain is not None:
            load_deepbet(caller)


@dataclass
class _Pair:
    """The voxels of a pair on their two grids, which each step replaces."""

    low: NDArray
    high: NDArray
    affine: NDArray[np.float64]
    scale: tuple[int, int, int]

    @property
    def high_affine(self) -> NDArray[np.float64]:
        return scaled_affine(self.affine, self.scale)


def check_masks(masks: Scans | None, lows: Scans, highs: Scans, steps: Steps, caller: str) -> None:
    """Refuse masks that do not belong to the scans, from headers.

    Parameters
    ----------
    masks : Scans or None
        Brains that the user passes.
    lows, highs : Scans
        The cohort.
    steps : Steps
        Steps to do.
    caller : str
        Start of error messages.

    Raises
    ------
    GeometryMismatchError
        If a mask is neither on the grid of its low scan nor on that of its high scan.
    ValueError
        If the numbers differ, or the brain is to be extracted as well.
    """
    if masks is None:
        return
    if steps.extract_brain is not None:
        raise ValueError(f"{caller}: pass either mask or extract_brain, not both.")
    if len(masks) != len(lows):
        raise ValueError(
            f"{caller}: low holds {len(lows)} scans but mask holds {len(masks)}. Pass one of each "
            "for each person, in the same order."
        )
    for n in range(len(masks)):
        _scan_of_mask(masks, lows, highs, n, caller)


def _scan_of_mask(masks: Scans, lows: Scans, highs: Scans, n: int, caller: str) -> str:
    """Return "low" or "high", the scan with the grid of a mask."""
    mask = masks.grid(n)
    for name, scans in (("high", highs), ("low", lows)):
        if compare_grids(scans.grid(n), mask) is None:
            return name
    raise GeometryMismatchError(
        f"{caller}: {masks.name_of(n)} is on the grid of neither {lows.name_of(n)} nor "
        f"{highs.name_of(n)}. Resample it onto one of them, with the nearest neighbour."
    )


def make_pair(
    lows: Scans,
    highs: Scans,
    masks: Scans | None,
    n: int,
    plan: GridPlan,
    steps: Steps,
    caller: str,
) -> tuple[
    nibabel.Nifti1Image,
    nibabel.Nifti1Image,
    nibabel.Nifti1Image,
    tuple[int, int, int],
    dict[str, Any],
]:
    """Make one pair of a cohort.

    Parameters
    ----------
    lows, highs : Scans
        The cohort.
    masks : Scans or None
        Brains that the user passes, see :func:`check_masks`.
    n : int
        Position of the pair.
    plan : GridPlan
        Grids of the cohort.
    steps : Steps
        Steps to do and to leave out.
    caller : str
        Class or function that error messages name.

    Returns
    -------
    tuple
        The fields of a PreparedPair: low, high, mask, scale and record.
    """
    caller = f"{caller}: {lows.name_of(n)} and {highs.name_of(n)}"
    low, high = plan.reorient(lows.read(n)), highs.read(n)
    stripped = _find_zero_backgrounds(low, high, caller)
    done: dict[str, Any] = dict.fromkeys(_STEPS)
    done["reorientation"] = {"orientation": plan.orientation, "thick_axis": plan.thick_axis}

    place = high.affine
    if steps.register:
        motion = register(low, high, caller)
        place = motion.matrix @ place
        done["registration"] = motion.to_record()
    brain, source = None, steps.extract_brain
    if source is not None:
        # The brain is looked for in the voxels as they were measured.
        scan, affine = (low, low.affine) if source == "low" else (high, place)
        brain = extract_brain(scan, caller), affine
    elif masks is not None:
        source, mask_image = _scan_of_mask(masks, lows, highs, n, caller), masks.read(n)
        inside = mask_foreground(np.asarray(mask_image.dataobj), f"{caller}: {masks.name_of(n)}")
        brain = inside, mask_image.affine if source == "low" else place
    if brain is not None:
        millilitres = brain[0].sum() * np.prod(voxel_sizes(brain[1])) / 1000
        done["brain_extraction"] = {"scan": source, "volume_ml": round(float(millilitres), 1)}

    flat, done["low_resampling"] = _resample_low(low, plan, steps.order)
    pair, covered = _resample_high(flat, high, place, plan.scale, steps.order)
    done["high_resampling"] = {
        "order": steps.order,
        **_check_overlap(pair, covered, steps, caller),
    }
    mask = _clear_background(pair, covered, stripped, brain)
    if not mask.any():
        raise ValueError(f"{caller}: the two scans have no foreground in common.")
    done["background"] = {"zero_in": stripped, "mask_percent": _percent(mask)}
    if steps.crop:
        mask, done["crop"] = _crop(pair, mask, steps.margin_mm)
    if steps.correct_bias:
        done["bias_correction"] = _correct_bias(pair, mask, caller)

    record = {
        "software": _versions(steps),
        "low": lows.describe(n),
        "high": highs.describe(n),
        "mask": None if masks is None else masks.describe(n),
        "parameters": parameters_of(plan, steps),
        "steps": done,
        "result": {
            "low_shape": list(pair.low.shape),
            "high_shape": list(pair.high.shape),
            "low_voxel_size_mm": voxel_sizes(pair.affine).round(6).tolist(),
            "high_voxel_size_mm": voxel_sizes(pair.high_affine).round(6).tolist(),
            "mask_voxels": int(mask.sum()),
        },
    }
    # A moved scan has left the space that its qform names.
    moved = {"replaced": steps.register}
    return (
        carried_image(pair.low, low.header, low.affine, pair.affine),
        carried_image(pair.high, high.header, high.affine, pair.high_affine, **moved),
        carried_image(mask.astype(np.uint8), low.header, low.affine, pair.affine),
        plan.scale,
        record,
    )


def parameters_of(plan: GridPlan, steps: Steps) -> dict[str, Any]:
    """Return the grids and steps of a cohort, as JSON holds them."""
    return {
        "orientation": plan.orientation,
        "thick_axis": plan.thick_axis,
        "scale": list(plan.scale),
        "voxel_size_mm": [round(size, 6) for size in plan.voxel_size],
        **asdict(steps),
        "margin_mm": float(steps.margin_mm),
    }


def _find_zero_backgrounds(
    low: nibabel.Nifti1Image, high: nibabel.Nifti1Image, caller: str
) -> list[str]:
    """Return which of the two scans are exactly 0 outside of the head or the brain."""
    found = []
    for name, scan in (("low", low), ("high", high)):
        voxels = np.asarray(scan.dataobj)
        if voxels.min() == voxels.max():
            raise ValueError(f"{caller}: all voxels of the {name} scan are {voxels.min():g}.")
        if has_zero_background(voxels):
            found.append(name)
    return found


def _resample_low(
    low: nibabel.Nifti1Image, plan: GridPlan, order: int
) -> tuple[nibabel.Nifti1Image, dict[str, Any] | None]:
    sizes, wanted = voxel_sizes(low.affine), plan.low_voxel_size(low.affine)
    if np.allclose(wanted, sizes, rtol=_SAME_SIZE, atol=0):
        return low, None
    result = resample_to_voxel_size(low, wanted.tolist(), order=order)
    return result, {"order": order, "voxel_size_mm": wanted.round(6).tolist()}


def _resample_high(
    low: nibabel.Nifti1Image,
    high: nibabel.Nifti1Image,
    place: NDArray[np.float64],
    scale: tuple[int, int, int],
    order: int,
) -> tuple[_Pair, NDArray[np.bool_]]:
    """Bring the high scan onto the scaled grid of the low one.

    Also return the low voxels that lie within the field of view of the high scan.
    """
    low_voxels = np.asarray(low.dataobj, dtype=np.float32)
    target = tuple(np.multiply(low.shape, scale).tolist()), scaled_affine(low.affine, scale)
    voxels = np.asarray(high.dataobj, dtype=np.float32)
    resampled = np.asarray(resample_to((voxels, place), target, order=order).dataobj)
    within = resample_to((np.ones(high.shape, np.float32), place), target, order=0)
    covered = block_mean(np.asarray(within.dataobj), scale) >= 0.5
    return _Pair(low_voxels, resampled, np.asarray(low.affine), scale), covered


def _check_overlap(
    pair: _Pair, covered: NDArray[np.bool_], steps: Steps, caller: str
) -> dict[str, float]:
    """Refuse scans of two places, and return how much they have in common, for the record."""
    coverage, agreement = overlap(pair.low, block_mean(pair.high, pair.scale), covered)
    advice = "Check that the two belong together"
    advice += "." if steps.register else ", or register them (register)."
    if coverage < _LEAST_OVERLAP:
        raise GeometryMismatchError(
            f"{caller}: the high scan covers {coverage:.0%} of the foreground of the low scan. "
            f"At least {_LEAST_OVERLAP:.0%} are needed. {advice}"
        )
    if agreement < _LEAST_OVERLAP:
        raise GeometryMismatchError(
            f"{caller}: {agreement:.0%} of the smaller foreground lies in the foreground of the "
            f"other scan. At least {_LEAST_OVERLAP:.0%} are needed. {advice}"
        )
    return {
        "low_not_covered_percent": _percent(~covered),
        "foreground_covered_percent": round(100 * coverage, 2),
        "foreground_shared_percent": round(100 * agreement, 2),
    }


def _clear_background(
    pair: _Pair,
    covered: NDArray[np.bool_],
    stripped: list[str],
    brain: tuple[NDArray[np.bool_], NDArray[np.float64]] | None,
) -> NDArray[np.bool_]:
    """Set the background of either scan to 0 in both, and return the mask of the foreground."""
    inside = to_blocks(covered, pair.scale)
    if "low" in stripped:
        inside &= to_blocks(zero_foreground(pair.low), pair.scale)
    if "high" in stripped:
        inside &= zero_foreground(pair.high)
    if brain is not None:
        voxels, affine = brain[0].astype(np.float32), brain[1]
        target = pair.high.shape, pair.high_affine
        parts = resample_to((voxels, affine), target, order=1, keep_range=False)
        inside &= np.asarray(parts.dataobj) >= 0.5
    kept = block_mean(inside, pair.scale) >= 0.5
    mask = kept
    if brain is None and not stripped:
        mask = kept & foreground_mask(pair.low)
    pair.low, pair.high = np.where(kept, pair.low, 0), np.where(inside, pair.high, 0)
    return mask


def _crop(
    pair: _Pair, mask: NDArray[np.bool_], margin_mm: float
) -> tuple[NDArray[np.bool_], dict[str, Any]]:
    """Cut a pair to the box around its mask, by whole low voxels; return the mask cut, too."""
    margin = np.ceil(margin_mm / voxel_sizes(pair.affine) - 1e-6).astype(int)
    box = crop_box(mask, margin.tolist())
    fine = tuple(slice(p.start * s, p.stop * s) for p, s in zip(box, pair.scale, strict=True))
    pair.low, pair.high = np.ascontiguousarray(pair.low[box]), np.ascontiguousarray(pair.high[fine])
    corner = apply_affine(pair.affine, [part.start for part in box])
    pair.affine = from_matvec(pair.affine[:3, :3], corner)
    return mask[box], {"box": [[part.start, part.stop] for part in box]}


def _correct_bias(pair: _Pair, mask: NDArray[np.bool_], caller: str) -> dict[str, list[float]]:
    """Divide both volumes by their gain, and return the range of the gains, for the record."""
    fine = to_blocks(mask, pair.scale)
    low = estimate_bias_field(pair.low, mask, pair.affine, f"{caller}: the low scan")
    high = estimate_bias_field(pair.high, fine, pair.high_affine, f"{caller}: the high scan")
    pair.low, pair.high = pair.low / low, pair.high / high
    return {"low_gain": _range(low[mask]), "high_gain": _range(high[fine])}


def _percent(mask: NDArray[np.bool_]) -> float:
    return round(100 * float(mask.mean()), 2)


def _range(gain: NDArray) -> list[float]:
    return [round(float(gain.min()), 4), round(float(gain.max()), 4)]


def _versions(steps: Steps) -> dict[str, str]:
    packages = ["nibabel", "numpy", "scipy"]
    packages += ["simpleitk"] if steps.register or steps.correct_bias else []
    packages += ["deepbet"] if steps.extract_brain is not None else []
    return {"sklearn-iqt": __version__, **{name: version(name) for name in packages}}
