"""A thin writer of TensorBoard summaries."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from matplotlib.backends.backend_agg import FigureCanvasAgg

from recipes.common.figures import mosaic


class Summaries:
    """Writes scalars, images and figures to a folder that `tensorboard --logdir` shows.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as logs, Summaries(logs) as board:
    ...     board.scalars(1, {"loss": 0.5}, prefix="train")
    """

    def __init__(self, folder: str | pathlib.Path, *, enabled: bool = True):
        """Open the writer.

        Args:
            folder: of the logs, `RunFolder.logs` say; written to from the first summary on.
            enabled: `False` writes nothing (workers that are not chief).
        """
        self._writer = tf.summary.create_file_writer(str(folder)) if enabled else tf.summary.create_noop_writer()

    def scalars(
        self, step: int, values: Mapping[str, Any], prefix: str = "", descriptions: Mapping[str, str] | None = None
    ) -> None:
        """Write numbers under `prefix/name`, described where a text is given by name.

        NaN and infinity are written too, TensorBoard marks them.
        """
        with self._writer.as_default(step=int(step)):
            for name, value in values.items():
                # A Python float beyond float32's range is an error, an array of float64 becomes infinite.
                described = (descriptions or {}).get(name)
                tf.summary.scalar(_tag(prefix, name), np.asarray(value, np.float64), description=described)

    def images(self, step: int, name: str, images: np.ndarray, columns: int | None = None) -> None:
        """Write images `(n, height, width, 1 or 3)`, 0 to 255, as one grid; pixels with NaN or infinity are pink."""
        with self._writer.as_default(step=int(step)):
            tf.summary.image(name, mosaic(images, columns)[None])

    def figure(self, step: int, name: str, figure: Any) -> None:
        """Write a matplotlib figure."""
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        pixels = np.asarray(canvas.buffer_rgba())[None, ..., :3]
        with self._writer.as_default(step=int(step)):
            tf.summary.image(name, pixels)

    def flush(self) -> None:
        """Bring what was written to the disk."""
        self._writer.flush()

    def close(self) -> None:
        """Write what is left and close."""
        self._writer.close()

    def __enter__(self) -> Summaries:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _tag(prefix: str, name: str) -> str:
    return f"{prefix}/{name}" if prefix else name
