"""What every test of the suite shares: quiet logs, one thread a worker, fixed seeds, a clean Keras state."""

from __future__ import annotations

import os

# Before TensorFlow is first imported. The controller of pytest-xdist never imports it: it only hands out names.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
if os.environ.get("INNTF_TEST_GPU") == "1":  # pytest -m gpu
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # several workers share it
else:
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import pytest

# A script that a test runs in a process of its own; --doctest-modules would import it here.
collect_ignore = ["tests/recipes/common/_strategy_child.py"]

WORKERS = 2


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two workers for the whole suite; none where files or tests were named, for they start at once without."""
    named = [a for a in config.args if "::" in a or a.endswith(".py")]
    return 0 if named else min(WORKERS, os.cpu_count() or 1)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker holds the models that a case trains, and the fixtures that a file makes."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.nodeid.split("::")[0]))


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
