"""Simulated sets: distributions of SNR, and families of shifts that no setting was chosen on.

``SETS`` has all sets by name. Those that are named like a distribution of SNR change contrast and
noise. Settings of the package were chosen while these sets were in use. ``FAMILIES`` has the names
of the other shifts, each in two severities. They were fixed before any method saw them. Do not
choose a setting on them, and do not change them: a new idea is a new family.

Each set of a family takes the pairs of SNR and the noise of another set, which its field
``paired_with`` names, so that the difference between the two sets is the shift alone.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from sklearn_iqt.simulation import (
    SNR_PRESETS,
    GaussianSNR,
    LowFieldSimulator,
    degrade,
    insert_lesions,
    tissue_maps_from_labels,
)

__all__ = ["FAMILIES", "SETS", "SimulatedPair", "SimulatedSet", "seed_of", "simulate_set"]

SCALE = (1, 1, 4)
# Lesions of a subject: 2 to 12 mm wide, 10 to 40 % brighter or darker than white matter.
LESIONS = {"n_lesions": 4, "diameter_mm": (2.0, 12.0), "contrast": (0.1, 0.4)}
# A change of the signal before the noise: (low volume, low tissue maps, rng) to the changed volume
# and the numbers that were drawn.
Signal = Callable[[NDArray, NDArray, np.random.RandomState], tuple[NDArray, dict[str, Any]]]


@dataclass(frozen=True, eq=False)
class SimulatedSet:
    """One set, with the simulation of its low volumes.

    Parameters
    ----------
    name : str
        Name of the set.
    snr : str or SNRDistribution
        Distribution of the SNR of white and grey matter, or its name.
    paired_with : str
        Name of the set with the same pairs of SNR and the same noise; by default none.
    profile : ndarray of odd length, or None
        Slice profile, one weight for each high voxel around the centre of a slice. By default it
        is the Gaussian of the training scans, with a width of 3 voxels.
    signal : callable or None
        Change of the signal, before the noise.
    noise : {"gaussian", "rician"}
        Kind of noise.
    gain : tuple of 2 floats
        Smallest and largest factor by which a scan is brighter, or darker, than the truth.
    axis : {"i", "j", "k"}
        Axis of the given volume with the thick slices. Volumes are transposed so that it comes
        last.
    lesions : bool
        Whether lesions are inserted into the truth. A subject has the same lesions in all sets and
        draws.
    """

    name: str
    snr: Any = "ind1"
    paired_with: str = ""
    profile: NDArray | None = None
    signal: Signal | None = None
    noise: str = "gaussian"
    gain: tuple[float, float] = (1.0, 1.0)
    axis: str = "k"
    lesions: bool = False

    @property
    def truth(self) -> str:
        """Name of the truth, which sets with the same axis and the same lesions share."""
        return f"{self.axis}_lesions" if self.lesions else self.axis


class SimulatedPair(NamedTuple):
    """A low volume, what is known on the grid of its truth, and the numbers that were drawn.

    ``lesions`` is None for sets without lesions.
    """

    low: nibabel.Nifti1Image
    high: nibabel.Nifti1Image
    labels: nibabel.Nifti1Image
    lesions: nibabel.Nifti1Image | None
    drawn: dict[str, Any]


def seed_of(seed: int, *names: str | int) -> int:
    """Return a different seed for each sequence of names.

    Parameters
    ----------
    seed : int
        Seed of the experiment.
    *names : str or int
        For instance the cohort, the subject, the set and the number of the draw.

    Returns
    -------
    int
        Seed in [0, 2³²).
    """
    # The length of each name is part of the text, so that "a", "bc" differs from "ab", "c".
    text = "".join(f"{len(str(name))}:{name}" for name in names)
    return int(np.random.SeedSequence([seed, zlib.crc32(text.encode())]).generate_state(1)[0])


def simulate_set(
    simulated: str | SimulatedSet,
    image: nibabel.Nifti1Image,
    labels: NDArray[np.integer],
    *,
    cohort: str,
    subject: str,
    draw: int = 0,
    seed: int = 0,
    **simulator: Any,
) -> SimulatedPair:
    """Simulate one subject of a set.

    Parameters
    ----------
    simulated : str or SimulatedSet
        The set, or its name in ``SETS``.
    image : Nifti1Image
        The high volume, skull stripped.
    labels : ndarray of int, shape of the image
        Label map with 1 for CSF, 2 for GM and 3 for WM.
    cohort, subject : str
        Their names.
    draw : int, default=0
        Number of the draw, for several draws of one subject.
    seed : int, default=0
        Seed of the experiment. The result depends only on the seed, the names, the draw and the
        volume.
    **simulator : dict
        Other parameters of :class:`LowFieldSimulator`.

    Returns
    -------
    SimulatedPair
        The low volume, the high volume on whole slices and without everything outside the tissues,
        its labels and lesions, and the numbers that were drawn.
    """
    if isinstance(simulated, str):
        simulated = SETS[simulated]
    thick = "ijk".index(simulated.axis)
    order = [n for n in range(3) if n != thick] + [thick]
    lesions = None
    if simulated.lesions:
        inserted = insert_lesions(
            image, labels, **LESIONS, random_state=seed_of(seed, cohort, subject, "lesions")
        )
        image, lesions = inserted.volume, np.asanyarray(inserted.lesions.dataobj)
    labels = np.transpose(labels, order)
    volume = np.transpose(np.asanyarray(image.dataobj), order)
    affine = image.affine[:, [*order, 3]]
    maps = tissue_maps_from_labels(
        labels, **{key: simulator.pop(key) for key in ("border_width",) if key in simulator}
    )
    noise_name = simulated.paired_with or simulated.name
    base = LowFieldSimulator(
        simulated.snr,
        noise=simulated.noise,
        random_state=seed_of(seed, cohort, subject, noise_name, draw),
        **simulator,
    )
    pairs = base.simulate([nibabel.Nifti1Image(volume, affine)], [maps])
    high = pairs.high[0]
    if simulated.profile is not None:
        # The profile is applied first, and the simulator only samples.
        weights = np.asarray(simulated.profile, dtype=np.float32)
        base.set_params(thickness=1, gap=SCALE[2] - 1)
        volume = correlate1d(volume.astype(np.float32), weights, axis=2, mode="nearest")
        maps = np.clip(correlate1d(maps, weights, axis=3, mode="nearest"), 0, 1)
        pairs = base.simulate([nibabel.Nifti1Image(volume, affine)], [maps])
    low = pairs.low[0].get_fdata(dtype=np.float32)
    rng = np.random.RandomState(seed_of(seed, cohort, subject, simulated.name, draw, "shift"))
    drawn = {
        "snr_wm_gm": pairs.snr[0].round(3).tolist(),
        "mahalanobis": round(float(pairs.mahalanobis[0]), 3),
    }
    if simulated.signal is not None:
        silent = LowFieldSimulator(**{**base.get_params(), "noise": None})
        clean = silent.simulate([nibabel.Nifti1Image(volume, affine)], [maps]).low[0]
        clean = clean.get_fdata(dtype=np.float32)
        low_maps = degrade(maps, scale=SCALE, thickness=base.thickness, alignment=base.alignment)
        changed, numbers = simulated.signal(clean, low_maps, rng)
        low = changed + (low - clean)
        drawn |= numbers
    if simulated.gain != (1.0, 1.0):
        factor = _draw_factor(rng, *simulated.gain)
        low = low * factor
        drawn["gain"] = factor

    def on_truth(maps: NDArray) -> nibabel.Nifti1Image:
        whole = maps[tuple(map(slice, high.shape))]  # the simulator keeps whole slices
        return nibabel.Nifti1Image(whole.astype(np.uint8), high.affine)

    return SimulatedPair(
        nibabel.Nifti1Image(low, pairs.low[0].affine),
        high,
        on_truth(labels),
        None if lesions is None else on_truth(np.transpose(lesions, order)),
        drawn,
    )


def _draw_factor(rng: np.random.RandomState, smallest: float, largest: float) -> float:
    """Return a factor between the two on a logarithmic scale, or with equal chance its inverse."""
    size = math.exp(rng.uniform(math.log(smallest), math.log(largest)))
    return float(size if rng.uniform() < 0.5 else 1 / size)


def _gamma(low, maps, rng, *, smallest, largest):
    """Raise intensities to a power, relative to the brightest ones."""
    gamma = _draw_factor(rng, smallest, largest)
    unit = np.percentile(low[maps.sum(axis=0) > 0.5], 99.5)
    return (unit * np.maximum(low / unit, 0) ** gamma).astype(np.float32), {"gamma": gamma}


def _bias_field(low, maps, rng, *, deviation):
    """Multiply by a smooth field, whose logarithm has this standard deviation in the brain."""
    waves = [
        [np.cos(np.pi * n * (np.arange(size) + 0.5) / size) for n in range(3)] for size in low.shape
    ]
    weights = rng.normal(size=(3, 3, 3))
    field = np.einsum("abc,ai,bj,ck->ijk", weights, *map(np.array, waves))
    brain = maps.sum(axis=0) > 0.5
    field = (field - field[brain].mean()) * (deviation / field[brain].std())
    return (low * np.exp(field)).astype(np.float32), {"bias_weights": weights.round(4).tolist()}


def _tissue_gains(low, maps, rng, *, largest):
    """Multiply fluid, grey matter and white matter each by a factor."""
    gains = np.exp(rng.uniform(-math.log(largest), math.log(largest), size=3))
    other = 1 - maps.sum(axis=0)
    changed = low * (np.tensordot(gains, maps, axes=1) + other)
    return changed.astype(np.float32), {"gains_csf_gm_wm": gains.round(4).tolist()}


def _gaussian_profile(width: float) -> NDArray:
    """Return a Gaussian slice profile with a full width at half maximum in high voxels."""
    offset = np.arange(-12, 13)
    return _unit_sum(np.exp(-4 * math.log(2) * (offset / width) ** 2))


def _unit_sum(weights: NDArray) -> NDArray:
    return weights / weights.sum()


def _shifts(family: str, mild: dict[str, Any], strong: dict[str, Any]) -> list[SimulatedSet]:
    return [
        SimulatedSet(f"{family}_{severity}", **{"paired_with": "ind1", **fields})
        for severity, fields in (("mild", mild), ("strong", strong))
    ]


def _scaled_snr(divisor: float) -> GaussianSNR:
    """Return the training distribution with both SNR divided by a number."""
    training = SNR_PRESETS["t1w_036t"]
    covariance = np.asarray(training.covariance) / divisor**2
    mean = tuple(value / divisor for value in training.mean)
    return GaussianSNR(mean, tuple(map(tuple, covariance.tolist())))


_SHIFTS = {
    # Power of the intensities: 1.15 to 1.3, or 1.5 to 1.8, or one over it.
    "gamma": _shifts(
        "gamma",
        {"signal": partial(_gamma, smallest=1.15, largest=1.3)},
        {"signal": partial(_gamma, smallest=1.5, largest=1.8)},
    ),
    # Smooth field of the coil: a tenth or three tenths of the intensity.
    "bias_field": _shifts(
        "bias_field",
        {"signal": partial(_bias_field, deviation=0.1)},
        {"signal": partial(_bias_field, deviation=0.3)},
    ),
    # A rectangle as wide as the Gaussian; slices that are encoded in k-space, whose profile rings.
    "slice_profile": _shifts(
        "slice_profile",
        {"profile": np.full(3, 1 / 3)},
        {"profile": _unit_sum(np.sinc(np.arange(-12, 13) / 4))},
    ),
    # Slices without a gap; slices that overlap by half.
    "slice_thickness": _shifts(
        "slice_thickness",
        {"profile": _gaussian_profile(4.0)},
        {"profile": _gaussian_profile(6.0)},
    ),
    # Magnitude images, with both SNR divided by 3 as in the set noisy, and by 10.
    "rician": _shifts(
        "rician",
        {"noise": "rician", "snr": "noisy", "paired_with": "noisy"},
        {"noise": "rician", "snr": _scaled_snr(10), "paired_with": "noisy"},
    ),
    # Another unit of intensity.
    "gain": _shifts("gain", {"gain": (1.5, 3.0)}, {"gain": (100.0, 10_000.0)}),
    # Independent gains of the three tissues, grey matter included: up to 1.15 and up to 1.5.
    "tissue_gains": _shifts(
        "tissue_gains",
        {"signal": partial(_tissue_gains, largest=1.15)},
        {"signal": partial(_tissue_gains, largest=1.5)},
    ),
    # Thick slices along another axis. These two do not differ in severity but in the axis.
    "thick_axis": [
        SimulatedSet(f"thick_axis_{axis}", paired_with="ind1", axis=axis) for axis in "ij"
    ],
}

#: Names of the sets of each family of shifts that no setting was chosen on.
FAMILIES = {family: tuple(s.name for s in sets) for family, sets in _SHIFTS.items()}

# The same pairs of SNR and the same noise as in these sets, but brains with lesions.
_LESIONS = [
    SimulatedSet(f"{name}_lesions", snr=name, paired_with=name, lesions=True)
    for name in ("ind1", "ulf_measured")
]

#: All sets by name: one for each distribution of SNR of the package, the shifts, and lesions.
SETS = {
    **{name: SimulatedSet(name, snr=name) for name in SNR_PRESETS},
    **{simulated.name: simulated for sets in _SHIFTS.values() for simulated in sets},
    **{simulated.name: simulated for simulated in _LESIONS},
}
