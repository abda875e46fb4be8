"""The trace of a Jacobian: exact, or estimated by Hutchinson's probes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from inntf.numerics.pullback import Pullback, event_size


def value_and_trace(
    function: Callable[[tf.Tensor], tf.Tensor], x: tf.Tensor, probes: Sequence[tf.Tensor] | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    r"""`function(x)` and the trace of its Jacobian, sample by sample, from one evaluation of the function.

    Exact without probes, $\sum_i e_i^\top J e_i$, for d products by the transposed Jacobian; with probes the mean of
    $v^\top J v$, which is right on average where $E\, v v^\top = I$.  Both are differentiable.

    Args:
        function: `(batch, dim) -> (batch, dim)`, sample by sample.
        x: `(batch, dim)`.
        probes: tensors of the shape of `x`, or `None`.

    Returns:
        The value, the shape of `x`, and the trace, `(batch,)`.

    Raises:
        ValueError: if the function changes the shape.

    Source: Hutchinson, "A stochastic estimator of the trace of the influence matrix" (1989); Grathwohl et al., "FFJORD"
        (2019), eq. 7.

    Example:
        >>> value_and_trace(lambda x: 3 * x, tf.ones([2, 4]))[1].numpy().tolist()
        [12.0, 12.0]
    """
    pull = Pullback(function, x)
    if probes is not None:
        terms = [tf.reduce_sum(v * pull(v), -1) for v in probes]
        return pull.value, tf.add_n(terms) / len(terms)
    dim = event_size(pull.x)
    rows = [tf.broadcast_to(tf.one_hot(i, dim, dtype=pull.x.dtype), tf.shape(pull.x)) for i in range(dim)]
    return pull.value, tf.add_n([pull(row)[:, i] for i, row in enumerate(rows)])
