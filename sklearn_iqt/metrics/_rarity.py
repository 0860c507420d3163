"""Bias and variance of estimates by how rare the true patches are."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import check_random_state

from sklearn_iqt._axes import per_axis
from sklearn_iqt.io import Cohort, as_volumes
from sklearn_iqt.metrics._matching import check_match, match_intensities

__all__ = ["bias_variance_by_rarity"]

_CALLER = "bias_variance_by_rarity"


def bias_variance_by_rarity(
    y_true: Any,
    draws: Any,
    training: Any,
    *,
    mask: Any = None,
    training_mask: Any = None,
    match: str = "none",
    patch_size: int | tuple[int, int, int] = 5,
    n_components: int = 16,
    n_patches: int = 20_000,
    n_bins: int = 10,
    random_state: Any = None,
) -> list[dict[str, Any]]:
    """Split the error of a method into bias and variance, for common and for rare patches.

    A method that regresses to the mean has a small error for what it has often seen, and pulls rare
    patches towards the mean of the training.

    Parameters
    ----------
    y_true : array of shape (i, j, k), image or path
        The truth of one subject.
    draws : array of shape (n, i, j, k) or sequence of volumes
        Estimates from two or more low scans of this truth that differ in their noise alone.
    training : array of shape (n, i, j, k) or sequence of volumes
        High volumes from which the method has learned, in the unit of the truth.
    mask : array of shape (i, j, k), image or path, default=None
        Only patches whose central voxel is above zero count.
    training_mask : same kind as training, default=None
        Only training patches whose central voxel is above zero count.
    match : {"none", "gain", "affine"}, default="none"
        Match the unit of each draw to the truth first, see :func:`nrmse`.
    patch_size : int or tuple of 3 ints, default=5
        Odd size of a patch in voxels.
    n_components : int, default=16
        Number of principal components of the training patches in which distances are measured.
    n_patches : int, default=20_000
        Largest number of patches of the truth, and of the training, that are drawn.
    n_bins : int, default=10
        Number of groups of equal size; by default deciles.
    random_state : int, RandomState instance or None, default=None
        Source of the patches.

    Returns
    -------
    list of dict
        A row for each group, from common to rare patches:

        - "bin", from 1, and "n_patches".
        - "distance", the mean distance to the nearest training patch.
        - "bias", the root mean square of the mean error over draws.
        - "sd", the root mean variance between draws.
        - "rmse" of a draw, whose square is the sum of both squares.
        - "slope" of the mean estimate on the truth, both minus the mean training patch. 1 is best,
          and below 1 patches are pulled towards the mean.

        All but the slope are intensities per voxel, divided by the largest true intensity inside
        the mask.

    Raises
    ------
    ValueError
        If there is one draw alone, a parameter is out of its range, or there are too few patches.
    GeometryMismatchError
        If a draw or a mask is not on the grid of its volume.

    See Also
    --------
    regression_slope : The same for the voxels of a tissue.

    Notes
    -----
    The bias is corrected for the noise that is left in the mean of n draws: their variance divided
    by n is subtracted from the mean squared error. The truth is taken as free of noise. If it is
    not, its noise adds to the bias, most of all for rare patches, because noise makes a patch look
    rare, and lowers the slope.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt.metrics import bias_variance_by_rarity
    >>> rng = np.random.default_rng(0)
    >>> truth, other = rng.random((2, 20, 20, 20))
    >>> draws = 0.5 * truth + 0.25 + 0.1 * rng.normal(size=(4, 20, 20, 20))
    >>> rows = bias_variance_by_rarity(truth, draws, [other], n_bins=2, random_state=0)
    >>> [round(row["slope"], 1) for row in rows], [round(row["sd"], 1) for row in rows]
    ([0.5, 0.5], [0.1, 0.1])
    """
    check_match(match, _CALLER)
    size = per_axis(patch_size, "patch_size", _CALLER)
    if not all(n % 2 for n in size):
        raise ValueError(f"{_CALLER}: patch_size must be odd, got {patch_size!r}.")
    for name, value in (("n_components", n_components), ("n_patches", n_patches)):
        _check_count(name, value, 1)
    _check_count("n_bins", n_bins, 1)
    truth, _, inside, _ = Cohort.of_one(
        y_true, mask=mask, caller=_CALLER, names=("y_true", "", "mask")
    ).read(0)
    estimates = as_volumes(draws, name="draws", caller=_CALLER)
    if len(estimates) < 2:
        raise ValueError(
            f"{_CALLER}: draws holds {len(estimates)} estimate, but a variance needs 2 or more."
        )
    cohort = Cohort(
        [y_true] * len(estimates),
        estimates,
        None if mask is None else [mask] * len(estimates),
        caller=_CALLER,
        names=("y_true", "draws", "mask"),
    )
    learned = Cohort(
        training, mask=training_mask, caller=_CALLER, names=("training", "", "training_mask")
    )
    rng = check_random_state(random_state)
    known = []
    share = max(1, n_patches // len(learned))
    for n in range(len(learned)):
        volume, _, foreground, _ = learned.read(n)
        centers = _centers(volume.shape, foreground, size, share, rng, f"training[{n}]")
        known.append(_cut(volume, centers, size))
    library = np.concatenate(known)
    centers = _centers(truth.shape, inside, size, n_patches, rng, "y_true")
    if len(centers) < n_bins or min(library.shape) < n_components:
        raise ValueError(
            f"{_CALLER}: there are {len(centers)} patches and {len(library)} training patches of "
            f"{library.shape[1]} voxels, which is too few for {n_bins} bins and {n_components} "
            "components. Pass larger masks, larger patches, or smaller numbers."
        )
    patches = _cut(truth, centers, size)
    pca = PCA(n_components, svd_solver="full").fit(library)
    neighbors = NearestNeighbors(n_neighbors=1).fit(pca.transform(library))
    distance = neighbors.kneighbors(pca.transform(patches))[0][:, 0] / np.sqrt(patches.shape[1])

    total, squares = np.zeros((2, *patches.shape))
    for n in range(len(cohort)):
        _, estimate, _, _ = cohort.read(n)
        error = _cut(match_intensities(truth, estimate, inside, match), centers, size) - patches
        total += error
        squares += error**2
    count = len(cohort)
    mean = total / count
    variance = np.maximum(squares - count * mean**2, 0) / (count - 1)
    peak = float(np.max(truth if inside is None else truth[inside]))
    if not peak > 0:
        raise ValueError(f"{_CALLER}: the largest intensity of y_true is {peak:g}, not above 0.")
    centered = patches - pca.mean_
    rows = []
    for number, group in enumerate(np.array_split(np.argsort(distance, kind="stable"), n_bins), 1):
        spread = float(variance[group].mean())
        bias = max(float((mean[group] ** 2).mean()) - spread / count, 0.0)
        energy = float((centered[group] ** 2).sum())
        slope = 1 + float((centered[group] * mean[group]).sum()) / energy if energy else np.nan
        rows.append(
            {
                "bin": number,
                "n_patches": len(group),
                "distance": float(distance[group].mean()) / peak,
                "bias": np.sqrt(bias).item() / peak,
                "sd": np.sqrt(spread).item() / peak,
                "rmse": np.sqrt(bias + spread).item() / peak,
                "slope": slope,
            }
        )
    return rows


def _check_count(name: str, value: Any, least: int) -> None:
    if not (isinstance(value, Integral) and int(value) >= least):
        raise ValueError(
            f"{_CALLER}: {name} must be an integer of at least {least}, got {value!r}."
        )


def _centers(
    shape: tuple[int, ...],
    inside: NDArray[np.bool_] | None,
    size: tuple[int, ...],
    count: int,
    rng: np.random.RandomState,
    name: str,
) -> NDArray[np.intp]:
    """Draw the first voxels of patches that fit into a volume and whose centre is inside."""
    room = tuple(max(n - s + 1, 0) for n, s in zip(shape, size, strict=True))
    middle = tuple(slice(s // 2, s // 2 + r) for s, r in zip(size, room, strict=True))
    allowed = np.flatnonzero(np.ones(room, bool) if inside is None else inside[middle])
    if not allowed.size:
        raise ValueError(
            f"{_CALLER}: {name} has no patch of {size} voxels inside its mask. Pass smaller "
            "patches or a larger mask."
        )
    if allowed.size > count:
        allowed = np.sort(rng.choice(allowed, count, replace=False))
    return np.stack(np.unravel_index(allowed, room), axis=1)


def _cut(volume: NDArray, first: NDArray[np.intp], size: tuple[int, ...]) -> NDArray[np.float64]:
    """Return patches as rows."""
    windows = np.lib.stride_tricks.sliding_window_view(volume, size)
    return windows[tuple(first.T)].reshape(len(first), -1).astype(np.float64)
