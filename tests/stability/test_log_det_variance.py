"""The report names the blocks whose random log-determinants may have no variance."""

import pytest
import tensorflow as tf

from inntf.blocks import ResidualBlock
from inntf.compose import Chain, Repeat
from inntf.nets import LipschitzMLP, certify_norms
from inntf.numerics import ExactLogDet, Geometric, RussianRoulette
from inntf.stability import stability_report
from inntf.stability.log_det_variance import infinite_variances


def block(log_det, name=None):
    return ResidualBlock(network=LipschitzMLP(()), log_det=log_det, noise="fixed", name=name)


ROULETTE = RussianRoulette(Geometric(0.5))  # finite below a Lipschitz constant of 0.71


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: block(ROULETTE, "unit"), ["unit"]),
        (lambda: Chain([block(ROULETTE, "first"), block(ExactLogDet(), "second")]), ["first"]),
        (lambda: Repeat(lambda: block(ROULETTE), 2), [""]),
        (lambda: block(RussianRoulette(Geometric(0.01))), []),
        (lambda: block(ExactLogDet()), []),
    ],
    ids=["roulette", "chain", "repeat", "lean", "exact"],
)
def test_blocks_are_named(make, named):
    made = make().ensure_built((3,))
    certify_norms(made, rescale=True)  # 0.9
    found = infinite_variances(made)
    assert bool(found) == bool(named)
    for name, sentence in zip(named, found, strict=False):
        assert name in sentence and "p < 0." in sentence


def test_the_report_says_so():
    made = block(ROULETTE, "unit").ensure_built((3,))
    certify_norms(made, rescale=True)
    report = stability_report(made, tf.random.normal([4, 3], seed=1))
    assert "Log-determinant of unit: RussianRoulette" in str(report) and len(report["log_det_variance"]) == 1
