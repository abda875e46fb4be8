"""What TensorBoard shows of the stability of a model: a verdict in words, six numbers, one picture."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from inntf.compose import worst_drift
from inntf.core.random_states import same_draws
from inntf.stability.block_errors import block_errors
from inntf.stability.block_functions import BlockFunctions
from inntf.stability.measurement import Measurement, measure, singular_summary, worst_condition
from inntf.stability.pictures import passes_picture
from inntf.stability.reconstruction import most_changed, pass_repeatedly, summarize
from inntf.stability.singular_values import singular_values
from inntf.stability.verdict import Verdict

_SMALLEST = 1e-12  # zeros are drawn there on logarithmic axes
_MEANT = {
    "stable": "What goes in comes back, at every datum and sample that was measured.",
    "fragile": "It comes back, with losses that grow.",
    "broken": "Do not trust what this inverse returns.",
}


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
    per_block: bool = False,
    float64_copy: bool = True,
) -> tuple[dict[str, float], Verdict]:
    """Measure the stability of a block and write it for TensorBoard.

    Text, `stability/verdict`: stable, fragile or broken, why, what that rests on, and all numbers.  Scalars, each with its
    description, those that span decades as log10: `stability/log10_error_of_data` (99 % quantile, over the norm of the
    sample), `log10_error_of_own_samples` (the model's own latents there and back), `log10_error_after_passes`,
    `percent_not_finite`, `log10_condition_number`, `log10_error_of_log_density` (nats, against a float64 copy).  Image,
    `stability/samples_by_passes`: the samples that change most, a row each, and what each pass forward and back leaves of them.

    Args:
        writer: from `tf.summary.create_file_writer`.
        block: a block, or a model around one.
        x: `(batch, dim)` or `(batch, height, width, channels)`; a fixed batch makes steps comparable.
        step: step of the summaries.
        condition: of the block, if it has one.
        passes: how often to go forward and back.
        samples: how many samples the singular values use, the first ones, and how many the picture shows.
        method: of `inntf.stability.singular_values`.
        iterations: at most that many Jacobian products a direction.
        tolerance: relative residual where they stop; a curve needs no fourth digit (the value itself is far better).
        precision: of `inntf.stability.singular_values`; `"float64"` resolves condition numbers that float32 cannot.
        per_block: whether to write a histogram for each block, `stability_blocks/...`: log10 of what that block alone does
            not give back of the samples.
        float64_copy: whether to measure a float64 copy beside it: tells rounding from an inverse that is none, and the error
            of log-densities; about twice the time.

    Returns:
        Numbers by name (`reconstruction_error_median`, `_p99`, `_max`, `_nonfinite_share`, the same median after all
        passes, `largest_singular_value`, `smallest_singular_value`, `condition_number`, its certain lower bound, how many
        singular values were not finite or not confirmed, `column_error_p99`, `relative_error_p99`,
        `own_samples_nonfinite_share` and `own_samples_relative_error_p99`, `density_error_p99_nats`, `nonfinite_share`, the
        largest of all, and `reversible_drift`, where a part trains reversibly), and a verdict in words.

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
    found = measure(model, maps, wide=float64_copy)
    with same_draws(block):  # watching must not change what training draws
        repeated = pass_repeatedly(maps if float64_copy and found.float64_missing else maps.compiled(), passes)
        values = singular_values(
            block, x[:samples], few, method, iterations=iterations, tolerance=tolerance, precision=precision
        )
        errors = block_errors(block, x[:samples], few) if per_block else {}
    spectrum = singular_summary(values)
    numbers = _numbers(found, summarize(repeated.errors[-1])._asdict(), spectrum, passes)
    if (drift := worst_drift(block)) is not None:
        numbers["reversible_drift"] = drift
    verdict = found.judge(worst_condition(spectrum), spectrum["unverified"])
    with writer.as_default(step=step):
        tf.summary.text("stability/verdict", _text(block.name, verdict, numbers, found, spectrum))
        for name, (number, description) in _scalars(numbers, passes).items():
            tf.summary.scalar(f"stability/{name}", number, description=description)
        shown = tf.gather(repeated.samples, most_changed(repeated.errors, samples), axis=1)
        picture = passes_picture(shown, samples, rows="samples" if shown.shape.rank == 5 else "passes")
        description = "The samples that change most: the data, then pass after pass forward and back; magenta is not finite."
        tf.summary.image("stability/samples_by_passes", picture[None], description=description)
        for name, error in errors.items():
            tf.summary.histogram(f"stability_blocks/{name}", error, description="log10 of what this block alone loses")
    writer.flush()
    return numbers, verdict


def _numbers(found: Measurement, after: dict[str, float], spectrum: dict[str, Any], passes: int) -> dict[str, float]:
    errors = summarize(found.data.errors)
    numbers = {
        "reconstruction_error_median": errors.median,
        "reconstruction_error_p99": errors.p99,
        "reconstruction_error_max": errors.max,
        "reconstruction_error_nonfinite_share": errors.nonfinite_share,
        f"reconstruction_error_median_after_{passes}_passes": after["median"],
        "relative_error_p99": found.data.relative.p99,
        "largest_singular_value": spectrum["largest"],
        "smallest_singular_value": spectrum["smallest"],
        "condition_number": spectrum["condition_number"],
        "condition_number_at_least": spectrum["condition_at_least"],
        "singular_values_nonfinite": spectrum["nonfinite"],
        "singular_values_unverified": spectrum["unverified"],
        "column_error_p99": found.data.columns.p99,
    }
    lost = [found.data.nonfinite_share, after["nonfinite_share"]]
    if found.samples is not None:
        numbers["own_samples_nonfinite_share"] = found.samples.nonfinite_share
        numbers["own_samples_relative_error_p99"] = found.samples.relative.p99
        lost.append(found.samples.nonfinite_share)
    if found.density is not None:
        numbers["density_error_p99_nats"] = found.density.nats.p99
    return {**numbers, "nonfinite_share": max(lost)}


def _scalars(numbers: dict[str, float], passes: int) -> dict[str, tuple[float, str]]:
    """At most six, each with what it means."""
    bars = "From -4 on fragile, from -2 on broken: one percent can be seen."
    shown = {
        "log10_error_of_data": (
            numbers["relative_error_p99"],
            f"Data, forward and back: error over the norm of the sample, 99 % quantile, log10. {bars}",
        ),
        "log10_error_of_own_samples": (
            numbers.get("own_samples_relative_error_p99"),
            f"The model's own latents, to a sample and back: error over the norm, 99 % quantile, log10. {bars}",
        ),
        "log10_error_after_passes": (
            numbers[f"reconstruction_error_median_after_{passes}_passes"],
            f"Data after {passes} passes forward and back: median l2 error, log10.",
        ),
        "log10_condition_number": (
            worst_condition({"condition_at_least": numbers["condition_number_at_least"], **numbers}),
            "Largest over smallest singular value of the Jacobian, worst of some samples, log10. "
            "Float32 has seven digits: from 5 on rounding alone can show.",
        ),
        "log10_error_of_log_density": (
            numbers.get("density_error_p99_nats"),
            "Log-densities against a float64 copy of the model: nats, 99 % quantile, log10.",
        ),
    }
    logs = {name: (_log10(value), text) for name, (value, text) in shown.items() if value is not None}
    text = "Values lost as NaN or infinity, in percent: of data there and back, after all passes, of the model's own samples."
    return {"percent_not_finite": (100 * numbers["nonfinite_share"], text), **logs}


def _log10(value: float) -> float:
    return value if math.isnan(value) or math.isinf(value) else math.log10(max(value, _SMALLEST))


def _text(name: str, verdict: Verdict, numbers: dict[str, float], found: Measurement, spectrum: dict[str, Any]) -> str:
    drawn = "" if found.samples is None else f" and {len(found.samples.errors)} samples of the model"
    copy = f"no float64 copy ({found.float64_missing})" if found.float64_missing else "a float64 copy beside it"
    rests = (
        f"{len(found.data.errors)} data{drawn}, there and back; {copy}; the Jacobian at {spectrum['samples']} data "
        f"({spectrum['method']}). Nothing is proved beyond them: `inntf.stability.certify` does that."
    )
    lines = [f"## {verdict.level}", "", _MEANT[verdict.level], "", *(f"- {reason}" for reason in verdict.reasons), ""]
    lines += [f"**{name}**, {found.case}. Rests on {rests}", "", "| measured | value |", "|---|---|"]
    return "\n".join(lines + [f"| {key.replace('_', ' ')} | {value:.4g} |" for key, value in numbers.items()])
