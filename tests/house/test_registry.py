"""Every block that users can import is in the conformance registry."""

from __future__ import annotations

import inspect

import pytest

import inntf
import inntf.blocks
import inntf.compose
import inntf.numerics
from inntf.numerics.transformers import Transformer
from tests.registry import CASES, TRANSFORMERS

PUBLIC = sorted(
    {
        value
        for room in (inntf.blocks, inntf.compose)
        for value in (getattr(room, name) for name in room.__all__)
        if inspect.isclass(value) and issubclass(value, inntf.Block)
    },
    key=lambda cls: cls.__name__,
)


@pytest.fixture(scope="module")
def made():
    return {type(case.make("float32")) for case in CASES.values()}


@pytest.mark.parametrize("cls", PUBLIC, ids=lambda cls: cls.__name__)
def test_block_is_in_the_registry(cls, made):
    assert cls in made, f"{cls.__name__} is exported but no case of tests/registry.py makes one"


def _subclasses(cls):
    for sub in cls.__subclasses__():
        yield sub
        yield from _subclasses(sub)


def test_every_concrete_block_is_exported():
    """A block in a file of its own that is not exported would escape the registry."""
    for cls in _subclasses(inntf.Block):
        room = cls.__module__.split(".")
        if room[:2] in (["inntf", "blocks"], ["inntf", "compose"]) and not cls.__name__.startswith("_"):
            abstract = any(issubclass(public, cls) for public in PUBLIC if public is not cls)
            assert cls in PUBLIC or abstract, f"{cls.__module__}.{cls.__name__} is not exported"


def test_every_transformer_is_in_the_registry():
    exported = {value for value in vars(inntf.numerics).values() if inspect.isclass(value) and issubclass(value, Transformer)}
    known = {cls for cls in _subclasses(Transformer) if cls.__module__.startswith("inntf.")}
    assert known == exported - {Transformer}, "a transformer is exported by inntf.numerics"
    assert {type(make()) for make, _ in TRANSFORMERS.values()} == known, "each has an entry in TRANSFORMERS"
