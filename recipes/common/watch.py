"""Looks at a model while it trains: numbers and pictures to TensorBoard, a checkpoint if the weights are finite."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.training import skip_nonfinite
from recipes.common import termination
from recipes.common.checkpoints import Checkpoints, refuse_unmoved
from recipes.common.errors import NonFiniteError, UserError
from recipes.common.run_folder import RunFolder
from recipes.common.tensorboard import Summaries

Look = Callable[[int, dict[str, float], Summaries], dict[str, float]]


_PATIENCE = 3  # looks in a row whose weights are not finite, before going back is given up


class Watch:
    """One training, watched every so many steps.

    Args:
        folder: of the run.
        name: of the training within it: of its logs and checkpoints.
        weights: all that must stay finite.
        trained: the weights that the training is to move.
        look: measures the model at `(step, losses, board)`, writes what it likes to the board, and returns the numbers to keep.
        remedy: what the user can do if weights become NaN or infinite.
        diagnose: says in words which block is likely to have broken, asked with the weights of the last checkpoint.
        parts: what checkpoints hold: all that the rest of the training is a function of.

    Attributes:
        history: the numbers kept so far, a dictionary per look, with its `step` and the `seconds` spent; with
            `--on-nonfinite skip` also `skipped_steps`.
    """

    def __init__(
        self,
        folder: RunFolder,
        name: str,
        *,
        weights: list[Any],
        trained: list[Any],
        look: Look,
        remedy: str,
        diagnose: Callable[[], str] | None = None,
        **parts: Any,
    ):
        optimizers = [part for part in parts.values() if isinstance(part, keras.optimizers.Optimizer)]
        if unbuilt := [optimizer.name for optimizer in optimizers if not optimizer.built]:
            raise RuntimeError(f"{name}: {unbuilt} not built; no checkpoint would hold the moments. Build it first.")
        self._name, self._weights, self._trained, self._look, self._remedy = name, list(weights), list(trained), look, remedy
        self._diagnose, self._policy, self._in_a_row = diagnose, folder.config.on_nonfinite, 0
        self._before = _values(self._trained)
        self._board = Summaries(folder.logs / name)
        self._skipped = [_skipping(optimizer) for optimizer in optimizers if self._policy == "skip"]
        self._checkpoints = Checkpoints(folder, name, **parts)
        self._spent, self._skipped_before, self._started = 0.0, 0, time.monotonic()

    @property
    def history(self) -> list[dict[str, float]]:
        """See the class."""
        return self._checkpoints.history

    def restore(self, steps: int | None = None) -> int:
        """Step of the newest checkpoint, loaded; 0 without one.  Starts the clock.

        Args:
            steps: that the training is to have in the end.

        Raises:
            UserError: if the checkpoint is of a later step.
        """
        step = self._checkpoints.restore()
        if steps is not None and step > steps:
            raise UserError(
                f"--resume: {self._name}: is at step {step} already, received {steps} steps, expected at least {step}",
                remedy="Ask for as many, or start anew in another --out.",
            )
        self._spent = float(self.history[-1].get("seconds", 0.0)) if self.history else 0.0
        self._skipped_before = next((int(h["skipped_steps"]) for h in reversed(self.history) if "skipped_steps" in h), 0)
        self._started = time.monotonic()
        return step

    def look(self, step: int, losses: dict[str, float]) -> None:
        """Look at the model; keep it.

        Weights that are NaN or infinite are neither looked at nor kept; with `--on-nonfinite restore` those of the last
        checkpoint are put back.

        Raises:
            UserError: if a weight is NaN or infinite, and there is nothing to go back to; the checkpoints before it stay.
        """
        if not self._finite():
            self._go_back_or_stop(step)
            return
        self._in_a_row = 0
        numbers = self._look(step, losses, self._board)
        if self._skipped:
            skipped = sum(int(counter.numpy()) for counter in self._skipped)
            numbers = {**numbers, "skipped_steps": self._skipped_before + skipped}
        self._board.flush()
        self._checkpoints.keep(step, {**numbers, "seconds": self._spent + time.monotonic() - self._started})

    def steps(self) -> contextlib.AbstractContextManager[None]:
        """Around the loop over steps: SIGTERM waits for the end of a step, see `pause`."""
        return termination.at_a_step()

    def pause(self, step: int) -> None:
        """After each step: if the process was asked to end, keep the training as it is and end.

        Raises:
            Terminated: after the checkpoint is written; UserError: if a weight is NaN or infinite.
        """
        if not termination.wanted():
            return
        if not self.history or self.history[-1]["step"] != step:  # else the look has just kept it
            if not self._finite():
                self._go_back_or_stop(step)
            self._checkpoints.keep_between_looks(step)
        raise termination.Terminated(f"Terminated: {self._name} is kept at step {step}.")

    def finish(self) -> list[dict[str, float]]:
        """The history of a training at its end.

        Raises:
            UserError: if no step has moved a weight.
        """
        refuse_unmoved(self._name, self._before, _values(self._trained))
        return self.history

    def _finite(self) -> bool:
        return all(np.all(np.isfinite(value)) for value in _values(self._weights))

    def _go_back_or_stop(self, step: int) -> None:
        last = self._checkpoints.restore()
        self._in_a_row += 1
        if last and self._policy == "restore" and self._in_a_row <= _PATIENCE:
            where = f"those of step {last} are put back, the batches since are left out"
            print(f"{self._name}: weights became NaN or infinite before step {step}; {where}", file=sys.stderr)
            return
        told = f"{self._name}: weights became NaN or infinite before step {step}"
        if not last:
            raise NonFiniteError(f"{told}, and there is no checkpoint before it", remedy=self._remedy)
        told += f"; the last good checkpoint, of step {last}, was kept"
        if self._diagnose is not None:
            told += f". There {self._diagnose()}"
        raise NonFiniteError(told, remedy=self._remedy)


def _skipping(optimizer: keras.optimizers.Optimizer) -> tf.Variable:
    strategy = getattr(optimizer.iterations.value, "distribute_strategy", None) or tf.distribute.get_strategy()
    with strategy.scope():
        return skip_nonfinite(optimizer)


def _values(weights: list[Any]) -> list[np.ndarray]:
    return [w.numpy() for w in weights]
