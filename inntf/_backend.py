"""Keras must run on TensorFlow here; anything else is refused at import, with what to do."""

from __future__ import annotations

import os


def require_tensorflow_backend() -> None:
    """Raise unless Keras 3 runs on TensorFlow.

    Raises:
        ImportError: if Keras cannot be imported or was configured for another backend.
    """
    remedy = (
        "inntf is built on TensorFlow Probability: set the environment variable KERAS_BACKEND=tensorflow "
        "(or 'backend' in ~/.keras/keras.json) before keras is first imported."
    )
    try:
        import keras
    except Exception as error:  # a backend that is not installed, or unknown, surfaces as many kinds of error
        wanted = os.environ.get("KERAS_BACKEND")
        if wanted in (None, "", "tensorflow"):
            raise
        raise ImportError(f"inntf: Keras could not load its backend {wanted!r} ({error}). {remedy}") from error
    if keras.backend.backend() != "tensorflow":
        raise ImportError(f"inntf: received the Keras backend {keras.backend.backend()!r}, expected 'tensorflow'. {remedy}")


require_tensorflow_backend()
