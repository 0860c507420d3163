"""
Pictures of atoms
=================

Low and high atoms are pairs: a low atom recognises a pattern, and its high atom adds the detail.
"""

# %%
# Learn atoms from patches of two brains. The features are differences, which do not depend on
# brightness. A low atom is drawn as the smallest patch with its features.
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
# These are the high atoms, cut along the slice axis, which points upwards. They contain the detail
# that interpolation lacks, so most of them show edges between thin slices.
ax = plot_atoms(model)

# %%
# Here, each low atom is to the left of its high atom. The low atoms are blurred along the slice
# axis.
ax = plot_atoms(model, part="both", max_atoms=32)

# %%
# Within a slice, where low and high volumes have the same resolution, low and high atoms differ
# less.
ax = plot_atoms(model, part="both", max_atoms=32, axis=2)

# %%
# Each patch uses only a few atoms.
codes = model.transform(pairs.low[:1])[0]
print(f"{codes.getnnz(axis=1).mean():.1f} of {codes.shape[1]} atoms in a patch, on average")
