"""What `python -m recipes` says: the recipes there are."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from recipes.common.endings import exit_code
from recipes.common.errors import UserError

RECIPES = {
    "flowgan": "a flow trained by likelihood, adversarially, and both ways",
    "checkerboard": "three flows, one of which loses its inverse outside of the data",
    "iresnet": "residual networks that classify, run backwards, and are densities",
    "classification": "classifiers whose inverse explodes in training, and two regularizers that keep it",
    "attack": "flows whose own data's bins are searched for images that they lose",
    "autoencoder": "networks with an artificial bottleneck, beside classical autoencoders and today's rivals",
    "density": "flows trained by likelihood, their stability meanwhile, and inputs unlike their data",
    "decorrelation": "one objective, which stable and unstable networks reach alike",
    "toy_regression": "a regression whose best fit has no inverse, and the flow loss that keeps one",
    "inverse_problems": "posteriors of ten kinds of models, beside the ground truth, with calibrated tests",
    "inverse_problems.digits": "what is hidden of a handwritten digit, many answers for one question",
    "tables": "densities of a table's rows by the default spline flows, beside the best Gaussian mixture",
    "digits": "the classifier of digits that samples are measured with (the repository holds one)",
    "prepare": "the makers' files of a data set, made ready for the recipes",
    "results": "recipes/README.md, written from the results of finished runs",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Print the list; returns the exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)

    def work() -> None:
        if argv and argv not in (["--help"], ["-h"]):
            raise UserError(
                f"python -m recipes: received {' '.join(argv)!r}, expected nothing",
                remedy=f"Run python -m recipes.NAME, NAME one of {', '.join(RECIPES)}.",
            )
        print("python -m recipes.NAME [--help], NAME one of:")
        width = max(map(len, RECIPES)) + 2
        for name, what in RECIPES.items():
            print(f"  {name:{width}s}{what}")

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())
