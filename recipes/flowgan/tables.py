"""Tables of recipes/README.md: likelihood, stability and samples of each model, and the claims."""

from __future__ import annotations

from recipes.results.cells import each, joined
from recipes.results.tables import Claim, Table, all_claimed, claimed, claims, measured

LEFT_OUT = ("condition_number_at_least", "kid", "log_det_mean", "weights", "certified_forward", "certified_inverse")
MODELS = {
    "MLE, unstable": "mle_unstable",
    "hybrid, unstable": "hybrid_unstable",
    "ADV, unstable": "adv_unstable",
    "MLE, stable": "mle_stable",
    "ADV, stable": "adv_stable",
}
_PASSES = "reconstruction_error_after_9_passes"
_REFIT = [f"{name}: refit never lowers the training likelihood" for name in MODELS.values()]
_GRADIENT = [f"{name}: gradient refit within 1 % of the closed form" for name in MODELS.values()]

PARTS = {
    "models": Table(
        MODELS,
        {
            "test bits/dim": each("bits_per_dim", "3"),
            "error max (l2)": each("reconstruction_error.max"),
            "after 9 passes: max; not finite": joined("; ", each(f"{_PASSES}.max"), each(f"{_PASSES}.nonfinite_share", ".0%")),
            "sigma max": each("largest_singular_value"),
            "sigma min": each("smallest_singular_value"),
            "condition": each("condition_number"),
            "FID*": each("fid", "3"),
            "sure*": each("confident_share", ".3f"),
            "refit: bits/dim closed form / by gradient": joined(
                " / ", each("prior_refit.test_closed_form", "3"), each("prior_refit.test_gradient", "3")
            ),
        },
        by_run=True,
    ),
    "claims": claims(
        Claim("test bits/dim MLE < hybrid < ADV (unstable architecture)", claimed("bits/dim MLE < hybrid < ADV")),
        Claim("ADV at least 1 bit/dim above MLE", claimed("ADV at least 1 bit/dim above MLE")),
        Claim("MLE without constraint: bits/dim", measured("mle_unstable.bits_per_dim"), ("at most", 1.6), form=".2f"),
        Claim(
            "the best model's samples that are told as one digit with more than 0.9",
            claimed("samples of the best model that the classifier calls one digit with more than 0.9"),
            ("at least", 0.5),
            form=".3f",
        ),
        Claim(
            "condition number of the unstable ADV model over the stable one's",
            claimed("condition number (float64), unstable over stable"),
            ("at least", 100),
            remark="The likelihood's own model, behind the same logit, passes this, too",
        ),
        Claim(
            "its reconstruction visibly broken (an l2 error of 1, or not finite, in nine passes; an image's norm is about 14)",
            claimed("ADV, unstable: reconstruction visibly broken (9 passes)"),
        ),
        Claim("the stable ADV model's reconstruction error", measured("adv_stable.reconstruction_error.max"), ("below", 1e-3)),
        Claim("refitting the prior never lowers the training likelihood, of every model", all_claimed(*_REFIT)),
        Claim("the gradient's refit gains what the closed form gains within 1 %, of every model", all_claimed(*_GRADIENT)),
    ),
}
