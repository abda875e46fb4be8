"""A density: a base pulled back through an invertible block."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from inntf.core import Block
from inntf.core.checkpointing import load_waiting
from inntf.core.errors import explain
from inntf.core.faces import LiveVariables
from inntf.core.freezing import keep_frozen
from inntf.core.shapes import Shape, static
from inntf.models.flow_checkpoints import CheckpointedFlow
from inntf.models.keras_tracking import TrackedByKeras
from inntf.models.parts import in_parts

tfd = tfp.distributions


class Flow(TrackedByKeras, CheckpointedFlow, tfd.Distribution):
    """`log p(x) = log p_base(forward(x)) + log|det dforward/dx|`; samples are `inverse(z)`, `z ~ base`.

    A `tfd.Distribution`: it goes into `tfd.Independent`, mixtures, `tfp.vi` and `tfp.mcmc`.  Each network is evaluated
    once per `log_prob` and once per `sample_and_log_prob`.

    Args:
        block: the invertible block, data to latent.
        base: a TFP distribution over latents; standard normal by default.  Its batch shape is the flow's.
        event_shape: shape of one `x`; needed for the default base where the block is not built yet.
        condition_shape: shape of one condition, where the block is to be built with one.
        condition_network: a Keras layer applied to conditions first (an embedding); for feature maps level by level
            give the network to `Multiscale` instead.
        validate_args, allow_nan_stats, name: as in `tfd.Distribution`.

    Raises:
        TypeError: if `block` is no `Block`; ValueError: if the latent shape is not known, or the base does not fit it.

    Source: Papamakarios et al., "Normalizing Flows for Probabilistic Modeling and Inference" (2021), eq. 6.

    Example:
        >>> from inntf.blocks import AffineCoupling
        >>> flow = Flow(AffineCoupling(), event_shape=(4,))
        >>> flow.log_prob(flow.sample(3, seed=1)).shape
        TensorShape([3])
    """

    def __init__(
        self,
        block: Block,
        base: tfd.Distribution | None = None,
        *,
        event_shape: Shape | int | None = None,
        condition_shape: Shape | int | None = None,
        condition_network: keras.layers.Layer | None = None,
        validate_args: bool = False,
        allow_nan_stats: bool = True,
        name: str = "Flow",
    ):
        if not isinstance(block, Block):
            raise TypeError(
                explain(
                    "Flow",
                    received=f"block of type {type(block).__name__}",
                    expected="an inntf.Block",
                    remedy="See inntf.blocks.",
                )
            )
        parameters = {
            "block": block,
            "base": base,
            "event_shape": event_shape,
            "condition_shape": condition_shape,
            "condition_network": condition_network,
            "validate_args": validate_args,
            "allow_nan_stats": allow_nan_stats,
            "name": name,
        }
        if event_shape is not None:
            embedded = _embedded_shape(condition_network, _shape(condition_shape), block.variable_dtype)
            block.ensure_built(_shape(event_shape), embedded)
        elif base is None and not block.built:
            raise ValueError(
                explain(
                    "Flow",
                    received="an unbuilt block and no base",
                    expected="to know the shape of the data",
                    remedy="Pass event_shape=(dim,) or (height, width, channels), or a base.",
                )
            )
        if base is None:
            latent = static(block._forward_event_shape(tf.TensorShape(block.event_shape)))
            base = standard_normal(latent, block.variable_dtype)
        self._block, self._base = block, base
        self._x_shape = _data_shape(block, base)
        self._network = condition_network
        super().__init__(
            dtype=base.dtype,
            reparameterization_type=base.reparameterization_type,
            validate_args=validate_args,
            allow_nan_stats=allow_nan_stats,
            parameters=parameters,
            name=name,
        )
        if condition_network is not None:
            self._network_variables = self._no_dependency(LiveVariables(condition_network))

    @classmethod
    def _parameter_properties(cls, dtype: Any, num_classes: int | None = None) -> dict[str, Any]:
        return {}

    @property
    def block(self) -> Block:
        """The invertible block."""
        return self._block

    @property
    def base(self) -> tfd.Distribution:
        """The distribution of latents."""
        return self._base

    @property
    def condition_network(self) -> keras.layers.Layer | None:
        """The embedding of conditions, if any."""
        return self._network

    @property
    def dim(self) -> int:
        """Number of dimensions of one `x`, `D` in bits per dimension."""
        return int(np.prod(self._x_shape))

    def _event_shape(self) -> tf.TensorShape:
        return tf.TensorShape(self._x_shape)

    def _event_shape_tensor(self) -> tf.Tensor:
        return tf.constant(self._x_shape, tf.int32)

    def _batch_shape(self) -> tf.TensorShape:
        return self._base.batch_shape

    def _batch_shape_tensor(self, **kwargs: Any) -> tf.Tensor:
        return self._base.batch_shape_tensor()

    def _default_event_space_bijector(self) -> Any:
        return tfp.bijectors.Identity()

    def embed(self, condition: Any) -> Any:
        """What the block gets for a condition: the condition, or the network's output."""
        if condition is None or self._network is None:
            return condition
        embedded = self._network(tf.convert_to_tensor(condition))
        if load_waiting(self):  # of a checkpoint restored before the network had weights
            embedded = self._network(tf.convert_to_tensor(condition))
        return embedded

    def _log_prob(self, x: tf.Tensor, condition: Any = None) -> tf.Tensor:
        self._check_holder()
        z, log_det = self._block.forward_and_log_det(x, self.embed(condition))
        return self._base.log_prob(z) + tf.cast(log_det, self._base.dtype)

    def sample(
        self,
        sample_shape: Any = (),
        condition: Any = None,
        seed: Any = None,
        temperature: float = 1.0,
        name: str = "sample",
        **kwargs: Any,
    ) -> tf.Tensor:
        """Samples, `sample_shape + batch of the condition + event_shape`.

        Args:
            sample_shape: number or shape of samples, for each condition.
            condition: one condition, or a batch of them.
            seed: integer or TFP seed; the same seed gives the same samples.
            temperature: the base's deviations from its mean are multiplied by it (1: the model's own distribution).
            name: name scope.
            **kwargs: none; unknown keywords raise.

        Returns:
            The samples.

        Raises:
            ValueError: if the temperature is negative; TypeError: for an unknown keyword.
        """
        with tf.name_scope(name):
            return self._sample(sample_shape, condition, seed, temperature, **kwargs)[0]

    def sample_and_log_prob(
        self, sample_shape: Any = (), condition: Any = None, seed: Any = None, temperature: float = 1.0
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Samples and their log-density, the networks evaluated once.

        With a temperature the density is still the model's own, at temperature 1.
        """
        x, z, log_det = self._sample(sample_shape, condition, seed, temperature)
        return x, self._base.log_prob(z) - tf.cast(log_det, self._base.dtype)

    def _sample(
        self, sample_shape: Any, condition: Any, seed: Any, temperature: float
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        self._check_holder()
        condition = self.embed(condition)
        shape = tf.reshape(tf.convert_to_tensor(sample_shape, tf.int32), [-1])
        known = tf.get_static_value(shape)
        shape = shape if known is None else [int(n) for n in known]
        if condition is not None:
            condition = tf.convert_to_tensor(condition)
            event = self._block.condition_shape
            ndims = len(event) if event is not None else (1 if condition.shape.rank <= 2 else 3)
            batch = condition.shape[: condition.shape.rank - ndims]
            extra = batch.as_list() if batch.is_fully_defined() else tf.shape(condition)[: condition.shape.rank - ndims]
            shape = shape + extra if isinstance(shape, list) and isinstance(extra, list) else tf.concat([shape, extra], 0)
        if isinstance(seed, int | np.integer):
            seed = int(seed)
            seed = tf.constant(
                [seed & 0x7FFFFFFF, seed >> 31 & 0x7FFFFFFF], tf.int32
            )  # TFP's integer seeds do not repeat in eager mode
        z = self._base.sample(shape, seed=seed)
        if not (isinstance(temperature, int | float) and temperature == 1.0):
            z = self._tempered(z, temperature)
        if condition is None:
            x, log_det = in_parts(self._block.inverse_and_log_det, z, self._base.event_shape.rank)
        else:
            x, log_det = self._block.inverse_and_log_det(z, condition)
        return x, z, log_det

    def _tempered(self, z: tf.Tensor, temperature: Any) -> tf.Tensor:
        if isinstance(temperature, int | float) and temperature < 0:
            raise ValueError(f"Flow.sample: received temperature={temperature}, expected a number >= 0. 1 is the model itself.")
        mean = self._base.mean()
        return mean + tf.cast(temperature, z.dtype) * (z - mean)

    def _sample_n(self, n: Any, seed: Any = None, condition: Any = None, temperature: float = 1.0) -> tf.Tensor:
        return self._sample(n, condition, seed, temperature)[0]

    def _sample_and_log_prob(self, sample_shape: Any, seed: Any = None, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        return self.sample_and_log_prob(sample_shape, condition, seed)

    def bits_per_dim(self, x: Any, condition: Any = None) -> tf.Tensor:
        """`-log_prob(x) / (D ln 2)`, of the batch's shape.

        For images it is the usual figure when the block begins with `Dequantize`, whose log-determinant holds the
        `-D ln 256` of integer pixels.
        """
        return -self.log_prob(x, **_given(condition)) / tf.cast(self.dim * math.log(2.0), self.dtype)

    def reconstruct(self, x: Any, condition: Any = None) -> tf.Tensor:
        """`inverse(forward(x))`, both really computed."""
        condition = self.embed(condition)
        return self._block.inverse_and_log_det(self._block.forward_and_log_det(x, condition)[0], condition)[0]

    def initialize(self, x: Any, condition: Any = None) -> Flow:
        """Data-dependent initialization of the block on a batch; returns self."""
        self._block.initialize(x, self.embed(condition))
        return self


def standard_normal(shape: Shape, dtype: Any) -> tfd.Distribution:
    """The standard normal on events of a shape."""
    zeros = tf.zeros(shape, dtype)
    return tfd.Independent(tfd.Normal(zeros, tf.ones_like(zeros)), len(shape), name="standard_normal")


def _data_shape(block: Block, base: tfd.Distribution) -> Shape:
    if block.built and block.event_shape is not None:
        latent = static(block._forward_event_shape(tf.TensorShape(block.event_shape)))
        if static(base.event_shape) != latent:
            raise ValueError(
                explain(
                    "Flow",
                    received=f"a base over events of shape {static(base.event_shape)}",
                    expected=f"{latent}, the shape of the block's latents",
                    remedy="Wrap it in tfd.Independent, or leave base out for the standard normal.",
                )
            )
        return block.event_shape
    return static(block._inverse_event_shape(base.event_shape))


def _embedded_shape(network: Any, shape: Shape | None, dtype: Any) -> Shape | None:
    if shape is None or network is None:
        return shape
    with tf.init_scope():
        embedded = static(network(tf.zeros([1, *shape], dtype)).shape[1:])
    keep_frozen(network)
    return embedded


def _shape(shape: Any) -> Shape | None:
    return (shape,) if isinstance(shape, int) else None if shape is None else tuple(shape)


def _given(condition: Any) -> dict[str, Any]:
    return {} if condition is None else {"condition": condition}
