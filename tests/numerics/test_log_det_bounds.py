"""What is certain from a Lipschitz constant: attained by the worst case, never exceeded by others."""

import math

import numpy as np
import pytest

from inntf.numerics import log_det_interval, truncation_bound


def truncated(matrix, terms):
    powers, total = np.eye(len(matrix)), 0.0
    for k in range(1, terms + 1):
        powers = powers @ matrix
        total += (-1) ** (k + 1) / k * np.trace(powers)
    return total


@pytest.mark.parametrize(
    ("lipschitz", "bits"), [(0.5, (0.279, 6.6e-3, 1.2e-4)), (0.729, (0.832, 0.101, 1.25e-2)), (0.9, (2.02, 0.682, 0.265))]
)
def test_published_size(lipschitz, bits):
    found = [truncation_bound(lipschitz, terms, dim=1) / math.log(2) for terms in (1, 5, 10)]
    np.testing.assert_allclose(found, bits, rtol=0.03)


@pytest.mark.parametrize("lipschitz", [0.1, 0.7, 0.99])
def test_worst_case_attains_both(lipschitz):
    dim = 3
    worst = -lipschitz * np.eye(dim)
    exact = np.linalg.slogdet(np.eye(dim) + worst)[1]
    for terms in (0, 1, 2, 10, 40):
        miss = abs(exact - truncated(worst, terms))
        assert truncation_bound(lipschitz, terms, dim) == pytest.approx(miss, rel=1e-9, abs=1e-13)
    low, high = log_det_interval(lipschitz, dim)
    assert low == pytest.approx(exact)
    assert high == pytest.approx(np.linalg.slogdet(np.eye(dim) - worst)[1])


def test_hold_for_random_matrices():
    rng = np.random.default_rng(0)
    for dim in (2, 5, 16):
        for lipschitz in (0.3, 0.8, 0.95):
            matrix = rng.normal(size=(dim, dim)) - rng.uniform(0, 2) * np.eye(dim)
            matrix *= lipschitz / np.linalg.norm(matrix, 2)
            exact = np.linalg.slogdet(np.eye(dim) + matrix)[1]
            low, high = log_det_interval(lipschitz, dim)
            assert low <= exact <= high
            bounds = [truncation_bound(lipschitz, terms, dim) for terms in range(1, 21)]
            assert np.all(np.diff(bounds) < 0)
            for terms, bound in enumerate(bounds, 1):
                assert abs(truncated(matrix, terms) - exact) <= bound + 1e-12


def test_ends():
    assert truncation_bound(0.0, 3, dim=2) == 0.0
    assert log_det_interval(0.0, dim=2) == (0.0, 0.0)
    assert truncation_bound(1e-6, 3, dim=1) == pytest.approx(2.5e-25, rel=1e-5)  # L^4 / 4: no cancellation
    for function in (lambda lip, dim: truncation_bound(lip, 1, dim), log_det_interval):
        with pytest.raises(ValueError, match="lipschitz=1"):
            function(1, 2)
        with pytest.raises(ValueError, match="dim=0"):
            function(0.5, 0)
    with pytest.raises(ValueError, match="terms=-1"):
        truncation_bound(0.5, -1, 2)
