"""The checkpoints and the history of one training, so that a run can go on where it stopped."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from recipes.common.errors import UserError
from recipes.common.run_folder import RunFolder


class Checkpoints:
    """What is kept of one training inside a run's folder: the two newest checkpoints, and the numbers logged on the way.

    Args:
        folder: of the run.
        name: of this training within it.
        parts: what `tf.train.Checkpoint` is to keep, by name.

    Attributes:
        history: the numbers logged so far, a dictionary a look, with its `step`.
    """

    def __init__(self, folder: RunFolder, name: str, **parts: Any):
        self._folder, self._name = folder, name
        self._step = tf.Variable(0, dtype=tf.int64)
        self._checkpoint = tf.train.Checkpoint(step=self._step, **parts)
        self._manager = tf.train.CheckpointManager(self._checkpoint, str(folder.checkpoints / name), max_to_keep=2)
        self.history: list[dict[str, float]] = []

    def restore(self) -> int:
        """Step of the newest checkpoint, loaded with its history; 0 without one.

        Raises:
            UserError: if the checkpoint cannot be read, or is one of another model.
        """
        newest = self._manager.latest_checkpoint
        if newest is None:
            return 0
        try:
            self._checkpoint.restore(newest).assert_existing_objects_matched()
        except (tf.errors.OpError, AssertionError, ValueError) as error:
            raise UserError(
                f"{self._name}: the checkpoint {newest} cannot be read ({type(error).__name__})",
                remedy="Remove that checkpoint, or start anew in another --out.",
            ) from error
        self.history = list(self._folder.progress().get("histories", {}).get(self._name, []))
        return int(self._step)

    def refuse_nonfinite(self, weights: Iterable[Any], step: int, remedy: str) -> None:
        """Stop before weights that are not finite take a good checkpoint's place.

        Raises:
            UserError: if a weight is NaN or infinite.
        """
        if not all(np.all(np.isfinite(w)) for w in weights):
            raise UserError(
                f"{self._name}: weights became NaN or infinite before step {step}; the last good checkpoint was kept",
                remedy=remedy,
            )

    def keep(self, step: int, numbers: dict[str, float]) -> None:
        """Write a checkpoint, and the numbers to the history in the run's folder."""
        self.history.append({"step": step, **numbers})
        self._step.assign(step)
        self._manager.save(checkpoint_number=step)
        before = self._folder.progress()
        histories = {**before.get("histories", {}), self._name: self.history}
        self._folder.note_progress(**{**before, "histories": histories})
