"""
Saving and loading a model
==========================

A model file contains parameters, arrays and facts about the training. It does not contain code.
"""

# %%
import tempfile
from pathlib import Path

import numpy as np

from sklearn_iqt import (
    CoupledDictionaryIQT,
    LowFieldSimulator,
    PatchTransformer,
    load_model,
    save_model,
)
from sklearn_iqt.datasets import make_subjects
from sklearn_iqt.exceptions import UntrustedModelError
from sklearn_iqt.persistence import TrainingCard, read_model_card

brains = make_subjects(2, shape=(80, 96, 64), random_state=2)
pairs = LowFieldSimulator("t1w_036t", random_state=2).simulate(brains.images, brains.tissues)
model = CoupledDictionaryIQT(
    n_atoms=64, patcher=PatchTransformer(5, 3), max_patches=4000, random_state=0
)
model.fit(pairs.low, pairs.high)

# %%
# The training card has the facts that a user must know before trusting the model.
path = Path(tempfile.mkdtemp()) / "srep.iqt"
save_model(
    model,
    path,
    training=TrainingCard(
        cohort="2 brains warped from ICBM152",
        n_pairs=2,
        snr_presets="t1w_036t",
        spacing_low_mm=(1, 1, 4),
        seed=0,
        notes={"left out": "nobody"},
    ),
)
print(f"{path.stat().st_size / 1e6:.2f} MB")

# %%
# You can read the card without loading the model.
card = read_model_card(path)
print(card.class_name, card.params)
print(card.training)

# %%
# The loaded model makes bit-identical predictions.
loaded = load_model(path)
scan = pairs.low[:1]
print(np.array_equal(loaded.predict(scan)[0].get_fdata(), model.predict(scan)[0].get_fdata()))

# %%
# A damaged file is refused. Loading a file from a stranger cannot run code.
path.write_bytes(path.read_bytes()[:-100])
try:
    load_model(path)
except UntrustedModelError as error:
    print(error)
