"""Ranges of a transformer's derivatives on boxes of entries and parameters, against autodiff at points inside."""

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from inntf.numerics import AffineTransform, ExpScale, ReciprocalScale, Scale, ShiftTransform, SigmoidScale, SoftplusScale
from inntf.numerics.intervals import added, middle_and_half, multiplied, negated, reciprocal

SCALES = {
    "exp": ExpScale(1.5),
    "exp tanh": ExpScale(0.7, kind="tanh"),
    "exp turned": ExpScale(1.0, slope=-0.5),
    "exp unbounded": ExpScale(None),
    "sigmoid": SigmoidScale(),
    "sigmoid low": SigmoidScale(0.5, 2.0),
    "softplus": SoftplusScale(),
    "reciprocal": ReciprocalScale(SigmoidScale(0.03, 1.03)),
}


class Cosh(Scale):
    """Its range and slope are declared only."""

    low, high, lipschitz = 1.0, math.cosh(5.0), math.sinh(5.0)

    def log_scale(self, raw):
        return tf.math.log(tf.math.cosh(raw))


@settings(max_examples=30, deadline=None)
@given(st.floats(-4, 4), st.floats(0, 1))
@pytest.mark.parametrize("name", [*SCALES, "cosh"])
def test_scales(name, low, width):
    scale = Cosh() if name == "cosh" else SCALES[name]
    raw = tf.constant(np.linspace(low, low + width, 17))
    with tf.GradientTape() as tape:
        tape.watch(raw)
        value = scale.scale(raw)
    slope = tape.gradient(value, raw).numpy()
    (s_low, s_high), (d_low, d_high) = scale.ranges(np.float64(low), np.float64(low + width))
    assert s_low <= value.numpy().min() * (1 + 1e-9) and value.numpy().max() <= s_high * (1 + 1e-9)
    assert d_low <= slope.min() + 1e-9 and slope.max() <= d_high + 1e-9
    if name not in ("cosh", "reciprocal"):
        np.testing.assert_allclose([s_low, s_high], [value.numpy().min(), value.numpy().max()], rtol=1e-9)


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("transformer", [ShiftTransform(), *(AffineTransform(scale) for scale in SCALES.values())])
def test_derivatives(transformer, inverse):
    rng = np.random.default_rng(0)
    entries = rng.normal(size=7)
    raw = [rng.normal(size=7) for _ in range(transformer.parameters)]
    reach = 0.1
    box = lambda middle: (middle - reach, middle + reach)  # noqa: E731
    own, others = transformer.derivative_ranges(box(entries), [box(r) for r in raw], inverse)
    way = transformer.inverse if inverse else transformer.forward
    for _ in range(20):
        values = [tf.constant(v + rng.uniform(-reach, reach, 7)) for v in (entries, *raw)]
        with tf.GradientTape() as tape:
            tape.watch(values)
            out = way(values[0], tuple(values[1:]))[0]
        for gradient, (low, high) in zip(tape.gradient(out, values), [own, *others], strict=True):
            assert (low <= gradient.numpy() + 1e-9).all() and (gradient.numpy() <= high + 1e-9).all()


pairs = st.tuples(st.floats(-5, 5), st.floats(0, 3)).map(lambda p: (p[0], p[0] + p[1]))


@settings(max_examples=50, deadline=None)
@given(pairs, pairs, st.floats(0, 1), st.floats(0, 1))
def test_intervals(a, b, s, t):
    x, y = a[0] + s * (a[1] - a[0]), b[0] + t * (b[1] - b[0])
    for value, (low, high) in [(x + y, added(a, b)), (x * y, multiplied(a, b)), (-x, negated(a))]:
        assert low - 1e-9 <= value <= high + 1e-9
    if a[0] > 0:
        low, high = reciprocal(a)
        assert low <= 1 / x * (1 + 1e-12) and 1 / x <= high * (1 + 1e-12)
    middle, half = middle_and_half(a)
    assert abs(x - middle) <= half + 1e-15
