"""The density that an inverse, restricted to the first entries of its latent, gives to the surface that it maps to."""

from __future__ import annotations

import math

import tensorflow as tf

from inntf.compose.backprop import backprop_mode
from inntf.core import Block
from inntf.core.refusals import values_only
from inntf.core.shapes import known_sizes


def log_density_on_image(block: Block, z: tf.Tensor, kept: int) -> tf.Tensor:
    r"""$\log \mathcal N(y; 0, I) - \frac12 \log\det(J^\top J)$: $y$ the first entries of `z`, $J = \partial x / \partial y$.

    The density of `inverse(z)` with `y` normal and the other entries held, with respect to the `kept`-dimensional area
    (Hausdorff measure) of its image.  `J` is exact: `kept` Jacobian products, some three inverses each, and `|diag R|`
    of its QR decomposition, which loses half of the digits that $J^\top J$ would.  Of all entries it is the log-determinant.

    Args:
        block: built.
        z: `(batch, *latent)`.
        kept: number of entries of `y`, in raster order.

    Returns:
        `(batch,)`, nats, at least float32.

    Source: Ben-Israel, "The change-of-variables formula using matrix volume" (1999), equation 1.4; in flows: Brehmer and
        Cranmer, "Flows for simultaneous manifold learning and density estimation" (2020), equation 6.

    Example:
        >>> from inntf.blocks import Rescale
        >>> block = Rescale(scale=2.0).ensure_built((3,))  # x = z / 2: a plane is shrunk by 1 / 4
        >>> round(float(log_density_on_image(block, tf.zeros([1, 3]), 2)[0] + math.log(2 * math.pi)), 4)
        1.3863
    """
    size = math.prod(known_sizes(block._z_event_shape))
    flat = tf.reshape(z, [-1, size])[:, :kept]
    with backprop_mode("stored"):
        volume = block.inverse_and_log_det(z)[1] if kept == size else _log_volume(block, z, kept, size)
    normal = -0.5 * tf.reduce_sum(tf.square(flat), 1) - 0.5 * kept * math.log(2 * math.pi)
    return tf.cast(normal, volume.dtype) - volume


def _log_volume(block: Block, z: tf.Tensor, kept: int, size: int) -> tf.Tensor:
    with values_only():
        points = block.linearize(z, None, inverse=True)[1]

        def column(unit: tf.Tensor) -> tf.Tensor:
            vector = tf.broadcast_to(tf.reshape(unit, [1, *known_sizes(block._z_event_shape)]), tf.shape(z))
            product = block.jacobian_product(points, tf.ensure_shape(vector, z.shape), None, inverse=True)
            return tf.reshape(product, [-1, math.prod(known_sizes(block.event_shape))])

        columns = tf.map_fn(column, tf.eye(kept, size, dtype=z.dtype), parallel_iterations=1)
    triangle = tf.linalg.qr(tf.transpose(columns, [1, 2, 0])).r
    return tf.reduce_sum(tf.math.log(tf.abs(tf.linalg.diag_part(triangle))), 1)
