"""The command ``sklearn-iqt``: simulate, fit, enhance and evaluate on NIfTI files, and a demo."""

from sklearn_iqt.cli._main import main

__all__ = ["main"]
