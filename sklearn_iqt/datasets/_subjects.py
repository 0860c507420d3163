"""Subjects that differ in anatomy and intensity, made from one template."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from nibabel.nifti1 import Nifti1Image
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation
from sklearn.utils import Bunch, check_random_state
from tqdm.auto import tqdm

from sklearn_iqt.datasets._icbm152 import load_icbm152
from sklearn_iqt.preprocessing import upsample

__all__ = ["make_subjects"]

# Smooth random fields are drawn on a grid this many times coarser, and interpolated.
_STEP = 4
# Two scales of anatomy: (smoothness in mm, root mean square of the displacement in mm).
_LOBES, _GYRI = (14.0, 2.5), (5.0, 0.7)
# The warp does not compress tissue to less than this fraction of its volume.
_MIN_JACOBIAN = 0.3
# A single brain has sharper tissue borders than an average of 152 brains.
_SHARPNESS = 3


def make_subjects(
    n_subjects: int = 4,
    *,
    shape: Sequence[int] = (160, 192, 160),
    random_state: Any = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> Bunch:
    """Make T1-weighted brains of several subjects by warping the ICBM152 template at random.

    Each subject has its own smooth deformation of a few mm, size, pose, tissue contrast, bias
    field and texture. The subjects replace a real cohort in examples, because a real cohort cannot
    be distributed with the package. A model that is trained on them has seen only one anatomy and
    must not be used for patients.

    Parameters
    ----------
    n_subjects : int, default=4
        Number of subjects, at least 1.
    shape : sequence of 3 ints, default=(160, 192, 160)
        Voxels of 1 mm along each axis, around the centre of the brain. The default shape holds the
        whole brain.
    random_state : int, RandomState instance or None, default=None
        Determines the subjects. Subject number n depends only on the seed and on n, not on
        ``n_subjects``.
    n_jobs : int, default=None
        Number of threads, which does not change the result.
    verbose : int, default=0
        Whether to show progress.

    Returns
    -------
    sklearn.utils.Bunch
        ``images``, a list of Nifti1Image of the given shape, float32, skull stripped, in arbitrary
        units of a few hundred; ``tissues``, a list of float32 arrays of shape (3, i, j, k) with
        CSF, GM and WM, which sum to 1 inside the brain and to 0 outside; ``affine`` of shape
        (4, 4); and ``description``.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    ImportError
        If nilearn is not installed.

    Notes
    -----
    The displacement is Gaussian noise, smoothed at the scales of lobes (14 mm) and of gyri (5 mm),
    plus a rotation and a change of size. It is reduced if necessary, so that the deformation does
    not fold: its Jacobian stays above 0.3. WM is 1.35 to 1.55 times as bright as GM, as measured in
    T1-weighted scans at 1.5 and 3 T.

    Examples
    --------
    >>> from sklearn_iqt.datasets import make_subjects
    >>> subjects = make_subjects(2, shape=(32, 32, 32), random_state=0)
    >>> subjects.images[0].shape, subjects.tissues[0].shape
    ((32, 32, 32), (3, 32, 32, 32))
    """
    sizes = np.asarray(shape)
    if sizes.shape != (3,) or sizes.dtype.kind not in "iu" or (sizes < 8).any():
        raise ValueError(
            f"make_subjects: shape must be three integers of at least 8 voxels, got {shape!r}."
        )
    if not isinstance(n_subjects, (int, np.integer)) or n_subjects < 1:
        raise ValueError(
            f"make_subjects: n_subjects must be a positive integer, got {n_subjects!r}."
        )
    template = load_icbm152()
    occupied = np.argwhere(np.asarray(template.image.dataobj))
    origin = (occupied.min(axis=0) + occupied.max(axis=0) + 1 - sizes) // 2
    affine = template.affine.copy()
    affine[:3, 3] = (template.affine @ [*origin, 1])[:3]
    atlas = _make_atlas(template)
    seeds = check_random_state(random_state).randint(np.iinfo(np.int32).max, size=n_subjects)
    results = Parallel(n_jobs, require="sharedmem", return_as="generator")(
        delayed(_make_subject)(atlas, tuple(sizes.tolist()), origin, np.random.RandomState(seed))
        for seed in seeds
    )
    made = list(tqdm(results, desc="make_subjects", total=n_subjects, disable=not verbose))
    images = [Nifti1Image(volume, affine) for volume, _ in made]
    for image in images:
        image.header.set_xyzt_units("mm")
    return Bunch(
        images=images,
        tissues=[tissues for _, tissues in made],
        affine=affine,
        description=f"Subjects warped at random from one template.\n\n{template.description}",
    )


def _make_atlas(template: Bunch) -> list[NDArray]:
    """Return the detail of the template as splines, followed by its tissue maps."""
    volume = np.asarray(template.image.dataobj)
    # The detail is the ratio of the volume to a model of constant tissues.
    means = [volume[tissue > 0.9].mean() for tissue in template.tissues]
    model = np.tensordot(means, template.tissues, axes=1)
    detail = np.where(volume > 0, volume / np.maximum(model, 1e-3), 1).astype(np.float32)
    return [ndimage.spline_filter(np.clip(detail, 0.6, 1.4), output=np.float32), *template.tissues]


def _make_subject(
    atlas: list[NDArray], shape: tuple[int, ...], origin: NDArray, rng: np.random.RandomState
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the volume and the tissue maps of one subject."""
    coordinates = _random_warp(shape, rng)
    coordinates += origin.astype(np.float32)[:, None, None, None]
    detail = ndimage.map_coordinates(
        atlas[0], coordinates, order=3, prefilter=False, mode="nearest"
    )
    tissues = np.stack([ndimage.map_coordinates(t, coordinates, order=1) for t in atlas[1:]])
    brain = tissues.sum(axis=0) > 0.5
    tissues = np.where(brain, tissues, 0) ** _SHARPNESS
    tissues /= np.where(brain, tissues.sum(axis=0), 1)

    white = rng.uniform(300, 700)
    grey = white / rng.uniform(1.35, 1.55)
    fluid = grey * rng.uniform(0.30, 0.45)
    texture = ndimage.gaussian_filter(rng.standard_normal(shape).astype(np.float32), 0.7)
    texture *= 0.015 / texture.std()
    bias = _random_field(shape, 40.0, 0.04, rng)
    intensities = np.array([fluid, grey, white], dtype=np.float32)
    volume = np.tensordot(intensities, tissues, axes=1) * detail * np.exp(bias + texture)
    return volume.astype(np.float32), tissues.astype(np.float32)


def _random_warp(shape: tuple[int, ...], rng: np.random.RandomState) -> NDArray[np.float32]:
    """Return the position in the crop of the atlas that each voxel of a subject comes from."""
    displacement = np.stack(
        [sum(_random_field(shape, *scale, rng) for scale in (_LOBES, _GYRI)) for _ in range(3)]
    )
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")).astype(np.float32)
    # Reduce the displacement until it does not fold, which is rarely needed.
    while _jacobian(displacement).min() < _MIN_JACOBIAN:
        displacement *= 0.8
    pose = Rotation.from_rotvec(rng.normal(0, math.radians(2), 3)).as_matrix()
    pose = pose @ np.diag(rng.uniform(0.97, 1.05, 3))
    center = (np.array(shape, dtype=np.float32) - 1)[:, None, None, None] / 2
    warped = np.tensordot(pose.astype(np.float32), grid + displacement - center, axes=1)
    return (warped + center).astype(np.float32, copy=False)


def _jacobian(displacement: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the determinant of the derivative of identity plus displacement."""
    columns = [np.gradient(displacement, axis=axis + 1) for axis in range(3)]
    for axis, column in enumerate(columns):
        column[axis] += 1
    a, b, c = columns
    return np.einsum("i...,i...->...", a, np.cross(b, c, axis=0))


def _random_field(
    shape: tuple[int, ...], smoothness: float, rms: float, rng: np.random.RandomState
) -> NDArray[np.float32]:
    """Return Gaussian noise with a smoothness in voxels and a root mean square."""
    coarse = [-(-n // _STEP) for n in shape]
    sigma = smoothness / _STEP
    # Noise is drawn beyond the borders as well, so that voxels there have the same statistics.
    margin = math.ceil(2 * sigma)
    noise = rng.standard_normal([n + 2 * margin for n in coarse]).astype(np.float32)
    field = ndimage.gaussian_filter(noise, sigma)
    # Divide by the expected amplitude of smoothed white noise, not by the amplitude of the sample,
    # which would make small fields too strong.
    field *= rms * (2 * math.sqrt(math.pi) * sigma) ** 1.5
    inner = tuple(slice(margin, margin + n) for n in coarse)
    fine = upsample(field[inner], _STEP)
    return fine[tuple(slice(n) for n in shape)]
