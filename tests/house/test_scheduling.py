"""Which tests share a worker, and which the default suite leaves out."""

import pytest

from conftest import _ByCase
from tests.house.source import ROOT
from tests.slow_tests import SLOW


@pytest.mark.parametrize(
    ("nodeid", "scope"),
    [
        ("tests/recipes/test_flowgan.py::test_x", "tests/recipes/test_flowgan.py"),
        ("tests/test_conformance.py::test_conformance[conv1x1-plu-float64-xla_agrees]", "conv1x1-plu"),
        ("tests/test_trained.py::test_trained[conv1x1-plu-float32-report]", "conv1x1-plu"),
        ("tests/test_trained.py::test_trained_deep[chain-affine-16-checkpoint]", "affine-16"),
        ("tests/test_trained.py::test_trained_deep[repeat-affine-16-clone]", "affine-16"),
        ("tests/test_conformance.py::test_exemptions_name_checks", "tests/test_conformance.py"),
    ],
)
def test_scope(nodeid, scope):
    assert _ByCase._split_scope(None, nodeid) == scope


@pytest.mark.parametrize("file", SLOW)
def test_slow_tests_exist(file):
    """By name; what is in brackets is looked at where the tests are collected."""
    text = (ROOT / file).read_text()
    for prefix in SLOW[file]:
        assert f"def {prefix.partition('[')[0]}(" in text, f"{file} has no {prefix}"
