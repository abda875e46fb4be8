"""Entries of the registry that stand for their class where looking at each one would take too long."""

from __future__ import annotations

import functools

from tests.registry import CASES


@functools.cache
def first_entries() -> frozenset[str]:
    """The first entry of each class, and one with an image as condition."""
    first: dict[type, str] = {}
    for name, case in CASES.items():
        first.setdefault(type(case.make("float32")), name)
    return frozenset({*first.values(), "affine-image-image-condition"})
