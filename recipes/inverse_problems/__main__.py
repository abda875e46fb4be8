"""Ten invertible architectures and related models on two inverse problems, their posteriors beside the ground truth.

    python -m recipes.inverse_problems                                # hours on two cores; it can be killed and go on
    python -m recipes.inverse_problems --preset smoke                 # a minute
    python -m recipes.inverse_problems --methods cinn mdn --resume    # go on; further models may be added
    python -m recipes.inverse_problems --methods my_module:MyMethod --out runs/mine

Inverse kinematics asks which arms end at a point, inverse ballistics which throws land there.  Every model learns from the same
simulated pairs, with about as many weights and as many steps; its posteriors for unseen observations are compared with those
of rejection sampling (Err_post, eq. 10), its samples simulated again (Err_resim, eq. 11), and its calibration tested.

Paper: Kruse et al., "Benchmarking Invertible Architectures on Inverse Problems" (2019): couplings and plain autoencoders do
best there; i-ResNet, IAF, MAF and the conditional VAE failed on at least one of the two.

Results, and which of the claims they show: recipes/README.md.
"""

from __future__ import annotations

import sys

from recipes.common.cli import Recipe, main
from recipes.inverse_problems.settings import PRESETS, Config

THREADS = {"TF_NUM_INTRAOP_THREADS": "1"}  # its operations are small
RECIPE = Recipe("inverse_problems", Config, PRESETS, "recipes.inverse_problems.experiment:run", environment=THREADS)

if __name__ == "__main__":
    sys.exit(main(RECIPE))
