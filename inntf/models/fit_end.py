"""What is to happen when `fit` returns, after all callbacks."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras


class FitEnd:
    """Mixin of a keras.Model: functions in `when_fit_ends` are called when `fit` returns.

    A callback cannot have the last word by itself: whatever stands after it in the list may set weights once more, as
    `EarlyStopping(restore_best_weights=True)` does.  It appends to this list when training begins.
    """

    when_fit_ends: list[Callable[[], None]] | None = None  # while nothing is fitted

    @functools.wraps(keras.Model.fit)  # a model that binds the arguments of fit by name sees those of Keras
    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """As in Keras."""
        ends: list[Callable[[], None]] = []
        object.__setattr__(self, "when_fit_ends", ends)
        try:
            history = super().fit(*args, **kwargs)
            for function in ends:
                function()
        finally:
            object.__setattr__(self, "when_fit_ends", None)
        return history
