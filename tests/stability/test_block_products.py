"""Traced Jacobian products of a block: against exact spectra, and that a trace is used again only where it is right."""

import gc
import weakref

import keras
import numpy as np
import tensorflow as tf

from inntf.blocks import ActNorm, AffineCoupling, ResidualBlock
from inntf.compose import Chain, Repeat
from inntf.nets import MLP, LipschitzMLP
from inntf.numerics import batch_jacobian
from inntf.stability import block_products, singular_values
from inntf.stability.block_functions import BlockFunctions
from inntf.stability.block_products import BlockProducts
from tests.stability.tiny_blocks import Additive, Scaled


def flow(n=2):
    keras.utils.set_random_seed(0)
    block = Repeat(lambda: Chain([ActNorm(), AffineCoupling(conditioner=MLP((6,), activation="tanh"))]), n)
    block.ensure_built((6,), (2,))
    for weight in block.trainable_variables:
        weight.assign_add(0.4 * np.random.default_rng(1).normal(size=weight.shape))
    return block


def data(batch):
    rng = np.random.default_rng(batch)
    return rng.normal(size=(batch, 6)).astype("float32"), rng.normal(size=(batch, 2)).astype("float32")


def count(block):
    """Traces of all functions of a block so far."""
    return sum(f.experimental_get_tracing_count() for f in block_products._known[block][1]._functions.values())


def test_one_trace_serves_other_data_batches_and_weights():
    block = flow()
    x, condition = data(2)
    singular_values(block, x, condition, method="lanczos")
    singular_values(block, *data(3), method="lanczos")  # the batch size becomes free here
    before = count(block)
    for weight in block.trainable_variables:
        weight.assign(0.5 * weight)
    for batch in (2, 5):
        x, condition = data(batch)
        found, exact = (singular_values(block, x, condition, method=method) for method in ("lanczos", "exact"))
        np.testing.assert_allclose(found.largest, exact.largest, rtol=1e-4)
        np.testing.assert_allclose(found.smallest, exact.smallest, rtol=1e-4)
        assert np.all(found.converged) and np.all(found.consistent)
    assert count(block) == before


def test_what_no_weight_says_makes_a_new_trace():
    block, x = Additive(1.0), tf.zeros([1, 4])
    golden = (1 + np.sqrt(5)) / 2  # the norm of [[1, 0], [1, 1]]
    np.testing.assert_allclose(singular_values(block, x, method="lanczos").largest, [golden], rtol=1e-5)
    block.slope = 3.0
    np.testing.assert_allclose(singular_values(block, x, method="lanczos").largest, [1.5 + np.sqrt(3.25)], rtol=1e-5)


def test_an_attribute_inside_of_a_repeat_is_seen():
    block = flow()
    x, condition = data(1)
    before = singular_values(block, x, condition, method="lanczos")
    conditioner = block._template.block.blocks[1].conditioner
    conditioner.layers[0].activation = keras.activations.sigmoid
    after = singular_values(block, x, condition, method="lanczos")
    assert abs(float(after.largest[0] / before.largest[0]) - 1) > 1e-3
    np.testing.assert_allclose(after.largest, singular_values(block, x, condition, method="exact").largest, rtol=1e-4)


def test_traces_go_with_their_block():
    block = Scaled(2.0)
    singular_values(block, tf.ones([1, 3]), method="lanczos")
    assert block in block_products._known
    gone = weakref.ref(block)
    del block
    gc.collect()
    assert gone() is None


def test_members_are_those_of_a_linearization():
    block = flow()
    x, condition = data(2)
    maps = BlockFunctions.of(block, x, condition)
    at = BlockProducts(maps, maps.x)
    np.testing.assert_allclose(at.value, block(x, condition), rtol=1e-5)
    v, w = (tf.constant(np.random.default_rng(i).normal(size=(2, 6))) for i in range(2))
    along, back = at.jvp(v), at.vjp(w)
    np.testing.assert_allclose(
        tf.reduce_sum(along * tf.cast(w, along.dtype)), tf.reduce_sum(back * tf.cast(v, back.dtype)), rtol=1e-4
    )


def test_a_block_that_iterates_is_measured_on_tapes():
    block, x = ResidualBlock(network=LipschitzMLP((6,), coefficient=0.8)), tf.constant(data(1)[0])
    found = singular_values(block, x, method="lanczos")
    jacobian = batch_jacobian(block.value, x, rows=6)
    np.testing.assert_allclose(found.condition_number, np.linalg.cond(jacobian), rtol=1e-3)
    assert block not in block_products._known


def test_non_finite_samples_leave_the_others_alone():
    block = flow()
    x, condition = data(4)
    clean = singular_values(block, x, condition, method="lanczos")
    x[2] = np.nan
    found = singular_values(block, x, condition, method="lanczos")
    assert found.nonfinite == 1 and not found.converged[2] and np.isnan(found.largest[2])
    keep = [0, 1, 3]
    np.testing.assert_allclose(found.largest.numpy()[keep], clean.largest.numpy()[keep], rtol=1e-4)


def test_also_where_functions_run_eagerly():
    tf.config.run_functions_eagerly(True)
    try:
        found = singular_values(Additive(1.0), tf.zeros([1, 4]), method="lanczos")
    finally:
        tf.config.run_functions_eagerly(False)
    np.testing.assert_allclose(found.largest, [(1 + np.sqrt(5)) / 2], rtol=1e-5)
