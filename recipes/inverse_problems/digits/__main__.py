"""Inpainting of handwritten digits: many answers for what is hidden, all of them with what is seen.

    python -m recipes.inverse_problems.digits                     # about ten minutes on two cores
    python -m recipes.inverse_problems.digits --preset smoke      # half a minute
    python -m recipes.inverse_problems.digits --hidden middle

The inverse problem of images: y is a digit without its lower part (or its middle), x the pixels that are missing there.  A
conditional Glow is given y as feature maps, level by level, and trained by likelihood (eq. 5).  It models the hidden pixels
alone: given y the seen ones have no density, and as part of the condition they are exact in every sample.  Beside it stands the
same network that is shown nothing.

Papers: Kruse et al., "Benchmarking Invertible Architectures on Inverse Problems" (2019), for the loss; Ardizzone et al.,
"Guided Image Generation with Conditional Invertible Neural Networks" (2019), for the network of the condition.

Results, and which of the claims they show: recipes/README.md.
"""

from __future__ import annotations

import sys

from recipes.common.cli import Recipe, main
from recipes.inverse_problems.digits.settings import PRESETS, Config

THREADS = {"TF_NUM_INTRAOP_THREADS": "1"}  # its operations are small
RECIPE = Recipe(
    "inverse_problems.digits", Config, PRESETS, "recipes.inverse_problems.digits.experiment:run", environment=THREADS
)

if __name__ == "__main__":
    sys.exit(main(RECIPE))
