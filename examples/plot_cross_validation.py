"""
Split subjects, not patches
===========================

Patches of one subject on both sides of a split make a model look better than it is.
"""

# %%
# Patches overlap, and patches of one brain resemble each other. A split of patches therefore tests
# a model on what it has nearly seen. Here are the rows of five subjects, each in the unit of its
# scan.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GroupKFold, KFold, cross_val_score, cross_validate
from sklearn.neighbors import KNeighborsRegressor

from sklearn_iqt import LowFieldSimulator, PatchTransformer, PatchwiseRegressor
from sklearn_iqt.datasets import make_subjects
from sklearn_iqt.metrics import volume_scorers
from sklearn_iqt.preprocessing import intensity_scale

brains = make_subjects(5, shape=(80, 96, 64), random_state=2)
pairs = LowFieldSimulator(random_state=2).simulate(brains.images, brains.tissues)
low, high = ([image.get_fdata() for image in images] for images in (pairs.low, pairs.high))
units = [intensity_scale(volume) for volume in low]
low, high = ([v / u for v, u in zip(volumes, units, strict=True)] for volumes in (low, high))

patcher = PatchTransformer((5, 5, 3), (1, 1, 1)).fit(low, high)
low_rows, high_rows, subjects = patcher.sample(low, high, max_patches=20_000, random_state=0)
print(low_rows.shape, "from", len(np.unique(subjects)), "subjects")

# %%
# The same regressor, the same rows, two ways to split them.
regressor = KNeighborsRegressor(3, weights="distance")
score = {"scoring": "neg_root_mean_squared_error", "X": low_rows, "y": high_rows}
leaking = -cross_val_score(regressor, cv=KFold(5, shuffle=True, random_state=0), **score)
honest = -cross_val_score(regressor, cv=GroupKFold(5), groups=subjects, **score)
print(f"patches of a subject on both sides: {leaking.mean():.4f}")
print(f"subjects apart:                     {honest.mean():.4f}")
fig, ax = plt.subplots(figsize=(4, 3.5), layout="constrained")
ax.plot(["patches"] * 5 + ["subjects"] * 5, [*leaking, *honest], "o")
ax.set(xlabel="what is split", ylabel="RMSE of a fold", xlim=(-0.5, 1.5))

# %%
# Estimators of this package take volumes, so that every split is one of subjects. If a subject has
# several scans, ``groups`` keeps them together.
result = cross_validate(
    PatchwiseRegressor(regressor, max_patches=20_000, random_state=0),
    pairs.low,
    pairs.high,
    groups=["ann", "bob", "cai", "dee", "eve"],
    cv=GroupKFold(5),
    scoring=volume_scorers(),
)
print("NRMSE of each subject", -result["test_neg_nrmse"].round(4))
