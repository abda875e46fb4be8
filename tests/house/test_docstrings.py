"""Public classes and functions say the formula, the shapes, the source, and show an example that runs."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re

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
        for name, value in sorted(vars(package).items()):
            if name.startswith("_") or not getattr(value, "__module__", "").startswith("inntf."):
                continue
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


# Something computed, in backquotes or as mathematics: an operator between names.
_FORMULA = re.compile(r"`[^`\n]*(?:[=<>*/^|+]|->)[^`\n]*`|\$[^$]+\$|^ {4,}\S.* = ", re.MULTILINE)
_SHAPE = re.compile(r"`\([^`]*\)`|`S\b|\bscalars?\b|\bshapes?\b", re.IGNORECASE)
# No tensor goes in or comes out.
_WITHOUT_SHAPES = {
    "Geometric",
    "Poisson",
    "activation_lipschitz",
    "certify_norms",
    "grid_limit",
    "spectral_layers",
    "truncation_bound",
    "update_norms",
}
_OF_MATHEMATICS = ("inntf.numerics", "inntf.nets", "inntf.blocks")


def _mathematics():
    for p in _public():
        value = p.values[0]
        is_error = inspect.isclass(value) and issubclass(value, Exception)
        if value.__module__.startswith(_OF_MATHEMATICS) and not (is_error or dataclasses.is_dataclass(value)):
            yield p


@pytest.mark.parametrize("value", _mathematics())
def test_mathematics_says_formula_and_shapes(value):
    doc = _own_doc(value)
    assert _FORMULA.search(doc), "the docstring shows no formula"
    has_shapes = _SHAPE.search(doc) is not None
    assert has_shapes or value.__name__ in _WITHOUT_SHAPES, "the docstring tells no shape"


def test_formulas_are_told_from_words():
    assert _FORMULA.search("`z = x + g(x)`") and _FORMULA.search("$\\|J\\|$") and _FORMULA.search("`x -> z`")
    assert not _FORMULA.search("the `forward` of a `Block`, with `name` and `dtype`")
    assert _SHAPE.search("`(batch, dim)`") and not _SHAPE.search("a call `f` with `x`")


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
