"""Learning rates by step."""

from __future__ import annotations

import keras


def warm_cosine(highest: float, steps: int) -> keras.optimizers.schedules.CosineDecay:
    """Up from zero over the first twentieth of the steps, then down to zero by half a cosine.

    >>> rate = warm_cosine(0.1, 100)
    >>> [round(float(rate(step)), 3) for step in (0, 5, 100)]
    [0.0, 0.1, 0.0]
    """
    up = max(1, steps // 20)
    return keras.optimizers.schedules.CosineDecay(0.0, max(1, steps - up), warmup_target=highest, warmup_steps=up)
