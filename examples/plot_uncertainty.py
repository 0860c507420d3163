"""
Uncertainty and intervals
=========================

``return_std`` shows where errors are likely. It is not calibrated. ``ConformalIQT`` calibrates it
on subjects that the model was not trained on.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

from sklearn_iqt import ConformalIQT, CoupledDictionaryIQT, LowFieldSimulator, PatchTransformer
from sklearn_iqt.datasets import make_subjects
from sklearn_iqt.plotting import plot_volume

brains = make_subjects(8, shape=(80, 96, 64), random_state=2)
pairs = LowFieldSimulator(random_state=2).simulate(brains.images, brains.tissues)
srep = CoupledDictionaryIQT(
    n_atoms=128,
    features="intensity",
    n_components=0.999,
    patcher=PatchTransformer(patch_size=5, stride=2, background=1),
    max_patches=6000,
    random_state=0,
)
model = ConformalIQT(srep, confidence_level=0.9)
model.fit(pairs.low[:3], pairs.high[:3])
enhanced, std = model.predict(pairs.low[7:], return_std=True)

# %%
# These figures show the standard deviation and the error. Both are large at some borders of
# tissues. Much of the error is in places where the standard deviation is small.
truth, estimate, deviation = (v.get_fdata() for v in (pairs.high[7], enhanced[0], std[0]))
error = np.abs(estimate - truth)
figure = plot_volume(enhanced[0], title="enhanced")
figure = plot_volume(std[0], cmap="inferno", label="deviation", title="standard deviation")
figure = plot_volume(error, affine=brains.affine, cmap="inferno", label="error", title="error")

# %%
# Where the standard deviation is largest, the error is larger on average. Where it is small, the
# error is not zero.
brain = brains.tissues[7].sum(axis=0) > 0.5
order = np.argsort(deviation[brain])
bins = np.array_split(order, 20)
mean_deviation = [deviation[brain][part].mean() for part in bins]
mean_error = [error[brain][part].mean() for part in bins]
fig, ax = plt.subplots(figsize=(4.5, 4), layout="constrained")
ax.plot(mean_deviation, mean_error, "o-", label="voxels of the brain, in 20 bins")
ax.plot([0, max(mean_deviation)], [0, max(mean_deviation)], "k:", label="error = deviation")
ax.set(xlabel="standard deviation", ylabel="mean absolute error")
ax.legend()

# %%
# All patches use the same model, and make the same mistakes. For normally distributed errors, an
# interval of two standard deviations would contain the truth in 95 of 100 voxels.
print(f"these intervals contain it in {100 * np.mean((error < 2 * deviation)[brain]):.0f} of 100")

# %%
# Four other subjects calibrate the intervals. Each counts once, so that the promise is: for a new
# subject, with a probability of at least 0.8, at least 90 of 100 voxels are in their intervals.
model.conformalize(pairs.low[3:7], pairs.high[3:7])
_, lower, upper = model.predict_interval(pairs.low[7:])
inside = (lower[0].get_fdata() <= truth) & (truth <= upper[0].get_fdata())
print(f"{model.factor():.1f} standard deviations contain {100 * inside[brain].mean():.0f} of 100")
