"""Small brains, and a function that runs a command."""

import numpy as np

from sklearn_iqt.cli import main

AFFINE = np.array([[-1.0, 0, 0, 20], [0, 0, 1.0, -30], [0, 1.0, 0, -10], [0, 0, 0, 1]])


def make_brain(seed):
    """Return a small volume of three shells, similar to a head, and its label map."""
    rng = np.random.default_rng(seed)
    i, j, k = np.indices((24, 26, 32)) - np.reshape([11.5, 12.5, 15.5], (3, 1, 1, 1))
    radius = np.sqrt(i**2 + j**2 + (0.8 * k) ** 2) + 0.7 * np.sin(i + seed) * np.cos(k)
    labels = np.digitize(-radius, [-11.0, -9.5, -6.5])
    volume = np.array([0, 60, 200, 300.0])[labels] * rng.normal(1, 0.02, labels.shape)
    return volume.astype(np.float32), labels.astype(np.uint8)


def run(*arguments):
    return main([str(argument) for argument in arguments])


def names(folder):
    return sorted(path.name for path in folder.iterdir())
