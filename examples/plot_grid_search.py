"""
A grid search over two parameters
=================================

``GridSearchCV`` finds the weight of the lasso and the number of atoms, with splits by subject.
"""

# %%
# Patches and dictionaries do not depend on ``alpha``. With ``memory=`` they are computed only once
# for each training set.
import tempfile

import matplotlib.pyplot as plt
from sklearn.model_selection import GridSearchCV, GroupKFold

from sklearn_iqt import CoupledDictionaryIQT, LowFieldSimulator, PatchTransformer
from sklearn_iqt.datasets import make_subjects
from sklearn_iqt.metrics import neg_nrmse_scorer

brains = make_subjects(4, shape=(64, 80, 48), random_state=2)
pairs = LowFieldSimulator(random_state=2).simulate(brains.images, brains.tissues)
model = CoupledDictionaryIQT(
    features="intensity",
    n_components=0.999,
    patcher=PatchTransformer(patch_size=5, stride=3),
    max_patches=4000,
    max_iter=5,
    memory=tempfile.mkdtemp(),
    random_state=0,
)
grid = {"n_atoms": [16, 64, 256], "alpha": [0.01, 0.03, 0.1, 0.3, 1.0]}
search = GridSearchCV(model, grid, cv=GroupKFold(2), scoring=neg_nrmse_scorer)
search.fit(pairs.low, pairs.high, groups=[0, 1, 2, 3])
print(search.best_params_, f"NRMSE {-search.best_score_:.4f}")

# %%
# The results are in the order of the grid, with its keys sorted by name.
errors = -search.cv_results_["mean_test_score"].reshape(len(grid["alpha"]), len(grid["n_atoms"]))
fig, ax = plt.subplots(figsize=(5, 4), layout="constrained")
image = ax.imshow(errors, cmap="viridis_r")
ax.set_xticks(range(len(grid["n_atoms"])), grid["n_atoms"])
ax.set_yticks(range(len(grid["alpha"])), grid["alpha"])
ax.set(xlabel="n_atoms", ylabel="alpha", title="NRMSE of subjects held out")
for row, column in [(r, c) for r in range(errors.shape[0]) for c in range(errors.shape[1])]:
    dark = errors[row, column] > errors.mean()
    ax.text(
        column, row, f"{errors[row, column]:.4f}", ha="center", va="center", color="kw"[int(dark)]
    )

# %%
# If the best setting is on the edge of the grid, use a larger grid. ``search`` is an estimator that
# was fitted to all pairs with the best setting.
enhanced = search.predict(pairs.low[:1])
print(type(search.best_estimator_).__name__, enhanced[0].shape)
