"""Watch the inverse while training, and act when it breaks."""

from __future__ import annotations

import pathlib
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.core.errors import explain
from inntf.stability.find_block import find_block
from inntf.stability.verdict import Verdict
from inntf.training.stability_summaries import write_stability

_ACTIONS = ("warn", "stop", "restore", "regularize")
_LEVELS = {"fragile": ("fragile", "broken"), "broken": ("broken",)}
When = str | Callable[[dict[str, float], Verdict], bool]


class StabilityCallback(keras.callbacks.Callback):
    """Watch the inverse while training: a page in TensorBoard, one clear warning when it breaks, and what you want done then.

    The block is that of `model.flow.block`, `model.block`, or the model itself.  What is written: see `write_stability`.
    Results are kept in `history`, one dict an evaluation.

    Args:
        x: a fixed batch of data, `(batch, dim)` or `(batch, height, width, channels)`; some dozens of samples are enough.
        condition: of the block, if it has one.
        log_dir: folder of the TensorBoard logs; the summaries go to `log_dir/stability`.
        every: epochs between evaluations, the first one after the first epoch; `None` for ten evenly spaced looks at a
            training, within epochs where need be (with `steps_per_execution`, at the end of such a group of steps).
        when: `"broken"`, `"fragile"` (or worse), or a function of the numbers and the verdict (`inntf.stability.Verdict`):
            `when=lambda numbers, verdict: numbers["condition_number"] > 1e6`.
        action: what to do then, beside one `RuntimeWarning` a training: `"warn"` nothing more; `"stop"` the training;
            `"restore"` the weights of the last evaluation that passed, and stop; `"regularize"`: multiply the weight of
            `regularizer` by `factor`, at each such evaluation; or a function of this callback.
        regularizer: an object with a settable `weight`, one of `inntf.stability`.
        factor: above 1.
        passes, samples, method, iterations, tolerance, precision, per_block, float64_copy: as in `write_stability`.

    Raises:
        ValueError: if `every` is not positive, or the action is not known or lacks its regularizer; TypeError: in `fit`, if the
            model has no block.

    Source: "On the Invertibility of Invertible Neural Networks", section 4.

    Example:
        >>> callback = StabilityCallback(tf.ones([2, 3]), log_dir="logs", every=5, action="restore")
        >>> callback.history
        []
    """

    def __init__(
        self,
        x: Any,
        condition: Any = None,
        *,
        log_dir: str | pathlib.Path,
        every: int | None = 1,
        when: When = "broken",
        action: str | Callable[[StabilityCallback], Any] = "warn",
        regularizer: Any = None,
        factor: float = 10.0,
        passes: int = 9,
        samples: int = 8,
        method: str = "auto",
        iterations: int = 50,
        tolerance: float = 1e-2,
        precision: str | None = None,
        per_block: bool = True,
        float64_copy: bool = True,
    ):
        super().__init__()
        _check(every, when, action, regularizer, factor)
        self.x, self.condition = x, condition
        self.log_dir, self.every = pathlib.Path(log_dir), every
        self.when, self.action, self.regularizer, self.factor = when, action, regularizer, float(factor)
        self.options: dict[str, Any] = {"passes": passes, "samples": samples, "method": method, "per_block": per_block}
        self.options |= {"iterations": iterations, "tolerance": tolerance, "precision": precision, "float64_copy": float64_copy}
        self.history: list[dict[str, float]] = []
        self._writer: tf.summary.SummaryWriter | None = None
        self._warned = False
        self._steps, self._before = 0, 0
        self._between: int | None = None
        self._first: int | None = None
        self._passed: list[np.ndarray] | None = None
        self._restored = False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Find the block now: a model without one should not train for an epoch first."""
        find_block(self.model)
        self._warned, self._passed, self._restored, self._first = False, None, False, None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """See where the training begins, and how far it goes."""
        if self._first is not None:
            return
        steps = self.params.get("steps") or 0
        self._first, self._steps = epoch, epoch * steps
        self._before = self._steps
        total = max(0, self.params.get("epochs", 1) - epoch) * steps
        self._between = -(-total // 10) if self.every is None and total else None

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Count the steps, and look at every tenth part of them."""
        # By the batch's number: with `steps_per_execution` Keras calls once for several of them.
        before, self._steps = self._steps, self._before + batch + 1
        if self._between is None:
            return
        start = (self._first or 0) * (self.params.get("steps") or 0)
        if (self._steps - start) // self._between > (before - start) // self._between:
            self.evaluate(self._steps)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measure, write, and act."""
        self._before, first = self._steps, self._first or 0
        # Where Keras does not know the number of steps of an epoch, epochs are all there is to count.
        every = self.every or (None if self._between else max(1, -(-(self.params.get("epochs", 1) - first) // 10)))
        if every is not None and (epoch - first) % every == 0:
            self.evaluate(epoch)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Close the log; with `use_ema` Keras has put averages over the whole training in place of what was restored."""
        if self._restored and self._passed is not None and getattr(self.model.optimizer, "use_ema", False):
            self.model.set_weights(self._passed)
        self._passed = None
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def evaluate(self, step: int) -> dict[str, float]:
        """One measurement, as at the end of an epoch, and the action where it is due; returns its numbers."""
        if self._writer is None:
            self._writer = tf.summary.create_file_writer(str(self.log_dir / "stability"))
        numbers, verdict = write_stability(self._writer, self.model, self.x, step, self.condition, **self.options)
        self.history.append({"step": step, **numbers})
        due = self.when(numbers, verdict) if callable(self.when) else verdict.level in _LEVELS[self.when]
        if due:
            self._warn(step, verdict)
            self._act()
        elif self.action == "restore":
            self._passed = [np.array(w) for w in self.model.get_weights()]
        return numbers

    def _act(self) -> None:
        if callable(self.action):
            self.action(self)
        elif self.action == "regularize":
            self.regularizer.weight = self.factor * self.regularizer.weight
        elif self.action in ("stop", "restore"):
            self.model.stop_training = True
            if self.action == "restore" and self._passed is not None:
                self.model.set_weights(self._passed)
                self._restored = True

    def _warn(self, step: int, verdict: Verdict) -> None:
        if self._warned:
            return
        self._warned = True
        lost = "Samples and reconstructions" + ("" if "density right" in verdict.case else ", and likelihoods,")
        told = f"{lost} from here on are not to be trusted. " if verdict.level == "broken" else ""
        done = {"stop": "Training stops. ", "regularize": f"The weight of the regularizer grows {self.factor:g} times. "}
        done["restore"] = (
            "Training stops with the weights of the last evaluation that passed. "
            if self._passed is not None
            else "Training stops; no evaluation had passed, so the weights stay. "
        )
        warnings.warn(
            f"StabilityCallback, step {step}: the inverse of {find_block(self.model).name} is {verdict} ({verdict.case}). "
            f"{told}{done.get(self.action, '') if isinstance(self.action, str) else ''}Bounded scales (SigmoidScale(low=0.5)), "
            "spectral normalization, a regularizer of inntf.stability or a smaller learning rate keep it invertible.",
            RuntimeWarning,
            stacklevel=3,
        )


def _check(every: Any, when: Any, action: Any, regularizer: Any, factor: float) -> None:
    def refuse(received: str, expected: str, remedy: str = "") -> None:
        raise ValueError(explain("StabilityCallback", received=received, expected=expected, remedy=remedy))

    if every is not None and every < 1:
        refuse(f"every={every}", "at least 1 epoch, or None for ten looks", "Raise it.")
    if not callable(when) and when not in _LEVELS:
        refuse(f"when={when!r}", "'broken', 'fragile' or a function of the numbers and the verdict")
    if not callable(action) and action not in _ACTIONS:
        refuse(f"action={action!r}", f"one of {', '.join(map(repr, _ACTIONS))}, or a function of the callback")
    if action == "regularize" and not hasattr(regularizer, "weight"):
        refuse(f"regularizer={regularizer!r}", "one of inntf.stability whose weight is to grow", "Pass regularizer=.")
    if not factor > 1:
        refuse(f"factor={factor}", "a number above 1")
