"""Model files without code: save a fitted model, load it, and read its card."""

from sklearn_iqt.persistence._card import ModelCard, TrainingCard
from sklearn_iqt.persistence._model_file import load_model, read_model_card, save_model
from sklearn_iqt.persistence._pretrained import list_pretrained, load_pretrained
from sklearn_iqt.persistence._registry import register_class

__all__ = [
    "ModelCard",
    "TrainingCard",
    "list_pretrained",
    "load_model",
    "load_pretrained",
    "read_model_card",
    "register_class",
    "save_model",
]
