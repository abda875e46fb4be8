"""Small files, each with a docstring; no `assert` in the library; ruff has nothing to say."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from tests.house.source import ROOT, files, module_name, tree

LIMIT = 300
SOURCES = files("inntf") + files("recipes")


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_file_is_small(path):
    lines = len(path.read_text().splitlines())
    assert lines <= LIMIT, f"{lines} lines; would two concepts live better apart?"


@pytest.mark.parametrize("path", files("inntf"), ids=module_name)
def test_no_assert_in_the_library(path):
    found = [node.lineno for node in ast.walk(tree(path)) if isinstance(node, ast.Assert)]
    assert not found, f"lines {found}: raise an error that says what to do; asserts vanish under python -O"


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_file_says_what_it_is_for(path):
    assert ast.get_docstring(tree(path))


def test_ruff():
    done = subprocess.run([sys.executable, "-m", "ruff", "check", "--no-cache", "."], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
