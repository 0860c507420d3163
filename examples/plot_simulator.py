"""
The simulator and its distributions of SNR
==========================================

Two numbers determine a simulated low-field scan: the signal-to-noise ratios of white and grey
matter.
"""

# %%
# Their ratio is the contrast, and their magnitude is the noise. Training scans are drawn from a
# Gaussian that was measured at 0.36 T. The first test set is within distance 1 of its mean, the
# second is beyond distance 3, and the third, which comes from one scan of an
# ultra-low-field scanner, is far away.
import numpy as np

from sklearn_iqt import LowFieldSimulator
from sklearn_iqt.datasets import load_icbm152
from sklearn_iqt.plotting import plot_comparison, plot_snr

ax = plot_snr(("ind1", "ind2", "ulf_measured", "low_contrast"))

# %%
# Simulate the same brain with each distribution, with slices four times as thick.
template = load_icbm152()
names = ("ind1", "ulf_measured", "low_contrast", "low_contrast_noisy")
scans = {}
for name in names:
    pairs = LowFieldSimulator(name, random_state=2).simulate([template.image], [template.tissues])
    scans[name] = pairs.low[0]
    print(f"{name:19} SNR {pairs.snr[0].round(1)}, distance {pairs.mahalanobis[0]:.1f}")
figure = plot_comparison(scans, views=("coronal", "axial"))

# %%
# The contrast of a scan is the ratio that was drawn. It does not depend on the contrast of the
# brain.
grey, white = (template.tissues[n].reshape(197, 233, 189)[..., :188] for n in (1, 2))
blocks = [maps.reshape(197, 233, 47, 4).min(axis=-1) > 0.9 for maps in (grey, white)]
for name, scan in scans.items():
    mean_grey, mean_white = (np.asarray(scan.dataobj)[pure].mean() for pure in blocks)
    print(f"{name:19} white / grey = {mean_white / mean_grey:.2f}")
