"""What our workers of `benchmarks.residual_speed` share: a residual flow is trained, and its steps are served."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

import inntf
from benchmarks.workers.loop import libraries_loaded, serve_training, timed
from benchmarks.workers.tiny_steps import tensorflow_started
from inntf.training import update_spectral_norms


def train_and_serve(
    answers: Any, make: Callable[[], inntf.Flow], batch: Sequence[int], threads: int, size: str, xla: bool = False
) -> None:
    """Make the flow; a step is the negative log-likelihood of a batch of noise, its gradient, Adam and the spectral norms."""
    tensorflow_started(threads)
    libraries_loaded()
    build, _, flow = timed(make)
    variables = flow.trainable_variables
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(variables)

    @tf.function(jit_compile=xla or None, autograph=False)
    def train(x):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(flow.log_prob(x))
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        update_spectral_norms(flow.block)
        return loss

    @tf.function(autograph=False)
    def there_and_back(x):
        return flow.block.inverse_and_log_det(flow.block.forward_and_log_det(x)[0])[0]

    x = tf.random.stateless_normal(batch, [0, 0])
    serve_training(
        answers,
        lambda: float(train(x)),
        {"inverse_error": lambda: float(tf.reduce_max(tf.abs(there_and_back(x) - x)))},
        library=f"inntf {inntf.__version__}, TensorFlow {tf.__version__}",
        size=size,
        parameters=int(sum(v.shape.num_elements() for v in variables)),
        build_seconds=build,
    )
