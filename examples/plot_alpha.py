"""
The effect of alpha
===================

``alpha``, which is lambda in the paper, balances detail against noise. It controls how many atoms a
patch uses.
"""

# %%
# We use one dictionary, and code patches with different weights of the lasso. K-SVD does not depend
# on ``alpha``, so the same seed gives the same low dictionary.
import tempfile

import matplotlib.pyplot as plt
from sklearn.base import clone

from sklearn_iqt import CoupledDictionaryIQT, LowFieldSimulator, PatchTransformer
from sklearn_iqt.datasets import make_subjects
from sklearn_iqt.metrics import nrmse
from sklearn_iqt.plotting import plot_comparison

brains = make_subjects(3, shape=(80, 96, 64), random_state=2)
pairs = LowFieldSimulator(random_state=2).simulate(brains.images, brains.tissues)
model = CoupledDictionaryIQT(
    n_atoms=128,
    features="intensity",
    n_components=0.999,
    patcher=PatchTransformer(patch_size=5, stride=3, background=1),
    max_patches=5000,
    memory=tempfile.mkdtemp(),
    random_state=0,
)
alphas = [0.001, 0.01, 0.1, 0.3, 1.0]
errors, atoms, enhanced = [], [], {}
for alpha in alphas:
    fitted = clone(model).set_params(alpha=alpha).fit(pairs.low[:2], pairs.high[:2])
    estimate = fitted.predict(pairs.low[2:])
    enhanced[f"alpha={alpha:g}"] = estimate[0]
    errors.append(nrmse(pairs.high[2:], estimate))
    atoms.append(fitted.transform(pairs.low[2:])[0].getnnz(axis=1).mean())
    print(f"alpha {alpha:5g}  NRMSE {errors[-1]:.4f}  atoms in a patch {atoms[-1]:.1f}")

# %%
# With a large weight, patches use no atoms, and the result is the interpolation. With a small
# weight, many atoms fit the noise, which takes time and does not reduce the error. Between the two,
# there is a wide range of good weights.
fig, ax = plt.subplots(figsize=(5, 3.5), layout="constrained")
ax.semilogx(alphas, errors, "o-", color="C0")
ax.set_xlabel("alpha")
ax.set_ylabel("NRMSE", color="C0")
right = ax.twinx()
right.semilogx(alphas, atoms, "s--", color="C1")
right.set_ylabel("atoms in a patch", color="C1")

# %%
shown = {name: enhanced[name] for name in ("alpha=0.001", "alpha=0.1", "alpha=1")}
figure = plot_comparison(shown, truth=pairs.high[2], views=("coronal",))
