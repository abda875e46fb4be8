"""SavedModels for TensorFlow Serving, the card beside them, and loading them back; Keras files from strangers."""

from inntf.serving.card import read_card
from inntf.serving.export import export
from inntf.serving.keras_files import UnsafeFileError, load_keras
from inntf.serving.load import Score, ServedModel, load
from inntf.serving.portable import NotPortableError, export_portable
from inntf.serving.rehearsal import ExportRefusedError
from inntf.serving.telemetry import ObservedModel, observe

__all__ = [
    "ExportRefusedError",
    "NotPortableError",
    "ObservedModel",
    "Score",
    "ServedModel",
    "UnsafeFileError",
    "export",
    "export_portable",
    "load",
    "load_keras",
    "observe",
    "read_card",
]
