"""Entries of the registry that stand for their class where looking at each one would take too long."""

from __future__ import annotations

import functools

from inntf.blocks.entrywise import Entrywise
from tests.registry import CASES


@functools.cache
def first_entries() -> frozenset[str]:
    """The first entry of each class (of maps of each entry: of all of them), and one with an image as condition."""
    first: dict[type, str] = {}
    for name, case in CASES.items():
        made = type(case.make("float32"))
        first.setdefault(Entrywise if issubclass(made, Entrywise) else made, name)
    return frozenset({*first.values(), "affine-image-image-condition"})
