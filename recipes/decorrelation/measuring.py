"""What is measured of a network: its outputs' correlation, the reconstruction of images, singular values in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from inntf.core import Block
from inntf.numerics import all_singular_values, batch_jacobian
from inntf.stability import float64_copy, singular_values, summarize
from recipes.common.image_data import ImageData
from recipes.common.scaling import scaled
from recipes.decorrelation.correlation import correlation_matrix, independent_loss, off_diagonal_norm, rank_bound
from recipes.decorrelation.settings import Config

SHOWN = 8
_BATCH = 1000
_NUMBERS_A_PASS = 2**18  # of all rows of a Jacobian that are computed at once


class Measurer:
    """A block whose two directions are traced once, whatever its weights become.

    Args:
        block: built, on images.
        config: settings of the run.
        data: the images.

    Attributes:
        watched: the fixed test images, `(watched, height, width, channels)`.
    """

    def __init__(self, block: Block, config: Config, data: ImageData):
        self.block, self.config, self.dims = block, config, data.dims
        self._pixels = {"train": data.train, "test": data.test}
        self.watched = self._scaled(data.test[: config.watched], 1).numpy()
        self.forward, self.inverse = _traced(block)

    def _scaled(self, pixels: np.ndarray, which: int) -> tf.Tensor:
        return scaled(pixels, self.config.noise, [self.config.seed, -which])

    def correlation(self, split: str, limit: int | None = None) -> np.ndarray:
        """Correlation matrix of the outputs over a split, or its first `limit` images, float64."""
        pixels = self._pixels[split][:limit]
        parts = [self.forward(self._scaled(pixels[i : i + _BATCH], 2 + i)) for i in range(0, len(pixels), _BATCH)]
        return correlation_matrix(tf.cast(tf.concat(parts, 0), tf.float64)).numpy()

    def losses(self) -> dict[str, float]:
        """The loss over all images of each split."""
        return {f"loss_{split}": float(off_diagonal_norm(self.correlation(split))) for split in self._pixels}

    def reconstructions(self) -> tuple[np.ndarray, np.ndarray]:
        """The watched images after one pass forward and back, and their errors (l2)."""
        back = self.inverse(self.forward(self.watched)).numpy()
        return back, np.linalg.norm((self.watched.astype(np.float64) - back).reshape(len(back), -1), axis=1)

    def extremes(self) -> dict[str, Any]:
        """Singular values of the Jacobian at the first watched images, in float64: the mathematics, without rounding.

        The condition number is the median over images, the singular values are the largest and the smallest of all.
        """
        x = self.watched[: self.config.jacobian_images]
        found = singular_values(self.block, x, iterations=50, tolerance=1e-2, precision="float64")
        condition = found.condition_number.numpy()
        return {
            "condition_number": float(np.median(condition)),
            "condition_number_max": float(np.max(condition)),
            "largest_singular_value": float(np.max(found.largest)),
            "smallest_singular_value": float(np.min(found.smallest)),
            "singular_values_unverified": int(np.sum(~found.consistent.numpy())),
        }

    def spectrum(self) -> np.ndarray:
        """All singular values at the first watched image, descending, float64."""
        wide = float64_copy(self.block)
        x = tf.constant(self.watched[:1], tf.float64)
        rows = max(1, min(self.dims, _NUMBERS_A_PASS // self.dims))
        return all_singular_values(batch_jacobian(lambda x: wide.forward_and_log_det(x)[0], x, rows)).numpy()[0]

    def final(self) -> dict[str, Any]:
        """What is reported of a trained block."""
        _, errors = self.reconstructions()
        counts = {split: len(pixels) for split, pixels in self._pixels.items()}
        bounds = self.block.lipschitz_bounds()
        return {
            **self.losses(),
            **{f"loss_{split}_if_independent": independent_loss(n, self.dims) for split, n in counts.items()},
            **{f"loss_{split}_at_least": rank_bound(n, self.dims) for split, n in counts.items()},
            "loss_batch_at_least": rank_bound(self.config.batch_size, self.dims),
            **self.extremes(),
            "reconstruction_error": summarize(errors)._asdict(),
            "certified_forward": float(bounds.forward),
            "certified_inverse": float(bounds.inverse),
            "weights": int(sum(np.prod(w.shape) for w in self.block.trainable_weights)),
        }


def _traced(block: Block) -> tuple[Any, Any]:
    """Both directions, values alone, as functions of a batch of any size."""
    x, z = (tf.TensorSpec([None, *shape], block.variable_dtype) for shape in (block.event_shape, block._z_event_shape))
    forward = tf.function(lambda x: block.forward_and_log_det(x)[0], [x], autograph=False)
    return forward, tf.function(lambda z: block.inverse_and_log_det(z)[0], [z], autograph=False)
