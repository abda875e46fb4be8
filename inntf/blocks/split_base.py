"""What every split of a coupling does."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from inntf.core.errors import explain
from inntf.numerics.arguments import typed


class Split:
    """Parts an event in two.  `kept` conditions the map of `moved`; `swap=True` exchanges the two.

    Subclasses give `build(event_shape)`, `part(x) -> (kept, moved)`, `join(kept, moved) -> x`, and where the network should
    see something else than `kept`, `view(kept)` and `parameters(raw)`.

    Args:
        swap: exchange the two parts.

    Source: Dinh et al., "NICE: Non-linear Independent Components Estimation" (2015), section 3.2 (a partition of the entries).

    Example:
        >>> class Ends(Split):  # keeps the first and the last entry of a vector
        ...     def build(self, event_shape):
        ...         pass
        ...     def part(self, x):
        ...         return tf.concat([x[:, :1], x[:, -1:]], 1), x[:, 1:-1]
        ...     def join(self, kept, moved):
        ...         return tf.concat([kept[:, :1], moved, kept[:, 1:]], 1)
        >>> from inntf.blocks import AdditiveCoupling
        >>> AdditiveCoupling(split=Ends())(tf.ones([2, 5])).shape
        TensorShape([2, 5])
    """

    @typed
    def __init__(self, swap: bool = False):
        self.swap = swap

    def build(self, event_shape: tuple[int | None, ...]) -> None:
        """Fix the parts for one event shape; raises ValueError where it cannot be parted."""
        raise NotImplementedError

    def part(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """`(kept, moved)`."""
        raise NotImplementedError

    def join(self, kept: tf.Tensor, moved: tf.Tensor) -> tf.Tensor:
        """Undo `part`."""
        raise NotImplementedError

    def view(self, kept: tf.Tensor) -> tf.Tensor:
        """What the conditioner sees of the kept part."""
        return kept

    def parameters(self, raw: tf.Tensor) -> tf.Tensor:
        """The conditioner's output at the places of the moved part."""
        return raw

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {"swap": self.swap}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Split:
        """A split from `get_config()`."""
        return cls(**config)

    def _too_small(self, size: Any, event_shape: tuple[int | None, ...]) -> ValueError:
        return ValueError(
            explain(
                type(self).__name__,
                received=f"an event of shape {tuple(event_shape)}",
                expected=f"at least 2 entries along the axis it parts, not {size}",
                remedy="A coupling needs something to keep and to move; squeeze the image first, or use another split.",
            )
        )
