"""What the paper trains on each data set: architectures, bottlenecks, epochs, and where learning rates drop."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Reference:
    """The published experiment on one data set.

    Attributes:
        bottlenecks: dimensions of the code.
        hidden: channels of the INN's convolutional couplings.
        dense_hidden: hidden units of its fully connected coupling.
        stages: couplings behind each squeeze.
        classical: kind of the classical networks, of `networks.NETWORKS`.
        epochs: of the INN; `drops` are those at which its learning rate falls to a tenth.
        classic_epochs: of the classical autoencoders, and `classic_drops` likewise.
        batch_size: images per step.
        size: height and width of the INN's images where they are not the data set's own.

    Source: Nguyen et al. (2019), sections 3.1 and 3.2, and the constants of the authors' public code.
    """

    bottlenecks: tuple[int, ...]
    hidden: int
    dense_hidden: int
    stages: tuple[int, ...]
    classical: str
    epochs: int
    drops: tuple[int, ...]
    classic_epochs: int
    classic_drops: tuple[int, ...]
    batch_size: int = 128
    size: tuple[int, int] | None = None


_GREY = Reference(
    bottlenecks=(1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64),
    hidden=100,
    dense_hidden=180,
    stages=(3,),
    classical="dense",
    epochs=10,
    drops=(8,),
    classic_epochs=100,
    classic_drops=tuple(range(10, 100, 10)),
)
_CIFAR = Reference(
    bottlenecks=tuple(2**k for k in range(11)),
    hidden=128,
    dense_hidden=1000,
    stages=(3,),
    classical="cifar",
    epochs=15,
    drops=(10,),
    classic_epochs=100,
    classic_drops=(60, 85),
)
_CELEBA = Reference(
    bottlenecks=tuple(4**k for k in range(6)),
    hidden=128,
    dense_hidden=200,
    stages=(3, 3),
    classical="celeba",
    epochs=8,
    drops=(6, 7),
    classic_epochs=10,
    classic_drops=(8, 9),
    batch_size=32,
    size=(156, 128),
)
REFERENCES = {"mnist_5k": _GREY, "mnist": _GREY, "fashion_mnist": _GREY, "cifar10": _CIFAR, "celeba": _CELEBA}
