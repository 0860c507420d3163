"""
Atoms as pictures
=================

Low and high atoms come in pairs: what one sees is what the other adds.
"""

# %%
# Atoms are learned from patches of two brains. The features are differences, which do not see
# brightness; a low atom is drawn as the smallest patch that has its features.
from sklearn_iqt import CoupledDictionaryIQT, LowFieldSimulator, PatchTransformer
from sklearn_iqt.datasets import make_subjects
from sklearn_iqt.plotting import plot_atoms

brains = make_subjects(2, shape=(80, 96, 64), random_state=2)
pairs = LowFieldSimulator(random_state=2).simulate(brains.images, brains.tissues)
model = CoupledDictionaryIQT(
    n_atoms=100,
    features="gradient",
    n_components=0.99,
    patcher=PatchTransformer(patch_size=9, stride=4, background=1),
    max_patches=5000,
    random_state=0,
)
model.fit(pairs.low, pairs.high)

# %%
# High atoms, cut along the slice axis, which runs upwards. They hold what interpolation lacks, so
# most show edges between thin slices.
ax = plot_atoms(model)

# %%
# Each low atom stands to the left of its high atom. The low one is blurred along the slice axis.
ax = plot_atoms(model, part="both", max_atoms=32)

# %%
# Cut within a slice, where the resolution is the same on both sides, they differ less.
ax = plot_atoms(model, part="both", max_atoms=32, axis=2)

# %%
# A patch is written with few of them.
codes = model.transform(pairs.low[:1])[0]
print(f"{codes.getnnz(axis=1).mean():.1f} of {codes.shape[1]} atoms in a patch, on average")
