"""How a `Flow` draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from inntf.core import sampling_arguments
from inntf.core.refusals import values_only
from inntf.models.base_draws import drawn, mean_of
from inntf.models.in_parts import in_parts


class FlowSampling:
    """Mixin of `Flow`: samples `inverse(z)`, `z ~ base`, and their densities."""

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
            condition: one condition, or a batch of them (which is broadcast with the base's batch).
            seed: integer or TFP seed; the same seed gives the same samples.
            temperature: the base's deviations from its mean are multiplied by it (1: the model's own distribution).
            name: name scope.
            **kwargs: none; unknown keywords raise.

        Returns:
            The samples.

        Raises:
            ValueError: for a negative or non-finite temperature, and a number of samples that is no integer from 0 to
                `2**31 - 1` (`tf.errors.InvalidArgumentError` where a graph runs); TypeError: for an unknown keyword;
                NotImplementedError: where the base has a density alone, or, with a temperature, no mean.
        """
        with tf.name_scope(name), values_only(weights=True):
            return self._sample(sample_shape, condition, seed, temperature, **kwargs)[0]

    def sample_and_log_prob(
        self, sample_shape: Any = (), condition: Any = None, seed: Any = None, temperature: float = 1.0
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Samples and their log-density, the networks evaluated once.

        With a temperature the density is still the model's own, at temperature 1.
        """
        x, z, log_det = self._sample(sample_shape, condition, seed, temperature)
        return x, self._base.log_prob(z) - tf.cast(log_det, self._base.dtype)

    def experimental_sample_and_log_prob(
        self, sample_shape: Any = (), seed: Any = None, name: str = "sample_and_log_prob", **kwargs: Any
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """TFP's name for `sample_and_log_prob`."""
        shape = sampling_arguments.sample_shape(self.name, sample_shape)
        return super().experimental_sample_and_log_prob(shape, seed, name, **kwargs)

    def _sample(self, sample_shape: Any, condition: Any, seed: Any, temperature: Any) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        self._check_holder()
        shape = sampling_arguments.sample_shape(self.name, sample_shape)
        unchanged = isinstance(temperature, int | float) and not isinstance(temperature, bool) and temperature == 1
        factor = None if unchanged else sampling_arguments.temperature(self.name, temperature, self._base.dtype)
        condition, batch = self._embedded(condition, None, None)
        if isinstance(seed, int | np.integer):
            seed = int(seed)
            seed = tf.constant(
                [seed & 0x7FFFFFFF, seed >> 31 & 0x7FFFFFFF], tf.int32
            )  # TFP's integer seeds do not repeat in eager mode
        base = self._base
        if base.batch_shape.rank != 0 and len(batch):
            base = tfd.BatchBroadcast(base, batch)  # each of its distributions for each condition
        elif isinstance(shape, list) and isinstance(batch, tuple) and None not in batch:
            shape = shape + list(batch)
        else:
            shape = tf.concat([shape, batch], 0)
        z = drawn(self.name, base, shape, seed)
        if factor is not None:
            mean = mean_of(self.name, base)
            z = mean + factor * (z - mean)
        if condition is None:
            x, log_det = in_parts(self._block.inverse_and_log_det, z, self._base.event_shape.rank)
        else:
            x, log_det = self._block.inverse_and_log_det(z, condition)
        return x, z, log_det

    def _sample_n(self, n: Any, seed: Any = None, condition: Any = None, temperature: float = 1.0) -> tf.Tensor:
        with values_only(weights=True):
            return self._sample(n, condition, seed, temperature)[0]

    def _sample_and_log_prob(self, sample_shape: Any, seed: Any = None, **kwargs: Any) -> tuple[tf.Tensor, tf.Tensor]:
        return self.sample_and_log_prob(sample_shape, seed=seed, **kwargs)
