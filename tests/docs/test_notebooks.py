"""Notebooks run from top to bottom and give what is kept in them: text of the same shape, as many figures."""

from __future__ import annotations

import pytest

from docs_tools import notebooks


def kinds(outputs):
    return ["figure" if "image/png" in output.get("data", {}) else output["output_type"] for output in outputs]


@pytest.mark.parametrize("name", notebooks.names())
def test_notebook_runs(name):
    notebook = notebooks.read(notebooks.FOLDER / f"{name}.ipynb")
    for cell, outputs in notebooks.run(notebook, name):
        assert kinds(outputs) == kinds(cell["outputs"]), "".join(cell["source"])
    drawn = [
        o["data"]["image/png"] for c in notebook["cells"] for o in c.get("outputs", ()) if "image/png" in o.get("data", {})
    ]
    assert drawn and all(len(picture) * 3 / 4 < 100_000 for picture in drawn)


def test_outputs_are_those_of_jupyter():
    source = "import matplotlib.pyplot as plt\nprint('a')\nplt.plot([1, 2]);"
    cells = [
        {"cell_type": "code", "source": source},
        {"cell_type": "markdown", "source": "text"},
        {"cell_type": "code", "source": "1 + 1"},
    ]
    (_, first), (_, second) = notebooks.run({"cells": cells}, "test")
    assert kinds(first) == ["stream", "figure"] and first[0]["text"] == ["a\n"]
    assert second[0]["data"]["text/plain"] == ["2"]


def test_a_failing_cell_fails():
    with pytest.raises(AssertionError):
        list(notebooks.run({"cells": [{"cell_type": "code", "source": "assert False"}]}, "test"))
