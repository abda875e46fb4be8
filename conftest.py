"""What every test of the suite shares: quiet logs, one thread a worker, fixed seeds, a clean Keras state."""

from __future__ import annotations

import os
import re
from typing import Any

# Before TensorFlow is first imported. The controller of pytest-xdist never imports it: it only hands out names.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
if os.environ.get("INNTF_TEST_GPU") == "1":  # pytest -m gpu
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # several workers share it
else:
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.slow_tests import is_slow

# A script that a test runs in a process of its own; --doctest-modules would import it here.
collect_ignore = ["tests/recipes/common/_strategy_child.py"]

WORKERS = 2


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two workers for the whole suite; none where files or tests were named, for they start at once without."""
    named = [a for a in config.args if "::" in a or a.endswith(".py")]
    return 0 if named else min(WORKERS, os.cpu_count() or 1)


class _ByCase(LoadScopeScheduling):
    """One worker holds the fixtures of a file, and in files of many cases the models that a case trains."""

    def _split_scope(self, nodeid: str) -> str:
        file, _, test = nodeid.partition("::")
        case = _CASE.search(test) if file in _FILES_OF_CASES else None
        return case["case"] or case["deep"] if case else file


_FILES_OF_CASES = ("tests/test_conformance.py", "tests/test_trained.py")
# The name of a registry entry, or the family and depth of a deep one, whose `Repeat` and `Chain` share their weights.
_CASE = re.compile(r"\[(?P<case>.+?)-float(?:32|64)-|\[[a-z]+-(?P<deep>[a-z]+-\d+)-")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """By the names of tests, not by marks: pytest 9.2 no longer shows pytest-xdist the groups that are marked."""
    return _ByCase(config, log)


@pytest.hookimpl(tryfirst=True)  # before pytest reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of `tests/slow_tests.py`."""
    for item in items:
        if is_slow(item.nodeid):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def _one_thread_each():
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        pass  # a module-level tensor started the runtime already; its thread count then stands
    tf.get_logger().setLevel("ERROR")


@pytest.fixture(autouse=True)
def _fresh_keras_state():
    """Same seeds for every test whatever ran before it; no dtype policy survives a test."""
    import keras

    keras.utils.set_random_seed(20)
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
