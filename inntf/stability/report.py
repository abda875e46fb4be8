"""Everything known about the stability of a block at given data, as numbers and as text."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import tensorflow as tf

from inntf.stability.certificate import Certificate, certify
from inntf.stability.maps import Maps
from inntf.stability.precision import float64_copy
from inntf.stability.reconstruction import ErrorSummary, reconstruction_error, repeated_reconstruction, summarize
from inntf.stability.singular_values import SingularValues, singular_values
from inntf.stability.verdict import Verdict, judge


class StabilityReport(dict):
    """Plain numbers by name (a dict, see `stability_report`); `print` it for text, `to_json` for a file.

    Attributes:
        certificate: the certified Lipschitz bounds, block by block, of which `bounds` and `blocks` are the numbers.

    Source: inntf; the measures are those of "On the Invertibility of Invertible Neural Networks", section 4.

    Example:
        >>> from inntf.blocks import AdditiveCoupling
        >>> report = stability_report(AdditiveCoupling(name="shear"), tf.ones([2, 4]))
        >>> print(str(report).splitlines()[0])
        Stability of shear at 2 samples (float32)
        >>> json.loads(report.to_json())["singular_values"]["condition_number"]
        1.0
    """

    certificate: Certificate

    def __str__(self) -> str:
        errors, values = self["reconstruction_error"], self["singular_values"]
        lines = [
            f"Stability of {self['block']} at {self['samples']} samples ({self['dtype']})",
            f"  Verdict: {self['verdict']}",
        ]
        lines += [f"    - {reason}" for reason in self["reasons"]]
        lines.append(f"  Reconstruction error (l2): {_line(errors)}")
        if self["reconstruction_error_float64"] is None:
            lines.append(f"    in float64: not available. {self['float64_missing']}")
        elif self["dtype"] != "float64":
            lines.append(f"    in float64: {_line(self['reconstruction_error_float64'])}")
        lines.append(f"    median after each pass: {', '.join(f'{e:.2g}' for e in self['error_by_pass'])}")
        lines.append(
            f"  Singular values of the Jacobian ({values['method']}): largest {values['largest']:.4g}, smallest "
            f"{values['smallest']:.4g}, condition number {values['condition_number']:.4g} (certainly at least "
            f"{values['condition_at_least']:.4g}); of {values['samples']} samples {values['nonfinite']} not finite, "
            f"{values['unconverged']} not converged, {values['unverified']} not confirmed by the inverse"
        )
        lines.append("  Certified Lipschitz bounds:")
        return "\n".join(lines) + "\n" + "\n".join("    " + line for line in str(self.certificate).splitlines())

    def to_json(self) -> str:
        """Strict JSON; numbers that are not finite become the strings "nan", "inf", "-inf"."""
        return json.dumps(_strict(self), indent=2, allow_nan=False)


def stability_report(
    block: Any,
    x: Any,
    condition: Any = None,
    *,
    domain: tuple[Any, Any] | None = None,
    passes: int = 9,
    samples: int = 8,
    method: str = "auto",
    tolerance: float = 1e-3,
) -> StabilityReport:
    """Certified bounds, singular values, reconstruction in float32 and float64, and a verdict in words.

    The float64 copy separates the causes: an error that vanishes there is rounding, amplified by the condition number; one
    that stays is an inverse that is wrong.

    Args:
        block: a block, or a model around one.
        x: `(batch, dim)` or `(batch, height, width, channels)`.
        condition: of the block, if it has one.
        domain: box for the certified bounds (see `certify`); where they are infinite without one, the box that spans the
            data is used.
        passes: how often to go forward and back (see `repeated_reconstruction`).
        samples: singular values are taken at that many samples of `x`, the first ones.
        method: of `singular_values`.
        tolerance: of `singular_values`.

    Returns:
        `StabilityReport` with keys `block`, `dtype`, `samples`, `verdict`, `reasons`, `reconstruction_error`,
        `relative_error`, `reconstruction_error_float64` (median, p99, max, nonfinite_share, count each), `float64_missing`,
        `error_by_pass`, `singular_values`, `bounds`, `blocks`.

    Raises:
        ValueError: if `x` is empty, or data that the block refuses; TypeError: if there is no block.

    Source: inntf; the measures are those of "On the Invertibility of Invertible Neural Networks", section 4.

    Example:
        >>> from inntf.blocks import AdditiveCoupling
        >>> stability_report(AdditiveCoupling(), tf.ones([2, 4]))["verdict"]
        'stable'
    """
    maps = Maps.of(block, x, condition)
    block, x, condition = maps.block, maps.x, maps.condition
    errors = reconstruction_error(block, x, condition)
    relative = relative_summary(errors, x)
    few = None if condition is None else condition[:samples]
    values = singular_values(block, x[:samples], few, method=method, tolerance=tolerance)
    wide, missing = _in_float64(block, x, condition)
    repeated = repeated_reconstruction(block, x, passes, condition)
    certificate = certify(block, domain)
    if domain is None and not certificate.bounded and np.all(np.isfinite(x)):
        certificate = certify(block, (float(tf.reduce_min(x)), float(tf.reduce_max(x))))
    verdict = judge_block(relative, values, x.dtype)
    report = StabilityReport(
        block=block.name,
        dtype=x.dtype.name,
        samples=int(x.shape[0]),
        verdict=verdict.level,
        reasons=list(verdict.reasons),
        reconstruction_error=summarize(errors)._asdict(),
        relative_error=relative._asdict(),
        reconstruction_error_float64=wide,
        float64_missing=missing,
        error_by_pass=[summarize(row).median for row in repeated.errors],
        singular_values=singular_summary(values),
        bounds=_bounds(certificate.rows[0]),
        blocks=[_bounds(row) for row in certificate.rows[1:]],
    )
    report.certificate = certificate
    return report


def relative_summary(errors: tf.Tensor, x: tf.Tensor) -> ErrorSummary:
    """Summary of relative errors `e_i / max(|x_i|_2, median_j |x_j|_2)`.

    The median norm is the floor, so that a black image does not divide by zero; without any norm above zero, errors stay
    absolute.

    Args:
        errors: `(batch,)`, of `reconstruction_error`.
        x: the samples, `(batch, ...)`.

    Returns:
        `ErrorSummary`.

    Raises:
        ValueError: if the batch is empty.

    Source: inntf.

    Example:
        >>> relative_summary(tf.constant([1.0, 1.0, 1.0]), tf.constant([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])).max
        0.2
    """
    flat = tf.reshape(tf.cast(x, tf.float64), [tf.shape(x)[0], -1])
    norms = tf.norm(flat, axis=1).numpy()
    sound = norms[np.isfinite(norms)]
    floor = float(np.median(sound)) if sound.size else 0.0
    return summarize(np.asarray(errors, np.float64) / np.maximum(norms, floor or 1.0))


def singular_summary(values: SingularValues) -> dict[str, Any]:
    """The worst of the samples as plain numbers: largest of the largest, smallest of the smallest, largest condition number.

    Args:
        values: of `singular_values`, any batch shape; NaNs are left out.

    Returns:
        Keys `largest`, `smallest`, `condition_number`, `condition_at_least` (floats, NaN if no sample has one), `samples`,
        `nonfinite`, `unconverged`, `unverified` (counts), `method`.

    Source: inntf.

    Example:
        >>> from inntf.blocks import Rescale
        >>> from inntf.stability.singular_values import singular_values
        >>> numbers = singular_summary(singular_values(Rescale(scale=[4.0, 0.5]), tf.ones([3, 2])))
        >>> numbers["largest"], numbers["smallest"], numbers["condition_number"], numbers["samples"]
        (4.0, 0.5, 8.0, 3)
    """
    return {
        "largest": _worst(values.largest, max),
        "smallest": _worst(values.smallest, min),
        "condition_number": _worst(values.condition_number, max),
        "condition_at_least": _worst(values.condition_at_least, max),
        "samples": int(tf.size(values.largest)),
        "nonfinite": values.nonfinite,
        "unconverged": int(tf.math.count_nonzero(~values.converged)),
        "unverified": int(tf.math.count_nonzero(~values.consistent)),
        "method": values.method,
    }


def judge_block(relative: ErrorSummary, values: SingularValues, dtype: tf.DType) -> Verdict:
    """`judge` with the numbers of a block."""
    numbers = singular_summary(values)
    seen = [n for n in (numbers["condition_number"], numbers["condition_at_least"]) if not math.isnan(n)]
    return judge(
        relative,
        condition=max(seen, default=math.nan),
        rounding=float(np.finfo(dtype.as_numpy_dtype).eps),
        unverified=numbers["unverified"],
    )


def _in_float64(block: Any, x: tf.Tensor, condition: tf.Tensor | None) -> tuple[dict[str, Any] | None, str]:
    try:
        wide = float64_copy(block)
    except ValueError as error:
        return None, str(error)
    condition = None if condition is None else tf.cast(condition, tf.float64)
    return summarize(reconstruction_error(wide, tf.cast(x, tf.float64), condition))._asdict(), ""


def _worst(values: tf.Tensor, choose: Any) -> float:
    finite = [float(v) for v in np.ravel(values) if not math.isnan(v)]
    return choose(finite) if finite else math.nan


def _bounds(row: Any) -> dict[str, Any]:
    bounds = row.bounds
    return {
        "name": row.name,
        "kind": row.kind,
        "depth": row.depth,
        "forward": bounds.forward,
        "inverse": bounds.inverse,
        "scope": bounds.scope,
        "reason": bounds.reason,
    }


def _line(summary: dict[str, Any]) -> str:
    return (
        f"median {summary['median']:.3g}, 99 % {summary['p99']:.3g}, max {summary['max']:.3g}, "
        f"not finite {100 * summary['nonfinite_share']:.3g} %"
    )


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _strict(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(part) for part in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
