"""What blocks and models may ask of what they are given; a network of your own need not inherit from anything."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import tensorflow as tf


@runtime_checkable
class Conditioner(Protocol):
    """A network whose number of outputs a block may set: `None` until then."""

    out_channels: int | None


@runtime_checkable
class FromData(Protocol):
    """A network that is initialized from a batch, with the block that owns it."""

    def initialize(self, x: Any) -> tf.Tensor:
        """Set the weights from a batch; the output for it."""


@runtime_checkable
class Bounded(Protocol):
    """A network that knows its Lipschitz constant."""

    def lipschitz_bound(self) -> tuple[float, str]:
        """An upper bound with the present weights; infinity with a reason where there is none."""


@runtime_checkable
class BoundedInGraphs(Protocol):
    """A network that knows its Lipschitz constant as a tensor, for use inside a graph."""

    def lipschitz_tensor(self) -> tf.Tensor:
        """An upper bound, float64, a scalar."""


@runtime_checkable
class Prepared(Protocol):
    """A network that computes something of its weights once, for any number of evaluations."""

    def effective_weights(self) -> list[tf.Tensor]:
        """Float tensors, differentiable by the weights."""

    def apply(self, x: tf.Tensor, weights: Any) -> tf.Tensor:
        """The network with these effective weights, in their dtype."""


@runtime_checkable
class JacobianOfWeights(Prepared, Protocol):
    """A prepared network that writes down its Jacobian on vectors."""

    def value_and_jacobian(self, x: tf.Tensor, weights: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """`apply(x, weights)`, and its Jacobian in x, `(batch, out_channels, dim)`."""


@runtime_checkable
class WithJacobian(Protocol):
    """A function of a batch that writes down its Jacobian."""

    def value_and_jacobian(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The value, and the Jacobian with events flattened, `(batch, dim, dim)`."""


@runtime_checkable
class Sequential(Protocol):
    """An autoregressive network that can be evaluated entry by entry."""

    def entry_by_entry(self, choose: Any, given: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Let a function choose one entry after the other; see `inntf.nets.MaskedMLP.entry_by_entry`."""


@runtime_checkable
class Regularizes(Protocol):
    """A term of the loss that a block at its data is judged by: those of `inntf.stability`."""

    name: str
    needs_log_det: bool

    def applies(self, step: Any) -> Any:
        """Whether it is computed at this step."""

    def __call__(self, block: Any, x: Any, condition: Any = None, *, step: Any = None, outputs: Any = None) -> tf.Tensor:
        """The term, a scalar."""
