"""A p-value for the maximum mean discrepancy, by permutations."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from inntf.core.errors import explain
from inntf.numerics.kernel_sums import TILE, squared_distances
from inntf.numerics.kernels import X_SIDE_KERNEL, Kernel


@dataclasses.dataclass(frozen=True)
class MmdTest:
    """What `mmd_test` returns.

    Attributes:
        statistic: the unbiased squared discrepancy of the two sets.
        p_value: the share of permutations, the given order among them, whose statistic is as large.
        permuted: `(permutations,)`, the statistics of random splits of all samples.
    """

    statistic: float
    p_value: float
    permuted: np.ndarray


def mmd_test(x: Any, y: Any, kernel: Kernel = X_SIDE_KERNEL, *, permutations: int = 500, seed: int = 0) -> MmdTest:
    r"""Do two sets of samples come from one distribution?

    The p-value $p = (1 + \#\{\text{permuted} \ge \text{given}\}) / (1 + \text{permutations})$ is exact: whatever the kernel
    and however few the samples, $P(p \le \alpha) \le \alpha$ for samples of one distribution.  One pass over the kernel
    matrix, in tiles, serves all permutations; in float64.

    Args:
        x: `(n, dim)`, at least two samples.
        y: `(m, dim)`, at least two samples.
        kernel: of the squared distance.
        permutations: how many; the smallest p-value is `1 / (1 + permutations)`.
        seed: of the permutations.

    Returns:
        An `MmdTest`.

    Raises:
        ValueError: for other shapes, values that are not finite, or no permutation.

    Source: Gretton et al., "A kernel two-sample test" (2012); Phipson and Smyth, "Permutation P-values should never be zero"
        (2010).

    Example:
        >>> x = np.random.default_rng(0).normal(size=(100, 2))
        >>> mmd_test(x[:50], x[50:] + 1.0).p_value < 0.01, mmd_test(x[:50], x[50:]).p_value > 0.01
        (True, True)
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        shapes = f"shapes {x.shape} and {y.shape}"
        raise ValueError(explain("mmd_test", received=shapes, expected="(n, dim) and (m, dim), at least two samples each"))
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError(explain("mmd_test", received="NaN or infinity", expected="finite samples"))
    if permutations < 1:
        raise ValueError(explain("mmd_test", received=f"permutations={permutations}", expected="at least 1"))
    n, m = len(x), len(y)
    member = np.zeros((n + m, permutations + 1))
    rng = np.random.default_rng(seed)
    member[:n, 0] = 1
    for column in range(1, permutations + 1):
        member[rng.permutation(n + m)[:n], column] = 1
    own, with_all, total = _quadratic_forms(np.concatenate([x, y]), member, kernel)
    others, crossed = total - 2 * with_all + own, with_all - own  # of the complement of u, which is 1 - u
    of_one = float(kernel(tf.zeros([], tf.float64)))
    values = (own - n * of_one) / (n * (n - 1)) + (others - m * of_one) / (m * (m - 1)) - 2 * crossed / (n * m)
    given, permuted = values[0], values[1:]
    as_large = int(np.sum(permuted >= given - 1e-12 * of_one))  # ties count, whatever rounding made of them
    return MmdTest(float(given), (1 + as_large) / (1 + permutations), permuted)


def _quadratic_forms(points: np.ndarray, member: np.ndarray, kernel: Kernel) -> tuple[np.ndarray, np.ndarray, float]:
    """`u' K u` and `u' K 1` for each column u, and `1' K 1`, a tile of the kernel matrix at a time."""
    whole, columns = tf.constant(points), tf.constant(member)
    rows = max(1, TILE // len(points))
    own, with_all, total = np.zeros(member.shape[1]), np.zeros(member.shape[1]), 0.0
    for start in range(0, len(points), rows):
        matrix = kernel(squared_distances(whole[start : start + rows], whole))
        part, sums = member[start : start + rows], tf.reduce_sum(matrix, 1).numpy()
        own += np.einsum("ij,ij->j", part, tf.matmul(matrix, columns).numpy())
        with_all += sums @ part
        total += sums.sum()
    return own, with_all, total
