"""The multi-scale architecture: after each level part of the channels leaves for the latent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.blocks.named_couplings import AffineCoupling
from inntf.blocks.splits import ChannelSplit
from inntf.compose.composition import Composition, widest_policy
from inntf.compose.level_conditions import fitted_condition
from inntf.core import Block, LipschitzBounds
from inntf.core.bounds import unknown
from inntf.core.boxes import EVERYWHERE, Box, broadcast_box, finite_box
from inntf.core.errors import explain
from inntf.core.jacobian_products import Points, linearized_in_turn, product_in_turn
from inntf.core.shapes import Shape, Sizes, known_sizes, last_size, static
from inntf.core.tags import Tags, joined
from inntf.nets.convnet import ConvNet
from inntf.numerics.transformers.scales import ExpScale


@keras.saving.register_keras_serializable("inntf")
class Multiscale(Composition):
    """Levels of image blocks with factor-out; the latent is the flat concatenation of what left, last level last.

        h_0 = x;  y_i = level_i(h_{i-1});  h_i, e_i = first, second half of the channels of y_i;  z = [e_1, e_2, ..., h_last]

    With `priors="learned"` each `e_i` is standardized given what stays: `e_i * scale(h_i) + shift(h_i)` by an affine
    coupling with one 3x3 convolution, zero at the start.  This is the learned conditional prior `p(e_i | h_i)` of Glow,
    written so that the base stays standard normal (and a temperature acts on it as on any Gaussian).

    Args:
        levels: one block per level, usually `Chain([Squeeze(), ...])`.
        priors: `"fixed"` (standard normal), `"learned"`, or a function that makes the block which standardizes a
            level's output while keeping its first half of channels.
        condition_network: a Keras layer that turns a condition into a list of feature maps, one a level, such as
            `ConditionPyramid`.  Without one, a vector goes to every level as it is, and an image is brought to each level's
            size by space-to-depth, which loses nothing.
        backprop, checkpoint_every, drift_tolerance, on_drift: as in `Composition`; `"reversible"` keeps one activation a level,
            whatever the levels are made with.
        name, dtype, trainable, validate_args: as in `Block`; the dtype is that of the widest level by default.

    Shapes: `x`: `(batch, height, width, channels)`; `z`: `(batch, height * width * channels)`; `log_det`: `(batch,)`;
    `condition`: `(batch, dim)` or `(batch, H, W, C)` with `H` a multiple of every level's height.

    Raises:
        ValueError: if a level has an odd number of channels to halve, if the first call is an inverse (the image
            size is not known then), or for unknown `priors`.

    Source: Dinh et al., "Density estimation using Real NVP" (2017), section 3.6; Kingma & Dhariwal, "Glow" (2018).

    Example:
        >>> from inntf.blocks import AffineCoupling, Squeeze
        >>> from inntf.compose import Chain
        >>> block = Multiscale([Chain([Squeeze(), AffineCoupling()]), Chain([Squeeze(), AffineCoupling()])])
        >>> block.forward_and_log_det(tf.ones([2, 8, 8, 1]))[0].shape
        TensorShape([2, 64])
    """

    allowed_event_ndims = (3,)
    default_event_ndims = 3
    inverse_event_ndims_offset = -2

    def __init__(
        self,
        levels: Sequence[Block],
        *,
        priors: Any = "fixed",
        condition_network: keras.layers.Layer | None = None,
        **kwargs: Any,
    ):
        if not levels or not all(isinstance(level, Block) for level in levels):
            raise ValueError(
                "Multiscale: received no levels or parts that are no blocks, expected inntf blocks. Pass one block per level."
            )
        if not (priors in ("fixed", "learned") if isinstance(priors, str) else callable(priors)):
            raise ValueError(f"Multiscale: received priors={priors!r}, expected 'fixed', 'learned' or a function.")
        super().__init__(**{**kwargs, "dtype": kwargs.get("dtype") or widest_policy(levels)})
        self.levels = list(levels)
        self.condition_network = condition_network
        make = {"fixed": None, "learned": self._learned_prior}[priors] if isinstance(priors, str) else priors
        self.exits = [make() for _ in self.levels[:-1]] if make else []

    def _learned_prior(self) -> Block:
        net = ConvNet((), kernel_sizes=(3,), dtype=self.dtype_policy)
        return AffineCoupling(
            conditioner=net, split=ChannelSplit(), scale=ExpScale(3.0, "tanh", 1 / 3), dtype=self.dtype_policy
        )

    @property
    def tags(self) -> Tags:  # type: ignore[override]
        """Random if a level is, exact and affine if all are and the priors."""
        return joined(block.tags for block in (*self.levels, *self.exits))

    @property
    def uses_condition(self) -> bool:  # type: ignore[override]
        """Whether any level does."""
        return any(block.uses_condition for block in (*self.levels, *self.exits))

    def build(self, input_shape: Shape) -> None:
        """Build level after level; the network for the condition first."""
        self._shapes = self._level_shapes(tuple(input_shape[1:]))
        if self.backprop.mode == "reversible":
            for level in range(len(self.levels)):
                self._guards.of(level)
        conditions = self.level_conditions(
            None if self.condition_shape is None else tf.zeros([1, *self.condition_shape], self.variable_dtype)
        )
        shape = tuple(input_shape[1:])
        for i, level in enumerate(self.levels):
            given = conditions[i]
            condition = None if given is None else static(given.shape[1:])
            level.ensure_built(shape, condition)
            shape = self._shapes[i]
            if i < len(self.levels) - 1:
                if self.exits:
                    self.exits[i].ensure_built(shape, condition)
                shape = _halved(shape)

    def _level_shapes(self, shape: Shape) -> list[Shape]:
        # Shape of each level's output, before channels leave.
        if None in shape:
            remedy = "The latent is flat; fix the size."
            raise ValueError(explain(self.name, received=f"images of shape {shape}", expected="a fixed size", remedy=remedy))
        out = []
        for i, level in enumerate(self.levels):
            shape = static(level._forward_event_shape(tf.TensorShape(shape)))
            out.append(shape)
            if i == len(self.levels) - 1:
                break
            if last_size(shape) % 2:
                received, remedy = f"{shape[-1]} channels after level {i + 1}", "Begin the level with Squeeze() or Haar()."
                raise ValueError(explain(self.name, received=received, expected="an even number, to halve", remedy=remedy))
            shape = _halved(shape)
        return out

    def _forward_event_shape(self, shape: tf.TensorShape) -> tf.TensorShape:
        self._level_shapes(static(shape))  # raises where it does not fit
        return tf.TensorShape([tf.TensorShape(shape).num_elements()])

    def _inverse_event_shape(self, shape: tf.TensorShape) -> tf.TensorShape:
        if self._x_event_shape is None:
            received, expected = "a latent before any image", "to know the image's shape"
            remedy = "Call ensure_built((height, width, channels)) or forward first; Flow(event_shape=...) does it."
            raise ValueError(explain(self.name, received=received, expected=expected, remedy=remedy))
        return tf.TensorShape(self._x_event_shape)

    def level_conditions(self, condition: tf.Tensor | None) -> list[tf.Tensor | None]:
        """One condition a level."""
        if condition is None:
            return [None] * len(self.levels)
        sizes = [shape[:2] for shape in self._shapes]
        if self.condition_network is not None:
            maps = self.condition_network(condition, sizes)
            return [tf.cast(m, condition.dtype) for m in maps]
        if condition.shape.rank != 4:
            return [condition] * len(self.levels)
        return [fitted_condition(self, condition, size) for size in sizes]  # type: ignore[arg-type]

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Image to flat latent."""
        log_dets = []

        def forward(i: int, x: tf.Tensor, condition: tf.Tensor | None) -> tf.Tensor:
            x, log_det = self._through(self.stage(i), x, condition, level=i)
            log_dets.append(log_det)
            return x

        z = self._descend(forward, x, condition)
        return z, tf.add_n(log_dets)

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Flat latent to image."""
        log_dets = []

        def back(i: int, x: tf.Tensor, condition: tf.Tensor | None) -> tf.Tensor:
            x, log_det = self._through(self.stage(i), x, condition, inverse=True, level=i)
            log_dets.append(log_det)
            return x

        return self._ascend(back, z, condition), tf.add_n(log_dets)

    def linearize(self, value: Any, condition: Any = None, inverse: bool = False) -> tuple[tf.Tensor, Points]:
        """As in `Block`, level after level."""
        points = [None] * len(self.levels)

        def visit(i: int, value: tf.Tensor, condition: tf.Tensor | None) -> tf.Tensor:
            value, points[i] = linearized_in_turn(self.stage(i), value, condition, inverse)
            return value

        return (self._ascend if inverse else self._descend)(visit, value, condition), points

    def jacobian_product(
        self, points: Points, vector: Any, condition: Any = None, inverse: bool = False, transposed: bool = False
    ) -> tf.Tensor:
        """As in `Block`, level after level; to part channels and to join them are transposes of each other."""

        def visit(i: int, vector: tf.Tensor, condition: tf.Tensor | None) -> tf.Tensor:
            return product_in_turn(self.stage(i), points[i], vector, condition, inverse, transposed)

        return (self._ascend if inverse != transposed else self._descend)(visit, vector, condition)

    def initialize(self, x: Any, condition: Any = None) -> tf.Tensor:
        """Initialize level after level; returns `forward(x)`."""

        def start(i: int, x: tf.Tensor, condition: tf.Tensor | None) -> tf.Tensor:
            for block in self.stage(i):
                x = block.initialize(x, condition)
            return x

        return self._descend(start, x, condition)

    def _descend(self, visit: Callable[..., tf.Tensor], x: tf.Tensor, condition: tf.Tensor | None) -> tf.Tensor:
        # Level after level, half of the channels leaving after each but the last.
        conditions, left = self.level_conditions(condition), []
        for i in range(len(self.levels)):
            x = visit(i, x, conditions[i])
            if i < len(self.levels) - 1:
                x, leaving = tf.split(x, 2, -1)
                left.append(_flat(leaving))
        return tf.concat([*left, _flat(x)], -1)

    def _ascend(self, visit: Callable[..., tf.Tensor], z: tf.Tensor, condition: tf.Tensor | None) -> tf.Tensor:
        # The other way: the last level first, and before each what left after it.
        conditions, pieces = self.level_conditions(condition), tf.split(z, self._sizes(), -1)
        x = tf.reshape(pieces[-1], [-1, *self._shapes[-1]])
        for i in reversed(range(len(self.levels))):
            if i < len(self.levels) - 1:
                x = tf.concat([x, tf.reshape(pieces[i], [-1, *self._half(i)])], -1)
            x = visit(i, x, conditions[i])
        return x

    def stage(self, i: int) -> list[Block]:
        """A level, and what standardizes those of its channels that leave."""
        return [self.levels[i], *self.exits[i : i + 1]]

    def _half(self, i: int) -> Shape:
        return _halved(self._shapes[i])

    def _sizes(self) -> list[int]:
        return [int(np.prod(self._half(i))) for i in range(len(self.levels) - 1)] + [int(np.prod(self._shapes[-1]))]

    def lipschitz_bounds(self, domain: tuple[Any, Any] | None = None) -> LipschitzBounds:
        """Bounds of the levels, where what has left no longer grows: `B_i = L_i * max(1, B_{i+1})`."""
        if not self.built:
            return unknown(f"{self.name} is not built")
        parts, box = [], domain
        for i in range(len(self.levels)):
            bounds = LipschitzBounds(1.0, 1.0)
            for block in self.stage(i):
                bounds, box = bounds.then(block.lipschitz_bounds(box)), block.image_box(box)
            parts.append(bounds)
            box = self._halves(i, box)[0]
        total = parts[-1]
        for bounds in reversed(parts[:-1]):
            rest = LipschitzBounds(max(1.0, total.forward), max(1.0, total.inverse), total.scope, total.reason)
            total = bounds.then(rest)
        return total

    def image_box(self, domain: Box | None) -> Box | None:
        """From level to level; flat, as the latent is."""
        if domain is None or not self.built:
            return None
        pieces: list[Box] = []
        box: Box | None = domain
        for i in range(len(self.levels)):
            for block in self.stage(i):
                box = block.image_box(box)
            stays, leaves = self._halves(i, box)
            whole = box if i == len(self.levels) - 1 else leaves
            pieces.append(EVERYWHERE if whole is None else whole)
            box = stays
        # What left first comes first.
        shapes = [*(self._half(i) for i in range(len(self.levels) - 1)), self._shapes[-1]]
        flat = [[np.broadcast_to(end, s).ravel() for end in piece] for piece, s in zip(pieces, shapes, strict=True)]
        return finite_box(*(np.concatenate(ends) for ends in zip(*flat, strict=True)))

    def _halves(self, i: int, box: Box | None) -> tuple[Box | None, Box | None]:
        """The box of what stays and the box of what leaves after level `i`."""
        if box is None:
            return None, None
        channels = last_size(self._shapes[i])
        low, high = broadcast_box(box, self._shapes[i])
        first, second = ((low[..., s], high[..., s]) for s in (slice(channels // 2), slice(channels // 2, None)))
        return first, second


def _halved(shape: Shape) -> Sizes:
    height, width, channels = known_sizes(shape)
    return (height, width, channels // 2)


def _flat(x: tf.Tensor) -> tf.Tensor:
    return tf.reshape(x, [-1, int(np.prod(static(x.shape[1:])))])
