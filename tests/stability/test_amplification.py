"""Attack <= truth <= certificate, on maps whose slope is known, and on trained-like couplings."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from inntf.blocks import AffineCoupling
from inntf.compose import Chain
from inntf.nets import MLP
from inntf.stability import Amplification, amplification
from tests.stability.tiny_blocks import Linear


def test_a_linear_map_has_one_slope():
    block = Linear([4.0, 1.0, 0.25]).ensure_built((3,))
    found = amplification(block, np.random.default_rng(0).normal(size=(5, 3)), radius=1e-2, points=2, steps=2)
    np.testing.assert_allclose(found.sampled, 4.0, rtol=1e-6)
    np.testing.assert_allclose(found.certified, 4.0, rtol=1e-6)
    measured = found.attacked[np.isfinite(found.attacked)]
    assert len(measured) >= 3 and (measured >= 0.25 * (1 - 1e-6)).all() and (measured <= 4 * (1 + 1e-6)).all()
    assert found.ordered.all() and found.radius.tolist() == [1e-2] * 5


def test_couplings_and_the_picture():
    block = Chain([AffineCoupling(conditioner=MLP((8,))) for _ in range(2)]).ensure_built((4,))
    rng = np.random.default_rng(0)
    block.set_weights([w + 0.3 * rng.normal(size=w.shape).astype(w.dtype) for w in block.get_weights()])
    found = amplification(block, rng.normal(size=(3, 4)), radius=1e-3, points=3, steps=2)
    assert found.ordered.all() and (found.sampled > 1).all() and (found.certified < 1.5 * found.sampled).all()
    axes = Figure().subplots()
    found.draw(axes)
    assert axes.get_yscale() == "log" and [t.get_text() for t in axes.get_legend().get_texts()][-1] == "attack"
    wrong = Amplification(found.radius, found.attacked, 2 * found.certified, found.certified)
    assert not wrong.ordered.any()
    axes = Figure().subplots()
    wrong.draw(axes)
    assert "violated" in [t.get_text() for t in axes.get_legend().get_texts()]


def test_refusals():
    with pytest.raises(ValueError, match="one that rounds"):
        amplification(Linear([1.0, 2.0], dtype="float64").ensure_built((2,)), np.zeros((1, 2)), radius=0.1)
    with pytest.raises(ValueError, match="positive"):
        amplification(Linear([1.0, 2.0]).ensure_built((2,)), np.zeros((1, 2)), radius=0.0)
