"""What transformers declare, against what they do: slopes, sensitivity, inverses, and users' own ones."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import Coupling, MaskedAutoregressive
from inntf.nets import MLP, LipschitzMLP, MaskedMLP
from inntf.numerics import (
    AffineTransform,
    ExpScale,
    ShiftTransform,
    SigmoidScale,
    SinhArcsinhTransform,
    SplineTransform,
    Transformer,
)
from inntf.numerics.transformers.named import make_transformer
from tests.registry import TRANSFORMERS


@keras.saving.register_keras_serializable("tests")
class SinhArcsinh(Transformer):
    """A user's own: `v = sinh(asinh(u) + raw)`; its slopes lie in [e^-|raw|, e^|raw|], so none is declared."""

    def forward(self, u, raw):
        v = tf.sinh(tf.asinh(u) + raw[..., 0])
        return v, (tf.math.log1p(v**2) - tf.math.log1p(u**2)) / 2

    def inverse(self, v, raw):
        return self.forward(v, -raw)


@keras.saving.register_keras_serializable("tests")
class Tilt(Transformer):
    """A user's own with bounds: `v = u + tanh(raw) sin(u) / 2`; slopes in [1/2, 3/2], sensitivity 1/2."""

    def forward(self, u, raw):
        a = tf.tanh(raw[..., 0]) / 2
        return u + a * tf.sin(u), tf.math.log1p(a * tf.cos(u))

    def inverse(self, v, raw):
        a, u = tf.tanh(raw[..., 0]) / 2, v
        for _ in range(60):  # a contraction by 1/2
            u = v - a * tf.sin(u)
        return u, -tf.math.log1p(a * tf.cos(u))

    def slopes(self, magnitude):
        return 0.5, 1.5

    def sensitivity(self, magnitude):
        return 0.5


MADE = {name: make() for name, (make, _) in TRANSFORMERS.items()}
OWN = {
    "sinh-arcsinh-straight": SinhArcsinhTransform(0.0, 1.5, 0.0),
    "spline-free": SplineTransform(4, 2.0, tails="free"),
    "spline-box": SplineTransform(3, 3.0, tails="none"),
    "own-sinh-arcsinh": SinhArcsinh(),
    "tilt": Tilt(),
    "affine-sigmoid": AffineTransform(SigmoidScale(low=0.5)),
}


def _draw(transformer, magnitude, n=4000):
    rng = np.random.default_rng(3)
    return tf.constant(rng.uniform(-magnitude, magnitude, n)), tf.constant(3 * rng.standard_normal((n, transformer.parameters)))


@pytest.mark.parametrize("name", [*MADE, *OWN])
def test_inverse_and_derivative(name):
    transformer = (MADE | OWN)[name]
    u, raw = _draw(transformer, 2.5)
    with tf.GradientTape() as tape:
        tape.watch(u)
        v, log_derivative = transformer.forward(u, raw)
    expected = tf.math.log(tape.gradient(v, u))
    zero = tf.zeros_like(u)
    np.testing.assert_allclose(zero if log_derivative is None else log_derivative, expected, atol=1e-7)
    back, log_back = transformer.inverse(tf.identity(v), raw)
    np.testing.assert_allclose(back, u, atol=1e-7)
    np.testing.assert_allclose(zero if log_back is None else log_back, -expected, atol=1e-6)


@pytest.mark.parametrize("name", [*MADE, *OWN])
@pytest.mark.parametrize("magnitude", [0.5, 3.0])
def test_declared_slopes_and_sensitivity_hold(name, magnitude):
    transformer = (MADE | OWN)[name]
    u, raw = _draw(transformer, magnitude)
    with tf.GradientTape() as tape:
        tape.watch([u, raw])
        v, _ = transformer.forward(u, raw)
    slope, by_raw = tape.gradient(v, [u, raw])
    low, high = transformer.slopes(magnitude)
    assert low <= np.min(slope) * (1 + 1e-9) and np.max(slope) <= high * (1 + 1e-9)
    assert np.max(np.linalg.norm(by_raw, axis=-1)) <= transformer.sensitivity(magnitude) * (1 + 1e-9)


def test_a_users_own_works_in_both_blocks_with_bounds_where_it_declares_them():
    x = tf.constant(np.random.default_rng(1).standard_normal((50, 4)))
    certified = LipschitzMLP((8,), coefficient=0.9, dtype="float64")
    coupling = Coupling(transformer=Tilt(), conditioner=certified, dtype="float64")
    masked = MaskedMLP(hidden=(8,), zero_last=False, dtype="float64")
    for block in (coupling, MaskedAutoregressive(transformer=Tilt(), conditioner=masked, dtype="float64")):
        z, log_det = block.forward_and_log_det(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            out = block.forward_and_log_det(x)[0]
        jacobian = tape.batch_jacobian(out, x).numpy()
        np.testing.assert_allclose(log_det, np.linalg.slogdet(jacobian)[1], atol=1e-10)
        np.testing.assert_allclose(block.inverse_and_log_det(tf.identity(z))[0], x, atol=1e-9)
        singular = np.linalg.svd(jacobian, compute_uv=False)
        bounds = block.lipschitz_bounds()
        assert bounds.scope == "global" and np.isfinite(bounds.forward) and np.isfinite(bounds.inverse)
        assert singular.max() <= bounds.forward and 1 / singular.min() <= bounds.inverse
        again = type(block).from_config(block.get_config())
        assert isinstance(again.transformer, Tilt)
    unbounded = Coupling(transformer=SinhArcsinh(), conditioner=MLP((4,)))
    unbounded.ensure_built((4,))
    assert "SinhArcsinh()" in unbounded.lipschitz_bounds((-1.0, 1.0)).reason


def test_what_a_user_may_pass():
    assert isinstance(make_transformer("block", "shift"), ShiftTransform)
    assert make_transformer("block", ExpScale(1.0)).scale.clamp == 1.0
    assert make_transformer("block", spline := SplineTransform(4)) is spline
    with pytest.raises(ValueError, match=r"transformer='cubic', expected one of \['affine', 'shift', 'spline'\]"):
        Coupling(transformer="cubic")
    with pytest.raises(TypeError, match="transformer=3"):
        MaskedAutoregressive(transformer=3)


def test_files_and_calls_of_before():
    block = MaskedAutoregressive(transform="spline")
    assert block.get_config()["transformer"] == "spline" and "transform" not in block.get_config()
    config = MaskedAutoregressive(transformer=SplineTransform(4, 2.0)).get_config()
    config["transform"] = config.pop("transformer")
    assert MaskedAutoregressive.from_config(config).transformer.num_bins == 4


class Cubic(Transformer):
    """`v = u + u^3 + raw`, whose slopes are bounded on a box alone."""

    def forward(self, u, raw):
        return u + u**3 + raw[..., 0], tf.math.log1p(3 * u**2)

    def slopes(self, magnitude):
        return 1.0, 1.0 + 3.0 * magnitude**2

    def sensitivity(self, magnitude):
        return 1.0


@pytest.mark.parametrize("kind", [Coupling, MaskedAutoregressive])
def test_slopes_that_are_bounded_on_a_box_give_local_bounds(kind):
    block = kind(transformer=Cubic()).ensure_built((4,))
    local, everywhere = block.lipschitz_bounds((-1.0, 1.0)), block.lipschitz_bounds()
    assert local.scope == "local" and 4.0 <= local.forward < np.inf
    assert everywhere.scope == "global" and everywhere.forward == np.inf and "no upper end" in everywhere.reason
    spline = kind(transformer="spline").ensure_built((4,))
    assert "no bounded slope in its parameters" in spline.lipschitz_bounds().reason


def test_both_names_of_the_transformer_are_refused():
    with pytest.raises(TypeError, match="transformer alone"):
        MaskedAutoregressive(transformer="shift", transform="spline")
