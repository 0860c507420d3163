"""
Quick start
===========

From pairs of volumes to an enhanced scan of a subject that was held out, and its error.
"""

# %%
# Brains are warped from a template, and a low-field scan of each is simulated: slices four times as
# thick, the contrast and the noise of a 0.36 T scanner. With files of your own, both lists would
# hold paths.
from sklearn_iqt import CoupledDictionaryIQT, InterpolationIQT, LowFieldSimulator, PatchTransformer
from sklearn_iqt.datasets import make_subjects
from sklearn_iqt.metrics import nrmse
from sklearn_iqt.plotting import plot_comparison

brains = make_subjects(4, shape=(80, 96, 64), random_state=2)
pairs = LowFieldSimulator(random_state=2).simulate(brains.images, brains.tissues)
low, high = pairs.low[:3], pairs.high[:3]
scan, truth = pairs.low[3:], pairs.high[3:]
print(scan[0].shape, "->", truth[0].shape)

# %%
# An estimator learns from pairs of images, and enhances scans. These small volumes contain no air,
# so no patch is background. For whole heads, leave ``background`` at its default.
model = CoupledDictionaryIQT(
    n_atoms=128,
    features="intensity",
    n_components=0.999,
    patcher=PatchTransformer(patch_size=5, stride=2, background=1),
    max_patches=6000,
    random_state=0,
)
enhanced = model.fit(low, high).predict(scan)
interpolated = InterpolationIQT().fit(low, high).predict(scan)

# %%
# The NRMSE is the root mean squared error, divided by the largest intensity.
print(f"interpolation {nrmse(truth, interpolated):.4f}")
print(f"IQT-SRep      {nrmse(truth, enhanced):.4f}")

# %%
# The plot shows the absolute error below each volume.
figure = plot_comparison(
    {"low field": scan[0], "interpolation": interpolated[0], "IQT-SRep": enhanced[0]},
    truth=truth[0],
    views=("coronal", "sagittal"),
)
