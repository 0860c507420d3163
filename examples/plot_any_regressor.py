"""
Any regressor of scikit-learn
=============================

Any regressor with several outputs can be used as a method of image quality transfer.
"""

# %%
# :class:`~sklearn_iqt.compose.PatchwiseRegressor` cuts, pairs and merges patches. The regressor
# inside it maps rows of voxels to rows: low patches to the differences between high and
# interpolated patches. With a forest, this is the first published method of image quality transfer.
import time

from sklearn.decomposition import PCA
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline

from sklearn_iqt import InterpolationIQT, LowFieldSimulator, PatchwiseRegressor
from sklearn_iqt.datasets import make_subjects
from sklearn_iqt.metrics import nrmse
from sklearn_iqt.plotting import plot_scores

brains = make_subjects(5, shape=(80, 96, 64), random_state=2)
pairs = LowFieldSimulator(random_state=2).simulate(brains.images, brains.tissues)
inside = [maps.sum(axis=0) > 0.5 for maps in brains.tissues[2:]]

regressors = {
    "ridge": Ridge(),
    "forest": ExtraTreesRegressor(10, min_samples_leaf=10, random_state=0),
    "neighbours": make_pipeline(PCA(10), KNeighborsRegressor(20, weights="distance")),
    "perceptron": MLPRegressor(hidden_layer_sizes=64, early_stopping=True, random_state=0),
}
models = {"interpolation": InterpolationIQT()}
for name, regressor in regressors.items():
    models[name] = PatchwiseRegressor(regressor, max_patches=8000, random_state=0)

# %%
# Train on two subjects, and test on three.
scores = {}
for name, model in models.items():
    start = time.perf_counter()
    estimates = model.fit(pairs.low[:2], pairs.high[:2]).predict(pairs.low[2:])
    scores[name] = nrmse(pairs.high[2:], estimates, mask=inside, per_volume=True)
    print(f"{name:14}{scores[name].mean():.4f}  {time.perf_counter() - start:.1f} s")

# %%
# The plot shows differences from interpolation for each subject. Every regressor is better for
# every subject. Three subjects are few, so the intervals of the mean are wide.
ax = plot_scores(scores, baseline="interpolation", label="NRMSE")
