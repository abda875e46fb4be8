"""Backpropagation through blocks one after the other that recomputes activations, by inverses or from checkpoints."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.eager import record

from inntf.compose.backprop import Backprop
from inntf.compose.drift import DriftGuard, fingerprint, fingerprint_drift
from inntf.compose.lost_losses import warn_of_lost_losses
from inntf.compose.shared_states import shares_states
from inntf.core import Block
from inntf.core.vjp import call_context, recomputed_vjp, within

_SECOND = (
    "inntf: backpropagation that recomputes activations has no second derivative. Compute it within "
    "inntf.compose.backprop_mode('stored'), or make the model with backprop='stored'."
)


class Step:
    """One block in one direction, as a function of its weights."""

    def __init__(self, block: Block, inverse: bool):
        self.block = block
        self.apply = block.inverse_and_log_det if inverse else block.forward_and_log_det
        self.backprop = block.inverse_backprop if inverse else block.forward_backprop

    @functools.cached_property
    def variables(self) -> list[keras.Variable]:
        """All of them."""
        return list(self.block.variables)

    @functools.cached_property
    def states(self) -> list[keras.Variable]:
        """Those without."""
        return [v for v in self.variables if not differentiable(v)]

    @functools.cached_property
    def weights(self) -> list[keras.Variable]:
        """Those with gradients."""
        return [v for v in self.variables if differentiable(v)]


def differentiable(variable: keras.Variable) -> bool:
    """Whether gradients are wanted."""
    return variable.trainable and keras.backend.is_float_dtype(variable.dtype)


def run(
    steps: Sequence[Step], value: tf.Tensor, condition: tf.Tensor | None, settings: Backprop, guard: DriftGuard | None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Apply the steps in order; backwards, recompute every activation from the result or from the checkpoints.

    The weights enter as tensors, so nothing depends on how variables are captured, and a layer which updates a
    state (a moving average, a seed) does so once: backwards it computes from the old state, and its update is dropped.
    """
    variables = list({id(v): v for step in steps for v in step.variables}.values())
    weights = [v for v in variables if differentiable(v)]
    states = [v for v in variables if not differentiable(v)]
    extra = [] if condition is None else [condition]
    context, every = call_context(), settings.segment(len(steps))
    updated: list[int] = []

    @tf.custom_gradient
    def engine(value: tf.Tensor, *tensors: tf.Tensor) -> Any:
        given, inputs = list(tensors[: len(extra)]), tensors[len(extra) :]
        condition = given[0] if given else None
        held = dict(zip(map(id, weights + states), inputs, strict=True))
        checkpoints, prints, log_dets, out = [], [], [], value
        before = []  # each step: a block that is used twice has another state the second time
        with record.stop_recording(), _scope(variables, held) as scope:
            for i, step in enumerate(steps):
                if i % every == 0:
                    checkpoints.append(out)
                own = {id(v): scope.get_current_value(v) for v in step.states}
                changed = {i: now for i, now in own.items() if now is not scope.given[i]}
                before.append(held | changed if changed else held)
                prints.append(fingerprint(out) if settings.guarded else None)
                out, log_det = step.apply(out, condition)
                log_dets.append(log_det)
            new = [scope.get_current_value(v) for v in states]
            updated[:] = [j for j, v in enumerate(states) if new[j] is not scope.given[id(v)]]
            log_det = tf.add_n(log_dets)
        warn_of_lost_losses(scope, steps[0].block.name)
        ids = {id(states[j]) for j in updated}
        mixed = [shares_states(step.block, ids) for step in steps]

        def backward(d_out: tf.Tensor, d_log_det: tf.Tensor, *_: Any) -> list[tf.Tensor | None]:
            total = {id(t): None for t in (*given, *inputs[: len(weights)])}
            at, worst = out, tf.zeros([], value.dtype)
            with within(context):
                for s in reversed(range(len(checkpoints))):
                    here = slice(s * every, (s + 1) * every)
                    segment, own = steps[here], before[here]
                    parts = _parts(segment, held, given)
                    args = (segment, parts, own, checkpoints[s], d_out, d_log_det, condition)
                    if settings.mode == "checkpointed" or any(mixed[here]):
                        grads, at = _from_checkpoint(*args), checkpoints[s]
                    else:
                        at, between, grads = _rebuild(segment, prints[here], parts, own, at, d_out, d_log_det, condition)
                        if guard is not None:
                            grads, drift = guard.check(
                                at,
                                checkpoints[s],
                                between,
                                grads,
                                lambda args=args: _from_checkpoint(*args),  # type: ignore[misc]
                            )
                            worst, at = tf.maximum(worst, drift), checkpoints[s]
                    d_out = grads[0]
                    for tensor, grad in zip(parts, grads[1:], strict=True):
                        total[id(tensor)] = grad if total[id(tensor)] is None else total[id(tensor)] + grad
                if guard is not None:
                    guard.note(worst)
            grads = [d_out, *(total[id(t)] for t in (*given, *inputs[: len(weights)]))]
            return once_only(grads) + [None] * len(states)

        return (out, log_det, *(new[j] for j in updated)), backward

    read = [tf.convert_to_tensor(v) for v in weights + states]
    out, log_det, *new = engine(value, *extra, *read)
    for j, state in zip(updated, new, strict=True):
        states[j].assign(state)
    return out, log_det


class _Scope(keras.StatelessScope):
    def __init__(self, mapping: Sequence[tuple]):
        super().__init__(mapping, collect_losses=True, initialize_variables=False)
        self.given = dict(self.state_mapping)


def _scope(variables: Sequence[keras.Variable], held: dict[int, tf.Tensor]) -> _Scope:
    return _Scope([(v, held[id(v)]) for v in variables])


def _parts(segment: Sequence[Step], held: dict[int, tf.Tensor], given: list[tf.Tensor]) -> list[tf.Tensor]:
    # The tensors that a segment's gradients belong to: the condition, then its weights.
    tensors = [*given, *(held[id(v)] for step in segment for v in step.weights)]
    return list({id(t): t for t in tensors}.values())


def _rebuild(
    segment: Sequence[Step],
    prints: Sequence[tf.Tensor | None],
    parts: Sequence[tf.Tensor],
    before: Sequence[dict[int, tf.Tensor]],
    at: tf.Tensor,
    d_out: tf.Tensor,
    d_log_det: tf.Tensor,
    condition: tf.Tensor | None,
) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
    """From a segment's result to its input, the drift on the way and the gradients there, recomputing every activation."""
    total: dict[int, tf.Tensor] = {}
    drift = tf.zeros([], at.dtype)
    for step, seen, held in zip(reversed(segment), reversed(prints), reversed(before), strict=True):
        sources = _parts([step], held, [] if condition is None else [condition])
        with _scope(step.variables, held):
            at, d_out, grads = step.backprop(after(at, d_out), d_out, d_log_det, condition, sources)
        accumulate(total, sources, grads)
        if seen is not None:
            drift = tf.maximum(drift, fingerprint_drift(at, seen))
    return at, drift, [d_out, *(filled(total.get(id(t)), t) for t in parts)]


def _from_checkpoint(
    segment: Sequence[Step],
    parts: Sequence[tf.Tensor],
    before: Sequence[dict[int, tf.Tensor]],
    value: tf.Tensor,
    d_out: tf.Tensor,
    d_log_det: tf.Tensor,
    condition: tf.Tensor | None,
) -> list[tf.Tensor]:
    """The gradients at a segment's input from its true value, without any inverse."""
    values = [after(value, d_out)]
    total: dict[Any, Any] = {}
    for step, held in zip(segment[:-1], before, strict=False):
        with record.stop_recording(), _scope(step.variables, held):
            values.append(step.apply(values[-1], condition)[0])
    for step, at, held in zip(reversed(segment), reversed(values), reversed(before), strict=True):
        sources = _parts([step], held, [] if condition is None else [condition])
        with _scope(step.variables, held):
            d_out, grads = recomputed_vjp(step.apply, after(at, d_out), d_out, d_log_det, condition, sources)
        accumulate(total, sources, grads)
    return [d_out, *(filled(total.get(id(t)), t) for t in parts)]


def accumulate(total: dict[int, tf.Tensor], tensors: Sequence[tf.Tensor], grads: Sequence[tf.Tensor | None]) -> None:
    """Add gradients to those already there, by tensor."""
    for tensor, grad in zip(tensors, grads, strict=True):
        if grad is not None:
            total[id(tensor)] = total[id(tensor)] + grad if id(tensor) in total else tf.convert_to_tensor(grad)


def filled(grad: tf.Tensor | None, like: tf.Tensor) -> tf.Tensor:
    """The gradient, or zeros."""
    return tf.zeros_like(like) if grad is None else grad


def after(value: tf.Tensor, signal: tf.Tensor) -> tf.Tensor:
    """`value`, but not before `signal` is there.

    In a graph all inverses could otherwise run ahead of the gradients and keep every activation; a control dependency
    does not survive the optimizer.
    """
    if tf.executing_eagerly():
        return value
    first = tf.reshape(signal, [-1])[:1]
    # Nothing either way, but no optimizer knows; not even a NaN in the signal changes the value.
    nothing = tf.where(tf.equal(first, first), tf.zeros_like(first), -tf.zeros_like(first))
    return value + tf.cast(tf.reduce_sum(nothing), value.dtype)


def once_only(grads: Sequence[tf.Tensor | None]) -> list[tf.Tensor | None]:
    """Let a second differentiation fail with a reason, where it would be silently wrong."""
    return [None if g is None else tf.raw_ops.PreventGradient(input=tf.convert_to_tensor(g), message=_SECOND) for g in grads]
