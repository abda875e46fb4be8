"""Public classes and functions say the formula, the shapes, the source, and show an example that runs."""

from __future__ import annotations

import dataclasses
import importlib
import inspect

import pytest

import inntf
from tests.house.source import ROOMS


def _public():
    seen = set()
    for room in ROOMS:
        try:
            package = importlib.import_module(f"inntf.{room}")
        except ModuleNotFoundError:
            continue
        for name in getattr(package, "__all__", []):
            value = getattr(package, name)
            if (inspect.isclass(value) or inspect.isfunction(value)) and id(value) not in seen:
                seen.add(id(value))
                yield pytest.param(value, id=f"{room}.{name}")


def _own_doc(value) -> str:
    return inspect.cleandoc(value.__dict__.get("__doc__") or "" if inspect.isclass(value) else value.__doc__ or "")


@pytest.mark.parametrize("value", _public())
def test_docstring(value):
    doc = _own_doc(value)
    assert doc, "no docstring"
    # What only holds results needs no example of its own: the function that returns it shows one.
    wanted = () if dataclasses.is_dataclass(value) else ("Source", ">>>")
    missing = [part for part in wanted if part not in doc]
    assert not missing, f"the docstring lacks {missing}"
    assert "`" in doc or not wanted, "the docstring shows no formula or shape"


def _blocks():
    return [p for p in _public() if inspect.isclass(p.values[0]) and issubclass(p.values[0], inntf.Block)]


@pytest.mark.parametrize("cls", _blocks())
def test_block_docstring(cls):
    doc = _own_doc(cls)
    assert "log_det" in doc, "what is its log-determinant?"
    if cls is not inntf.Block:
        assert "Shapes:" in doc and "batch" in doc, "which shapes?"
    arguments = [p for p in inspect.signature(cls.__init__).parameters if p not in ("self", "args", "kwargs")]
    for name in arguments:
        assert name in doc, f"argument {name} is not described"
