"""Whether XLA compiles what is being traced."""

from __future__ import annotations

import warnings

import tensorflow as tf
from tensorflow.python.eager import record
from tensorflow.python.ops import control_flow_util
from tensorflow.python.util import _pywrap_util_port


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


def warn_where_slower_without_onednn(what: str, times: float) -> None:
    """Say of a training step that XLA compiles for a CPU on which TensorFlow runs without oneDNN that it is the slower one.

    Args:
        what: of what the step is.
        times: how many times as long it takes, as measured (benchmarks/README.md).

    Warns:
        UserWarning: there.

    Source: inntf.

    Example:
        >>> warn_where_slower_without_onednn("splines", 1.5)  # nothing is traced here
    """
    if in_xla_on_cpu() and record.could_possibly_record() and not _pywrap_util_port.IsMklEnabled():
        warnings.warn(
            f"XLA compiles a training step of {what} for the CPU here, which may take {times} times as long as without, where "
            "TensorFlow runs without oneDNN: leave jit_compile out on this machine, unless it has been found to be faster with "
            "it, or try TF_ENABLE_ONEDNN_OPTS=1.",
            stacklevel=2,
        )
