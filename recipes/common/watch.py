"""Looks at a model while it trains: numbers and pictures to TensorBoard, a checkpoint if the weights are finite."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from recipes.common import termination
from recipes.common.checkpoints import Checkpoints, refuse_unmoved
from recipes.common.run_folder import RunFolder
from recipes.common.tensorboard import Summaries

Look = Callable[[int, dict[str, float], Summaries], dict[str, float]]


class Watch:
    """One training, watched every so many steps.

    Args:
        folder: of the run.
        name: of the training within it: of its logs and checkpoints.
        weights: all that must stay finite.
        trained: the weights that the training is to move.
        look: measures the model at `(step, losses, board)`, writes what it likes to the board, and returns the numbers to keep.
        remedy: what the user can do if weights become NaN or infinite.
        parts: what checkpoints hold: all that the rest of the training is a function of.

    Attributes:
        history: the numbers kept so far, a dictionary per look, with its `step` and the `seconds` spent.
    """

    def __init__(
        self, folder: RunFolder, name: str, *, weights: list[Any], trained: list[Any], look: Look, remedy: str, **parts: Any
    ):
        self._name, self._weights, self._trained, self._look, self._remedy = name, list(weights), list(trained), look, remedy
        self._before = _values(self._trained)
        self._board = Summaries(folder.logs / name)
        self._checkpoints = Checkpoints(folder, name, **parts)
        self._spent, self._started = 0.0, time.monotonic()

    @property
    def history(self) -> list[dict[str, float]]:
        """See the class."""
        return self._checkpoints.history

    def restore(self) -> int:
        """Step of the newest checkpoint, loaded; 0 without one.  Starts the clock."""
        step = self._checkpoints.restore()
        self._spent = float(self.history[-1].get("seconds", 0.0)) if self.history else 0.0
        self._started = time.monotonic()
        return step

    def look(self, step: int, losses: dict[str, float]) -> None:
        """Look at the model; keep it.

        Raises:
            UserError: if a weight is NaN or infinite; the checkpoints before it stay.
        """
        self._checkpoints.refuse_nonfinite(_values(self._weights), step, self._remedy)
        numbers = self._look(step, losses, self._board)
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
            self._checkpoints.refuse_nonfinite(_values(self._weights), step, self._remedy)
            self._checkpoints.keep_between_looks(step)
        raise termination.Terminated(f"Terminated: {self._name} is kept at step {step}.")

    def finish(self) -> list[dict[str, float]]:
        """The history of a training at its end.

        Raises:
            UserError: if no step has moved a weight.
        """
        refuse_unmoved(self._name, self._before, _values(self._trained))
        return self.history


def _values(weights: list[Any]) -> list[np.ndarray]:
    return [w.numpy() for w in weights]
