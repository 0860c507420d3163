"""
Out of distribution
===================

A model that learned to increase the contrast increases it in every scan. If the contrast of a scan
is already high, interpolation is better.
"""

# %%
# The training scans are like those of a 0.36 T scanner, where white and grey matter differ by a
# fifth. The test scans are of the same kind, or have the contrast and noise of one scan at
# 64 mT, where white and grey matter differ by more than half. The vendor of the scanner had
# reconstructed this scan, so its contrast is an upper bound.
from sklearn_iqt import CoupledDictionaryIQT, InterpolationIQT, LowFieldSimulator, PatchTransformer
from sklearn_iqt.datasets import make_subjects
from sklearn_iqt.metrics import nrmse
from sklearn_iqt.plotting import plot_estimates

brains = make_subjects(6, shape=(80, 96, 64), random_state=2)
training = LowFieldSimulator("t1w_036t", random_state=2).simulate(
    brains.images[:3], brains.tissues[:3]
)
tests = {
    name: LowFieldSimulator(name, random_state=1).simulate(brains.images[3:], brains.tissues[3:])
    for name in ("ind1", "ulf_measured")
}
inside = [maps.sum(axis=0) > 0.5 for maps in brains.tissues[3:]]
common = {
    "n_atoms": 128,
    "patcher": PatchTransformer(patch_size=5, stride=3, background=1),
    "max_patches": 6000,
    "random_state": 0,
}
models = {
    "interpolation": InterpolationIQT(),
    "gradients": CoupledDictionaryIQT(features="gradient", **common),
    "intensities": CoupledDictionaryIQT(features="intensity", n_components=0.999, **common),
}

# %%
# The table has the mean NRMSE inside the brain of three subjects. In distribution, both kinds of
# dictionaries are better than interpolation, and out of distribution both are worse. The
# dictionaries of intensities have the largest gain and the largest loss.
estimates = {name: {} for name in tests}
for method, model in models.items():
    model.fit(training.low, training.high)
    line = f"{method:14}"
    for name, pairs in tests.items():
        enhanced = model.predict(pairs.low)
        estimates[name][method] = enhanced[0]
        line += f"{name:>14} {nrmse(pairs.high, enhanced, mask=inside):.4f}"
    print(line)

# %%
# You cannot see in the enhanced scans of the lower rows that they are wrong. The distance of the
# scan from the training distribution shows it.
figure = plot_estimates(
    estimates, truth=tests["ind1"].high[0], show=("estimate", "error"), view="coronal"
)
for name, pairs in tests.items():
    print(name, "distance", pairs.mahalanobis.round(1))
