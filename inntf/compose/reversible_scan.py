"""Backpropagation through a loop over stacked weights that recomputes activations, by inverses or from checkpoints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python.eager import record

from inntf.compose.backprop import Backprop
from inntf.compose.drift import DriftGuard, fingerprint, fingerprint_drift
from inntf.compose.reversible import after, once_only
from inntf.compose.scan import Scan, no_log_det
from inntf.compose.shared_states import shares_states
from inntf.core.vjp import Gradients, call_context, recomputed_vjp, within


def recomputed(
    scan: Scan, value: tf.Tensor, condition: tf.Tensor | None, settings: Backprop, guard: DriftGuard | None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Apply the blocks in order; backwards, a second loop recomputes every activation, from the result or from checkpoints.

    Kept are the result and one true activation a segment of `checkpoint_every` blocks.
    """
    extra = [] if condition is None else [condition]
    context = call_context()
    kept_states: list[int] = []

    @tf.custom_gradient
    def engine(value: tf.Tensor, *tensors: tf.Tensor) -> Any:
        condition, matrices = (tensors[0], tensors[1:]) if extra else (None, tensors)
        loops = _Loops(scan, settings, condition, list(matrices))
        with record.stop_recording():
            out, log_det, checkpoints, prints, states = loops.forward(value)
        kept_states[:] = [g for g in scan.states if g in scan.updated]

        def backward(d_out: tf.Tensor, d_log_det: tf.Tensor, *_: Any) -> list[tf.Tensor | None]:
            with within(context):
                d_value, d_condition, rows, worst = loops.backward(
                    after(out, d_out), checkpoints, prints, d_out, d_log_det, guard
                )
            if guard is not None:
                guard.note(worst)
            by_group = dict(zip(scan.weights, rows, strict=True))
            grads = [d_value, *([d_condition] if extra else []), *(by_group.get(g) for g in range(len(matrices)))]
            return once_only(grads)

        return (out, log_det, *(states[scan.states.index(g)] for g in kept_states)), backward

    out, log_det, *states = engine(value, *extra, *scan.packed())
    new = dict(zip(kept_states, states, strict=True))
    scan.keep([new.get(g) for g in scan.states])
    out.set_shape(value.shape)
    return out, log_det


def step_back(
    scan: Scan,
    out: tf.Tensor,
    d_out: tf.Tensor,
    d_log_det: tf.Tensor,
    condition: tf.Tensor | None,
    sources: Sequence[tf.Tensor],
) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
    """The whole loop as one step of a reversible composition around it: its input, and the gradients there.

    Nothing is guarded here: the composition compares the input with what it has stored, and where that has drifted it gets the
    gradients anew from there, through `recomputed` with its own checkpoints.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(sources)
        matrices = scan.packed()
        given = None if condition is None else tf.identity(condition)
    loops = _Loops(scan, Backprop(drift_tolerance=math.inf), given, matrices)
    at, _, d_at, d_given, *rows = loops.rebuild(tf.constant(0), tf.constant(scan.n), out, d_out, d_log_det, [])
    at.set_shape(out.shape)
    d_at.set_shape(out.shape)
    targets = [matrices[g] for g in scan.weights] + ([] if given is None else [given])
    grads = [r[::-1] if scan.inverse else r for r in rows] + ([] if given is None else [d_given])
    return at, d_at, tape.gradient(targets, sources, output_gradients=grads) if targets else [None] * len(sources)


class _Loops:
    """The three loops: forward, backward by inverses, and backward from a checkpoint."""

    def __init__(self, scan: Scan, settings: Backprop, condition: tf.Tensor | None, matrices: list[tf.Tensor]):
        self.scan, self.settings, self.condition, self.matrices = scan, settings, condition, matrices
        self.every = settings.segment(scan.n)
        self.segments = -(-scan.n // self.every)

    def slices(self, position: tf.Tensor) -> list[tf.Tensor]:
        """The weights of the block at a position."""
        index = self.scan.index(position)
        return self.scan.packing.unpack([tf.gather(m, index) for m in self.matrices])

    def forward(self, value: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, list[tf.Tensor], list[tf.Tensor]]:
        """Result, log-determinant, the segments' inputs, the fingerprints of the blocks' (if guarded), the new states."""
        scan = self.scan
        prints = [tf.TensorArray(value.dtype, scan.n, element_shape=value.shape[:1])] if self.settings.guarded else []
        checkpoints = tf.TensorArray(value.dtype, self.segments, element_shape=value.shape, clear_after_read=False)

        def block(k: tf.Tensor, value: tf.Tensor, total: tf.Tensor, prints: list, news: list[tf.TensorArray]) -> tuple:
            prints = [array.write(k, fingerprint(value)) for array in prints]
            out, log_det, rows = scan.step(value, self.condition, self.slices(k))
            news = [array.write(scan.index(k), row) for array, row in zip(news, rows, strict=True)]
            return k + 1, out, total + log_det, prints, news

        def segment(
            s: tf.Tensor, value: tf.Tensor, total: tf.Tensor, checkpoints: tf.TensorArray, prints: list, news: list
        ) -> tuple:
            checkpoints = checkpoints.write(s, value)
            end = tf.minimum((s + 1) * self.every, scan.n)
            first = (s * self.every, value, total, prints, news)
            _, value, total, prints, news = _loop(lambda k, *_: k < end, block, first, self.every)
            return s + 1, value, total, checkpoints, prints, news

        start = (tf.constant(0), value, no_log_det(value), checkpoints, prints, scan.arrays(scan.states))
        _, out, total, checkpoints, prints, news = _loop(lambda s, *_: s < self.segments, segment, start, self.segments)
        # Tensors in place of the arrays: a SavedModel's gradient function cannot hold on to arrays.
        return (
            out,
            total,
            checkpoints.stack(),
            [array.stack() for array in prints],
            [a.stack() if g in scan.updated else None for g, a in zip(scan.states, news, strict=True)],
        )

    def backward(
        self,
        out: tf.Tensor,
        checkpoints: tf.Tensor,
        prints: list[tf.Tensor],
        d_out: tf.Tensor,
        d_log_det: tf.Tensor,
        guard: DriftGuard | None,
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor], tf.Tensor]:
        """Gradients by the input, the condition (a scalar zero without) and the matrices; and the worst drift."""
        scan, every = self.scan, self.every
        changed = {id(scan.template.variables[j]) for g in scan.updated for j in scan.packing.groups[g]}
        mixed = shares_states(scan.template.block, changed)
        widths = [scan.packing.widths[g] for g in scan.weights]
        totals = [
            tf.TensorArray(scan.packing.dtypes[g], self.segments, element_shape=[every, width])
            for g, width in zip(scan.weights, widths, strict=True)
        ]

        def segment(
            c: tf.Tensor, at: tf.Tensor, d_at: tf.Tensor, d_condition: tf.Tensor, worst: tf.Tensor, totals: list
        ) -> tuple:
            s = self.segments - 1 - c
            start = s * every
            length = tf.minimum(every, scan.n - start)
            true = tf.ensure_shape(tf.gather(checkpoints, s), at.shape)

            def from_there() -> list[tf.Tensor]:
                return self.from_checkpoint(start, length, true, d_at, d_log_det)

            if self.settings.mode == "checkpointed" or mixed:
                rebuilt, grads = true, from_there()
            else:
                rebuilt, between, *grads = self.rebuild(start, length, at, d_at, d_log_det, prints)
                if guard is not None:
                    grads, drift = guard.check(rebuilt, true, between, grads, from_there)
                    rebuilt, worst = true, tf.maximum(worst, drift)
            new, more, *rows = grads
            new.set_shape(d_at.shape)
            totals = [array.write(s, tf.ensure_shape(r, [every, w])) for array, r, w in zip(totals, rows, widths, strict=True)]
            return c + 1, rebuilt, new, d_condition + more, worst, totals

        start = (tf.constant(0), out, d_out, self.no_condition(), tf.zeros([], out.dtype), totals)
        _, _, d_value, d_condition, worst, totals = _loop(lambda c, *_: c < self.segments, segment, start, self.segments)
        rows = [tf.reshape(a.stack(), [self.segments * every, w])[: scan.n] for a, w in zip(totals, widths, strict=True)]
        return d_value, d_condition, [r[::-1] if scan.inverse else r for r in rows], worst

    def rebuild(
        self,
        start: tf.Tensor,
        length: tf.Tensor,
        at: tf.Tensor,
        d_at: tf.Tensor,
        d_log_det: tf.Tensor,
        prints: list[tf.Tensor],
    ) -> list[tf.Tensor]:
        """From a segment's result to its input: that, the drift on the way, the gradients by it, the condition and the rows."""
        scan = self.scan

        def block(
            k: tf.Tensor, at: tf.Tensor, drift: tf.Tensor, d_at: tf.Tensor, d_condition: tf.Tensor, rows: list[tf.TensorArray]
        ) -> tuple:
            j = length - 1 - k
            at, d_at, more, new = scan.step_back(scan.backprop, at, d_at, d_log_det, self.condition, self.slices(start + j))
            rows = [array.write(j, row) for array, row in zip(rows, new, strict=True)]
            for seen in prints:
                drift = tf.maximum(drift, fingerprint_drift(at, tf.gather(seen, start + j)))
            return k + 1, at, drift, d_at, d_condition if more is None else d_condition + more, rows

        first = (tf.constant(0), at, tf.zeros([], at.dtype), d_at, self.no_condition(), scan.arrays(scan.weights, self.every))
        _, at, drift, d_at, d_condition, rows = _loop(lambda k, *_: k < length, block, first, self.every)
        return [at, drift, d_at, d_condition, *(array.stack() for array in rows)]

    def from_checkpoint(
        self, start: tf.Tensor, length: tf.Tensor, value: tf.Tensor, d_at: tf.Tensor, d_log_det: tf.Tensor
    ) -> list[tf.Tensor]:
        """The same gradients from a segment's true input, without any inverse."""
        scan = self.scan
        inputs = tf.TensorArray(value.dtype, self.every, element_shape=value.shape, clear_after_read=False)

        def ahead(k: tf.Tensor, value: tf.Tensor, inputs: tf.TensorArray) -> tuple:
            value = scan.step(value, self.condition, self.slices(start + k))[0]
            return k + 1, value, inputs.write(k + 1, value)

        def known(value: tf.Tensor, d_value: tf.Tensor, d_log_det: tf.Tensor, condition: Any, sources: list) -> tuple:
            return value, *recomputed_vjp(scan.apply, value, d_value, d_log_det, condition, sources)

        def block(k: tf.Tensor, d_at: tf.Tensor, d_condition: tf.Tensor, rows: list[tf.TensorArray]) -> tuple:
            j = length - 1 - k
            at = inputs.read(j)
            at.set_shape(value.shape)
            _, d_at, more, new = scan.step_back(known, at, d_at, d_log_det, self.condition, self.slices(start + j))
            rows = [array.write(j, row) for array, row in zip(rows, new, strict=True)]
            return k + 1, d_at, d_condition if more is None else d_condition + more, rows

        inputs = inputs.write(0, value)
        if self.every > 1:
            _, _, inputs = _loop(lambda k, *_: k < length - 1, ahead, (tf.constant(0), value, inputs), self.every - 1)
        first = (tf.constant(0), d_at, self.no_condition(), scan.arrays(scan.weights, self.every))
        _, d_at, d_condition, rows = _loop(lambda k, *_: k < length, block, first, self.every)
        return [d_at, d_condition, *(array.stack() for array in rows)]

    def no_condition(self) -> tf.Tensor:
        """Zeros to add gradients by the condition to."""
        return tf.zeros([]) if self.condition is None else tf.zeros_like(self.condition)


def _loop(condition: Any, body: Any, start: tuple, most: int) -> tuple:
    # One iteration at a time: overlapping ones would each hold their activations.
    return tf.while_loop(condition, body, start, maximum_iterations=most, parallel_iterations=1)
