"""What can be told of accelerators without one: every operation of a training step has a kernel for XLA on a GPU."""

import pytest
import tensorflow as tf
from tensorflow.python.framework import kernels

from inntf import models
from inntf.blocks import Dequantize, Logit
from tests.conformance.subject import Subject
from tests.registry import CASES

# Of the runtime's own, or dropped by XLA before it compiles.
WITHOUT = {"Assert", "NoOp", "Placeholder", "_Arg", "_Retval", "CheckNumerics", "PrintV2", "StringFormat"}

FLOWS = {
    "real_nvp": lambda: models.real_nvp(event_shape=4, depth=2, hidden=(4,)),
    "glow": lambda: models.glow(event_shape=(8, 8, 1), levels=2, depth=2, hidden=4, preprocessing=[Dequantize(), Logit()]),
    "residual_flow": lambda: models.residual_flow(event_shape=(4, 4, 4), depth=2, hidden=4),
    "ffjord": lambda: models.ffjord(event_shape=2, hidden=(4,)),
    "autoregressive_flow": lambda: models.autoregressive_flow(event_shape=3, depth=2, hidden=(4,), transformer="spline"),
}


def operations(function, *arguments) -> set[str]:
    """Names of all operations of a traced function, those of loops and branches included."""
    graph = tf.function(function).get_concrete_function(*arguments).graph.as_graph_def()
    return {
        node.op for part in (graph, *graph.library.function) for node in getattr(part, "node", getattr(part, "node_def", []))
    }


def without_a_kernel(names: set[str]) -> set[str]:
    found = set()
    for name in names - WITHOUT:
        listed = kernels.get_registered_kernels_for_op(name).kernel
        if listed and not any(kernel.device_type in ("XLA_GPU_JIT", "DEFAULT") for kernel in listed):
            found.add(name)
    return found


def step_of(flow):
    """One step of maximum likelihood, and a sample."""

    def step(x):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(flow.log_prob(x))
        return tape.gradient(loss, [v.value for v in flow.block.trainable_variables]), flow.sample(2, seed=0)

    return step


@pytest.mark.parametrize("name", list(FLOWS))
def test_training_compiles_for_a_gpu(name):
    flow = FLOWS[name]()
    assert not without_a_kernel(operations(step_of(flow), tf.TensorSpec([8, *flow.event_shape], tf.float32)))


@pytest.mark.parametrize("name", list(FLOWS))
def test_no_weight_is_an_integer(name):
    flow = FLOWS[name]()
    signed = [v.path for v in flow.block.variables if str(v.dtype) == "int32"]
    assert not signed, "variables of int32 stay on the processor, where XLA cannot reach them"


@pytest.mark.slow
@pytest.mark.parametrize("name", list(CASES))
def test_blocks_compile_for_a_gpu(name):
    subject = Subject(name, CASES[name], "float32")

    def everything(x, z, condition=None):
        with tf.GradientTape() as tape:
            tape.watch(x)
            there, log_det = subject.block.forward_and_log_det(x, condition)
            loss = tf.reduce_sum(there) + tf.reduce_sum(log_det)
        back = subject.block.inverse_and_log_det(z, condition)
        return tape.gradient(loss, x), back

    arguments = [v for v in (subject.x(2), subject.z(2), subject.condition(2)) if v is not None]
    assert not without_a_kernel(operations(everything, *arguments))


def test_the_check_can_fail():
    assert without_a_kernel(operations(lambda x: tf.linalg.slogdet(x)[1], tf.TensorSpec([2, 2]))) == {"LogMatrixDeterminant"}
