"""Training of Keras models, cut where they are looked at and kept: a resumed training cuts at the same steps.

What Keras' `fit` does with a model's own `train_step`, by a loop of our own, for `fit` does not run on several workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from inntf.training import clip_what_replicas_add_up
from recipes.common.progress import Progress
from recipes.common.watch import Watch


def segments(start: int, steps: int, every: int) -> Iterator[tuple[int, int]]:
    """From step `start` to step `steps`, cut at the multiples of `every`: pairs of first step and end.

    >>> list(segments(0, 25, 10)), list(segments(20, 25, 10)), list(segments(5, 12, 10)), list(segments(25, 25, 10))
    ([(0, 10), (10, 20), (20, 25)], [(20, 25)], [(5, 10), (10, 12)], [])
    """
    while start < steps:
        end = min((start // every + 1) * every, steps)
        yield start, end
        start = end


def fit_in_segments(
    model: keras.Model,
    name: str,
    batches: Callable[[int], tf.data.Dataset],
    start: int,
    steps: int,
    every: int,
    watch: Watch,
    *,
    digits: int = 3,
) -> None:
    """Train a compiled model from step `start` to step `steps`, with one progress bar.

    Args:
        model: compiled, in the scope of the strategy that it is trained under.
        name: of the bar.
        batches: makes the endless dataset from a step on.
        start: steps made already.
        steps: steps in the end.
        every: steps between looks; the last look is at the end.
        watch: looks with the step and the means of the losses since the last look.
        digits: of the losses on the bar.

    Raises:
        Terminated: after SIGTERM, with the last step kept.
    """
    strategy, train = model.distribute_strategy, None
    with Progress(name, steps, start, digits) as bar, watch.steps():
        for begin, end in segments(start, steps, every):
            dataset = batches(begin)
            train = train or _step_over_replicas(model, dataset.element_spec)
            model.reset_metrics()
            data = iter(strategy.experimental_distribute_dataset(dataset))
            for step in range(begin + 1, end + 1):
                logs = train(next(data))
                bar.update()
                if step == end:
                    losses = _means(model, logs)
                    bar.show(losses)
                    watch.look(end, losses)
                watch.pause(step)


def _step_over_replicas(model: keras.Model, batch: Any) -> Callable[[Any], dict[str, Any]]:
    """A compiled step; what it returns is one replica's."""
    strategy = model.distribute_strategy
    clip_what_replicas_add_up(model.optimizer)
    if strategy.num_replicas_in_sync > 1:  # variables cannot be made within a step
        with strategy.scope():
            model._symbolic_build(data_batch=batch)

    @tf.autograph.experimental.do_not_convert
    def step(data: Any) -> Any:
        each = strategy.run(model.train_step, args=(data,))
        return tf.nest.map_structure(lambda value: strategy.experimental_local_results(value)[0], each)

    return tf.function(step, reduce_retracing=True, jit_compile=model.jit_compile, autograph=False)


def _means(model: keras.Model, logs: dict[str, Any]) -> dict[str, float]:
    """The metrics over all replicas; what a model's own step returns beside them, as it was last."""
    found = {**logs, **model.get_metrics_result()}
    return {key: float(value) for key, value in found.items()}
