"""
Your own NIfTI files
====================

Pass paths, and get images at the same place as the scans.
"""

# %%
# We first write some files, which take the place of your own: high-quality scans, and low-quality
# scans of the same subjects. A high volume has ``scale`` times as many voxels along each axis as
# its low volume, and the same field of view.
import tempfile
from pathlib import Path

import nibabel as nib

from sklearn_iqt import LowFieldSimulator, PatchTransformer, PatchwiseRegressor, save_volume
from sklearn_iqt.datasets import make_subjects
from sklearn_iqt.metrics import nrmse
from sklearn_iqt.plotting import plot_comparison
from sklearn_iqt.preprocessing import resample_to_voxel_size

folder = Path(tempfile.mkdtemp())
brains = make_subjects(3, shape=(80, 96, 64), random_state=2)
pairs = LowFieldSimulator(random_state=2).simulate(brains.images, brains.tissues)
for number, (low, high) in enumerate(zip(pairs.low, pairs.high, strict=True), 1):
    save_volume(low, folder / f"sub-{number}_low.nii.gz")
    save_volume(high, folder / f"sub-{number}_high.nii.gz")

low_paths = sorted(folder.glob("*_low.nii.gz"))
high_paths = sorted(folder.glob("*_high.nii.gz"))

# %%
# Train on two subjects. Files are read one at a time.
patcher = PatchTransformer((5, 5, 3), (2, 2, 1), background=1)  # there is no air in these pieces
model = PatchwiseRegressor(patcher=patcher, max_patches=8000, random_state=0)
model.fit(low_paths[:2], high_paths[:2])

# %%
# Enhance the scan of the third subject, and write the result. The thickness of its voxels is a
# quarter of that of the scan, its affine has the matching origin, and its intensities are in the
# units of the scan.
enhanced = model.predict(low_paths[2:])[0]
save_volume(enhanced, folder / "sub-3_enhanced.nii.gz")
scan = nib.load(low_paths[2])
for name, image in {"scan": scan, "enhanced": enhanced}.items():
    print(f"{name:9}{image.shape} voxels of {image.header.get_zooms()} mm")
    print(f"{'':9}corner at {nib.affines.apply_affine(image.affine, [-0.5] * 3).round(2)} mm")

# %%
# Metrics and plots also take paths.
print("NRMSE", round(nrmse(high_paths[2:], [enhanced]), 4))
figure = plot_comparison({"scan": low_paths[2], "enhanced": enhanced}, truth=high_paths[2])

# %%
# If the ratio of two voxel sizes is not an integer, resample the scan first. The affine changes
# with it.
odd = resample_to_voxel_size(scan, (1.0, 1.0, 4.5))
print(scan.header.get_zooms(), "->", odd.header.get_zooms(), odd.shape)
