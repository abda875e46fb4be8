"""The two maps that all signatures of a served model call: a deep block is traced, stored and loaded once a direction."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from inntf.core import Block
from inntf.core.shapes import built_shape
from inntf.models.negative_log_prob import at_least_float32
from inntf.serving.served import Served
from inntf.stability.block_functions import split_at_rounding


@dataclasses.dataclass(frozen=True)
class Maps:
    """Concrete functions of a block, and of what is behind leading blocks that round to levels; nothing is looked at.

    All take a condition beside, where the model has one, and give `x` or `z`, and `log_det`.

    Attributes:
        forward: data to latents.
        inverse: latents to data.
        leading: `(x, condition)` to what the smooth part gets and the log-determinant of the blocks that lead there.
        smooth_forward: that without the leading blocks; `forward` itself where there are none.
        smooth_inverse: its inverse, which hides no error behind levels.
    """

    forward: Any
    inverse: Any
    leading: Callable[[tf.Tensor, tf.Tensor | None], tuple[tf.Tensor, tf.Tensor]]
    smooth_forward: Any
    smooth_inverse: Any

    @classmethod
    def of(cls, served: Served, make: Callable[..., Any]) -> Maps:
        """Trace them by `make(name, function, spec)`, which adds the spec of a condition."""
        blocks, rest = split_at_rounding(served.computed)
        lead = _leading(served, blocks)
        h_spec = tf.TensorSpec([None, *built_shape(rest.event_shape)], served.dtype, name="x")
        z_spec = tf.TensorSpec([None, *served.z_shape], served.dtype, name="z")

        def smooth_forward(x: tf.Tensor, condition: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
            z, log_det = rest.forward_and_log_det(x, served.embed(condition))
            return {"z": z, "log_det": log_det}

        def smooth_inverse(z: tf.Tensor, condition: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
            x, log_det = rest.inverse_and_log_det(z, served.embed(condition))
            return {"x": x, "log_det": log_det}

        there, back = make("forward", smooth_forward, h_spec), make("inverse", smooth_inverse, z_spec)
        if not blocks:
            return cls(there, back, lead, there, back)

        def forward(x: tf.Tensor, condition: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
            h, log_det = lead(x, condition)
            found = there(h, *given(condition))
            return {"z": found["z"], "log_det": log_det + found["log_det"]}

        def inverse(z: tf.Tensor, condition: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
            found = back(z, *given(condition))
            x, log_det = found["x"], found["log_det"]
            for block in reversed(blocks):
                x, more = block.inverse_and_log_det(x, served.embed(condition))
                log_det += more
            return {"x": x, "log_det": log_det}

        x_spec = tf.TensorSpec([None, *served.x_shape], served.dtype, name="x")
        return cls(make("forward", forward, x_spec), make("inverse", inverse, z_spec), lead, there, back)


def given(condition: tf.Tensor | None) -> tuple[tf.Tensor, ...]:
    """A condition as the last arguments of a concrete function."""
    return () if condition is None else (condition,)


def _leading(served: Served, blocks: Sequence[Block]) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    def lead(x: tf.Tensor, condition: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        log_det = tf.zeros(tf.shape(x)[:1], at_least_float32(x.dtype))
        for block in blocks:
            x, more = block.forward_and_log_det(x, served.embed(condition))
            log_det += more
        return x, log_det

    return lead
