"""Whether XLA compiles what is being traced."""

from __future__ import annotations

import tensorflow as tf
from tensorflow.python.ops import control_flow_util


def in_xla() -> bool:
    """Whether a `tf.function` with `jit_compile=True` is being traced.

    Example:
        >>> tf.function(lambda: tf.constant(in_xla()), jit_compile=True)().numpy(), in_xla()
        (np.True_, False)
    """
    return control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())


def in_xla_on_cpu() -> bool:
    """Whether XLA compiles what is being traced, and there is nothing but CPUs.

    Example:
        >>> in_xla_on_cpu()
        False
    """
    return in_xla() and all(device.device_type == "CPU" for device in tf.config.list_logical_devices())
