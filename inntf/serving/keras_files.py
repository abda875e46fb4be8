"""A `.keras` file from a stranger, loaded only if all that it names is known to be harmless."""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from inntf.core.errors import explain
from inntf.serving.keras_archive import check_weights, read_config
from inntf.serving.keras_classes import fault_of_config

_LARGEST = 2**32
_PIECE = 2**20


class UnsafeFileError(ValueError):
    """A file that asks for something it may not, or is not what it says.

    Source: inntf.

    Example:
        >>> issubclass(UnsafeFileError, ValueError)
        True
    """


def load_keras(
    path: str | os.PathLike[str], *, classes: Sequence[type] = (), compiled: bool = True, largest: int = _LARGEST
) -> Any:
    """Load a model from a `.keras` file that somebody else has made.

    `keras.models.load_model(safe_mode=True)` refuses lambdas and little else: what a configuration names is built, and files
    that ran code have been found again and again (CVE-2025-1550, CVE-2026-1462).  Here the file is looked through before
    anything of it is built: its entries, links in its weights, sizes, and every class and function that its configuration
    names, which must be inntf's, one of Keras' own without a way out (no `Lambda`, `TFSMLayer`, lookups), or in `classes`.
    A copy is checked and loaded, so that nobody can exchange the file in between.  How long a model computes and how much
    memory it takes is not bounded by that: layers may be as wide as a file says.

    Args:
        path: of the file.
        classes: further classes it may name, registered by `keras.saving.register_keras_serializable`.
        compiled: whether the model is compiled as it was.
        largest: bytes that the file may have unpacked.

    Returns:
        The model.

    Raises:
        FileNotFoundError: if there is no such file; UnsafeFileError: a `ValueError`, with what the file asks for or what is
            wrong with it; nothing has been built or run then.

    Source: inntf.

    Example:
        >>> import tempfile
        >>> from inntf.models import DensityModel, real_nvp
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     DensityModel(real_nvp(event_shape=2, depth=1)).save(f"{folder}/model.keras")
        ...     type(load_keras(f"{folder}/model.keras")).__name__
        'DensityModel'
    """
    path = pathlib.Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            explain("load_keras", received=f"{path}, where no file is", expected="a .keras file", remedy="Check the path.")
        )
    with tempfile.TemporaryDirectory() as folder, _unsafe(path):
        copy = pathlib.Path(folder) / "model.keras"
        with path.open("rb") as file, copy.open("wb") as out:
            _copied(file, out, largest)
        try:
            with zipfile.ZipFile(copy) as archive:
                fault = fault_of_config(read_config(archive, largest), classes)
                if fault is not None:
                    raise ValueError(fault)
                weights = pathlib.Path(folder) / "model.weights.h5"
                with archive.open("model.weights.h5") as file, weights.open("wb") as out:
                    _copied(file, out, largest)
        except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError) as error:
            raise ValueError(f"no archive of a Keras model ({error})") from error
        check_weights(weights, largest)
        weights.unlink()
        try:
            return keras.models.load_model(copy, compile=compiled, safe_mode=True)
        except Exception as error:  # Keras raises what it meets; the file is what is wrong
            raise ValueError(f"a model that cannot be built ({' '.join(str(error).split())[:300]})") from error


@contextlib.contextmanager
def _unsafe(path: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise UnsafeFileError(
            explain(
                f"load_keras: {path}",
                received=error,
                expected="a model of inntf's and Keras' own classes",
                remedy="Nothing of it was run. Name classes of yours by classes=[...], if you trust them.",
            )
        ) from error


def _copied(file: io.BufferedIOBase | Any, out: io.BufferedIOBase | Any, largest: int) -> None:
    total = 0
    while piece := file.read(_PIECE):
        total += len(piece)
        if total > largest:
            raise ValueError(f"more than largest={largest} bytes")
        out.write(piece)
