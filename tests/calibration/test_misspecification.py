"""Observations unlike the simulations are flagged, and others no more often than by chance."""

import numpy as np
import pytest

from inntf.calibration import energy_two_sample, misspecification
from inntf.numerics import mmd_test


def ring(rng, number):
    """A cloud with nothing in its middle."""
    angle = rng.uniform(0, 2 * np.pi, number)
    return np.stack([np.cos(angle), np.sin(angle)], 1) * rng.normal(1, 0.05, (number, 1)) * [1, 1000]


@pytest.mark.parametrize("distance", ["nearest", "mahalanobis"])
def test_the_level_is_exact_for_few_simulations(distance):
    rng = np.random.default_rng(0)
    p = np.concatenate(
        [misspecification(ring(rng, 5), ring(rng, 40), distance=distance, level=0.1).p_values for _ in range(400)]
    )
    assert 0.07 <= np.mean(p <= 2 / 21 + 1e-9) <= 0.13  # 20 are ranked: p-values are multiples of 1/21
    assert p.min() >= 1 / 21


def test_a_hole_is_seen_by_neighbours_and_far_points_by_both():
    simulated = ring(np.random.default_rng(0), 1000)
    middle, far, inside = [0.0, 0.0], [3.0, 0.0], [0.6, 800.0]
    nearest = misspecification([middle, far, inside], simulated)
    assert nearest.flags.tolist() == [True, True, False]
    assert misspecification([middle, far, inside], simulated, distance="mahalanobis").flags.tolist() == [False, True, False]
    assert nearest.p_value == pytest.approx(3 * nearest.p_values.min())


def test_covariance_counts_for_mahalanobis():
    simulated = np.random.default_rng(0).normal(size=(1000, 2)) @ [[1.0, 0.99], [0.0, 0.1]]
    found = misspecification([[1.5, -1.5], [1.5, 1.5]], simulated, distance="mahalanobis")
    assert found.flags.tolist() == [True, False]


@pytest.mark.parametrize("distance", ["nearest", "mahalanobis"])
def test_an_entry_that_never_changes_is_seen_where_it_does(distance):
    simulated = np.random.default_rng(0).normal(size=(400, 2)) * [1, 0] + [0, 7]
    found = misspecification([[0.0, 7.0], [0.0, 7.001]], simulated, distance=distance)
    assert found.flags.tolist() == [False, True] and np.isinf(found.distances[1])


def test_leaving_the_plane_of_the_simulations_is_seen():
    rng = np.random.default_rng(0)
    shares = rng.dirichlet([2.0, 3.0, 4.0], 2000)  # they sum to one
    for distance in ("nearest", "mahalanobis"):
        found = misspecification([[0.9, 0.9, 0.9], [0.2, 0.3, 0.5]], shares, distance=distance)
        assert found.p_values[0] < 0.01 < found.p_values[1]
    rounded = rng.dirichlet([2.0, 3.0, 4.0], 400).astype("float32")
    assert np.mean(misspecification(rounded, shares, distance="mahalanobis").p_values <= 0.05) < 0.12
    inside = [misspecification(rng.dirichlet([2.0, 3.0, 4.0], 50), shares, distance="mahalanobis").p_values for _ in range(8)]
    assert 0.01 <= np.mean(np.concatenate(inside) <= 0.05) <= 0.1


def test_fewer_simulations_than_entries_rank_by_what_they_span():
    rng = np.random.default_rng(0)
    simulated = rng.normal(size=(220, 150))
    far = 100 * rng.normal(size=(1, 150))
    assert misspecification(far, simulated, distance="mahalanobis").p_values[0] < 0.01


def test_what_does_not_fit_is_named():
    x = np.zeros((300, 2))
    with pytest.raises(ValueError, match="distance='cosine'"):
        misspecification(x, x, distance="cosine")
    with pytest.raises(ValueError, match="100 simulations, expected at least 198"):
        misspecification(x, x[:100])
    with pytest.raises(ValueError, match="observed of shape"):
        misspecification(x[0], x)
    with pytest.raises(ValueError, match="level=2"):
        misspecification(x, x, level=2)


def test_pted_and_the_kernel_test_agree_on_two_samples():
    pytest.importorskip("pted")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 100, 3))
    for shift, accepted in ((0.0, True), (0.7, False)):
        assert (energy_two_sample(x, y + shift) > 0.01) == accepted == (mmd_test(x, y + shift).p_value > 0.01)
