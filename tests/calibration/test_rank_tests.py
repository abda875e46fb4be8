"""Ranks, bands and p-values against loops and against what they promise: the level, and the power."""

import numpy as np
import pytest
import scipy

from inntf.calibration import energy_coverage, expected_coverage, sbc_ranks, sbc_test, tarp
from inntf.calibration.ecdf_bands import rank_points
from inntf.calibration.pools import pool_ranks
from inntf.calibration.rank_test import anderson_darling


def simulate(seed, number, n_samples, *, wide=1.0, shift=0.0, counts=False):
    """Dependent parameters, posteriors with means of their own; with `counts` the second one is an integer."""
    rng = np.random.default_rng(seed)
    mix = np.array([[1.0, 0.0], [0.8, 0.6]])
    mean, draws = 3 * rng.normal(size=(number, 1, 2)), rng.normal(size=(number, 1 + n_samples, 2)) @ mix.T
    truth, samples = (mean + draws[:, :1])[:, 0], mean + shift + wide * draws[:, 1:]
    if counts:
        truth[:, 1], samples[..., 1] = np.round(truth[:, 1]), np.round(samples[..., 1])
    return samples, truth


def by_density(samples, truth, **kwargs):
    """Coverage by the density of a standard normal at the origin: any function of the parameters keeps the level."""
    return expected_coverage(
        samples, truth, log_prob_samples=-(samples**2).sum(-1), log_prob_truth=-(truth**2).sum(-1), **kwargs
    )


TESTS = {"sbc": sbc_test, "coverage": expected_coverage, "density": by_density, "tarp": tarp, "energy": energy_coverage}


def test_ranks_count_the_samples_below():
    samples, truth = simulate(0, 20, 13)
    assert (sbc_ranks(samples, truth) == (samples < truth[:, None]).sum(1)).all()


def test_ties_are_broken_at_random_and_every_rank_is_there_once():
    scores = np.random.default_rng(0).integers(0, 3, size=(2000, 4, 2))
    ranks = pool_ranks(scores, np.random.default_rng(1))
    assert (np.sort(ranks, 1) == np.arange(4)[None, :, None]).all()
    higher = scores[:, :, None] > scores[:, None]
    assert ((ranks[:, :, None] > ranks[:, None]) | ~higher).all()
    counts = np.bincount(pool_ranks(np.zeros((8000, 4, 1)), np.random.default_rng(2))[:, 0, 0])
    assert scipy.stats.chisquare(counts).pvalue > 0.01
    constant = sbc_ranks(np.zeros((4000, 9, 1)), np.zeros((4000, 1)))
    assert scipy.stats.chisquare(np.bincount(constant[:, 0], minlength=10)).pvalue > 0.01


def test_the_statistic_is_the_sum_it_says():
    ranks = np.random.default_rng(0).integers(0, 8, size=(3, 11, 2))
    points = np.array([2, 5])
    values, counts = anderson_darling(ranks, 8, points)
    for draw in range(3):
        for curve in range(2):
            r = ranks[draw, :, curve]
            u = [(k + 1) / 8 for k in range(7)]
            terms = [(np.mean(r <= k) - u[k]) ** 2 / (u[k] * (1 - u[k])) for k in range(7)]
            np.testing.assert_allclose(values[draw, curve], 11 / 8 * sum(terms))
            assert counts[draw, :, curve].tolist() == [(r < p).sum() for p in points]


def test_many_samples_give_the_statistic_of_anderson_and_darling():
    """Against the classical sum over order statistics, in the limit of continuous ranks."""
    members, number = 100_001, 50
    ranks = np.random.default_rng(0).integers(0, members, size=number)
    u = np.sort((ranks + 0.5) / members)
    i = np.arange(1, number + 1)
    classical = -number - np.mean((2 * i - 1) * (np.log(u) + np.log1p(-u[::-1])))
    np.testing.assert_allclose(anderson_darling(ranks[None, :, None], members, np.array([1]))[0], classical, rtol=1e-3)


@pytest.mark.parametrize("members", [2, 3, 50, 100, 101, 102, 1001])
def test_points_lie_between_the_ranks(members):
    points = rank_points(members)
    assert points[0] >= 1 and points[-1] <= members - 1 and len(points) == min(members - 1, 100)


@pytest.mark.parametrize("name", TESTS)
def test_few_simulations_and_samples_keep_the_level(name):
    """Exactly, whatever the dependence and the ties: 30 simulations, 5 samples, an integer among the parameters."""
    p = np.array([TESTS[name](*simulate([1, s], 30, 5, counts=True), seed=s, draws=99).p_value for s in range(300)])
    assert 0.02 <= np.mean(p <= 0.05) <= 0.085
    assert 0.4 <= np.mean(p <= 0.5) <= 0.6


@pytest.mark.parametrize("name", ["sbc", "coverage", "density", "tarp"])
@pytest.mark.parametrize("wrong", [{"wide": 1.25}, {"wide": 0.8}, {"shift": 0.5}, {"wide": 1.5}])
def test_wrong_posteriors_are_seen(name, wrong):
    samples, truth = simulate(1, 500, 50, **wrong)
    kwargs = {"seed": 3, "draws": 999}
    if name == "density":  # of the posterior itself
        mean = samples.mean(1, keepdims=True)
        inverse = np.linalg.inv(np.array([[1.0, 0.8], [0.8, 1.0]]))

        def log_prob(x):
            return -np.einsum("nsi,ij,nsj->ns", x - mean, inverse, x - mean)

        kwargs |= {"log_prob_samples": log_prob(samples), "log_prob_truth": log_prob(truth[:, None])[:, 0]}
        found = expected_coverage(samples, truth, **kwargs)
    else:
        found = TESTS[name](samples, truth, **kwargs)
    assert found.p_value <= 0.02
    outside = (found.ecdf < found.lower[:, None]) | (found.ecdf > found.upper[:, None])
    assert outside.any()


def test_a_wide_posterior_covers_too_much_and_a_narrow_one_too_little():
    for wide, sign in ((1.5, 1), (0.67, -1)):
        found = expected_coverage(*simulate(1, 400, 99, wide=wide), draws=99)
        assert found.labels == ("x1 central", "x2 central", "x1 one-sided", "x2 one-sided")
        assert (sign * (found.ecdf[40, :2] - found.points[40]) > 0.05).all()
        assert found.p_values[:2].max() <= 0.02
        by_energy = energy_coverage(*simulate(1, 400, 99, wide=wide), draws=99)
        assert sign * (by_energy.ecdf[40, 0] - by_energy.points[40]) > 0.05 and by_energy.p_value == 0.01


def test_the_band_holds_all_curves_with_its_probability():
    """Fresh curves of other simulations, two dependent parameters."""
    band = sbc_test(*simulate(1, 100, 20), draws=1999, level=0.8)
    assert band.lower.shape == band.points.shape == (20,) and band.ecdf.shape == (20, 2)
    inside = []
    for s in range(300):
        ranks = sbc_ranks(*simulate([2, s], 100, 20))
        ecdf = (ranks[None] < np.arange(1, 21)[:, None, None]).mean(1)
        inside.append((ecdf >= band.lower[:, None]).all() and (ecdf <= band.upper[:, None]).all())
    assert 0.74 <= np.mean(inside) <= 0.86


def test_a_curve_is_the_share_of_truths_in_the_region():
    samples, truth = simulate(1, 50, 19)
    found = tarp(samples, truth, references=[[5.0, 0.0]], draws=19)
    deviation = np.concatenate([truth[:, None], samples], 1).std((0, 1))
    distance = np.linalg.norm((samples - [5.0, 0.0]) / deviation, axis=-1)
    of_truth = np.linalg.norm((truth - [5.0, 0.0]) / deviation, axis=-1)
    inside = (distance < of_truth[:, None]).mean(1)
    np.testing.assert_allclose(found.ecdf[:, 0], [(inside <= (p * 20 - 1) / 19 + 1e-9).mean() for p in found.points])


def test_references_of_ones_own():
    samples, truth = simulate(1, 50, 19)
    one, each = np.ones((3, 2)), np.ones((50, 3, 2))
    same, repeated = tarp(samples, truth, references=one, draws=19), tarp(samples, truth, references=each, draws=19)
    assert same.labels == ("reference 1", "reference 2", "reference 3") and same.statistic == repeated.statistic
    with pytest.raises(ValueError, match=r"references of shape \(4, 3, 2\)"):
        tarp(samples, truth, references=each[:4])


def test_a_point_mass_is_rejected_and_the_seed_decides_alone():
    samples, truth = simulate(1, 60, 10)
    for name, test in TESTS.items():
        assert test(np.repeat(samples[:, :1], 10, 1), truth, draws=99).p_value == 0.01, name
        assert test(samples, truth, seed=5, draws=99).p_value == test(samples, truth, seed=5, draws=99).p_value


def test_the_ranks_by_energy_are_those_of_pted():
    """Simulation by simulation: the share of its permutations with a smaller energy distance."""
    pted = pytest.importorskip("pted")
    samples, truth = simulate(1, 40, 30)
    found = energy_coverage(samples, truth, draws=19)
    deviation = np.concatenate([truth[:, None], samples], 1).std((0, 1))
    swapped = (samples / deviation).swapaxes(0, 1)
    given, permuted, _ = pted.pted_coverage_test(truth / deviation, swapped, permutations=31, return_all=True, rng=0)
    np.testing.assert_array_equal(found.ranks[:, 0], (permuted < given[:, None] - 1e-9).sum(1))


def broken(samples, truth):
    densities = samples[..., 0].copy()
    densities[0, :2] = np.nan
    return expected_coverage(samples, truth, log_prob_samples=densities, log_prob_truth=truth[:, 0])


@pytest.mark.parametrize(
    ("words", "call"),
    [
        ("sbc_test: received samples of shape", lambda s, t: sbc_test(s[0], t)),
        ("tarp: received samples of shape", lambda s, t: tarp(s, t[:4])),
        ("1 samples that are NaN", lambda s, t: sbc_ranks(np.where(np.arange(s.size).reshape(s.shape) == 3, np.nan, s), t)),
        ("true parameters that are NaN", lambda s, t: expected_coverage(s, t * np.inf)),
        ("log_prob_samples alone", lambda s, t: expected_coverage(s, t, log_prob_samples=s[..., 0])),
        ("log densities of shapes", lambda s, t: expected_coverage(s, t, log_prob_samples=s[..., 0], log_prob_truth=t)),
        ("2 log densities", broken),
        ("draws=5", lambda s, t: sbc_test(s, t, draws=5)),
        ("n_references=0", lambda s, t: tarp(s, t, n_references=0)),
    ],
)
def test_bad_input_is_named(words, call):
    with pytest.raises(ValueError, match=words):
        call(*simulate(0, 10, 7))


@pytest.mark.parametrize("offset", [0.0, 1e6, 1126259462.4])
def test_tarp_sees_what_is_too_wide_wherever_it_lies(offset):
    rng = np.random.default_rng(0)
    mean = rng.normal(size=(300, 1, 2))
    truth, samples = mean[:, 0] + rng.normal(size=(300, 2)), mean + 1.6 * rng.normal(size=(300, 99, 2))
    assert tarp(offset + 0.003 * samples, offset + 0.003 * truth).p_value < 0.01
