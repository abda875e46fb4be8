"""2D toy regression: squashing one of two inputs costs the inverse, unless a small flow loss holds it.

    python -m recipes.toy_regression                       # about three minutes on two cores
    python -m recipes.toy_regression --preset smoke        # half a minute
    python -m recipes.toy_regression --preset paper        # 40,000 full batches of 10,000 points, networks of 2 x 128

A Glow of affine couplings learns (x1, x2) -> (0, x2): the best regression has no inverse.  Trained by the mean squared error
alone it goes there, and its condition number with it; `inntf.stability.FlowRegularizer` with a coefficient of 1e-8 or 1e-6
leaves the regression as good and keeps an inverse.

Paper: "Understanding and Mitigating Exploding Inverses in Invertible Neural Networks", section 4.2, supplement F (figure 13):
both reach a low error; the regularized model's reconstruction error is more than 10^4 times smaller, its condition number
10^6 times.

Results, and which of the claims they show: recipes/README.md.
"""

from __future__ import annotations

import sys

from recipes.common.cli import Recipe, main
from recipes.toy_regression.settings import PRESETS, Config

THREADS = {"TF_NUM_INTRAOP_THREADS": "1"}  # its operations are small
RECIPE = Recipe("toy_regression", Config, PRESETS, "recipes.toy_regression.experiment:run", environment=THREADS)

if __name__ == "__main__":
    sys.exit(main(RECIPE))
