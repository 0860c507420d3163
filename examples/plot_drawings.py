"""
The methods as drawings
=======================

Figures 1 and 2 of the paper, drawn from small fitted models: every picture is an array that the
model computes for one brain.
"""

# %%
# IQT-SRep first: the scan **Y** is interpolated to **X**\ :sub:`0`. A patch **y** of it becomes
# features **Fy**, and these a sparse code **α**. The same code, with the high atoms, is the detail
# of the patch. Overlapping patches are averaged to **X**.
from functools import partial
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.patches import ConnectionPatch

from sklearn_iqt import CoupledDictionaryIQT, DDLRegressor, LowFieldSimulator, PatchTransformer
from sklearn_iqt.datasets import make_subjects
from sklearn_iqt.preprocessing import upsample

brains = make_subjects(3, shape=(64, 80, 64), random_state=2)
pairs = LowFieldSimulator(random_state=2).simulate(brains.images, brains.tissues)
scan = pairs.low[2].get_fdata(dtype=np.float32)


def draw(steps):
    # Draw arrays from left to right, with an arrow before all but the second input.
    figure, axes = plt.subplots(1, len(steps), figsize=(13, 2.4), layout="constrained")
    for ax, (title, array) in zip(axes, steps.items(), strict=True):
        show = partial(ax.imshow, cmap="gray", origin="lower") if array.ndim == 2 else ax.plot
        show(array.T)
        ax.set(xticks=[], yticks=[], title=title)
    for left, right in pairwise(axes):
        if not right.get_title().startswith("and "):
            places = {"coordsA": left.transAxes, "coordsB": right.transAxes, "arrowstyle": "->"}
            figure.add_artist(ConnectionPatch((1, 0.5), (0, 0.5), **places))


coronal = np.s_[:, 40]  # this view contains the thick axis
options = {"patcher": PatchTransformer(7, 3, background=1), "max_patches": 6000, "random_state": 0}
srep = CoupledDictionaryIQT(128, features="gradient", **options)
srep.fit(pairs.low[:2], pairs.high[:2])
unit = scan.max()
interpolated = upsample(scan / unit, (1, 1, 4))
rows = PatchTransformer(7, 3).fit([interpolated]).transform([interpolated])
row = rows[[rows.std(axis=1).argmax()]]
code = srep.transform(row)[0]
strongest = srep.dictionary_high_[np.abs(code).argsort()[-9:]].reshape(3, 3, 7, 7, 7)[..., 3, :]
steps = {
    "scan Y": np.repeat(scan[coronal], 4, axis=1),
    "interpolated X₀": interpolated[coronal],
    "patch y": row.reshape(7, 7, 7)[:, 3],
    "features Fy": srep.projection_ @ row[0],
    "code α": code,
    "its high atoms Dₕ": strongest.swapaxes(1, 2).reshape(21, 21),
    "patch y + Dₕα": srep.predict(row).reshape(7, 7, 7)[:, 3],
    "result X": srep.predict([scan])[0][coronal],
}
draw(steps)

# %%
# IQT-DDL: noise **z** becomes a dictionary **D**\ :sub:`H` of high atoms. The net computes from the
# scan the weight **M** of every atom in every voxel. Their weighted sum **x** has edges between
# slices, which the complementary map hides. The net here was trained for a few seconds only.
size = {"n_blocks": 1, "patch_size": (16, 16, 4), "batch_size": 4, "max_steps": 10}
ddl = DDLRegressor(8, lr=1e-3, random_state=0, **size)
ddl.fit(pairs.low[:2], pairs.high[:2])
net = ddl.net_.module_.eval()
x = torch.from_numpy(scan / unit)[None, None]
atoms, coded = net.dictionary(net.eval_noise)
maps = net.predictor(net.extractor(x), coded).detach().numpy()
steps = {
    "noise z": net.eval_noise[0].numpy(),
    "dictionary D$_H$": atoms.detach().numpy()[0].reshape(8, -1),
    "and scan Y": np.repeat(scan[coronal], 4, axis=1),
    "weight M of one atom": np.repeat(maps[0, 0][coronal], 4, axis=1),
    "sum x, fused": ddl.predict([scan])[0][coronal] - unit * interpolated[coronal],
    "result X": ddl.predict([scan])[0][coronal],
}
draw(steps)
