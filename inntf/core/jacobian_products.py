"""Products by the Jacobian of a block, from what one evaluation has left: no loop is differentiated, nothing is unrolled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

Points = Any  # tensors in any nesting

_MAPS = ("forward_and_log_det", "inverse_and_log_det")
_PRODUCTS = ("linearize", "jacobian_product")


class JacobianProducts:
    """`linearize` once at a value, then any number of `jacobian_product`s there, in a `tf.function` or eagerly.

    The defaults keep the value and differentiate the map there, at one evaluation of it a product.  Compositions hand the
    vector from block to block, so that a loop over blocks stays a loop; a block overrides both where it can keep something
    that makes its products cheaper.  A class that defines its map anew is back at the defaults.
    """

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        if any(name in cls.__dict__ for name in _MAPS):
            for name in _PRODUCTS:
                if name not in cls.__dict__:
                    setattr(cls, name, getattr(JacobianProducts, name))

    @property
    def iterates(self) -> bool:
        """Whether a direction of it, or of a block inside, is found by iterations, which a product would repeat."""
        parts = self._flatten_layers(include_self=False)
        return any(part.iterates for part in parts if isinstance(part, JacobianProducts))

    def linearize(
        self, value: tf.Tensor, condition: tf.Tensor | None = None, inverse: bool = False
    ) -> tuple[tf.Tensor, Points]:
        """The image of a value, and what the products at this value need.

        Args:
            value: `(batch, *event)`, an `x`, or a `z` if `inverse`.
            condition: as in `forward_and_log_det`.
            inverse: of the inverse map.

        Returns:
            The image, and tensors in any nesting, for `jacobian_product` alone.
        """
        return self._direction(inverse)(value, condition)[0], value

    def jacobian_product(
        self,
        points: Points,
        vector: tf.Tensor,
        condition: tf.Tensor | None = None,
        inverse: bool = False,
        transposed: bool = False,
    ) -> tf.Tensor:
        """`J v`, or `J^T w` if `transposed`, sample by sample, where `linearize` was called.

        Args:
            points: what `linearize` returned beside the image, with the same condition and direction.
            vector: of the shape of the value, or of the image if `transposed`.
            condition: as in `linearize`.
            inverse: as in `linearize`.
            transposed: by the transposed Jacobian.

        Returns:
            The product, of the shape of the image, or of the value if `transposed`.
        """
        product = pulled_back if transposed else pushed_forward
        return product(lambda value: self._direction(inverse)(value, condition)[0], points, vector)

    def _direction(self, inverse: bool) -> Callable[..., tuple[tf.Tensor, Any]]:
        return self.inverse_and_log_det if inverse else self.forward_and_log_det


def linearized_in_turn(
    blocks: Sequence[Any], value: tf.Tensor, condition: tf.Tensor | None, inverse: bool
) -> tuple[tf.Tensor, Points]:
    """`linearize` of blocks applied one after the other, the last one first if `inverse`."""
    points = []
    for block in reversed(blocks) if inverse else blocks:
        value, point = block.linearize(value, condition, inverse)
        points.append(point)
    return value, points


def product_in_turn(
    blocks: Sequence[Any], points: Points, vector: tf.Tensor, condition: tf.Tensor | None, inverse: bool, transposed: bool
) -> tf.Tensor:
    """`jacobian_product` of the same blocks, by the chain rule."""
    steps = list(zip(reversed(blocks) if inverse else blocks, points, strict=True))
    for block, point in reversed(steps) if transposed else steps:
        vector = block.jacobian_product(point, vector, condition, inverse, transposed)
    return vector


def linearized_functions(functions: Sequence[Callable[..., tf.Tensor]], value: tf.Tensor) -> tuple[tf.Tensor, Points]:
    """The image under functions applied one after the other, and the input of each.

    Source: inntf.

    Example:
        >>> [float(part) for part in linearized_functions([tf.square, tf.square], tf.constant(3.0))[1]]
        [3.0, 9.0]
    """
    points = []
    for function in functions:
        points.append(value)
        value = function(value)
    return value, points


def product_of_functions(
    functions: Sequence[Callable[..., tf.Tensor]], points: Points, vector: tf.Tensor, transposed: bool
) -> tf.Tensor:
    """The product by the Jacobian of all of them; in a graph, what a function's own product does not need is not computed.

    Source: inntf.

    Example:
        >>> points = linearized_functions([tf.square, tf.square], tf.constant(3.0))[1]
        >>> float(product_of_functions([tf.square, tf.square], points, tf.constant(1.0), transposed=False))
        108.0
    """
    steps = list(zip(functions, points, strict=True))
    for function, point in reversed(steps) if transposed else steps:
        vector = (pulled_back if transposed else pushed_forward)(function, point, vector)
    return vector


def pulled_back(function: Callable[..., tf.Tensor], at: Any, cotangent: tf.Tensor) -> Any:
    """`J(at)^T cotangent` of a function of one tensor, or of a tuple of them.

    Source: reverse-mode differentiation.

    Example:
        >>> pulled_back(tf.square, tf.constant([[3.0]]), tf.constant([[2.0]])).numpy().tolist()
        [[12.0]]
    """
    one = not isinstance(at, tuple)
    at = [tf.identity(part) for part in ([at] if one else at)]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(at)
        out = function(*at)
    found = tape.gradient(
        out, at, output_gradients=tf.cast(cotangent, out.dtype), unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    for part, value in zip(found, at, strict=True):
        part.set_shape(value.shape)  # gradients of convolutions do not know it where the batch is open
    return found[0] if one else tuple(found)


def pushed_forward(function: Callable[..., tf.Tensor], at: Any, tangent: Any) -> tf.Tensor:
    """`J(at) tangent` of a function of one tensor, or of a tuple of them: the product that is linear, pulled back.

    Source: J. Townsend, "A new trick for calculating Jacobian vector products" (2017).

    Example:
        >>> one = tf.ones([1, 1])
        >>> pushed_forward(tf.multiply, (3 * one, 2 * one), (one, one)).numpy().tolist()
        [[5.0]]
    """
    at, tangent = (at, tangent) if isinstance(at, tuple) else ((at,), (tangent,))
    at = [tf.identity(part) for part in at]
    with tf.GradientTape(watch_accessed_variables=False) as outer:
        with tf.GradientTape(watch_accessed_variables=False) as inner:
            inner.watch(at)
            out = function(*at)
        dummy = tf.zeros_like(out)
        outer.watch(dummy)
        pulled = inner.gradient(out, at, output_gradients=dummy, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    given = [tf.cast(part, value.dtype) for part, value in zip(tangent, at, strict=True)]
    found = outer.gradient(pulled, dummy, output_gradients=given, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    found.set_shape(out.shape)
    return found
