"""Which tests share a worker: fixtures of a file, and trained models of a case, are made once."""

import pytest

from conftest import _ByCase


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
