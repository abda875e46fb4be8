"""SavedModels for TensorFlow Serving, the card beside them, and loading them back."""

from inntf.serving.card import read_card
from inntf.serving.export import export
from inntf.serving.load import ServedModel, load

__all__ = ["ServedModel", "export", "load", "read_card"]
