"""The log-determinant of a residual block computed exactly, for small events."""

from __future__ import annotations

import keras
import tensorflow as tf

from inntf.core.protocols import WithJacobian
from inntf.core.under_xla import warn_where_slower_without_onednn
from inntf.numerics.log_dets.base import LogDetEstimator, Probe, Seed
from inntf.numerics.pullback import Function, Pullback


@keras.saving.register_keras_serializable("inntf")
class ExactLogDet(LogDetEstimator):
    r"""$\log|\det(I + J)|$ from the whole Jacobian: d products by its transpose from one evaluation of the function.

    Up to d = 3 the determinant is written out; beyond, QR.  For events of some tens of numbers: the cost grows with d
    evaluations of the function, kept for the gradient.  A function with a method `value_and_jacobian(x)` is asked for its
    Jacobian instead.

    Call arguments: a function `(batch, *event) -> (batch, *event)` that works sample by sample; `x`, `(batch, *event)`;
    a seed and a probe, not used.

    Returns:
        `function(x)` and `log_det`, `(batch,)`.

    Raises:
        ValueError: if the event size is not known or the function changes the shape.

    Source: Chang et al., "Reversible Architectures for Arbitrarily Deep Residual Neural Networks" (2018); the closed forms
    are Laplace's expansion.

    Example:
        >>> g, log_det = ExactLogDet()(lambda x: 0.5 * x, tf.ones([3, 2]))
        >>> log_det.numpy().round(4).tolist()  # 2 ln 1.5
        [0.8109, 0.8109, 0.8109]
    """

    is_exact = True
    needs_seed = False

    def __init__(self) -> None:
        super().__init__()

    @tf.autograph.experimental.do_not_convert
    def __call__(
        self, function: Function, x: tf.Tensor, seed: Seed = None, probe: Probe | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """`function(x)` and the exact log-determinant."""
        value, jacobian = _value_and_jacobian(function, x)
        return value, log_abs_det_of_identity_plus(jacobian)

    @tf.autograph.experimental.do_not_convert
    def cayley(self, function: Function, x: tf.Tensor, seed: Seed = None) -> tuple[tf.Tensor, tf.Tensor]:
        """As in `LogDetEstimator`, from one Jacobian."""
        value, jacobian = _value_and_jacobian(function, x)
        return value, log_abs_det_of_identity_plus(-jacobian) - log_abs_det_of_identity_plus(jacobian)


def _value_and_jacobian(function: Function, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    warn_where_slower_without_onednn("residual blocks with exact log-determinants", 1.4)
    if isinstance(function, WithJacobian):
        return function.value_and_jacobian(x)
    pull = Pullback(function, x)
    return pull.value, pull.jacobian()


def log_abs_det_of_identity_plus(jacobian: tf.Tensor) -> tf.Tensor:
    r"""$\log|\det(I + J)|$ of a batch of matrices, differentiable; also works under XLA.

    Args:
        jacobian: `(..., d, d)`, float.

    Returns:
        `(...)`, at least float32.

    Source: G. Golub, C. Van Loan, "Matrix Computations", section 5.2 (QR).

    Example:
        >>> round(float(log_abs_det_of_identity_plus(tf.constant([[0.0, 2.0], [2.0, 0.0]]))), 4)  # ln |1 - 4|
        1.0986
    """
    if jacobian.dtype.size < 4:
        jacobian = tf.cast(jacobian, tf.float32)
    dim = jacobian.shape[-1]
    if dim == 0:
        return tf.zeros(tf.shape(jacobian)[:-2], jacobian.dtype)
    if dim <= 3:
        entries = [[jacobian[..., i, j] for j in range(dim)] for i in range(dim)]
        excess = _EXCESS[dim](entries)
        # Near a singular matrix 1 + t has lost its digits, which the determinant itself has.
        far = excess < -0.5
        det = _DET[dim]([[entries[i][j] + 1 if i == j else entries[i][j] for j in range(dim)] for i in range(dim)])
        det, excess = tf.where(far, det, tf.ones_like(det)), tf.where(far, tf.zeros_like(excess), excess)
        # (1 + t)^2 = 1 + t (2 + t): the digits of a small t are kept, and the sign of 1 + t does not matter.
        return tf.where(far, tf.math.log(tf.abs(det)), tf.math.log1p(excess * (2 + excess)) / 2)
    triangle = tf.linalg.qr(tf.eye(dim, dtype=jacobian.dtype) + jacobian).r
    return tf.reduce_sum(tf.math.log(tf.abs(tf.linalg.diag_part(triangle))), -1)


# det(I + J) - 1 is the sum of all principal minors of J.
def _excess_2(j: list[list[tf.Tensor]]) -> tf.Tensor:
    return j[0][0] + j[1][1] + _minor(j, 0, 1)


def _excess_3(j: list[list[tf.Tensor]]) -> tf.Tensor:
    return j[0][0] + j[1][1] + j[2][2] + _minor(j, 0, 1) + _minor(j, 0, 2) + _minor(j, 1, 2) + _det_3(j)


def _det_3(j: list[list[tf.Tensor]]) -> tf.Tensor:
    return (
        j[0][0] * _minor(j, 1, 2)
        - j[0][1] * (j[1][0] * j[2][2] - j[1][2] * j[2][0])
        + j[0][2] * (j[1][0] * j[2][1] - j[1][1] * j[2][0])
    )


def _minor(j: list[list[tf.Tensor]], a: int, b: int) -> tf.Tensor:
    return j[a][a] * j[b][b] - j[a][b] * j[b][a]


_EXCESS = {1: lambda j: j[0][0], 2: _excess_2, 3: _excess_3}
_DET = {1: lambda j: j[0][0], 2: lambda j: _minor(j, 0, 1), 3: _det_3}
