"""The table of a run: as lines for the terminal, as Markdown, and as one HTML page that stands alone."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from recipes.common.numbers import cell

# Err_post, Err_resim, milliseconds of Tables 1 and 2.
PAPER: dict[str, dict[str, tuple[float, float, float]]] = {
    "kinematics": {
        "inn": (0.025, 0.015, 10),
        "inn_mmd": (0.017, 0.086, 9),
        "cinn": (0.015, 0.008, 11),
        "iaf_decoder": (0.419, 0.222, 0),
        "maf_decoder": (0.074, 0.034, 0),
        "iresnet": (0.713, 0.311, 763),
        "invauto": (0.062, 0.022, 1),
        "autoencoder": (0.037, 0.016, 0),
        "cvae": (0.042, 0.019, 0),
        "mdn": (0.007, 0.012, 601),
    },
    "ballistics": {
        "inn": (0.047, 0.019, 21),
        "inn_mmd": (0.060, 3.668, 21),
        "cinn": (0.047, 0.437, 22),
        "iaf_decoder": (0.323, 3.457, 0),
        "maf_decoder": (0.213, 1.010, 0),
        "iresnet": (0.084, 0.091, 307),
        "invauto": (0.156, 0.315, 1),
        "autoencoder": (0.049, 0.052, 1),
        "cvae": (4.359, 0.812, 0),
        "mdn": (0.048, 0.184, 175),
    },
}
COLUMNS: dict[str, str] = {
    "posterior": "Err_post",
    "posterior_raw": "raw",
    "resimulation": "Err_resim",
    "resimulation_raw": "raw",
    "paper": "paper post/resim",
    "posterior_second": "IMQ toy",
    "energy": "energy",
    "c2st": "C2ST",
    "milliseconds": "ms",
    "weights": "weights",
    "dim_z": "dim z",
    "likelihood": "ML",
    "supervised": "y-sup.",
    "condition_median": "condition",
    "reconstruction_max": "recon. max",
    "sbc_p": "SBC p",
    "coverage_p": "cover. p",
    "tarp_p": "TARP p",
}


def summarized(trainings: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Medians over the repeats, of p-values the smallest: `name-seedN` measurements to a row a model, sorted by Err_post.

    Args:
        trainings: measurements by `METHOD-seedN`.
    """
    names = dict.fromkeys(key.rpartition("-seed")[0] for key in trainings)
    rows = {}
    for name in names:
        found = [m for key, m in trainings.items() if key.rpartition("-seed")[0] == name]
        rows[name] = {key: _of_repeats(key, [m.get(key) for m in found]) for key in found[0] if key != "history"}
        rows[name]["seeds"] = len(found)
    return dict(sorted(rows.items(), key=lambda item: order(item[1]["posterior"])))


def lines(problem: str, rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The table for the terminal."""
    keys = [key for key in COLUMNS if key != "paper"]
    head = f"{problem:22s}" + "".join(f"{COLUMNS[key]:>11s}" for key in keys)
    return [head, *(f"{name:22s}" + "".join(cell(row.get(key), 11, ".3g") for key in keys) for name, row in rows.items())]


def markdown(problem: str, rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The table as Markdown, the paper's numbers beside ours."""
    head = ["model", *COLUMNS.values()]
    body = ["| " + " | ".join(texts) + " |" for texts in _texts(problem, rows)]
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *body]) + "\n"


def page(title: str, words: str, tables: Mapping[str, Mapping[str, Mapping[str, Any]]], pictures: Mapping[str, Figure]) -> str:
    """One HTML page: what was run, a table a problem, the figures inside of it.

    Args:
        title: of the page.
        words: what was run, a paragraph.
        tables: rows by problem.
        pictures: figures by caption.
    """
    parts = [f"<h1>{html.escape(title)}</h1><p>{html.escape(words)}</p>"]
    for problem, rows in tables.items():
        head = "".join(f"<th>{html.escape(text)}</th>" for text in ("model", *COLUMNS.values()))
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in texts) + "</tr>" for texts in _texts(problem, rows)
        )
        parts.append(f"<h2>{html.escape(problem)}</h2><div class=wide><table><tr>{head}</tr>{body}</table></div>")
    for caption, figure in pictures.items():
        parts.append(f"<figure><img alt='{html.escape(caption, quote=True)}' src='{_embedded(figure)}'>")
        parts.append(f"<figcaption>{html.escape(caption)}</figcaption></figure>")
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>{_STYLE}{''.join(parts)}</html>\n"
    )


_STYLE = """<style>body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem;color:#1f2933}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:13px}
td,th{padding:.25rem .55rem;text-align:right;border-bottom:1px solid #d9dee4;white-space:nowrap}
td:first-child,th:first-child{text-align:left}.wide{overflow-x:auto}img{max-width:100%}figcaption{color:#66727f}</style>"""


def _texts(problem: str, rows: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    return [[name, *(_text(problem, name, row, key) for key in COLUMNS)] for name, row in rows.items()]


def _text(problem: str, name: str, row: Mapping[str, Any], key: str) -> str:
    if key == "paper":
        known = PAPER.get(problem, {}).get(name)
        return "-" if known is None else f"{known[0]:g} / {known[1]:g}"
    value = row.get(key)
    if isinstance(value, bool):
        return "yes" if value else ""
    return "-" if value is None else cell(value, 0, "d" if isinstance(value, int) else ".3g")


def _of_repeats(key: str, values: list[Any]) -> Any:
    """The median; the smallest p-value, for a median of them passes a model that one repeat rejects."""
    if key.endswith("_p") and all(isinstance(v, int | float) for v in values):
        return float(np.min(values))  # NaN stays: nothing was tested
    return _middle(values)


def _middle(values: list[Any]) -> Any:
    if isinstance(values[0], bool) or any(not isinstance(v, int | float) for v in values):
        return values[0]
    middle = float(np.median(values))
    return int(middle) if all(isinstance(v, int) for v in values) else middle


def order(value: Any) -> float:
    """A key to sort by: NaN and what is no number come last."""
    return float(value) if isinstance(value, int | float) and value == value else float("inf")


def _embedded(figure: Figure) -> str:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
