"""
Pairs of two scanners
=====================

From two folders of files to a comparison of methods that does not depend on the units of a scanner.
"""

# %%
# You have scans of the same people from a low-field and a high-field scanner. These four people are
# made: their high scans have voxels of 1 mm. The low scans have thick slices of 5 mm and in plane
# 1.6 mm, are tilted by 5 degrees, stored in another order of axes (LPI) and another unit, and white
# matter is darker.
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import nibabel
import numpy as np
from nibabel.affines import from_matvec
from scipy.spatial.transform import Rotation
from sklearn.model_selection import GroupKFold, cross_val_predict

import sklearn_iqt as iqt
from sklearn_iqt.datasets import make_subjects
from sklearn_iqt.metrics import paired_differences, score_table
from sklearn_iqt.plotting import plot_comparison, plot_scores
from sklearn_iqt.prepare import prepare_pairs
from sklearn_iqt.preprocessing import resample_to

people = ["ann", "bob", "cai", "dee"]
low_files, high_files = ([Path(tempfile.mkdtemp(), f"{p}.nii.gz") for p in people] for _ in "12")
brains = make_subjects(4, shape=(128, 160, 128), random_state=3)
tilt = Rotation.from_euler("x", 5, degrees=True).as_matrix() @ np.diag([-1.6, -1.6, -5])
shape = np.array((96, 112, 30))
rng = np.random.default_rng(0)
for n, image in enumerate(brains.images):
    image.to_filename(high_files[n])
    middle = image.affine @ [*(np.array(image.shape) - 1) / 2, 1]
    affine = from_matvec(tilt, middle[:3] - tilt @ (shape - 1) / 2)
    darker = np.asarray(image.dataobj) * (1 - 0.15 * brains.tissues[n][2])
    low = np.asarray(resample_to((darker, image.affine), (shape, affine)).dataobj)
    low = 0.3 * np.abs(low + rng.normal(scale=4, size=low.shape))
    nibabel.Nifti1Image(low.astype(np.float32), affine).to_filename(low_files[n])

# %%
# ``prepare_pairs`` brings both scans of a person to one place, with grids that differ by whole
# numbers. Real people have moved between the scans, so pass ``register=True``. If the scans show
# heads, pass ``extract_brain="high"``. Here both steps are left out to save time.
pairs = prepare_pairs(low_files, high_files, tempfile.mkdtemp())
print("scale", pairs.scale)
for step, done in pairs.records[0]["steps"].items():
    print(f"{step}: {done}")

# %%
# Every person is enhanced by models that were trained on the others. The three baselines learn
# nothing about detail: they show how much of an improvement is contrast.
grid = {"scale": pairs.scale}
patches = grid | {"patcher": iqt.PatchTransformer((5, 5, 3), (2, 2, 1)), "max_patches": 10_000}
methods = {
    "interpolation": iqt.InterpolationIQT(**grid),
    "intensity curve": iqt.IntensityCurveIQT(**grid, random_state=0),
    "tissue matching": iqt.ContrastMatchingIQT(**grid),
    "ridge": iqt.PatchwiseRegressor(**patches, random_state=0),
    "IQT-SRep": iqt.CoupledDictionaryIQT(128, **patches, random_state=0),
}
estimates = {
    name: cross_val_predict(method, pairs.low, pairs.high, groups=people, cv=GroupKFold(2))
    for name, method in methods.items()
}

# %%
# The scanners have different units. Without ``match``, interpolation has an enormous error, and
# every method that learns the unit seems to be much better. After the gain that fits each truth
# best, the differences are small.
brain = [nibabel.load(path).get_fdata() > 0 for path in pairs.high]
rows = score_table(pairs.high, estimates, mask=brain, subjects=people)
fig, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
for ax, measure in zip(axes, ["NRMSE (max)", "NRMSE (max, after gain)"], strict=True):
    scores = {m: [row[measure] for row in rows if row["method"] == m] for m in methods}
    plot_scores(scores, label=measure, ax=ax)

# %%
# Differences of the same people, with intervals. Four people are few: the intervals are wide.
for row in paired_differences(rows, "interpolation", measures=[measure]):
    print(f"{row['method']:16}{row['difference']:+.4f}  ({row['low']:+.4f} to {row['high']:+.4f})")

# %%
# Look at the result in a plane that contains the thick axis. The scan is in its own unit, so it is
# left out here, and interpolation is brought to the unit of the truth.
truth = nibabel.load(pairs.high[0]).get_fdata()
shown = {name: volumes[0].get_fdata() for name, volumes in estimates.items()}
shown = {name: v * (v * truth).sum() / (v * v).sum() for name, v in shown.items()}
figure = plot_comparison(shown, truth=nibabel.load(pairs.high[0]), views=["coronal"])
