"""Arguments are what their annotations say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from inntf.blocks import ActNorm, AffineCoupling
from inntf.compose import Chain, Repeat


@pytest.mark.parametrize("value", [math.inf, 0.5, 1, np.float32(0.25), None])
def test_a_limit_may_be_infinite(value):
    make = lambda: AffineCoupling()  # noqa: E731
    assert Repeat(make, 2, backprop="reversible", drift_tolerance=value).backprop.drift_tolerance == value
    assert Chain([ActNorm()], backprop="reversible", drift_tolerance=value).backprop.drift_tolerance == value


@pytest.mark.parametrize("value", [math.nan, -math.inf, "inf", True, 1j])
def test_and_is_a_number(value):
    with pytest.raises((ValueError, TypeError), match="drift_tolerance=.*expected a number, or infinity"):
        Chain([ActNorm()], backprop="reversible", drift_tolerance=value)


@pytest.mark.parametrize("value", [math.nan, math.inf, "1", True, [1.0]])
def test_other_numbers_are_finite(value):
    with pytest.raises((ValueError, TypeError), match="ActNorm: received max_log_scale=.*expected a finite number"):
        ActNorm(max_log_scale=value)
