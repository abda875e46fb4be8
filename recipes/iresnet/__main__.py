"""i-ResNet: a residual network that classifies as well as an unconstrained one, runs backwards, and is a density.

    python -m recipes.iresnet                           # 35 to 55 minutes on one core, the sum of its tasks
    python -m recipes.iresnet --preset smoke            # a minute
    python -m recipes.iresnet --dataset fashion_mnist --data-dir DIR
    python -m recipes.iresnet --task classify --coefficients 0.9

Paper: "Invertible Residual Networks", section 5.  Its classifier's errors on CIFAR-10: 6.7 % without constraint, 6.8 % at a
coefficient of 0.9, 8.7 % at 0.5; its densities: 1.06 bits/dim on MNIST and 3.45 on CIFAR-10 (Glow: 1.05, 3.35).

Tasks: `classify` trains the same network for each coefficient and once without a constraint, then reconstructs test images
from the features with certified norms; `density` compares a residual flow on images with affine couplings that have as many
weights (Glow, and Real NVP, which like the residual flow begins at full resolution); `toys` does so in two dimensions.

To be shown: accuracy at 0.9 within 1.5 points of the unconstrained twin and falling with the coefficient; reconstruction
errors below 1e-4; bits/dim of the residual flow below those of the couplings.  recipes/README.md has the figures of `small`.
"""

from __future__ import annotations

import sys

from recipes.common.cli import Recipe, main
from recipes.iresnet.settings import PRESETS, Config

RECIPE = Recipe("iresnet", Config, PRESETS, "recipes.iresnet.experiment:run")

if __name__ == "__main__":
    sys.exit(main(RECIPE))
