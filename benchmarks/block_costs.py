"""What each block costs, in forward passes of an affine coupling: `python -m benchmarks.block_costs`, 3 minutes.

1000 samples of 8 numbers, default networks, one thread, in a `tf.function`; medians of nine turns, each beside the affine
coupling.  Written to benchmarks/results/block_costs.json and into the table of docs/which_block.md (`--page` writes it alone).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

from benchmarks.cost_tables import ROOT, figure, multiples, one_thread, record, with_column

RESULT, PAGE = ROOT / "benchmarks" / "results" / "block_costs.json", ROOT / "docs" / "which_block.md"
REFERENCE = "AffineCoupling"
# Rows of the table, and the blocks they are of.
ROWS = {
    "`AdditiveCoupling`": ["AdditiveCoupling"],
    "`AffineCoupling`": ["AffineCoupling"],
    "`VolumePreservingCoupling`": ["VolumePreservingCoupling"],
    "`SplineCoupling`": ["SplineCoupling"],
    "`Coupling` of `CircularSplineTransform` / `SinhArcsinhTransform`": ["circular", "sinh_arcsinh"],
    "`TwoSidedCoupling`": ["TwoSidedCoupling"],
    "`ExactAdditiveCoupling`": ["ExactAdditiveCoupling"],
    "`MaskedAutoregressive`, affine, MAF": ["maf"],
    '..., IAF (`reads="latent"`)': ["iaf"],
    "..., spline": ["spline_maf"],
    "`ResidualBlock`": ["ResidualBlock"],
    "`MonotoneBlock`": ["MonotoneBlock"],
    "`BiLipschitz`": ["BiLipschitz"],
    "`ContinuousBlock`": ["ContinuousBlock"],
    "`Planar`": ["Planar"],
    "`Sylvester`": ["Sylvester"],
    "`Radial`": ["Radial"],
    "`ActNorm`": ["ActNorm"],
    "`InvertibleLinear`, `InvertibleConv1x1`": ["InvertibleLinear"],
    "`OrthogonalLinear`": ["OrthogonalLinear"],
    "`Permutation`, `Squeeze`, `Haar`": ["Permutation"],
    "`Rescale`": ["Rescale"],
    "`Logit`": ["Logit"],
    "`Bounded`": ["Bounded"],
    "`Exp`, `Softplus`, `Tanh`, `Power`, `LeakyReLU`, `Asinh`": ["Softplus"],
    "`SoftTails`": ["SoftTails"],
    "`RadialTails`": ["RadialTails"],
    "`Dequantize`": ["Dequantize"],
    "`InjectivePadding`": ["InjectivePadding"],
}


def makers() -> dict[str, Callable[[], Any]]:
    """A block by name, as it is by default."""
    from inntf import blocks, nets
    from inntf.numerics import transformers

    own: dict[str, Callable[[], Any]] = {
        "circular": lambda: blocks.Coupling(
            transformer=transformers.CircularSplineTransform(), conditioner=nets.MLP((128, 128), angles=True)
        ),
        "sinh_arcsinh": lambda: blocks.Coupling(transformer=transformers.SinhArcsinhTransform()),
        "maf": blocks.MaskedAutoregressive,
        "iaf": lambda: blocks.MaskedAutoregressive(reads="latent"),
        "spline_maf": lambda: blocks.MaskedAutoregressive(transformer=transformers.SplineTransform()),
        "BiLipschitz": lambda: blocks.BiLipschitz(0.5, 2.0),
        "Permutation": lambda: blocks.Permutation.shuffle(0),
        "Rescale": lambda: blocks.Rescale(2.0),
        "Bounded": lambda: blocks.Bounded(0.0, 1.0),
        "InjectivePadding": lambda: blocks.InjectivePadding(10),
    }
    return {name: own.get(name) or getattr(blocks, name) for names in ROWS.values() for name in names}


def passes() -> dict[str, Callable[[], Any]]:
    """`NAME forward` and `NAME inverse`, traced."""
    import numpy as np
    import tensorflow as tf

    rng, found = np.random.default_rng(0), {}
    for name, make in makers().items():
        x = rng.normal(size=(1000, 8)).astype("float32")
        if name in ("Logit", "Bounded"):
            x = 1 / (1 + np.exp(-x))
        if name == "Dequantize":
            x = rng.integers(0, 256, size=x.shape).astype("float32")
        if name == "ExactAdditiveCoupling":
            x = np.round(x * 2**10) / 2**10
        block = make()
        block.initialize(tf.constant(x))
        z = block.forward_and_log_det(tf.constant(x))[0]
        for way, function, value in (("forward", block.forward_and_log_det, x), ("inverse", block.inverse_and_log_det, z)):
            traced = tf.function(function, autograph=False)
            traced(value := tf.constant(value))
            found[f"{name} {way}"] = lambda traced=traced, value=value: traced(value)
    return found


def cells(costs: dict[str, float]) -> dict[str, str]:
    """The column of the table."""

    def pair(name: str) -> str:
        return " / ".join(figure(costs[f"{name} {way}"]) for way in ("forward", "inverse"))

    return {row: "; ".join(map(pair, names)) for row, names in ROWS.items()}


def main() -> None:
    """Measure unless `--page`, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", action="store_true", help="write the page from what was measured before")
    if not parser.parse_args().page:
        one_thread()
        calls = passes()
        record(RESULT, *multiples(calls, calls[f"{REFERENCE} forward"]))
    costs = json.loads(RESULT.read_text())["costs"]
    PAGE.write_text(with_column(PAGE.read_text(), cells(costs), 0, 2))


if __name__ == "__main__":
    main()
