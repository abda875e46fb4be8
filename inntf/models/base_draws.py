"""What a base may lack: samples, a mean to draw towards."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from inntf.core.errors import explain


def drawn(who: str, base: tfd.Distribution, shape: Any, seed: Any) -> tf.Tensor:
    """Samples of a base.

    Raises:
        NotImplementedError: where the base has a density alone.
    """
    try:
        return base.sample(shape, seed=seed)
    except NotImplementedError as error:
        received, expected = f"the base {base.name} ({type(base).__name__}), which has a density alone", "one that draws"
        remedy = "log_prob and training need no samples; to sample, define _sample_n of the base, or use tfp.mcmc."
        raise NotImplementedError(explain(who, received=received, expected=expected, remedy=remedy)) from error


def can_draw(base: tfd.Distribution) -> bool:
    """Whether a base has samples."""
    try:
        base.sample(seed=tf.constant([0, 0]))
    except NotImplementedError:
        return False
    return True


def mean_of(who: str, base: tfd.Distribution) -> tf.Tensor:
    """The mean that temperatures draw towards.

    Raises:
        NotImplementedError: where the base has none, or does not tell it.
    """
    try:
        mean = base.mean()
        finite = not tf.executing_eagerly() or bool(np.all(np.isfinite(mean)))
    except NotImplementedError:
        finite = False
    if not finite:
        received = f"a temperature with the base {base.name} ({type(base).__name__}), whose mean is not known"
        remedy = "Sample at temperature 1, or use a base that has a mean."
        raise NotImplementedError(explain(who, received=received, expected="a base with a mean", remedy=remedy))
    return mean
