"""A conditional flow with its condition filled in: a distribution like any other."""

from __future__ import annotations

import copy
import functools
import math
from typing import Any

import tensorflow as tf
from tensorflow_probability import distributions as tfd
from tensorflow_probability.python.internal import parameter_properties

from inntf.core.sampling_arguments import sample_shape as checked_sample_shape


class ConditionedFlow(tfd.Distribution):
    """`p(x | condition)` of a flow for one condition or a batch of them; made by `Flow.given`.

    A `tfd.Distribution` without further arguments, so it goes into joint distributions, `tfd.Independent`, `tfd.Sample`
    and mixtures.  Its batch shape is that of the conditions, broadcast with the flow's own.  The weights are the flow's.

    Args:
        flow: a flow with conditions.
        condition: `batch + condition_shape`; a variable stays one and is trained.
        validate_args, allow_nan_stats, name: as in `tfd.Distribution`.

    Raises:
        ValueError: for a condition of another shape than the flow's, or a flow without.

    Source: inntf.

    Example:
        >>> from inntf.models import real_nvp
        >>> flow = real_nvp(event_shape=2, depth=1, hidden=(4,), condition_shape=3)
        >>> some = flow.given(tf.zeros([5, 3]))
        >>> some.batch_shape, some.sample(4, seed=0).shape
        (TensorShape([5]), TensorShape([4, 5, 2]))
    """

    def __init__(
        self,
        flow: Any,
        condition: Any,
        *,
        validate_args: bool = False,
        allow_nan_stats: bool = True,
        name: str | None = None,
    ):
        name = name or f"{flow.name}_given"
        parameters = {
            "flow": flow,
            "condition": condition,
            "validate_args": validate_args,
            "allow_nan_stats": allow_nan_stats,
            "name": name,
        }
        self._flow = flow
        self._condition = condition if isinstance(condition, tf.Variable) else flow.conditions.tensor(condition)
        self._ndims = flow.conditions.event_ndims(self._condition)
        super().__init__(
            dtype=flow.dtype,
            reparameterization_type=flow.reparameterization_type,
            validate_args=validate_args,
            allow_nan_stats=allow_nan_stats,
            parameters=parameters,
            name=name,
        )

    @classmethod
    def _parameter_properties(cls, dtype: Any, num_classes: int | None = None) -> dict[str, Any]:
        return {
            "flow": parameter_properties.BatchedComponentProperties(),
            "condition": parameter_properties.ParameterProperties(event_ndims=lambda self: self._ndims),
        }

    @property
    def flow(self) -> Any:
        """The flow."""
        return self._flow

    @property
    def condition(self) -> Any:
        """The condition, `batch + condition_shape`."""
        return self._condition

    def __getitem__(self, slices: Any) -> ConditionedFlow:
        if self._flow.batch_shape.rank != 0:
            return super().__getitem__(slices)
        slices = slices if isinstance(slices, tuple) else (slices,)
        slices = slices if any(s is Ellipsis for s in slices) else (*slices, Ellipsis)
        return self.copy(condition=tf.convert_to_tensor(self._condition)[(*slices, *[slice(None)] * self._ndims)])

    def _event_shape(self) -> tf.TensorShape:
        return self._flow.event_shape

    def _event_shape_tensor(self) -> tf.Tensor:
        return self._flow.event_shape_tensor()

    def _default_event_space_bijector(self) -> Any:
        return self._flow.experimental_default_event_space_bijector()

    def _log_prob(self, x: tf.Tensor) -> tf.Tensor:
        # Every value for every condition, as a distribution's batch is broadcast.
        condition = tf.convert_to_tensor(self._condition)
        event, batch = self.event_shape, condition.shape[: condition.shape.rank - self._ndims]
        lead = x.shape[: x.shape.rank - event.rank]
        if lead.is_fully_defined() and batch.is_fully_defined():
            shape = tf.broadcast_static_shape(lead, batch).concatenate(event)
            x = x if x.shape == shape else tf.broadcast_to(x, shape)
        else:
            own = tf.shape(condition)[: condition.shape.rank - self._ndims]
            wide = tf.broadcast_dynamic_shape(tf.shape(x)[: x.shape.rank - event.rank], own)
            rank = max(lead.rank, batch.rank)
            x = tf.broadcast_to(x, tf.concat([wide, tf.constant(event.as_list(), tf.int32)], 0))
            x = tf.ensure_shape(x, tf.TensorShape([None] * rank).concatenate(event))
        return self._flow._log_prob(x, condition)

    def sample(
        self, sample_shape: Any = (), seed: Any = None, name: str = "sample", temperature: Any = 1.0, **kwargs: Any
    ) -> tf.Tensor:
        """Samples, `sample_shape + batch_shape + event_shape`; the other arguments as in `Flow.sample`."""
        return self._flow.sample(sample_shape, self._condition, seed, temperature, name, **kwargs)

    def sample_and_log_prob(
        self, sample_shape: Any = (), seed: Any = None, temperature: Any = 1.0
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Samples and their log-density, the networks evaluated once."""
        return self._flow.sample_and_log_prob(sample_shape, self._condition, seed, temperature)

    def experimental_sample_and_log_prob(
        self, sample_shape: Any = (), seed: Any = None, name: str = "sample_and_log_prob", **kwargs: Any
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """TFP's name for `sample_and_log_prob`."""
        shape = checked_sample_shape(self.name, sample_shape)
        return super().experimental_sample_and_log_prob(shape, seed, name, **kwargs)

    def _sample_n(self, n: Any, seed: Any = None, temperature: Any = 1.0) -> tf.Tensor:
        return self._flow._sample_n(n, seed, self._condition, temperature)

    def _sample_and_log_prob(self, sample_shape: Any, seed: Any = None, **kwargs: Any) -> tuple[tf.Tensor, tf.Tensor]:
        return self.sample_and_log_prob(sample_shape, seed, **kwargs)

    def __deepcopy__(self, memo: dict[int, Any]) -> ConditionedFlow:
        """With a flow of its own weights."""
        parts = {**self.parameters, "flow": copy.deepcopy(self._flow, memo), "condition": copy.deepcopy(self._condition, memo)}
        memo[id(self)] = new = type(self)(**parts)
        return new

    def __reduce__(self) -> tuple[Any, ...]:
        """To bytes and back through the constructor."""
        condition = tf.convert_to_tensor(self._condition).numpy()
        return functools.partial(type(self), **{**self.parameters, "condition": condition}), ()

    def bits_per_dim(self, x: Any) -> tf.Tensor:
        """`-log_prob(x) / (D ln 2)`."""
        return -self.log_prob(x) / tf.cast(self._flow.dim * math.log(2.0), self.dtype)
