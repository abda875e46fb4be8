"""TensorFlow as command lines want it, without start-up noise and with its faster kernels; a library leaves both alone."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
import tempfile
import types
from collections.abc import Iterator


def quiet_tensorflow() -> None:
    """Import TensorFlow with its start-up lines held back; they are replayed if the import fails.

    Six of those lines are printed by native code before any logging is set up, so that no variable removes them:
    file descriptor 2 is redirected while the import runs.  Whoever sets `TF_CPP_MIN_LOG_LEVEL` wants the noise, or
    has settled it: then nothing is redirected.  `TF_ENABLE_ONEDNN_OPTS` is 1 unless it is set.
    """
    if "tensorflow" in sys.modules:
        return
    # Convolutions are faster with oneDNN, also on processors where TensorFlow leaves it off (those without AVX-512).
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    asked_for = "TF_CPP_MIN_LOG_LEVEL" in os.environ and os.environ["TF_CPP_MIN_LOG_LEVEL"] != "3"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if asked_for:
        importlib.import_module("tensorflow")
        return
    with _stderr_held_back():
        tensorflow = importlib.import_module("tensorflow")
        # Looking for devices prints too; naming logical ones would fix the set, which a strategy may want to change.
        tensorflow.config.list_physical_devices()
    tensorflow.get_logger().setLevel("ERROR")
    logging.getLogger("absl").setLevel("ERROR")


def quiet_import(name: str) -> types.ModuleType:
    """Import a module that pulls TensorFlow in, quietly.

    Args:
        name: full module name, such as `"recipes.common.data"`.

    Returns:
        The module.
    """
    quiet_tensorflow()
    return importlib.import_module(name)


@contextlib.contextmanager
def _stderr_held_back() -> Iterator[None]:
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held, contextlib.ExitStack() as stack:
        saved = os.dup(2)
        stack.callback(os.close, saved)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(saved, 2)
            held.seek(0)
            os.write(2, held.read())
            raise
        finally:
            os.dup2(saved, 2)
