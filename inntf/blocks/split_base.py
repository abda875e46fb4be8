"""What every split of a coupling does."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from inntf.core.configured import Configured
from inntf.core.errors import explain


class Split(Configured):
    """Parts an event in two.  `identity` conditions the map of `transformed`; `swap=True` exchanges the two.

    Subclasses give `build(event_shape)`, `part(x) -> (identity, transformed)`, `join(identity,
    transformed) -> x`, and where the network should see something else than `identity`, `view(identity)` and `parameters(raw)`.

    Args:
        swap: exchange the two parts.

    Source: Dinh et al., "NICE: Non-linear Independent Components Estimation" (2015), section 3.2 (a partition of the entries).

    Example:
        >>> class Ends(Split):  # leaves the first and the last entry of a vector
        ...     def build(self, event_shape):
        ...         pass
        ...     def part(self, x):
        ...         return tf.concat([x[:, :1], x[:, -1:]], 1), x[:, 1:-1]
        ...     def join(self, identity, transformed):
        ...         return tf.concat([identity[:, :1], transformed, identity[:, 1:]], 1)
        >>> from inntf.blocks import AdditiveCoupling
        >>> AdditiveCoupling(split=Ends())(tf.ones([2, 5])).shape
        TensorShape([2, 5])
    """

    def __init__(self, swap: bool = False):
        self.swap = swap

    def build(self, event_shape: tuple[int | None, ...]) -> None:
        """Fix the parts for one event shape; raises ValueError where it cannot be parted."""
        raise NotImplementedError

    def part(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """`(identity, transformed)`."""
        raise NotImplementedError

    def join(self, identity: tf.Tensor, transformed: tf.Tensor) -> tf.Tensor:
        """Undo `part`."""
        raise NotImplementedError

    def view(self, identity: tf.Tensor) -> tf.Tensor:
        """What the conditioner sees of the identity part."""
        return identity

    def parameters(self, raw: tf.Tensor) -> tf.Tensor:
        """The conditioner's output at the places of the transformed part."""
        return raw

    def _too_small(self, size: Any, event_shape: tuple[int | None, ...]) -> ValueError:
        return ValueError(
            explain(
                type(self).__name__,
                received=f"an event of shape {tuple(event_shape)}",
                expected=f"at least 2 entries along the axis it parts, not {size}",
                remedy="A coupling needs both an identity and a transformed part; squeeze the image first, or split otherwise.",
            )
        )
