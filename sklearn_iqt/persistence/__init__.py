"""Fitted models in one file of parameters and arrays, without pickle."""

from sklearn_iqt.persistence._model_file import load_model, read_model_card, save_model

__all__ = ["load_model", "read_model_card", "save_model"]
