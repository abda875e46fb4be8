"""What `stability_report` returns: plain numbers, with a text, a figure and a page of them."""

from __future__ import annotations

import json
import math
import os
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

from inntf.stability.certificate import Certificate
from inntf.stability.pictures import passes_picture
from inntf.stability.report_figure import draw_report
from inntf.stability.report_page import report_page


class StabilityReport(dict):
    """Plain numbers by name (a dict, see `stability_report`); `print` it for text, `save` it to look at.

    Attributes:
        certificate: the certified Lipschitz bounds, block by block, of which `bounds` and `blocks` are the numbers.
        passes: `(passes + 1, n, ...)`, the samples that change most and what each pass forward and back leaves of them.

    Source: inntf; the measures are those of "On the Invertibility of Invertible Neural Networks", section 4.

    Example:
        >>> from inntf.blocks import AdditiveCoupling
        >>> from inntf.stability import stability_report
        >>> report = stability_report(AdditiveCoupling(name="shear"), np.ones([2, 4], "float32"))
        >>> print(str(report).splitlines()[0])
        Stability of shear at 2 samples (float32)
        >>> json.loads(report.to_json())["singular_values"]["condition_number"]
        1.0
    """

    certificate: Certificate
    passes: np.ndarray | None = None

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
        if (balls := self["balls"]) is not None:
            lines.append(
                f"  Proved within {balls['radius']:.3g} (l2) of {balls['certified']} of {balls['samples']} data: at most "
                f"{balls['forward']:.4g} forward, {balls['inverse']:.4g} back (at the data themselves "
                f"{balls['forward_at_centre']:.4g} and {balls['inverse_at_centre']:.4g})"
            )
        if (decoder := self.get("decoder")) is not None:
            proved = f"{decoder['certified']} of {decoder['samples']} codes: at most {decoder['bound']:.4g}"
            lines.append(
                f"  Decoder, proved within {decoder['radius']:.3g} (l2) of {proved} (at the codes themselves "
                f"{decoder['at_centre']:.4g})"
            )
        lines.append("  Certified Lipschitz bounds:")
        return "\n".join(lines) + "\n" + "\n".join("    " + line for line in str(self.certificate).splitlines())

    def to_json(self) -> str:
        """Strict JSON; numbers that are not finite become the strings "nan", "inf", "-inf"."""
        return json.dumps(_strict(self), indent=2, allow_nan=False)

    def draw(self) -> Any:
        """The figure of `save`, a matplotlib one, with the samples by passes where they are images."""
        return draw_report(self, self._picture())

    def to_html(self) -> str:
        """One page that loads nothing from elsewhere: verdict and what it rests on, figure, tables."""
        return report_page(self, self._picture())

    def save(self, folder: str | pathlib.Path) -> pathlib.Path:
        """Write `report.json`, `report.txt`, `report.png` and `report.html`, each whole or not at all; returns the folder.

        Args:
            folder: made if it is not there.

        Raises:
            ImportError: without matplotlib; OSError: where nothing can be written.
        """
        page, figure = self.to_html(), self.draw()
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in (("report.json", self.to_json()), ("report.txt", str(self)), ("report.html", page)):
            _replace(folder / name, lambda path, text=text: path.write_text(text + "\n", encoding="utf-8"))  # type: ignore[misc]
        _replace(folder / "report.png", lambda path: figure.savefig(path, dpi=110, format="png"))
        return folder

    def _picture(self) -> np.ndarray | None:
        shown = self.passes is not None and self.passes.ndim == 5
        return passes_picture(self.passes, rows="samples").numpy() if shown else None


def _replace(path: pathlib.Path, write: Callable[[pathlib.Path], Any]) -> None:
    with tempfile.TemporaryDirectory(prefix=".report-", dir=path.parent) as beside:
        write(pathlib.Path(beside) / path.name)
        os.replace(pathlib.Path(beside) / path.name, path)


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
