"""Notebooks of docs/notebooks: run in order, kept with their outputs, shown as pages of the site.

`python -m docs_tools.notebooks` runs all and writes what they print and draw into them; with names, those alone.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import html
import io
import json
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

FOLDER = pathlib.Path(__file__).parents[1] / "docs" / "notebooks"
_DPI = 75


def read(path: pathlib.Path) -> dict[str, Any]:
    """A notebook file."""
    return json.loads(path.read_text())


def names() -> list[str]:
    """Every notebook that is kept."""
    return sorted(path.stem for path in FOLDER.glob("*.ipynb"))


def run(notebook: dict[str, Any], name: str) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Each code cell with its new outputs, in one namespace, from the notebook's own folder as Jupyter does."""
    scope: dict[str, Any] = {"__name__": "__main__"}
    for i, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "code":
            with contextlib.chdir(FOLDER):
                yield cell, list(_outputs("".join(cell["source"]), f"{name}.ipynb, cell {i}", scope))


def page(name: str) -> str:
    """A notebook as Markdown and HTML, its outputs as they were kept."""
    parts = [f"[This page as a notebook]({name}.ipynb){{ .md-button download }}"]
    for i, cell in enumerate(read(FOLDER / f"{name}.ipynb")["cells"]):
        source = "".join(cell["source"])
        shown = f"```python\n{source}\n```" if cell["cell_type"] == "code" else source
        parts.insert(0 if i == 0 else len(parts), shown)
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if "image/png" in data:
                parts.append(f'<img class="output" alt="figure" src="data:image/png;base64,{data["image/png"].strip()}">')
            else:
                text = "".join(output.get("text", data.get("text/plain", ""))).rstrip()
                parts.append(f'<pre class="output">{html.escape(text)}</pre>')
    return "\n\n".join(parts)


def _outputs(source: str, where: str, scope: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What is printed, what the last line is, and what is drawn."""
    import matplotlib.pyplot as plt

    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) and not source.rstrip().endswith(";") else None
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(tree, where, "exec"), scope)
        value = eval(compile(ast.Expression(last.value), where, "eval"), scope) if last else None
    if printed.getvalue():
        yield {"output_type": "stream", "name": "stdout", "text": printed.getvalue().splitlines(keepends=True)}
    if value is not None:
        text = repr(value).splitlines(keepends=True)
        yield {"output_type": "execute_result", "execution_count": None, "metadata": {}, "data": {"text/plain": text}}
    for number in plt.get_fignums():
        drawn = io.BytesIO()
        plt.figure(number).savefig(drawn, format="png", dpi=_DPI, bbox_inches="tight", metadata={"Software": None})
        plt.close(number)
        picture = base64.b64encode(drawn.getvalue()).decode()
        yield {"output_type": "display_data", "metadata": {}, "data": {"image/png": picture, "text/plain": ["<Figure>"]}}


def main(chosen: list[str]) -> None:
    """Run notebooks and keep their outputs."""
    for name in chosen or names():
        path = FOLDER / f"{name}.ipynb"
        notebook = read(path)
        for cell, outputs in run(notebook, name):
            cell["outputs"] = outputs
        path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    os.environ.setdefault("MPLBACKEND", "Agg")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main(sys.argv[1:])
