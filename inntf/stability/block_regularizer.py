"""What regularizers of a block share: a weight, every how many steps, directions to draw, and honesty about lost inverses."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from inntf.compose.reversible import once_only
from inntf.core import shapes
from inntf.core.arguments import checked_count
from inntf.core.configured import Configured
from inntf.core.errors import explain
from inntf.core.random_states import random_states
from inntf.core.whole_batch import draw_rows
from inntf.numerics.stateless_draws import gaussian
from inntf.stability.block_functions import BlockFunctions

_DIRECTIONS = ("both", "forward", "inverse")
_SAME_WITH_XLA = "philox"  # what TensorFlow would choose differs within XLA
_DISTRIBUTIONS = ("sphere", "gaussian", "rademacher")
_REMEDY = (
    "A weight from the start keeps the inverse finite; a larger one, a smaller learning rate, bounded scales "
    "(SigmoidScale(low=0.5)) or float64 help where it was lost. inntf.stability.stability_report says where."
)


class BlockRegularizer(Configured):
    """Base of the regularizers: `loss += regularizer(block, x, condition, step=step)`.

        regularizer = weight * sum over directions of mean_b P_b

    with what the subclass says in `penalties`.  It is a scalar, at least float32; at steps that are no multiple of `every` it
    is zero and nothing is computed (`tf.cond` where the step is a tensor).  Gradients reach the weights, the condition and
    `x` in every backprop mode of the block, through the inverse as well.  A penalty that is not finite raises, with the
    number of samples and the direction; XLA drops assertions, so there the loss itself is not finite.

    Args:
        weight: factor of the penalty, at least 0; may be set later, for example by a callback.
        every: steps from one application to the next; there is no factor for those between.
        name: of the metric that `fit` reports.

    Raises:
        ValueError: for a negative weight or an `every` below 1.

    Source: inntf; Behrmann et al., "Understanding and Mitigating Exploding Inverses in Invertible Neural Networks" (2021),
    section 3.

    Example:
        >>> class Size(BlockRegularizer):
        ...     def penalties(self, maps, outputs, draw):
        ...         return {"latent": tf.norm(maps.forward(maps.x), axis=-1)}
        >>> from inntf.blocks import Rescale
        >>> float(Size(0.5, every=2, name="size")(Rescale(3.0), tf.constant([[3.0, 4.0]]), step=0))
        7.5
    """

    needs_log_det = False  # whether `outputs` is of use without its log-determinant

    def __init__(self, weight: float, *, every: int = 1, name: str = "regularizer"):
        checked_count(name, every=every)
        self.every, self.name = int(every), name
        self._held = tf.Variable(0.0, dtype=tf.float64, trainable=False, name=f"{name}_weight")
        self.weight = weight

    @property
    def weight(self) -> float:
        """Factor of the penalty; it may be set while training, and holds in graphs that are traced already."""
        return self._weight

    @weight.setter
    def weight(self, value: float) -> None:
        if not 0 <= value < float("inf"):
            raise ValueError(explain(self.name, received=f"weight={value}", expected="a finite number >= 0"))
        self._weight = float(value)
        self._held.assign(self._weight)

    def _arguments(self) -> dict[str, Any]:
        return super()._arguments() | {"weight": self.weight}

    def penalties(
        self, maps: BlockFunctions, outputs: tuple[tf.Tensor, tf.Tensor | None] | None, draw: Callable[..., tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        """Penalty of each sample, `(batch,)`, by what it is a penalty of.

        Args:
            maps: the block at the data.
            outputs: `z` and `log_det` where they are known.
            draw: `draw(like, distribution)`, random directions of mean squared length 1.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define penalties.")

    def applies(self, step: Any) -> Any:
        """Whether the penalty is computed at this step: a flag, or a scalar tensor where the step is one."""
        if self.every == 1:
            return True
        if step is None:
            raise ValueError(
                explain(
                    self.name,
                    received="no step",
                    expected=f"step=, to know every {self.every}th",
                    remedy="Pass the number of steps made so far, for example step=optimizer.iterations.",
                )
            )
        if not tf.is_tensor(step) and not hasattr(step, "assign"):
            return step % self.every == 0
        return tf.equal(tf.cast(tf.convert_to_tensor(step), tf.int64) % self.every, 0)

    @tf.autograph.experimental.do_not_convert  # plain TensorFlow; converting its source takes seconds
    def __call__(
        self,
        block: Any,
        x: Any,
        condition: Any = None,
        *,
        step: Any = None,
        outputs: tuple[tf.Tensor, tf.Tensor | None] | None = None,
    ) -> tf.Tensor:
        """The term of the loss, a scalar.

        Args:
            block: a block, or a model around one (the condition is embedded as the model would).
            x: `(batch, *event)`.
            condition: of the block.
            step: steps made so far, a number, a tensor or a variable; needed where `every` is not 1.
            outputs: `z, log_det` of `block.forward_and_log_det(x, condition)` with these weights, where they are there
                anyway: saves that pass.
        """
        maps, when = BlockFunctions.of(block, x, condition), self.applies(step)
        if outputs is not None:
            z, log_det = outputs
            z = shapes.flatten_leading(tf.convert_to_tensor(z), len(shapes.built_shape(maps.block._z_event_shape)))
            outputs = z, None if log_det is None else tf.reshape(log_det, [-1])
        maps, outputs = self.at(maps, outputs)
        seed = self._seed(step)
        wide = maps.x.dtype if maps.x.dtype.size >= 4 else tf.float32

        def applied() -> tf.Tensor:
            return tf.cast(self._term(maps, outputs, seed), wide)

        if not tf.is_tensor(when) or tf.executing_eagerly():
            return applied() if when else tf.zeros([], wide)
        tensors = [t for t in (maps.x, maps.condition, *(outputs or ())) if t is not None]
        return cond_with_gradients(when, applied, tensors, self.trainable_variables(maps.block), wide)

    def at(self, maps: BlockFunctions, outputs: Any) -> tuple[BlockFunctions, Any]:
        """Which maps `penalties` gets, and which of the known outputs are theirs."""
        return maps, outputs

    def trainable_variables(self, block: Any) -> list[Any]:
        """All variables that a gradient may be wanted of."""
        return list(block.trainable_variables)

    def _term(self, maps: BlockFunctions, outputs: Any, seed: tf.Tensor) -> tf.Tensor:
        draws: list[None] = []

        def draw(like: tf.Tensor, distribution: str) -> tf.Tensor:
            draws.append(None)
            return unit_directions(like, distribution, tf.random.fold_in(seed, len(draws), alg=_SAME_WITH_XLA))

        parts = [
            finite_mean(value, f"{self.name}: {what} of {maps.block.name}")
            for what, value in self.penalties(maps, outputs, draw).items()
        ]
        return tf.cast(self._held, parts[0].dtype) * tf.add_n(parts)

    def _seed(self, step: Any) -> tf.Tensor:
        # By the step, so that a run that goes on draws what it would have drawn; folded, for a step is a poor key by itself.
        own = getattr(self, "seed", None)
        if step is None or own is None:
            return tf.random.uniform([2], maxval=2**31 - 1, dtype=tf.int32)
        seed = tf.stack([tf.constant(own, tf.int32), tf.cast(tf.convert_to_tensor(step), tf.int32)])
        return tf.random.fold_in(seed, 0, alg=_SAME_WITH_XLA)


def cond_with_gradients(
    when: tf.Tensor, function: Callable[[], tf.Tensor], tensors: Sequence[tf.Tensor], variables: Sequence[Any], dtype: tf.DType
) -> tf.Tensor:
    """`function()` where `when`, else 0, a scalar whose gradients by tensors and variables are made in the same branch.

    So nothing of the branch is kept for a backward pass, and gradients of their own (reversible backpropagation, implicit ones)
    need not pass through the gradient of a `tf.cond`, which refuses variables that only they touch.
    """
    variables = [getattr(v, "_value", v) for v in variables]
    read = [*tensors, *(tf.convert_to_tensor(v) for v in variables)]

    def branch() -> tuple[tf.Tensor, ...]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([*tensors, *variables])
            value = function()
        grads = tape.gradient(value, [*tensors, *variables], unconnected_gradients="zero")
        return (value, *(tf.convert_to_tensor(g) for g in grads))

    none = [tf.zeros([], dtype), *(tf.zeros_like(t) for t in read)]
    value, *grads = tf.cond(when, lambda: [tf.stop_gradient(t) for t in branch()], lambda: none)

    @tf.custom_gradient
    def attached(*sources: tf.Tensor) -> Any:
        return tf.identity(value), lambda d: once_only([tf.cast(d, g.dtype) * g for g in grads])

    return attached(*read)


def unit_directions(like: tf.Tensor, distribution: str, seed: tf.Tensor) -> tf.Tensor:
    """Random directions of mean squared length 1, each sample its own, of the shape of `like`."""
    shape, axes = tf.shape(like), list(range(1, like.shape.rank))
    wide = like.dtype if like.dtype.size >= 4 else tf.float32
    drawn = draw_rows(lambda whole: gaussian(whole, seed, wide), shape)
    if distribution == "rademacher":
        drawn = tf.where(drawn < 0, -tf.ones_like(drawn), tf.ones_like(drawn))
    if distribution == "sphere":
        drawn /= tf.sqrt(tf.maximum(tf.reduce_sum(tf.square(drawn), axes, keepdims=True), 1e-30))
    else:
        drawn /= tf.sqrt(tf.cast(tf.reduce_prod(shape[1:]), wide))
    return tf.cast(drawn, like.dtype)


def smooth_maps(maps: BlockFunctions, outputs: Any) -> tuple[BlockFunctions, Any]:
    """The maps behind leading blocks that round or pad, and the outputs where they are theirs.

    What a block with random states made in training (dropout) is of another map.
    """
    smooth = maps.smooth()
    known = smooth is maps and not random_states(maps.block)
    return smooth, outputs if known else None


def squared_length(value: tf.Tensor) -> tf.Tensor:
    """`|value_b|^2`, `(batch,)`, at least float32."""
    wide = value if value.dtype.size >= 4 else tf.cast(value, tf.float32)
    return tf.reduce_sum(tf.square(wide), list(range(1, value.shape.rank)))


def finite_mean(per_sample: tf.Tensor, what: str) -> tf.Tensor:
    """The mean, 0 of an empty batch; raises where a sample is not finite."""
    n = tf.size(per_sample)
    bad = n - tf.math.count_nonzero(tf.math.is_finite(per_sample), dtype=tf.int32)
    text = [f"{what}: received", bad, "penalties that are not finite, of", n, f"samples, expected none. {_REMEDY}"]
    with tf.control_dependencies([tf.debugging.Assert(tf.equal(bad, 0), text)]):
        return tf.reduce_sum(per_sample) / tf.cast(tf.maximum(n, 1), per_sample.dtype)


def checked_choices(name: str, direction: str, distribution: str) -> None:
    """Refuse unknown words."""
    for argument, value, allowed in (("direction", direction, _DIRECTIONS), ("distribution", distribution, _DISTRIBUTIONS)):
        if value not in allowed:
            raise ValueError(explain(name, received=f"{argument}={value!r}", expected=" or ".join(map(repr, allowed))))


def drawn_seed(seed: int | None) -> int:
    """The seed, or one as `keras.utils.set_random_seed` lets it be."""
    return random.randrange(2**31 - 1) if seed is None else seed
