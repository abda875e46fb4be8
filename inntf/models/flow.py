"""A density: a base pulled back through an invertible block."""

from __future__ import annotations

import copy
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability import distributions as tfd

from inntf.core import Block, checks, configuration
from inntf.core.arguments import typed
from inntf.core.checkpointing import load_waiting
from inntf.core.errors import explain
from inntf.core.shapes import Shape, leading_shape, static
from inntf.core.tfp_bridge import LiveVariables
from inntf.models import argument_checks, base_copies, flow_shapes
from inntf.models.conditioned_flow import ConditionedFlow
from inntf.models.conditions import Conditions
from inntf.models.flow_checkpoints import CheckpointedFlow
from inntf.models.flow_sampling import FlowSampling
from inntf.models.keras_tracking import TrackedByKeras


class Flow(TrackedByKeras, FlowSampling, CheckpointedFlow, tfd.Distribution):
    """`log p(x) = log p_base(forward(x)) + log|det dforward/dx|`; samples are `inverse(z)`, `z ~ base`.

    A `tfd.Distribution`: it goes into `tfd.Independent`, mixtures, `tfp.vi` and `tfp.mcmc`.  Each network is evaluated
    once per `log_prob` and once per `sample_and_log_prob`.

    Args:
        block: the invertible block, data to latent.
        base: any TFP distribution over latents with a `log_prob`: mixtures, uniform, von Mises, heavy tails, another flow;
            standard normal by default.  Its batch shape is the flow's.  Without samples or a mean of its own the flow has none.
        event_shape: shape of one `x`; needed for the default base where the block is not built yet.
        condition_shape: shape of one condition, where the block is to be built with one; before a network sizes may be open:
            `(None, dim)` for sequences and sets, `(None, None, channels)` for images.
        condition_network: a Keras layer applied to conditions first (an embedding), trained and saved with the block; for
            feature maps level by level give the network to `Multiscale` instead.
        validate_args, allow_nan_stats, name: as in `tfd.Distribution`.

    Raises:
        TypeError: if `block` is no `Block`, or the base over several events or another dtype; ValueError: if the latent shape
            is not known, the base does not fit it, or the block was built without the conditions of the network.

    Source: Papamakarios et al., "Normalizing Flows for Probabilistic Modeling and Inference" (2021), eq. 6.

    Example:
        >>> from inntf.blocks import AffineCoupling
        >>> flow = Flow(AffineCoupling(), event_shape=(4,))
        >>> flow.log_prob(flow.sample(3, seed=1)).shape
        TensorShape([3])
    """

    @typed
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
        if not isinstance(name, str) or not name:
            raise TypeError(explain("Flow", received=f"name={name!r}", expected="a name", remedy="Or leave it out."))
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
        if base is not None:
            flow_shapes.check_base(name, base)
        argument_checks.layer(name, "condition_network", condition_network)
        given = argument_checks.condition_shape(name, condition_shape, condition_network)
        conditions = Conditions(block, condition_network, given, name)
        if event_shape is not None:
            event_shape = argument_checks.shape(name, "event_shape", event_shape)
            flow_shapes.check_built_for(name, block, event_shape)
        elif base is not None and not block.built:
            latent_to_data = static(block._inverse_event_shape(base.event_shape))
            block.expect_event_ndims(len(latent_to_data))
            event_shape = latent_to_data if given is not None else None  # without, a first call may come with a condition
        elif not block.built:
            raise ValueError(
                explain(
                    name,
                    received="an unbuilt block and no base",
                    expected="to know the shape of the data",
                    remedy="Pass event_shape=(dim,) or (height, width, channels), or a base.",
                )
            )
        if event_shape is not None:
            block.ensure_built(event_shape, conditions.embedded_shape)
        argument_checks.network_of_conditions(name, condition_network, block)
        if base is None:
            latent = static(block._forward_event_shape(tf.TensorShape(block.event_shape)))
            base = flow_shapes.standard_normal(latent, block.variable_dtype)
        self._block, self._base = block, base
        self._x_shape = flow_shapes.data_shape(name, block, base)
        flow_shapes.check_dtype(name, block, base)
        self._network, self._conditions = condition_network, conditions
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

    @property
    def conditions(self) -> Conditions:
        """What the flow knows of its conditions."""
        return self._conditions

    def given(self, condition: Any, *, name: str | None = None) -> ConditionedFlow:
        """`p(x | condition)`, a distribution whose batch shape is that of the conditions.

        Args:
            condition: one condition, or a batch of them.
            name: of the distribution.

        Returns:
            A `ConditionedFlow`, which shares the weights.

        Raises:
            ValueError: for a condition of another shape than the flow's, or a flow without conditions.
        """
        return ConditionedFlow(self, condition, name=name)

    def embed(self, condition: Any) -> Any:
        """What the block gets for a condition, or a batch of them: the condition, or the network's output."""
        return self._embedded(condition, None, None)[0]

    def _embedded(self, condition: Any, batch_ndims: int | None, lead: Any) -> tuple[Any, tf.Tensor | tuple[int | None, ...]]:
        # What the block gets, and the batch of the condition; `lead` is that of the values where it is known.
        if condition is None:
            if self._conditions.expected():
                self._conditions.missing()
            return None, ()
        condition = self._conditions.tensor(condition)
        ndims = self._conditions.event_ndims(condition, batch_ndims)
        if lead is not None:
            self._conditions.fitting(condition, ndims, lead)
        embedded = self._conditions.embed(condition, ndims)
        if load_waiting(self):  # of a checkpoint restored before the network had weights
            embedded = self._conditions.embed(condition, ndims)
        return embedded, leading_shape(condition, ndims)

    def log_prob(self, value: Any, condition: Any = None, name: str = "log_prob", **kwargs: Any) -> tf.Tensor:
        """Log-density in nats, of the shape of the batch.

        Args:
            value: `(..., *event_shape)`.
            condition: a condition for each value, or one for all.
            name: name scope.
            **kwargs: none; unknown keywords raise.

        Raises:
            ValueError: for values of another event shape, a condition of another shape, a missing or needless one.
        """
        return super().log_prob(self._checked(value), name=name, **_given(condition), **kwargs)

    def prob(self, value: Any, condition: Any = None, name: str = "prob", **kwargs: Any) -> tf.Tensor:
        """Density; see `log_prob`."""
        return super().prob(self._checked(value), name=name, **_given(condition), **kwargs)

    def _checked(self, value: Any) -> tf.Tensor:
        # TFP would make numbers of text, dates and None.
        return checks.dtype(self._block, checks.as_tensor(self._block, value))

    def _log_prob(self, x: tf.Tensor, condition: Any = None) -> tf.Tensor:
        self._check_holder()
        ndims = len(self._x_shape)
        flow_shapes.check_event(self.name, x, self._x_shape)
        batch_ndims = x.shape.rank - ndims
        condition, _ = self._embedded(condition, batch_ndims, None if condition is None else leading_shape(x, ndims))
        z, log_det = self._block.forward_and_log_det(x, condition)
        return self._base.log_prob(z) + tf.cast(log_det, self._base.dtype)

    def __getitem__(self, slices: Any) -> Flow:
        """The flow over a slice of the base's batch; the block and its weights are shared."""
        every = slices if isinstance(slices, tuple) else (slices,)
        if self.batch_shape.rank == 0 and not all(s is Ellipsis or s is tf.newaxis for s in every):
            raise ValueError(
                explain(
                    self.name,
                    received=f"the slices {slices!r} of one distribution",
                    expected="a batch to slice",
                    remedy="A flow has the batch shape of its base, flow.given(conditions) that of the conditions.",
                )
            )
        return self.copy(base=self._base[slices])

    def _broadcast_parameters_with_batch_shape(self, batch_shape: Any) -> Flow:
        return self.copy(base=self._base._broadcast_parameters_with_batch_shape(batch_shape))

    def bits_per_dim(self, x: Any, condition: Any = None) -> tf.Tensor:
        """`-log_prob(x) / (D ln 2)`, of the batch's shape.

        For images it is the usual figure when the block begins with `Dequantize`, whose log-determinant holds the
        `-D ln 256` of integer pixels.
        """
        return -self.log_prob(x, **_given(condition)) / tf.cast(self.dim * math.log(2.0), self.dtype)

    def reconstruct(self, x: Any, condition: Any = None) -> tf.Tensor:
        """`inverse(forward(x))`, both really computed."""
        x, condition = self._pair(x, condition)
        return self._block.inverse_value(self._block.value(x, condition), condition)

    def _pair(self, x: Any, condition: Any) -> tuple[tf.Tensor, Any]:
        x, ndims = checks.as_tensor(self._block, x), len(self._x_shape)
        flow_shapes.check_event(self.name, x, self._x_shape)
        return x, self._embedded(condition, x.shape.rank - ndims, None if condition is None else leading_shape(x, ndims))[0]

    def __deepcopy__(self, memo: dict[int, Any]) -> Flow:
        """A flow of its own weights; `copy()` shares them, as TFP's does."""
        parts, network = dict(self.parameters), self._network
        parts["block"], parts["base"] = copy.deepcopy(parts["block"], memo), base_copies.copied(parts["base"], memo)
        parts["condition_network"] = None if network is None else memo.setdefault(id(network), configuration.twin(network))
        memo[id(self)] = new = type(self)(**parts)
        return new

    def __reduce__(self) -> tuple[Any, ...]:
        """To bytes and back through the constructor; Keras writes the block and the network, `base_copies` the base."""
        return base_copies.unpickled, (type(self), self.parameters | {"base": base_copies.pickled(self.parameters["base"])})

    def initialize(self, x: Any, condition: Any = None) -> Flow:
        """Data-dependent initialization of the block on a batch; returns self."""
        self._block.initialize(*self._pair(x, condition))
        return self


def _given(condition: Any) -> dict[str, Any]:
    return {} if condition is None else {"condition": condition}
