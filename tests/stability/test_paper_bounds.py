"""The paper's formulas: true of what is measured, never below ours where both speak of the same block."""

import math

import keras
import numpy as np
import pytest

from inntf.blocks import (
    ActNorm,
    AdditiveCoupling,
    AffineCoupling,
    ContinuousBlock,
    InvertibleConv1x1,
    Permutation,
    ResidualBlock,
    SplineCoupling,
    Squeeze,
)
from inntf.compose import Chain, Repeat
from inntf.nets import MLP, LipschitzMLP, certify_norms
from inntf.numerics import SigmoidScale
from inntf.stability import certify, singular_values
from inntf.stability.paper_bounds import norms_multiplied, paper_bounds


def network(channels):
    return MLP((8, 8), out_channels=channels, zero_last=False)


def norms(layers):
    return math.prod(np.linalg.norm(layer.kernel.numpy(), 2) for layer in layers)


def test_formulas():
    keras.utils.set_random_seed(0)
    additive = AdditiveCoupling(conditioner=network).ensure_built((4,))
    lipschitz = norms(additive.conditioner.layers)
    np.testing.assert_allclose(tuple(paper_bounds(additive)), [1 + lipschitz] * 2, rtol=1e-5)
    assert norms_multiplied(additive.conditioner) == pytest.approx(lipschitz, rel=1e-5)
    residual = ResidualBlock(network=LipschitzMLP((8, 8), coefficient=0.7)).ensure_built((3,))
    certify_norms(residual, rescale=True)
    lipschitz = math.prod(layer.certify() for layer in residual.network.layers)
    np.testing.assert_allclose(tuple(paper_bounds(residual)), (1 + lipschitz, 1 / (1 - lipschitz)), rtol=1e-3)
    flow = ContinuousBlock(dynamics=lambda n: MLP((4,), out_channels=n, zero_last=False)).ensure_built((2,))
    expected = math.exp(norms(flow.dynamics.layers))
    np.testing.assert_allclose(tuple(paper_bounds(flow)), (expected, expected), rtol=1e-5)
    for plain in (Permutation.reverse().ensure_built((4,)), Squeeze().ensure_built((4, 4, 1))):
        assert tuple(paper_bounds(plain)) == (1.0, 1.0)
    for linear in (ActNorm().ensure_built((4,)), InvertibleConv1x1().ensure_built((2, 2, 3))):
        assert tuple(paper_bounds(linear)) == tuple(linear.lipschitz_bounds())
    assert paper_bounds(SplineCoupling(conditioner=network).ensure_built((4,))) is None
    assert paper_bounds(AdditiveCoupling(conditioner=network)) is None


def test_an_affine_coupling_on_a_box():
    keras.utils.set_random_seed(1)
    coupling = AffineCoupling(conditioner=network, scale=SigmoidScale(low=0.5)).ensure_built((4,))
    assert math.isinf(paper_bounds(coupling).forward) and "box" in paper_bounds(coupling).reason
    box = (-1.5, 2.0)
    paper, ours = paper_bounds(coupling, box, coupling.image_box(box)), coupling.lipschitz_bounds(box)
    lipschitz, scale = norms(coupling.conditioner.layers), coupling.scale
    assert paper.forward == pytest.approx(1 + 2.0 * scale.lipschitz * lipschitz + lipschitz, rel=1e-5)
    x = np.random.default_rng(0).uniform(*box, (50, 4)).astype("float32")
    values = singular_values(coupling, x)
    assert np.max(values.largest) <= min(paper.forward, ours.forward) * (1 + 1e-5)
    assert 1 / np.min(values.smallest) <= min(paper.inverse, ours.inverse) * (1 + 1e-5)
    assert paper.forward > ours.forward and paper.inverse > ours.inverse and paper.scope == "local"
    shift = coupling.conditioner(x[:, :2])[:, :2]
    image = np.abs(coupling.forward_and_log_det(x)[0]).max()
    least = 2.0 + (image + np.abs(shift).max()) * 4 * scale.lipschitz * lipschitz + 2 * lipschitz
    assert least * (1 - 1e-5) <= paper.inverse < 20 * least  # the boxes are larger than what is measured


def test_the_table_has_both():
    keras.utils.set_random_seed(2)
    chain = Chain([ActNorm(), AdditiveCoupling(conditioner=network), Permutation.reverse()]).ensure_built((4,))
    found = certify(chain)
    top, _, coupling, _ = found.rows
    assert tuple(top.paper) == tuple(coupling.paper) and top.paper.forward > top.bounds.forward
    header, first, *_ = str(found).splitlines()
    assert "Table 1" in header and f"{top.paper.forward:.4g}" in first
    assert certify(Repeat(lambda: AdditiveCoupling(conditioner=network), 2).ensure_built((4,))).rows[0].paper is not None
    mixed = certify(Chain([ActNorm(), SplineCoupling(conditioner=network)]).ensure_built((4,)))
    assert mixed.rows[0].paper is None and str(mixed).splitlines()[-1].split()[4:6] == ["-", "-"]
