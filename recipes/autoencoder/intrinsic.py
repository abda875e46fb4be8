"""Where the curve of reconstruction errors stops falling: an estimate of the data's intrinsic dimension."""

from __future__ import annotations

from collections.abc import Mapping

SLACK = 1.05


def saturation(errors: Mapping[int, float], slack: float = SLACK) -> int | None:
    """The smallest bottleneck whose error is within 5 % of the best of all larger ones.

    Args:
        errors: error by bottleneck.
        slack: by which factor the error may be above the best of the larger ones.

    Returns:
        The bottleneck; `None` where the error goes on falling to the largest one.

    Source: inntf; Nguyen et al. (2019), section 4, read it off the plot (12 for MNIST, 250 for CIFAR-10).

    >>> saturation({4: 0.06, 12: 0.036, 32: 0.037, 64: 0.0355}), saturation({12: 0.035, 32: 0.022, 64: 0.0185})
    (12, None)
    """
    ordered = sorted(errors)
    for i, bottleneck in enumerate(ordered[:-1]):
        if errors[bottleneck] <= slack * min(errors[larger] for larger in ordered[i + 1 :]):
            return bottleneck
    return None
