"""Model files without code: save a fitted model, load it, and read its card."""

from sklearn_iqt.persistence._card import ModelCard, TrainingCard
from sklearn_iqt.persistence._model_file import load_model, read_model_card, save_model

__all__ = ["ModelCard", "TrainingCard", "load_model", "read_model_card", "save_model"]
