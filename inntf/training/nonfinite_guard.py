"""A loss that is NaN or infinite in training: skip the step, go back, or stop and say which block it is."""

from __future__ import annotations

import warnings
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.core.errors import explain
from inntf.core.replicas import skip_nonfinite
from inntf.stability.weakest_block import weakest_block

POLICIES = ("stop", "restore", "skip")


class NonFiniteError(FloatingPointError):
    """Weights or losses of a training are NaN or infinite; the message names a block.

    Source: inntf.

    Example:
        >>> issubclass(NonFiniteError, ArithmeticError)
        True
    """


class NonFiniteGuard(keras.callbacks.Callback):
    """What is to happen when a training meets NaN or infinite numbers.

    Weights and optimizer are copied at the start and after each epoch whose weights and losses are finite.  Where they are not:

    - `"stop"`: the last copy is put back and `fit` raises `NonFiniteError`, which names a block with its certified bounds, see
      `inntf.stability.weakest_block`.
    - `"restore"`: the last copy is put back and training goes on with the batches that follow; after `patience` epochs in a row
      it stops as above.
    - `"skip"`: gradients that are not finite count as zero (see `skip_nonfinite`), so that one bad batch harms nothing; a
      warning says how many there were, and what is broken all the same is treated as by `"stop"`.

    Args:
        policy: see above.
        patience: epochs in a row that `"restore"` puts up with.
        x: data for the diagnosis, `(n, *event)`.
        condition: that belongs to `x`, if the model has one.

    Attributes:
        skipped: batches whose gradients were not finite, with `"skip"`.
        restored: how often the copy was put back.

    Raises:
        ValueError: for another policy, or a patience below 1; NonFiniteError: by `fit`.

    Source: inntf; going back and leaving batches out: Chowdhery et al., "PaLM" (2022), section 5.1.

    Example:
        >>> guard = NonFiniteGuard("skip")
        >>> guard.skipped, guard.restored
        (0, 0)
    """

    def __init__(self, policy: str = "stop", *, patience: int = 3, x: Any = None, condition: Any = None):
        super().__init__()
        if policy not in POLICIES:
            raise ValueError(explain("NonFiniteGuard", received=f"policy={policy!r}", expected=f"one of {POLICIES}"))
        if isinstance(patience, bool) or not isinstance(patience, int) or patience < 1:
            raise ValueError(explain("NonFiniteGuard", received=f"patience={patience!r}", expected="a whole number from 1"))
        self.policy, self.patience, self.x, self.condition = policy, patience, x, condition
        self.restored, self._in_a_row = 0, 0
        self._copy: list[np.ndarray] = []
        self._counter: tf.Variable | None = None

    @property
    def skipped(self) -> int:
        """See the class."""
        return 0 if self._counter is None else int(self._counter.numpy())

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Keep the first copy; teach the optimizers to skip."""
        self._in_a_row = 0
        if self.policy == "skip":
            with self.model.distribute_strategy.scope():
                counters = [skip_nonfinite(optimizer) for optimizer in self._optimizers()]
            self._counter = counters[0]
        self._keep()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Look, and act."""
        finite = all(np.all(np.isfinite(value)) for value in (logs or {}).values())
        if finite and self._weights_are_finite():
            self._in_a_row = 0
            self._keep()
            return
        if self.policy == "skip" and self._weights_are_finite():  # a mean that one bad batch has spoiled
            warnings.warn(f"{self.model.name}: {self.skipped} steps were skipped until epoch {epoch + 1}", stacklevel=2)
            self._keep()
            return
        self._put_back()
        self._in_a_row += 1
        if self.policy == "restore" and self._in_a_row <= self.patience:
            self.restored += 1
            warnings.warn(f"{self.model.name}: not finite in epoch {epoch + 1}; back to the epoch before", stacklevel=2)
            return
        raise NonFiniteError(
            f"{self.model.name}: weights or losses became NaN or infinite in epoch {epoch + 1}; the weights are those of the "
            f"last whole one. There {self._diagnosis()}. Lower the learning rate, clip gradients, or bound scales."
        )

    def _diagnosis(self) -> str:
        try:
            return weakest_block(self.model, self.x, self.condition)
        except (TypeError, ValueError, NotImplementedError) as error:
            return f"no block can be named ({error})"

    def _optimizers(self) -> list[keras.optimizers.Optimizer]:
        return [v for v in vars(self.model).values() if isinstance(v, keras.optimizers.Optimizer)]

    def _variables(self) -> list[Any]:
        found = [*self.model.weights, *(v for optimizer in self._optimizers() for v in optimizer.variables)]
        return list({id(v): v for v in found}.values())

    def _weights_are_finite(self) -> bool:
        values = [w.numpy() for w in self.model.weights]
        return all(np.all(np.isfinite(v)) for v in values if np.issubdtype(v.dtype, np.floating))

    def _keep(self) -> None:
        self._copy = [v.numpy() for v in self._variables()]

    def _put_back(self) -> None:
        for variable, value in zip(self._variables(), self._copy, strict=True):
            variable.assign(value)
