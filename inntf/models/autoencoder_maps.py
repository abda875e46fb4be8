"""What an autoencoder computes: codes, data of codes, samples, densities."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from inntf.core import Block
from inntf.core.empty_batch import at_least_one_row
from inntf.core.errors import explain
from inntf.core.initialization import under_way
from inntf.core.refusals import values_only
from inntf.core.sampling_arguments import sample_shape
from inntf.models.injective_density import log_density_on_image
from inntf.numerics.stateless_draws import gaussian


class AutoencoderMaps:
    """Mixin of `InnAutoencoder`: the maps between data and codes."""

    block: Block
    bottleneck: int
    dim: int
    name: str

    def encode(self, x: Any) -> tf.Tensor:
        """The code of data: `(batch, *event)` to `(batch, bottleneck)`."""
        return self.latent(x)[0]

    def latent(self, x: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """The code and what decoding replaces by zeros: `(batch, bottleneck)` and `(batch, dim - bottleneck)`."""
        return self._parted(self._forward(self._cast(x)))

    def decode(self, y: Any) -> tf.Tensor:
        """The data of codes: `(batch, bottleneck)` to `(batch, *event)`.

        Raises:
            ValueError: for codes of another width.
        """
        return self.block.inverse_value(self.padded(y))

    def padded(self, y: Any) -> tf.Tensor:
        """`(y, 0)` in the shape of the latent: what `decode` takes back."""
        y = self._cast(y)
        if y.shape.rank != 2 or y.shape[1] not in (self.bottleneck, None):
            expected = f"(batch, {self.bottleneck})"
            raise ValueError(explain(f"{self.name}.decode", received=f"codes of shape {y.shape}", expected=expected))
        y = tf.ensure_shape(y, [None, self.bottleneck])
        return tf.reshape(tf.pad(y, [[0, 0], [0, self.dim - self.bottleneck]]), [-1, *self.block._z_event_shape])

    def reconstruct(self, x: Any) -> tf.Tensor:
        """`decode(encode(x))`, `(batch, *event)`."""
        return self.decode(self.encode(x))

    def sample(self, n: Any, seed: Any = None) -> tf.Tensor:
        """`decode(y)` of `n` codes from N(0, I): of use where `prior_weight` has made codes so.

        Args:
            n: how many.
            seed: an integer or two; the same seed gives the same samples.

        Returns:
            `(n, *event)`.

        Raises:
            ValueError: for what is no number of samples.
        """
        shape = sample_shape(f"{self.name}.sample", n)
        if isinstance(shape, list) and len(shape) != 1:
            raise ValueError(explain(f"{self.name}.sample", received=f"n={n!r}", expected="one number of samples"))
        if isinstance(seed, int | np.integer):
            seed = [int(seed) & 0x7FFFFFFF, int(seed) >> 31 & 0x7FFFFFFF]
        return self.decode(self._normal(tf.concat([tf.reshape(shape, [1]), [self.bottleneck]], 0), seed))

    def log_prob(self, x: Any) -> tf.Tensor:
        r"""Log-density of the reconstruction of `x` on the surface of all that can be decoded, for codes from N(0, I).

        $\log \mathcal N(y; 0, I) - \tfrac12 \log\det(J^\top J)$ with $y$ = `encode(x)` and $J$ the `(dim, bottleneck)`
        Jacobian of `decode` there.  It is a density with respect to the `bottleneck`-dimensional area (Hausdorff measure) of
        the surface `decode(R^bottleneck)`, at the point `reconstruct(x)`: how far `x` is from it does not count, and values
        of two bottlenecks are in two units.  With a bottleneck of all entries it is the density of the flow, in nats of `x`.

        Exact, at the cost of `bottleneck` Jacobian products, some three decodings each, and memory for
        `bottleneck * dim` numbers a sample: pass large data in batches.

        Args:
            x: `(batch, *event)`.

        Returns:
            `(batch,)`, nats.
        """
        y = self.encode(x)
        some = at_least_one_row(y)
        return (self._density(some) if tf.executing_eagerly() else self._log_prob_of_code(some))[: tf.shape(y)[0]]

    def initialize(self, x: Any) -> AutoencoderMaps:
        """Data-dependent initialization of the ActNorms on a batch; returns self."""
        with under_way():
            self.block.initialize(self._cast(x))
        return self

    def _forward(self, x: tf.Tensor) -> tf.Tensor:
        with values_only(weights=True):
            return self.block.forward_and_log_det(x)[0]

    def _parted(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        flat = tf.reshape(z, [-1, self.dim])
        return flat[:, : self.bottleneck], flat[:, self.bottleneck :]

    def _cast(self, value: Any) -> tf.Tensor:
        return tf.cast(tf.convert_to_tensor(value), self.block.variable_dtype)

    def _normal(self, shape: Any, seed: Any) -> tf.Tensor:
        if seed is None:
            seed = tf.random.uniform([2], 0, np.iinfo(np.int32).max, tf.int32)
        return gaussian(shape, tf.convert_to_tensor(seed, tf.int32), tf.as_dtype(self.block.variable_dtype))

    def _log_prob_of_code(self, y: tf.Tensor) -> tf.Tensor:
        return log_density_on_image(self.block, self.padded(y), self.bottleneck)
