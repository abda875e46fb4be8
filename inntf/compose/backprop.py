"""How a composition backpropagates: from stored activations, or from recomputed ones, by the inverse or from checkpoints."""

from __future__ import annotations

import contextlib
import dataclasses
import math

import ml_dtypes
import tensorflow as tf

from inntf.core.errors import explain
from inntf.core.thread_flags import ThreadFlag

_MODES = ("stored", "reversible", "checkpointed")
_ON_DRIFT = ("recompute", "raise", "warn")
_forced: ThreadFlag[tuple[str | None, bool]] = ThreadFlag((None, True))  # a mode, and whether drift is guarded


@dataclasses.dataclass(frozen=True)
class Backprop:
    """The settings of `Chain` and `Repeat`, checked.

    Args:
        mode: `"stored"`, `"reversible"` or `"checkpointed"`.
        checkpoint_every: blocks between true activations that are kept, to check against or to start from; `None`: about
            `sqrt(depth)` in reversible mode, 1 in checkpointed mode.
        drift_tolerance: largest error of a reconstructed activation that passes, relative to the root mean square of
            the true one; `None`: the square root of the dtype's epsilon; infinity: no guard, and nothing kept.
        on_drift: `"recompute"` the segment from its checkpoint, `"raise"`, or `"warn"` and go on with the reconstruction.

    Raises:
        ValueError: for another value.
    """

    mode: str = "stored"
    checkpoint_every: int | None = None
    drift_tolerance: float | None = None
    on_drift: str = "recompute"

    def __post_init__(self) -> None:
        for name, value, allowed in (("backprop", self.mode, _MODES), ("on_drift", self.on_drift, _ON_DRIFT)):
            if value not in allowed:
                raise ValueError(explain(name, received=repr(value), expected=" or ".join(allowed)))
        every, tolerance = self.checkpoint_every, self.drift_tolerance
        if every is not None and (isinstance(every, bool) or every != int(every) or every < 1):
            raise ValueError(
                explain("checkpoint_every", received=every, expected="a positive integer or None", remedy="Count blocks.")
            )
        if tolerance is not None and not tolerance >= 0:
            raise ValueError(
                explain(
                    "drift_tolerance", received=tolerance, expected="a number >= 0 or None", remedy="It is a relative error."
                )
            )

    def now(self) -> Backprop:
        """The settings as `backprop_mode` leaves them."""
        mode, guarded = _forced.value
        tolerance = self.drift_tolerance if guarded else math.inf
        return dataclasses.replace(self, mode=mode or self.mode, drift_tolerance=tolerance)

    @property
    def guarded(self) -> bool:
        """Whether reconstructions are compared with checkpoints."""
        return self.mode == "reversible" and (self.drift_tolerance is None or math.isfinite(self.drift_tolerance))

    def segment(self, depth: int) -> int:
        """Blocks from one checkpoint to the next."""
        if self.mode == "checkpointed":
            return min(depth, self.checkpoint_every or 1)
        if not self.guarded:
            return depth
        return min(depth, self.checkpoint_every or max(1, round(math.sqrt(depth))))

    def tolerance(self, dtype: tf.DType) -> float:
        """The tolerance in use for activations of this dtype."""
        if self.drift_tolerance is not None:
            return self.drift_tolerance
        return math.sqrt(float(ml_dtypes.finfo(dtype.as_numpy_dtype).eps))


def backprop_mode(mode: str, guarded: bool = True) -> contextlib.AbstractContextManager[None]:
    """Within it every composition that is called or traced backpropagates so, whatever it was made with.

    Use `"stored"` for second derivatives and Jacobian products of a reversible model.

    Args:
        mode: `"stored"`, `"reversible"` or `"checkpointed"`.
        guarded: `False` switches the drift guard off.

    Raises:
        ValueError: for another mode.

    Source: inntf.

    Example:
        >>> with backprop_mode("stored"):
        ...     Backprop("reversible").now().mode
        'stored'
    """
    Backprop(mode)
    return _forced.set_to((mode, guarded))
