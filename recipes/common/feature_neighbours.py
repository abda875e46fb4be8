"""Sample quality by nearest neighbours in feature space: precision, recall, and whether samples are copies."""

from __future__ import annotations

import numpy as np

from recipes.common.errors import UserError


def precision_recall(real: np.ndarray, generated: np.ndarray, neighbours: int = 3) -> dict[str, float]:
    """How many samples lie on the manifold of the real ones, and how much of that the samples reach.

    A point lies on the manifold of a set if it is no farther from one of its points than that point's k-th neighbour is.
    Precision is the share of samples on the manifold of the real ones, recall the share of real ones on that of the samples.

    Args:
        real: features `(n, d)`.
        generated: features `(m, d)`.
        neighbours: k, below n and m.

    Returns:
        `precision` and `recall`.

    Raises:
        UserError: for fewer than `neighbours + 1` points on a side.

    Source: Kynkaanniemi et al., "Improved precision and recall metric for assessing generative models" (2019), section 2.

    >>> points = np.random.default_rng(0).normal(size=(50, 2))
    >>> precision_recall(points, points), precision_recall(points, points + 100.0)
    ({'precision': 1.0, 'recall': 1.0}, {'precision': 0.0, 'recall': 0.0})
    """
    if min(len(real), len(generated)) <= neighbours:
        raise UserError(
            f"precision and recall: received {len(real)} images and {len(generated)} samples",
            remedy=f"Take at least {neighbours + 1} of both.",
        )
    crossed = distances(generated, real)
    radii = [np.partition(distances(own, own), neighbours, axis=1)[:, neighbours] for own in (real, generated)]
    return {
        "precision": float(np.mean((crossed <= radii[0][None]).any(1))),
        "recall": float(np.mean((crossed <= radii[1][:, None]).any(0))),
    }


def copy_check(train: np.ndarray, test: np.ndarray, generated: np.ndarray) -> dict[str, float]:
    """Distances of samples to their nearest training image, beside those of test images, which are no copies.

    Args:
        train: features `(n, d)` of training images.
        test: features `(m, d)` of test images.
        generated: features `(k, d)` of samples.

    Returns:
        `nearest_ratio`, the median distance of samples over that of test images: far below 1 for a model that copies, above
        for samples unlike any image; `copied_share`, the share of samples that are nearer to a training image than 99 % of
        test images are: about 0.01 where nothing is copied.

    Source: inntf; a test of this kind is in Meehan, Chaudhuri, Dasgupta, "A non-parametric test to detect data-copying in
        generative models" (2020).

    >>> points = np.random.default_rng(0).normal(size=(300, 2))
    >>> copy_check(points[:100], points[100:200], points[:100])
    {'nearest_ratio': 0.0, 'copied_share': 1.0}
    """
    of_test, of_samples = (nearest(points, train) for points in (test, generated))
    near = float(np.quantile(of_test, 0.01))
    return {
        "nearest_ratio": float(np.median(of_samples) / max(np.median(of_test), np.finfo(np.float64).tiny)),
        "copied_share": float(np.mean(of_samples < near)),
    }


def nearest(a: np.ndarray, b: np.ndarray, rows: int = 256) -> np.ndarray:
    """`(n,)` distances of points `(n, d)` to the nearest of `(m, d)`, of which no more than `rows` times m are held."""
    return np.concatenate([distances(a[i : i + rows], b).min(1) for i in range(0, len(a), rows)])


def distances(a: np.ndarray, b: np.ndarray, rows: int = 256) -> np.ndarray:
    """Euclidean distances `(n, m)` of points `(n, d)` and `(m, d)`, float64, by differences: equal points have none."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    shift = b.mean(0)
    a, b = a - shift, b - shift
    found = np.empty((len(a), len(b)))
    squares = np.sum(b * b, 1)
    for start in range(0, len(a), rows):
        part = a[start : start + rows]
        found[start : start + rows] = np.sum(part * part, 1)[:, None] + squares - 2 * part @ b.T
    scale = 1e-12 * (squares.max(initial=0.0) + np.max(np.sum(a * a, 1), initial=0.0))  # rounding of equal points
    return np.sqrt(np.where(found < scale, 0.0, found))
