"""Libraries that the library alone does not need."""

from __future__ import annotations

import importlib
import types

from inntf.core.errors import explain


def optional_module(function: str, module: str, package: str) -> types.ModuleType:
    """The module, or an error that says what to install.

    Raises:
        ImportError: where it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        received, expected = f"no package {package}", "the one of inntf's extra `recipes`"
        remedy = f'Run `pip install "inntf[recipes]"`, or `pip install {package}`.'
        raise ImportError(explain(function, received=received, expected=expected, remedy=remedy)) from error
