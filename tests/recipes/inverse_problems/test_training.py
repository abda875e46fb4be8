"""Batches of the benchmark's trainings."""

import itertools

import numpy as np

from recipes.inverse_problems.training import Pairs, Training, stream

RNG = np.random.default_rng(0)
PAIRS = Pairs(RNG.normal(size=(20_000, 1)).astype(np.float32), RNG.normal(size=(20_000, 1)).astype(np.float32))
HOW = Training(steps=100, batch_size=500, rate=1e-3, seed=3, log_every=10)


def drawn(start: int, count: int, rare: float = 0.0) -> np.ndarray:
    return np.stack([np.stack(b)[..., 0] for b in itertools.islice(stream(PAIRS, HOW, start, rare), count)])


def test_batches_depend_on_seed_and_step_alone():
    np.testing.assert_array_equal(drawn(0, 5)[3:], drawn(3, 2))
    assert not np.array_equal(drawn(0, 1), drawn(1, 1))


def test_pairs_stay_together():
    x, y = np.swapaxes(drawn(0, 3), 0, 1)
    partner = dict(zip(PAIRS.x[:, 0].tolist(), PAIRS.y[:, 0].tolist(), strict=True))
    assert [partner[v] for v in x.ravel().tolist()] == y.ravel().tolist()


def test_rare_observations_are_drawn_more_often_by_the_stated_weight():
    """Weights exp(rare w^2) make standard normal observations normal of variance 1 / (1 - 2 rare)."""
    plain, more = (drawn(0, 40, rare)[:, 1].ravel() for rare in (0.0, 0.15))
    squares = PAIRS.y.astype(np.float64) ** 2
    expected = np.average(squares, weights=np.exp(0.15 * squares))
    assert abs(expected - 1.0 / 0.7) < 0.15
    np.testing.assert_allclose(np.mean(plain**2), squares.mean(), atol=0.05)
    np.testing.assert_allclose(np.mean(more**2), expected, atol=0.08)
