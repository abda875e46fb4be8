"""Strategies: the same numbers on one device and on two."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from recipes.common import strategy as strategies
from recipes.common.cli import RecipeConfig
from recipes.common.errors import UserError

ROOT = pathlib.Path(__file__).parents[3]
CHILD = pathlib.Path(__file__).with_name("_strategy_child.py")


def test_none_runs_the_same_loop_on_one_device():
    strategy = strategies.make_strategy("none")
    step = strategies.distributed_step(strategy, lambda x: {"mean": strategies.loss_share(tf.reduce_mean(x))})
    dataset = strategy.experimental_distribute_dataset(tf.data.Dataset.from_tensor_slices(np.arange(6.0)).batch(6))
    assert [float(step(b)["mean"]) for b in dataset] == [2.5]
    assert strategies.worker_number(strategy) is None and strategies.check_batch_size(strategy, 7) == 7


def test_two_replicas_train_as_one_would():
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, str(CHILD)], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    weight, bias, losses = 1.0, 0.0, []
    x = np.arange(8.0)
    for _ in range(3):
        error = weight * x + bias - 3 * x
        losses.append((error**2).mean())
        weight, bias = weight - 0.02 * (error * x).mean(), bias - 0.02 * error.mean()
    assert got["replicas"] == 2 and got["worker"] is None
    np.testing.assert_allclose(got["losses"], losses, rtol=1e-5)
    np.testing.assert_allclose(got["weights"], [weight] * 2, rtol=1e-5)


def test_an_unknown_strategy_is_refused():
    with pytest.raises(UserError, match="mirrored"):
        strategies.make_strategy("magic")


BAD_CLUSTERS = [
    None,
    "",
    "{",
    "{}",
    "[]",
    "5",
    "[" * 100_000,
    '{"cluster": {}}',
    '{"cluster": []}',
    '{"cluster": {"worker": "localhost:1"}}',
    '{"cluster": {"worker": []}}',
    '{"cluster": {"worker": [1]}}',
    '{"cluster": {"worker": ["localhost"]}}',
    '{"cluster": {"worker": ["localhost:99999"]}}',
    '{"cluster": {"worker": ["localhost:1", "localhost:1"]}}',
    '{"cluster": {"worker": ["localhost:1"]}}',
    '{"cluster": {"worker": ["localhost:1"]}, "task": []}',
    '{"cluster": {"worker": ["localhost:1"]}, "task": {"type": "worker", "index": 1}}',
    '{"cluster": {"worker": ["localhost:1"]}, "task": {"type": "worker", "index": -1}}',
    '{"cluster": {"worker": ["localhost:1"]}, "task": {"type": "worker", "index": "0"}}',
    '{"cluster": {"worker": ["localhost:1"]}, "task": {"type": "ps", "index": 0}}',
    '{"cluster": {"worker": ["localhost:1"]}, "task": {"type": ["worker"], "index": 0}}',
    '{"cluster": {"worker": ["localhost:1"], "ps": ["localhost:2"]}, "task": {"type": "worker", "index": 0}}',
]


@pytest.mark.parametrize("text", BAD_CLUSTERS)
def test_multiworker_without_workers_is_refused(monkeypatch, text):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match="TF_CONFIG"):
        strategies.make_strategy("multiworker")


@pytest.mark.parametrize("replicas", [0, -1, 65, 1.5, True])
def test_a_bad_number_of_replicas_is_refused(replicas):
    with pytest.raises(UserError, match="--replicas"):
        RecipeConfig(strategy="mirrored", replicas=replicas).check()


@pytest.mark.parametrize("strategy", ["none", "multiworker"])
def test_replicas_are_for_mirroring(strategy):
    with pytest.raises(UserError, match="Add --strategy mirrored"):
        RecipeConfig(strategy=strategy, replicas=2).check()
    RecipeConfig(strategy="mirrored", replicas=2).check()


def test_a_cpu_that_is_in_use_cannot_be_split():
    tf.config.list_logical_devices()
    with pytest.raises(UserError, match="started already"):
        strategies.make_strategy("mirrored", replicas=7)
