"""A continuous flow trains, samples and leaves as a SavedModel."""

import keras
import numpy as np
import pytest

from inntf.models import DensityModel, ffjord
from inntf.serving import export, load


def crescent(n, seed=0):
    rng = np.random.default_rng(seed)
    b = rng.normal(size=n)
    return np.stack([b, 0.5 * b**2 + 0.3 * rng.normal(size=n)], 1).astype("float32")


ENTROPY = np.log(2 * np.pi * np.e) + np.log(0.3)
GAUSSIAN = np.log(2 * np.pi * np.e) + 0.5 * np.log(0.5 + 0.09)


@pytest.mark.slow
def test_training_beats_a_gaussian_and_is_served(tmp_path):
    keras.utils.set_random_seed(1)
    flow = ffjord(event_shape=2, hidden=(24, 24), rtol=1e-4, atol=1e-4)
    model = DensityModel(flow)
    model.compile(keras.optimizers.Adam(1e-2))
    model.fit(crescent(2000), epochs=6, batch_size=100, verbose=0)
    loss = model.evaluate(crescent(1000, 1), batch_size=1000, verbose=0)[0]
    assert ENTROPY - 0.1 < loss < GAUSSIAN - 0.25
    served = load(export(flow, tmp_path / "ffjord"))
    x = crescent(5, 2)
    z = flow.block.forward_and_log_det(x)[0]
    np.testing.assert_allclose(served.forward(x), z, atol=1e-3)
    np.testing.assert_allclose(served.inverse(z), x, atol=1e-2)
    np.testing.assert_allclose(served.log_prob(x), flow.log_prob(x), atol=1e-2)
    np.testing.assert_allclose(served.sample(3, seed=4), flow.sample(3, seed=4), atol=1e-3)


def test_refusals():
    with pytest.raises(ValueError, match="ffjord: received depth=0"):
        ffjord(event_shape=2, depth=0)
