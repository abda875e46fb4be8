"""An initialization from data under way: which weights it may set, and what of the data is rounding only."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
from collections.abc import Iterator
from typing import Any


@dataclasses.dataclass
class Initialization:
    """What the blocks of one `initialize` tell each other.

    Args:
        fresh_only: whether weights that have been set before (trained, loaded, by hand) are left alone.
        noise: largest standard deviation that was found to be rounding and handed on unscaled, a scalar in float64.

    Source: inntf.

    Example:
        >>> with under_way(fresh_only=True) as outer, under_way() as inner:
        ...     print(outer is inner, inner.fresh_only)
        True True
    """

    fresh_only: bool = False
    noise: Any = 0.0


_CURRENT: contextvars.ContextVar[Initialization | None] = contextvars.ContextVar("initialization", default=None)


def current() -> Initialization:
    """The initialization that is under way; one on its own where none is."""
    return _CURRENT.get() or Initialization()


@contextlib.contextmanager
def under_way(*, fresh_only: bool = False) -> Iterator[Initialization]:
    """The initialization that is under way, or a new one; the outermost says which weights may be set."""
    if (known := _CURRENT.get()) is not None:
        yield known
        return
    token = _CURRENT.set(made := Initialization(fresh_only))
    try:
        yield made
    finally:
        _CURRENT.reset(token)
