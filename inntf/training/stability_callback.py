"""TensorBoard summaries that tell when an inverse breaks, from `fit` or from a loop of one's own."""

from __future__ import annotations

import pathlib
import warnings
from typing import Any

import keras
import tensorflow as tf

from inntf.compose import worst_drift
from inntf.core.errors import explain
from inntf.core.random_states import same_draws
from inntf.stability.block_functions import BlockFunctions
from inntf.stability.find_block import find_block
from inntf.stability.measurement import measure, singular_summary, worst_condition
from inntf.stability.pictures import passes_picture
from inntf.stability.reconstruction import pass_repeatedly, summarize
from inntf.stability.singular_values import singular_values
from inntf.stability.verdict import Verdict


def write_stability(
    writer: tf.summary.SummaryWriter,
    block: Any,
    x: Any,
    step: int,
    condition: Any = None,
    *,
    passes: int = 9,
    samples: int = 8,
    method: str = "auto",
    iterations: int = 50,
    tolerance: float = 1e-2,
    precision: str | None = None,
) -> tuple[dict[str, float], Verdict]:
    """Measure the stability of a block and write it for TensorBoard.

    Scalars, under `stability/`: `reconstruction_error_median`, `_p99`, `_max`, `_nonfinite_share`, the median error after all
    passes, the largest and smallest singular value, the condition number and its certain lower bound (worst over the
    samples), how many samples were not finite or not confirmed, `column_error_p99` over the spread of the worst column,
    `own_samples_nonfinite_share` and `own_samples_relative_error_p99` of the model's own samples, `density_error_p99_nats`
    against a float64 copy, and `reversible_drift`, the worst of the last backward pass, where a part trains reversibly.
    Image: `stability/reconstructions`, the data in the first row, then one pass forward and back a row.  Numbers that are not
    finite are written as they are.

    Args:
        writer: from `tf.summary.create_file_writer`.
        block: a block, or a model around one.
        x: `(batch, dim)` or `(batch, height, width, channels)`; a fixed batch makes steps comparable.
        step: step of the summaries.
        condition: of the block, if it has one.
        passes: how often to go forward and back.
        samples: how many samples the singular values and the picture use, the first ones.
        method: of `inntf.stability.singular_values`.
        iterations: at most that many Jacobian products a direction.
        tolerance: relative residual where they stop; a curve needs no fourth digit (the value itself is far better).
        precision: of `inntf.stability.singular_values`; `"float64"` resolves condition numbers that float32 cannot.

    Returns:
        The scalars by name (without `stability/`), and a verdict in words.

    Raises:
        ValueError: for data that the block refuses; TypeError: if there is no block.

    Source: "On the Invertibility of Invertible Neural Networks", section 4, figure 4, table 3.

    Example:
        >>> import tempfile
        >>> from inntf.blocks import ActNorm
        >>> writer = tf.summary.create_file_writer(tempfile.mkdtemp())
        >>> numbers, verdict = write_stability(writer, ActNorm(), tf.ones([2, 3]), step=0)
        >>> verdict.level, numbers["condition_number"]
        ('stable', 1.0)
    """
    model, maps = block, BlockFunctions.of(block, x, condition)
    block, x, condition = maps.block, maps.x, maps.condition
    few = None if condition is None else condition[:samples]
    found = measure(model, maps)
    with same_draws(block):  # watching must not change what training draws
        repeated = pass_repeatedly(maps if found.float64_missing else maps.compiled(), passes)
        values = singular_values(
            block, x[:samples], few, method, iterations=iterations, tolerance=tolerance, precision=precision
        )
    spectrum = singular_summary(values)
    errors = summarize(found.data.errors)
    numbers = {
        "reconstruction_error_median": errors.median,
        "reconstruction_error_p99": errors.p99,
        "reconstruction_error_max": errors.max,
        "reconstruction_error_nonfinite_share": errors.nonfinite_share,
        f"reconstruction_error_median_after_{passes}_passes": summarize(repeated.errors[-1]).median,
        "largest_singular_value": spectrum["largest"],
        "smallest_singular_value": spectrum["smallest"],
        "condition_number": spectrum["condition_number"],
        "condition_number_at_least": spectrum["condition_at_least"],
        "singular_values_nonfinite": spectrum["nonfinite"],
        "singular_values_unverified": spectrum["unverified"],
        "column_error_p99": found.data.columns.p99,
    }
    if found.samples is not None:
        numbers["own_samples_nonfinite_share"] = found.samples.nonfinite_share
        numbers["own_samples_relative_error_p99"] = found.samples.relative.p99
    if found.density is not None:
        numbers["density_error_p99_nats"] = found.density.nats.p99
    if (drift := worst_drift(block)) is not None:
        numbers["reversible_drift"] = drift
    with writer.as_default(step=step):
        for name, number in numbers.items():
            tf.summary.scalar(f"stability/{name}", number)
        tf.summary.image("stability/reconstructions", passes_picture(repeated.samples, samples)[None])
    writer.flush()
    return numbers, found.judge(worst_condition(spectrum), spectrum["unverified"])


class StabilityCallback(keras.callbacks.Callback):
    """Watch the inverse while training: TensorBoard summaries every so many epochs, and one clear warning when it breaks.

    The block is that of `model.flow.block`, `model.block`, or the model itself.  What is written: see `write_stability`.
    Results are kept in `history`, one dict an evaluation.

    Args:
        x: a fixed batch of data, `(batch, dim)` or `(batch, height, width, channels)`; some dozens of samples are enough.
        condition: of the block, if it has one.
        log_dir: folder of the TensorBoard logs; the summaries go to `log_dir/stability`.
        every: epochs between evaluations; the first one comes after the first epoch.
        passes, samples, method, iterations, tolerance, precision: as in `write_stability`.

    Raises:
        ValueError: if `every` is not positive; TypeError: in `fit`, if the model has no block.

    Source: "On the Invertibility of Invertible Neural Networks", section 4.

    Example:
        >>> callback = StabilityCallback(tf.ones([2, 3]), log_dir="logs", every=5)
        >>> callback.history
        []
    """

    def __init__(
        self,
        x: Any,
        condition: Any = None,
        *,
        log_dir: str | pathlib.Path,
        every: int = 1,
        passes: int = 9,
        samples: int = 8,
        method: str = "auto",
        iterations: int = 50,
        tolerance: float = 1e-2,
        precision: str | None = None,
    ):
        super().__init__()
        if every < 1:
            raise ValueError(
                explain("StabilityCallback", received=f"every={every}", expected="at least 1 epoch", remedy="Raise it.")
            )
        self.x, self.condition = x, condition
        self.log_dir, self.every = pathlib.Path(log_dir), every
        self.options = {"passes": passes, "samples": samples, "method": method}
        self.options |= {"iterations": iterations, "tolerance": tolerance, "precision": precision}
        self.history: list[dict[str, float]] = []
        self._writer: tf.summary.SummaryWriter | None = None
        self._warned = False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Find the block now: a model without one should not train for an epoch first."""
        find_block(self.model)
        self._warned = False

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measure, write, and warn."""
        if epoch % self.every == 0:
            self.evaluate(epoch)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Close the log."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def evaluate(self, step: int) -> dict[str, float]:
        """One measurement, as at the end of an epoch; returns its numbers."""
        if self._writer is None:
            self._writer = tf.summary.create_file_writer(str(self.log_dir / "stability"))
        numbers, verdict = write_stability(self._writer, self.model, self.x, step, self.condition, **self.options)
        self.history.append({"step": step, **numbers})
        if verdict.level == "broken" and not self._warned:
            self._warned = True
            lost = "Samples and reconstructions" + ("" if "density right" in verdict.case else ", and likelihoods,")
            warnings.warn(
                f"StabilityCallback, step {step}: the inverse of {find_block(self.model).name} is {verdict} ({verdict.case}). "
                f"{lost} from here on are not to be trusted. Bounded scales (SigmoidScale(low=0.5)), spectral "
                "normalization or a smaller learning rate keep it invertible.",
                RuntimeWarning,
                stacklevel=2,
            )
        return numbers
