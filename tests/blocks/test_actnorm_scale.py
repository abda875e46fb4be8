"""ActNorm with a scale of another law: initialized from data, within its range, kept in files."""

import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import ActNorm
from inntf.numerics import ExpScale, ReciprocalScale, SigmoidScale, SoftplusScale, batch_jacobian

SCALES = {
    "softplus": SoftplusScale(),
    "sigmoid": SigmoidScale(0.0, 1e4),
    "exponential": ExpScale(9.0),
    "reciprocal": ReciprocalScale(SoftplusScale(low=1e-4)),
}
X = np.random.default_rng(0).normal(size=(500, 4)) * [0.01, 1.0, 30.0, 500.0] + [3.0, 0.0, -40.0, 1e3]


@pytest.mark.parametrize("name", SCALES)
def test_initialized_it_standardizes_and_its_log_det_is_that_of_the_jacobian(name):
    block = ActNorm(scale=SCALES[name], dtype="float64")
    z = block.initialize(X[:, :3])
    np.testing.assert_allclose(np.std(z, 0), 1.0, rtol=1e-9)
    np.testing.assert_allclose(np.mean(z, 0), 0.0, atol=1e-9)
    x = tf.constant(X[:2, :3])
    jacobian = batch_jacobian(lambda v: block.forward_and_log_det(v)[0], x).numpy()
    out, log_det = block.forward_and_log_det(x)
    np.testing.assert_allclose(log_det, np.linalg.slogdet(jacobian)[1], rtol=1e-12)
    np.testing.assert_allclose(block.inverse_and_log_det(out)[0], x, rtol=1e-9)
    singular = np.linalg.svd(jacobian, compute_uv=False)
    np.testing.assert_allclose(tuple(block.lipschitz_bounds()), [singular.max(), 1 / singular.min()], rtol=1e-9)
    again = ActNorm.from_config(block.get_config())
    assert type(again.scale) is type(SCALES[name])


def test_out_of_range_it_goes_as_far_as_it_may():
    block = ActNorm(scale=SigmoidScale(low=0.1), dtype="float64")
    block.initialize(X)
    np.testing.assert_allclose(np.exp(block.log_scale), [0.99, *np.clip(1 / X[:, 1:].std(0), 0.101, 0.99)], rtol=1e-6)


def test_what_is_no_scale_is_refused():
    with pytest.raises(TypeError, match="scale='softplus'"):
        ActNorm(scale="softplus")
    with pytest.raises(ValueError, match="scale and max_log_scale"):
        ActNorm(scale=SoftplusScale(), max_log_scale=1.0)
