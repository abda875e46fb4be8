"""Training by Keras' `fit`, cut where it is looked at and kept: a resumed training cuts at the same steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from recipes.common import termination
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
        model: compiled.
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
    with Progress(name, steps, start, digits) as bar, watch.steps():
        for begin, end in segments(start, steps, every):
            stop = _StopWhenAsked()
            # The dataset is shuffled already.
            options = {"epochs": 1, "steps_per_epoch": end - begin, "shuffle": False, "verbose": 0, "callbacks": [bar, stop]}
            history = model.fit(batches(begin), **options).history
            if stop.steps == end - begin:
                watch.look(end, {key: float(values[-1]) for key, values in history.items()})
            watch.pause(begin + stop.steps)


class _StopWhenAsked(keras.callbacks.Callback):
    """Ends `fit` after the step during which SIGTERM came; `steps` were made until then."""

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Count anew."""
        self.steps = 0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Count, and ask."""
        self.steps += 1
        if termination.wanted():
            self.model.stop_training = True
