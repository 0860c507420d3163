"""The feature operator F, folded with a principal component analysis into one small matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import linalg, sparse

__all__ = ["feature_operator", "fit_projection"]


def feature_operator(
    patch_size: Sequence[int], spacing: Sequence[int], features: str = "intensity"
) -> list[sparse.csr_matrix]:
    """Return the linear maps from a patch to its features.

    Parameters
    ----------
    patch_size : sequence of 3 ints
        Shape of a patch, in voxels.
    spacing : sequence of 3 ints
        Voxels between the taps along each axis; the scale, so that taps are one low-resolution
        voxel apart.
    features : {"intensity", "texture", "gradient", "both"}, default="intensity"
        The voxels themselves, the voxels minus their mean, first and second differences along each
        axis, or voxels and differences.

    Returns
    -------
    list of csr_matrix
        One or two matrices with a column for each voxel of the patch: differences have six rows
        for each voxel, intensities and texture one. Differences that would reach over the border of
        the patch repeat its outermost voxels.

    Notes
    -----
    Taps of [1, 0.., -1] and [1, 0.., -2, 0.., 1] / 2 as in Zeyde et al., "On single image scale-up
    using sparse-representations", 2010, here along three axes.

    Examples
    --------
    >>> gradient, = feature_operator((1, 1, 3), (1, 1, 1), "gradient")
    >>> gradient.shape
    (18, 3)
    """
    blocks = []
    if features in ("gradient", "both"):
        eyes = [sparse.identity(size, format="csr") for size in patch_size]
        differences = []
        for axis, (size, step) in enumerate(zip(patch_size, spacing, strict=True)):
            here = np.arange(size)

            def at(offset: int, size: int = size, here: np.ndarray = here) -> sparse.csr_matrix:
                return eyes[axis][np.clip(here + offset, 0, size - 1)]  # noqa: B023

            first = at(step - step // 2) - at(-(step // 2))
            second = (at(step) - 2 * at(0) + at(-step)) / 2
            for along in (first, second):
                factors = [along if a == axis else eye for a, eye in enumerate(eyes)]
                differences.append(sparse.kron(sparse.kron(*factors[:2]), factors[2]))
        blocks.append(sparse.vstack(differences, format="csr"))
    n_voxels = int(np.prod(patch_size))
    if features in ("intensity", "both"):
        blocks.append(sparse.identity(n_voxels, format="csr"))
    if features == "texture":
        blocks.append(sparse.csr_matrix(np.eye(n_voxels) - 1 / n_voxels))
    return blocks


def fit_projection(
    X: np.ndarray, operators: Sequence[sparse.csr_matrix], n_components: float | int | None
) -> np.ndarray:
    """Fold features and their principal components into one linear map on patches.

    The features of a patch are many times as long as the patch. They are never built: with
    C = XᵀX / n and M = FᵀF, the principal axes V of the features F x are F L u / sqrt(w), where
    C = L Lᵀ and (w, u) are eigenpairs of LᵀM L, so that Vᵀ F = uᵀ Lᵀ M / sqrt(w).

    Parameters
    ----------
    X : ndarray of shape (n_patches, n_voxels)
        Training rows.
    operators : sequence of sparse matrices with n_voxels columns
        The parts of F. They are divided by the square root of n_voxels, so that the norm of F x
        is a root mean square over the patch, in units of intensity: a weight of the lasso then
        means the same for any patch size.
    n_components : float in (0, 1), int or None
        Fraction of the energy to keep, or number of components, or all.

    Returns
    -------
    ndarray of shape (n_components, n_voxels), dtype of X
        Multiplies a patch to give its reduced features, components in order of energy. Not
        centred, as in Zeyde et al. (2010).

    Raises
    ------
    ValueError
        If the features of all patches are zero.
    """
    second_moment = (X.T @ X).astype(np.float64) / len(X)
    normal = sum((operator.T @ operator).toarray() for operator in operators) / X.shape[1]
    if not np.sum(normal * second_moment) > np.finfo(X.dtype).eps * np.trace(second_moment):
        raise ValueError(
            "CoupledDictionaryIQT: the features of all training patches are zero; constant volumes "
            "cannot be learned from."
        )
    values, vectors = linalg.eigh(second_moment)
    root = vectors * np.sqrt(np.maximum(values, 0))
    energy, axes = linalg.eigh(root.T @ normal @ root)
    energy, axes = energy[::-1], axes[:, ::-1]
    n_axes = int(np.count_nonzero(energy > energy[0] * 1e-10))
    if n_components is not None and n_components < 1:
        kept = np.cumsum(energy) / energy.sum()
        n_axes = min(n_axes, int(np.searchsorted(kept, n_components)) + 1)
    elif n_components is not None:
        n_axes = min(n_axes, int(n_components))
    projection = (axes[:, :n_axes] / np.sqrt(energy[:n_axes])).T @ root.T @ normal
    return np.ascontiguousarray(projection, dtype=X.dtype)
