"""Bounds where floats end: infinity with a reason, never an exception, never a bound below what it bounds."""

import math

import numpy as np
import pytest

from inntf.blocks import (
    ActNorm,
    AdditiveCoupling,
    AffineCoupling,
    Asinh,
    BiLipschitz,
    ContinuousBlock,
    InvertibleLinear,
    Logit,
    MaskedAutoregressive,
    Permutation,
    Rescale,
    ResidualBlock,
    TwoSidedCoupling,
)
from inntf.compose import Chain, Repeat
from inntf.core import LipschitzBounds
from inntf.nets import MLP, LipschitzMLP, MaskedMLP
from inntf.numerics import ExpScale, SigmoidScale
from inntf.numerics.norms.triangular import lower_triangular_norm
from inntf.stability import certify

SIZES = [0.0, 1e-300, 1e-30, 0.3, 1.0, 1e3, 1e30, 1e160, 1e300]


def mlp(n):
    return MLP((3,), out_channels=n, zero_last=False)


BLOCKS = {
    "actnorm": ActNorm,
    "additive": lambda: AdditiveCoupling(conditioner=mlp),
    "affine": lambda: AffineCoupling(conditioner=mlp),
    "sigmoid": lambda: AffineCoupling(conditioner=mlp, scale=SigmoidScale(low=0.5)),
    "unbounded": lambda: AffineCoupling(conditioner=mlp, scale=ExpScale(None)),
    "two-sided": lambda: TwoSidedCoupling(conditioner=mlp),
    "linear": lambda: InvertibleLinear(parametrization="plu"),
    "maf": lambda: MaskedAutoregressive(conditioner=MaskedMLP(hidden=(4,), zero_last=False)),
    "iaf": lambda: MaskedAutoregressive(conditioner=MaskedMLP(hidden=(4,), zero_last=False), reads="latent"),
    "residual": lambda: ResidualBlock(network=LipschitzMLP((4,))),
    "bi-lipschitz": lambda: BiLipschitz(0.2, 5.0, hidden=4),
    "continuous": lambda: ContinuousBlock(dynamics=mlp),
    "repeat": lambda: Repeat(lambda: Chain([ActNorm(), AffineCoupling(conditioner=mlp), Permutation.reverse()]), 3),
    "chain": lambda: Chain(
        [ActNorm(), AffineCoupling(conditioner=mlp), Chain([Rescale(1e-200), AffineCoupling(conditioner=mlp)])]
    ),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_no_weights_and_no_box_raise(name):
    block = BLOCKS[name]().ensure_built((3,))
    first = block.get_weights()
    for size in (1.0, 1e4, 1e18, 1e38, np.inf, np.nan):
        with np.errstate(over="ignore", invalid="ignore"):
            block.set_weights([(w if w.dtype.kind in "iu" else w * np.float32(size)) for w in first])
        for domain in (None, (-4.0, 4.0), (990.0, 1010.0), (-1e300, 1e300), (-np.inf, np.inf)):
            certificate = certify(block, domain)
            for row in certificate.rows:
                assert not math.isnan(row.bounds.condition_number)
                assert row.bounds.reason or max(row.bounds) < math.inf, row
                assert "low <= high" not in row.bounds.reason


def test_the_norm_of_a_coupling_by_hypotenuses():
    for m in SIZES:
        for c in SIZES:
            bound = lower_triangular_norm(m, c)
            assert max(m, c, 1.0) <= bound * (1 + 1e-12) and bound <= max(m + c + 1, 1.0) * (1 + 1e-12)
            if max(m, c) < 1e100:
                assert bound == pytest.approx(np.linalg.norm([[1, 0], [m, c]], 2), rel=1e-12)
    assert lower_triangular_norm(1.7e308, 1.7e308) == math.inf


def test_products_never_vanish_and_say_when_they_overflow():
    small, large = LipschitzBounds(1e-200, 1e200), LipschitzBounds(1e-200, 1e200)
    both = small.then(large)
    assert both.forward > 0 and math.isinf(both.inverse) and "beyond float range" in both.reason
    assert math.isinf(LipschitzBounds(0.0, math.inf).condition_number)
    assert "not finite" in LipschitzBounds(math.nan, 1.0).reason and math.isinf(LipschitzBounds(math.nan, 1.0).forward)
    assert ExpScale(1e4).high == math.inf


def test_a_linear_map_that_is_singular_to_rounding_has_no_bound():
    block = InvertibleLinear(parametrization="dense").ensure_built((3,))
    block.matrix.assign(np.ones((3, 3), "f4"))
    assert "singular" in block.lipschitz_bounds().reason and math.isinf(block.lipschitz_bounds().inverse)


def test_a_box_that_nothing_holds_is_not_an_error_of_the_domain():
    chain = Chain([Rescale(1e300), Rescale(1e300), AffineCoupling(conditioner=mlp), Logit()]).ensure_built((3,))
    rows = certify(chain, (-1.0, 1e10)).rows
    assert "no finite box" in rows[3].bounds.reason and math.isinf(rows[0].bounds.forward)
    with pytest.raises(ValueError, match="low <= high"):
        certify(chain, (1.0, 0.0))
    with pytest.raises(ValueError, match="broadcasts to one event"):
        certify(chain, (np.zeros(7), np.ones(7)))


def test_a_box_keeps_what_its_centre_loses_in_float32():
    norm, low, high = ActNorm(), 1e6, 1e6 + 0.0625  # both ends are numbers of float32, the middle is none
    norm.ensure_built((1,))
    norm.shift.assign([-1e6])
    norm.raw_log_scale.assign([5.0])
    box = norm.image_box((low, high))
    for end in (low, high):
        z = norm.forward_and_log_det(np.array([[end]], "float32"))[0].numpy()[0]
        assert box[0] <= z <= box[1]
    chain = Chain([norm, Asinh()]).ensure_built((1,))
    z = chain.forward_and_log_det(np.array([[high]], "float32"))[0].numpy()[0, 0]
    assert chain.lipschitz_bounds((low, high)).inverse >= np.cosh(z) / np.exp(5.0) * 0.999
