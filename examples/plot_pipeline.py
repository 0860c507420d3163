"""
Inside a Pipeline, with caching
===============================

A pipeline joins preprocessing and estimator into one model, and can cache the results of its steps.
"""

# %%
# :class:`~sklearn_iqt.preprocessing.TissueScaler` finds the tissues of a scan, and gives them the
# ratios of the training scans. It does not change the intensity of grey matter, so predictions are
# in the units of the scan.
import tempfile
import time

from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from sklearn_iqt import LowFieldSimulator, NyulScaler, PatchwiseRegressor, TissueScaler
from sklearn_iqt.datasets import make_subjects
from sklearn_iqt.metrics import neg_nrmse_scorer, nrmse

brains = make_subjects(4, shape=(80, 96, 64), random_state=2)
pairs = LowFieldSimulator(random_state=2).simulate(brains.images, brains.tissues)
low, high = pairs.low[:3], pairs.high[:3]
model = Pipeline(
    [
        ("standardize", TissueScaler()),
        ("enhance", PatchwiseRegressor(max_patches=6000, random_state=0)),
    ],
    memory=tempfile.mkdtemp(),
)
model

# %%
# The second fit reads the standardised volumes from the cache.
for attempt in ("first", "second"):
    start = time.perf_counter()
    model.fit(low, high)
    print(f"{attempt} fit {time.perf_counter() - start:.2f} s")
print(f"NRMSE {nrmse(pairs.high[3:], model.predict(pairs.low[3:])):.4f}")

# %%
# A search can vary the parameters of all steps, and also replace whole steps.
grid = {
    "standardize": ["passthrough", NyulScaler(keep_units=True), TissueScaler()],
    "enhance__patcher__patch_size": [(3, 3, 3), (5, 5, 3)],
}
search = GridSearchCV(model, grid, cv=3, scoring=neg_nrmse_scorer).fit(low, high)
for params, score in zip(
    search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True
):
    print(f"{-score:.4f}", params)
