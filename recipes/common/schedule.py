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


def warm_constant(highest: float, up: int) -> keras.optimizers.schedules.CosineDecay:
    """Up from zero over so many steps, then constant.

    >>> rate = warm_constant(0.1, 5)
    >>> [round(float(rate(step)), 3) for step in (0, 5, 100)]
    [0.0, 0.1, 0.1]
    """
    return keras.optimizers.schedules.CosineDecay(0.0, 1, alpha=1.0, warmup_target=highest, warmup_steps=up)


def after(steps: int, rate: float) -> keras.optimizers.schedules.LearningRateSchedule | float:
    """Zero for so many steps, then `rate`.

    >>> rate = after(2, 0.5)
    >>> [float(rate(step)) for step in (0, 1, 2)]
    [0.0, 0.0, 0.5]
    """
    return keras.optimizers.schedules.PiecewiseConstantDecay([steps - 1], [0.0, rate]) if steps else rate
