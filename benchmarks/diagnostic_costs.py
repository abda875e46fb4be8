"""What each diagnostic costs, in forward passes of the flow: `python -m benchmarks.diagnostic_costs`, 4 minutes.

An affine flow of 8 numbers and 6 couplings, 64 samples or as the table says, one thread; the pass is an eager
`forward_and_log_det` of 64 samples.  Medians of five turns after a first call, which traces.  Written to
benchmarks/results/diagnostic_costs.json and into the table of docs/which_diagnostic.md (`--page` writes it alone).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

from benchmarks.cost_tables import ROOT, figure, multiples, one_thread, record, with_column

RESULT, PAGE = ROOT / "benchmarks" / "results" / "diagnostic_costs.json", ROOT / "docs" / "which_diagnostic.md"
# Functions of the table, what is measured of them, and how the cell says it.
ROWS = {
    "`reconstruction_error`": "{reconstruction_error}; one pass each way",
    "`repeated_reconstruction`": "{repeated_reconstruction}; `passes=9`",
    "`out_of_distribution`": "{out_of_distribution} (2 passes)",
    "`singular_values`": "8 samples: {exact} exact, {lanczos} by Lanczos",
    "`certify(model)`": "{certify}",
    "`certify(model, (low, high))`": "{certify_box}",
    "`certify(model, at=x, radius=r)`": "8 balls: {certify_balls}",
    "`certified_radius`": "2 balls: {certified_radius}",
    "`attack`": "8 samples, 50 steps: {attack}",
    "`amplification`": "3 samples: {amplification}",
    "`gradient_angle`": "one batch: {gradient_angle}",
    "`weakest_block`": "{weakest_block}",
    "`stability_report`": "{stability_report}",
}


def calls() -> tuple[dict[str, Callable[[], Any]], Callable[[], Any]]:
    """The diagnostics, called once before, and the pass."""
    import numpy as np
    import tensorflow as tf

    from inntf import stability as s
    from inntf.models import real_nvp

    flow = real_nvp(event_shape=8, depth=6, heavy_tails=False)
    rng = np.random.default_rng(0)
    for weight in flow.block.trainable_variables:
        weight.assign(weight + 0.05 * rng.normal(size=weight.shape).astype("float32"))
    x = tf.constant(rng.normal(size=(64, 8)).astype("float32"))
    found: dict[str, Callable[[], Any]] = {
        "reconstruction_error": lambda: s.reconstruction_error(flow, tf.identity(x)),
        "repeated_reconstruction": lambda: s.repeated_reconstruction(flow, tf.identity(x), passes=9),
        "out_of_distribution": lambda: s.out_of_distribution(flow, tf.identity(x), passes=2, count=64),
        "exact": lambda: s.singular_values(flow, x[:8], method="exact"),
        "lanczos": lambda: s.singular_values(flow, x[:8], method="lanczos"),
        "certify": lambda: s.certify(flow),
        "certify_box": lambda: s.certify(flow, (-3.0, 3.0)),
        "certify_balls": lambda: s.certify(flow, at=x[:8], radius=1e-3),
        "certified_radius": lambda: s.certified_radius(flow, x[:2]),
        "attack": lambda: s.attack(flow, x[:8], radius=1e-3, steps=50),
        "amplification": lambda: s.amplification(flow, x[:3], radius=1e-3),
        "gradient_angle": lambda: s.gradient_angle(flow, [x]),
        "weakest_block": lambda: s.weakest_block(flow),
        "stability_report": lambda: s.stability_report(flow, x),
    }
    for call in found.values():
        call()
    return found, lambda: flow.block.forward_and_log_det(tf.identity(x))


def cells(costs: dict[str, float]) -> dict[str, str]:
    """The column of the table."""
    figures = {name: figure(value) for name, value in costs.items()}
    return {row: text.format(**figures) for row, text in ROWS.items()}


def main() -> None:
    """Measure unless `--page`, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", action="store_true", help="write the page from what was measured before")
    if not parser.parse_args().page:
        one_thread()
        record(RESULT, *multiples(*calls(), turns=5))
    costs = json.loads(RESULT.read_text())["costs"]
    PAGE.write_text(with_column(PAGE.read_text(), cells(costs), 1, 2))


if __name__ == "__main__":
    main()
