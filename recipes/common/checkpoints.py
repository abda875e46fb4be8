"""The checkpoints and the history of one training, so that a run can go on where it stopped, wherever that was."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from recipes.common import files
from recipes.common.errors import UserError, user_error_of
from recipes.common.run_folder import RunFolder

KEPT = 3


class Checkpoints:
    """What is kept of one training inside a run's folder: the newest checkpoints, and the numbers logged on the way.

    A checkpoint is `ckpt-STEP.index`, `ckpt-STEP.data-*` and, written last, `ckpt-STEP.json`: digests of the other two, shapes
    of the variables, and the history up to that step.  One without its last part was not finished and does not count.

    Args:
        folder: of the run.
        name: of this training within it.
        parts: what is to be kept, by name: a variable, something with `variables` (a layer, an optimizer), or a list of them.

    Attributes:
        history: the numbers logged so far, a dictionary a look, with its `step`.
    """

    def __init__(self, folder: RunFolder, name: str, **parts: Any):
        self._folder, self._name = folder, name
        self._place = folder.checkpoints / name
        # Lists of plain variables: nothing depends on where Keras keeps its layers.
        variables = {part: list(_variables(value)) for part, value in parts.items()}
        self._layout = {part: [[v.dtype.name, *v.shape.as_list()] for v in found] for part, found in variables.items()}
        self._step = tf.Variable(0, dtype=tf.int64)
        self._checkpoint = tf.train.Checkpoint(step=self._step, **variables)
        self.history: list[dict[str, float]] = []

    def restore(self) -> int:
        """Step of the newest checkpoint that is whole, loaded with its history; 0 without one.

        For each one that is damaged a line on stderr says so.

        Raises:
            UserError: if none of several is whole, or they are those of another model.
        """
        whole, faults, found = self._steps("json"), [], 0
        unfinished = [f"{self._prefix(step)} was not finished" for step in self._steps("index") if step not in whole]
        for step in sorted(whole, reverse=True):
            try:
                self._load(step)
            except _DamagedError as damage:
                faults.append(f"{self._prefix(step)} cannot be read ({damage})")
                continue
            found = step
            break
        if faults and not found:
            raise UserError(
                f"{self._name}: the checkpoint {faults[0]}, and no other is whole",
                remedy=f"Remove {self._place} to train this part anew, or start anew in another --out.",
            )
        for fault in [*unfinished, *faults]:
            where = f"going on from that of step {found}" if found else "starting anew"
            print(f"{self._name}: the checkpoint {fault}; {where}", file=sys.stderr)
        if found:
            self._note()
            if not faults and not unfinished:  # what a process killed after its last checkpoint has left undone
                with contextlib.suppress(OSError):  # the next checkpoint will
                    self._point_at(found)
        return found

    def keep(self, step: int, numbers: dict[str, float]) -> None:
        """Write a checkpoint with the history, and the history to progress.json.

        Raises:
            UserError: if it cannot be written; those before it stay.
        """
        self.history.append({"step": step, **numbers})
        self.keep_between_looks(step)

    def keep_between_looks(self, step: int) -> None:
        """Write a checkpoint with the history as it is.

        Raises:
            UserError: if it cannot be written; those before it stay.
        """
        self._step.assign(step)
        try:
            self._write(step)
            self._note()
        except (OSError, tf.errors.OpError) as error:
            why = " ".join(str(user_error_of(error) or error).split())[:300]
            raise UserError(
                f"{self._name}: cannot write the checkpoint of step {step} ({why})",
                remedy="The ones before it are whole: go on with --resume.",
            ) from error

    def _prefix(self, step: int) -> pathlib.Path:
        return self._place / f"ckpt-{step}"

    def _steps(self, ending: str) -> list[int]:
        numbers = [path.name[len("ckpt-") : -len(ending) - 1] for path in self._place.glob(f"ckpt-*.{ending}")]
        return [int(number) for number in numbers if number.isdecimal()]

    def _write(self, step: int) -> None:
        self._place.mkdir(parents=True, exist_ok=True)
        beside = pathlib.Path(tempfile.mkdtemp(prefix=files.PARTIAL, dir=self._place))
        try:
            self._checkpoint.write(str(beside / f"ckpt-{step}"))
            parts = [path for path in sorted(beside.iterdir()) if path.is_file()]
            record = {"digests": {path.name: _digest(path) for path in parts}, "layout": self._layout, "history": self.history}
            (self._place / f"ckpt-{step}.json").unlink(missing_ok=True)  # it would vouch for other files
            for path in parts:
                os.replace(path, self._place / path.name)
            files.write_json(self._place / f"ckpt-{step}.json", record)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        self._point_at(step)

    def _point_at(self, step: int) -> None:
        """Make a checkpoint the newest: for `tf.train.latest_checkpoint`, and by removing all but a few before it."""
        with files.atomic(self._place / "checkpoint") as state:
            state.write_text(f'model_checkpoint_path: "ckpt-{step}"\n')
        newest = [s for s in sorted(self._steps("json"), reverse=True) if s <= step][:KEPT]
        for path in self._place.glob("ckpt-*"):
            number = path.name.removeprefix("ckpt-").partition(".")[0]
            if number.isdecimal() and int(number) not in newest:
                path.unlink(missing_ok=True)

    def _load(self, step: int) -> None:
        prefix = self._prefix(step)
        try:
            record = files.read_json(prefix.with_name(f"{prefix.name}.json"))
            digests, layout, history = (record[key] for key in ("digests", "layout", "history"))
            broken = [name for name, digest in digests.items() if _digest(self._place / name) != digest]
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise _DamagedError(f"{type(error).__name__}: {error}") from error
        if broken:
            raise _DamagedError(f"{', '.join(broken)} is not what was written")
        if layout != self._layout:
            raise UserError(
                f"{self._name}: the checkpoint {prefix} cannot be read into this model, it is one of another: "
                f"{_difference(layout, self._layout)}",
                remedy="Give the settings it was trained with, or start anew in another --out.",
            )
        try:
            self._checkpoint.read(str(prefix)).assert_existing_objects_matched()
        except (tf.errors.OpError, AssertionError, ValueError) as error:
            raise _DamagedError(type(error).__name__) from error
        self.history = list(history)

    def _note(self) -> None:
        before = self._folder.progress()
        histories = self._folder.noted("histories")
        if histories.get(self._name) != self.history:
            self._folder.note_progress(**{**before, "histories": {**histories, self._name: self.history}})


class _DamagedError(Exception):
    """A checkpoint that is not what was written."""


def refuse_unmoved(name: str, before: list[np.ndarray], after: list[np.ndarray]) -> None:
    """Stop before a model that no step has changed passes for a trained one.

    Raises:
        UserError: if all weights are what they were.
    """
    if all(np.array_equal(a, b) for a, b in zip(before, after, strict=True)):
        raise UserError(
            f"{name}: training left every weight as it was, nothing was trained",
            remedy="Take more steps or a higher learning rate (or a lower one, if no gradient was finite).",
        )


def _variables(part: Any) -> Iterable[tf.Variable]:
    if isinstance(part, list | tuple):
        for item in part:
            yield from _variables(item)
    elif isinstance(part, tf.Variable):
        yield part
    elif hasattr(part, "variables"):
        yield from _variables(list(part.variables))
    else:  # a keras.Variable holds one of TensorFlow
        yield part.value


def _digest(path: pathlib.Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _difference(there: Any, here: dict[str, list[Any]]) -> str:
    """The first thing in which two layouts differ, in words."""
    for part, wanted in here.items():
        found = there.get(part, []) if isinstance(there, dict) else []
        if len(found) != len(wanted):
            return f"{part} has {len(found)} variables there, {len(wanted)} here"
        for i, (a, b) in enumerate(zip(found, wanted, strict=True)):
            if a != b:
                return f"variable {i} of {part} is {a} there, {b} here"
    return "it holds other parts"
