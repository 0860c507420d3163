"""Brains to try things on, without a download: the ICBM152 template, and subjects made from it."""

from sklearn_iqt.datasets._icbm152 import load_icbm152
from sklearn_iqt.datasets._subjects import make_subjects

__all__ = ["load_icbm152", "make_subjects"]
