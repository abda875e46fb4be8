"""Arguments of `compile` that a model with an objective of its own has no use for."""

from __future__ import annotations

from typing import Any

from inntf.core.errors import explain

LOSSES = ("loss", "loss_weights", "metrics", "weighted_metrics")


def refuse_losses(model: str, **given: Any) -> None:
    """Refuse losses and metrics by name, rather than train without them.

    Raises:
        ValueError: if one is given.
    """
    said = [f"{key}={value!r}" for key, value in given.items() if key in LOSSES and value]
    if said:
        raise ValueError(
            explain(
                f"{model}.compile",
                received=", ".join(said),
                expected=f"no {' or '.join(LOSSES)}",
                remedy=f"The objective is {model}'s own and has no y; measure other things in a callback.",
            )
        )
