"""Costs on pages are those that were measured, and a multiple is one of what ran beside it."""

from __future__ import annotations

import json

import pytest

from benchmarks import block_costs, cost_tables, diagnostic_costs


@pytest.mark.parametrize(("of", "key"), [(block_costs, 0), (diagnostic_costs, 1)], ids=["blocks", "diagnostics"])
def test_the_pages_show_what_was_measured(of, key):
    result = json.loads(of.RESULT.read_text())
    text = of.PAGE.read_text()
    assert cost_tables.with_column(text, of.cells(result["costs"]), key, 2) == text
    assert f"{result['reference_ms']:.2g} ms" in text and result["about"]["threads"] == 1
    wrong = {name: 9 * value for name, value in result["costs"].items()}
    assert cost_tables.with_column(text, of.cells(wrong), key, 2) != text


def test_a_row_that_is_not_there_is_told():
    with pytest.raises(ValueError, match="no row of the page is called two"):
        cost_tables.with_column("| one | 1 |\n", {"one": "2", "two": "3"}, 0, 1)


def test_a_multiple_is_of_the_reference_in_the_same_turn(monkeypatch, capsys):
    now, varying = [0.0], iter([1.0, 3.0, 2.0])
    monkeypatch.setattr(cost_tables.time, "process_time", lambda: now[0])

    def taking(seconds):
        return lambda: now.__setitem__(0, now[0] + seconds())

    calls = {"thrice": taking(lambda: 3.0), "varies": taking(lambda: next(varying))}
    found, milliseconds = cost_tables.multiples(calls, taking(lambda: 1.0), turns=3, least=0.5)
    assert found == {"thrice": 3.0, "varies": 2.0} and milliseconds == 1000.0
    assert "thrice" in capsys.readouterr().out


@pytest.mark.parametrize(("value", "text"), [(0.0342, "0.034"), (1.0, "1"), (12.6, "13"), (3412.0, "3400")])
def test_two_digits(value, text):
    assert cost_tables.figure(value) == text


def test_every_block_of_the_table_can_be_made():
    made = {name for names in block_costs.ROWS.values() for name in names}
    assert set(block_costs.makers()) == made and block_costs.REFERENCE in made
