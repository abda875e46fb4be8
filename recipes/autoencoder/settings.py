"""Settings of `python -m recipes.autoencoder`, and its presets."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from recipes.autoencoder.reference import REFERENCES, Reference
from recipes.common.cli import RecipeConfig
from recipes.common.errors import UserError
from recipes.common.numbers import tenth
from recipes.common.ranges import BatchSize, Images, Length, Rate, Steps, Weight, Width, Within, check_repeats

Model = Literal["inn", "inn_vae", "classic", "classic_1024", "classic_2048", "classic_deep", "free_form", "within_flow"]
Bottleneck = Annotated[int, Within(1, 2**20)]
Epochs = Annotated[int, Within(1, 10**5)]
GENERATIVE = ("inn_vae", "free_form", "within_flow")
INVERTIBLE = ("inn", "inn_vae")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RecipeConfig):
    """Train autoencoders of many bottlenecks, invertible and classical, and measure what each of them loses."""

    dataset: Literal["mnist_5k", "fashion_mnist", "mnist", "cifar10", "celeba"] = "mnist_5k"
    """mnist_5k needs no preparation; celeba is read where tensorflow-datasets has it as celeb_a, and takes much memory."""
    models: Annotated[tuple[Model, ...], Length(1, 8)] = ("inn", "classic", "inn_vae", "free_form", "within_flow")
    """inn_vae: the INN with an MMD to the prior; free_form, within_flow: today's rivals; classic_*: wider ones, a deep one."""
    bottlenecks: Annotated[tuple[Bottleneck, ...], Length(0, 64)] = ()
    """Dimensions of the code, a training of each model for each; without any those of the paper for the data set."""
    generative_bottlenecks: Annotated[tuple[Bottleneck, ...], Length(0, 64)] = (12,)
    """Those of inn_vae, free_form and within_flow; without any all of them."""
    repeats: Annotated[int, Within(1, 100)] = 3
    """Trainings of each pair, with seeds from --seed on."""
    images: Images | None = None
    """The most training images."""
    hidden: Width | None = 8
    """Channels of the INN's convolutional couplings; None for the paper's."""
    dense_hidden: Width | None = 104
    """Hidden units of the INN's fully connected coupling; None for the paper's."""
    classic_share: Annotated[float, Within(0, 1, above=True)] = 0.45
    """Widths of all classical networks (encoders and decoders of the rivals too) over the paper's."""
    prior_weight: Weight = 0.3
    """Of the MMD in inn_vae (the paper names none); 1 costs 16 % of the reconstruction, 0.3 some 2 %, at the same MMD."""
    reconstruction_weight: Weight = 10.0
    """Of the squared error in free_form, summed over pixels."""
    batch_size: BatchSize | None = 32
    """Images per step; None for the paper's."""
    epochs: Epochs | None = 30
    """Of the INNs; None for the paper's."""
    epochs_classic: Epochs | None = 90
    """Of the other models; None for the paper's."""
    rate_inn: Rate = 1e-2
    """Learning rate of the INNs at the start (1e-3 in the paper, whose epochs have fifteen times as many images)."""
    rate_classic: Rate = 1e-3
    """Learning rate of the other models at the start."""
    schedule: Literal["late", "paper"] = "late"
    """late: a tenth of the rate in the last fifth of every training; paper: where the paper lets it drop."""
    test_images: Images = 10_000
    """The most test images that are reconstructed."""
    samples: Annotated[int, Within(8, 10**6)] = 1000
    """Codes that the MMD is measured on, and samples of each generative model."""
    permutations: Annotated[int, Within(1, 10**6)] = 500
    """Of the test that compares codes with the prior."""
    jacobian_images: Images = 1
    """Test images at which the Jacobians of decoder and INN are measured."""
    certified_images: Annotated[int, Within(0, 10**6)] = 1
    """Test images at whose codes an INN's decoder is certified: seconds each for digits, much longer for larger images."""
    log_every: Steps | None = None
    """Steps between checkpoints and looks; None for a tenth of each training."""

    @property
    def reference(self) -> Reference:
        """What the paper does on this data set."""
        return REFERENCES[self.dataset]

    @property
    def batch(self) -> int:
        """Images per step."""
        return self.batch_size or self.reference.batch_size

    def trainings(self) -> list[tuple[str, int, int]]:
        """Model, bottleneck and seed of every training, the bottlenecks of a model beside each other."""
        every = self.bottlenecks or self.reference.bottlenecks
        found = []
        for seed in range(self.seed, self.seed + self.repeats):
            for model in self.models:
                chosen = self.generative_bottlenecks if model in GENERATIVE else ()
                found += [(model, bottleneck, seed) for bottleneck in sorted(chosen or every)]
        return found

    def epochs_of(self, model: str) -> int:
        """Passes over the training images."""
        if model in INVERTIBLE:
            return self.epochs or self.reference.epochs
        return self.epochs_classic or self.reference.classic_epochs

    def drops_of(self, model: str) -> list[float]:
        """Where the learning rate falls to a tenth, as shares of the training."""
        if self.schedule == "late":
            return [0.8]
        reference, own = self.reference, model in INVERTIBLE
        drops, whole = (reference.drops, reference.epochs) if own else (reference.classic_drops, reference.classic_epochs)
        return [drop / whole for drop in drops]

    def rate_of(self, model: str) -> float:
        """Learning rate at the start."""
        return self.rate_inn if model in INVERTIBLE else self.rate_classic

    def between_looks(self, steps: int) -> int:
        """Steps from one look at a training to the next."""
        return self.log_every or tenth(steps)

    def check_together(self) -> None:
        """Every model and bottleneck once; networks that the data set has; a seed for each repeat."""
        check_repeats(self.seed, self.repeats)
        lists = {
            "--models": self.models,
            "--bottlenecks": self.bottlenecks,
            "--generative-bottlenecks": self.generative_bottlenecks,
        }
        for flag, given in lists.items():
            if len(set(given)) < len(given):
                raise UserError(
                    f"{flag}: received {' '.join(map(str, given))}, of which two are alike", remedy="Leave one out."
                )
        if self.reference.classical != "dense":
            wrong = [name for name in self.models if name.startswith("classic_")]
            if wrong:
                raise UserError(
                    f"--models: received {' '.join(wrong)} for {self.dataset}, whose classical networks are convolutions",
                    remedy="Use classic.",
                )


_SMOKE = Config(
    models=("inn", "classic", "inn_vae", "free_form", "within_flow"),
    bottlenecks=(2, 8),
    generative_bottlenecks=(2,),
    repeats=1,
    images=128,
    hidden=4,
    dense_hidden=8,
    classic_share=0.05,
    batch_size=32,
    epochs=1,
    epochs_classic=1,
    test_images=64,
    samples=64,
    permutations=50,
    certified_images=0,
    log_every=2,
)
_PAPER = Config(
    models=("inn", "classic"),
    generative_bottlenecks=(),
    repeats=1,
    hidden=None,
    dense_hidden=None,
    batch_size=None,
    classic_share=1.0,
    epochs=None,
    epochs_classic=None,
    rate_inn=1e-3,
    schedule="paper",
    samples=2000,
    jacobian_images=2,
)
PRESETS = {"smoke": _SMOKE, "small": Config(), "paper": _PAPER}
