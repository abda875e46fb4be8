"""What the card of the exported sampler says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recipes.common.experiment import Run
from recipes.inverse_problems.digits.sampling import HiddenSampler


def card(run: Run, sampler: HiddenSampler, numbers: Mapping[str, Any]) -> dict[str, Any]:
    """What `card.json` says."""
    config, observing = run.folder.config, sampler.observing
    return {
        "problem": "digits",
        "dataset": config.dataset,
        "preset": config.preset,
        "seed": config.seed,
        "hidden": observing.hidden,
        "box": list(observing.box),
        "bits": observing.bits,
        "signature": "sample_posterior: y (batch, 28, 28, 1) uint8, whatever is in the box, n int32, seed int32 -> "
        "x (batch, n, 28, 28, 1) uint8",
        "measured": {key: value for key, value in numbers.items() if key != "history"},
    }
