"""A stability report as one HTML page that stands alone: verdict, what it rests on, figure, tables."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from inntf.stability.report_figure import COLOURS, PICTURE, draw_report

_MEANING = {
    "stable": "What goes in comes back, at every datum and sample that was measured.",
    "fragile": "It comes back, with losses that grow: not to be passed through again and again.",
    "broken": "Do not trust what this inverse returns.",
}
_STYLE = """
:root{color-scheme:light}body{margin:0;font:15px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
body{color:#1f2933;background:#f5f7fa}
main{max-width:1060px;margin:0 auto;padding:28px 22px 60px}h1{font-size:22px;margin:0 0 2px}h2{font-size:16px;margin:34px 0 8px}
.card{background:#fff;border:1px solid #e4e7eb;border-radius:10px;padding:18px 22px;margin:14px 0}.quiet{color:#52606d}
.verdict{border-left:8px solid var(--c)}.level{color:var(--c);font-size:26px;font-weight:700;margin-right:10px}
ul{margin:8px 0 0;padding-left:20px}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:14px}
th,td{padding:5px 10px;text-align:right;border-bottom:1px solid #edf0f3;white-space:nowrap}
th:first-child,td:first-child,td.text{text-align:left}td.text{white-space:normal;color:#52606d}
th{color:#52606d;font-weight:600}.scroll{overflow-x:auto}svg{width:100%;height:auto}
img{image-rendering:pixelated;min-width:40%;max-width:100%;display:block;margin:0 auto}
"""


def report_page(report: dict[str, Any], picture: np.ndarray | None = None) -> str:
    """One page, with nothing to load from elsewhere.

    Args:
        report: of `stability_report`.
        picture: `(height, width, 3)` uint8 of the samples by passes, or `None`.

    Returns:
        The text of an HTML file.

    Raises:
        ImportError: without matplotlib.

    Source: inntf.

    Example:
        >>> from inntf.blocks import AdditiveCoupling
        >>> from inntf.stability import stability_report
        >>> page = report_page(stability_report(AdditiveCoupling(name="shear"), tf.ones([2, 4])))
        >>> page.startswith("<!doctype html>"), "shear" in page, "http" in page.replace("http://www.w3.org", "")
        (True, True, False)
    """
    level = report["verdict"]
    parts = [
        f"<h1>Stability of {_text(report['block'])}</h1>",
        f"<div class=quiet>{report['samples']} samples, {_text(report['dtype'])}</div>",
        f"<section class='card verdict' style='--c:{COLOURS[level]}'><span class=level>{level}</span>{_MEANING[level]}",
        "<ul>" + "".join(f"<li>{_text(reason)}</li>" for reason in report["reasons"]) + "</ul>",
        f"<p class=quiet>Case: {_text(report['case'])}. {_text(report['scope'])}</p></section>",
        f"<section class=card>{_svg(report)}</section>",
    ]
    if picture is not None:
        png = base64.b64encode(tf.io.encode_png(picture).numpy()).decode()
        image = f"<img alt='samples by passes' src='data:image/png;base64,{png}'>"
        parts += ["<h2>Samples by passes</h2>", f"<section class=card><div class=quiet>{PICTURE}</div>{image}</section>"]
    parts += ["<h2>What does not come back</h2>", _errors(report)]
    parts += ["<h2>Singular values of the Jacobian</h2>", _values(report)]
    parts += ["<h2>Certified Lipschitz bounds</h2>", _bounds(report)]
    if report["log_det_variance"]:
        parts += ["<h2>Log-determinants</h2><ul>", *(f"<li>{_text(s)}</li>" for s in report["log_det_variance"]), "</ul>"]
    title = f"<title>{_text(report['block'])}: {level}</title>"
    head = f"<meta charset=utf-8><meta name=viewport content='width=device-width'>{title}<style>{_STYLE}</style>"
    return f"<!doctype html><html lang=en><head>{head}</head><body><main>{''.join(parts)}</main></body></html>"


def _svg(report: dict[str, Any]) -> str:
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))  # no stamps, no addresses
    draw_report(report, title=False).savefig(buffer, format="svg", metadata=nothing)
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _errors(report: dict[str, Any]) -> str:
    rows = [["data there and back, l2", report["dtype"], *_summary(report["reconstruction_error"])]]
    rows.append(["the same over the norm of the sample", report["dtype"], *_summary(report["relative_error"])])
    column = report["column_error"]
    rows.append([f"column {column['column']}, the worst, over its spread", report["dtype"], *_summary(column)])
    if report["reconstruction_error_float64"] is not None and report["dtype"] != "float64":
        rows.append(["data there and back, l2", "float64", *_summary(report["reconstruction_error_float64"])])
    for key, dtype in (("own_samples", report["dtype"]), ("own_samples_float64", "float64")):
        if report[key] is not None:
            rows.append([f"{report[key]['count']} own samples, latents there and back", dtype, *_summary(report[key]["error"])])
    if report["density_error"] is not None:
        rows.append(["log-density against float64, nats", report["dtype"], *_summary(report["density_error"]["nats"])])
    missing = report["float64_missing"] or report["own_samples_missing"]
    return _table(["", "in", "median", "99 %", "largest", "not finite"], rows, note=missing)


def _values(report: dict[str, Any]) -> str:
    values = report["singular_values"]
    row = [_short(values[key]) for key in ("largest", "smallest", "condition_number", "condition_at_least")]
    counts = [str(values[key]) for key in ("nonfinite", "unconverged", "unverified")]
    head = ["samples", "largest", "smallest", "condition number", "certainly at least"]
    head += ["not finite", "not converged", "not confirmed by the inverse"]
    return _table(head, [[str(values["samples"]), *row, *counts]], note=f"Method: {values['method']}.")


def _bounds(report: dict[str, Any]) -> str:
    rows = []
    for row in [{**report["bounds"], "depth": 0}, *report["blocks"]]:
        name = "\u2003" * row["depth"] + row["name"]
        rows.append([name, row["kind"], _short(row["forward"]), _short(row["inverse"]), row["scope"], row["reason"]])
    ball = report["balls"]
    note = "" if ball is None else (
        f"Within {ball['radius']:.3g} (l2) of each of {ball['samples']} data: at most {_short(ball['forward'])} forward and "
        f"{_short(ball['inverse'])} back, proved for {ball['certified']} of them."
    )  # fmt: skip
    return _table(["block", "kind", "forward", "inverse", "scope", "reason"], rows, note=note, text=(1, 4, 5))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], note: str = "", text: Sequence[int] = ()) -> str:
    top = "".join(f"<th{' style=text-align:left' if i in text else ''}>{_text(cell)}</th>" for i, cell in enumerate(head))
    lines = []
    for row in rows:
        cells = (f"<td class=text>{_text(c)}</td>" if i in text else f"<td>{_text(c)}</td>" for i, c in enumerate(row))
        lines.append(f"<tr>{''.join(cells)}</tr>")
    more = f"<div class=quiet>{_text(note)}</div>" if note else ""
    return f"<section class='card scroll'><table><tr>{top}</tr>{''.join(lines)}</table>{more}</section>"


def _summary(summary: dict[str, Any]) -> list[str]:
    return [*(_short(summary[key]) for key in ("median", "p99", "max")), f"{100 * summary['nonfinite_share']:.3g} %"]


def _short(value: float) -> str:
    return f"{value:.3g}"


def _text(value: Any) -> str:
    return html.escape(str(value))
