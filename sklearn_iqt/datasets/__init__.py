"""Brains for examples: a template, subjects made from it, and a cohort to download."""

from sklearn_iqt.datasets._icbm152 import load_icbm152
from sklearn_iqt.datasets._openneuro import fetch_ds002748
from sklearn_iqt.datasets._subjects import make_subjects

__all__ = ["fetch_ds002748", "load_icbm152", "make_subjects"]
