"""`docs/coming_from/equivalents.md` leaves out no bijector, flow or transform of the six libraries, and no cell."""

from __future__ import annotations

import json
import pathlib
import re

import pytest

HERE = pathlib.Path(__file__).parent
PAGE = (HERE.parent / "docs" / "coming_from" / "equivalents.md").read_text()
PEERS = json.loads((HERE / "data" / "peer_names.json").read_text())
TITLES = {"tensorflow-probability": "TensorFlow Probability"}


def rows(library):
    """Cells of the table below the library's heading."""
    section = PAGE.partition(f"\n## {TITLES.get(library, library)}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")][1:]
    return section, [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


@pytest.mark.parametrize("library", PEERS)
def test_every_name_has_its_row(library):
    section, table = rows(library)
    assert PEERS[library]["version"] in section, "the page says another version than tests/data/peer_names.json"
    listed = [name for cells in table for name in re.findall(r"`(\w+)`", cells[0])]
    wanted = {name for names in PEERS[library]["names"].values() for name in names}
    assert wanted - set(listed) == set(), "run benchmarks/peer_names.py and add them"
    assert set(listed) - wanted == set()
    assert len(listed) == len(set(listed)), "a name stands in two rows"


@pytest.mark.parametrize("library", PEERS)
def test_no_cell_is_empty(library):
    for cells in rows(library)[1]:
        assert len(cells) == 3 and all(cells), cells
        assert cells[1] != "none" or len(cells[2]) > 20, f"{cells[0]}: none, and no reason"
