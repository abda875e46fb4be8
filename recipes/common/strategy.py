"""Training over several devices: one loop for no strategy, MirroredStrategy and MultiWorkerMirroredStrategy.

A step takes its gradients from `loss_share(loss)` and applies them with a Keras optimizer, which adds them up:

    strategy = make_strategy(config.strategy, config.replicas)
    with strategy.scope():
        model, optimizer = ...
    train = distributed_step(strategy, step)          # step(batch) -> metrics, one replica's
    for batch in strategy.experimental_distribute_dataset(batches(...)):
        metrics = train(batch)                        # means over replicas
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from recipes.common import ranges
from recipes.common.errors import UserError


def make_strategy(name: str, replicas: int | None = None) -> tf.distribute.Strategy:
    """A strategy by name; call it before anything else uses TensorFlow.

    Args:
        name: `"none"`, `"mirrored"` (all GPUs, or the CPU), or `"multiworker"` (workers named in TF_CONFIG).
        replicas: without a GPU, split the CPU into so many devices, so that mirroring has something to mirror on.

    Returns:
        The strategy; for `"none"` TensorFlow's default, under which the same loop runs on one device.

    Raises:
        UserError: for an unknown name, missing TF_CONFIG, or if TensorFlow has started already.
    """
    if name == "none":
        return tf.distribute.get_strategy()
    if name == "mirrored":
        return tf.distribute.MirroredStrategy(_devices(replicas))
    if name == "multiworker":
        return _multiworker()
    raise UserError(f"strategy: received {name!r}, expected none, mirrored or multiworker")


def worker_number(strategy: tf.distribute.Strategy) -> int | None:
    """This worker's number, 0 for the first one (the chief, where there is one); `None` where there are no workers."""
    resolver = strategy.cluster_resolver
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) or resolver is None:
        return None
    cluster, task = resolver.cluster_spec().as_dict(), (resolver.task_type, int(resolver.task_id or 0))
    return [(job, i) for job in ("chief", "worker") for i in range(len(cluster.get(job, [])))].index(task)


def loss_share(loss: tf.Tensor) -> tf.Tensor:
    """A replica's share of the loss: its mean over its own samples, over the number of replicas.

    Optimizers add gradients up over replicas; without this they would be too large by that number.
    """
    return loss / tf.cast(tf.distribute.get_strategy().num_replicas_in_sync, loss.dtype)


def distributed_step(
    strategy: tf.distribute.Strategy, step: Callable[..., Any], *, jit_compile: bool = False
) -> Callable[..., Any]:
    """Compile a replica's step into one over all replicas.

    Args:
        strategy: from `make_strategy`.
        step: takes a replica's part of the batch, returns a structure of scalar tensors.
        jit_compile: compile with XLA (only where a single device is used).

    Returns:
        A function of distributed batches that returns the means over replicas.
    """

    @tf.function(jit_compile=jit_compile and strategy.num_replicas_in_sync == 1, autograph=False)
    def over_replicas(*batch: Any) -> Any:
        each = strategy.run(step, args=batch)
        return tf.nest.map_structure(lambda v: strategy.reduce(tf.distribute.ReduceOp.MEAN, v, axis=None), each)

    return over_replicas


def check_batch_size(strategy: tf.distribute.Strategy, batch_size: int) -> int:
    """The number of samples each replica gets.

    Raises:
        UserError: if the batch does not divide evenly.
    """
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise UserError(
            f"batch size: received {batch_size} for {replicas} replicas", remedy=f"Choose a multiple of {replicas}."
        )
    return batch_size // replicas


def _devices(wanted: int | None) -> list[str] | None:
    if tf.config.list_physical_devices("GPU") or wanted is None:
        return None
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * wanted)
    except RuntimeError as error:
        if len(tf.config.list_logical_devices("CPU")) < wanted:
            raise UserError(
                "strategy: TensorFlow has started already, its CPU cannot be split any more",
                remedy="Make the strategy first, in a fresh process.",
            ) from error
    return [device.name for device in tf.config.list_logical_devices("CPU")[:wanted]]


def _multiworker() -> tf.distribute.Strategy:
    text = os.environ.get("TF_CONFIG", "")
    fault = _fault_of_cluster(text)
    if fault:
        raise UserError(
            f"--strategy multiworker: TF_CONFIG {fault} (received {ranges.shown(text)})",
            remedy='Set it in each process, such as TF_CONFIG=\'{"cluster": {"worker": ["host1:12345", "host2:12345"]}, '
            '"task": {"type": "worker", "index": 0}}\', with its own index.',
        )
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except (RuntimeError, ValueError, TypeError, KeyError, tf.errors.OpError) as error:
        raise UserError(
            f"--strategy multiworker with TF_CONFIG {ranges.shown(text)}: {' '.join(str(error).split())[:200]}",
            remedy="Name addresses that can be reached, one process each; make the strategy first, in a fresh process.",
        ) from error


def _fault_of_cluster(text: str) -> str | None:
    """What is wrong with a TF_CONFIG, in words; `None` if nothing is."""
    try:
        config = json.loads(text)
    except (ValueError, RecursionError):
        return "names no workers" if not text else "is no JSON"
    cluster = config.get("cluster") if isinstance(config, dict) else None
    if not isinstance(cluster, dict) or not cluster.get("worker"):
        return "names no workers"
    for job, addresses in cluster.items():
        if job not in ("worker", "chief") or not isinstance(addresses, list) or not all(map(_is_address, addresses)):
            return f"has no list of addresses HOST:PORT for {ranges.shown(job)}, which may be worker or chief"
    everyone = [address for addresses in cluster.values() for address in addresses]
    if len(set(everyone)) < len(everyone):
        return "names an address twice"
    task = config.get("task")
    members = cluster.get(task.get("type")) if isinstance(task, dict) and isinstance(task.get("type"), str) else None
    index = task.get("index") if members else None
    if not members or isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(members):
        return "has no task that is one of its workers"
    return None


def _is_address(address: object) -> bool:
    host, _, port = address.rpartition(":") if isinstance(address, str) else ("", "", "")
    return bool(host) and port.isdecimal() and len(port) <= 5 and 0 < int(port) < 2**16
