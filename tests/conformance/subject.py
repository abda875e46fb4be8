"""One case of the registry, built in one precision, with fresh numbers on demand."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import inntf
from tests.conformance import training
from tests.conformance.conditioning import Conditioning, conditioning


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal numbers: the domain of most blocks, both sides."""
    return rng.standard_normal(shape)


@dataclasses.dataclass(frozen=True)
class Case:
    """How to make and feed one block.

    `make(dtype)` gives a new, unbuilt block; `sample_x` and `sample_z` draw from its domain and its range. `perturb`
    scales the noise added to all trainable weights, so that no check looks at a zero-initialised identity. `tolerance`
    loosens numerical comparisons by a factor, for iterative blocks; `inverse_error` is what the inverse is asked for.
    `exempt` maps names of checks that must fail to the reason. `train_x` draws the data for training (by default unruly
    ones, or `sample_x` where that is a domain of its own), at Adam's `rate`; with `train_as` the weights are those of
    that case, a `Repeat` of the same blocks.
    """

    make: Callable[[str], inntf.Block]
    event_shape: tuple[int, ...]
    condition_shape: tuple[int, ...] | None = None
    sample_x: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray] = normal
    sample_z: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray] = normal
    perturb: float = 0.2
    tolerance: float = 1.0
    inverse_error: float = 0.0
    exempt: Mapping[str, str] = dataclasses.field(default_factory=dict)
    train_x: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray] | None = None
    rate: float = 0.02
    train_as: str | None = None


class Subject:
    """A built block of one case, dtype and state; weights are the same numbers in every dtype."""

    def __init__(self, name: str, case: Case, dtype: str, state: str = "fresh"):
        self.name, self.case, self.dtype, self.state = name, case, dtype, state
        self.value_dtype = np.float64 if dtype == "float64" else np.float32
        self.block = self.fresh()
        self.block.ensure_built(case.event_shape, case.condition_shape)
        weights = _weights(name, case) if state == "fresh" else self.training.weights
        self.block.set_weights([w.astype(self.value_dtype) if w.dtype.kind == "f" else w for w in weights])
        self._draws = 0

    def fresh(self, dtype: str | None = None) -> inntf.Block:
        """A new, unbuilt block of the same case."""
        return self.case.make(dtype or self.dtype)

    def twin(self, dtype: str | None = None) -> Subject:
        """The same block with the same weights, sharing nothing; perhaps in another dtype."""
        return Subject(self.name, self.case, dtype or self.dtype, self.state)

    @functools.cached_property
    def exact(self) -> Subject:
        """The same block in float64, for references; its weights must not be left changed."""
        return self if self.dtype == "float64" else self.twin("float64")

    @property
    def training(self) -> training.Trained:
        """How the weights of a trained subject came to be."""
        return training.trained(self.name)

    @functools.cached_property
    def rounding(self) -> float:
        """The largest error that rounding alone explains in a result of order one, from the measured conditioning."""
        unit = float(np.finfo(self.value_dtype).eps)
        if self.state == "fresh":
            return unit
        seen = self.conditioning(self.x(8), self.condition(8))
        return unit * max(1.0, *(float(np.max(part)) for part in (seen.forward, seen.inverse, seen.log_det)))

    def conditioning(self, x: tf.Tensor, condition: tf.Tensor | None) -> Conditioning:
        """How much rounding is amplified at `x`."""
        wide = None if condition is None else tf.cast(condition, tf.float64)
        return conditioning(self.exact.block, tf.cast(x, tf.float64), wide)

    def rng(self) -> np.random.Generator:
        """A generator that never repeats within a subject, and does not depend on the dtype."""
        self._draws += 1
        return np.random.default_rng([self._draws, *self.name.encode()])

    def x(self, *batch: int) -> tf.Tensor:
        """A fresh input with the leading dimensions `batch`."""
        sample = self.case.sample_x if self.state == "fresh" else training.sampler(self.case)
        return self._tensor(sample(self.rng(), (*batch, *self.case.event_shape)))

    def z(self, *batch: int) -> tf.Tensor:
        """A fresh point of the latent space."""
        return self._tensor(self.case.sample_z(self.rng(), (*batch, *self.z_shape)))

    def condition(self, *batch: int) -> tf.Tensor | None:
        """A fresh condition, or none."""
        if self.case.condition_shape is None:
            return None
        return self._tensor(normal(self.rng(), (*batch, *self.case.condition_shape)))

    def needs_condition(self) -> None:
        """Skip a check of conditions for a case without one."""
        if self.case.condition_shape is None:
            pytest.skip("the case has no condition")

    @property
    def z_shape(self) -> tuple[int, ...]:
        return tuple(self.block.forward_event_shape(tf.TensorShape(self.case.event_shape)).as_list())

    def close(self, a: Any, b: Any, loose: float = 1.0, message: str = "") -> None:
        """Assert agreement to what the dtype can hold."""
        a, b = np.asarray(a), np.asarray(b)
        assert a.shape == b.shape, f"{message} shapes {a.shape} and {b.shape}"
        assert np.all(np.isfinite(a)), f"{message} holds NaN or infinity"
        base = max((1e-9 if self.dtype == "float64" else 2e-5) * self.case.tolerance, 4 * self.rounding) * loose
        np.testing.assert_allclose(
            a, b, rtol=base, atol=base * max(1.0, float(np.max(np.abs(b), initial=0.0))), err_msg=message
        )

    def _tensor(self, array: np.ndarray) -> tf.Tensor:
        return tf.constant(array.astype(np.float32).astype(self.value_dtype))  # the same numbers in every dtype


@functools.cache
def subject(name: str, dtype: str, state: str = "fresh") -> Subject:
    """The shared subject of a case; a check that changes weights must take a twin."""
    return Subject(name, training.case(name), dtype, state)


_WEIGHTS: dict[tuple[str, int], list[np.ndarray]] = {}


def _weights(name: str, case: Case) -> list[np.ndarray]:
    key = (name, id(case))
    if key not in _WEIGHTS:
        keras.utils.set_random_seed(sum(name.encode()))
        block = case.make("float32").ensure_built(case.event_shape, case.condition_shape)
        rng = np.random.default_rng(sum(name.encode()))
        trainable = {id(w) for w in block.trainable_weights}
        _WEIGHTS[key] = [_noisy(w, rng, case.perturb) if id(w) in trainable else np.asarray(w) for w in block.weights]
    return _WEIGHTS[key]


def _noisy(weight: keras.Variable, rng: np.random.Generator, scale: float) -> np.ndarray:
    value = np.asarray(weight)
    return (value + scale * rng.standard_normal(value.shape)).astype(np.float32)
