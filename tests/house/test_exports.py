"""`__init__` files hold imports and a true `__all__`; importing does no work."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys

import pytest

from tests.house.source import MODULES, ROOT, files, module_name, tree

PACKAGES = [path for path in files("inntf") if path.name == "__init__.py"]


@pytest.mark.parametrize("path", PACKAGES, ids=module_name)
def test_init_holds_imports_and_all_only(path):
    body = tree(path).body
    assert isinstance(body[0], ast.Expr) and isinstance(body[0].value.value, str), "a docstring comes first"
    for node in body[1:]:
        is_all = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        assert is_all or isinstance(node, ast.Import | ast.ImportFrom), ast.unparse(node)


def _ruff_order(name: str) -> tuple[int, str]:
    # As isort sorts: names all in capitals (MLP is one), then classes, then the rest.
    return (0 if len(name) > 1 and name.isupper() else 1 if name[0].isupper() else 2), name


@pytest.mark.parametrize("path", PACKAGES, ids=module_name)
def test_all_is_true(path):
    package = importlib.import_module(module_name(path))
    exported = getattr(package, "__all__", [])
    assert list(exported) == sorted(set(exported), key=_ruff_order), "sorted as RUF022 wants it, each once"
    found = [alias for node in tree(path).body if isinstance(node, ast.ImportFrom) for alias in node.names]
    # `x as x` says: not a part of the face, and meant to be here.
    imported = {alias.asname or alias.name for alias in found if alias.asname is None or alias.asname != alias.name}
    assert set(exported) == imported, "what is imported is exported, and nothing else"
    for name in exported:
        assert hasattr(package, name)


def test_every_module_imports_and_does_no_work():
    """In a fresh process: nothing printed, no file written, no device initialized, no random state touched."""
    modules = [name for name in MODULES if name.split(".")[0] == "inntf"]
    code = f"""
import importlib, random
import numpy as np
import tensorflow as tf, tf_keras, keras, tensorflow_probability as tfp
tfp.bijectors, tfp.distributions  # TFP loads at the first look
from tensorflow.python.eager import context
started = context.context()._context_handle is not None
random.seed(1); np.random.seed(1)
states = random.getstate(), np.random.get_state()[1].copy()
for name in {modules!r}:
    importlib.import_module(name)
assert started or context.context()._context_handle is None, "importing inntf started the TensorFlow runtime"
assert random.getstate() == states[0] and (np.random.get_state()[1] == states[1]).all(), "random state changed"
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == ""


def test_version():
    import inntf

    assert inntf.__version__.count(".") == 2
