"""What became of a malformed call: refused in words, answered, or neither."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import tensorflow as tf

REFUSALS = (ValueError, TypeError, tf.errors.InvalidArgumentError, FileNotFoundError, FileExistsError)


@dataclasses.dataclass(frozen=True)
class Call:
    """One malformed call.

    Attributes:
        name: what is called with what.
        run: makes the call, and uses what it returned.
        right: whether the answer, if there is one, is right; `None`: no answer is.
    """

    name: str
    run: Callable[[], Any]
    right: Callable[[Any], bool] | None = None


def outcome(call: Call) -> str:
    """`""` for a refusal in words or a right answer, otherwise what went wrong."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            answer = call.run()
        except REFUSALS as error:
            return "" if len(str(error)) > 15 else f"{type(error).__name__} without a message: {error}"
        except Exception as error:
            return f"{type(error).__name__}: {str(error)[:120]}"
        if call.right is None:
            return f"answered: {str(answer)[:80]}"
        return "" if call.right(answer) else f"answered wrongly: {str(answer)[:120]}"
