"""Images in memory: what the recipes train on, checked once."""

from __future__ import annotations

import dataclasses

import numpy as np

from recipes.common.errors import UserError


@dataclasses.dataclass(frozen=True)
class ImageData:
    """Images and labels of a data set.

    Attributes:
        train: `(n, height, width, channels)` uint8.
        train_labels: `(n,)` int64.
        test: `(m, height, width, channels)` uint8.
        test_labels: `(m,)` int64.
        name: of the data set.
        classes: number of classes.
    """

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    name: str
    classes: int = 10

    def __post_init__(self) -> None:
        for split, images, labels in (("train", self.train, self.train_labels), ("test", self.test, self.test_labels)):
            check_images(images, f"{self.name} ({split})")
            if len(labels) != len(images):
                raise UserError(f"{self.name} ({split}): received {len(images)} images but {len(labels)} labels")
        if self.train.shape[1:] != self.test.shape[1:]:
            raise UserError(f"{self.name}: train images are {self.train.shape[1:]}, test images {self.test.shape[1:]}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(height, width, channels)` of one image."""
        return tuple(self.train.shape[1:])

    @property
    def dims(self) -> int:
        """Numbers in one image, padding included: what bits per dimension divide by."""
        return int(np.prod(self.shape))

    @property
    def mirrors(self) -> bool:
        """Whether a mirrored image is still one of the data set (digits are not)."""
        return "mnist" not in self.name or self.name == "fashion_mnist"

    def first(self, train: int | None = None, test: int | None = None) -> ImageData:
        """The first so many images of each split; `None` for all."""
        return dataclasses.replace(
            self,
            train=self.train[:train],
            train_labels=self.train_labels[:train],
            test=self.test[:test],
            test_labels=self.test_labels[:test],
        )

    def check_batch(self, batch_size: int, flag: str) -> None:
        """Refuse a batch that is larger than the training split.

        Raises:
            UserError: naming the flag.
        """
        if batch_size > len(self.train):
            raise UserError(
                f"{flag}: received {batch_size} for {len(self.train)} training images of {self.name}",
                remedy=f"Choose one from 1 to {len(self.train)}.",
            )

    def halvable(self, times: int) -> ImageData:
        """Square images whose side divides by two so many times, with a border of zeros where they do not."""
        size = -(-max(self.shape[:2]) // 2**times) * 2**times
        return self.padded(size)

    def padded(self, size: int) -> ImageData:
        """The images with a border of zeros, `size` by `size`.

        Raises:
            UserError: if the images are larger.
        """
        if self.shape[:2] == (size, size):
            return self
        return dataclasses.replace(self, train=pad_images(self.train, size), test=pad_images(self.test, size))


def check_images(images: np.ndarray, subject: str = "images") -> np.ndarray:
    """Refuse what is not a non-empty uint8 array `(n, height, width, 1 or 3)`.

    Args:
        images: the images.
        subject: whose they are, for the message.

    Returns:
        The images.

    Raises:
        UserError: naming what came and what was expected.
    """
    expected = "a uint8 array (n, height, width, 1 or 3) with values 0 to 255"
    if not isinstance(images, np.ndarray):
        raise UserError(f"{subject}: received {type(images).__name__}, expected {expected}")
    if np.issubdtype(images.dtype, np.floating) and not np.isfinite(images).all():
        bad = int((~np.isfinite(images)).reshape(len(images), -1).any(1).sum())
        raise UserError(
            f"{subject}: received NaN or infinity in {bad} of {len(images)} images, expected {expected}",
            remedy="Remove or repair those images.",
        )
    if images.dtype != np.uint8:
        raise UserError(
            f"{subject}: received dtype {images.dtype}, expected {expected}",
            remedy="Round to 0..255 and convert with .astype('uint8').",
        )
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or 0 in images.shape:
        raise UserError(
            f"{subject}: received shape {images.shape}, expected {expected}",
            remedy="Channels come last; a single channel needs images[..., None].",
        )
    return images


def pad_images(images: np.ndarray, size: int) -> np.ndarray:
    """Center images `(n, height, width, channels)` in a square of zeros of the given side.

    >>> pad_images(np.ones((2, 28, 28, 1), np.uint8), 32).shape
    (2, 32, 32, 1)

    Raises:
        UserError: if the images are larger.
    """
    height, width = images.shape[1:3]
    if height > size or width > size:
        raise UserError(
            f"padding: received images of {height}x{width}, expected at most {size}x{size}", remedy="Choose a larger size."
        )
    top, left = (size - height) // 2, (size - width) // 2
    if (height, width) == (size, size):
        return images
    return np.pad(images, ((0, 0), (top, size - height - top), (left, size - width - left), (0, 0)))


def crop_images(images: np.ndarray, size: int) -> np.ndarray:
    """The central square of the given side of images `(n, height, width, channels)`: undoes `pad_images`.

    >>> crop_images(np.ones((2, 32, 32, 1), np.uint8), 28).shape
    (2, 28, 28, 1)
    """
    top, left = (images.shape[1] - size) // 2, (images.shape[2] - size) // 2
    return images[:, top : top + size, left : left + size]
