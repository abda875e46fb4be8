"""Boxes carried through the preprocessing and reshaping blocks: they hold the image, and cannot be smaller."""

import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import Dequantize, Haar, Logit, Rescale, Squeeze

SHAPE = (2, 4, 2)
BLOCKS = {
    "squeeze": lambda: Squeeze(order="channel_major", dtype="float64"),
    "haar": lambda: Haar(dtype="float64"),
    "haar-channel-major": lambda: Haar(order="channel_major", dtype="float64"),
    "logit": lambda: Logit(0.1, dtype="float64"),
    "rescale": lambda: Rescale([2.0, -3.0], 1.0, dtype="float64"),
    "dequantize": lambda: Dequantize(4, noise="center", rounding="none", dtype="float64"),
}


@pytest.mark.parametrize("make", BLOCKS.values(), ids=BLOCKS)
@pytest.mark.parametrize("scalar", [True, False])
def test_box_is_the_smallest_that_holds_the_image(make, scalar):
    block = make().ensure_built(SHAPE)
    rng = np.random.default_rng(0)
    low, high = (0.2, 0.7) if scalar else np.sort(rng.uniform(0, 1, size=(2, *SHAPE)), axis=0)
    corners = rng.random((20_000, *SHAPE)) < 0.5
    z = block.forward_and_log_det(tf.constant(np.where(corners, low, high)))[0].numpy()
    box_low, box_high = block.image_box((low, high))
    np.testing.assert_allclose(np.broadcast_to(box_low, z.shape[1:]), z.min(0), atol=1e-12)
    np.testing.assert_allclose(np.broadcast_to(box_high, z.shape[1:]), z.max(0), atol=1e-12)


def test_box_of_noisy_levels():
    low, high = Dequantize(4).image_box((0, 3))
    assert (float(low), float(high)) == (0.0, 1.0)


def test_no_box_where_there_is_none():
    assert Logit(0.0).image_box((0.0, 1.0)) == (-np.inf, np.inf)
    assert Squeeze().image_box((0.0, 1.0)) is None  # not built
    assert all(make().image_box(None) is None for make in BLOCKS.values())
