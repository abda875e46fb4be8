"""Fixed permutations of the channels."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.core import Block, LipschitzBounds
from inntf.core.errors import explain
from inntf.core.jacobian_products import Points
from inntf.core.shapes import Shape
from inntf.core.tags import Tags
from inntf.core.weights import read
from inntf.numerics.permuted import permuted


@keras.saving.register_keras_serializable("inntf")
class Permutation(Block):
    """`z[..., i] = x[..., indices[i]]`; an isometry, `log_det = 0`.

    Make one with explicit indices, or with `Permutation.shuffle(seed)` (random, fixed by the seed, for any number of
    channels) or `Permutation.reverse()`.

    Args:
        indices: a permutation of the channel numbers, `"reverse"`, or `"shuffle"`.
        seed: of the shuffle; the permutation depends on it and on the number of channels alone.
        event_ndims, name, dtype, trainable, validate_args: as in `Block`.

    Shapes: `x`, `z`: `(batch, dim)` or `(batch, height, width, channels)`; `log_det`: `(batch,)`.

    Raises:
        ValueError: if `indices` is no permutation, or not of as many entries as there are channels.

    Source: Kingma & Dhariwal, "Glow" (2018), section 3.2 (fixed permutations as the baseline).

    Example:
        >>> Permutation.reverse()(tf.constant([[1.0, 2.0, 3.0]])).numpy().tolist()
        [[3.0, 2.0, 1.0]]
    """

    tags = Tags(affine=True)

    uses_condition = False

    def __init__(self, indices: Sequence[int] | str = "shuffle", *, seed: int | None = None, **kwargs: Any):
        if isinstance(indices, str) and indices not in ("shuffle", "reverse"):
            raise ValueError(f"Permutation: received indices={indices!r}, expected numbers, 'shuffle' or 'reverse'.")
        if isinstance(indices, str) and indices == "shuffle" and seed is None:
            seed = random.randrange(2**31)
        super().__init__(**kwargs)
        self._arguments["seed"] = seed  # a drawn seed is part of the configuration: a copy shuffles alike
        self.indices = indices if isinstance(indices, str) else [int(i) for i in indices]
        self.seed = seed
        if not isinstance(indices, str) and sorted(self.indices) != list(range(len(self.indices))):
            raise ValueError(
                explain(
                    self.name,
                    received=f"indices={self.indices}",
                    expected="every number from 0 to channels - 1 once",
                    remedy="Pass a permutation, or use Permutation.shuffle(seed).",
                )
            )

    @classmethod
    def shuffle(cls, seed: int | None = None, **kwargs: Any) -> Permutation:
        """A random permutation, the same for the same seed and number of channels."""
        return cls("shuffle", seed=seed, **kwargs)

    @classmethod
    def reverse(cls, **kwargs: Any) -> Permutation:
        """The channels in reverse order."""
        return cls("reverse", **kwargs)

    def build(self, input_shape: Shape) -> None:
        """Fix the permutation for this number of channels."""
        size = input_shape[-1]
        if isinstance(self.indices, list) and len(self.indices) != size:
            raise ValueError(
                explain(
                    self.name,
                    received=f"{size} channels",
                    expected=f"{len(self.indices)}, the length of indices",
                    remedy="Pass as many indices as there are channels.",
                )
            )
        if self.indices == "reverse":
            return
        # A weight rather than a constant: it is saved with the others, and a `Repeat` can hold one a block.  In floating
        # numbers, which hold integers exactly up to 2^24: accelerators have no place for variables of integers.
        self.order = self.add_weight(
            shape=(size,), initializer="zeros", dtype="float32", trainable=False, autocast=False, name="order"
        )
        self.order.assign(self.draw_weights(input_shape)["order"])

    @property
    def takes_any_dtype(self) -> bool:
        """Whether values of every floating dtype pass: the weight says places, nothing is computed with it."""
        return True

    def draw_weights(self, input_shape: Shape) -> dict[str, np.ndarray]:
        """The order as a fresh block would have it."""
        if self.indices == "reverse":
            return {}
        if self.indices == "shuffle":
            return {"order": np.random.default_rng(self.seed).permutation(input_shape[-1]).astype("int32")}
        return {"order": np.asarray(self.indices, "int32")}

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Permute."""
        if self.indices == "reverse":
            return tf.reverse(x, [-1]), tf.zeros([], x.dtype)
        # Weights that have become NaN are no places: no call may fail for it, and what they ruin elsewhere shows it.
        order = tf.clip_by_value(read(self.order, tf.int32), 0, x.shape[-1] - 1)
        return permuted(x, order), tf.zeros([], x.dtype)

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Permute back."""
        if self.indices == "reverse":
            return tf.reverse(z, [-1]), tf.zeros([], z.dtype)
        back = tf.argsort(read(self.order))  # the inverse permutation
        return permuted(z, back), tf.zeros([], z.dtype)

    def linearize(self, value: tf.Tensor, condition: Any = None, inverse: bool = False) -> tuple[tf.Tensor, Points]:
        """As in `Block`; nothing is kept."""
        return self._direction(inverse)(value)[0], ()

    def jacobian_product(
        self, points: Points, vector: tf.Tensor, condition: Any = None, inverse: bool = False, transposed: bool = False
    ) -> tf.Tensor:
        """As in `Block`: the transpose is the inverse."""
        return self._direction(inverse != transposed)(vector)[0]

    def lipschitz_bounds(self, domain: tuple[Any, Any] | None = None) -> LipschitzBounds:
        """Exactly 1 both ways."""
        return LipschitzBounds(1.0, 1.0)
