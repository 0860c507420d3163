"""The command ``sklearn-iqt``: simulate, fit, enhance, evaluate and report on NIfTI files."""

from sklearn_iqt.cli._main import main

__all__ = ["main"]
