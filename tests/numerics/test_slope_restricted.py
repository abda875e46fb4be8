"""Bounds of networks with slopes in a range: above every choice of slopes, below the product of norms, whatever the numbers."""

import fractions
import itertools
import math

import numpy as np
import pytest

from inntf.numerics.norms.loewner_bounds import Bounded, inverse_form, is_positive, largest_eigenvalue, product
from inntf.numerics.norms.loop_transformed import loop_transformed_norm
from inntf.numerics.norms.slope_multipliers import Stage, find_multipliers
from inntf.numerics.norms.slope_restricted import slope_restricted_norm

RANGES = [(0, 1), (0.2, 1), (-0.1, 1.1), (-1, 1), (0.999, 1), (1, 1), (-3, 0.5), (0, 0.25), (-1e-9, 2), (-1, -0.5)]


def by_choice(kernels, slopes, rng, starts=3, sweeps=6):
    """The largest norm found by choosing slopes one layer after the other: a number that no bound may lie below."""
    weights, best = [k.T for k in kernels], 0.0
    for _ in range(starts):
        chosen = [np.where(rng.random(len(w)) < rng.random(), *ends) for w, ends in zip(weights, slopes, strict=False)]
        for _ in range(sweeps):
            jacobian = weights[0]
            for d, w in zip(chosen, weights[1:], strict=True):
                jacobian = w @ (d[:, None] * jacobian)
            u, s, v = np.linalg.svd(jacobian)
            best, ahead, seen = max(best, s[0]), v[0], []
            for d, w in zip(chosen, weights, strict=False):
                seen.append(w @ ahead)
                ahead = d * seen[-1]
            back = u[:, 0]
            for i in reversed(range(len(chosen))):
                back = weights[i + 1].T @ back
                chosen[i] = np.where(back * seen[i] > 0, slopes[i][1], slopes[i][0])
                back = back * chosen[i]
    return best


def norms(kernels, slopes):
    return math.prod(np.linalg.norm(k, 2) for k in kernels) * math.prod(max(map(abs, ends)) for ends in slopes)


def awkward(rng):
    """Kernels of any shape and scale, with zeros, of rank one, with rows of very different size; and slopes."""
    sizes = rng.integers(1, 9, rng.integers(3, 6))
    kernels = [rng.normal(size=s) * 10.0 ** rng.integers(-6, 6) for s in itertools.pairwise(sizes)]
    for k in kernels:
        what = rng.random(3)
        if what[0] < 0.3:
            k[rng.random(k.shape) < 0.6] = 0
        if what[1] < 0.2:
            k[:] = np.outer(k[:, 0], k[0])
        if what[2] < 0.2:
            k *= 10.0 ** rng.integers(-12, 12, k.shape[1])
    return kernels, [RANGES[i] for i in rng.integers(0, len(RANGES), len(kernels) - 1)]


@pytest.mark.parametrize("seed", [*range(6), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(6, 60))])
def test_no_choice_of_slopes_is_above_the_bound(seed):
    rng = np.random.default_rng(seed)
    for _ in range(25):
        kernels, slopes = awkward(rng)
        bound, found = slope_restricted_norm(kernels, slopes), by_choice(kernels, slopes, rng)
        assert found <= bound * (1 + 1e-12)
        assert bound <= norms(kernels, slopes) * (1.02 + 1e-9)
        middles = [(low + high) / 2 for low, high in slopes]
        halves = [(high - low) / 2 for low, high in slopes]
        assert found <= loop_transformed_norm([k.T for k in kernels], middles, halves) * (1 + 1e-12)


@pytest.mark.parametrize(
    ("sizes", "share"), [([2, 64, 64, 2], 0.6), ([16, 64, 64, 32], 0.6), ([8, 48, 48, 48, 48, 48, 8], 0.4)]
)
@pytest.mark.parametrize("slopes", [(0.0, 1.0), (-0.0907, 1.0)])
def test_share_of_the_product(sizes, share, slopes):
    rng, shares = np.random.default_rng(0), []
    for _ in range(3):
        kernels = [rng.normal(size=s) * math.sqrt(2 / s[0]) for s in itertools.pairwise(sizes)]
        ranges = [slopes] * (len(kernels) - 1)
        shares.append(slope_restricted_norm(kernels, ranges) / norms(kernels, ranges))
    assert np.median(shares) <= share


def test_cases_with_a_known_answer():
    rng = np.random.default_rng(0)
    absolute = [np.array([[1.0, -1.0]]), np.array([[1.0], [1.0]])]
    assert slope_restricted_norm(absolute, [(0.0, 1.0)]) == pytest.approx(1.0, rel=1e-6)  # the product says 2
    diagonal = [np.diag([3.0, 1.0]), np.diag([1.0, 4.0])]
    assert slope_restricted_norm(diagonal, [(-0.5, 1.0)]) == pytest.approx(4.0, rel=1e-2)  # the product says 12
    a, b, c = (rng.normal(size=(5, 5)) for _ in range(3))
    whole = np.linalg.norm(a @ b @ c, 2)
    assert slope_restricted_norm([a, b, c], [(1.0, 1.0)] * 2) == pytest.approx(whole, rel=1e-5)
    assert slope_restricted_norm([a, b, c], [(-2.0, -2.0)] * 2) == pytest.approx(4 * whole, rel=1e-5)
    assert slope_restricted_norm([a], []) == pytest.approx(np.linalg.norm(a, 2), rel=1e-9)


def test_what_is_dead_does_not_count():
    rng = np.random.default_rng(1)
    kernels = [rng.normal(size=(3, 8)), rng.normal(size=(8, 8)), rng.normal(size=(8, 2))]
    expected = slope_restricted_norm(kernels, [(0.0, 1.0)] * 2)
    larger = [np.pad(kernels[0], [(0, 0), (0, 2)]), np.pad(kernels[1], [(0, 2), (0, 2)]), np.pad(kernels[2], [(0, 2), (0, 0)])]
    larger[0][:, 8] = larger[1][9, :8] = 1e6  # seen by nobody; sees nobody
    assert slope_restricted_norm(larger, [(0.0, 1.0)] * 2) == pytest.approx(expected, rel=1e-6)
    assert slope_restricted_norm([np.zeros([3, 4]), np.ones([4, 2])], [(0.0, 1.0)]) == 0.0
    assert slope_restricted_norm([np.ones([3, 4]), np.ones([4, 2])], [(0.0, 0.0)]) == 0.0
    assert slope_restricted_norm([np.ones([3, 0]), np.ones([0, 2])], [(0.0, 1.0)]) == 0.0


@pytest.mark.parametrize("exponent", [-900, -300, 300, 900])
def test_the_edges_of_float_range(exponent):
    rng = np.random.default_rng(2)
    kernels = [rng.normal(size=(3, 6)), rng.normal(size=(6, 6)), rng.normal(size=(6, 2))]
    slopes = [(0.0, 1.0)] * 2
    plain = slope_restricted_norm(kernels, slopes)
    scaled = [np.ldexp(kernels[0], exponent), kernels[1], np.ldexp(kernels[2], -exponent)]
    assert slope_restricted_norm(scaled, slopes) == pytest.approx(plain, rel=1e-9)
    assert slope_restricted_norm(kernels, [(0.0, 2.0**exponent), (0.0, 2.0**-exponent)]) == pytest.approx(plain, rel=1e-9)
    far = slope_restricted_norm([np.ldexp(kernels[0], exponent), np.ldexp(kernels[1], exponent), kernels[2]], slopes)
    assert far == math.inf if exponent == 900 else far > 0
    for bad in (math.nan, math.inf):
        assert slope_restricted_norm([np.full([2, 2], bad), np.eye(2)], [(0.0, 1.0)]) == math.inf


def test_too_wide_a_network_has_no_such_bound():
    assert slope_restricted_norm([np.ones([1, 3000]), np.ones([3000, 3000]), np.ones([3000, 1])], [(0.0, 1.0)] * 2) == math.inf
    wide = [np.ones([2, 900]), np.ones([900, 2])]  # but few inputs and outputs cost little
    assert slope_restricted_norm(wide, [(0.0, 1.0)]) <= 1800 * (1 + 1e-6)


def test_inverse_forms_hold_in_exact_arithmetic():
    rng = np.random.default_rng(3)
    for _ in range(20):
        a = rng.normal(size=(2, 2))
        s, z = a @ a.T + 10.0 ** rng.integers(-5, 1) * np.eye(2), rng.normal(size=(2, 2))
        s = (s + s.T) / 2
        form = inverse_form(Bounded(s, 0.0), Bounded(z, 0.0))
        if form is None:
            continue
        f = np.vectorize(fractions.Fraction)
        s, z, bound = f(s), f(z), f(form.matrix) + fractions.Fraction(form.slack) * f(np.eye(2))
        adjugate = np.array([[s[1, 1], -s[0, 1]], [-s[1, 0], s[0, 0]]])
        left = bound - z.T.dot(adjugate).dot(z) / (s[0, 0] * s[1, 1] - s[0, 1] * s[1, 0])
        assert left[0, 0] >= 0 and left[1, 1] >= 0 and left[0, 0] * left[1, 1] >= left[0, 1] * left[1, 0]
        assert form.slack < 1e-6 * max(1.0, np.abs(form.matrix).max())
    assert inverse_form(Bounded(np.diag([1.0, -1e-9]), 0.0), Bounded(np.eye(2), 0.0)) is None


def test_eigenvalues_and_products_from_above():
    rng = np.random.default_rng(4)
    a = rng.normal(size=(6, 4))
    gram = product(a, a.T)
    exact = np.array(
        [[sum(fractions.Fraction(x) * fractions.Fraction(y) for x, y in zip(r, c, strict=True)) for c in a] for r in a]
    )
    error = math.sqrt(sum(float(e) ** 2 for e in (exact - np.vectorize(fractions.Fraction)(gram.matrix)).ravel()))
    assert 0 < error <= gram.slack < 1e-12 * np.linalg.norm(gram.matrix)
    top = largest_eigenvalue(gram)
    assert np.linalg.norm(a, 2) ** 2 * (1 - 1e-14) <= top <= np.linalg.norm(a, 2) ** 2 * (1 + 1e-11)
    assert largest_eigenvalue(Bounded(np.zeros([3, 3]), 0.25)) >= 0.25
    assert not is_positive(np.array([[1.0, 1.0], [1.0, 1.0 - 1e-15]]), 0.0)
    assert not is_positive(np.full([2, 2], np.nan), 0.0)


def test_multipliers_get_better_with_every_evaluation():
    rng = np.random.default_rng(5)
    weights = [rng.normal(size=s) for s in [(24, 4), (24, 24), (24, 24), (3, 24)]]
    stages = [Stage(w, 0.5, 0.5) for w in weights[1:]]

    def top(multipliers):
        k = weights[0] @ weights[0].T
        for stage, t in zip(stages, multipliers, strict=True):
            p = np.diag(t) + 0.25 * np.linalg.inv(np.linalg.inv(k + 1e-9 * np.eye(len(k))) - 0.25 * np.diag(1 / t))
            k = stage.weight @ p @ stage.weight.T
        return np.linalg.eigvalsh(k)[-1]

    start, some, more = (top(find_multipliers(weights[0], stages, n)) for n in (0, 4, 16))
    assert more < 0.99 * some < 0.95 * start


def test_a_bound_above_the_known_one_is_not_computed():
    weights = [np.eye(3), np.eye(3)]
    assert loop_transformed_norm(weights, [0.5], [0.5], unless_above=0.9) == math.inf
    assert loop_transformed_norm(weights, [0.5], [0.5], unless_above=1.1) == pytest.approx(1.0)
