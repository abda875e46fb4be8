"""The progress bar of a training by Keras."""

from __future__ import annotations

from typing import Any

import keras
from tqdm import tqdm


class Progress(keras.callbacks.Callback):
    """One bar for a whole training, which may be several calls of `fit`; use it in a `with` statement."""

    def __init__(self, name: str, steps: int, start: int, digits: int = 3):
        super().__init__()
        self._digits = digits
        self._bar = tqdm(total=steps, initial=start, desc=name, unit="step", mininterval=1.0)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """One step further."""
        self._bar.update()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Show the losses."""
        self._bar.set_postfix({k: f"{float(v):.{self._digits}g}" for k, v in (logs or {}).items()})

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
