"""
Scans that are drawn again while a model learns
===============================================

A model that learns from one simulated scan of each person learns the contrast of these scans. A
collection of simulated scans gives it many scans of each.
"""

# %%
# ``"wide"`` is a simulator of any scanner. The example fixes the slices, so that the scans below
# differ in contrast, noise and bias field only. Six draws of one person:
import numpy as np
from sklearn.linear_model import Ridge

from sklearn_iqt import PatchwiseRegressor
from sklearn_iqt.datasets import make_subjects
from sklearn_iqt.metrics import nrmse
from sklearn_iqt.plotting import plot_comparison
from sklearn_iqt.simulation import LowFieldSimulator, SimulatedScans, get_simulator

brains = make_subjects(6, shape=(64, 76, 64), random_state=0)
simulator = get_simulator("wide", geometry=None, scale=(1, 1, 4), n_lesions=0)
scans = SimulatedScans(brains.images, brains.tissues, simulator, n_draws=8, random_state=0)
draws = {
    f"draw {number}": scans.drawn(number).as_image(0, scans.drawn(number)[0]) for number in range(6)
}
figure = plot_comparison(draws, views=("axial",))

# %%
# An estimator on patches learns from patches of ``n_draws`` draws. Nets learn from another draw in
# each epoch. Here one model learns from the scans of the paper, and one from the wide collection,
# with the same number of patches.
train, test = np.arange(4), np.arange(4, 6)
narrow = SimulatedScans(brains.images, brains.tissues, "narrow", n_draws=1, random_state=0)
models = {}
for name, collection in (("narrow", narrow), ("wide", scans)):
    model = PatchwiseRegressor(Ridge(1.0), max_patches=4000, random_state=0)
    models[name] = model.fit(collection[train], collection.targets[train])

# %%
# Neither is better everywhere. The narrow model has the lower error on scans like those of the
# paper ("ind1"), and on scans with less contrast. The wide model has the lower error on scans with
# more contrast and more noise.
for snr in ("ind1", "low_contrast", "ulf_measured"):
    pairs = LowFieldSimulator(snr, random_state=1).simulate(
        [brains.images[n] for n in test], [brains.tissues[n] for n in test]
    )
    errors = {
        name: nrmse(pairs.high, model.predict(pairs.low), match="gain")
        for name, model in models.items()
    }
    print(f"{snr:13}", {name: round(float(error), 4) for name, error in errors.items()})
