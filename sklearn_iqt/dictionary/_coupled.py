"""IQT-SRep: image quality transfer by coupled dictionaries and sparse codes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from numbers import Integral, Real
from os import PathLike
from typing import Any

import numpy as np
from scipy import linalg, sparse
from sklearn.base import TransformerMixin, clone
from sklearn.decomposition import DictionaryLearning, MiniBatchDictionaryLearning
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_iqt._version import __version__
from sklearn_iqt.base import BasePatchRegressor, VolumeTags
from sklearn_iqt.dictionary._coding import SOLVERS, sparse_encode
from sklearn_iqt.dictionary._features import feature_operator, fit_projection
from sklearn_iqt.dictionary._learning import ksvd, normalize_atoms
from sklearn_iqt.dictionary._slopes import multiply, pad_columns
from sklearn_iqt.io import as_volumes, is_rows
from sklearn_iqt.patches import PatchTransformer, chunks, cut_patches, rows_per_chunk

__all__ = ["CoupledDictionaryIQT"]


class CoupledDictionaryIQT(TransformerMixin, BasePatchRegressor):
    """Enhance volumes by dictionaries of low and high patches that share their sparse codes.

    The low volume is interpolated onto the high-resolution grid. The features of each of its
    patches are written as a sparse combination of low atoms,

        minimise 0.5 ||a D_l - F y||² + alpha ||a||₁,

    and the same combination of high atoms is added to the patch. Overlapping patches are averaged.

    Parameters
    ----------
    n_atoms : int, default=1024
        Atoms in each dictionary.
    alpha : float, default=0.01
        Weight λ of the lasso. Atoms have unit norm, and the norm of the features of a patch is
        their root mean square over its voxels, in the scaled intensities of the volume: with
        gradients typically 0.1 to 0.25. Details below ``alpha`` in this sense are not coded. From
        0.003 to 0.1 it hardly matters with intensities.
    patcher : PatchTransformer, default=None
        Cuts the interpolated volume. By default patches of 7 voxels, 3 voxels apart.
    scale : int or tuple of 3 ints, default=(1, 1, 4)
        High-resolution voxels for each voxel, along each axis.
    alignment : {"center", "corner"}, default="center"
        How the two grids are aligned, see :func:`sklearn_iqt.preprocessing.upsample`.
    n_components : float in (0, 1), int or None, default=0.99
        Fraction of the energy of the features that the principal components keep, or the number of
        components. None keeps all. The paper keeps 0.9 of the energy of gradients. For intensities
        0.9 is little more than their mean, and so is 0.99 with patches of at most 5 voxels a side:
        use 0.999 there.
    target : {"residual", "mean_removed"}, default="residual"
        What high atoms represent: the difference from the interpolated patch, which is added back,
        or the high patch minus the mean of the interpolated patch.
    features : {"intensity", "texture", "gradient", "both"}, default="intensity"
        Features F of a patch: its intensities; its texture, which is its intensities minus their
        mean (Algorithm 1 of the paper); first and second differences along each axis, one
        low-resolution voxel apart (section 2.1.4 of the paper); or intensities and differences.
        Texture and differences do not see the brightness of a patch, so they cannot restore the
        contrast between tissues, nor get it wrong on a scan of foreign contrast. On real brains
        intensities have the lower error in the distribution of the training, by far, and the higher
        one far out of it, unless a :class:`~sklearn_iqt.preprocessing.TissueScaler` comes first;
        both together are no better than intensities alone, and slower.
    dictionary_learner : "ksvd", MiniBatchDictionaryLearning or DictionaryLearning, default="ksvd"
        Learns the low atoms. The scikit-learn instances are copied and given ``n_atoms``.
    n_nonzero_coefs : int, default=3
        Atoms in each code, for K-SVD and for solvers by matching pursuit.
    solver : str, default="auto"
        Codes at prediction, see :func:`sparse_encode`: ``"auto"`` is the lasso.
    keep_zeros : bool, default=True
        Whether predictions of volumes are 0 where a scan is exactly 0, and not negative unless the
        scan is.
    target_unit : {"own", "low"}, default="own"
        Unit of the high volumes in training. With ``"own"``, each is divided by its gain relative
        to its low volume. A gain that differs between subjects is then not learned as if it were
        contrast, and predictions are multiplied by the median gain. With ``"low"``, high volumes
        are in the unit of their low volumes, and gains are learned.
    max_patches : int or None, default=100_000
        Most pairs of patches that are learned from, shared evenly by the volumes.
    max_iter : int, default=20
        Most iterations of K-SVD.
    tol : float, default=0.001
        K-SVD stops when its error falls by less than this fraction of itself.
    memory : path or joblib.Memory, default=None
        Folder for the results that do not depend on ``alpha`` and the other parameters of coding:
        the patches that were drawn and the low dictionary. A grid search then computes them once
        for each set of training volumes. It needs an integer as ``random_state``. joblib keeps
        pickles there: use a folder that only you can write to, and a new one when you change the
        package.
    n_jobs : int, default=None
        Threads of the coder; None means 1, unless :obj:`joblib.parallel_config` sets a number for
        ``backend="threading"``. Numbers set for processes do not count.
    random_state : int, RandomState instance or None, default=None
        Determines the patches that are drawn and the atoms to start from.
    verbose : int, default=0
        Whether to show progress.

    Attributes
    ----------
    dictionary_low_ : ndarray of shape (n_atoms, n_components)
        Low atoms, of unit norm, in the space of the reduced features.
    dictionary_high_ : ndarray of shape (n_atoms, n_outputs)
        High atoms, in voxels.
    projection_ : ndarray of shape (n_components, n_features_in)
        F followed by the principal components, as one map from a patch to its reduced features.
    n_iter_ : int
        Iterations that learned the low dictionary.
    patcher_ : PatchTransformer
        The fitted patcher.

    See Also
    --------
    sparse_encode : The coder.
    PatchwiseRegressor : Any other regressor on patches.

    Notes
    -----
    Section 2.1 and eq. (4) of the paper [1]_; features and learner as in [2]_. The high dictionary
    is the least-squares map from codes to targets, on the codes that prediction uses. In row mode
    both rows are patches on the high-resolution grid, the low one interpolated.

    References
    ----------
    .. [1] A. Eldaly et al., "Alternative learning paradigms for image quality transfer",
       MELBA 2024:027.
    .. [2] R. Zeyde, M. Elad, M. Protter, "On single image scale-up using
       sparse-representations", Curves and Surfaces 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_iqt import CoupledDictionaryIQT
    >>> high = np.random.default_rng(0).random((2, 16, 16, 16))
    >>> low = high.reshape(2, 16, 16, 4, 4).mean(axis=-1)
    >>> model = CoupledDictionaryIQT(n_atoms=32, random_state=0).fit(low, high)
    >>> model.predict(low).shape
    (2, 16, 16, 16)
    """

    _volume_tags = VolumeTags(interpolates_first=True)

    _parameter_constraints: dict = {
        **BasePatchRegressor._parameter_constraints,
        "n_atoms": [Interval(Integral, 1, None, closed="left")],
        "alpha": [Interval(Real, 0, None, closed="neither")],
        "n_components": [
            Interval(Real, 0, 1, closed="neither"),
            Interval(Integral, 1, None, closed="left"),
            None,
        ],
        "target": [StrOptions({"residual", "mean_removed"})],
        "features": [StrOptions({"gradient", "texture", "intensity", "both"})],
        "dictionary_learner": [
            StrOptions({"ksvd"}),
            MiniBatchDictionaryLearning,
            DictionaryLearning,
        ],
        "n_nonzero_coefs": [Interval(Integral, 1, None, closed="left")],
        "solver": [StrOptions(set(SOLVERS))],
        "max_patches": [Interval(Integral, 1, None, closed="left"), None],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "memory": [None, str, PathLike, HasMethods("cache")],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_atoms: int = 1024,
        alpha: float = 0.01,
        *,
        patcher: PatchTransformer | None = None,
        scale: int | Sequence[int] = (1, 1, 4),
        alignment: str = "center",
        n_components: float | int | None = 0.99,
        target: str = "residual",
        features: str = "intensity",
        dictionary_learner: Any = "ksvd",
        n_nonzero_coefs: int = 3,
        solver: str = "auto",
        keep_zeros: bool = True,
        target_unit: str = "own",
        max_patches: int | None = 100_000,
        max_iter: int = 20,
        tol: float = 1e-3,
        memory: Any = None,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.n_atoms = n_atoms
        self.alpha = alpha
        self.patcher = patcher
        self.scale = scale
        self.alignment = alignment
        self.n_components = n_components
        self.target = target
        self.features = features
        self.dictionary_learner = dictionary_learner
        self.n_nonzero_coefs = n_nonzero_coefs
        self.solver = solver
        self.keep_zeros = keep_zeros
        self.target_unit = target_unit
        self.max_patches = max_patches
        self.max_iter = max_iter
        self.tol = tol
        self.memory = memory
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def transform(self, X: Any) -> Any:
        """Return the sparse codes of patches.

        Parameters
        ----------
        X : array of shape (n, i, j, k), sequence of volumes, or array of shape (n_rows, n_voxels)
            Low volumes, or rows of interpolated patches.

        Returns
        -------
        ndarray of shape (n_rows, n_atoms) or list of csr_matrix
            For rows a dense array, as :class:`sklearn.decomposition.DictionaryLearning` returns it.
            For volumes one sparse matrix each, with a row for every patch of ``patcher_`` on the
            interpolated volume: dense codes would take many times the memory of the volume.

        Raises
        ------
        ValueError
            If ``set_output`` asks for a data frame and ``X`` are volumes.
        """
        check_is_fitted(self)
        if not is_rows(X):
            container = _get_output_config("transform", self)["dense"]
            if container != "default":
                raise ValueError(
                    "CoupledDictionaryIQT.transform: the codes of volumes are sparse matrices, not "
                    f"a {container} data frame; call set_output(transform='default')."
                )
            return [self._encode_volume(v) for v in as_volumes(X, caller=type(self).__name__)]
        X = validate_data(self, X, reset=False, dtype=(np.float64, np.float32))
        return self._encode(X).toarray()

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name the columns of the codes.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        ndarray of str
            ``"atom0"``, ``"atom1"``, and so on.
        """
        check_is_fitted(self)
        return np.asarray([f"atom{n}" for n in range(len(self.dictionary_low_))], dtype=object)

    def _fit_patches(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray | None) -> None:
        learn = self._cache().cache(_learn_atoms, ignore=["n_jobs", "progress"])
        self.projection_, self.dictionary_low_, self.n_iter_ = learn(
            X,
            self._operators(),
            self.n_components,
            self.dictionary_learner,
            self.n_atoms,
            {"n_nonzero_coefs": self.n_nonzero_coefs, "max_iter": self.max_iter, "tol": self.tol},
            self.random_state,
            __version__,
            self.n_jobs,
            lambda steps: self._progress(steps, "learning atoms"),
        )
        if len(self.dictionary_low_) < self.n_atoms:
            warnings.warn(
                f"{type(self).__name__}: {len(self.dictionary_low_)} patches that are not flat "
                f"allow no more atoms than that, though n_atoms={self.n_atoms}; give more volumes "
                "or lower n_atoms.",
                UserWarning,
                stacklevel=2,
            )
        codes = self._encode(X)
        normal = (codes.T @ codes).toarray().astype(np.float64)
        # A trace of ridge: an atom without codes would make the system singular.
        normal[np.diag_indices_from(normal)] += 1e-8 * max(np.trace(normal) / len(normal), 1e-12)
        moments = (codes.T @ (y - self._constant_patches(X))).astype(np.float64)
        high = linalg.solve(normal, moments, assume_a="pos")
        # Releases of scipy differ in the order of what they return; files of models should not.
        self.dictionary_high_ = high.astype(X.dtype, order="C")

    def _predict_patches(self, X: np.ndarray) -> np.ndarray:
        return self._encode(X) @ self.dictionary_high_ + self._constant_patches(X)

    def _predict_patches_with_std(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return rows, and the part of each input patch that its code does not explain."""
        codes = self._encode(X)
        rows = codes @ self.dictionary_high_ + self._constant_patches(X)
        unexplained = self._reduce(X) - codes @ self.dictionary_low_
        return rows, np.abs(unexplained @ linalg.pinv(self.projection_).T)

    def _operators(self) -> list[sparse.csr_matrix]:
        return feature_operator(self.row_geometry_.patch_size, self.scale_, self.features)

    def _constant_patches(self, X: np.ndarray) -> np.ndarray:
        """The part of the prediction that has no code."""
        if self.target == "residual":
            return self._baseline_patches(X)
        return X.mean(axis=1, keepdims=True)

    def _encode(self, X: np.ndarray) -> sparse.csr_matrix:
        return sparse_encode(
            self._reduce(X),
            self.dictionary_low_,
            alpha=self.alpha,
            solver=self.solver,
            n_nonzero_coefs=self.n_nonzero_coefs,
            n_jobs=self.n_jobs,
        )

    def _reduce(self, X: np.ndarray) -> np.ndarray:
        """Return the components of the features of each row."""
        projection = self.projection_.astype(X.dtype, copy=False)
        # Not by BLAS, whose threads go on waiting on the cores that code.
        return multiply(np.ascontiguousarray(X), pad_columns(projection), len(projection))

    def _encode_volume(self, volume: np.ndarray) -> sparse.csr_matrix:
        inputs, _, _ = self._patch_source().scaled(volume, None)
        grid = self.patcher_.grid(inputs.shape)
        parts = chunks(np.arange(grid.n_patches), rows_per_chunk(grid))
        return sparse.vstack(
            [self._encode(cut_patches(inputs, grid, part)) for part in parts], format="csr"
        )


def _learn_atoms(
    X: np.ndarray,
    operators: list[sparse.csr_matrix],
    n_components: float | int | None,
    learner: Any,
    n_atoms: int,
    ksvd_params: dict[str, Any],
    random_state: Any,
    version: str,
    n_jobs: int | None,
    progress: Any,
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the projection, the low atoms and how many iterations learned them.

    The results depend on the arguments alone, so that they can be cached. They do not depend on the
    weight of the lasso or on the high patches. ``version`` is only a part of the key of the cache.
    """
    projection = fit_projection(X, operators, n_components)
    signals = X @ projection.T
    if learner == "ksvd":
        dictionary, errors = ksvd(
            signals,
            n_atoms,
            **ksvd_params,
            n_jobs=n_jobs,
            random_state=random_state,
            progress=progress,
        )
        return projection, dictionary, len(errors)
    learner = clone(learner).set_params(n_components=n_atoms)
    if learner.random_state is None:
        learner.set_params(random_state=random_state)
    dictionary = normalize_atoms(learner.fit(signals).components_).astype(signals.dtype)
    return projection, dictionary, learner.n_iter_
