"""Tables of recipes/README.md: flows and mixtures on rows left out, directions in their circle, and the claims."""

from __future__ import annotations

from recipes.results.cells import each
from recipes.results.tables import Claim, Table, claimed, claims, measured

LEFT_OUT = ("history", "validation_by_components", "test_rows")
MODELS = {"spline MAF": "spline_maf", "spline couplings": "spline_coupling", "best Gaussian mixture": "gaussian_mixture"}
_FLOWS = {"spline MAF": "spline_maf", "spline couplings": "spline_coupling"}

PARTS = {
    "models": Table(
        MODELS,
        {
            "test nats": each("test_nats", ".3f"),
            "standard error": each("test_standard_error", ".3f"),
            "median": each("test_median", ".2f"),
            "worst row": each("test_worst", ".0f"),
            "not finite: rows": each("test_nonfinite"),
            "samples": each("samples_nonfinite"),
            "components": each("components"),
        },
        by_run=True,
    ),
    "claims": claims(
        *(
            Claim(f"{label}: ahead of the best mixture", claimed(f"{m}: ahead of the best Gaussian mixture"))
            for label, m in _FLOWS.items()
        ),
        *(
            Claim(f"{label}: the worst test row, nats", measured(f"{m}.test_worst"), ("above", -100))
            for label, m in _FLOWS.items()
        ),
        Claim("nothing is NaN or infinite", claimed("nothing is NaN or infinite")),
        Claim("directions: every sample in its circle", claimed("angles: every sample in its circle")),
        Claim("directions: the jump at the seam, nats", measured("angles.jump_at_the_seam"), ("at most", 0.01)),
    ),
}
