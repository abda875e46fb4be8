"""The progress bar of a training."""

from __future__ import annotations

from collections.abc import Mapping

from tqdm import tqdm


class Progress:
    """One bar for a whole training; use it in a `with` statement."""

    def __init__(self, name: str, steps: int, start: int, digits: int = 3):
        self._digits = digits
        self._bar = tqdm(total=steps, initial=start, desc=name, unit="step", mininterval=1.0)

    def update(self) -> None:
        """One step further."""
        self._bar.update()

    def show(self, losses: Mapping[str, float]) -> None:
        """Show the losses."""
        self._bar.set_postfix({key: f"{value:.{self._digits}g}" for key, value in losses.items()})

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
