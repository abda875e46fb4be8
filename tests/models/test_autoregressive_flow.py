"""MAF and IAF as flows: they train, sample and leave as a SavedModel."""

import keras
import numpy as np
import pytest

from inntf.models import DensityModel, autoregressive_flow
from inntf.numerics import SigmoidScale
from inntf.serving import export, load


def crescent(n, seed=0):
    rng = np.random.default_rng(seed)
    b = rng.normal(size=n)
    return np.stack([b, 0.5 * b**2 + 0.3 * rng.normal(size=n)], 1).astype("float32")


ENTROPY = np.log(2 * np.pi * np.e) + np.log(0.3)  # of the crescent: a shear keeps volumes
GAUSSIAN = np.log(2 * np.pi * np.e) + 0.5 * np.log(0.5 + 0.09)  # the best that a Gaussian can reach: variance of b^2 / 2 is 1/2


@pytest.mark.parametrize(
    ("kind", "transform", "most"),
    [
        ("maf", "affine", ENTROPY + 0.15),  # given its first entry the crescent is a Gaussian
        ("maf", "spline", ENTROPY + 0.15),
        ("iaf", "affine", GAUSSIAN - 0.1),  # given its latent it is none
    ],
)
def test_training_comes_close_to_the_entropy(kind, transform, most):
    keras.utils.set_random_seed(1)
    flow = autoregressive_flow(event_shape=2, depth=2, hidden=(32, 32), kind=kind, transformer=transform)
    model = DensityModel(flow)
    model.compile(keras.optimizers.Adam(1e-2))
    model.fit(crescent(4000), epochs=8, batch_size=100, verbose=0)
    loss = model.evaluate(crescent(2000, 1), batch_size=2000, verbose=0)[0]
    assert ENTROPY - 0.1 < loss < most


def test_what_is_served_is_the_flow(tmp_path):
    flow = autoregressive_flow(event_shape=3, depth=2, hidden=(6,), kind="iaf", condition_shape=2)
    rng = np.random.default_rng(0)
    for v in flow.block.trainable_variables:
        v.assign_add(0.2 * rng.normal(size=v.shape).astype(v.dtype))
    x, c = rng.normal(size=(4, 3)).astype("float32"), rng.normal(size=(4, 2)).astype("float32")
    model = load(export(flow, tmp_path / "iaf"))
    z = flow.block.forward_and_log_det(x, c)[0]
    np.testing.assert_allclose(model.forward(x, c), z, atol=1e-5)
    np.testing.assert_allclose(model.inverse(z, c), x, atol=1e-4)
    np.testing.assert_allclose(model.log_prob(x, c), flow.log_prob(x, condition=c), atol=1e-4)
    np.testing.assert_allclose(model.sample(2, c, seed=5), flow.sample(2, condition=c, seed=5), atol=1e-5)


def test_refusals():
    for wrong in ({"kind": "made"}, {"permutation": "none"}, {"depth": 0}):
        with pytest.raises(ValueError, match="autoregressive_flow: received"):
            autoregressive_flow(event_shape=2, **wrong)


def test_the_former_name_of_the_transformer_is_taken_alone():
    flow = autoregressive_flow(event_shape=3, depth=1, hidden=(4,), transform="spline")
    assert flow.log_prob(np.zeros((2, 3), "float32")).shape == (2,)
    with pytest.raises(ValueError, match="received transformer and transform, expected transformer alone"):
        autoregressive_flow(event_shape=3, depth=1, hidden=(4,), transformer="shift", transform="spline")


@pytest.mark.parametrize("transformer", ["affine", "shift", SigmoidScale(low=0.5)])
def test_one_affine_entry_can_only_be_a_gaussian_and_warns(transformer):
    with pytest.warns(UserWarning, match="the density is a Gaussian.*Use transformer='spline'"):
        autoregressive_flow(event_shape=1, depth=1, hidden=(4,), transformer=transformer)


def test_more_entries_or_splines_do_not_warn(recwarn):
    autoregressive_flow(event_shape=1, depth=1, hidden=(4,), transformer="spline")
    autoregressive_flow(event_shape=2, depth=1, hidden=(4,))
    assert not [w for w in recwarn if "Gaussian" in str(w.message)]
