"""
The spread of patches
=====================

``return_std`` shows places where patches disagree. It is not a confidence interval.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

from sklearn_iqt import CoupledDictionaryIQT, LowFieldSimulator, PatchTransformer
from sklearn_iqt.datasets import make_subjects
from sklearn_iqt.plotting import plot_volume

brains = make_subjects(4, shape=(80, 96, 64), random_state=2)
pairs = LowFieldSimulator(random_state=2).simulate(brains.images, brains.tissues)
model = CoupledDictionaryIQT(
    n_atoms=128,
    features="intensity",
    n_components=0.999,
    patcher=PatchTransformer(patch_size=5, stride=2, background=1),
    max_patches=6000,
    random_state=0,
)
model.fit(pairs.low[:3], pairs.high[:3])
enhanced, std = model.predict(pairs.low[3:], return_std=True)

# %%
# These figures show the spread of the overlapping predictions, and the error. Both are large at
# some borders of tissues. Much of the error is in places where the spread is small.
truth, estimate, spread = (v.get_fdata() for v in (pairs.high[3], enhanced[0], std[0]))
error = np.abs(estimate - truth)
figure = plot_volume(enhanced[0], title="enhanced")
figure = plot_volume(std[0], cmap="inferno", label="spread", title="spread of the patches")
figure = plot_volume(error, affine=brains.affine, cmap="inferno", label="error", title="error")

# %%
# Where patches disagree most, the error is larger on average. Where they agree, it is not zero.
brain = brains.tissues[3].sum(axis=0) > 0.5
order = np.argsort(spread[brain])
bins = np.array_split(order, 20)
mean_spread = [spread[brain][part].mean() for part in bins]
mean_error = [error[brain][part].mean() for part in bins]
fig, ax = plt.subplots(figsize=(4.5, 4), layout="constrained")
ax.plot(mean_spread, mean_error, "o-", label="voxels of the brain, in 20 bins")
ax.plot([0, max(mean_spread)], [0, max(mean_spread)], "k:", label="error = spread")
ax.set(xlabel="spread of the patches", ylabel="mean absolute error")
ax.legend()

# %%
# All patches use the same model, and make the same mistakes. For normally distributed errors, an
# interval of two standard deviations would contain the truth in 95 of 100 voxels.
print(f"these intervals contain it in {100 * np.mean((error < 2 * spread)[brain]):.0f} of 100")
