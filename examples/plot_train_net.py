"""
Training and resuming a net
===========================

A training that was stopped continues from its checkpoint, and ends with the same weights.
"""

# %%
# The U-Net is very small, so that this page takes little time. One whole volume is held out, and
# validates every epoch.
import tempfile
from pathlib import Path

import numpy as np
from sklearn.base import clone

from sklearn_iqt import AnisoUNetRegressor, InterpolationIQT, LowFieldSimulator
from sklearn_iqt.datasets import make_subjects
from sklearn_iqt.metrics import nrmse
from sklearn_iqt.plotting import plot_learning_curve

brains = make_subjects(4, shape=(80, 96, 64), random_state=2)
pairs = LowFieldSimulator(random_state=2).simulate(brains.images, brains.tissues)
low, high = pairs.low[:3], pairs.high[:3]
net = AnisoUNetRegressor(
    n_filters=4,
    n_levels=3,
    patch_size=(16, 16, 4),
    batch_size=16,
    max_patches=300,
    lr=3e-3,
    validation_fraction=0.3,
    random_state=0,
)
whole = clone(net).set_params(max_epochs=5).fit(low, high)
ax = plot_learning_curve(whole)

# %%
# Here the same training stops after two epochs. ``checkpoint=`` keeps its state after each epoch:
# weights, optimiser, order of the patches and random numbers.
folder = Path(tempfile.mkdtemp()) / "state"
net.set_params(checkpoint=folder)
stopped = clone(net).set_params(max_epochs=2).fit(low, high)
print("epochs before the stop", stopped.n_iter_)

# %%
# Another call finds the checkpoint and continues. After a crash, a call in a new process does the
# same.
resumed = clone(net).set_params(max_epochs=5).fit(low, high)
print("epochs in the end", resumed.n_iter_)
one, other = (model.predict(pairs.low[3:])[0].get_fdata() for model in (whole, resumed))
print("largest difference between the two", np.abs(one - other).max())

# %%
# After a few minutes of training, the net is better than interpolation for a new subject. After
# hours it is better still.
for name, model in {"interpolation": InterpolationIQT().fit(low, high), "U-Net": resumed}.items():
    print(f"{name:14}{nrmse(pairs.high[3:], model.predict(pairs.low[3:])):.4f}")
