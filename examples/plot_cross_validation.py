"""
Split subjects, not patches
===========================

If patches of the same subject are on both sides of a split, a model seems better than it is.
"""

# %%
# Patches overlap, and patches of the same brain are similar. If you split patches at random, the
# test patches are almost the same as the training patches. Here are rows from five subjects, each
# divided by the intensity scale of its scan.
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
# Split the same rows in two ways, and use the same regressor.
regressor = KNeighborsRegressor(3, weights="distance")
score = {"scoring": "neg_root_mean_squared_error", "X": low_rows, "y": high_rows}
by_patch = -cross_val_score(regressor, cv=KFold(5, shuffle=True, random_state=0), **score)
by_subject = -cross_val_score(regressor, cv=GroupKFold(5), groups=subjects, **score)
print(f"split by patch:   {by_patch.mean():.4f}")
print(f"split by subject: {by_subject.mean():.4f}")
fig, ax = plt.subplots(figsize=(4, 3.5), layout="constrained")
ax.plot(["patch"] * 5 + ["subject"] * 5, [*by_patch, *by_subject], "o")
ax.set(xlabel="split by", ylabel="RMSE of a fold", xlim=(-0.5, 1.5))

# %%
# The estimators of this package take volumes, so every split is by volume. If a subject has several
# scans, ``groups`` keeps them together.
result = cross_validate(
    PatchwiseRegressor(regressor, max_patches=20_000, random_state=0),
    pairs.low,
    pairs.high,
    groups=["ann", "bob", "cai", "dee", "eve"],
    cv=GroupKFold(5),
    scoring=volume_scorers(),
)
print("NRMSE of each subject", -result["test_neg_nrmse"].round(4))
