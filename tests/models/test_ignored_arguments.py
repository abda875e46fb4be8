"""Arguments of factories that would change nothing are refused."""

import pytest

from inntf.blocks import AdditiveCoupling
from inntf.models import glow, real_nvp
from inntf.numerics import ExpScale

NVP = {"event_shape": 4, "depth": 1, "hidden": (4,)}
GLOW = {"event_shape": (4, 4, 1), "levels": 1, "depth": 1, "hidden": 4}


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: real_nvp(**NVP, additive=True, scale=ExpScale(1.0)), "real_nvp: received additive=True and scale="),
        (lambda: glow(**GLOW, additive=True, scale=ExpScale(1.0)), "glow: received additive=True and scale="),
        (lambda: glow(**GLOW, actnorm=False, max_log_scale=1.0), "glow: received actnorm=False and max_log_scale=1.0"),
    ],
    ids=range(3),
)
def test_what_would_be_ignored_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_what_is_not_is_taken():
    assert isinstance(real_nvp(**NVP, additive=True, repeat=False).block.blocks[0].blocks[-1], AdditiveCoupling)
    assert glow(**GLOW, max_log_scale=1.0).block.built
    net = real_nvp(**NVP, heavy_tails=False, repeat=False).block.blocks[0].blocks[-1].conditioner
    assert net.input_bound is None and net.bounded_inputs is None
