"""One quick configuration of every public estimator, for the tests that all of them must pass."""

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor

from sklearn_iqt import (
    AnisoUNetRegressor,
    ContrastMatchingIQT,
    CoupledDictionaryIQT,
    DDLRegressor,
    IntensityCurveIQT,
    InterpolationIQT,
    NyulScaler,
    PatchTransformer,
    PatchwiseRegressor,
    PercentileScaler,
    SelfSupervisedIQT,
    TissueScaler,
)

SMALL = PatchTransformer(5, stride=3)
SMALL_LOW = {"patch_size": (8, 8, 2), "stride": (4, 4, 1)}


def regressors():
    """Estimators that enhance volumes, in configurations that are quick on small volumes."""
    return [
        InterpolationIQT(),
        IntensityCurveIQT(random_state=0),
        ContrastMatchingIQT(),
        CoupledDictionaryIQT(16, patcher=SMALL, max_patches=400, random_state=0),
        PatchwiseRegressor(max_patches=400, random_state=0),
        PatchwiseRegressor(
            ExtraTreesRegressor(5, min_samples_leaf=3, random_state=0),
            max_patches=200,
            random_state=0,
        ),
        SelfSupervisedIQT(max_patches=400, random_state=0),
        DDLRegressor(2, n_blocks=1, **SMALL_LOW, max_epochs=2, max_patches=16, random_state=0),
        AnisoUNetRegressor(2, 3, **SMALL_LOW, max_epochs=2, max_patches=16, random_state=0),
    ]


def scalers():
    """Scalers of intensities, one of each class."""
    return [NyulScaler(), PercentileScaler(), TissueScaler()]


def name(estimator):
    inner = getattr(estimator, "estimator", None)
    return type(estimator).__name__ + (f"-{type(inner).__name__}" if inner is not None else "")


RAGGED = ((12, 13, 4), (14, 12, 5), (12, 12, 4), (13, 15, 4))


def make_pairs(shapes=RAGGED, seed=0):
    """Bright boxes on a dark background, whose low volumes are means of four voxels along k."""
    rng = np.random.default_rng(seed)
    low, high = [], []
    for i, j, k in shapes:
        volume = np.zeros((i, j, 4 * k), np.float32)
        inside = volume[2:-2, 2:-2, 2:-2]
        inside += 100 + 50 * rng.random((1, *inside.shape[1:])) + 10 * rng.random(inside.shape)
        high.append(volume)
        low.append(volume.reshape(i, j, k, 4).mean(axis=-1))
    return low, high
