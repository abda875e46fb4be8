"""Checkerboard: three flows learn the same density in two dimensions; one of them loses its inverse outside of the data.

    python -m recipes.checkerboard                      # 16 to 25 minutes on one core beside another process
    python -m recipes.checkerboard --preset smoke       # a minute
    python -m recipes.checkerboard --model residual --seed 1 --out runs/checkerboard/residual-1

Paper: "Understanding and mitigating exploding inverses", section 4.1.1 and supplement C (table 4, figures 2, 7, 8).  Affine
couplings with a scale in (0, 1); the same with a scale in (0.5, 1); a residual flow.  The paper prints no likelihoods; the best
possible negative log-likelihood is the entropy of the data, ln 32 = 3.4657 nats.

Expected of `small`: negative log-likelihood of all three between ln 32 - 0.02 and 3.90 nats; on the grid over [-8, 8]^2 the
residual flow without a value that is not finite and with errors below 1e-3; the first affine flow broken outside of the
data: values that are not finite, or errors 100 times those inside.  Three seeds show all of it: recipes/README.md.
"""

from __future__ import annotations

import sys

from recipes.checkerboard.settings import PRESETS, Config
from recipes.common.cli import Recipe, main

RECIPE = Recipe("checkerboard", Config, PRESETS, "recipes.checkerboard.experiment:run")

if __name__ == "__main__":
    sys.exit(main(RECIPE))
