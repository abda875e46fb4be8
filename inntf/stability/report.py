"""Everything known about the stability of a block at given data, as numbers and as text."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import tensorflow as tf

from inntf.core.arguments import checked_count
from inntf.core.random_states import same_draws
from inntf.stability.block_functions import BlockFunctions
from inntf.stability.certificate import Certificate, certify
from inntf.stability.density_error import DensityError
from inntf.stability.log_det_variance import infinite_variances
from inntf.stability.measurement import Measurement, measure, singular_summary, worst_condition
from inntf.stability.reconstruction import pass_repeatedly, summarize
from inntf.stability.singular_values import singular_values
from inntf.stability.two_sides import Side


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
        lines += [f"  Case: {self['case']}", f"  {self['scope']}"]
        lines.append(f"  Reconstruction error (l2): {_line(errors)}")
        wide, own, density = (self[key] for key in ("reconstruction_error_float64", "own_samples", "density_error"))
        if wide is None:
            lines.append(f"    in float64: not available. {self['float64_missing']}")
        elif self["dtype"] != "float64":
            lines.append(f"    in float64: {_line(wide)}")
        column = self["column_error"]
        lines.append(f"    of column {column['column']}, the worst, over its spread: {_line(column)}")
        if self["between_evaluations"] is not None:
            between = _line(self["between_evaluations"]["error"])
            lines.append(f"    {self['computes_in']} inside: there eagerly, back in a graph: {between}")
        if own is None:
            lines.append(f"  Samples of the model: none. {self['own_samples_missing']}")
        else:
            share = 100 * own["nonfinite_share"]
            lines.append(
                f"  Samples of the model, {own['count']}: not finite {share:.3g} %; z -> x -> z: {_line(own['error'])}"
            )
            if self["dtype"] != "float64" and self["own_samples_float64"] is not None:
                wide = self["own_samples_float64"]
                share = 100 * wide["nonfinite_share"]
                lines.append(f"    in float64: not finite {share:.3g} %; {_line(wide['error'])}")
        if density is None:
            lines.append(f"  Error of log_prob: not known. {self['float64_missing'] or self['own_samples_missing']}")
        else:
            each = density["nats_per_dim"]["p99"]
            lines.append(f"  Error of log_prob, nats: {_line(density['nats'])}; 99 % a dimension: {each:.3g}")
        lines.append(f"    median after each pass: {', '.join(f'{e:.2g}' for e in self['error_by_pass'])}")
        lines.append(
            f"  Singular values of the Jacobian ({values['method']}): largest {values['largest']:.4g}, smallest "
            f"{values['smallest']:.4g}, condition number {values['condition_number']:.4g} (certainly at least "
            f"{values['condition_at_least']:.4g}); of {values['samples']} samples {values['nonfinite']} not finite, "
            f"{values['unconverged']} not converged, {values['unverified']} not confirmed by the inverse"
        )
        lines += [f"  Log-determinant of {sentence}" for sentence in self["log_det_variance"]]
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
    """Certified bounds, singular values, both sides of the inverse in float32 and float64, and a verdict in words.

    Measured are data there and back, and samples of the model: `z` from its base (a standard normal for a block alone) to
    `x` and back.  The float64 copy separates the causes: an error that vanishes there is rounding, amplified by the
    condition number; one that stays is an inverse that is wrong.  Beside the reconstruction stands the error of the density.

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
        `StabilityReport` with keys

        - `block`, `dtype`, `computes_in` (the narrowest dtype inside), `samples`, `verdict`, `reasons` (see `judge`), `case`
          (the inverse whole or lost, the density right or wrong), `scope` (what was measured, and what is proved);
        - of the data, behind leading blocks that round to levels: `reconstruction_error`, `relative_error`, `column_error`
          (over the spread of the worst column), `reconstruction_error_float64` (median, p99, max, nonfinite_share, count
          each), `error_by_pass`;
        - of the model's own latents, `z -> x -> z`: `own_samples`, `own_samples_float64` (count, nonfinite_share of the
          samples, error, relative_error, column_error each; `None` where `own_samples_missing` says why);
        - `density_error` (nats, nats_per_dim) of `log_prob` against the float64 copy, `None` without one;
        - `between_evaluations`, of 16-bit networks: eager operations there, a graph back;
        - `log_det_variance`: a sentence for each residual block whose random log-determinant may have an infinite variance;
        - `float64_missing`, `singular_values`, `bounds`, `blocks`.

    Raises:
        ValueError: if `x` is empty, or data that the block refuses; TypeError: if there is no block.

    Source: inntf; the measures are those of "On the Invertibility of Invertible Neural Networks", section 4.

    Example:
        >>> from inntf.blocks import AdditiveCoupling
        >>> stability_report(AdditiveCoupling(), tf.ones([2, 4]))["verdict"]
        'stable'
    """
    checked_count("stability_report", passes=passes, samples=samples)
    model, maps = block, BlockFunctions.of(block, x, condition)
    whole, x, condition = maps.block, maps.x, maps.condition
    if not int(x.shape[0]):
        summarize([])  # raises: nothing to measure
    with same_draws(whole):
        behind = maps.unrounded()
    found = measure(model, behind)
    few = None if condition is None else condition[:samples]
    with same_draws(whole):
        values = singular_summary(singular_values(whole, x[:samples], few, method=method, tolerance=tolerance))
        repeated = pass_repeatedly(behind if found.float64_missing else behind.compiled(), passes)
    certificate = certify(whole, domain)
    if domain is None and not certificate.bounded and np.all(np.isfinite(x)):
        certificate = certify(whole, (float(tf.reduce_min(x)), float(tf.reduce_max(x))))
    verdict = found.judge(worst_condition(values), values["unverified"])
    report = StabilityReport(
        block=whole.name,
        dtype=x.dtype.name,
        computes_in=found.computes_in,
        samples=int(x.shape[0]),
        verdict=verdict.level,
        reasons=list(verdict.reasons),
        case=found.case,
        scope=_scope(certificate, int(x.shape[0]), found),
        reconstruction_error=summarize(found.data.errors)._asdict(),
        relative_error=found.data.relative._asdict(),
        column_error={"column": found.data.column, **found.data.columns._asdict()},
        reconstruction_error_float64=None if found.data_wide is None else summarize(found.data_wide.errors)._asdict(),
        own_samples=_side(found.samples),
        own_samples_float64=_side(found.samples_wide),
        own_samples_missing=found.samples_missing,
        density_error=_density(found.density),
        between_evaluations=_side(found.between_evaluations),
        float64_missing=found.float64_missing,
        error_by_pass=[summarize(row).median for row in repeated.errors],
        singular_values=values,
        log_det_variance=infinite_variances(whole),
        bounds=_bounds(certificate.rows[0]),
        blocks=[_bounds(row) for row in certificate.rows[1:]],
    )
    report.certificate = certificate
    return report


def _side(side: Side | None) -> dict[str, Any] | None:
    if side is None:
        return None
    return {
        "count": len(side.errors),
        "nonfinite_share": side.middle_nonfinite,
        "error": summarize(side.errors)._asdict(),
        "relative_error": side.relative._asdict(),
        "column_error": {"column": side.column, **side.columns._asdict()},
    }


def _density(error: DensityError | None) -> dict[str, Any] | None:
    if error is None:
        return None
    nats = error.nats._asdict()
    per_dim = {key: nats[key] / error.dim for key in ("median", "p99", "max")}
    return {"nats": nats, "nats_per_dim": per_dim, "tolerance": error.tolerance, "wrong": error.wrong}


def _scope(certificate: Certificate, count: int, found: Measurement) -> str:
    """What was measured, and what is proved beyond it."""
    drawn = "" if found.samples is None else f" and {len(found.samples.errors)} samples of the model"
    measured = f"Measured at {count} data{drawn}"
    bounds = certificate.bounds
    if certificate.bounded:
        where = "everywhere" if bounds.scope == "global" else "in the box"
        return f"{measured}; proved {where}: errors grow by at most {bounds.forward:.3g} there and {bounds.inverse:.3g} back."
    return f"{measured}; nothing is proved about other inputs, for want of a finite bound ({bounds.reason})."


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
