"""Adam as the published runs have it: the decay is part of the gradient."""

from __future__ import annotations

from typing import Any

import keras


class AdamWithPenalty(keras.optimizers.Adam):
    r"""Adam on $g + \lambda w$ in place of $g$: the gradient of the loss and of $\tfrac\lambda2 |w|^2$.

    Keras' `weight_decay` shrinks weights beside Adam's step (AdamW).  The published autoencoders add the decay to the
    gradient, which Adam divides by its size like the rest.

    Args:
        learning_rate: a number or a schedule.
        penalty: lambda.
        **kwargs: of `keras.optimizers.Adam`.

    Source: Kingma and Ba, "Adam" (2015), with the penalty of Nguyen et al. (2019), section 3.2.
    """

    def __init__(self, learning_rate: Any = 1e-3, *, penalty: float = 0.0, **kwargs: Any):
        super().__init__(learning_rate, **kwargs)
        self.penalty = penalty

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One variable's step."""
        super().update_step(gradient + self.penalty * keras.ops.cast(variable, gradient.dtype), variable, learning_rate)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**super().get_config(), "penalty": self.penalty}


def drops(rate: float, steps: int, shares: list[float]) -> Any:
    """A learning rate that falls to a tenth at each of these shares of the steps.

    >>> rate = drops(1.0, 10, [0.8])
    >>> [round(float(rate(step)), 3) for step in (0, 7, 8, 9)]
    [1.0, 1.0, 0.1, 0.1]
    """
    # Keras keeps the rate before a drop at the boundary itself.
    ends = sorted({max(0, round(share * steps) - 1) for share in shares})
    return keras.optimizers.schedules.PiecewiseConstantDecay(ends, [rate * 0.1**k for k in range(len(ends) + 1)])
